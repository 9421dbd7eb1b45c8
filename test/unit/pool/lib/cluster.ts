// Owns small clusters for tests: objects with defaults, plans carried out, and what a state must be like at any time.
import { expect } from 'vitest';
import type { ClusterState, Edit, EditPlan } from '../../../../control/config/cluster_state.ts';
import { EMPTY_STATE } from '../../../../control/config/cluster_state.ts';
import type { Backend, Pool, Service } from '../../../../control/config/objects.ts';
import { planEdits } from '../../../../control/pool/edits.ts';

export const SLOTS = 97;

export const service = (name: string, fields: Partial<Service> = {}): Service => ({
  name,
  addresses: ['198.51.100.1'],
  protocol: 'tcp',
  port: 80,
  pool: 'web',
  ...fields,
});

export const pool = (name: string, slots = SLOTS): Pool => ({ name, slots });

/** `id` is `pool/name`. */
export const backend = (id: string, fields: Partial<Backend> = {}): Backend => {
  const [poolName, name] = id.split('/') as [string, string];
  return { pool: poolName, name, address: '192.0.2.1', weight: 100, encap: 'ip', ...fields };
};

export const putService = (it: Service, expect?: 'absent' | 'present'): Edit => ({
  kind: 'putService',
  service: it,
  ...(expect && { expect }),
});
export const putPool = (it: Pool, expect?: 'absent' | 'present'): Edit => ({
  kind: 'putPool',
  pool: it,
  ...(expect && { expect }),
});
export const putBackend = (it: Backend, expect?: 'absent' | 'present'): Edit => ({
  kind: 'putBackend',
  backend: it,
  ...(expect && { expect }),
});
export const deleteBackend = (id: string): Edit => {
  const [poolName, name] = id.split('/') as [string, string];
  return { kind: 'deleteBackend', pool: poolName, name };
};
export const deletePool = (name: string): Edit => ({ kind: 'deletePool', name });
export const deleteService = (name: string): Edit => ({ kind: 'deleteService', name });

export function plan(state: ClusterState, ...edits: Edit[]): EditPlan {
  return planEdits(state, edits, { force: false });
}

/** What the store has after the plan. */
export function committed({ after }: EditPlan): ClusterState {
  return { ...after, revision: after.revision + 1 };
}

export function change(state: ClusterState, ...edits: Edit[]): ClusterState {
  return committed(plan(state, ...edits));
}

/** Pool `web` with backends b1, b2 … of 192.0.2.1, .2 …, and service `www`. */
/** Once the leader has taken off what was removed. */
export const forgotten = (state: ClusterState): ClusterState => ({ ...state, retired: EMPTY_STATE.retired });

export function cluster(backends = 3): ClusterState {
  return change(
    EMPTY_STATE,
    putPool(pool('web')),
    ...Array.from({ length: backends }, (_, at) =>
      putBackend(backend(`web/b${at + 1}`, { address: `192.0.2.${at + 1}` })),
    ),
    putService(service('www')),
  );
}

export function indexOf(state: ClusterState, id: string): number {
  return state.backends.get(id)!.index;
}

export function slotsOf(state: ClusterState, id: string): number[] {
  const { index, pool: poolName } = state.backends.get(id)!;
  const { slots } = state.tables.get(poolName)!;
  return [...slots.keys()].filter((slot) => slots[slot] === index);
}

/** What holds of every state that planEdits() makes. */
export function expectConsistent(state: ClusterState): void {
  const backends = [...state.backends.values()];
  const ids = [...state.pools.values()].map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id >= 1 && id <= 65_535).toBe(true);
  expect(new Set(backends.map(({ index }) => index)).size).toBe(backends.length);
  for (const { index } of backends) expect(index >= 1 && index <= 4_095).toBe(true);
  expect([...state.tables.keys()].sort()).toEqual([...state.pools.keys()].sort());
  for (const it of [...backends, ...state.services.values()]) expect(state.pools.has(it.pool)).toBe(true);
  for (const [key, it] of state.backends) expect(key).toBe(`${it.pool}/${it.name}`);
  for (const [name, { slots }] of state.tables) expectTable(state, name, slots);
}

function expectTable(state: ClusterState, name: string, slots: Uint16Array): void {
  expect(slots.length).toBe(state.pools.get(name)!.slots);
  const members = [...state.backends.values()].filter((it) => it.pool === name);
  const total = members.reduce((sum, { weight }) => sum + weight, 0);
  const counts = new Map<number, number>();
  for (const index of slots) counts.set(index, (counts.get(index) ?? 0) + 1);
  for (const { index, weight } of members) {
    const ideal = total === 0 ? 0 : (slots.length * weight) / total;
    expect(Math.abs((counts.get(index) ?? 0) - ideal)).toBeLessThan(1);
    counts.delete(index);
  }
  expect([...counts.keys()]).toEqual(total === 0 ? [0] : []);
}
