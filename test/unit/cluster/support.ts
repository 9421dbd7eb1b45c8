// Owns what tests of the cluster in the store share: states that stand for what control/pool plans.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { newPlacement } from '../../../control/cluster/leader/placement.ts';
import type { Version } from '../../../control/cluster/version.ts';
import { readSnapshot } from '../../../control/cluster/view.ts';
import type {
  ClusterState,
  EditPlan,
  StoredBackend,
  StoredPool,
} from '../../../control/config/cluster_state.ts';
import type { Service } from '../../../control/config/objects.ts';
import { hostClock } from '../../../control/io/host_clock.ts';
import { assignSlots } from '../../../control/pool/assignment.ts';
import type { Store } from '../../../control/store/contract.ts';
import { openStore } from '../../../control/store/open.ts';

export type Opened = { store: Store; another(): Promise<Store> };

/** A new store, and more instances on it; gone when the test ends. */
export async function newStore(): Promise<Opened> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-cluster-'));
  const stores: Store[] = [];
  onTestFinished(async () => {
    for (const store of stores) await store.close();
    rmSync(directory, { recursive: true });
  });
  const another = async (): Promise<Store> => {
    const store = await openStore(`sqlite=${directory}/store.db`, { clock: hostClock() });
    stores.push(store);
    return store;
  };
  return { store: await another(), another };
}

/** What a plan makes of a state. */
export type Step = (state: ClusterState) => ClusterState;

export const planned =
  (...steps: Step[]) =>
  (state: ClusterState): EditPlan => ({
    changes: [],
    moved: [],
    after: steps.reduce((so_far, step) => step(so_far), state),
  });

const free = (used: Iterable<number>): number => {
  const taken = new Set(used);
  for (let number = 1; ; number++) if (!taken.has(number)) return number;
};

const put = <T>(map: ReadonlyMap<string, T>, name: string, value: T): ReadonlyMap<string, T> =>
  new Map(map).set(name, value);

const without = <T>(map: ReadonlyMap<string, T>, name: string): ReadonlyMap<string, T> => {
  const next = new Map(map);
  next.delete(name);
  return next;
};

export const service =
  (name: string, pool: string, more: Partial<Service> = {}): Step =>
  (state) => ({
    ...state,
    services: put(state.services, name, {
      name,
      pool,
      addresses: ['203.0.113.1'],
      protocol: 'tcp',
      port: 80,
      ...more,
      modRevision: 0,
    }),
  });

/** A pool with backends b0, b1, …, each with as many slots. */
export const pool =
  (name: string, backends: number, slots = 16): Step =>
  (state) => {
    const id = state.pools.get(name)?.id ?? free([...state.pools.values()].map((it) => it.id));
    const made: StoredPool = { name, slots, id, modRevision: 0 };
    const others = [...state.backends].filter(([, it]) => it.pool !== name);
    const used = new Set(others.map(([, it]) => it.index));
    const members: [string, StoredBackend][] = [];
    for (let count = 0, index = 1; count < backends; index++) {
      if (used.has(index)) continue;
      const backend = {
        pool: name,
        name: `b${count}`,
        address: `2001:db8:${id.toString(16)}::${count.toString(16)}`,
        weight: 100,
        encap: 'ip' as const,
        index,
        generation: 1,
        modRevision: 0,
      };
      members.push([`${name}/b${count}`, backend]);
      count++;
    }
    const indexes = members.map(([, it]) => it.index);
    return {
      ...state,
      pools: put(state.pools, name, made),
      backends: new Map([...others, ...members]),
      tables: put(state.tables, name, {
        slots: assignSlots(new Uint16Array(slots), new Map(indexes.map((it) => [it, 1]))),
        modRevision: 0,
      }),
    };
  };

export const noPool =
  (name: string): Step =>
  (state) => ({
    ...state,
    pools: without(state.pools, name),
    tables: without(state.tables, name),
    backends: new Map([...state.backends].filter(([, it]) => it.pool !== name)),
  });

export const noService =
  (name: string): Step =>
  (state) => ({ ...state, services: without(state.services, name) });

/** Without what only the store knows: for comparison with what was planned. */
export function plain(state: ClusterState): unknown {
  const bare = (map: ReadonlyMap<string, object>): unknown =>
    Object.fromEntries([...map].map(([name, it]) => [name, { ...it, modRevision: 0 }]).sort());
  const { services, pools, backends, tables, nodes } = state;
  return [services, pools, backends, tables, nodes].map(bare);
}

export async function readState(store: Pick<Store, 'list'>): Promise<ClusterState> {
  return (await readSnapshot(store)).state;
}

/** All of a state as users edit it, with no slot tracked. */
export function cleanVersion({ revision, services, pools, backends, tables }: ClusterState): Version {
  return {
    number: 0,
    cluster: '',
    digest: '',
    leaderEpoch: 0,
    members: [],
    gone: [],
    objects: { revision, services, pools, backends },
    unnamedSince: new Map(),
    placements: new Map(
      [...pools.values()].map(({ name, id }) => [id, newPlacement(id, tables.get(name)!.slots)]),
    ),
  };
}
