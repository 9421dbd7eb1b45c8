// Muxes that announce themselves to a router by BIRD, and what becomes of their routes: when they join, leave, hang, are
// killed, and when BIRD is what fails.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Status } from '../../control/api/schema.ts';
import {
  BFD_INTERVAL_MS,
  BFD_MULTIPLIER,
  muxesOnRoute,
  routed,
  routedMuxes,
  routesDirectoryOf,
} from './bird.ts';
import { documentOf, LEASE_MS, LEAVE_MS } from './configuration.ts';
import { PACKETS_PER_SECOND, type Streams, type StreamsResult, startStreams } from './flows.ts';
import type { Lab, LabMux } from './lab.ts';
import { eventually, raiseTestLab, removeTestLab } from './support.ts';
import { silence } from './topology.ts';

/** Of a stream of clean slots when its mux hangs: issue 5. */
const SILENT_LIMIT_MS = 300;
const SILENT_ROUNDS = 3;
/** Packets that come while the router replaces its four routes, a few times a test. */
const REPLACED_MAX = 12;
const REJOIN_LIMIT_MS = 30_000;
/** A look every 50 ms, BIRD, the router, and a poll; on a host that does much else. */
const SUPERVISED_WITHIN_MS = 2_000;

let lab: Lab;
const all = (): string[] => lab.muxes.map(({ node }) => node.name);
const others = (mux: LabMux): string[] => all().filter((name) => name !== mux.node.name);

beforeAll(async () => {
  lab = await raiseTestLab({ clients: 1, muxes: 3, backends: 3, routes: 'bird' });
  await healthy();
});
afterAll(() => removeTestLab(lab));
afterEach(async () => {
  // The next test begins with all of them, whatever became of this one.
  for (const mux of lab.muxes) restore(mux);
  await healthy();
});

function restore({ daemon, routing }: LabMux): void {
  const { bird, supervisor } = routing!;
  supervisor.signal('SIGCONT');
  bird.process.signal('SIGCONT');
  if (!daemon.isRunning) daemon.launch();
  else process.kill(daemon.pid!, 'SIGCONT');
}

const isHealthy = ({ cluster, routes, problems }: Status): boolean =>
  routes?.supervised === true &&
  cluster?.state === 'member' &&
  !cluster.pastDeadline &&
  cluster.heard === lab.muxes.length - 1 &&
  routes?.announced === 'normal' &&
  routes.inEffect === true &&
  problems.length === 0;

async function healthy(): Promise<void> {
  await Promise.all(lab.muxes.map(({ daemon }) => daemon.answers(isHealthy)));
  await routed(lab.plan, all(), REJOIN_LIMIT_MS);
}

const streams = (names = all(), packetsPerSecond?: number) =>
  startStreams(lab, names, [lab.plan.services4[0]!, lab.plan.services6[0]!], packetsPerSecond);

const problemsOf = async ({ daemon }: LabMux): Promise<string[]> =>
  (await daemon.client.status()).problems.map(({ message }) => message);

const says = (mux: LabMux, text: string) =>
  mux.daemon.answers(({ problems }) => problems.some(({ message }) => message.includes(text)));

/** None but those that the router had no route for, in the moment in which it replaced one; see packetsWithoutRoute(). */
async function expectNoneLost(running: Streams): Promise<StreamsResult> {
  const result = await running.stop();
  const { lost, withoutRoute, detail } = result;
  expect(withoutRoute).toBeLessThanOrEqual(REPLACED_MAX);
  expect(
    lost - Math.min(lost, withoutRoute),
    `${detail}; ${withoutRoute} without a route; ${await drops()}`,
  ).toBe(0);
  return result;
}

/** What each mux has dropped since it was raised, for a test that fails. */
async function drops(): Promise<string> {
  const each = lab.muxes.map(async ({ node, daemon }) => {
    if (!daemon.isRunning) return `${node.name} is dead`;
    const { reasons } = await daemon.client.stats();
    const found = Object.entries(reasons).filter(([name, count]) => name.startsWith('DROP') && count > 0);
    return `${node.name} ${JSON.stringify(Object.fromEntries(found))}`;
  });
  return (await Promise.all(each)).join('; ');
}

/** What the router has of a mux: the kinds of announcement that followed each other. */
function watchRouter(mux: LabMux): { stop(): Promise<string[]> } {
  const seen: string[] = [];
  let isStopped = false;
  const watching = (async () => {
    while (!isStopped) {
      const text = await lab.bird!.say(`show route all protocol ${mux.node.name}_4`);
      const kind = !text.includes('198.18.') ? 'none' : text.includes('(65535,0)') ? 'shutdown' : 'normal';
      if (seen.at(-1) !== kind) seen.push(kind);
      await sleep(10);
    }
  })();
  // Of a test that failed: nobody asks for it.
  watching.catch(() => undefined);
  return {
    stop: async () => {
      isStopped = true;
      await watching;
      return seen;
    },
  };
}

describe('muxes that have joined', () => {
  it('announce all service addresses, IPv4 and IPv6, and the router spreads over them', async () => {
    expect(routedMuxes(lab.plan)).toEqual(Array.from({ length: 4 }, all));
    const found = await lab.bird!.say(`show route for ${lab.plan.services4[0]} all`);
    expect(found).not.toContain('65535');
    for (const { daemon } of lab.muxes) {
      expect((await daemon.client.status()).routes).toMatchObject({
        mode: 'bird',
        announced: 'normal',
        addresses: [...lab.plan.services4, ...lab.plan.services6],
        supervised: true,
        bird: {
          state: 'up',
          version: '2.0.12',
          sessions: [
            { name: 'router4', state: 'Established', exported: 2 },
            { name: 'router6', state: 'Established', exported: 2 },
          ],
        },
      });
    }
    const { bfd } = (await lab.muxes[0]!.daemon.client.status()).routes!.bird!;
    expect(bfd.map(({ state, timeoutMs }) => [state, timeoutMs])).toEqual([
      ['Up', BFD_INTERVAL_MS * BFD_MULTIPLIER],
      ['Up', BFD_INTERVAL_MS * BFD_MULTIPLIER],
    ]);
  });

  it('are fine to the doctor, and metrics have each session', async () => {
    const { client } = lab.muxes[0]!.daemon;
    const found = (await client.doctor()).filter(({ check }) =>
      ['routes', 'bird', 'bgp', 'bfd', 'supervisor'].includes(check),
    );
    expect(found.map(({ severity, message }) => [severity, message])).toEqual([
      ['ok', '4 service addresses are announced'],
      ['ok', '2 BGP sessions are established'],
      ['ok', '2 BFD sessions are up'],
      ['ok', 'holdfast-supervisor would withdraw the routes of a dead daemon'],
    ]);
    const metrics = (await client.metrics()).split('\n');
    for (const line of [
      'holdfast_routes_announced{as="normal"} 4',
      'holdfast_routes_announced{as="lastResort"} 0',
      'holdfast_routes_in_effect 1',
      'holdfast_routes_supervised 1',
      'holdfast_bird_up 1',
      'holdfast_bgp_session_up{session="router6"} 1',
      'holdfast_bfd_session_up{peer="198.18.33.1"} 1',
    ])
      expect(metrics).toContain(line);
  });

  it('announce and withdraw an address with its services', async () => {
    const document = documentOf(lab.plan);
    const address = lab.plan.services4[1]!;
    const without = {
      ...document,
      services: document.services.filter(({ name }) => name !== 'whole'),
    };
    await lab.apply(without);
    await eventually(() => (muxesOnRoute(lab.plan, address).length === 0 ? true : undefined), 'no route');
    expect(muxesOnRoute(lab.plan, lab.plan.services4[0]!)).toEqual(all());
    await lab.apply(document);
    await routed(lab.plan, all());
  });
});

describe('a mux that leaves', () => {
  it('is the last resort for the router first, then withdraws, and no packet of a running stream is lost', async () => {
    const mux = lab.muxes[1]!;
    const running = await streams();
    const router = watchRouter(mux);
    await eventually(async () => ((await mux.daemon.client.status()).routes ? true : undefined), 'a status');
    const { client } = lab.muxes[0]!.daemon;
    const startedMs = performance.now();
    await client.drainNode(mux.node.name, {});
    await routed(lab.plan, others(mux));
    // Traffic moves at once; the route goes after a while, and membership after that.
    expect(performance.now() - startedMs).toBeLessThan(LEAVE_MS);
    expect((await mux.daemon.client.status()).cluster?.members).toBe(3);
    const left = await mux.daemon.answers(({ cluster }) => cluster?.members === 2);
    expect(left.routes).toMatchObject({ announced: 'withdrawn', addresses: [] });
    expect(performance.now() - startedMs).toBeGreaterThan(LEAVE_MS);
    expect(await router.stop()).toEqual(['normal', 'shutdown', 'none']);
    await client.drainNode(mux.node.name, { undo: true });
    await healthy();
    expect((await expectNoneLost(running)).sent).toBeGreaterThan(1_000);
  });
});

describe('a mux that hangs', () => {
  it('is found by BFD: a stream of clean slots goes on elsewhere', async () => {
    const mux = lab.muxes[2]!;
    const gaps: number[] = [];
    for (let round = 0; round < SILENT_ROUNDS; round++) {
      const running = await streams([mux.node.name], PACKETS_PER_SECOND);
      await sleep(200);
      silence(lab.plan, mux.node, true);
      await routed(lab.plan, others(mux));
      await sleep(200);
      silence(lab.plan, mux.node, false);
      gaps.push((await running.stop()).gapMs);
      await healthy();
    }
    console.log(`gaps of a stream when its mux hangs: ${gaps.map((it) => it.toFixed(0)).join(', ')} ms`);
    const p50 = gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)]!;
    expect(p50).toBeGreaterThan(BFD_INTERVAL_MS * (BFD_MULTIPLIER - 1) - 1);
    expect(p50).toBeLessThanOrEqual(SILENT_LIMIT_MS);
  });

  it('with all its processes stopped loses its routes and no packet: its program goes on until they are gone', async () => {
    const mux = lab.muxes[0]!;
    const { bird, supervisor } = mux.routing!;
    const running = await streams();
    const stopped = [mux.daemon.pid!, bird.process.pid!, supervisor.pid!];
    for (const pid of stopped) process.kill(pid, 'SIGSTOP');
    const tookMs = await routed(lab.plan, others(mux));
    console.log(`router without a mux that is stopped: ${tookMs.toFixed(0)} ms`);
    expect(tookMs).toBeLessThan(1_000);
    // Past its deadline, and whatever it wakes up to believe.
    await sleep(LEASE_MS + 1_000);
    for (const pid of stopped) process.kill(pid, 'SIGCONT');
    await healthy();
    await expectNoneLost(running);
  });
});

describe('a daemon that is killed and stays dead', () => {
  it('has its routes until the deadline, and not after it: the supervisor withdraws them', async () => {
    const mux = lab.muxes[0]!;
    const running = await streams();
    const dueMs = Number(/^deadline (\d+)$/m.exec(willOf(mux))?.[1]);
    await mux.daemon.end('SIGKILL');
    const lastMs = Number(/^deadline (\d+)$/m.exec(willOf(mux))?.[1]);
    expect(lastMs).toBeGreaterThanOrEqual(dueMs);
    await routed(lab.plan, others(mux), LEASE_MS + 5_000);
    const lateMs = hrMs() - lastMs;
    console.log(`routes of a dead daemon were gone ${lateMs.toFixed(0)} ms after its deadline`);
    expect(lateMs).toBeGreaterThan(0);
    expect(lateMs).toBeLessThan(SUPERVISED_WITHIN_MS);
    // A BIRD that is told to read its configuration finds nothing either.
    await mux.routing!.bird.say('configure');
    await sleep(200);
    expect(routedMuxes(lab.plan)).toEqual(Array.from({ length: 4 }, () => others(mux)));
    mux.daemon.launch();
    await healthy();
    await expectNoneLost(running);
  });

  it('relays past the deadline where nobody withdraws: packets reach their backends through another mux', async () => {
    const mux = lab.muxes[0]!;
    const relayed = await mux.daemon.packets('RELAY_DEADLINE');
    mux.routing!.supervisor.signal('SIGSTOP');
    await mux.daemon.end('SIGKILL');
    const running = await streams();
    await sleep(LEASE_MS + 1_000);
    // The router knows no better.
    expect(routedMuxes(lab.plan)).toEqual(Array.from({ length: 4 }, all));
    await sleep(1_000);
    mux.routing!.supervisor.signal('SIGCONT');
    await routed(lab.plan, others(mux));
    const { sent, lost, gapMs } = await expectNoneLost(running);
    mux.daemon.launch();
    await healthy();
    const count = (await mux.daemon.packets('RELAY_DEADLINE')) - relayed;
    console.log(
      `${count} packets relayed past the deadline, ${lost} of ${sent} lost, longest gap ${gapMs.toFixed(0)} ms`,
    );
    // Two streams, and a second and a half.
    expect(count).toBeGreaterThan(200);
  });

  it('that comes back in time has its routes all along', async () => {
    const mux = lab.muxes[1]!;
    const router = watchRouter(mux);
    const running = await streams();
    await mux.daemon.end('SIGKILL');
    mux.daemon.launch();
    await healthy();
    expect(await router.stop()).toEqual(['normal']);
    await expectNoneLost(running);
  });
});

describe('a BIRD', () => {
  it('that is stopped is a problem that status names; its routes are back with it', async () => {
    const mux = lab.muxes[0]!;
    const { bird } = mux.routing!;
    const running = await streams();
    await bird.process.end('SIGTERM');
    await says(mux, 'BIRD does not run.');
    await routed(lab.plan, others(mux));
    expect((await mux.daemon.client.status()).routes).toMatchObject({
      announced: 'normal',
      bird: { state: 'failed', error: 'BIRD does not run' },
    });
    await bird.start();
    await healthy();
    await expectNoneLost(running);
  });

  it('that hangs is found by the router and by status', async () => {
    const mux = lab.muxes[0]!;
    const { bird } = mux.routing!;
    bird.process.signal('SIGSTOP');
    await Promise.all([routed(lab.plan, others(mux)), says(mux, 'does not answer')]);
    bird.process.signal('SIGCONT');
    await healthy();
  });

  it('that refuses its configuration keeps no route that has to go', async () => {
    const mux = lab.muxes[0]!;
    const { bird } = mux.routing!;
    bird.configure('garbage {\n');
    const { client } = lab.muxes[1]!.daemon;
    await client.drainNode(mux.node.name, {});
    await says(mux, 'BIRD refuses its configuration.');
    // It could not be made the last resort, and is withdrawn all the same.
    await routed(lab.plan, others(mux));
    await mux.daemon.answers(({ cluster }) => cluster?.members === 2);
    const { problems } = await mux.daemon.client.status();
    expect(problems.find(({ message }) => message.startsWith('BIRD'))?.cause).toMatch(
      /bird\.conf:\d+:\d+ syntax error/,
    );
    bird.configure();
    await client.drainNode(mux.node.name, { undo: true });
    await healthy();
  });

  it('that does not include the file of holdfastd is told apart', async () => {
    const mux = lab.muxes[0]!;
    const { bird } = mux.routing!;
    const text = readFileSync(bird.configPath, 'utf8');
    bird.replace(text.replace(/^include .*$/m, ''));
    await bird.say('configure');
    await says(mux, 'BIRD does not include the file of holdfastd');
    await routed(lab.plan, others(mux));
    bird.configure();
    await bird.say('configure');
    await healthy();
    expect(await problemsOf(mux)).toEqual([]);
  });
});

describe('programs that are taken off', () => {
  it('are so after the routes have gone: no packet is lost', async () => {
    const mux = lab.muxes[2]!;
    const running = await streams();
    await mux.daemon.client.detach();
    expect((await mux.daemon.client.status()).routes?.announced).toBe('withdrawn');
    await routed(lab.plan, others(mux));
    await mux.daemon.client.attach();
    await healthy();
    await expectNoneLost(running);
  });
});

function willOf({ node }: LabMux): string {
  return readFileSync(join(routesDirectoryOf(lab.plan, node), 'will'), 'utf8');
}

function hrMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
