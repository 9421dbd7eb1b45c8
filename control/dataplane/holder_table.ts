// Owns the records of a filter that say who may have affinities of tracked buckets: what they say. Indexes are
// tracking_table.ts's. Not here: who that is (control/cluster/leader/holders.ts).
import type { Candidate, Placement } from '../cluster/version.ts';
import type { SlotChains } from './chain_plan.ts';
import { BUCKET_HOLDERS_LAYOUT, bucketHoldersCodec, Limit } from './generated/layout.ts';
import type { GracePeriods } from './grace.ts';
import { memberOffset } from './layout_offsets.ts';
import { periodName, type RecordShape, type TrackingName, TrackingTable } from './tracking_table.ts';

export type HoldersKey = TrackingName & { readonly holders: readonly Candidate[] };

const NOBODY = { incarnation: 0, server: 0, reserved: 0 };

const HOLDERS: RecordShape<HoldersKey> = {
  sizeBytes: bucketHoldersCodec.sizeBytes,
  unrecordedOffset: memberOffset(BUCKET_HOLDERS_LAYOUT, 'unrecorded_ns'),
  nameOf: (key) =>
    `${periodName(key)}/${key.holders.map(({ id, incarnation }) => `${id}.${incarnation}`).join()}`,
  write: (view, offset, { trackEpoch, holders }) =>
    bucketHoldersCodec.write(view, offset, {
      track_epoch: trackEpoch,
      count: holders.length,
      unrecorded_ns: 0n,
      holder: Array.from({ length: Limit.LIMIT_HOLDERS }, (_, at) => {
        const it = holders[at];
        return it === undefined ? NOBODY : { incarnation: it.incarnation, server: it.id, reserved: 0 };
      }),
    }),
  read: (view, offset, poolId) => {
    const { track_epoch: trackEpoch, count, holder } = bucketHoldersCodec.read(view, offset);
    const holders = holder.slice(0, count).map(({ server: id, incarnation }) => ({ id, incarnation }));
    return { poolId, trackEpoch, holders };
  },
};

export class HolderTable extends TrackingTable<HoldersKey> {
  /** `records` is the mapped table. */
  constructor(records: ArrayBuffer, grace: GracePeriods, count: number = Limit.LIMIT_HOLDERS_RECORDS) {
    super(records, grace, count, HOLDERS);
  }
}

/** The records of slots, one a period; undefined where all are clean. */
export function holderIndexes(
  { poolId, period, periods }: Placement,
  claim: (key: HoldersKey) => number,
): SlotChains | undefined {
  if (periods.length === 0) return undefined;
  const records = periods.map(({ trackEpoch, candidates }) =>
    claim({ poolId, trackEpoch, holders: candidates.flat().slice(0, Limit.LIMIT_HOLDERS) }),
  );
  const indexes = Uint32Array.from(period, (number) => (number === 0 ? 0 : records[number - 1]!));
  return { indexes, named: new Set(records) };
}
