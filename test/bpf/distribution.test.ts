// Structured traffic over an even table: no backend may notice that ports and addresses come in order.
import { afterEach, describe, expect, it } from 'vitest';
import type { MuxProgram } from '../../control/dataplane/mux.ts';
import { flowOf, plain } from './lib/case.ts';
import { be, frame, payload } from './lib/packets.ts';
import { loadMux, trafficOf } from './lib/rig.ts';
import { BACKENDS, SERVICE4, SERVICE6, TCP, testKey } from './lib/site.ts';

const FLOWS = 100_000;
const BACKEND_COUNT = 64;
const SLOTS = 65_536;

/**
 * Chi-square of 63 degrees of freedom has mean 63 and standard deviation 11.2; a uniform hash stays below 131 in all
 * but one of a million tables. Keys are fixed, so this does not vary from run to run.
 */
const CHI_SQUARE_MAX = 131;

/** Byte offsets of what varies, in a frame without tags. */
const OFFSETS = {
  4: { address: 14 + 12, port: 14 + 20 },
  6: { address: 14 + 8 + 12, port: 14 + 40 },
} as const;

const PATTERNS: readonly { name: string; step: (i: number) => { host: number; port: number } }[] = [
  { name: 'the ports of two clients in order', step: (i) => ({ host: i >> 16, port: i & 0xffff }) },
  { name: 'clients in order', step: (i) => ({ host: i, port: 40_000 }) },
  { name: 'clients and ports in order together', step: (i) => ({ host: i >> 3, port: 32_768 + i * 2 }) },
  { name: 'every 256th client', step: (i) => ({ host: i * 256, port: 50_000 }) },
  { name: 'even ports of many clients', step: (i) => ({ host: i >> 8, port: (i & 0xff) * 2 + 1024 }) },
];

const TABLES: readonly { name: string; backend: (slot: number) => number }[] = [
  { name: 'striped', backend: (slot) => (slot % BACKEND_COUNT) + 1 },
  { name: 'in blocks', backend: (slot) => (slot >> 10) + 1 },
];

function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

describe('distribution over an even table', () => {
  let mux: MuxProgram | undefined;
  afterEach(() => {
    mux?.close();
    mux = undefined;
  });

  async function load(): Promise<MuxProgram> {
    mux = loadMux({ hashKey: testKey('distribution') });
    const plainBackend = BACKENDS.get(1)!;
    for (let i = 1; i <= BACKEND_COUNT; i++) await mux.setBackend(i, plainBackend);
    for (const [i, { backend }] of TABLES.entries()) {
      mux!.setSlots(
        i * SLOTS,
        Uint16Array.from({ length: SLOTS }, (_, slot) => backend(slot)),
      );
      for (const address of [SERVICE4, SERVICE6])
        await mux!.setService({
          address,
          protocol: 'tcp',
          port: 1000 + i,
          slotBase: i * SLOTS,
          slotCount: SLOTS,
        });
    }
    return mux;
  }

  it.each([4, 6] as const)(`is uniform over IPv%i for ${FLOWS} flows of every pattern`, async (version) => {
    const { program } = await load();
    const at = OFFSETS[version];
    for (const [table, { name: tableName }] of TABLES.entries())
      for (const { name, step } of PATTERNS) {
        const data = frame(plain(flowOf({ version, protocol: TCP, port: 1000 + table }), payload(0)));
        const before = trafficOf(mux!).backends;
        for (let i = 0; i < FLOWS; i++) {
          const { host, port } = step(i);
          data.set(be(0x0a000000 + host, 4), at.address);
          data.set(be(port, 2), at.port);
          program.testRun({ data, dataOutSize: 0 });
        }
        const after = trafficOf(mux!).backends;
        const counts = [...after].map(([index, now]) => Number(now.packets - before.get(index)!.packets));
        expect(counts.reduce((sum, count) => sum + count, 0)).toBe(FLOWS);
        expect(chiSquare(counts), `${name}, ${tableName}`).toBeLessThan(CHI_SQUARE_MAX);
      }
  });
});
