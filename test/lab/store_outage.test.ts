// Daemons on an etcd that is killed, unreachable and away when they start: they forward on, say so, and catch up.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { POOL } from './configuration.ts';
import { Trickle } from './generator.ts';
import type { Lab, LabMux } from './lab.ts';
import { ipBatch } from './shell.ts';
import { eventually, raiseTestLab, removeTestLab } from './support.ts';

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
    await mux.daemon.end('SIGKILL');
    await forwardsDuring(sleep(100));
    mux.daemon.launch();
    // What the program does is a version's, and the node keeps a copy of the intent only: it applies nothing, and the
    // program goes on with what it has until the deadline that the daemon before has earned.
    const status = await mux.daemon.answers(({ attachments }) => attachments.length > 0);
    expect(status.cluster!.version).toBeGreaterThan(0);
    expect(status).toMatchObject({ adopted: 'adopted', store: { connected: false } });
    expect(status.attachments).toHaveLength(1);
    expect(status.problems.map(({ message }) => message).join()).toMatch(/own copy of the cluster, of 20/);
    await forwardsDuring(sleep(300));
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

  it('forwards on where etcd comes back empty, until what was exported is applied', async () => {
    const exported = await mux.daemon.client.export();
    await lab.etcd!.end('SIGKILL');
    lab.etcd!.forget();
    await forwardsDuring(lab.etcd!.start());
    const lost = /lost the cluster/;
    const says = ({ daemon }: LabMux) =>
      daemon.answers(({ problems }) => problems.some(({ message }) => lost.test(message)));
    await forwardsDuring(Promise.all(lab.muxes.map(says)));
    // Nor does one that starts now take the empty store for the cluster.
    await mux.daemon.end('SIGTERM');
    mux.daemon.launch();
    await forwardsDuring(says(mux));
    await lab.muxes[1]!.daemon.client.apply(exported, {}).catch(() => undefined);
    await forwardsDuring(followsAgain());
    expect(await weightAt(mux)).toBe(300);
  });
});
