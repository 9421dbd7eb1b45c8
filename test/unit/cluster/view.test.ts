// A daemon's view of the cluster: what it sees, in which order, and what it keeps while the store is away.
import { describe, expect, it, onTestFinished } from 'vitest';
import { commitEdits } from '../../../control/cluster/commit.ts';
import { registerNode } from '../../../control/cluster/registry.ts';
import { ClusterView } from '../../../control/cluster/view.ts';
import { type ClusterState, EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import { Failure } from '../../../control/lib/failure.ts';
import type { Store } from '../../../control/store/contract.ts';
import { newStore, noService, plain, planned, pool, service } from './support.ts';

/** A store that can be taken away, and a count of how often it was asked. */
class Wire {
  readonly store: Pick<Store, 'list' | 'watch'>;
  lists = 0;
  #away: AbortController | undefined;
  #cuts = new Set<AbortController>();

  constructor(store: Store) {
    const wire = this;
    this.store = {
      async list(prefix) {
        wire.lists++;
        if (wire.#away) throw new Failure('unavailable', 'the store is away');
        return store.list(prefix);
      },
      async *watch(prefix, from, signal) {
        const cut = new AbortController();
        wire.#cuts.add(cut);
        yield* store.watch(prefix, from, AbortSignal.any([cut.signal, ...(signal ? [signal] : [])]));
        if (cut.signal.aborted) throw new Failure('unavailable', 'the store went away');
      },
    };
  }

  cut(): void {
    this.#away = new AbortController();
    for (const each of this.#cuts) each.abort();
    this.#cuts.clear();
  }

  join(): void {
    this.#away = undefined;
  }
}

function viewOf(store: Pick<Store, 'list' | 'watch'>): {
  view: ClusterView;
  seen: [ClusterState, ClusterState][];
} {
  const view = new ClusterView(store);
  const seen: [ClusterState, ClusterState][] = [];
  view.onChange((state, before) => seen.push([state, before]));
  onTestFinished(() => view.close());
  return { view, seen };
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe('a view of the cluster', () => {
  it('begins with what there is', async () => {
    const { store } = await newStore();
    await commitEdits(store, planned(pool('web', 2), service('www', 'web')));
    const { view, seen } = viewOf(store);
    expect(view.state).toBe(EMPTY_STATE);
    expect(view.connected).toBe(false);
    await view.start();
    expect(view.connected).toBe(true);
    expect(view.state.revision).toBe(2);
    expect([...view.state.services.keys()]).toEqual(['www']);
    expect(seen).toEqual([[view.state, EMPTY_STATE]]);
  });

  it('tells an empty cluster from one that was not read yet', async () => {
    const { view } = viewOf((await newStore()).store);
    expect(view.state.revision).toBe(0);
    await view.start();
    expect(view.state.revision).toBe(1);
  });

  it('sees each change of others once, in order, and keeps what did not change', async () => {
    const { store, another } = await newStore();
    await commitEdits(store, planned(pool('web', 2), pool('mail', 2)));
    const { view, seen } = viewOf(await another());
    await view.start();
    const before = view.state;
    await commitEdits(store, planned(service('www', 'web')));
    await commitEdits(store, planned(pool('mail', 3)));
    await registerNode(store, { name: 'mux1', roles: ['mux'], tunnelSources: [], version: '1' });
    await store.txn([], [{ put: 'elsewhere', value: '' }]);
    const { revision } = await commitEdits(store, planned(noService('www')));
    await until(() => view.state.revision === revision);
    expect(seen.slice(1).map(([state]) => state.revision)).toEqual([3, 4, 5, 7]);
    for (const [index, [, previous]] of seen.entries()) {
      expect(previous).toBe(index === 0 ? EMPTY_STATE : seen[index - 1]![0]);
    }
    expect(view.state.tables.get('web')).toBe(before.tables.get('web'));
    expect(view.state.tables.get('mail')).not.toBe(before.tables.get('mail'));
    expect(view.state.nodes.size).toBe(1);
  });

  it('keeps the last state while the store is away, says so, and catches up', async () => {
    const { store } = await newStore();
    await commitEdits(store, planned(pool('web', 2)));
    const wire = new Wire(store);
    const { view, seen } = viewOf(wire.store);
    const connection: (string | undefined)[] = [];
    view.onConnection((problem) => connection.push(problem?.message));
    await view.start();
    wire.cut();
    await until(() => !view.connected);
    expect(view.problem).toMatchObject({ code: 'unavailable', message: 'the store went away' });
    await commitEdits(store, planned(service('www', 'web')));
    await commitEdits(store, planned(pool('web', 3)));
    const kept = view.state;
    const lists = wire.lists;
    await until(() => wire.lists > lists + 1);
    expect(view.state).toBe(kept);
    wire.join();
    await until(() => view.connected);
    expect(view.problem).toBeUndefined();
    expect(view.state.services.size).toBe(1);
    expect(view.state.pools.get('web')).toBe(kept.pools.get('web'));
    expect(seen.map(([state]) => state.revision)).toEqual([2, 4]);
    expect(connection).toEqual([undefined, 'the store went away', 'the store is away', undefined]);
  });

  it('calls nobody where nothing changed while the store was away', async () => {
    const wire = new Wire((await newStore()).store);
    const { view, seen } = viewOf(wire.store);
    await view.start();
    wire.cut();
    await until(() => !view.connected);
    wire.join();
    await until(() => view.connected);
    expect(seen).toHaveLength(1);
  });

  it('waits longer and longer for a store that is away, within bounds', async () => {
    const wire = new Wire((await newStore()).store);
    wire.cut();
    const { view } = viewOf(wire.store);
    let ready = false;
    void view.start().then(() => {
      ready = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    // Pauses of 50-100, 100-200, 200-400, 400-800 ms.
    expect(wire.lists).toBeGreaterThanOrEqual(4);
    expect(wire.lists).toBeLessThanOrEqual(5);
    expect(ready).toBe(false);
    wire.join();
    await until(() => ready);
  });

  it('lists again where what it missed is forgotten', async () => {
    const { store } = await newStore();
    const forgetful: Pick<Store, 'list' | 'watch'> = {
      async list(prefix) {
        const result = await store.list(prefix);
        // Between list and watch.
        if (result.revision < 4) {
          await commitEdits(store, planned(pool(`p${result.revision}`, 1)));
          await commitEdits(store, planned(service(`s${result.revision}`, `p${result.revision}`)));
          await store.compact((await store.list('')).revision);
        }
        return result;
      },
      watch: (...what) => store.watch(...what),
    };
    const { view } = viewOf(forgetful);
    await view.start();
    await until(() => view.state.revision === 5);
    expect([...view.state.services.keys()]).toEqual(['s1', 's3']);
    expect(view.connected).toBe(true);
  });

  it('keeps the last state where it cannot read the next, and goes on once it can', async () => {
    const { store } = await newStore();
    await commitEdits(store, planned(pool('web', 2)));
    const { value } = (await store.get('cluster/objects'))!;
    const { view, seen } = viewOf(store);
    await view.start();
    await store.txn([], [{ put: 'cluster/objects', value: 'rubbish' }]);
    await until(() => !view.connected);
    expect(view.problem).toMatchObject({
      code: 'internal',
      message: 'cluster/objects in the store is damaged',
    });
    expect(view.state.pools.size).toBe(1);
    await store.txn([], [{ put: 'cluster/objects', value }]);
    await until(() => view.connected);
    expect(seen.map(([state]) => state.revision)).toEqual([2, 4]);
    expect(plain(view.state)).toEqual(plain(seen[0]![0]));
  });

  it('keeps what it has where the store has lost everything, until somebody applies it again', async () => {
    const { store } = await newStore();
    await commitEdits(store, planned(pool('web', 2), service('www', 'web')));
    const { view, seen } = viewOf(store);
    await view.start();
    const keys = (await store.list('cluster/')).entries.map(({ key }) => key);
    await store.txn(
      [],
      keys.map((key) => ({ delete: key })),
    );
    await until(() => !view.connected);
    // It is asked again meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(view.problem).toMatchObject({ code: 'unavailable', message: 'the store has lost the cluster' });
    expect([...view.state.services.keys()]).toEqual(['www']);
    await commitEdits(store, planned(pool('web', 3)));
    await until(() => view.connected);
    expect(view.state.services.size).toBe(0);
    expect(seen).toHaveLength(2);
  });

  it('stops when it is closed, at any time', async () => {
    const { store } = await newStore();
    const { view, seen } = viewOf(store);
    await view.start();
    await view.close();
    await commitEdits(store, planned(pool('web', 1)));
    expect(view.connected).toBe(false);
    expect(seen).toHaveLength(1);
    const wire = new Wire(store);
    wire.cut();
    const { view: waiting } = viewOf(wire.store);
    const started = waiting.start();
    await until(() => wire.lists > 1);
    await waiting.close();
    await started;
    expect(waiting.state).toBe(EMPTY_STATE);
  });

  it('calls a listener no more once it was taken away', async () => {
    const { store } = await newStore();
    const { view } = viewOf(store);
    let calls = 0;
    const end = view.onChange(() => calls++);
    await view.start();
    end();
    const { revision } = await commitEdits(store, planned(pool('web', 1)));
    await until(() => view.state.revision === revision);
    expect(calls).toBe(1);
  });

  it('is not disturbed by a listener that throws, which nobody overlooks', async () => {
    const { store } = await newStore();
    const { view } = viewOf(store);
    const uncaught: unknown[] = [];
    const catcher = (error: unknown) => void uncaught.push(error);
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', catcher);
    onTestFinished(() => {
      process.off('uncaughtException', catcher);
      for (const other of others) process.on('uncaughtException', other);
    });
    view.onChange(() => {
      throw new Error('a bug');
    });
    let reached = false;
    view.onChange(() => {
      reached = true;
    });
    await view.start();
    await until(() => uncaught.length === 1);
    expect(reached).toBe(true);
    expect(view.connected).toBe(true);
  });
});
