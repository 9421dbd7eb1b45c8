import { release } from 'node:os';
import { features, probeHelper, probeMapType, probeProgramType } from 'libbpf-ts';
import { describe, expect, it } from 'vitest';

describe('probing the kernel', () => {
  it('finds what this package is built on', () => {
    const found = features();
    expect(found.kernelRelease).toBe(release());
    for (const feature of [
      'btf',
      'xdp',
      'xdpLinks',
      'ringBuffer',
      'batchOperations',
      'liveFrames',
    ] as const) {
      expect(found[feature], feature).toEqual({ supported: true });
    }
  });

  it('answers for single types and helpers, with the reason for a no', () => {
    expect(probeProgramType('xdp')).toEqual({ supported: true });
    expect(probeMapType('lru_hash')).toEqual({ supported: true });
    expect(probeHelper('xdp', 1)).toEqual({ supported: true }); // bpf_map_lookup_elem
    expect(probeHelper('xdp', 60_000)).toEqual({
      supported: false,
      reason: 'The kernel refuses helper 60000 in programs of type xdp.',
    });
    expect(() => probeMapType('nonsense' as never)).toThrow(/type must be one of/);
  });
});
