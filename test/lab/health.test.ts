// Health checks through the tunnel, by real muxes of real backends: a silent backend is out, comes back as another
// generation, the last ones are kept, and one mux that cannot reach a backend takes nothing away from the others.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Muxes, MuxesView } from '../../control/cluster/member_view.ts';
import type { Version } from '../../control/cluster/version.ts';
import { VersionView } from '../../control/cluster/version_view.ts';
import { ClusterView } from '../../control/cluster/view.ts';
import type { StoredBackend } from '../../control/config/cluster_state.ts';
import type { Document } from '../../control/config/objects.ts';
import { hostClock } from '../../control/io/host_clock.ts';
import type { Store } from '../../control/store/contract.ts';
import { openStore } from '../../control/store/open.ts';
import { documentOf, POOL } from './configuration.ts';
import type { Lab, LabBackend } from './lab.ts';
import { HTTP_PORT } from './plan.ts';
import { labDirectory } from './state.ts';
import { raiseTestLab, removeTestLab } from './support.ts';

const INTERVAL_MS = 250;
const FALL = 2;
/** The bench's target. */
const DEAD_MS = 1_000;
/** Hold, window and cleaning of a change, on a host that does much else. */
const LIMIT_MS = 40_000;

let lab: Lab;
let store: Store;
let cluster: ClusterView;
let versions: VersionView;
let muxes: MuxesView;

beforeAll(async () => {
  lab = await raiseTestLab({ clients: 1 });
  store = await openStore(`sqlite=${join(labDirectory(lab.plan.name), 'store.db')}`, { clock: hostClock() });
  cluster = new ClusterView(store);
  versions = new VersionView(store);
  muxes = new MuxesView(store, () => undefined);
  await Promise.all([cluster.start(), versions.start(), muxes.start()]);
  await lab.apply(checked());
});
afterAll(async () => {
  await cluster?.close();
  await versions?.close();
  await muxes?.close();
  await store?.close();
  await removeTestLab(lab);
});

function checked(health: Partial<NonNullable<Document['pools'][number]['health']>> = {}): Document {
  const document = documentOf(lab.plan);
  return {
    ...document,
    services: document.services.map((it) => ({ ...it, idleTimeoutMs: 1_000 })),
    pools: document.pools.map((it) => ({
      ...it,
      health: {
        type: 'http',
        via: 'tunnel',
        port: HTTP_PORT,
        path: '/hello/check',
        body: '"nonce":"check"',
        intervalMs: INTERVAL_MS,
        timeoutMs: 200,
        rise: 2,
        fall: FALL,
        jitter: 0.1,
        panicPercent: 25,
        ...health,
      },
    })),
  };
}

const stored = ({ node }: LabBackend): StoredBackend => cluster.state.backends.get(`${POOL}/${node.name}`)!;
const indexOf = (backend: LabBackend): number => stored(backend).index;

/** Resolves with when it became so: told by the store, not asked. */
function becomes(what: string, holds: () => boolean): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const timer = setTimeout(() => reject(new Error(`not within ${LIMIT_MS} ms: ${what}`)), LIMIT_MS);
  const look = () => {
    if (holds()) resolve(performance.now());
  };
  const ends = [cluster.onChange(look), versions.onChange(look), muxes.onChange(look)];
  look();
  return promise.finally(() => {
    clearTimeout(timer);
    for (const end of ends) end();
  });
}

const said = (): Muxes => muxes.muxes;
const head = (): Version => versions.head!;

function namesIt(index: number): boolean {
  return [...head().placements.values()].some(({ current }) => current.includes(index));
}

/** Its share is its own again, and nothing is open. */
function takesNewFlows(index: number): boolean {
  const all = [...head().placements.values()];
  return namesIt(index) && all.every(({ periods }) => periods.length === 0);
}

/** No slot of the head sends new flows there, and every member has the head in effect. */
function takesNoNewFlows(index: number): boolean {
  const { number, members } = head();
  return (
    !namesIt(index) && members.every(({ name }) => said().acknowledgements.get(name)?.version === number)
  );
}

const verdicts = () => [...said().health.values()].map(({ value }) => JSON.parse(value) as { up: unknown[] });
const allUp = () =>
  verdicts().length === lab.muxes.length && verdicts().every(({ up }) => up.length === lab.backends.length);

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
    const times: number[] = [];
    for (let round = 0; round < 3; round++) {
      await becomes('all are up and take flows', () => allUp() && takesNewFlows(indexOf(victim)));
      const silentAtMs = performance.now();
      const impaired = lab.impair(victim.node, { lossPercent: 100 }).then(() => performance.now());
      const trackedAtMs = becomes('its slots are tracked', () =>
        [...head().placements.values()].some(({ periods }) => periods.some(({ isUrgent }) => isUrgent)),
      );
      const movedAtMs = becomes('x', () => !namesIt(indexOf(victim)));
      const downAtMs = await becomes('it is found dead', () => stored(victim).observed?.down !== undefined);
      const outAtMs = await becomes('no new flow goes there', () => takesNoNewFlows(indexOf(victim)));
      expect(outAtMs).toBeGreaterThanOrEqual(downAtMs);
      times.push(outAtMs - silentAtMs);
      console.log(
        `impaired ${Math.round((await impaired) - silentAtMs)} tracked ${Math.round((await trackedAtMs) - silentAtMs)} moved ${Math.round((await movedAtMs) - silentAtMs)}`,
      );
      console.log(
        `dead-backend-ms ${Math.round(outAtMs - silentAtMs)}, found after ${Math.round(downAtMs - silentAtMs)}`,
      );
      expect(stored(victim)).toMatchObject({ isDead: true, weight: before.weight });
      expect(stored(victim).observed?.down?.reason).toContain('timeout');
      await lab.impair(victim.node, { lossPercent: 0 });
      await becomes('it is back', () => stored(victim).observed?.down === undefined);
      expect(stored(victim).isDead).toBeUndefined();
    }
    expect(stored(victim).index).toBe(before.index);
    expect(stored(victim).generation).not.toBe(before.generation);
    expect(Math.min(...times)).toBeLessThanOrEqual(DEAD_MS);
  });
});
