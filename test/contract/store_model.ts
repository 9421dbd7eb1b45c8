// Owns the store's contract once more, as plainly as it can be said: the state of every revision, kept. What random
// sequences of calls must come to. No time: leases end only by being revoked.
import fc from 'fast-check';
import type {
  Change,
  Comparison,
  Entry,
  Operation,
  TxnResult,
  WatchEvent,
} from '../../control/store/contract.ts';

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

export class StoreModel {
  /** Index 0 is revision 1. */
  readonly states: ReadonlyMap<string, Entry>[] = [new Map()];
  readonly history: Change[][] = [[]];
  oldest = 1;

  get revision(): number {
    return this.states.length;
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.states.at(-1)!;
  }

  list(prefix: string): Entry[] {
    const entries = [...this.entries.values()].filter(({ key }) => key.startsWith(prefix));
    return entries.sort((a, b) => byBytes(a.key, b.key));
  }

  txn(comparisons: readonly Comparison[], operations: readonly Operation[]): TxnResult {
    const holds = ({ key, modRevision }: Comparison) =>
      (this.entries.get(key)?.modRevision ?? 0) === modRevision;
    if (!comparisons.every(holds)) return { succeeded: false, revision: this.revision };
    const revision = this.revision + 1;
    const next = new Map(this.entries);
    const changes: Change[] = [];
    for (const operation of operations) {
      if ('put' in operation) {
        const { put: key, value, leaseId } = operation;
        const createRevision = next.get(key)?.createRevision ?? revision;
        const plain = { key, value, createRevision, modRevision: revision };
        const entry = leaseId === undefined ? plain : { ...plain, leaseId };
        next.set(key, entry);
        changes.push({ kind: 'put', entry });
      } else if (next.delete(operation.delete)) {
        changes.push({ kind: 'delete', key: operation.delete, modRevision: revision });
      }
    }
    if (changes.length === 0) return { succeeded: true, revision: this.revision };
    this.states.push(next);
    this.history.push(changes);
    return { succeeded: true, revision };
  }

  revoke(leaseId: string): void {
    const held = [...this.entries.values()].filter((entry) => entry.leaseId === leaseId);
    this.txn(
      [],
      held
        .map(({ key }) => key)
        .sort(byBytes)
        .map((key) => ({ delete: key })),
    );
  }

  watch(prefix: string, from: number): WatchEvent[] {
    if (from < this.oldest) return [{ kind: 'compacted', oldest: this.oldest }];
    return this.history.slice(from - 1).flatMap((all, index) => {
      const changes = all.filter((change) =>
        (change.kind === 'put' ? change.entry.key : change.key).startsWith(prefix),
      );
      return changes.length === 0 ? [] : [{ kind: 'changes' as const, revision: from + index, changes }];
    });
  }
}

/** Few keys, so that calls meet; of several scripts and planes, and some prefixes of others. */
const KEYS = [
  'a',
  'a/b',
  'a/b/c',
  'a0',
  'b',
  'ä/1',
  '\ud7ff',
  '\ue000x',
  '\uffff',
  '😀/1',
  '😀/2',
  '\u{10ffff}',
  '\u{10ffff}z',
];
export const PREFIXES = ['', 'a', 'a/', 'a/b', 'ä', 'x', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}'];

const key = fc.constantFrom(...KEYS);
const value = fc.oneof(
  fc.constantFrom('', '1', '\0', 'ü', '😀'),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
);

/** A call; revisions are relative to the newest, or those of a key, as only the run knows them. */
export type Call =
  | {
      readonly call: 'txn';
      readonly comparisons: readonly { key: string; right: boolean }[];
      readonly operations: readonly { key: string; value: string | undefined; lease: boolean }[];
      readonly store: number;
    }
  | { readonly call: 'compact'; readonly back: number; readonly store: number }
  | { readonly call: 'revoke'; readonly store: number }
  | { readonly call: 'look'; readonly key: string; readonly prefix: string; readonly store: number };

const store = fc.nat(1);

export const calls: fc.Arbitrary<Call[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        call: fc.constant('txn' as const),
        comparisons: fc.array(
          fc.record({ key, right: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, fc.boolean()) }),
          { maxLength: 3 },
        ),
        operations: fc.uniqueArray(
          fc.record({ key, value: fc.option(value, { nil: undefined }), lease: fc.boolean() }),
          { maxLength: 5, selector: (it) => it.key },
        ),
        store,
      }),
    },
    { weight: 1, arbitrary: fc.record({ call: fc.constant('compact' as const), back: fc.nat(5), store }) },
    { weight: 1, arbitrary: fc.record({ call: fc.constant('revoke' as const), store }) },
    {
      weight: 3,
      arbitrary: fc.record({
        call: fc.constant('look' as const),
        key,
        prefix: fc.constantFrom(...PREFIXES),
        store,
      }),
    },
  ),
  { maxLength: 40 },
);
