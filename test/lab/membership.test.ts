// Muxes as a cluster: slots change, a daemon dies, a mux dies, and connections keep their servers.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Muxes, MuxesView } from '../../control/cluster/member_view.ts';
import type { Version } from '../../control/cluster/version.ts';
import { VersionView } from '../../control/cluster/version_view.ts';
import type { Document } from '../../control/config/objects.ts';
import { hostClock } from '../../control/io/host_clock.ts';
import type { Store } from '../../control/store/contract.ts';
import { openStore } from '../../control/store/open.ts';
import { holdfastd } from './command.ts';
import { documentOf, WEIGHT } from './configuration.ts';
import type { Lab } from './lab.ts';
import { labDirectory } from './state.ts';
import { eventually, muxPackets, raiseTestLab, removeTestLab } from './support.ts';

const CONNECTIONS = 60;
/** Of the services: the settle window is a bit more. */
const IDLE_MS = 2_000;
/** Hold, window and cleaning, on a host that does much else. */
const CHANGE_LIMIT_MS = 40_000;
/** Two barriers, and 5 s between them. */
const ROTATION_LIMIT_MS = 20_000;

let lab: Lab;
let store: Store;
let versions: VersionView;
let muxes: MuxesView;

beforeAll(async () => {
  lab = await raiseTestLab({ clients: 1 });
  store = await openStore(`sqlite=${join(labDirectory(lab.plan.name), 'store.db')}`, { clock: hostClock() });
  versions = new VersionView(store);
  muxes = new MuxesView(store, () => undefined);
  await Promise.all([versions.start(), muxes.start()]);
  await eventually(() => (head().members.length === 3 ? true : undefined), 'three members', 20_000);
  await lab.apply(weighted(WEIGHT));
  const agent = await lab.client();
  await agent.call('hold', {
    addresses: [...lab.plan.services4, ...lab.plan.services6],
    connections: CONNECTIONS,
    chunkBytes: 2_000,
    intervalMs: 20,
  });
});
afterAll(async () => {
  await versions?.close();
  await muxes?.close();
  await store?.close();
  await removeTestLab(lab);
});

const head = (): Version => versions.head!;
const said = (): Muxes => muxes.muxes;
const names = (): string[] =>
  head()
    .members.map(({ name }) => name)
    .sort();
const incarnations = () => new Map(head().members.map(({ name, incarnation }) => [name, incarnation]));
const open = () => [...head().placements.values()].flatMap(({ periods }) => periods);

/** The lab's objects, with flows that end soon, and the first backend of this weight. */
function weighted(weight: number): Document {
  const document = documentOf(lab.plan);
  return {
    ...document,
    services: document.services.map((it) => ({ ...it, idleTimeoutMs: IDLE_MS })),
    backends: document.backends.map((it, index) => (index === 0 ? { ...it, weight } : it)),
  };
}

async function expectAllHeld(): Promise<void> {
  const agent = await lab.client();
  const before = await agent.call('heldStatus', {});
  await sleep(300);
  const after = await agent.call('heldStatus', {});
  expect(after).toMatchObject({ held: CONNECTIONS, broken: 0, failures: {} });
  expect(after.fewestRounds).toBeGreaterThan(before.fewestRounds);
}

/** Until nothing waits but for flows to end: those that are held keep their slots tracked. */
const allSettled = () =>
  eventually(
    () => (open().every(({ step }) => step === 'settle') ? true : undefined),
    'the settle step of all changes',
    CHANGE_LIMIT_MS,
  );

describe('three muxes', () => {
  it('are members that have acknowledged the head, hear each other and have nothing to complain of', async () => {
    expect(names()).toEqual(['mux1', 'mux2', 'mux3']);
    await eventually(
      () =>
        names().every((name) => said().acknowledgements.get(name)?.version === head().number)
          ? true
          : undefined,
      'acknowledgements of the head',
    );
    expect(said().suspicions).toEqual([]);
    for (const { daemon } of lab.muxes) {
      expect((await daemon.answers(({ problems }) => problems.length === 0)).problems).toEqual([]);
    }
  });

  it('keep connections when weights change under load', async () => {
    await lab.apply(weighted(WEIGHT / 10));
    expect(open().length).toBeGreaterThan(0);
    await expectAllHeld();
    await allSettled();
    await expectAllHeld();
    // Some of them were in slots that have another backend now, and were asked about.
    const asks = await Promise.all(lab.muxes.map(({ daemon }) => daemon.packets('ASK')));
    expect(asks.reduce((sum, count) => sum + count)).toBeGreaterThan(0);
  });
});

describe('the key that muxes sign with', () => {
  const drops = async (): Promise<number[]> =>
    await Promise.all(
      (['DROP_ASK_TAG', 'DROP_ASK_TIME', 'DROP_ASK_FORMAT'] as const).map((reason) =>
        muxPackets(lab, reason),
      ),
    );

  it('changes while slots are tracked, and no packet is lost by it', async () => {
    const agent = await lab.client();
    await lab.apply(weighted(WEIGHT / 20));
    expect(open().length).toBeGreaterThan(0);
    const [before, asks, { step: first }] = [await drops(), await muxPackets(lab, 'ASK'), said().ring!];
    expect(said().ring!.keys).toHaveLength(1);
    const { client } = lab.muxes[1]!.daemon;
    expect(await client.rotateKeys()).toMatchObject({ step: first + 1, state: 'learning' });
    await expect(client.rotateKeys()).rejects.toThrow('The key is being changed already.');
    // Each time the router takes another way for the connections, caches miss and owners are asked.
    const deadline = performance.now() + ROTATION_LIMIT_MS;
    for (let turn = 0; said().ring!.step < first + 3; turn++) {
      if (performance.now() > deadline) throw new Error(`the keys are at step ${said().ring!.step} still`);
      const { trafficClass } = lab.muxes[turn % lab.muxes.length]!.node;
      const status = await agent.call('steerHeld', { trafficClass });
      expect(status).toMatchObject({ held: CONNECTIONS, broken: 0 });
    }
    await eventually(
      () => (names().every((name) => said().knownKeys.get(name)?.step === first + 3) ? true : undefined),
      'the new key at all muxes',
    );
    for (const { node } of lab.muxes) await agent.call('steerHeld', { trafficClass: node.trafficClass });
    await agent.call('steerHeld', { trafficClass: 0 });
    expect(await client.keys()).toMatchObject({ step: first + 3, state: 'steady', lacking: [] });
    expect(await muxPackets(lab, 'ASK')).toBeGreaterThan(asks);
    expect(await drops()).toEqual(before);
    await expectAllHeld();
  });
});

describe('a daemon that is killed', () => {
  it('leaves its mux forwarding and a member, and returns as the same incarnation', async () => {
    const { daemon } = lab.muxes[1]!;
    const before = incarnations();
    const relayed = [await daemon.packets('FORWARD_ALONE'), await daemon.packets('RELAY_DEADLINE')];
    await daemon.end('SIGKILL');
    await expectAllHeld();
    expect(said().suspicions).toEqual([]);
    await daemon.start();
    await daemon.answers(({ problems, appliedRevision }) => appliedRevision > 0 && problems.length === 0);
    expect(incarnations()).toEqual(before);
    // At no moment was it past its deadline.
    expect([await daemon.packets('FORWARD_ALONE'), await daemon.packets('RELAY_DEADLINE')]).toEqual(relayed);
    await expectAllHeld();
  });
});

describe('a mux that leaves', () => {
  it('is taken out of its chains once others know the flows, and connections stay', async () => {
    const [mux, other] = [lab.muxes[1]!, lab.muxes[0]!];
    const id = head().members.find(({ name }) => name === 'mux2')!.id;
    const isKeeper = () => open().some(({ candidates }) => candidates.flat().some((it) => it.id === id));
    await lab.apply(weighted(WEIGHT / 5));
    await allSettled();
    expect(isKeeper()).toBe(true);
    const before = incarnations().get('mux2')!;
    lab.useMuxes(...lab.muxes.filter((it) => it !== mux));
    await other.daemon.client.drainNode('mux2', {});
    await eventually(() => (names().includes('mux2') ? undefined : true), 'the leave', 30_000);
    expect(isKeeper()).toBe(false);
    const changed = open().filter(({ trackEpoch, chainEpoch }) => chainEpoch > trackEpoch);
    expect(changed.length).toBeGreaterThan(0);
    for (const period of changed) expect(period).toMatchObject({ isCopiedAhead: true, lostSlots: 0 });
    await expectAllHeld();
    await other.daemon.client.drainNode('mux2', { undo: true });
    await eventually(() => (names().includes('mux2') ? true : undefined), 'its return', 30_000);
    expect(incarnations().get('mux2')).toBeGreaterThan(before);
    await mux.daemon.answers(({ problems }) => problems.length === 0);
    lab.useMuxes(...lab.muxes);
    await expectAllHeld();
  });
});

describe('a mux that dies', () => {
  it('is removed while a change is open, its chains are repaired, and connections stay', async () => {
    await lab.apply(weighted(WEIGHT));
    const { daemon } = lab.muxes[2]!;
    await eventually(
      () => (open().some(({ step }) => step === 'commit') ? true : undefined),
      'the commit',
      CHANGE_LIMIT_MS,
    );
    lab.useMuxes(...lab.muxes.slice(0, 2));
    await daemon.end('SIGKILL');
    expect((await holdfastd(`--detach --config ${daemon.configPath}`)).exit).toBe(0);
    await eventually(() => (names().length === 2 ? true : undefined), 'the removal', 30_000);
    expect(names()).toEqual(['mux1', 'mux2']);
    await expectAllHeld();
    await allSettled();
    await expectAllHeld();
  });

  it('comes back as another incarnation', async () => {
    const { daemon } = lab.muxes[2]!;
    const last = Math.max(
      ...head()
        .gone.filter(({ name }) => name === 'mux3')
        .map(({ incarnation }) => incarnation),
    );
    await daemon.start();
    await eventually(() => (names().length === 3 ? true : undefined), 'its return', 30_000);
    const { number } = head();
    await eventually(
      () => ((said().acknowledgements.get('mux3')?.version ?? 0) >= number ? true : undefined),
      'its acknowledgement',
    );
    expect(incarnations().get('mux3')).toBeGreaterThan(last);
    lab.useMuxes(...lab.muxes);
    await sleep(300);
    await expectAllHeld();
  });
});
