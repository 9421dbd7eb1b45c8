// Owns measuring a change of weights: from its request until every mux sends new flows where it says, less the time for
// which a change is held by intent. What muxes have in effect is what the store says that they acknowledged, so the time
// until that is seen is in the figure.

import { LEADER_SETTINGS_DEFAULT } from '../../../control/cluster/leader/inputs.ts';
import type { Version } from '../../../control/cluster/version.ts';
import type { Document } from '../../../control/config/objects.ts';
import { documentOf, POOL, WEIGHT } from '../../lab/configuration.ts';
import type { Lab } from '../../lab/lab.ts';
import { isCommitted } from '../../lab/versions.ts';
import type { ClusterWatch } from '../../lab/watch.ts';
import type { Report } from '../lib/report.ts';

const ROUNDS = 10;
/** Before: what daemons do for the first time takes them longer. */
const WARM_UP_ROUNDS = 3;
const MUST_MS = 200;
/** The settle window, which comes after what is measured, is a bit more: rounds are to end. */
const IDLE_MS = 1_000;

export async function measureChanges(report: Report, lab: Lab, watch: ClusterWatch): Promise<void> {
  await lab.apply(withShortFlows(lab));
  const samples: number[] = [];
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    await watch.becomes('nothing is open', () => watch.isSettled() && watch.isInEffect());
    const tookMs = await committed(lab, watch, round);
    if (round >= WARM_UP_ROUNDS) samples.push(tookMs);
  }
  report.add({ case: 'change-committed-ms', unit: 'ms', samples, must: { atMost: MUST_MS } });
}

async function committed(lab: Lab, watch: ClusterWatch, round: number): Promise<number> {
  const { handshakeHoldMs } = LEADER_SETTINGS_DEFAULT;
  const backend = lab.backends[round % lab.backends.length]!.node.name;
  const before = watch.head;
  const isTracked = () => watch.head.number > before.number && !isCommitted(watch.head) && watch.isInEffect();
  const tracked = watch.becomes('the slots are tracked', isTracked);
  // Rejects for the same reason as what is awaited first.
  tracked.catch(() => undefined);
  const beganMs = performance.now();
  const { revision } = await lab.muxes[0]!.daemon.client.changeBackend(POOL, backend, {
    weight: WEIGHT / 2 + round,
  });
  const endedMs = await watch.becomes(
    'the change is committed',
    () => watch.head.objects.revision >= revision && isCommitted(watch.head) && watch.isInEffect(),
  );
  await tracked;
  if (movedSlots(before, watch.head) === 0) throw new Error('the change has moved no slot');
  const tookMs = endedMs - beganMs - handshakeHoldMs;
  if (tookMs <= 0) throw new Error(`the change was not held for ${handshakeHoldMs} ms`);
  return tookMs;
}

/** Whose new flows go elsewhere. */
function movedSlots(before: Version, after: Version): number {
  let count = 0;
  for (const [pool, { current }] of after.placements)
    for (const [slot, backend] of current.entries())
      if (before.placements.get(pool)?.current[slot] !== backend) count++;
  return count;
}

function withShortFlows({ plan }: Lab): Document {
  const document = documentOf(plan);
  return { ...document, services: document.services.map((it) => ({ ...it, idleTimeoutMs: IDLE_MS })) };
}
