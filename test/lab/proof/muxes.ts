// Owns what befalls muxes while traffic flows: each dies, hangs, stops, leaves and comes back in a way of its own.
import { setTimeout as sleep } from 'node:timers/promises';
import { holdfastd } from '../command.ts';
import { LEASE_MS } from '../configuration.ts';
import type { Lab, LabMux } from '../lab.ts';
import { cutLink, silence } from '../topology.ts';
import { healthy, othersThan, repaired, routedTo } from './cluster.ts';

/** `kill -9` of all that runs, and the link down; then the node boots, with nothing in its program's tables. */
export async function killMux(lab: Lab, mux: LabMux, now: (what: string) => void): Promise<void> {
  const { node, daemon, routing } = mux;
  now(`kill -9 of everything on ${node.name}, and its link is down`);
  await Promise.all([
    daemon.end('SIGKILL'),
    routing!.supervisor.end('SIGKILL'),
    routing!.bird.process.end('SIGKILL'),
  ]);
  cutLink(node, true);
  await routedTo(lab, othersThan(lab, mux));
  await repaired(lab, othersThan(lab, mux));
  now(`${node.name} boots, and joins as a new one`);
  const wiped = await holdfastd(`--detach --config ${daemon.configPath}`, {
    prefix: ['ip', 'netns', 'exec', node.netns],
  });
  if (wiped.exit !== 0) throw new Error(wiped.stderr);
  cutLink(node, false);
  await routing!.start();
  daemon.launch();
  await healthy(lab);
}

/** The link stays up, and nothing comes out or goes in. */
export async function hangMux(lab: Lab, mux: LabMux, now: (what: string) => void): Promise<void> {
  const { node } = mux;
  now(`${node.name} hangs: its link is up, and nothing passes`);
  silence(lab.plan, node, true);
  await routedTo(lab, othersThan(lab, mux));
  await repaired(lab, othersThan(lab, mux));
  now(`${node.name} comes to, and learns that it was removed`);
  silence(lab.plan, node, false);
  await healthy(lab);
}

/** Its processes, not its program; for longer than its lease, so that it wakes past its deadline. */
export async function stopMux(lab: Lab, mux: LabMux, now: (what: string) => void): Promise<void> {
  const { node, daemon, routing } = mux;
  now(`SIGSTOP to everything on ${node.name}`);
  const stopped = [daemon.pid!, routing!.bird.process.pid!, routing!.supervisor.pid!];
  for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  await routedTo(lab, othersThan(lab, mux));
  await sleep(LEASE_MS + 1_000);
  await repaired(lab, othersThan(lab, mux));
  now(`SIGCONT to everything on ${node.name}`);
  for (const pid of stopped) process.kill(pid, 'SIGCONT');
  await healthy(lab);
}

/** As an operator has it: hands over, goes, and comes back. */
export async function leaveAndJoin(lab: Lab, mux: LabMux, now: (what: string) => void): Promise<void> {
  const { name } = mux.node;
  const [other] = othersThan(lab, mux);
  now(`$ holdfast nodes drain ${name}`);
  await other!.daemon.client.drainNode(name, {});
  await repaired(lab, othersThan(lab, mux));
  now(`$ holdfast nodes drain ${name} --undo`);
  await other!.daemon.client.drainNode(name, { undo: true });
  await healthy(lab);
}
