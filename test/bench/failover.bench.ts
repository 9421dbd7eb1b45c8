// How long a client waits when something fails or changes, with real daemons and packets in the lab.
import { Lab } from '../lab/lab.ts';
import { ClusterWatch } from '../lab/watch.ts';
import { measureChanges } from './failover/change.ts';
import { measureCopy } from './failover/copy.ts';
import { measureDeadBackend } from './failover/dead_backend.ts';
import { measureRestarts } from './failover/restart.ts';
import { measureSilentMuxes } from './failover/silent.ts';
import type { Report } from './lib/report.ts';

export const description =
  'what clients notice: a mux that hangs, a backend that dies, a change, a new backup, daemons that begin again';

export async function run(report: Report): Promise<void> {
  await measureSilentMuxes(report);
  await measureCopy(report);
  const lab = await Lab.raise({ name: `b${process.pid}`, clients: 1, muxes: 3, backends: 3 });
  try {
    const watch = await ClusterWatch.open(lab.plan.name);
    try {
      await measureChanges(report, lab, watch);
      await measureDeadBackend(report, lab, watch);
      await measureRestarts(report, lab);
    } finally {
      await watch.close();
    }
  } finally {
    await lab.down();
  }
}
