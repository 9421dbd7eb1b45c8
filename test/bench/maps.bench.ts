// Getting configuration into the kernel: a whole slot table, against one system call a slot and the batch call.

import { BpfMap } from 'libbpf-ts';
import { hashKeyFromSecret } from '../../control/dataplane/hash.ts';
import { MuxProgram } from '../../control/dataplane/mux.ts';
import { SLOT_COUNT } from '../../control/dataplane/mux_object.ts';
import { assignSlots } from '../../control/pool/assignment.ts';
import type { Report } from './lib/report.ts';
import { statistics } from './lib/statistics.ts';

export const description = 'writing a slot table of 65,537 slots into the kernel';

const ROUNDS = 15;

export async function run(report: Report): Promise<void> {
  const mux = MuxProgram.load({ hashKey: hashKeyFromSecret(new Uint8Array(32)), slotCapacity: SLOT_COUNT });
  using plain = BpfMap.create({
    name: 'bench_slots',
    type: 'array',
    keySize: 4,
    valueSize: 8,
    maxEntries: SLOT_COUNT,
  });
  const tables = [
    [1, 2, 3],
    [4, 5, 6],
  ].map((indexes) => assignSlots(new Uint16Array(SLOT_COUNT), new Map(indexes.map((index) => [index, 1]))));
  const keys = Uint32Array.from({ length: SLOT_COUNT }, (_, slot) => slot);
  const samples = { mapped: [] as number[], batch: [] as number[] };
  try {
    for (let round = 0; round <= ROUNDS; round++) {
      const table = tables[round % 2]!;
      const mapped = elapsed(() => mux.setSlots(0, table));
      const batch = elapsed(() => {
        const words = BigUint64Array.from(table, (backend) => (BigInt(backend) << 16n) | BigInt(backend));
        plain.updateBatch(keys, words, SLOT_COUNT);
      });
      verify(mux, plain, table);
      if (round === 0) continue;
      samples.mapped.push(mapped);
      samples.batch.push(batch);
    }
  } finally {
    mux.close();
  }
  report.add({ case: 'install-table', unit: 'ms', samples: samples.mapped, must: { atMost: 50 } });
  report.add({
    case: 'install-table-against-batch',
    unit: 'ms',
    samples: samples.mapped,
    reference: 'one batch call',
    referenceValue: statistics(samples.batch).median,
  });
}

function elapsed(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

/** Reads back, through system calls, what both ways wrote. */
function verify(mux: MuxProgram, plain: BpfMap, table: Uint16Array): void {
  for (const slot of [0, 1, 2, 32768, SLOT_COUNT - 1]) {
    const key = Uint32Array.of(slot);
    const wanted = (BigInt(table[slot]!) << 16n) | BigInt(table[slot]!);
    for (const map of [mux.slotMap, plain]) {
      const value = map.lookup(key);
      if (
        value === undefined ||
        new DataView(value.buffer, value.byteOffset).getBigUint64(0, true) !== wanted
      ) {
        throw new Error(`slot ${slot} of ${map.info.name} does not read back`);
      }
    }
  }
}
