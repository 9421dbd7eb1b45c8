import { type LoadedObject, openObject, Program } from 'libbpf-ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compiled, mountBpffs, words } from './support.ts';

let bpffs: ReturnType<typeof mountBpffs>;
let object: LoadedObject;
beforeAll(() => {
  bpffs = mountBpffs();
  object = openObject(compiled('everything')).load();
});
afterAll(() => {
  object.close();
  bpffs.unmount();
});

const packet = (...start: number[]): Uint8Array => {
  const bytes = new Uint8Array(64);
  bytes.set(start);
  return bytes;
};

describe('a test run', () => {
  it('returns the verdict and the packet as the program left it', () => {
    const { retval, dataOut, durationNs } = object.program('stamp').testRun({
      data: packet(9, 9, 9, 9, 9, 9, 9, 9, 9),
      ctx: { ingressIfindex: 1, rxQueueIndex: 0 },
    });
    expect(retval).toBe(3); // XDP_TX
    expect(durationNs).toBeGreaterThan(0);
    expect(dataOut).toEqual(packet(1, 0, 0, 0, 0, 0, 0, 0, 9));
  });

  it('takes the context as bytes and gives it back', () => {
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
    const { ctxOut, dataOut } = object.program('stamp').testRun({
      data: packet(),
      ctx: words(0, 64, 0, 1, 0, 0),
      ctxOutSize: 24,
      dataOutSize: 0,
    });
    expect(ctxOut).toEqual(words(0, 64, 0, 1, 0, 0));
    expect(dataOut).toBeUndefined();
  });

  it('runs as often as asked', () => {
    const seen = new BigUint64Array(object.map('.bss').mmap());
    const before = seen[0]!;
    object.program('return_answer').testRun({ data: packet(), repeat: 1000 });
    // More if the kernel broke the run off and it was started again.
    expect(seen[0]! - before).toBeGreaterThanOrEqual(1000n);
  });

  it('lets verdicts happen to live frames', () => {
    const open = openObject(compiled('everything'));
    open.setConstants({ answer: 1 }); // XDP_DROP: nothing may reach the host's stack
    using own = open.load();
    const seen = new BigUint64Array(own.map('.bss').mmap());
    const program = own.program('return_answer');
    const result = program.testRun({ data: packet(), liveFrames: true, repeat: 100, batchSize: 16 });
    expect(result.dataOut).toBeUndefined();
    expect(seen[0]).toBeGreaterThanOrEqual(100n);
  });

  it('says why the kernel refuses it', () => {
    const drop = object.program('drop');
    expect(() => drop.testRun({ data: new Uint8Array(3) })).toThrow(
      expect.objectContaining({ code: 'EINVAL', operation: 'test', subject: 'program drop' }),
    );
    expect(() => drop.testRun({ data: packet(), dataOutSize: 10 })).toThrow(/the output needs 64 bytes/);
    expect(() => drop.testRun({ data: packet(), cpu: 0 })).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });

  it('names the argument that is wrong', () => {
    const drop = object.program('drop');
    expect(() => drop.testRun({ data: 'x' as never })).toThrow(/data must be a Uint8Array or another view/);
    expect(() => drop.testRun({ data: packet(), repeat: 0 })).toThrow(/repeat must be an integer from 1/);
    expect(() => drop.testRun({ data: packet(), ctx: { ifindex: 1 } as never })).toThrow(/field of ctx/);
    expect(() => drop.testRun({ data: packet(), dataOutSize: 2 ** 40 })).toThrow(
      /dataOutSize must be an integer/,
    );
  });
});

describe('a program', () => {
  it('knows about itself', () => {
    const program = object.program('return_answer');
    const info = program.info();
    expect(info).toMatchObject({ name: 'return_answer', type: 'xdp', gplCompatible: true });
    expect(info.tag).toMatch(/^[0-9a-f]{16}$/);
    expect(info.xlatedSizeBytes % 8).toBe(0);
    expect(info.xlatedSizeBytes).toBeGreaterThan(0);
    expect(info.loadTimeNs).toBeGreaterThan(0n);
    const ids = ['shared', 'stats', '.bss', '.rodata', '.data'].map((name) => object.map(name).info.id);
    expect([...info.mapIds].sort()).toEqual(ids.sort());
  });

  it('is pinned and found again', () => {
    object.program('return_answer').pin(`${bpffs.path}/answer`);
    using again = Program.openPinned(`${bpffs.path}/answer`);
    expect(again.info().id).toBe(object.program('return_answer').info().id);
    expect(again.name).toBe('return_answer');
    expect(again.testRun({ data: packet() }).retval).toBe(42);
    expect(() => Program.openPinned(`${bpffs.path}/none`)).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
  });
});
