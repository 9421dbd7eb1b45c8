// Health checks through the tunnel, by real muxes of real backends: a silent backend is out, comes back as another
// generation, the last ones are kept, and one mux that cannot reach a backend takes nothing away from the others.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StoredBackend } from '../../control/config/cluster_state.ts';
import type { Document } from '../../control/config/objects.ts';
import { POOL } from './configuration.ts';
import { FALL, INTERVAL_MS, silenceBackend, TIMEOUT_MS, withChecks } from './health.ts';
import type { Lab, LabBackend } from './lab.ts';
import { ip, runIn } from './shell.ts';
import { eventually, raiseTestLab, removeTestLab } from './support.ts';
import { ClusterWatch } from './watch.ts';

/** Of a busy machine. */
const SLACK_MS = 300;
const ROUNDS = 3;
const DRAIN_MS = 12_000;

let lab: Lab;
let watch: ClusterWatch;

beforeAll(async () => {
  lab = await raiseTestLab({ clients: 1 });
  watch = await ClusterWatch.open(lab.plan.name);
  await lab.apply(checked());
});
afterAll(async () => {
  await watch?.close();
  await removeTestLab(lab);
});

/** What its server says of itself; it goes on serving. */
function becomesReady({ node }: LabBackend, isReady: boolean): void {
  const url = `http://${lab.plan.services4[0]!}/ready/${isReady ? 'on' : 'off'}`;
  runIn(node.netns, 'curl', '-sf', '-X', 'POST', url);
}

const checked = (health: Partial<NonNullable<Document['pools'][number]['health']>> = {}): Document =>
  withChecks(lab.plan, health);
const becomes = (what: string, holds: () => boolean): Promise<number> => watch.becomes(what, holds);
/** What a daemon says: it hears of things by a watch of its own, later perhaps than this one. */
const says = (what: string, holds: () => Promise<boolean>): Promise<true> =>
  eventually(async () => ((await holds()) ? true : undefined), what);
const stored = (backend: LabBackend): StoredBackend => watch.stored(backend);
const takesNewFlows = (backend: LabBackend): boolean =>
  watch.isNamed(stored(backend).index) && watch.isSettled();

type Written = { up: unknown[]; down: unknown[] };
const verdictOf = (mux: string): Written => JSON.parse(watch.said.health.get(mux)!.value) as Written;
const allUp = () =>
  watch.foundUp().length === lab.muxes.length &&
  watch.foundUp().every((count) => count === lab.backends.length);

describe('health checks', () => {
  it('find every backend alive, of every tunnel and address version, by every mux', async () => {
    await becomes('all muxes find all backends alive', allUp);
    const shown = await lab.muxes[0]!.daemon.client.backends();
    for (const { health } of shown) {
      expect(health).toMatchObject({ state: 'up' });
      expect(health?.muxes.map(({ name }) => name)).toEqual(lab.muxes.map(({ node }) => node.name));
    }
  });

  it('take a silent backend out, and give it back as another generation', async () => {
    const victim = lab.backends[1]!;
    const before = stored(victim);
    await lab.impair(victim.node, { lossPercent: 0 });
    for (let round = 0; round < ROUNDS; round++) {
      await becomes('all are up and take flows', () => allUp() && takesNewFlows(victim));
      const after = await silenceBackend(lab, watch, victim);
      expect(Object.values(after)).toEqual(Object.values(after).toSorted((a, b) => a - b));
      // Of two intervals and a time limit; what comes then depends on who shares the machine.
      expect(after.foundMs).toBeLessThanOrEqual(FALL * INTERVAL_MS + TIMEOUT_MS + SLACK_MS);
      expect(stored(victim)).toMatchObject({ isDead: true, weight: before.weight });
      expect(stored(victim).observed?.down?.reason).toContain('timeout');
      await lab.impair(victim.node, { lossPercent: 0 });
      await becomes('it is back', () => stored(victim).observed?.down === undefined);
      expect(stored(victim).isDead).toBeUndefined();
    }
    expect(stored(victim).index).toBe(before.index);
    expect(stored(victim).generation).not.toBe(before.generation);
    await lab.straighten(victim.node);
  });

  it('do not take away what one mux of three cannot reach', async () => {
    await becomes('all are up', allUp);
    const [cut, ...others] = lab.muxes;
    const alone = lab.backends[0]!;
    const key = `${POOL}/${alone.node.name}`;
    ip(cut!.node.netns, `route add blackhole ${alone.node.tunnelAddress}/32`);
    try {
      await becomes('one mux finds it dead', () => verdictOf(cut!.node.name).down.length === 1);
      const { client } = others[0]!.daemon;
      const states = async () => {
        const { health } = await client.backend(POOL, alone.node.name);
        expect(health).toMatchObject({ state: 'up' });
        return health!.muxes.map(({ name, state }) => `${name} ${state}`).join();
      };
      const disputed = [`${cut!.node.name} down`, ...others.map(({ node }) => `${node.name} up`)].join();
      await says('another one hears of it', async () => (await states()) === disputed);
      const disputes = (await client.doctor()).filter(({ check }) => check === 'health-dispute');
      expect(disputes.map(({ message }) => message)).toEqual([
        `muxes disagree over ${key}: ${others.map(({ node }) => node.name).join(' and ')} find it alive, ${cut!.node.name} dead`,
      ]);
      // Longer than taking it away would take.
      await sleep(1_000);
      expect(stored(alone).observed).toBeUndefined();
    } finally {
      ip(cut!.node.netns, `route del blackhole ${alone.node.tunnelAddress}/32`);
    }
    await becomes('all are up', allUp);
  });

  it('keep the last ones where all are found dead, and clients are served', async () => {
    const { client } = lab.muxes[0]!.daemon;
    for (const it of lab.backends) becomesReady(it, false);
    const isDown = () => lab.backends.filter((it) => stored(it).observed?.down !== undefined).length;
    // Of six, a quarter of the weight must stay: two.
    await becomes('four are down', () => isDown() === lab.backends.length - 2);
    await becomes('all muxes find all dead', () =>
      lab.muxes.every(({ node }) => verdictOf(node.name).down.length === lab.backends.length),
    );
    expect(isDown()).toBe(lab.backends.length - 2);
    const states = async () => (await client.backends()).map(({ health }) => health!.state).sort();
    await says('two are kept', async () => (await states()).join() === 'down,down,down,down,kept,kept');
    await says('that is a problem', async () => {
      const found = await client.doctor();
      return found.filter(({ check }) => check === 'health-panic').length === 1;
    });
    const agent = await lab.client();
    const load = { addresses: [lab.plan.services4[0]!], count: 50, concurrency: 5, timeoutMs: 5_000 };
    expect(await agent.call('requests', load)).toMatchObject({ succeeded: 50, failed: 0 });
    for (const it of lab.backends) becomesReady(it, true);
    await becomes('all are back', () => isDown() === 0);
  });

  it('that nobody passes, such as those of a wrong port, take nobody away', async () => {
    await becomes('all are up', allUp);
    const { client } = lab.muxes[0]!.daemon;
    // Not as the lab does, which waits for ways to all backends.
    await client.apply(checked({ path: '/missing', body: undefined }));
    const pending = () =>
      lab.muxes.every(({ node }) => {
        const { up, down } = verdictOf(node.name);
        return up.length + down.length === 0;
      });
    await becomes('no mux has an opinion', pending);
    await sleep(1_000);
    expect(lab.backends.filter((it) => stored(it).observed?.down !== undefined)).toEqual([]);
    await says('why', async () => {
      const [shown] = await client.backends();
      const said = shown!.health!.muxes[0]!.reason ?? '';
      return said.includes('no backend of the pool has passed this check yet');
    });
    await client.apply(checked());
    await becomes('all are up', allUp);
  });

  it('leave drains their flows until the deadline, and say how many are left', async () => {
    await becomes('nothing is open', () => allUp() && takesNewFlows(lab.backends[0]!));
    const agent = await lab.client();
    const hold = { addresses: [lab.plan.services4[0]!], connections: 40, chunkBytes: 500, intervalMs: 50 };
    await agent.call('hold', hold);
    const drained = lab.backends[2]!;
    const { client } = lab.muxes[0]!.daemon;
    await client.changeBackend(POOL, drained.node.name, { weight: 0 }, { deadlineMs: DRAIN_MS });
    const left = await eventually(
      async () => {
        const counts = await Promise.all(
          lab.muxes.map(({ daemon }) => daemon.client.backend(POOL, drained.node.name)),
        );
        const flows = counts.reduce((sum, { flowsLeft = 0 }) => sum + flowsLeft, 0);
        return flows > 0 ? flows : undefined;
      },
      'its flows are counted',
      DRAIN_MS,
    );
    expect(left).toBeLessThanOrEqual(hold.connections);
    expect(stored(drained).isDead).toBeUndefined();
    expect(await agent.call('heldStatus', {})).toMatchObject({ broken: 0 });
    await becomes('its deadline has come', () => stored(drained).isDead === true);
    await eventually(
      async () => ((await agent.call('heldStatus', {})).broken > 0 ? true : undefined),
      'what was left is given up',
    );
    await agent.call('release', {});
  });
});
