// Owns measuring a mux that hangs: the link stays up and nothing comes out of it or goes in. A stream of 1,000 packets a
// second that the router sends through it has a gap until BFD takes the mux off the router, and, where the mux was the
// owner of the stream's slot, until another mux is.
//
// The gap is the longest time between two answers at the client, so it has in it what the network and the server take.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../../../control/api/schema.ts';
import type { Document } from '../../../control/config/objects.ts';
import { formatFlowName } from '../../../control/lib/flow_name.ts';
import { muxOfFlow, routed } from '../../lab/bird.ts';
import { documentOf, WEIGHT } from '../../lab/configuration.ts';
import { PACKETS_PER_SECOND, portThrough } from '../../lab/flows.ts';
import { Lab, type LabMux } from '../../lab/lab.ts';
import { ECHO_PORT } from '../../lab/plan.ts';
import { silence } from '../../lab/topology.ts';
import type { Report } from '../lib/report.ts';

const ROUNDS = 10;
const CLEAN_MUST_MS = 300;
const TRACKED_MUST_MS = 700;
/** Before the mux hangs, and after its route is gone: long enough that a gap has an end on both sides. */
const RUN_MS = 300;
const AFTER_MS = 1_000;
/** The settle window is a bit more: rounds are to end. */
const IDLE_MS = 1_000;
const LIMIT_MS = 60_000;
const POLL_MS = 20;
const PORTS_FIRST = 30_000;
const PORTS_TRIED = 4_000;
const HANGING = 2;

export async function measureSilentMuxes(report: Report): Promise<void> {
  const lab = await Lab.raise({
    name: `b${process.pid}`,
    clients: 1,
    muxes: 3,
    backends: 3,
    routes: 'bird',
  });
  try {
    // Before there is a change: its window is that of the longest idle timeout since it began.
    await lab.apply(weighted(lab, WEIGHT));
    await healthy(lab);
    const clean: number[] = [];
    for (let round = 0; round < ROUNDS; round++) clean.push(await gap(lab, cleanPort(lab)));
    if (clean.length)
      report.add({ case: 'silent-mux-ms', unit: 'ms', samples: clean, must: { atMost: CLEAN_MUST_MS } });
    const tracked: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await beginChange(lab, round);
      tracked.push(await gap(lab, await trackedPort(lab)));
    }
    report.add({ case: 'silent-owner-ms', unit: 'ms', samples: tracked, must: { atMost: TRACKED_MUST_MS } });
  } finally {
    await lab.down();
  }
}

/** Of a stream from this port while its mux hangs, until it is back. */
async function gap(lab: Lab, sourcePort: number): Promise<number> {
  const { plan } = lab;
  const { node } = hanging(lab);
  const others = plan.muxes.filter((it) => it !== node).map(({ name }) => name);
  const agent = await lab.client();
  const address = plan.services4[0]!;
  await agent.call('startStream', { address, sourcePort, packetsPerSecond: PACKETS_PER_SECOND });
  await sleep(RUN_MS);
  const before = await agent.call('streamStatus', { sourcePort });
  if (before.received < before.sent / 2) throw new Error(`the stream of port ${sourcePort} has no answers`);
  silence(plan, node, true);
  await routed(plan, others);
  await sleep(AFTER_MS);
  const { gapMs, received } = await agent.call('stopStream', { sourcePort });
  silence(plan, node, false);
  if (received === 0) throw new Error('the stream did not go on');
  await healthy(lab);
  return gapMs;
}

function hanging(lab: Lab): LabMux {
  return lab.muxes[HANGING]!;
}

function cleanPort(lab: Lab): number {
  return portThrough(lab, hanging(lab).node.name, lab.plan.services4[0]!);
}

/** Many slots get another backend, which lasts until the flows that had the old one are gone. */
async function beginChange(lab: Lab, round: number): Promise<void> {
  await lab.apply(weighted(lab, round % 2 === 0 ? WEIGHT / 10 : WEIGHT));
}

/** The lab's objects, with flows that end soon, and the first backend of this weight. */
function weighted({ plan }: Lab, weight: number): Document {
  const document = documentOf(plan);
  return {
    ...document,
    services: document.services.map((it) => ({ ...it, idleTimeoutMs: IDLE_MS })),
    backends: document.backends.map((it, index) => (index === 0 ? { ...it, weight } : it)),
  };
}

/** Of a flow that the router sends to the mux that will hang, in a tracked slot that this mux owns. */
async function trackedPort(lab: Lab): Promise<number> {
  const { node } = hanging(lab);
  const client = lab.plan.clients[0]!;
  const address = lab.plan.services4[0]!;
  for (let port = PORTS_FIRST; port < PORTS_FIRST + PORTS_TRIED; port++) {
    const flow = {
      from: client.address4,
      sourcePort: port,
      to: address,
      port: ECHO_PORT,
      client: client.name,
    };
    if (muxOfFlow(lab.plan, flow) !== node.name) continue;
    const name = formatFlowName({
      protocol: 'udp',
      source: client.address4,
      sourcePort: port,
      destination: address,
      destinationPort: ECHO_PORT,
    });
    const found = await lab.muxes[0]!.daemon.client.flow(name, { local: true });
    if (found.tracked && found.owner?.node === node.name) return port;
  }
  throw new Error(`no flow of ${PORTS_TRIED} is in a tracked slot of ${node.name}`);
}

const isWell = ({ cluster, routes }: Status, others: number): boolean =>
  cluster?.state === 'member' &&
  cluster.heard === others &&
  routes?.announced === 'normal' &&
  routes.inEffect === true;

/** All muxes are members that hear each other and announce, and nothing is open that a round before has left. */
async function healthy(lab: Lab): Promise<void> {
  const others = lab.muxes.length - 1;
  await Promise.all(lab.muxes.map(({ daemon }) => daemon.answers((status) => isWell(status, others))));
  await routed(
    lab.plan,
    lab.plan.muxes.map(({ name }) => name),
    LIMIT_MS,
  );
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const { open } = await lab.muxes[0]!.daemon.client.changes();
    if (open.length === 0) return;
    if (Date.now() > deadline) {
      const waits = open.flatMap(({ waitsFor }) => waitsFor);
      throw new Error(`a change is open still after ${LIMIT_MS} ms: ${waits.join('; ')}`);
    }
    await sleep(POLL_MS);
  }
}
