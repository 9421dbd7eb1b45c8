// Owns a view of a store that begins at revision 1, of one whose revisions began long before: so that one etcd serves
// many tests, each of which counts from 1.
import type { Change, Entry, Leadership, Revision, Store, WatchEvent } from '../../control/store/contract.ts';

/** `base` becomes revision 1. Comparisons of 0 stay: there is no such key. */
export function rebased(store: Store, base: Revision): Store {
  const shift = base - 1;
  const inward = (revision: Revision): Revision =>
    Number.isSafeInteger(revision) && revision > 0 ? revision + shift : revision;
  const entry = (it: Entry): Entry => ({
    ...it,
    createRevision: it.createRevision - shift,
    modRevision: it.modRevision - shift,
  });
  const change = (it: Change): Change =>
    it.kind === 'put' ? { ...it, entry: entry(it.entry) } : { ...it, modRevision: it.modRevision - shift };
  const event = (it: WatchEvent): WatchEvent =>
    it.kind === 'compacted'
      ? { ...it, oldest: it.oldest - shift }
      : { ...it, revision: it.revision - shift, changes: it.changes.map(change) };
  return {
    get: async (key) => {
      const found = await store.get(key);
      return found && entry(found);
    },
    list: async (prefix) => {
      const { entries, revision } = await store.list(prefix);
      return { entries: entries.map(entry), revision: revision - shift };
    },
    txn: async (comparisons, operations) => {
      const result = await store.txn(
        comparisons.map((it) => ({ ...it, modRevision: inward(it.modRevision) })),
        operations,
      );
      return { ...result, revision: result.revision - shift };
    },
    async *watch(prefix, from, signal) {
      for await (const it of store.watch(prefix, inward(from), signal)) yield event(it);
    },
    lease: (ttlMs) => store.lease(ttlMs),
    campaign: async (name, value, options) => leadership(await store.campaign(name, value, options), shift),
    leader: async (name) => {
      const found = await store.leader(name);
      return found && { ...found, epoch: found.epoch - shift };
    },
    compact: (revision) => store.compact(inward(revision)),
    close: () => store.close(),
  };
}

function leadership(it: Leadership, shift: number): Leadership {
  const { key, modRevision } = it.comparison;
  return {
    epoch: it.epoch - shift,
    comparison: { key, modRevision: modRevision - shift },
    lost: it.lost,
    resign: () => it.resign(),
  };
}
