// How long a client waits when something fails, with real daemons, BIRD and packets in the lab.

import { measureSilentMuxes } from './failover/silent.ts';
import type { Report } from './lib/report.ts';

export const description =
  'how long a stream has a gap when a mux hangs: clean slots, and tracked slots that it owned';

export async function run(report: Report): Promise<void> {
  await measureSilentMuxes(report);
}
