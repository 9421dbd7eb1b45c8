// Which certificates count: of whom, until when, for what; and that they change while everybody goes on asking.
import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ASK_KEYS_KEY } from '../../../control/cluster/keys.ts';
import { hostClock } from '../../../control/io/host_clock.ts';
import { openStore } from '../../../control/store/open.ts';
import { CLOCK_MARGIN_MS } from '../../../control/trust/identity_core.ts';
import { certify, makeAuthority, makeKeyPair } from '../../../control/trust/issue.ts';
import { AUTHORITY_KEYS_KEY } from '../../../control/trust/layout.ts';
import { asked, begun, eventually, joined, type Shown, type TestNode, userOf } from './cluster.ts';

const DAY_MS = 86_400_000;

/** A certificate by the cluster's own authority, which no record has. */
async function forged(
  { trust, store }: TestNode,
  kind: 'node' | 'user',
  name: string,
  { lifeMs = DAY_MS, nowMs = Date.now() } = {},
): Promise<Shown> {
  const { cluster } = await trust.members();
  const { keys } = JSON.parse((await store.get(AUTHORITY_KEYS_KEY))!.value);
  const { authorities } = JSON.parse((await store.get('trust/authority'))!.value);
  const { publicKey, key } = await makeKeyPair();
  const [{ id, certificate: ca }] = authorities;
  const { certificate } = await certify(
    { certificate: ca, key: keys[id] },
    publicKey,
    { cluster: cluster!, kind, name },
    { lifeMs, nowMs },
  );
  return { cert: certificate, key, ca };
}

/** The serial of the certificate that a node shows. */
async function served({ port }: TestNode, shown: Shown): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, ...shown, ca: [shown.ca].flat(), minVersion: 'TLSv1.3' });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const serial = socket.getPeerX509Certificate()!.serialNumber;
  socket.destroy();
  return serial;
}

const refusal = async (asking: Promise<unknown>) =>
  await asking.then(
    () => 'answered',
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );

/** Node.js closes without an alert, which a client sees as one or the other. */
const CLOSED = [
  'ECONNRESET',
  'EPIPE',
  'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
  'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED',
];

describe('a certificate', () => {
  it('of another authority is refused in the handshake', async () => {
    const { first } = await begun();
    const { cluster } = await first.trust.members();
    const alice = await userOf(first, 'alice', 'admin');
    const other = await makeAuthority(cluster!, 1, Date.now());
    const { publicKey, key } = await makeKeyPair();
    const name = { cluster: cluster!, kind: 'user', name: 'alice' } as const;
    const { certificate } = await certify(other, publicKey, name, { lifeMs: DAY_MS, nowMs: Date.now() });
    expect(CLOSED).toContain(await refusal(asked(first, { cert: certificate, key, ca: alice.ca })));
  });

  it.each([
    ['that has expired', { lifeMs: DAY_MS, nowMs: Date.now() - 2 * DAY_MS }],
    ['that is not valid yet', { nowMs: Date.now() + DAY_MS }],
  ])('%s is refused in the handshake', async (_, given) => {
    const { first } = await begun();
    await userOf(first, 'alice', 'admin');
    expect(CLOSED).toContain(await refusal(asked(first, await forged(first, 'user', 'alice', given))));
  });

  it('of a host whose clock is behind counts at once', async () => {
    const { first } = await begun();
    const alice = await userOf(first, 'alice', 'view');
    const { validFrom } = new X509Certificate(alice.cert!);
    expect(Date.now() - Date.parse(validFrom)).toBeGreaterThanOrEqual(CLOCK_MARGIN_MS);
  });

  it('that no record has does not count, though the authority signed it', async () => {
    const { first } = await begun();
    await userOf(first, 'alice', 'admin');
    expect(await asked(first, await forged(first, 'user', 'alice'))).toMatchObject({
      status: 401,
      body: {
        code: 'unauthorized',
        message: 'This certificate does not count in the cluster.',
        cause: 'user alice was removed, or has another certificate since.',
      },
    });
    expect((await asked(first, await forged(first, 'user', 'mallory'))).status).toBe(401);
    expect((await asked(first, await forged(first, 'node', 'mux1'))).status).toBe(401);
  });

  it('of a user is none of a server', async () => {
    const { first } = await begun();
    const alice = await userOf(first, 'alice', 'admin');
    const server = createServer({ cert: alice.cert!, key: alice.key! }, (socket) => socket.end());
    server.on('tlsClientError', () => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    expect(await refusal(asked({ port }, alice))).toBe('INVALID_PURPOSE');
    await new Promise((resolve) => server.close(resolve));
  });

  it('must be shown again by each connection: none is resumed', async () => {
    const { first } = await begun();
    const alice = await userOf(first, 'alice', 'view');
    const options = {
      host: '127.0.0.1',
      port: first.port,
      ...alice,
      ca: [alice.ca].flat(),
      minVersion: 'TLSv1.3',
    } as const;
    const one = connect(options);
    const sessions: Buffer[] = [];
    one.on('session', (session) => sessions.push(session));
    await new Promise((resolve) => one.once('secureConnect', resolve));
    one.write('GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    one.resume();
    await new Promise((resolve) => one.once('close', resolve));
    const session = sessions.at(-1);
    const two = connect({ ...options, ...(session !== undefined && { session }) });
    await new Promise((resolve) => two.once('secureConnect', resolve));
    expect(two.isSessionReused()).toBe(false);
    two.destroy();
  });
});

/** Listens to events, which are there. */
async function listening(
  { port }: TestNode,
  shown: Shown,
): Promise<{ ended: Promise<void>; isOpen(): boolean }> {
  const socket = connect({ host: '127.0.0.1', port, ...shown, ca: [shown.ca].flat() });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  socket.write('GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return { ended, isOpen: () => !socket.closed };
}

describe('a user who listens', () => {
  it('and may less than before is cut off; who may as much, or more, is not', async () => {
    const { first } = await begun();
    const [alice, bob] = [await userOf(first, 'alice', 'admin'), await userOf(first, 'bob', 'view')];
    const [alices, bobs] = [await listening(first, alice), await listening(first, bob)];
    await first.trust.setUser('bob', 'operate');
    await first.trust.setUser('alice', 'operate');
    await alices.ended;
    const again = await listening(first, alice);
    await first.trust.setUser('alice', 'view');
    await again.ended;
    expect(bobs.isOpen()).toBe(true);
  });

  it('is cut off some time after the certificate has ended', async () => {
    vi.useFakeTimers({ toFake: ['setInterval'], shouldAdvanceTime: true });
    onTestFinished(() => void vi.useRealTimers());
    const { first } = await begun();
    const alice = await userOf(first, 'alice', 'view', 3_000 / DAY_MS);
    const stream = await listening(first, alice);
    const untilMs = Date.parse(new X509Certificate(alice.cert!).validTo) - Date.now();
    await new Promise((resolve) => setTimeout(resolve, untilMs));
    expect(stream.isOpen()).toBe(true);
    vi.advanceTimersByTime(60_000);
    await stream.ended;
  });
});

describe('a user who is removed', () => {
  it('is refused at every node, and the connections that are open end', async () => {
    const { cluster, first } = await begun();
    const second = await joined(cluster, first, 'mux2');
    const alice = await userOf(first, 'alice', 'view');
    await eventually(
      async () => ((await asked(second, alice)).status === 200 ? true : undefined),
      'an answer',
    );
    const { ended } = await listening(second, alice);
    await first.trust.removeUser('alice');
    await ended;
    for (const node of [first, second]) {
      expect(await asked(node, alice)).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
    }
  });

  it('and added again needs the new certificate', async () => {
    const { first } = await begun();
    const before = await userOf(first, 'alice', 'view');
    await first.trust.removeUser('alice');
    const after = await userOf(first, 'alice', 'view');
    expect((await asked(first, before)).status).toBe(401);
    expect((await asked(first, after)).status).toBe(200);
  });
});

describe('a user who gets another certificate', () => {
  it('is refused with the one before at once: it may be lost, and may have had a lower role', async () => {
    const { first } = await begun();
    const before = await userOf(first, 'alice', 'view');
    expect((await asked(first, before)).status).toBe(200);
    const after = await userOf(first, 'alice', 'admin');
    expect((await asked(first, after)).status).toBe(200);
    expect(await asked(first, before)).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
  });

  it('keeps the one before where no node could be asked with the other', async () => {
    const { cluster, first } = await begun();
    const before = await userOf(first, 'alice', 'view');
    const silent = await joined(cluster, first, 'mux2', { listens: false });
    await expect(userOf(silent, 'alice', 'admin')).rejects.toThrow('no node listens on the network');
    expect((await asked(first, before)).status).toBe(200);
  });
});

describe('a node that is removed', () => {
  it('is refused at once, stops to serve, and may join again', async () => {
    const { cluster, first } = await begun();
    const second = await joined(cluster, first, 'mux2');
    const alice = await userOf(first, 'alice', 'view');
    expect((await asked(second, alice)).status).toBe(200);
    const { certificate, key, authority } = (await second.trust.peerIdentity('mux1'))!;
    const own = { cert: certificate, key, ca: authority };
    expect((await asked(first, own)).status).toBe(200);
    await first.trust.forget('mux2');
    expect(await asked(first, own)).toMatchObject({ status: 401 });
    await eventually(
      async () => ((await second.trust.members()).standing === 'removed' ? true : undefined),
      'that mux2 knows',
    );
    expect(second.problems.list()).toMatchObject([{ message: 'mux2 is no node of the cluster any more.' }]);
    await eventually(
      async () => ((await refusal(asked(second, alice))) === 'ECONNREFUSED' ? true : undefined),
      'that mux2 serves nobody',
    );
    await expect(second.store.get(AUTHORITY_KEYS_KEY)).rejects.toThrow('has not joined');
    const { token } = await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    await second.trust.join(token);
    expect((await asked(second, alice)).status).toBe(200);
  });

  it('knows no key of the muxes: where one is being changed another follows, and until then it is told', async () => {
    const { cluster, first } = await begun();
    await joined(cluster, first, 'mux2');
    const key = (id: number) => ({ id, secret: 'BAAAAAAAAAAAAAAAAAAAAA==' });
    const changing = { step: 2, keys: [key(0), key(1)], use: 0, madeAtMs: 1 };
    await first.store.txn([], [{ put: ASK_KEYS_KEY, value: JSON.stringify(changing) }]);
    await first.trust.forget('mux2');
    const told = () => first.problems.list().map(({ message }) => message);
    expect(told()).toEqual(['The key that muxes sign with is one that mux2 knows, which was removed.']);
    const steady = { step: 3, keys: [key(1)], use: 1, madeAtMs: 1 };
    await first.store.txn([], [{ put: ASK_KEYS_KEY, value: JSON.stringify(steady) }]);
    await eventually(() => (told().length === 0 ? true : undefined), 'another key');
    expect(JSON.parse((await first.store.get(ASK_KEYS_KEY))!.value)).toMatchObject({
      step: 4,
      keys: [key(1), { id: expect.any(Number) }],
    });
  });

  it.each([
    ['that has removed it and has begun again', 'mux1'],
    ['that is left where the one that has removed it is away', 'mux3'],
  ])('knows no key of the muxes soon, thanks to the mux %s', async (_, by) => {
    const { cluster, first } = await begun();
    await joined(cluster, first, 'mux2');
    const third = by === 'mux3' ? await joined(cluster, first, 'mux3') : undefined;
    const key = (id: number) => ({ id, secret: 'BAAAAAAAAAAAAAAAAAAAAA==' });
    const changing = { step: 2, keys: [key(0), key(1)], use: 0, madeAtMs: 1 };
    await first.store.txn([], [{ put: ASK_KEYS_KEY, value: JSON.stringify(changing) }]);
    await first.trust.forget('mux2');
    const node = third ?? (await first.again());
    if (third !== undefined) await first.stop();
    const steady = { step: 3, keys: [key(1)], use: 1, madeAtMs: 1 };
    await node.store.txn([], [{ put: ASK_KEYS_KEY, value: JSON.stringify(steady) }]);
    await eventually(
      async () => ((await node.store.get('trust/removal')) === undefined ? true : undefined),
      'an end',
    );
    expect(JSON.parse((await node.store.get(ASK_KEYS_KEY))!.value)).toMatchObject({
      step: 4,
      keys: [key(1), { id: 2 }],
    });
    await eventually(() => (node.problems.list().length === 0 ? true : undefined), 'no problem');
  });

  it('that leaves by itself gives everything back', async () => {
    const { cluster, first } = await begun();
    const second = await joined(cluster, first, 'mux2');
    await second.trust.leave({ force: false });
    expect((await first.trust.members()).nodes.map(({ name }) => name)).toEqual(['mux1']);
    const again = await second.again('mux3');
    expect((await again.trust.members()).standing).toBe('alone');
  });
});

describe('a store that has lost everything', () => {
  it('takes nobody for removed; what is put back is sealed, and the cluster can begin anew', async () => {
    const { cluster, first } = await begun();
    const second = await joined(cluster, first, 'mux2');
    const { entries } = await first.store.list('trust/');
    await first.store.txn(
      [],
      entries.map(({ key }) => ({ delete: key })),
    );
    for (const node of [first, second]) {
      await eventually(
        () => (node.problems.list().some(({ cause }) => cause === 'It has no authority.') ? true : undefined),
        'a problem',
      );
      expect((await node.trust.members()).standing).toBe('member');
    }
    const reader = await openStore(`sqlite=${cluster.directory}/store.db`, { clock: hostClock() });
    await second.store.txn([], [{ put: ASK_KEYS_KEY, value: 'put back' }]);
    expect((await reader.get(ASK_KEYS_KEY))?.value).toMatch(/^sealed1:/);
    await reader.close();
    await second.store.txn([], [{ delete: ASK_KEYS_KEY }]);
    await first.trust.init();
    const { token } = await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    await eventually(
      async () => ((await second.trust.members()).cluster === undefined ? undefined : true),
      'that mux2 knows of the new one',
    );
    await second.trust.join(token);
    const alice = await userOf(second, 'alice', 'view');
    for (const node of [first, second]) expect((await asked(node, alice)).status).toBe(200);
  });
});

describe('a certificate that is in use', () => {
  it('counts on, however many were made since that the node did not get', async () => {
    const { cluster, first } = await begun();
    const second = await joined(cluster, first, 'mux2');
    const { certificate, key, authority } = (await second.trust.peerIdentity('mux1'))!;
    const node = { cert: certificate, key, ca: authority };
    await second.stop();
    for (let attempt = 0; attempt < 3; attempt++) {
      const { publicKey } = await makeKeyPair();
      const answer = await asked(first, node, 'POST', '/v1/cluster/renew', { publicKey, addresses: [] });
      expect(answer.status).toBe(200);
    }
    expect((await asked(first, node, 'GET', '/v1/flows')).status).toBe(200);
  });

  it('is not replaced where the disk is full, and is where there is room again', async () => {
    const { first } = await begun();
    const record = async () => JSON.parse((await first.store.get('trust/nodes/mux1'))!.value).certificates;
    const before = await record();
    // Nothing can be written aside.
    const aside = join(first.directory, 'identity.json.new');
    mkdirSync(aside);
    await first.trust.rotate('certificates');
    await eventually(
      () => first.problems.list().find(({ message }) => message.includes('was not written')),
      'a problem',
    );
    expect(await record()).toEqual(before);
    rmdirSync(aside);
    await first.trust.rotate('certificates');
    await eventually(() => (first.problems.list().length === 0 ? true : undefined), 'no problem');
    const after = await record();
    expect(after).toMatchObject([before[0], { epoch: 3 }]);
    const { certificate, nextKey } = JSON.parse(readFileSync(join(first.directory, 'identity.json'), 'utf8'));
    expect(new X509Certificate(certificate).serialNumber).toBe(after[1].serial);
    expect(nextKey).toBeUndefined();
  });
});

describe('while all certificates change', () => {
  /** Requests one after the other at all nodes, with fresh connections, until it is told to stop. */
  function asking(nodes: readonly TestNode[], shown: Shown) {
    const refused: unknown[] = [];
    let count = 0;
    let isDone = false;
    const all = nodes.map(async (node) => {
      while (!isDone) {
        count++;
        const answer = await asked(node, shown).catch((error: unknown) => ({ status: 0, body: error }));
        if (answer.status !== 200) refused.push(answer);
      }
    });
    return {
      refused,
      count: () => count,
      stop: async () => {
        isDone = true;
        await Promise.all(all);
      },
    };
  }

  it('nobody is refused, by rotation of nodes or of the authority; the former is forgotten when nobody needs it', async () => {
    const { cluster, first } = await begun();
    const second = await joined(cluster, first, 'mux2');
    const backend = await joined(cluster, first, 'web1', { role: 'backend' });
    const nodes = [first, second];
    const alice = await userOf(first, 'alice', 'view');
    const before = await Promise.all(nodes.map((node) => served(node, alice)));
    const load = asking(nodes, alice);
    await first.trust.rotate('certificates');
    await eventually(async () => {
      const now = await Promise.all(nodes.map((node) => served(node, alice)));
      return now.every((serial, index) => serial !== before[index]) ? true : undefined;
    }, 'other certificates');
    await second.trust.rotate('authority');
    // alice keeps the certificate and the authority that she has, and is answered.
    const { authority } = await eventually(async () => {
      const members = await first.trust.members();
      return members.nodes.filter(({ isFormer }) => isFormer).length === 1 ? members : undefined;
    }, 'certificates of the next authority');
    expect(authority).toMatchObject({ number: 2, isReplacing: true, waitsFor: ['node web1', 'user alice'] });
    expect((await asked(first, alice)).status).toBe(200);
    const bob = await userOf(second, 'bob', 'view');
    expect((await asked(first, bob)).status).toBe(200);
    await load.stop();
    expect(load.refused).toEqual([]);
    expect(load.count()).toBeGreaterThan(20);
    // No mux of this test has its API registered, which backends look for.
    await backend.trust.leave({ force: false });
    const renewed = await userOf(first, 'alice', 'view');
    await eventually(async () => {
      const { authority: now } = await second.trust.members();
      return now?.isReplacing === false ? true : undefined;
    }, 'an end of the former authority');
    await eventually(async () => {
      const outcome = await refusal(asked(first, alice));
      return outcome === 'answered' ? undefined : true;
    }, 'that the former authority is not believed');
    for (const node of nodes) {
      expect((await asked(node, renewed)).status).toBe(200);
      expect((await asked(node, bob)).status).toBe(200);
    }
  });

  it('an authority that the one before has not certified is not believed, whoever wrote it', async () => {
    const { cluster, first } = await begun();
    const second = await joined(cluster, first, 'mux2');
    const entry = (await first.store.get('trust/authority'))!;
    const state = JSON.parse(entry.value);
    const other = await makeAuthority(state.cluster, 2, Date.now());
    const forgedState = {
      ...state,
      authorities: [...state.authorities, { id: 2, certificate: other.certificate }],
    };
    await first.store.txn([], [{ put: entry.key, value: JSON.stringify(forgedState) }]);
    await eventually(
      async () =>
        second.problems
          .list()
          .some(({ message }) => message === "Authority 2 in the store is not the cluster's.")
          ? true
          : undefined,
      'a problem',
    );
    const { publicKey, key } = await makeKeyPair();
    const name = { cluster: state.cluster, kind: 'user', name: 'mallory' } as const;
    const { certificate } = await certify(other, publicKey, name, { lifeMs: DAY_MS, nowMs: Date.now() });
    const ca = state.authorities[0].certificate;
    expect(CLOSED).toContain(await refusal(asked(second, { cert: certificate, key, ca })));
  });
});
