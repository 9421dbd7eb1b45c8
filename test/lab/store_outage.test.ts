// Daemons on an etcd that is killed, unreachable and away when they start: they forward on, say so, and catch up.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FAILURES } from '../../control/lib/failure.ts';
import { told as errorText, holdfastd, type Outcome } from './command.ts';
import { LEASE_MS, nodeFileOf, POOL, placeOf } from './configuration.ts';
import { Trickle } from './generator.ts';
import type { Lab, LabMux } from './lab.ts';
import { ipBatch } from './shell.ts';
import { eventually, muxPackets, raiseTestLab, removeTestLab } from './support.ts';

/** Whoever decides so long after it has heard the store has another proof. */
const LONG_MS = 1.2 * LEASE_MS;

let lab: Lab;
let mux: LabMux;
let trickle: Trickle;

beforeAll(async () => {
  lab = await raiseTestLab({ clients: 1, muxes: 2, backends: 3, store: 'etcd' });
  mux = lab.muxes[0]!;
  trickle = new Trickle(lab.plan, lab.ports, mux.node);
});
afterAll(async () => {
  trickle?.close();
  await removeTestLab(lab);
});

/** Packets through the mux meanwhile, of which none is lost. */
async function forwardsDuring(work: Promise<unknown>): Promise<void> {
  let isDone = false;
  const ending = work.finally(() => {
    isDone = true;
  });
  const { sent, tunnelled } = await trickle.run(() => isDone);
  await ending;
  expect(sent).toBeGreaterThan(0);
  expect(tunnelled).toBe(sent);
}

const weigh = (weight: number, by = lab.muxes[1]!) =>
  by.daemon.client.changeBackend(POOL, lab.plan.backends[0]!.name, { weight });

const weightAt = async ({ daemon }: LabMux) =>
  (await daemon.client.backends()).find(({ name }) => name === lab.plan.backends[0]!.name)!.weight;

const saysAway = () =>
  Promise.all(
    lab.muxes.map(({ daemon }) =>
      daemon.answers(({ store, problems }) => !store.connected && problems.length > 0),
    ),
  );

/** Of each mux, what an outage must not change. */
const selves = () =>
  Promise.all(
    lab.muxes.map(async ({ daemon }) => {
      const { cluster } = await daemon.client.status();
      const { id, incarnation, state, version, members, pastDeadline } = cluster!;
      return { id, incarnation, state, version, members, pastDeadline };
    }),
  );

/** What is known of nodes, without what changes by itself. */
const registered = async () =>
  (await mux.daemon.client.nodes()).map(({ name, roles, state }) => ({ name, roles, state }));

/** In-band headers that a mux did not take from another. */
async function asksRefused(): Promise<number> {
  const counts = await Promise.all(
    (['DROP_ASK_TAG', 'DROP_ASK_SOURCE', 'DROP_ASK_TIME', 'DROP_ASK_INCARNATION'] as const).map((reason) =>
      muxPackets(lab, reason),
    ),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

async function followsAgain(): Promise<void> {
  await Promise.all(
    [...lab.muxes, ...lab.backends].map(({ daemon }) =>
      daemon.answers(({ store, problems }) => store.connected && problems.length === 0),
    ),
  );
}

describe('a cluster on etcd', () => {
  it('has every change at every node', async () => {
    const { revision } = await weigh(150);
    await lab.settles(revision);
    expect(await weightAt(mux)).toBe(150);
    expect(await mux.daemon.client.status()).toMatchObject({
      store: { kind: 'etcd', connected: true },
      problems: [],
    });
  });

  it('forwards on while etcd is killed, refuses edits, and catches up when it is back', async () => {
    await forwardsDuring(
      (async () => {
        await lab.etcd!.end('SIGKILL');
        await saysAway();
      })(),
    );
    const { problems } = await mux.daemon.client.status();
    expect(problems.map(({ message }) => message).join()).toMatch(
      /etcd at 198\.18\.61\.2:2379 does not answer/,
    );
    await expect(weigh(50)).rejects.toMatchObject({ code: 'unavailable', reason: 'Nobody listens there.' });
    await forwardsDuring(lab.etcd!.start());
    await forwardsDuring(followsAgain());
    const { revision } = await weigh(200);
    await lab.settles(revision);
    expect(await weightAt(mux)).toBe(200);
  });

  it('notices that etcd cannot be reached, although nobody says so, and misses no change', async () => {
    const router = lab.plan.router.netns;
    ipBatch(router, ['link set etcd down']);
    await forwardsDuring(saysAway());
    ipBatch(router, ['link set etcd up']);
    await forwardsDuring(followsAgain());
    const { revision } = await weigh(100);
    await lab.settles(revision);
    expect(await weightAt(mux)).toBe(100);
  });

  it('starts a daemon while etcd is away, from what it saved, and says how old that is', async () => {
    // Written within a second of the last change.
    await sleep(1_000);
    await lab.etcd!.end('SIGKILL');
    const before = await selves();
    await mux.daemon.end('SIGKILL');
    await forwardsDuring(sleep(100));
    mux.daemon.launch();
    // The program is what it was, and the copy says what version it has: the mux is the member that it was.
    const status = await mux.daemon.answers(
      ({ cluster, attachments }) => cluster?.state === 'member' && attachments.length > 0,
    );
    expect(status).toMatchObject({ adopted: 'adopted', store: { connected: false } });
    expect(await selves()).toEqual(before);
    expect(status.problems.map(({ message }) => message).join()).toMatch(/own copy of the cluster, of 20/);
    // Longer than any lease: by now it is pledges that let both decide.
    await forwardsDuring(sleep(LONG_MS));
    expect(await selves()).toEqual(before);
    expect(await muxPackets(lab, 'RELAY_DEADLINE')).toBe(0);
    await lab.etcd!.start();
    await followsAgain();
    // If it was the leader that was killed, its lease has to end first, which the store has begun anew.
    const { revision } = await eventually(() => weigh(300).catch(() => undefined), 'an edit', 20_000);
    await lab.settles(revision);
    expect(await weightAt(mux)).toBe(300);
    await eventually(
      async () => ((await mux.daemon.client.status()).problems.length === 0 ? true : undefined),
      'no problem',
    );
  });

  it('has no second node of one name: who comes later is told of the other, and changes nothing of it', async () => {
    const other = lab.backends[0]!.node;
    const place = placeOf(lab.plan, { ...other, name: 'namesake' });
    mkdirSync(place.directory, { recursive: true });
    const path = join(place.directory, 'holdfastd.yaml');
    const like = { ...mux.node, name: 'namesake' };
    writeFileSync(path, nodeFileOf(lab.plan, like).replace('node: namesake', `node: ${mux.node.name}`));
    const before = [await selves(), await registered()];
    let told: Outcome | undefined;
    await forwardsDuring(
      (async () => {
        const prefix = ['ip', 'netns', 'exec', other.netns];
        told = await holdfastd(`--config ${path}`, { prefix });
      })(),
    );
    expect(told).toMatchObject({ exit: FAILURES.conflict.exit });
    expect(told!.stderr).toBe(
      errorText(
        `Another node is registered as ${mux.node.name}, at ${mux.node.address4}.`,
        `this one is at ${other.address4}`,
        'Give one of them another name (node in its configuration); after a change of address, wait some seconds',
      ),
    );
    expect([await selves(), await registered()]).toEqual(before);
  });

  it('forwards on where etcd comes back empty, until what was exported is applied', async () => {
    const exported = await mux.daemon.client.export();
    await lab.etcd!.end('SIGKILL');
    lab.etcd!.forget();
    const before = await selves();
    const refused = await asksRefused();
    await forwardsDuring(lab.etcd!.start());
    const lost = /lost the cluster/;
    const says = ({ daemon }: LabMux) =>
      daemon.answers(({ problems }) => problems.some(({ message }) => lost.test(message)));
    await forwardsDuring(Promise.all(lab.muxes.map(says)));
    // Nor does one that starts now take the empty store for the cluster.
    await mux.daemon.end('SIGTERM');
    mux.daemon.launch();
    await forwardsDuring(says(mux));
    await forwardsDuring(mux.daemon.answers(({ cluster }) => cluster?.state === 'member'));
    expect(await selves()).toEqual(before);
    // One edit alone would be all that the cluster is.
    await expect(lab.muxes[1]!.daemon.client.addPool({ name: 'other', slots: 101 })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(lost),
    });
    // Longer than a lease: each has registered in the empty store, and put back what is its own.
    await forwardsDuring(sleep(LONG_MS));
    await forwardsDuring(lab.muxes[1]!.daemon.client.apply(exported, {}));
    await forwardsDuring(followsAgain());
    expect(await weightAt(mux)).toBe(300);
    // The same muxes with the same keys, and versions go on.
    for (const [at, self] of (await selves()).entries()) {
      expect(self).toMatchObject({
        id: before[at]!.id,
        incarnation: before[at]!.incarnation,
        pastDeadline: false,
      });
      expect(self!.version).toBeGreaterThan(before[at]!.version);
    }
    const { revision } = await weigh(100);
    await lab.settles(revision);
    await forwardsDuring(sleep(300));
    expect(await asksRefused()).toBe(refused);
  });
});
