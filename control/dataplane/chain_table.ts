// Owns the chain records of a mux: which index names which chain, and when an index may name another. A record is
// written before a slot names it and never changes then; its index is given away again a grace period after no slot
// names it. Not here: which chain a slot has (control/cluster/chain.ts), slots (slot_table.ts).
import { Failure } from '../lib/failure.ts';
import type { Chain } from './generated/layout.ts';
import { CHAIN_LAYOUT, chainCodec, Limit } from './generated/layout.ts';
import type { GraceMark, GracePeriods } from './grace.ts';
import { memberOffset } from './layout_offsets.ts';

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

export class ChainTableFullError extends Error {
  override readonly name = 'ChainTableFullError';
}

/** Index 0 is no chain. */
const FIRST = 1;
const { sizeBytes: RECORD_BYTES } = chainCodec;
const UNRECORDED_OFFSET = memberOffset(CHAIN_LAYOUT, 'unrecorded_ns');

export class ChainTable {
  readonly #view: DataView;
  readonly #words: BigUint64Array;
  readonly #grace: GracePeriods;
  readonly #count: number;
  readonly #byName = new Map<string, number>();
  readonly #keys = new Map<number, ChainKey>();
  readonly #retired = new Map<number, GraceMark>();
  /** Free for sure; beyond `#next` all are. */
  readonly #free: number[] = [];
  #next = FIRST;
  /** Of chains of a period that were released while others of it are in use, by pool and epoch. */
  readonly #unrecordedNs = new Map<string, bigint>();

  /** `records` is the mapped table. */
  constructor(records: ArrayBuffer, grace: GracePeriods, count: number = Limit.LIMIT_CHAINS) {
    this.#view = new DataView(records);
    this.#words = new BigUint64Array(records);
    this.#grace = grace;
    this.#count = count;
  }

  /** Chains that slots may name. */
  get size(): number {
    return this.#keys.size;
  }

  get capacity(): number {
    return this.#count - FIRST;
  }

  /** Whether an index waits to be free again. */
  get isSettled(): boolean {
    return this.#retired.size === 0;
  }

  indexes(): ReadonlySet<number> {
    return new Set(this.#keys.keys());
  }

  /** What an index stands for; undefined where none of ours. */
  at(index: number): ChainKey | undefined {
    return this.#keys.get(index);
  }

  *entries(): Generator<ChainKey & { index: number }> {
    for (const [index, key] of this.#keys) yield { ...key, index };
  }

  /** The index of a chain, whose record is there when this returns. @throws ChainTableFullError */
  claim(key: ChainKey): number {
    const name = nameOf(key);
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const index = this.#free.pop() ?? (this.#next < this.#count ? this.#next++ : undefined);
    if (index === undefined) throw new ChainTableFullError(`${this.capacity} chains are in use`);
    this.#write(index, key);
    this.#take(index, key);
    return index;
  }

  /** Retires all that are not in `wanted`. To be called when no slot names them. */
  keepOnly(wanted: ReadonlySet<number>): void {
    const periods = new Set([...wanted].map((index) => periodName(this.#keys.get(index)!)));
    for (const [index, key] of this.#keys) {
      if (wanted.has(index)) continue;
      const period = periodName(key);
      if (periods.has(period)) this.#note(period, this.#unrecordedOf(index));
      this.#keys.delete(index);
      this.#byName.delete(nameOf(key));
      this.#retired.set(index, this.#grace.mark());
    }
    for (const period of this.#unrecordedNs.keys())
      if (!periods.has(period)) this.#unrecordedNs.delete(period);
  }

  /** Frees what was retired, as far as grace periods have passed. */
  settle(): void {
    for (const [index, mark] of this.#retired) {
      if (!this.#grace.passed(mark)) continue;
      this.#retired.delete(index);
      this.#free.push(index);
    }
  }

  /** When a packet of the period was last answered without a record, in the program's time; 0n: never. */
  unrecordedNs(poolId: number, trackEpoch: number): bigint {
    const period = periodName({ poolId, trackEpoch });
    let latest = this.#unrecordedNs.get(period) ?? 0n;
    for (const [index, key] of this.#keys) {
      if (key.poolId !== poolId || key.trackEpoch !== trackEpoch) continue;
      const at = this.#unrecordedOf(index);
      if (at > latest) latest = at;
    }
    return latest;
  }

  /**
   * Takes over the records that slots name: `uses` are indexes and the pools of the slots. All others are free, so a
   * grace period must have passed since the process before ended.
   */
  adopt(uses: Iterable<{ readonly index: number; readonly poolId: number }>): void {
    for (const { index, poolId } of uses) {
      if (index < FIRST || index >= this.#count || this.#keys.has(index)) continue;
      this.#take(index, keyOf(poolId, chainCodec.read(this.#view, index * RECORD_BYTES)));
    }
    this.#next = Math.max(FIRST - 1, ...this.#keys.keys()) + 1;
    for (let index = this.#next - 1; index >= FIRST; index--)
      if (!this.#keys.has(index)) this.#free.push(index);
  }

  #take(index: number, key: ChainKey): void {
    this.#keys.set(index, key);
    this.#byName.set(nameOf(key), index);
  }

  #write(index: number, key: ChainKey): void {
    chainCodec.write(this.#view, index * RECORD_BYTES, {
      track_epoch: key.trackEpoch,
      chain_epoch: key.chainEpoch,
      owner: key.owner,
      backup: key.backup,
      owner_incarnation: key.ownerIncarnation,
      backup_incarnation: key.backupIncarnation,
      reserved: 0,
      unrecorded_ns: 0n,
    });
  }

  #unrecordedOf(index: number): bigint {
    return Atomics.load(this.#words, (index * RECORD_BYTES + UNRECORDED_OFFSET) / 8);
  }

  #note(period: string, atNs: bigint): void {
    if (atNs > (this.#unrecordedNs.get(period) ?? 0n)) this.#unrecordedNs.set(period, atNs);
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

const periodName = ({ poolId, trackEpoch }: Pick<ChainKey, 'poolId' | 'trackEpoch'>): string =>
  `${poolId}/${trackEpoch}`;

const nameOf = (key: ChainKey): string =>
  `${periodName(key)}/${key.chainEpoch}/${key.owner}.${key.ownerIncarnation}/${key.backup}.${key.backupIncarnation}`;
