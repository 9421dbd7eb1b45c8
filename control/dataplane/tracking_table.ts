// Owns the records that tracked slots name by an index: which index names which, and when an index may name another. A
// record is written before a slot names it and never changes then, save when it was last answered unrecorded; its index is
// given away again a grace period after no slot names it. What a record says is chain_table.ts's and holder_table.ts's.
import type { GraceMark, GracePeriods } from './grace.ts';

/** Of which tracking a record is. */
export type TrackingName = { readonly poolId: number; readonly trackEpoch: number };

export class ChainTableFullError extends Error {
  override readonly name = 'ChainTableFullError';
}

/** What a record says, as data and as bytes. */
export type RecordShape<Key extends TrackingName> = {
  readonly sizeBytes: number;
  /** Of the 64-bit member that programs write. */
  readonly unrecordedOffset: number;
  readonly nameOf: (key: Key) => string;
  readonly write: (view: DataView, offset: number, key: Key) => void;
  readonly read: (view: DataView, offset: number, poolId: number) => Key;
};

/** Index 0 is none. */
const FIRST = 1;

export class TrackingTable<Key extends TrackingName> {
  readonly #shape: RecordShape<Key>;
  readonly #view: DataView;
  readonly #words: BigUint64Array;
  readonly #grace: GracePeriods;
  readonly #count: number;
  readonly #byName = new Map<string, number>();
  readonly #keys = new Map<number, Key>();
  readonly #retired = new Map<number, GraceMark>();
  /** Free for sure; beyond `#next` all are. */
  readonly #free: number[] = [];
  #next = FIRST;
  /** Of chains of a period that were released while others of it are in use, by pool and epoch. */
  readonly #unrecordedNs = new Map<string, bigint>();

  /** `records` is the mapped table, of `count`. */
  constructor(records: ArrayBuffer, grace: GracePeriods, count: number, shape: RecordShape<Key>) {
    this.#shape = shape;
    this.#view = new DataView(records);
    this.#words = new BigUint64Array(records);
    this.#grace = grace;
    this.#count = count;
  }

  /** Records that slots may name. */
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
  at(index: number): Key | undefined {
    return this.#keys.get(index);
  }

  *entries(): Generator<Key & { index: number }> {
    for (const [index, key] of this.#keys) yield { ...key, index };
  }

  /** The index of a record, which is there when this returns. @throws ChainTableFullError */
  claim(key: Key): number {
    const name = this.#shape.nameOf(key);
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const index = this.#free.pop() ?? (this.#next < this.#count ? this.#next++ : undefined);
    if (index === undefined) throw new ChainTableFullError(`${this.capacity} chains are in use`);
    this.#shape.write(this.#view, index * this.#shape.sizeBytes, key);
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
      this.#byName.delete(this.#shape.nameOf(key));
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
      this.#take(index, this.#shape.read(this.#view, index * this.#shape.sizeBytes, poolId));
    }
    this.#next = Math.max(FIRST - 1, ...this.#keys.keys()) + 1;
    for (let index = this.#next - 1; index >= FIRST; index--)
      if (!this.#keys.has(index)) this.#free.push(index);
  }

  #take(index: number, key: Key): void {
    this.#keys.set(index, key);
    this.#byName.set(this.#shape.nameOf(key), index);
  }

  #unrecordedOf(index: number): bigint {
    return Atomics.load(this.#words, (index * this.#shape.sizeBytes + this.#shape.unrecordedOffset) / 8);
  }

  #note(period: string, atNs: bigint): void {
    if (atNs > (this.#unrecordedNs.get(period) ?? 0n)) this.#unrecordedNs.set(period, atNs);
  }
}

export const periodName = ({ poolId, trackEpoch }: TrackingName): string => `${poolId}/${trackEpoch}`;
