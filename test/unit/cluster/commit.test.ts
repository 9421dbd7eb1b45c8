// Edits become the cluster's state whole, one after the other, however many write at once.
import { describe, expect, it } from 'vitest';
import { COMMIT_ATTEMPTS_MAX, commitEdits } from '../../../control/cluster/commit.ts';
import { hashSecret, registerNode } from '../../../control/cluster/registry.ts';
import { Failure } from '../../../control/lib/failure.ts';
import type { Store } from '../../../control/store/contract.ts';
import { newStore, noPool, planned, pool, readState, service } from './support.ts';

describe('edits of the cluster', () => {
  it('are planned against the newest state and tell the revision that has them', async () => {
    const { store, another } = await newStore();
    const first = await commitEdits(store, planned(pool('web', 2), service('www', 'web')));
    expect(first.revision).toBe(2);
    const seen: (readonly string[])[] = [];
    const second = await commitEdits(await another(), (state) => {
      seen.push([...state.services.keys()]);
      return planned(service('api', 'web', { port: 81 }))(state);
    });
    expect(seen).toEqual([['www']]);
    const state = await readState(store);
    expect([...state.services.keys()]).toEqual(['www', 'api']);
    expect(state.revision).toBe(second.revision);
    expect(second.plan.after.services.size).toBe(2);
  });

  it('are not written on a dry run, nor where they change nothing; the revision is the last change’s', async () => {
    const { store } = await newStore();
    expect(await commitEdits(store, planned())).toMatchObject({ revision: 1 });
    await commitEdits(store, planned(pool('web', 2)));
    await store.txn([], [{ put: 'elsewhere', value: '' }]);
    const dry = await commitEdits(store, planned(noPool('web')), { dryRun: true });
    expect(dry.revision).toBe(2);
    expect(dry.plan.after.pools.size).toBe(0);
    expect((await commitEdits(store, planned(pool('web', 2)))).revision).toBe(2);
    expect(await readState(store)).toMatchObject({ revision: 3, pools: { size: 1 } });
  });

  it('all come about when several daemons write at once', async () => {
    const { store, another } = await newStore();
    const daemons = [store, await another(), await another(), await another()];
    await commitEdits(store, planned(pool('web', 2)));
    await Promise.all(
      daemons.map(async (daemon, index) => {
        for (let count = 0; count < 5; count++) {
          await commitEdits(daemon, planned(service(`s-${index}-${count}`, 'web')));
        }
      }),
    );
    const state = await readState(store);
    expect(state.services.size).toBe(20);
    expect(new Set([...state.services.values()].map((it) => it.modRevision)).size).toBe(20);
  });

  it('lose to a change that comes between, and are planned again', async () => {
    const { store, another } = await newStore();
    const other = await another();
    let plans = 0;
    const late = racing(store, async () => {
      if (plans === 1) await commitEdits(other, planned(pool('web', 1)));
    });
    const { revision } = await commitEdits(late, (state) => {
      plans++;
      return planned(state.pools.has('web') ? service('www', 'web') : pool('mail', 1))(state);
    });
    expect(plans).toBe(2);
    expect(revision).toBe(3);
    expect([...(await readState(store)).pools.keys()]).toEqual(['web']);
  });

  it('give up where others are always first', async () => {
    const { store, another } = await newStore();
    const other = await another();
    let count = 0;
    const late = racing(store, () => commitEdits(other, planned(pool('web', 1, ++count))));
    await expect(commitEdits(late, planned(pool('mail', 1)))).rejects.toMatchObject({
      code: 'conflict',
      message: `other changes of the cluster came first, ${COMMIT_ATTEMPTS_MAX} times in turn`,
    });
    expect(count).toBe(COMMIT_ATTEMPTS_MAX);
  });

  it('end with what the plan throws', async () => {
    const { store } = await newStore();
    const refuse = () => {
      throw new Failure('not_found', 'there is no pool web');
    };
    await expect(commitEdits(store, refuse)).rejects.toMatchObject({ code: 'not_found' });
    expect((await store.list('')).revision).toBe(1);
  });

  it('are not written where a bug made them such that nobody could read them', async () => {
    const { store } = await newStore();
    await expect(commitEdits(store, planned(service('www', 'nowhere')))).rejects.toMatchObject({
      code: 'internal',
      message: 'the change was not written: what comes of it cannot be read back',
      reason: 'service www names pool nowhere, which does not exist',
    });
    await expect(commitEdits(store, planned(service('www', 'web', { port: 99_999 })))).rejects.toMatchObject({
      code: 'internal',
    });
    expect((await store.list('')).revision).toBe(1);
  });

  it('say that the store is away', async () => {
    const { store } = await newStore();
    await store.close();
    await expect(commitEdits(store, planned(pool('web', 1)))).rejects.toMatchObject({ code: 'unavailable' });
  });

  /** A store where something happens just before each transaction. */
  function racing(store: Store, before: () => Promise<unknown>): Pick<Store, 'list' | 'txn'> {
    return {
      list: (prefix) => store.list(prefix),
      async txn(comparisons, operations) {
        await before();
        return store.txn(comparisons, operations);
      },
    };
  }
});

describe('nodes of the cluster', () => {
  const node = {
    name: 'mux1',
    roles: ['mux'],
    tunnelSources: ['198.51.100.0/24'],
    version: '0.1.0',
  } as const;

  it('are known once they have registered, and again only where something changed', async () => {
    const { store } = await newStore();
    await registerNode(store, node);
    await registerNode(store, node);
    const state = await readState(store);
    expect(state.revision).toBe(2);
    expect(state.nodes.get('mux1')).toEqual({ ...node, modRevision: 2 });
    await registerNode(store, { ...node, version: '0.2.0' });
    expect((await readState(store)).nodes.get('mux1')).toMatchObject({ version: '0.2.0', modRevision: 3 });
  });

  it('have one secret, whoever comes first', async () => {
    const { store, another } = await newStore();
    const all = await Promise.all(
      [store, await another(), await another(), store].map((it) => hashSecret(it)),
    );
    expect(all[0]).toHaveLength(32);
    for (const secret of all) expect(secret).toEqual(all[0]);
    expect(await hashSecret(await another())).toEqual(all[0]);
    expect(new Set(all[0]).size).toBeGreaterThan(8);
    const elsewhere = await newStore();
    expect(await hashSecret(elsewhere.store)).not.toEqual(all[0]);
  });

  it('refuse a secret that is none', async () => {
    const { store } = await newStore();
    for (const value of ['', 'AAAA', 'x'.repeat(44), `${'A'.repeat(43)}=\n`]) {
      await store.txn([], [{ put: 'cluster/secrets/hash', value }]);
      await expect(hashSecret(store)).rejects.toMatchObject({
        code: 'internal',
        message: 'cluster/secrets/hash in the store is damaged',
      });
    }
  });
});
