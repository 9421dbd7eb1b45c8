// What the leader tells the others of its changes, through the store.
import { expect, it } from 'vitest';
import { ProgressWriter, readProgress } from '../../../control/cluster/progress.ts';
import { newStore } from './support.ts';

const OUTCOME = {
  open: [
    {
      poolId: 7,
      trackEpoch: 5,
      step: 'track',
      stepVersion: 6,
      waits: ['until then'],
      earliestAtMs: 5_000,
    },
  ],
  problems: [{ message: 'changes wait' }],
  times: { handshakeHoldMs: 20, settleIdles: 2 },
} as const;

it('is what is open, how long it takes yet, and how long steps of this leader last', async () => {
  const { store } = await newStore();
  const writer = new ProgressWriter(store, () => 4_000);
  writer.tell(OUTCOME);
  await writer.close();
  expect(await readProgress(store)).toEqual({
    open: [{ poolId: 7, trackEpoch: 5, step: 'track', stepVersion: 6, waits: ['until then'], leftMs: 1_000 }],
    more: 0,
    problems: ['changes wait'],
    times: { handshakeHoldMs: 20, settleIdles: 2 },
  });
});
