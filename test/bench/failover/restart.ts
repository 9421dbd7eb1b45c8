// Owns measuring what is lost while daemons end and come back: all muxes are sent numbered bursts all the time, one
// daemon after the other is killed and begins again, and one after the other becomes another version, with other layouts
// of its tables, and this one again. Connections are held meanwhile.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeVariant, NEXT_VERSION } from '../../bpf/lib/variant.ts';
import { Trickle } from '../../lab/generator.ts';
import type { Lab, LabMux } from '../../lab/lab.ts';
import type { Report } from '../lib/report.ts';

const CONNECTIONS = 60;
/** After a daemon has ended, and after it is back. */
const AFTER_MS = 300;

export async function measureRestarts(report: Report, lab: Lab): Promise<void> {
  const next = join(makeVariant('failover', NEXT_VERSION), 'control/main.ts');
  const agent = await lab.client();
  const { services4, services6 } = lab.plan;
  const load = { connections: CONNECTIONS, chunkBytes: 2_000, intervalMs: 10 };
  await agent.call('hold', { addresses: [...services4, ...services6], ...load });
  using trickle = new Trickle(lab.plan, lab.ports, ...lab.muxes.map(({ node }) => node));
  let lost = 0;
  for (const mux of lab.muxes) lost += await lostWhile(trickle, restart(mux, 'SIGKILL', 'adopted'));
  for (const main of [next, undefined])
    for (const mux of lab.muxes) lost += await lostWhile(trickle, restart(mux, 'SIGTERM', 'migrated', main));
  const { broken, held, fewestRounds } = await agent.call('heldStatus', {});
  if (broken > 0 || held !== CONNECTIONS || fewestRounds === 0)
    throw new Error(`of ${CONNECTIONS} connections ${broken} broke, and ${held} are held`);
  await agent.call('release', {});
  report.add({ case: 'restart-lost-packets', unit: 'packets', value: lost, must: { atMost: 0 } });
}

async function restart(
  { daemon }: LabMux,
  signal: 'SIGKILL' | 'SIGTERM',
  origin: string,
  main?: string,
): Promise<void> {
  await daemon.end(signal);
  await sleep(AFTER_MS);
  daemon.launch(main);
  const { adopted } = await daemon.answers(
    ({ appliedRevision, problems }) => appliedRevision > 0 && problems.length === 0,
  );
  if (adopted !== origin) throw new Error(`tables of ${daemon.place.name} are ${adopted}, not ${origin}`);
  await sleep(AFTER_MS);
}

async function lostWhile(trickle: Trickle, work: Promise<void>): Promise<number> {
  let isDone = false;
  const ending = work.finally(() => {
    isDone = true;
  });
  const { sent, tunnelled } = await trickle.run(() => isDone);
  await ending;
  if (sent === 0) throw new Error('nothing was sent');
  return sent - tunnelled;
}
