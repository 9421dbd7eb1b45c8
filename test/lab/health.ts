// Owns health checks of a lab's backends, and a backend that falls silent: when the cluster has done what about it.
import type { Document } from '../../control/config/objects.ts';
import { documentOf } from './configuration.ts';
import type { Lab, LabBackend } from './lab.ts';
import { HTTP_PORT, type LabPlan } from './plan.ts';
import type { ClusterWatch } from './watch.ts';

export const INTERVAL_MS = 250;
export const TIMEOUT_MS = 200;
export const FALL = 2;
const IDLE_MS = 1_000;

type Health = NonNullable<Document['pools'][number]['health']>;

/** The lab's objects, with flows that end soon, and checks by HTTP through the tunnel. */
export function withChecks(plan: LabPlan, health: Partial<Health> = {}): Document {
  const document = documentOf(plan);
  return {
    ...document,
    services: document.services.map((it) => ({ ...it, idleTimeoutMs: IDLE_MS })),
    pools: document.pools.map((it) => ({
      ...it,
      health: {
        type: 'http',
        via: 'tunnel',
        port: HTTP_PORT,
        path: '/ready',
        body: '"ready":true',
        intervalMs: INTERVAL_MS,
        timeoutMs: TIMEOUT_MS,
        rise: 2,
        fall: FALL,
        jitter: 0.1,
        panicPercent: 25,
        ...health,
      },
    })),
  };
}

/** Each since the backend fell silent. */
export type DeadBackend = {
  readonly foundMs: number;
  readonly trackedMs: number;
  readonly movedMs: number;
  /** No new flow goes there by any mux. */
  readonly leftMs: number;
};

/** Loses everything that goes to a backend or comes from it, from now on. Its link is impaired already. */
export async function silenceBackend(
  lab: Lab,
  watch: ClusterWatch,
  victim: LabBackend,
): Promise<DeadBackend> {
  const { index } = watch.stored(victim);
  const isUrgent = () =>
    [...watch.head.placements.values()].some(({ periods }) => periods.some((it) => it.isUrgent));
  const silentAtMs = performance.now();
  const steps = [
    watch.becomes('it is found dead', () => watch.stored(victim).observed?.down !== undefined),
    watch.becomes('its slots are tracked', isUrgent),
    watch.becomes('its slots are moved', () => !watch.isNamed(index)),
    watch.becomes('no new flow goes there', () => watch.takesNoNewFlows(index)),
  ];
  await lab.impair(victim.node, { lossPercent: 100 });
  const [foundMs, trackedMs, movedMs, leftMs] = (await Promise.all(steps)).map((atMs) => atMs - silentAtMs);
  return { foundMs: foundMs!, trackedMs: trackedMs!, movedMs: movedMs!, leftMs: leftMs! };
}
