// Owns what must hold of the namespace in a store, whichever store it is: changes in one order, all or nothing; word of each
// to everybody who follows; and what is damaged, newer or lost told as such.
import { describe, expect, it, onTestFinished } from 'vitest';
import type { EntryCommand } from '../../control/config/namespace_commands.ts';
import { apply } from '../../control/file/namespace/commands.ts';
import { EMPTY_NAMESPACE, type Namespace } from '../../control/file/namespace/document.ts';
import { documentOf } from '../../control/file/namespace/forms.ts';
import { namespaceAt } from '../../control/file/namespace/history.ts';
import { entryAt } from '../../control/file/namespace/lookup.ts';
import { commitNamespace, NAMESPACE_COMMIT_ATTEMPTS_MAX } from '../../control/file/store/commit.ts';
import { FollowedNamespace } from '../../control/file/store/followed.ts';
import { readHistory, revisionOf } from '../../control/file/store/history.ts';
import { DOCUMENT_PREFIX, NAMESPACE_HEAD_KEY } from '../../control/file/store/layout.ts';
import type { Store } from '../../control/store/contract.ts';
import { link, mkdir, mv, NOW_MS, rmdir, set, storage, unlink } from '../unit/file/lib.ts';

const LIMIT_MS = 10_000;

type Opened = { readonly store: Store; another(): Promise<Store> };

const plan =
  (...commands: readonly EntryCommand[]) =>
  (namespace: Namespace): Namespace =>
    commands.reduce((so_far, it) => apply(so_far, it, NOW_MS), namespace);

const change = async (store: Store, ...commands: readonly EntryCommand[]): Promise<Namespace> => {
  // One command is one change.
  let after = EMPTY_NAMESPACE;
  for (const it of commands) after = (await commitNamespace(store, plan(it))).after;
  return after;
};

const read = async (store: Store): Promise<Namespace> =>
  (await commitNamespace(store, (it) => it, { dryRun: true })).before;

export function namespaceStoreContract(name: string, open: () => Promise<Opened>): void {
  async function followed(store: Store): Promise<FollowedNamespace> {
    const it = new FollowedNamespace(store);
    onTestFinished(() => it.close());
    await it.start();
    return it;
  }

  describe(`the namespace in ${name}`, () => {
    it('is empty where nothing was ever changed', async () => {
      const { store } = await open();
      expect(await read(store)).toEqual(EMPTY_NAMESPACE);
      expect((await store.list(DOCUMENT_PREFIX)).entries).toEqual([]);
    });

    it('is what commands have made of it, for everybody', async () => {
      const { store, another } = await open();
      const follower = await followed(await another());
      expect(follower.isKnown).toBe(true);
      const after = await change(
        store,
        ...[storage(), mkdir('/a/b', { parents: true }), link('/a/web'), mkdir('/c'), set('/a', { uid: 7 })],
        ...[mv('/a', '/c/a'), rmdir('/c/a/b')],
      );
      expect(after.revision).toBe(7);
      expect(await follower.until(({ revision }) => revision === 7, LIMIT_MS)).toBe(true);
      expect(follower.view.namespace).toEqual(after);
      expect(await read(store)).toEqual(after);
      const last = await change(store, unlink('/c/a/web'), rmdir('/c/a'), rmdir('/c'));
      expect(await follower.until(({ revision }) => revision === 10, LIMIT_MS)).toBe(true);
      expect(follower.view.namespace).toEqual(last);
      expect(documentOf(last).folders.map(({ path }) => path)).toEqual(['/']);
    });

    it('is told change by change, and what does not change is the same object', async () => {
      const { store, another } = await open();
      await change(store, storage(), mkdir('/a'), link('/a/x'), mkdir('/b'));
      const follower = await followed(await another());
      const seen: number[] = [];
      follower.view.onChange(({ revision }) => seen.push(revision));
      const [a, x] = [follower.view.at('/a'), follower.view.at('/a/x')];
      await change(store, mkdir('/b/c'), mkdir('/b/d'), rmdir('/b/c'));
      await follower.until(({ revision }) => revision === 7, LIMIT_MS);
      expect(seen).toEqual([5, 6, 7]);
      expect(follower.view.at('/a')).toBe(a);
      expect(follower.view.at('/a/x')).toBe(x);
    });

    it('is not changed by a dry run, nor by what comes to nothing', async () => {
      const { store } = await open();
      await change(store, mkdir('/a'));
      const { entries } = await store.list(DOCUMENT_PREFIX);
      const { before, after } = await commitNamespace(store, plan(mkdir('/b')), { dryRun: true });
      expect([before.revision, after.revision]).toEqual([1, 2]);
      expect((await commitNamespace(store, plan(mkdir('/a', { parents: true })))).after.revision).toBe(1);
      await expect(commitNamespace(store, plan(mkdir('/a')))).rejects.toMatchObject({ code: 'conflict' });
      expect((await store.list(DOCUMENT_PREFIX)).entries).toEqual(entries);
    });

    it('has every change of several nodes at once', async () => {
      const { store, another } = await open();
      const nodes = [store, await another(), await another()];
      await Promise.all(
        nodes.map(async (node, index) => {
          for (let count = 0; count < 4; count++) await change(node, mkdir(`/n${index}-${count}`));
        }),
      );
      const namespace = await read(store);
      expect(namespace.revision).toBe(12);
      expect(new Set([...namespace.entries.keys()]).size).toBe(13);
    });

    it('takes one of two changes that contradict each other', async () => {
      const { store, another } = await open();
      await change(store, mkdir('/a'), mkdir('/b'));
      const other = await another();
      const outcomes = await Promise.allSettled([
        change(store, mv('/a', '/b/a')),
        change(other, mv('/b', '/a/b')),
      ]);
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
        reason: { code: 'not_found' },
      });
    });

    it('remembers each change with who made it, and does what has an id once', async () => {
      const { store, another } = await open();
      const author = (id: string) => ({ id, atMs: NOW_MS, node: 'n1', by: 'root', what: `mkdir /${id}` });
      await change(store, mkdir('/without'));
      const first = await commitNamespace(store, plan(mkdir('/a')), { author: author('a') });
      await commitNamespace(store, plan(mkdir('/b')), { author: author('b/é') });
      const again = await commitNamespace(await another(), plan(mkdir('/a')), { author: author('a') });
      expect(again.after).toBe(again.before);
      expect(again.after.revision).toBe(3);
      expect(await revisionOf(store, 'a')).toBe(2);
      expect(await revisionOf(store, 'none')).toBeUndefined();
      const records = await readHistory(store);
      expect([...records.values()].map(({ revision, what }) => [revision, what])).toEqual([
        [2, 'mkdir /a'],
        [3, 'mkdir /b/é'],
      ]);
      expect(namespaceAt(again.after, records, 1)).toEqual(first.before);
      const at = { author: author('c'), dryRun: true };
      await commitNamespace(store, plan(mkdir('/c')), at);
      expect((await readHistory(store)).size).toBe(2);
    });

    it('does what is asked for at two nodes at once with one id once', async () => {
      const { store, another } = await open();
      const author = { id: 'x', atMs: NOW_MS, node: 'n1', by: 'root', what: 'mkdir' };
      const both = [store, await another()].map((it) => commitNamespace(it, plan(mkdir('/x')), { author }));
      expect((await Promise.all(both)).map(({ after }) => after.revision)).toEqual([1, 1]);
      expect((await read(store)).revision).toBe(1);
    });

    it('gives up where others are always first', async () => {
      const { store, another } = await open();
      const other = await another();
      let count = 0;
      const late: Pick<Store, 'get' | 'list' | 'txn'> = {
        get: (key) => store.get(key),
        list: (prefix) => store.list(prefix),
        txn: async (...what) => {
          await change(other, mkdir(`/${count++}`));
          return await store.txn(...what);
        },
      };
      await expect(commitNamespace(late, plan(mkdir('/late')))).rejects.toMatchObject({
        code: 'conflict',
        message: `other changes of the namespace came first, ${NAMESPACE_COMMIT_ATTEMPTS_MAX} times in turn`,
      });
      expect(count).toBe(NAMESPACE_COMMIT_ATTEMPTS_MAX);
    });

    const put = (store: Store, key: string, value: string) => store.txn([], [{ put: key, value }]);

    it.each([
      ['no JSON', 'x', 'internal', `${NAMESPACE_HEAD_KEY} in the store is damaged`, /./],
      [
        'a newer format',
        JSON.stringify({ format: 2, revision: 9, nextId: 9, nextStorageId: 1, storages: [] }),
        'unsupported',
        `a newer Holdfast wrote ${NAMESPACE_HEAD_KEY} in the store`,
        /it is of format 2/,
      ],
      [
        'a field that is not known',
        JSON.stringify({ format: 1, revision: 9, nextId: 9, nextStorageId: 1, storages: [], more: 1 }),
        'unsupported',
        `a newer Holdfast wrote ${NAMESPACE_HEAD_KEY} in the store`,
        /it has more/,
      ],
      [
        'an id that was given',
        JSON.stringify({ format: 1, revision: 9, nextId: 2, nextStorageId: 1, storages: [] }),
        'internal',
        `${NAMESPACE_HEAD_KEY} in the store is damaged`,
        /id that is not given yet/,
      ],
    ])(
      'with %s keeps the last good one, says so, and is not changed',
      async (_, value, code, message, reason) => {
        const { store, another } = await open();
        const good = await change(store, mkdir('/a'), mkdir('/b'));
        const follower = await followed(await another());
        const told = Promise.withResolvers<unknown>();
        follower.onConnection((problem) => problem !== undefined && told.resolve(problem));
        const { value: kept } = (await store.get(NAMESPACE_HEAD_KEY))!;
        await put(store, NAMESPACE_HEAD_KEY, value);
        expect(await told.promise).toMatchObject({ code, message, reason: expect.stringMatching(reason) });
        expect(follower.view.namespace).toEqual(good);
        await expect(commitNamespace(store, plan(mkdir('/c')))).rejects.toMatchObject({ code });
        // Somebody puts it right.
        await put(store, NAMESPACE_HEAD_KEY, kept);
        await change(store, mkdir('/c'));
        expect(await follower.until(({ revision }) => revision === 3, LIMIT_MS)).toBe(true);
        expect(follower.problem).toBeUndefined();
      },
    );

    it('with a damaged part names it', async () => {
      const { store } = await open();
      await change(store, mkdir('/a'));
      const { entries } = await store.list(`${DOCUMENT_PREFIX}parts/`);
      await put(store, entries[0]!.key, 'AAAA');
      await expect(read(store)).rejects.toMatchObject({
        code: 'internal',
        message: `${entries[0]!.key} in the store is damaged`,
      });
      await put(store, entries[0]!.key, entries[1]!.value);
      await expect(read(store)).rejects.toMatchObject({ reason: expect.stringMatching(/^it has entry/) });
    });

    it('that is lost is told, kept, and put back whole by a document, with its ids', async () => {
      const { store, another } = await open();
      const good = await change(store, storage(), mkdir('/gone'), rmdir('/gone'), mkdir('/a'), link('/a/x'));
      const follower = await followed(await another());
      const told = Promise.withResolvers<unknown>();
      follower.onConnection((problem) => problem !== undefined && told.resolve(problem));
      const { entries } = await store.list(DOCUMENT_PREFIX);
      await store.txn(
        [],
        entries.map(({ key }) => ({ delete: key })),
      );
      expect(await told.promise).toMatchObject({
        code: 'unavailable',
        message: 'the store has lost the namespace',
      });
      expect(follower.view.namespace).toEqual(good);
      const known = follower.view.namespace;
      await expect(commitNamespace(store, plan(mkdir('/b')), { known })).rejects.toMatchObject({
        message: 'the store has lost the namespace',
      });
      const whole = (it: Namespace) => apply(it, { op: 'import', document: documentOf(good) }, NOW_MS);
      const { after } = await commitNamespace(store, whole, { known, isWhole: true });
      expect(after).toEqual({ ...good, revision: good.revision + 1 });
      expect(await follower.until(({ revision }) => revision === after.revision, LIMIT_MS)).toBe(true);
      expect(await read(store)).toEqual(after);
    });

    it('takes a document of thousands of links at once, and writes little for one change after it', async () => {
      const { store } = await open();
      const clients = [{ address: '192.0.2.0/24', access: 'rw', squash: 'root' }] as const;
      const links = Array.from({ length: 20_000 }, (_, index) => ({
        ...link(`/teams/t${index % 200}/project-${index}`, {
          target: `teams/t${index % 200}/project-${index}`,
          clients: [...clients],
        }),
      })).map(({ op: _, ...it }) => it as never);
      const document = { storages: [{ name: 'data' }], folders: [], links };
      const { after } = await commitNamespace(store, (it) => apply(it, { op: 'import', document }, NOW_MS));
      expect(after.entries.size).toBe(20_202);
      const before = (await store.list(DOCUMENT_PREFIX)).entries;
      await change(store, set('/teams/t7/project-7', { readOnly: true }));
      const now = (await store.list(DOCUMENT_PREFIX)).entries;
      expect(
        now.filter(({ key, value }) => !before.some((it) => it.key === key && it.value === value)),
      ).toHaveLength(2);
      expect(entryAt(await read(store), '/teams/t7/project-7')).toMatchObject({ readOnly: true });
    });
  });
}
