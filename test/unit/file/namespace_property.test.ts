// Whatever commands come, in whatever order: what always holds of the namespace, judged by a second, slow look at it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EntryCommand } from '../../../control/config/namespace_commands.ts';
import { formatNamespace, parseNamespace } from '../../../control/config/namespace_document.ts';
import { apply } from '../../../control/file/namespace/commands.ts';
import { diff } from '../../../control/file/namespace/diff.ts';
import {
  EMPTY_NAMESPACE,
  inconsistency,
  type Namespace,
  ROOT_ID,
} from '../../../control/file/namespace/document.ts';
import { documentOf } from '../../../control/file/namespace/forms.ts';
import { pathOf } from '../../../control/file/namespace/lookup.ts';
import { namespaceOf, snapshotOf } from '../../../control/file/namespace/snapshot.ts';
import { NamespaceView } from '../../../control/file/namespace/view.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { command } from './lib.ts';

const name = fc.constantFrom('a', 'b', 'c', 'é', '__proto__', 'x y');
const path = fc.array(name, { maxLength: 4 }).map((names) => `/${names.join('/')}`);
const storageName = fc.constantFrom('one', 'two', 'three');
const clients = fc.array(
  fc.record({
    address: fc.constantFrom('192.0.2.0/24', '2001:db8::/32', '0.0.0.0/0'),
    access: fc.constantFrom('rw', 'ro', 'none'),
    squash: fc.constantFrom('root', 'all', 'none'),
  }),
  { maxLength: 2 },
);
const quota = fc.constantFrom({ bytes: 5 }, { files: 9 }, { bytes: 0, files: 0 });

const commands = fc
  .oneof(
    {
      weight: 4,
      arbitrary: fc.record({ op: fc.constant('mkdir'), path, parents: fc.boolean(), uid: fc.nat(3) }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('rmdir'), path }) },
    {
      weight: 4,
      arbitrary: fc.record(
        {
          op: fc.constant('link'),
          path,
          storage: storageName,
          target: fc.constantFrom('.', 'x', 'x/y'),
          clients,
          quota,
        },
        { requiredKeys: ['op', 'path', 'storage', 'target'] },
      ),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('unlink'), path }) },
    { weight: 4, arbitrary: fc.record({ op: fc.constant('mv'), from: path, to: path }) },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant('set'),
        path,
        change: fc.constantFrom({ uid: 7 }, { readOnly: true }, { quota: null }, {}),
      }),
    },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('addStorage'), name: storageName }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('removeStorage'), name: storageName }) },
  )
  .map((given) => command(given));
const histories = fc.array(commands, { maxLength: 60 });

/** The namespaces there were, the first empty; refused commands leave it alone. */
function run(history: readonly EntryCommand[], from: Namespace = EMPTY_NAMESPACE): Namespace[] {
  const all = [from];
  for (const [index, it] of history.entries()) {
    try {
      all.push(apply(all.at(-1)!, it, 1_000 + index * (index % 3 === 0 ? -1 : 1)));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }
  return all;
}

/** What it is by names, told from ids and parents alone. */
function shape({ entries }: Namespace): Map<string, number> {
  const found = new Map<string, number>();
  for (const { id } of entries.values()) {
    const names: string[] = [];
    let at = entries.get(id)!;
    for (let steps = 0; at.id !== ROOT_ID; steps++) {
      if (steps > 64) throw new Error(`${id} leads nowhere`);
      names.unshift(at.name);
      at = entries.get(at.parentId)!;
      if (at.kind !== 'folder') throw new Error(`${id} is in a link`);
    }
    const place = JSON.stringify(names);
    if (found.has(place)) throw new Error(`${place} is there twice`);
    found.set(place, id);
  }
  return found;
}

describe('after any commands', () => {
  it('it is a tree with unique names, of which no id was another entry before', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const kinds = new Map<number, string>();
        for (const namespace of run(history)) {
          shape(namespace);
          expect(inconsistency(namespace)).toBeUndefined();
          for (const entry of namespace.entries.values()) {
            expect(entry.id).toBeLessThan(namespace.nextId);
            const what = entry.kind === 'link' ? `${entry.storage}:${entry.target}` : 'folder';
            expect(kinds.get(entry.id) ?? what).toBe(what);
            kinds.set(entry.id, what);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('an id that is gone is gone for good, and the revision grows by one with each change', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const gone = new Set<number>();
        const all = run(history);
        for (const [index, namespace] of all.entries()) {
          const before = all[index - 1] ?? namespace;
          expect(namespace.revision - before.revision).toBe(namespace === before ? 0 : 1);
          for (const id of before.entries.keys()) if (!namespace.entries.has(id)) gone.add(id);
          for (const id of namespace.entries.keys()) expect(gone.has(id)).toBe(false);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('moving changes one place and no id', () => {
    fc.assert(
      fc.property(histories, path, path, (history, from, to) => {
        const before = run(history).at(-1)!;
        const [, after] = run([command({ op: 'mv', from, to })], before);
        if (after === undefined || after === before) return;
        expect([...after.entries.keys()].sort()).toEqual([...before.entries.keys()].sort());
        for (const id of before.entries.keys()) {
          const old = pathOf(before, id)!;
          const inside = old === from || old.startsWith(`${from}/`);
          expect(pathOf(after, id)).toBe(inside ? `${to}${old.slice(from.length)}` : old);
        }
        expect(diff(before, after)).toMatchObject([{ action: 'move', from, name: to }]);
      }),
      { numRuns: 300 },
    );
  });

  it('what is exported and imported again is the same, ids and times as well', () => {
    fc.assert(
      fc.property(histories, histories, (history, others) => {
        const namespace = run(history).at(-1)!;
        const document = parseNamespace(formatNamespace(documentOf(namespace)), 'x');
        expect(apply(namespace, { op: 'import', document }, 9_000)).toBe(namespace);
        const elsewhere = run(others).at(-1)!;
        let imported: Namespace;
        try {
          imported = apply(elsewhere, { op: 'import', document }, 9_000);
        } catch (error) {
          // Storages there have other ids: they would not be the same.
          expect(error).toMatchObject({ code: 'conflict' });
          return;
        }
        expect(documentOf(imported)).toEqual(document);
        expect(inconsistency(imported)).toBeUndefined();
        for (const [id, entry] of imported.entries) {
          const old = elsewhere.entries.get(id);
          if (old === undefined) expect(id).toBeGreaterThanOrEqual(elsewhere.nextId);
          else expect([entry.kind, pathOf(imported, id)]).toEqual([old.kind, pathOf(elsewhere, id)]);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('a difference says all that differs', () => {
    fc.assert(
      fc.property(histories, histories, (history, more) => {
        const before = run(history).at(-1)!;
        const after = run(more, before).at(-1)!;
        const [old, now] = [before, after].map((it) => {
          const { storages, folders, links } = documentOf(it);
          const ids = [...it.entries.keys()].map((id) => [pathOf(it, id), id] as const);
          return JSON.stringify([storages, folders, links, Object.fromEntries(ids)]);
        });
        const changes = diff(before, after);
        expect(changes.length === 0).toBe(old === now);
        expect(diff(after, before)).toHaveLength(changes.length);
        const count = (action: string) => changes.filter((it) => it.action === action).length;
        const added = [...after.entries.keys()].filter((id) => !before.entries.has(id)).length;
        const newStorages = [...after.storages.keys()].filter((it) => !before.storages.has(it)).length;
        expect(count('add')).toBe(added + newStorages);
      }),
      { numRuns: 200 },
    );
  });

  it('a copy of it is the same, and a view finds everything', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const namespace = run(history).at(-1)!;
        const copy = namespaceOf(JSON.parse(JSON.stringify(snapshotOf(namespace))));
        expect(copy).toEqual(namespace);
        const view = new NamespaceView(copy);
        for (const [id, entry] of namespace.entries) {
          expect(view.at(view.pathOf(id)!)).toEqual(entry);
          if (id === ROOT_ID) continue;
          expect(view.child(entry.parentId, entry.name)).toEqual(entry);
          const all = view.children(entry.parentId).map((it) => it.id);
          expect(all).toEqual([...all].sort((a, b) => a - b));
          expect(view.children(entry.parentId, id).map((it) => it.id)).toEqual(all.filter((it) => it > id));
        }
      }),
      { numRuns: 100 },
    );
  });
});
