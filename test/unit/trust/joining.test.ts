// A cluster begins, and nodes join it: over real TLS, with tokens that count once.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ASK_KEYS_KEY } from '../../../control/cluster/keys.ts';
import { hostClock } from '../../../control/io/host_clock.ts';
import { Failure } from '../../../control/lib/failure.ts';
import type { Store } from '../../../control/store/contract.ts';
import { openStore } from '../../../control/store/open.ts';
import { formatToken, type JoinToken, parseToken } from '../../../control/trust/token_core.ts';
import { asked, begun, failureOf, joined, testTrust, userOf } from './cluster.ts';

function parsedToken(text: string): JoinToken {
  const token = parseToken(text);
  if ('wrong' in token) throw new Error(token.wrong);
  return token;
}

/** A store, some of whose methods are others. */
function overlaid(store: Store, methods: Partial<Store>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const value = Reflect.get(methods, name) ?? Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('the first node', () => {
  it('begins the cluster, and is asked with the certificates that it makes', async () => {
    const { first } = await begun();
    const { standing, nodes, authority } = await first.trust.members();
    expect(standing).toBe('member');
    expect(nodes).toMatchObject([{ name: 'mux1', roles: ['mux'], self: true, isFormer: false }]);
    expect(authority).toMatchObject({ number: 1, epoch: 1, isReplacing: false, waitsFor: [] });
    const alice = await userOf(first, 'alice', 'view');
    expect((await asked(first, alice)).status).toBe(200);
  });

  it('keeps its identity for root alone, and has it again after a restart', async () => {
    const { first } = await begun();
    const path = join(first.directory, 'identity.json');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const alice = await userOf(first, 'alice', 'view');
    const again = await first.again();
    expect((await asked(again, alice)).status).toBe(200);
    expect((await again.trust.members()).standing).toBe('member');
  });

  it('leaves no secret in the store that its readers could use', async () => {
    const { cluster, first } = await begun();
    const ring = '{"step":1,"keys":[],"use":0}';
    await first.store.txn([], [{ put: ASK_KEYS_KEY, value: ring }]);
    const reader = await openStore(`sqlite=${cluster.directory}/store.db`, { clock: hostClock() });
    const { entries } = await reader.list('');
    await reader.close();
    const all = entries.map(({ value }) => value).join('\n');
    expect(all).not.toContain('PRIVATE KEY');
    expect(all).not.toContain('"step":1,"keys"');
    const { secret } = JSON.parse(readFileSync(join(first.directory, 'identity.json'), 'utf8'));
    expect(all).not.toContain(secret);
    expect((await first.store.get(ASK_KEYS_KEY))?.value).toBe(ring);
  });

  it('is one: another on the same store is refused', async () => {
    const { cluster } = await begun();
    const second = await cluster.node('mux2');
    const { body } = await failureOf(second.trust.init());
    expect(body).toMatchObject({ code: 'conflict', message: 'This cluster has an authority already.' });
    expect((await second.trust.members()).standing).toBe('alone');
    const again = await second.again();
    expect((await again.trust.members()).standing).toBe('alone');
  });

  it.each([
    ['did it, and was asked again', true, true],
    ['did it, and is away', true, false],
    ['did not do it', false, true],
  ])('keeps the secret of the cluster where the store failed and %s', async (_, isDone, isBack) => {
    const cluster = testTrust();
    let isAway = false;
    let isHealed = false;
    const between = (store: Store): Store =>
      overlaid(store, {
        get: async (key) => {
          if (isAway && !isBack) throw new Failure('unavailable', 'it is away', {});
          return await store.get(key);
        },
        txn: async (comparisons, operations) => {
          if (isHealed || isAway || comparisons.length === 0) return await store.txn(comparisons, operations);
          isAway = true;
          if (isDone) await store.txn(comparisons, operations);
          throw new Failure('unavailable', 'the store does not say whether it did that', {});
        },
      });
    const first = await cluster.node('mux1', { between });
    const outcome = await first.trust.init().then(
      () => 'done',
      ({ code }: Failure) => code,
    );
    expect(outcome).toBe(isDone && isBack ? 'done' : 'unavailable');
    expect(JSON.parse(readFileSync(join(first.directory, 'identity.json'), 'utf8'))).toHaveProperty('secret');
    [isHealed, isAway] = [true, false];
    const again = await first.again();
    if (isDone) expect((await again.trust.members()).nodes).toMatchObject([{ name: 'mux1' }]);
    else await again.trust.init();
    await again.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
  });

  it('must be on the network, and a mux', async () => {
    const cluster = testTrust();
    const silent = await cluster.node('mux1', { listens: false });
    expect((await failureOf(silent.trust.init())).body).toMatchObject({
      code: 'configuration',
      cause: 'Its configuration has no api.listen.',
    });
    const backend = await cluster.node('web1', { role: 'backend' });
    expect((await failureOf(backend.trust.init())).body).toMatchObject({
      code: 'unsupported',
      message: 'A cluster begins with a mux.',
    });
  });
});

describe('a node with a token', () => {
  it('joins, serves, and makes certificates that all others believe', async () => {
    const { cluster, first } = await begun();
    const second = await joined(cluster, first, 'mux2');
    expect((await second.trust.members()).nodes.map(({ name }) => name)).toEqual(['mux1', 'mux2']);
    const alice = await userOf(second, 'alice', 'view');
    expect((await asked(first, alice)).status).toBe(200);
    expect((await asked(second, alice)).status).toBe(200);
  });

  it('that is a backend gets no secret, and makes no certificates', async () => {
    const { cluster, first } = await begun();
    const backend = await joined(cluster, first, 'web1', { role: 'backend' });
    expect(JSON.parse(readFileSync(join(backend.directory, 'identity.json'), 'utf8'))).not.toHaveProperty(
      'secret',
    );
    const { body } = await failureOf(backend.trust.createToken({ roles: ['mux'], ttlMs: 60_000 }));
    expect(body).toMatchObject({ code: 'unsupported', message: 'This node makes no certificates.' });
  });

  it('of a backend is no mux', async () => {
    const { cluster, first } = await begun();
    const { token } = await first.trust.createToken({ roles: ['backend'], ttlMs: 60_000 });
    const mux = await cluster.node('mux2');
    expect((await failureOf(mux.trust.join(token))).body).toMatchObject({
      code: 'forbidden',
      message: 'The join token is not for a node that is mux.',
    });
  });

  it('uses it up: of two at the same moment one joins, and the other is told', async () => {
    const { cluster, first } = await begun();
    const { token } = await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    const both = [await cluster.node('mux2'), await cluster.node('mux3')];
    const outcomes = await Promise.allSettled(both.map(({ trust }) => trust.join(token)));
    const refused = outcomes.filter((it) => it.status === 'rejected');
    expect(refused).toHaveLength(1);
    expect(refused[0]!.reason.body).toMatchObject({
      code: 'forbidden',
      message: 'The join token was used already.',
      cause: expect.stringMatching(/^mux[23] joined with it on /),
    });
    expect((await first.trust.members()).nodes).toHaveLength(2);
  });

  it('cannot use one that was taken back, or has expired', async () => {
    const { cluster, first } = await begun();
    const second = await cluster.node('mux2');
    // Another one keeps the port open.
    await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    const removed = await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    await first.trust.removeToken(removed.id);
    expect((await failureOf(second.trust.join(removed.token))).body).toMatchObject({
      code: 'forbidden',
      message: 'This cluster does not know the join token.',
    });
    const expired = await first.trust.createToken({ roles: ['mux'], ttlMs: -1 });
    expect((await failureOf(second.trust.join(expired.token))).body).toMatchObject({
      code: 'forbidden',
      message: 'The join token has expired.',
    });
  });

  it('finds the port closed while there is no token', async () => {
    const { cluster, first } = await begun();
    const second = await cluster.node('mux2');
    const { id, token } = await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    await first.trust.removeToken(id);
    expect((await failureOf(second.trust.join(token))).body).toMatchObject({
      code: 'unavailable',
      cause: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('must have the store of the cluster; the token counts on', async () => {
    const { cluster, first } = await begun();
    const { token } = await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    const foreign = await testTrust().node('mux2');
    expect((await failureOf(foreign.trust.join(token))).body).toMatchObject({
      code: 'conflict',
      message: 'The node that wants to join has another store than the cluster.',
    });
    const second = await cluster.node('mux2');
    await second.trust.join(token);
    expect((await second.trust.members()).standing).toBe('member');
  });

  it('does not send it to another cluster that listens at its address', async () => {
    const { cluster, first } = await begun();
    const { token } = await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    const attacker = await begun();
    await attacker.first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    const misled = formatToken({
      ...parsedToken(token),
      addresses: [`127.0.0.1:${attacker.first.joinPort}`],
    });
    const second = await cluster.node('mux2');
    expect((await failureOf(second.trust.join(misled))).body).toMatchObject({
      code: 'forbidden',
      cause: 'It does not show the authority whose fingerprint the token has.',
    });
    // Nothing was asked of it.
    expect(attacker.first.logged.filter(({ message }) => message.includes('not let in'))).toEqual([]);
  });
});

describe('two nodes of one name', () => {
  it('are one: the second cannot join, and its token counts on', async () => {
    const { cluster, first } = await begun();
    const second = await cluster.node('mux2');
    const rival = await cluster.node('mux2');
    const { token } = await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    const other = await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
    await second.trust.join(token);
    const { body } = await failureOf(rival.trust.join(other.token));
    expect(body).toMatchObject({ code: 'conflict', message: 'Another node has joined as mux2.' });
    const third = await cluster.node('mux3');
    await third.trust.join(other.token);
  });

  it('are told so when the second begins', async () => {
    const { cluster, first } = await begun();
    await joined(cluster, first, 'mux2');
    await expect(cluster.node('mux2')).rejects.toThrow('another node has joined the cluster as mux2');
  });

  it('a node that was renamed says so', async () => {
    const { first } = await begun();
    await expect(first.again('mux9')).rejects.toThrow('this node has joined the cluster as mux1');
  });
});
