// Owns the slots as the kernel has them: read from the tables that the programs forward by, not from what daemons say.
import { join } from 'node:path';
import { BpfMap } from 'libbpf-ts';
import { SlotTable } from '../../../control/dataplane/slot_table.ts';
import { SLOTS } from '../configuration.ts';
import type { LabPlan, MuxNode } from '../plan.ts';
import { pinDirectory } from '../state.ts';

/** The index of each slot's backend. The lab has one pool, whose slots are the first. */
export function slotsOf(plan: LabPlan, mux: MuxNode): Uint16Array {
  using map = BpfMap.openPinned(join(pinDirectory(plan.name), mux.name, 'mux', 'maps', 'slots'));
  return new SlotTable(new BigUint64Array(map.mmap())).read({ base: 0, count: SLOTS });
}

export function movedSlots(before: Uint16Array, after: Uint16Array): Set<number> {
  const moved = new Set<number>();
  for (const [slot, backend] of before.entries()) if (after[slot] !== backend) moved.add(slot);
  return moved;
}

export function isSameTable(one: Uint16Array, other: Uint16Array): boolean {
  return Buffer.from(one.buffer).equals(Buffer.from(other.buffer));
}

/** Slots of each backend, by index. */
export function countSlots(table: Uint16Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const backend of table) counts.set(backend, (counts.get(backend) ?? 0) + 1);
  return counts;
}

/** No table with the second's counts differs from the first in fewer slots: what a backend gains must move to it. */
export function fewestMoves(before: ReadonlyMap<number, number>, after: ReadonlyMap<number, number>): number {
  let gained = 0;
  for (const [backend, slots] of after) gained += Math.max(0, slots - (before.get(backend) ?? 0));
  return gained;
}
