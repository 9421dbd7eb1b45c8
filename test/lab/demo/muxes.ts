// Owns the acts about muxes: which one a connection takes, one that is withdrawn, one whose daemon is killed, and what
// one costs a packet.
import { setTimeout as sleep } from 'node:timers/promises';
import { POOL } from '../configuration.ts';
import { type FloodResult, flood, Trickle } from '../generator.ts';
import { healthy, routedTo } from '../proof/cluster.ts';
import type { HoldStatus } from '../protocol.ts';
import { type Cast, type Check, check, count } from './act.ts';
import { placesOf } from './places.ts';
import { everywhere, holdConnections, requestsCheck, startTraffic } from './traffic.ts';

const PAUSE_MS = 500;
/** What was on its way to a mux has arrived by then. */
const ARRIVAL_MS = 300;
/** Both in turn; the fastest of each counts, as whatever else the machine does can only slow them down. */
const FLOOD_ROUNDS = 4;
const FLOOD_MS = 250;
const FLOOD_FLOWS = 65_536;
const MEANWHILE = 'meanwhile no request fails, and no connection breaks';

export type SteeringFindings = {
  readonly checks: readonly Check[];
  /** The same connections through one mux after the other; `forwarded` says that they really went there. */
  readonly steered: readonly {
    readonly mux: string;
    readonly forwarded: number;
    readonly status: HoldStatus;
  }[];
  readonly withdrawal:
    | { readonly mux: string; readonly forwardedBefore: number; readonly forwardedAfter: number }
    | undefined;
};

export type RestartFindings = {
  readonly checks: readonly Check[];
  readonly mux: string;
  readonly withoutDaemonMs: number;
  readonly adopted: string;
  /** Packets of the generator towards this mux, and those of them that came back in a tunnel. */
  readonly whileDead: { readonly sent: number; readonly tunnelled: number };
  readonly inAll: { readonly sent: number; readonly tunnelled: number };
};

export type GeneratorFindings = {
  readonly checks: readonly Check[];
  readonly mux: FloodResult;
  readonly reflector: FloodResult;
  /** Packets per second of the mux by those of the bare reflector. */
  readonly ratio: number;
  readonly addedNsPerPacket: number;
};

export async function playSteering(cast: Cast): Promise<SteeringFindings> {
  const { lab, agent, now } = cast;
  await holdConnections(cast);
  const steered: SteeringFindings['steered'][number][] = [];
  for (const { node, daemon } of lab.muxes) {
    now(`all of them through ${node.name}`);
    const before = await daemon.packets('FORWARD');
    const status = await agent.call('steerHeld', { trafficClass: node.trafficClass });
    steered.push({ mux: node.name, forwarded: (await daemon.packets('FORWARD')) - before, status });
  }
  const last = await agent.call('steerHeld', { trafficClass: 0 });
  const everyOne = check(
    'connections keep their servers through one mux after the other',
    last.broken === 0 && steered.every(({ forwarded, status }) => forwarded >= status.held),
    `${last.broken} of ${last.held + last.broken} broke`,
  );
  const explained = await explainCheck(cast);
  if (lab.muxes.length === 1) return { checks: [everyOne, explained], steered, withdrawal: undefined };
  const { withdrawal, checks } = await withdrawMux(cast);
  return { checks: [everyOne, explained, ...checks], steered, withdrawal };
}

/** The mux that explains a connection need not be one that it ever took. */
async function explainCheck({ lab, agent, now }: Cast): Promise<Check> {
  now('each mux is asked where connections go');
  const held = await agent.call('heldConnections', {});
  const places = await placesOf(lab, held);
  const right = held.filter(({ backend }, at) => places[at]!.backend === `${POOL}/${backend}`).length;
  return check(
    'holdfast explain names the server of each connection, on any mux',
    right === held.length && right > 0,
    `${right} of ${held.length}`,
  );
}

async function withdrawMux(cast: Cast) {
  const { lab, agent, now } = cast;
  const [withdrawn, ...others] = lab.muxes;
  const { name } = withdrawn!.node;
  const forwarded = () => withdrawn!.daemon.packets('FORWARD');
  await startTraffic(cast, everywhere(cast));
  const before = await forwarded();
  await sleep(PAUSE_MS);
  const forwardedBefore = (await forwarded()) - before;
  now(`$ holdfast nodes drain ${name}`);
  const { client } = others[0]!.daemon;
  await client.drainNode(name);
  await routedTo(lab, others);
  await sleep(ARRIVAL_MS);
  const after = await forwarded();
  await sleep(2 * PAUSE_MS);
  const forwardedAfter = (await forwarded()) - after;
  now(`$ holdfast nodes drain ${name} --undo`);
  await client.drainNode(name, { undo: true });
  await healthy(lab);
  await sleep(PAUSE_MS);
  const periods = await agent.call('stopTraffic', {});
  const checks = [
    check(
      `${name} gets no packet once the router has no route over it`,
      forwardedBefore > 0 && forwardedAfter === 0,
      `${count(forwardedBefore)} before, ${forwardedAfter} after`,
    ),
    requestsCheck(MEANWHILE, periods, await agent.call('heldStatus', {})),
  ];
  return { withdrawal: { mux: name, forwardedBefore, forwardedAfter }, checks };
}

export async function playRestart(cast: Cast): Promise<RestartFindings> {
  const { lab, agent, now } = cast;
  const { node, daemon } = lab.muxes[0]!;
  await holdConnections(cast);
  await startTraffic(cast, everywhere(cast));
  using trickle = new Trickle(lab.plan, lab.ports, node);
  const whileRunning = async (work: Promise<unknown>) => {
    let isDone = false;
    const ending = work.finally(() => {
      isDone = true;
    });
    const counted = trickle.run(() => isDone);
    await Promise.all([counted, ending]);
    return counted;
  };

  now(`kill -9 of the holdfastd of ${node.name}`);
  const killedMs = performance.now();
  const dying = await whileRunning(daemon.end('SIGKILL'));
  const dead = await whileRunning(sleep(2 * PAUSE_MS));
  now('holdfastd starts again');
  daemon.launch();
  const starting = await whileRunning(daemon.answers(({ appliedRevision }) => appliedRevision > 0));
  const withoutDaemonMs = Math.round(performance.now() - killedMs);
  now('holdfastd has taken over what it found');
  const later = await whileRunning(sleep(PAUSE_MS));
  const periods = await agent.call('stopTraffic', {});
  const { adopted, problems, attachments } = await daemon.client.status();
  const inAll = add(dying, dead, starting, later);
  return {
    checks: [
      check(
        'the mux forwards on without a daemon, and loses no packet',
        dead.sent > 0 && dead.tunnelled === dead.sent,
        `${count(dead.tunnelled)} of ${count(dead.sent)} generated packets came through`,
      ),
      check(
        'the next daemon takes over what it finds, and loses none',
        adopted === 'adopted' &&
          problems.length === 0 &&
          attachments.length === 1 &&
          inAll.tunnelled === inAll.sent,
        `${adopted}; ${count(inAll.tunnelled)} of ${count(inAll.sent)} in all` +
          (problems.length === 0 ? '' : `; problems: ${problems.map(({ message }) => message).join(' ')}`),
      ),
      requestsCheck(MEANWHILE, periods, await agent.call('heldStatus', {})),
    ],
    mux: node.name,
    withoutDaemonMs,
    adopted,
    whileDead: dead,
    inAll,
  };
}

export async function playGenerator({ lab, now }: Cast): Promise<GeneratorFindings> {
  const options = { durationMs: FLOOD_MS, flows: FLOOD_FLOWS };
  const { node } = lab.muxes[0]!;
  const rounds: { mux: FloodResult; reflector: FloodResult }[] = [];
  for (let round = 1; round <= FLOOD_ROUNDS; round += 1) {
    now(`round ${round} of ${FLOOD_ROUNDS}: a reflector that does nothing, then ${node.name}`);
    rounds.push({
      reflector: await flood(lab.plan, lab.ports, lab.plan.reflector, options),
      mux: await flood(lab.plan, lab.ports, node, options),
    });
  }
  const fastest = (results: readonly FloodResult[]) =>
    results.reduce((best, each) => (each.mpps > best.mpps ? each : best));
  const mux = fastest(rounds.map((round) => round.mux));
  const reflector = fastest(rounds.map((round) => round.reflector));
  const ratio = Math.round((mux.mpps / reflector.mpps) * 1000) / 1000;
  return {
    checks: [
      check(
        'a flood of small packets comes back in tunnels',
        mux.tunnelled >= mux.sent / 2 && reflector.returned >= reflector.sent / 2,
        `${mux.mpps.toFixed(2)} Mpps, a bare reflector ${reflector.mpps.toFixed(2)}: ${(ratio * 100).toFixed(0)} %`,
      ),
    ],
    mux,
    reflector,
    ratio,
    addedNsPerPacket: mux.nsPerPacket - reflector.nsPerPacket,
  };
}

function add(...counts: readonly { sent: number; tunnelled: number }[]): { sent: number; tunnelled: number } {
  const sum = { sent: 0, tunnelled: 0 };
  for (const { sent, tunnelled } of counts) {
    sum.sent += sent;
    sum.tunnelled += tunnelled;
  }
  return sum;
}
