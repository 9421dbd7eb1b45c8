// An etcd that is killed, stopped and started again on the same data while somebody watches, leads and holds leases.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { hostClock } from '../../control/io/host_clock.ts';
import { Failure } from '../../control/lib/failure.ts';
import type { Store, WatchEvent } from '../../control/store/contract.ts';
import { openStore } from '../../control/store/open.ts';
import { EtcdServer, freePort } from '../contract/etcd_server.ts';
import { failureOf, take } from '../contract/store_support.ts';

type Finish = (work: () => Promise<void>) => void;

/** An etcd of the test's own: tests run side by side, as most of their time is waiting. */
async function fresh(onTestFinished: Finish): Promise<{ server: EtcdServer; store: Store }> {
  const server = await EtcdServer.start();
  onTestFinished(() => server.remove());
  return { server, store: await open(onTestFinished, server.url) };
}

async function open(onTestFinished: Finish, urls: string): Promise<Store> {
  const store = await openStore(`etcd=${urls}`, { clock: hostClock() });
  onTestFinished(() => store.close());
  return store;
}

/** Until it answers. */
async function untilWritten(store: Store, key: string, value: string): Promise<number> {
  for (;;) {
    try {
      return (await store.txn([], [{ put: key, value }])).revision;
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== 'unavailable') throw error;
      await sleep(50);
    }
  }
}

/** As callers watch: again from the revision after the last one seen, wherever the store was lost. */
async function watchAll(store: Store, from: number, until: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  let next = from;
  const stop = new AbortController();
  while (!stop.signal.aborted) {
    try {
      for await (const event of store.watch('w/', next, stop.signal)) {
        if (event.kind !== 'changes') throw new Error(event.kind);
        events.push(event);
        next = event.revision + 1;
        if (event.revision >= until) stop.abort();
      }
    } catch (error) {
      if (!(error instanceof Failure) || error.code !== 'unavailable') throw error;
      await sleep(50);
    }
  }
  return events;
}

describe.concurrent('an etcd that is killed and started again', () => {
  it('has told watchers every change, once and in order', async ({ onTestFinished }) => {
    const { server, store } = await fresh(onTestFinished);
    const rounds = 60;
    const watching = watchAll(store, 2, 1 + rounds);
    const revisions: number[] = [];
    for (let round = 0; round < rounds; round++) {
      if (round % 20 === 10) {
        await server.kill();
        void sleep(100).then(() => server.start());
      }
      // Nothing is under way when it is killed, so each is written exactly once.
      revisions.push(await untilWritten(store, `w/${round % 3}`, `${round}`));
    }
    const events = await watching;
    expect(events.map((it) => it.kind === 'changes' && it.revision)).toEqual(revisions);
    expect(revisions).toEqual(Array.from({ length: rounds }, (_, index) => index + 2));
  });

  it('keeps leases that are renewed in time, and lets others end', async ({ onTestFinished }) => {
    const { server, store } = await fresh(onTestFinished);
    const kept = await store.lease(3_000);
    const left = await store.lease(1_000);
    await store.txn(
      [],
      [
        { put: 'kept', value: '', leaseId: kept.id },
        { put: 'left', value: '', leaseId: left.id },
      ],
    );
    await server.kill();
    expect(await failureOf(kept.renew())).toBe('unavailable');
    await server.start();
    expect(await kept.renew()).toBe(true);
    await take(store, 'left', 3, 1);
    expect(await left.renew()).toBe(false);
    expect(await store.get('kept')).toBeDefined();
    expect(await store.get('left')).toBeUndefined();
  });

  it('leaves a leader in office if it is back in time', async ({ onTestFinished }) => {
    const { server, store } = await fresh(onTestFinished);
    const leadership = await store.campaign('x', 'us', { ttlMs: 2_000 });
    await server.kill();
    await sleep(200);
    await server.start();
    await sleep(2_200);
    expect(leadership.lost.aborted).toBe(false);
    expect(await store.leader('x')).toEqual({ value: 'us', epoch: leadership.epoch });
    await leadership.resign();
  });

  it.for(['killed', 'stopped'] as const)(
    'has a leader step down before its lease can end, where etcd is %s',
    async (how, { onTestFinished }) => {
      const { server, store } = await fresh(onTestFinished);
      const ttlMs = 1_000;
      const startedMs = performance.now();
      const leadership = await store.campaign('x', 'us', { ttlMs });
      let lostMs = Number.NaN;
      leadership.lost.addEventListener('abort', () => {
        lostMs = performance.now();
      });
      // After some renewals.
      await sleep(800);
      const takenMs = performance.now();
      if (how === 'killed') await server.kill();
      else server.pause();
      await new Promise((resolve) => leadership.lost.addEventListener('abort', resolve));
      // The last renewal was sent before etcd was taken, so etcd lets the lease live until then plus its time at least.
      expect(lostMs).toBeLessThan(takenMs + ttlMs);
      expect(lostMs - startedMs).toBeGreaterThan(ttlMs);
      expect(leadership.lost.reason).toMatchObject({ code: 'conflict', reason: 'its lease ran out' });
      server.resume();
    },
  );
});

describe.concurrent('an etcd that does not answer', () => {
  it('is told from one that is not there', async ({ onTestFinished }) => {
    const { server, store } = await fresh(onTestFinished);
    const nowhere = await open(onTestFinished, `http://127.0.0.1:${await freePort()}`);
    await expect(nowhere.get('a')).rejects.toMatchObject({
      code: 'unavailable',
      reason: 'Nobody listens there.',
    });
    await store.txn([], [{ put: 'a', value: '' }]);
    server.pause();
    const startedMs = performance.now();
    await expect(store.get('a')).rejects.toMatchObject({
      code: 'unavailable',
      reason: 'No answer within 3000 ms.',
    });
    expect(performance.now() - startedMs).toBeLessThan(4_000);
    server.resume();
    expect(await store.get('a')).toBeDefined();
  });

  it('ends a watch in time, although nobody closes its connection', async ({ onTestFinished }) => {
    const { server, store } = await fresh(onTestFinished);
    const watching = failureOf(take(store, '', 2, 1));
    await sleep(200);
    server.pause();
    const startedMs = performance.now();
    expect(await watching).toBe('unavailable');
    expect(performance.now() - startedMs).toBeLessThan(12_000);
    server.resume();
  });
});

describe.concurrent('several members', () => {
  it('are asked in turn: one that is dead does not matter', async ({ onTestFinished }) => {
    const { server } = await fresh(onTestFinished);
    const dead = `http://127.0.0.1:${await freePort()}`;
    const either = await open(onTestFinished, `${dead},${server.url}`);
    for (let round = 0; round < 5; round++) await either.txn([], [{ put: 'a', value: `${round}` }]);
    expect(await either.get('a')).toMatchObject({ value: '4' });
    expect(await take(either, '', 2, 5)).toHaveLength(5);
    const both = await open(onTestFinished, `${dead},http://127.0.0.1:${await freePort()}`);
    const failure = await both.get('a').catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'unavailable', message: 'none of the 2 members of etcd answers' });
    expect((failure as Failure).reason?.match(/Nobody listens there/g)).toHaveLength(2);
  });

  it('may die one after the other; a minority says that it has no leader', async ({ onTestFinished }) => {
    const names = ['a', 'b', 'c'];
    const peers = await Promise.all(
      names.map(async (name) => [name, `http://127.0.0.1:${await freePort()}`] as const),
    );
    const cluster = peers.map(([name, peer]) => `${name}=${peer}`).join();
    const members = await Promise.all(
      peers.map(([name, peer]) =>
        EtcdServer.start([
          ...['--name', name, '--initial-cluster', cluster],
          ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ]),
      ),
    );
    onTestFinished(async () => {
      for (const member of members) await member.remove();
    });
    const store = await open(onTestFinished, members.map(({ url }) => url).join());
    const watching = watchAll(store, 2, 31);
    for (let round = 0; round < 30; round++) {
      if (round === 15) await members[0]!.kill();
      // Without comparisons, what was perhaps done may be done twice; the value says so.
      await untilWritten(store, 'w/a', `${round}`);
    }
    const values = (await watching).map((it) => it.kind === 'changes' && it.changes[0]!.kind);
    expect(values).toEqual(Array(30).fill('put'));
    expect(await store.get('w/a')).toMatchObject({ value: '29' });
    await members[1]!.kill();
    const failure = (await store.get('w/a').catch((error: unknown) => error)) as Failure;
    expect(failure).toMatchObject({ code: 'unavailable', message: 'none of the 3 members of etcd answers' });
    expect(failure.reason).toContain('Nobody listens there');
    const left = await open(onTestFinished, members[2]!.url);
    await expect(left.get('w/a')).rejects.toMatchObject({
      message: 'etcd has no leader',
      remedy: expect.stringContaining('more than half'),
    });
  });
});

describe.concurrent('an etcd that has no space left', () => {
  it('says so, and what to do', async ({ onTestFinished }) => {
    const small = await EtcdServer.start(['--quota-backend-bytes', '1000000']);
    onTestFinished(() => small.remove());
    const full = await open(onTestFinished, small.url);
    const fill = async () => {
      for (let round = 0; round < 10; round++)
        await full.txn([], [{ put: `k${round}`, value: 'x'.repeat(400_000) }]);
    };
    await expect(fill()).rejects.toMatchObject({
      code: 'limit',
      message: 'etcd has no space left and takes no changes',
      remedy: expect.stringContaining('alarm disarm'),
    });
    expect(await full.get('k0')).toBeDefined();
  });
});
