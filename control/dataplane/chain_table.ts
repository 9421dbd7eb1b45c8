// Owns the chain records of a mux: what they say. Indexes are tracking_table.ts's. Not here: which chain a slot has
// (control/cluster/chain.ts), slots (slot_table.ts).
import { Failure } from '../lib/failure.ts';
import type { Chain } from './generated/layout.ts';
import { CHAIN_LAYOUT, chainCodec, Limit } from './generated/layout.ts';
import type { GracePeriods } from './grace.ts';
import { memberOffset } from './layout_offsets.ts';
import { periodName, type RecordShape, TrackingTable } from './tracking_table.ts';

export { ChainTableFullError } from './tracking_table.ts';

/** What a record says, and of which pool; `owner` and `backup` 0: nobody. */
export type ChainKey = {
  readonly poolId: number;
  readonly trackEpoch: number;
  readonly chainEpoch: number;
  readonly owner: number;
  readonly ownerIncarnation: number;
  readonly backup: number;
  readonly backupIncarnation: number;
};

const CHAINS: RecordShape<ChainKey> = {
  sizeBytes: chainCodec.sizeBytes,
  unrecordedOffset: memberOffset(CHAIN_LAYOUT, 'unrecorded_ns'),
  nameOf: (key) =>
    `${periodName(key)}/${key.chainEpoch}/${key.owner}.${key.ownerIncarnation}/${key.backup}.${key.backupIncarnation}`,
  write: (view, offset, key) =>
    chainCodec.write(view, offset, {
      track_epoch: key.trackEpoch,
      chain_epoch: key.chainEpoch,
      owner: key.owner,
      backup: key.backup,
      owner_incarnation: key.ownerIncarnation,
      backup_incarnation: key.backupIncarnation,
      reserved: 0,
      unrecorded_ns: 0n,
    }),
  read: (view, offset, poolId) => keyOf(poolId, chainCodec.read(view, offset)),
};

export class ChainTable extends TrackingTable<ChainKey> {
  /** `records` is the mapped table. */
  constructor(records: ArrayBuffer, grace: GracePeriods, count: number = Limit.LIMIT_CHAINS) {
    super(records, grace, count, CHAINS);
  }
}

export function tooManyChains(capacity: number): Failure {
  return new Failure('limit', `the slots that are tracked need more than ${capacity} chains`, {
    reason: 'a chain is a pair of muxes and a change that is open',
    remedy: 'wait until changes of backends that are open have ended: holdfast status lists them',
  });
}

function keyOf(poolId: number, record: Chain): ChainKey {
  return {
    poolId,
    trackEpoch: record.track_epoch,
    chainEpoch: record.chain_epoch,
    owner: record.owner,
    ownerIncarnation: record.owner_incarnation,
    backup: record.backup,
    backupIncarnation: record.backup_incarnation,
  };
}
