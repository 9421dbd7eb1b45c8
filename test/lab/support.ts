// What the lab's tests share: a lab of the test file's own, waiting, and what the packets tell.
import { expect } from 'vitest';
import type { ReasonName } from '../../control/dataplane/counters.ts';
import { Lab, leftovers } from './lab.ts';
import type { LabSize } from './plan.ts';

export { eventually } from './eventually.ts';

/** Several runs may share the machine: the lab is named after the process. */
export const TEST_LAB = `t${process.pid}`;

export function raiseTestLab(size: Omit<LabSize, 'name'> = {}): Promise<Lab> {
  return Lab.raise({ ...size, name: TEST_LAB });
}

/** Undefined if raising failed, which has cleaned up and failed the tests already. */
export async function removeTestLab(lab: Lab | undefined): Promise<void> {
  await lab?.down();
  expect(leftovers(TEST_LAB)).toEqual([]);
}

/** Packets with this reason, all muxes together. */
export async function muxPackets(lab: Lab, reason: ReasonName): Promise<number> {
  const counts = await Promise.all(lab.muxes.map(({ daemon }) => daemon.packets(reason)));
  return counts.reduce((sum, count) => sum + count, 0);
}
