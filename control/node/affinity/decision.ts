// Owns who answers a client by what muxes know of it, and who would if a backend left. Pure.
import type { AffinityLeaving, AffinityReport, FlowKnowledge } from '../../api/schema.ts';
import type { Version } from '../../cluster/version.ts';
import type { ClusterState } from '../../config/cluster_state.ts';
import { Failure } from '../../lib/failure.ts';
import { applyPatch, planEdits } from '../../pool/edits.ts';
import { backendNames } from '../tracking/picture.ts';
import type { ClientKey } from './client_keys.ts';

export type Decision = Pick<AffinityReport, 'rule'> & {
  readonly backend: string | undefined;
  readonly current: string | undefined;
};

/** Who answers the client, by whose word. */
export function decisionOf(
  { place, poolId, name }: ClientKey,
  known: readonly FlowKnowledge[],
  head: Version,
): Decision {
  if (place === undefined) {
    const current = backendNames(head.objects).get(head.placements.get(poolId)?.current[name.slot] ?? 0);
    return { rule: 'clean', backend: current, current };
  }
  const { current, base, chain } = place;
  const owner = known.find(({ role }) => role === 'owner');
  // Of a backup too, where its owner cannot be asked.
  const entry = (owner ?? known.find((it) => it.entry !== undefined))?.entry;
  if (entry !== undefined) return { rule: 'recorded', backend: entry.backend, current };
  return owner === undefined && chain !== undefined
    ? { rule: 'unknown', backend: undefined, current }
    : { rule: 'base', backend: base ?? current, current };
}

export function seenAgoMs(known: readonly FlowKnowledge[]): number | undefined {
  const ages = known.flatMap(({ entry, cached }) => [
    ...(entry === undefined ? [] : [entry.seenAgoMs]),
    ...(cached?.valid ? [cached.seenAgoMs] : []),
  ]);
  return ages.length === 0 ? undefined : Math.min(...ages);
}

/** @throws Failure not_found where the pool has no such backend. */
export function leavingOf(
  { service: { pool }, name: { slot } }: ClientKey,
  { backend, current, without, isNamed }: Decision & { without: string | undefined; isNamed: boolean },
  intent: ClusterState,
): AffinityLeaving | undefined {
  if (without === undefined) return undefined;
  const leaver = intent.backends.get(without);
  if (leaver === undefined) {
    if (!isNamed) return undefined;
    throw new Failure('not_found', `There is no backend ${without}.`, {
      remedy: 'See those there are: holdfast backends list',
    });
  }
  if (leaver.pool !== pool)
    return {
      backend: without,
      drained: 'unchanged',
      dead: 'unchanged',
      ...(current !== undefined && { to: current }),
    };
  const { after } = planEdits(intent, [{ kind: 'putBackend', backend: applyPatch(leaver, { weight: 0 }) }], {
    force: true,
  });
  const then = backendNames(after).get(after.tables.get(pool)?.slots[slot] ?? 0);
  const to = then === without ? undefined : then;
  const isIts = without === backend;
  return {
    backend: without,
    ...(to !== undefined && { to }),
    drained: isIts ? 'kept' : 'unchanged',
    dead: isIts ? 'moved' : 'unchanged',
  };
}
