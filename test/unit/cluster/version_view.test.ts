import { expect, it, onTestFinished } from 'vitest';
import { commitEdits } from '../../../control/cluster/commit.ts';
import { blobKey, HEAD_KEY } from '../../../control/cluster/keys.ts';
import { LEADER_SETTINGS_DEFAULT } from '../../../control/cluster/leader/inputs.ts';
import { LeaderDriver } from '../../../control/cluster/leader_driver.ts';
import { decodeHead } from '../../../control/cluster/version_layout.ts';
import { VersionView } from '../../../control/cluster/version_view.ts';
import { planEdits } from '../../../control/pool/edits.ts';
import { newStore } from './support.ts';

it('a version is one transaction, and who follows it need not ask for its parts', async () => {
  const { store } = await newStore();
  const asked: string[] = [];
  const view = new VersionView({
    get: (key) => {
      asked.push(key);
      return store.get(key);
    },
    list: (prefix) => store.list(prefix),
    watch: (prefix, from, signal) => store.watch(prefix, from, signal),
  });
  onTestFinished(() => view.close());
  await view.start();
  const leader = new LeaderDriver({
    store,
    name: 'n1',
    settings: LEADER_SETTINGS_DEFAULT,
    keyAgeMs: 86_400_000,
    nowMs: () => performance.now(),
    log: () => undefined,
  });
  onTestFinished(() => leader.close());
  leader.start();
  const read = Promise.withResolvers<void>();
  view.onChange(({ objects }) => objects.pools.has('web') && read.resolve());
  await commitEdits(store, (state) =>
    planEdits(state, [{ kind: 'putPool', pool: { name: 'web', slots: 97 } }], { force: false }),
  );
  await read.promise;
  expect(asked).toEqual([]);
  const entry = (await store.get(HEAD_KEY))!;
  const { objects, index } = decodeHead(entry);
  const parts = await Promise.all([objects, index].map((digest) => store.get(blobKey(digest))));
  expect(parts.map((it) => it?.modRevision)).toEqual([entry.modRevision, entry.modRevision]);
});
