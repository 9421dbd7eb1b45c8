// Owns measuring a backend that falls silent under health checks: until no mux sends a new connection there. That none
// does is then seen: each request is answered.
import { silenceBackend, withChecks } from '../../lab/health.ts';
import type { Lab } from '../../lab/lab.ts';
import type { ClusterWatch } from '../../lab/watch.ts';
import type { Report } from '../lib/report.ts';

const ROUNDS = 3;
const MUST_MS = 1_000;
/** Of three backends' a third would go to the silent one. */
const REQUESTS = 120;

export async function measureDeadBackend(report: Report, lab: Lab, watch: ClusterWatch): Promise<void> {
  await lab.apply(withChecks(lab.plan));
  const victim = lab.backends[1]!;
  const agent = await lab.client();
  await lab.impair(victim.node, { lossPercent: 0 });
  const isWell = () =>
    watch.foundUp().length === lab.muxes.length &&
    watch.foundUp().every((count) => count === lab.backends.length) &&
    watch.stored(victim).observed?.down === undefined &&
    watch.isNamed(watch.stored(victim).index) &&
    watch.isSettled();
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await watch.becomes('all backends are up and take flows', isWell);
    samples.push((await silenceBackend(lab, watch, victim)).leftMs);
    const load = { addresses: [lab.plan.services4[0]!], count: REQUESTS, concurrency: 10, timeoutMs: 2_000 };
    const { failed, failures } = await agent.call('requests', load);
    if (failed > 0) throw new Error(`new connections went to a dead backend: ${JSON.stringify(failures)}`);
    await lab.impair(victim.node, { lossPercent: 0 });
  }
  report.add({ case: 'dead-backend-ms', unit: 'ms', samples, must: { atMost: MUST_MS } });
  await lab.straighten(victim.node);
}
