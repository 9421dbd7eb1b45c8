// Owns the objects of the next version: the intent's, and what was removed from it and still serves. Pure.
import type { StoredBackend } from '../../config/cluster_state.ts';
import { idleTimeoutOf } from '../../config/objects.ts';
import { type Placement, retiredKey, type Version } from '../version.ts';
import type { Intent } from './inputs.ts';

/** Words that a reason lists before it only counts. */
const REASONS_MAX = 3;

/** Whether flows on a backend are given up: the intent says so of it, or of what is left of it. */
export function deadIn({
  backends,
  retired,
}: Pick<Intent['state'], 'backends' | 'retired'>): (backend: number) => boolean {
  const dead = new Set(
    [...backends.values(), ...retired.backends]
      .filter(({ isDead }) => isDead === true)
      .map(({ index }) => index),
  );
  return dead.size === 0 ? () => false : (backend) => dead.has(backend);
}

/** The longest of the services of each pool that has any; names of pools. */
export function idleTimeouts({
  services,
  pools,
}: Pick<Version['objects'], 'services' | 'pools'>): Map<string, number> {
  const longest = new Map<string, number>();
  for (const service of services.values()) {
    if (!pools.has(service.pool)) continue;
    longest.set(service.pool, Math.max(longest.get(service.pool) ?? 0, idleTimeoutOf(service)));
  }
  return longest;
}

export type NextObjects = Pick<Version, 'objects' | 'unnamedSince'>;

export function nextObjects(
  { state, revision }: Intent,
  placements: ReadonlyMap<number, Placement>,
  head: Version | undefined,
  number: number,
): NextObjects {
  const poolIds = new Map([...state.pools.values()].map(({ name, id }) => [name, id]));
  const named = new Named(placements);
  const backends = new Map<string, StoredBackend>();
  for (const [key, backend] of state.backends) {
    if (backend.isDead !== true || named.has(poolIds.get(backend.pool), backend.index))
      backends.set(key, backend);
  }
  const served = new Set([...(head?.objects.backends.values() ?? [])].map(({ index }) => index));
  const unnamedSince = new Map<number, number>();
  for (const backend of state.retired.backends) {
    // No version had it: it went before one was made.
    if (!served.has(backend.index)) continue;
    const poolId = poolIds.get(backend.pool);
    const placement = poolId === undefined ? undefined : placements.get(poolId);
    if (placement === undefined) continue;
    if (!named.has(poolId, backend.index)) {
      const since = head?.unnamedSince.get(backend.index) ?? number;
      const mayHaveFlows =
        backend.isDead !== true && placement.periods.some(({ trackEpoch }) => trackEpoch < since);
      if (!mayHaveFlows) continue;
      unnamedSince.set(backend.index, since);
    }
    backends.set(retiredKey(backend), backend);
  }
  const { services, pools } = state;
  return { objects: { revision, services, pools, backends }, unnamedSince };
}

/** Which backends slots name, by pool; looked up only where somebody asks. */
class Named {
  readonly #placements: ReadonlyMap<number, Placement>;
  readonly #named = new Map<number, Uint8Array>();

  constructor(placements: ReadonlyMap<number, Placement>) {
    this.#placements = placements;
  }

  has(poolId: number | undefined, backend: number): boolean {
    if (poolId === undefined) return false;
    let named = this.#named.get(poolId);
    if (named === undefined) {
      named = new Uint8Array(0x10000);
      const placement = this.#placements.get(poolId);
      for (const index of placement?.current ?? []) named[index] = 1;
      for (const index of placement?.base ?? []) named[index] = 1;
      this.#named.set(poolId, named);
    }
    return named[backend] === 1;
  }
}

/** What the intent does to a pool that the head does not have yet, in words. */
export function reasonOf(pool: string, { state }: Intent, head: Version): string {
  const before = new Map(
    [...head.objects.backends].filter(([key, it]) => it.pool === pool && !key.includes('~')),
  );
  const words: string[] = [];
  for (const [key, backend] of state.backends) {
    if (backend.pool !== pool) continue;
    const old = before.get(key);
    before.delete(key);
    // A dead one is not in the version any more once it has no slots.
    if (old === undefined && backend.isDead === true) continue;
    if (old === undefined) words.push(`${key} is added`);
    else if (old.index !== backend.index) words.push(`${key} has another address`);
    else if (old.isDead !== backend.isDead && backend.isDead === true) words.push(`${key} is dead`);
    else if (old.isDead !== backend.isDead) words.push(`${key} is back`);
    else if (old.observed?.isLeaving !== backend.observed?.isLeaving)
      words.push(`${key} ${backend.observed?.isLeaving === true ? 'is to leave' : 'stays'}`);
    else if (old.observed?.rampStep !== backend.observed?.rampStep)
      words.push(`${key} takes its share step by step`);
    else if (old.weight !== backend.weight)
      words.push(`${key} has weight ${backend.weight}, not ${old.weight}`);
  }
  for (const key of before.keys()) words.push(`${key} is removed`);
  const shown = words.slice(0, REASONS_MAX);
  if (words.length > shown.length) shown.push(`${words.length - shown.length} more`);
  return shown.join(', ') || 'slots are shared anew';
}
