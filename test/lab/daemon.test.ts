// Daemons are killed, restarted and given edits while traffic flows through what they look after.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeVariant, NEXT_VERSION } from '../bpf/lib/variant.ts';
import { documentOf, POOL } from './configuration.ts';
import { Trickle } from './generator.ts';
import type { Lab, LabMux } from './lab.ts';
import { raiseTestLab, removeTestLab } from './support.ts';
import { versionBecomes } from './versions.ts';

const CONNECTIONS = 60;
const SETTLE_MS = 300;
/** A connection with the ports of one that may not have ended, by the idle timeout, goes where that went. */
const REUSED_MAX = 2_400 * 0.04;

let lab: Lab;
let mux: LabMux;
let trickle: Trickle;

beforeAll(async () => {
  lab = await raiseTestLab({ clients: 1 });
  mux = lab.muxes[0]!;
  trickle = new Trickle(lab.plan, lab.ports, mux.node);
  const agent = await lab.client();
  await agent.call('hold', {
    addresses: [...lab.plan.services4, ...lab.plan.services6],
    connections: CONNECTIONS,
    chunkBytes: 2_000,
    intervalMs: 10,
  });
});
afterAll(async () => {
  trickle?.close();
  await removeTestLab(lab);
});

/** Packets through the mux all the while, of which none is lost; how many there were. */
async function trickleUntil(done: Promise<unknown>): Promise<number> {
  let isDone = false;
  const ending = done.finally(() => {
    isDone = true;
  });
  const { sent, tunnelled } = await trickle.run(() => isDone);
  await ending;
  expect(sent).toBeGreaterThan(0);
  expect(tunnelled).toBe(sent);
  return sent;
}

async function expectAllHeld(): Promise<void> {
  const agent = await lab.client();
  const before = await agent.call('heldStatus', {});
  await sleep(SETTLE_MS);
  const after = await agent.call('heldStatus', {});
  expect(after).toMatchObject({ held: CONNECTIONS, broken: 0, failures: {} });
  expect(after.fewestRounds).toBeGreaterThan(before.fewestRounds);
}

describe.each(['SIGKILL', 'SIGTERM'] as const)('a mux whose daemon ends by %s', (signal) => {
  it('goes on forwarding, and loses no packet when the daemon starts again', async () => {
    const before = (await mux.daemon.client.stats()).reasons.FORWARD!;
    let sent = await trickleUntil(mux.daemon.end(signal));
    await expect(mux.daemon.client.status()).rejects.toMatchObject({ code: 'unavailable' });
    sent += await trickleUntil(sleep(SETTLE_MS));
    await expectAllHeld();
    mux.daemon.launch();
    sent += await trickleUntil(mux.daemon.answers(({ appliedRevision }) => appliedRevision > 0));
    sent += await trickleUntil(sleep(SETTLE_MS));
    const status = await mux.daemon.client.status();
    expect(status).toMatchObject({ adopted: 'adopted', problems: [] });
    expect(status.attachments).toMatchObject([{ interface: 'eth0', mode: 'native', pinned: true }]);
    // Every packet was counted, by whichever program; those of held connections come on top.
    const after = (await mux.daemon.client.stats()).reasons.FORWARD!;
    expect(after - before).toBeGreaterThanOrEqual(sent);
    await expectAllHeld();
  });

  it('goes on counting where it was', async () => {
    const of = async () => {
      const { services, backends } = await mux.daemon.client.stats();
      return { services, backends };
    };
    const agent = await lab.client();
    const load = { addresses: [lab.plan.services4[0]!], count: 50, concurrency: 5, timeoutMs: 5_000 };
    expect(await agent.call('requests', load)).toMatchObject({ failed: 0 });
    const before = await of();
    await mux.daemon.end(signal);
    await mux.daemon.start();
    const after = await of();
    for (const kind of ['services', 'backends'] as const) {
      for (const [at, row] of before[kind].entries()) {
        expect(after[kind][at]!.packets).toBeGreaterThanOrEqual(row.packets);
        expect(after[kind][at]!.newFlows).toBe(row.newFlows);
      }
    }
    expect(before.services.some(({ newFlows }) => newFlows > 0)).toBe(true);
  });
});

describe('another version of holdfastd, with other layouts of its tables', () => {
  it('takes over and gives back, and no packet is lost', async () => {
    const next = join(makeVariant('daemon', NEXT_VERSION), 'control/main.ts');
    for (const [main, origin] of [
      [next, 'migrated'],
      [undefined, 'migrated'],
      [undefined, 'adopted'],
    ] as const) {
      await mux.daemon.end('SIGTERM');
      mux.daemon.launch(main);
      await trickleUntil(mux.daemon.answers(({ appliedRevision }) => appliedRevision > 0));
      await trickleUntil(sleep(SETTLE_MS));
      expect(await mux.daemon.client.status()).toMatchObject({ adopted: origin, problems: [] });
      await expectAllHeld();
    }
  });
});

describe('a backend whose daemon is killed', () => {
  it('goes on taking the tunnel off', async () => {
    for (const { daemon } of lab.backends) await daemon.end('SIGKILL');
    await expectAllHeld();
    await Promise.all(lab.backends.map(({ daemon }) => daemon.start()));
    await expectAllHeld();
    for (const { daemon } of lab.backends) {
      expect(await daemon.client.status()).toMatchObject({ adopted: 'adopted' });
    }
  });
});

describe('a change made while a daemon is dead', () => {
  afterEach(() => lab.apply(documentOf(lab.plan)));

  it('is applied when it comes back', async () => {
    await mux.daemon.end('SIGKILL');
    const other = lab.muxes[1]!.daemon.client;
    const { revision } = await other.addService({
      name: 'late',
      addresses: ['198.18.0.99'],
      protocol: 'tcp',
      port: 81,
      pool: POOL,
    });
    mux.daemon.launch();
    const sent = trickleUntil(mux.daemon.answers(({ appliedRevision }) => appliedRevision >= revision));
    expect(await sent).toBeGreaterThan(0);
    const flow = { source: '198.18.17.2', sourcePort: 5, destination: '198.18.0.99', destinationPort: 81 };
    const explained = await Promise.all(
      lab.muxes.map(({ daemon }) => daemon.client.explain({ flow: { protocol: 'tcp', ...flow } })),
    );
    expect(explained[0]).toMatchObject({ verdict: 'FORWARD', service: 'late' });
    // All muxes, also the one that was away, send the flow to one backend.
    expect(new Set(explained.map(({ backend }) => backend)).size).toBe(1);
    await expectAllHeld();
  });
});

describe('detach and attach', () => {
  it('take the mux off its interface and put it back, with its tables', async () => {
    const { client } = mux.daemon;
    lab.useMuxes(...lab.muxes.slice(1));
    await expectAllHeld();
    expect(await client.detach({})).toEqual([]);
    const end = Date.now() + 50;
    expect(await trickle.run(() => Date.now() > end)).toMatchObject({ tunnelled: 0 });
    await versionBecomes(lab.plan.name, ({ members }) => !members.some(({ name }) => name === mux.node.name));
    expect(await client.attach({})).toMatchObject([{ interface: 'eth0', mode: 'native', pinned: true }]);
    // Routes lead to a mux again when it is a member again.
    await versionBecomes(lab.plan.name, ({ members }) => members.some(({ name }) => name === mux.node.name));
    await sleep(SETTLE_MS);
    await trickleUntil(sleep(SETTLE_MS));
    lab.useMuxes(...lab.muxes);
    await expectAllHeld();
  });

  it('say so where there is nothing to do or no such interface', async () => {
    const { client } = mux.daemon;
    await expect(client.detach({ interface: 'lo' })).rejects.toMatchObject({
      code: 'not_found',
      message: 'Nothing of Holdfast is attached to lo.',
    });
    await expect(client.attach({ interface: 'eth9' })).rejects.toMatchObject({
      code: 'not_found',
      message: 'There is no interface eth9.',
    });
    expect(await client.attach({})).toHaveLength(1);
  });
});

describe('edits under traffic', () => {
  const names = () => lab.plan.backends.map(({ name }) => name);
  const requests = async () => {
    const agent = await lab.client();
    const addresses = [...lab.plan.services4, ...lab.plan.services6];
    const result = await agent.call('requests', {
      addresses,
      count: 2_400,
      concurrency: 48,
      timeoutMs: 10_000,
    });
    expect(result).toMatchObject({ succeeded: 2_400, failed: 0 });
    return result.perBackend;
  };
  afterEach(() => lab.apply(documentOf(lab.plan)));

  it('a weight changes the share of new connections', async () => {
    const [first] = names();
    const change = await mux.daemon.client.changeBackend(POOL, first!, { weight: 300 });
    // From 1/6 to 3/8 of the slots, and no other slot moves.
    expect(change.moved).toEqual([{ pool: POOL, slots: expect.any(Number), of: 65_537 }]);
    expect(change.moved[0]!.slots / 65_537).toBeCloseTo(3 / 8 - 1 / 6, 3);
    await lab.settles(change.revision);
    const counts = await requests();
    // 900 expected; the standard deviation is 24.
    expect(counts[first!]).toBeGreaterThan(900 - 6 * 24);
    expect(counts[first!]).toBeLessThan(900 + 6 * 24);
  });

  it('a drained backend gets no new connection', async () => {
    const [first] = names();
    const { revision } = await mux.daemon.client.changeBackend(POOL, first!, { weight: 0 });
    await lab.settles(revision);
    const counts = await requests();
    expect(counts[first!] ?? 0).toBeLessThan(REUSED_MAX);
    expect(Object.keys(counts)).toEqual(expect.arrayContaining(names().slice(1)));
  });

  it('a backend that is removed and added again serves again', async () => {
    const [first] = documentOf(lab.plan).backends;
    const removed = await mux.daemon.client.removeBackend(POOL, first!.name);
    await lab.settles(removed.revision);
    expect((await requests())[first!.name] ?? 0).toBeLessThan(REUSED_MAX);
    const added = await mux.daemon.client.addBackend(first!);
    await lab.settles(added.revision);
    const share = (await requests())[first!.name]!;
    // 400 expected; the standard deviation is 18.
    expect(share).toBeGreaterThan(400 - 6 * 18);
    expect(share).toBeLessThan(400 + 6 * 18);
  });

  it('are seen by whoever listens to events', async () => {
    const seen: string[] = [];
    const listening = (async () => {
      for await (const event of mux.daemon.client.events()) {
        seen.push(event.kind);
        if (event.kind === 'applied') break;
      }
    })();
    await sleep(100);
    await mux.daemon.client.changeBackend(POOL, names()[0]!, { weight: 99 });
    await listening;
    expect(seen.at(0)).toBe('changed');
    expect(seen).toContain('version');
  });
});
