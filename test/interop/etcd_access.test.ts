// Who is let in by an etcd with TLS or authentication, and what the others are told.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { EtcdConfig } from '../../control/config/etcd.ts';
import { hostClock } from '../../control/io/host_clock.ts';
import type { Store } from '../../control/store/contract.ts';
import { openStore } from '../../control/store/open.ts';
import { EtcdServer } from '../contract/etcd_server.ts';
import { take } from '../contract/store_support.ts';
import { type Certified, certify, makeAuthority } from '../unit/api/lib/certificates.ts';

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-etcd-access-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

async function open(url: string, etcd: EtcdConfig = {}): Promise<Store> {
  const store = await openStore(`etcd=${url}`, { clock: hostClock(), etcd });
  onTestFinished(() => store.close());
  return store;
}

const refusal = async (store: Store) =>
  await store.get('a').then(
    () => 'let in',
    (error: unknown) => error,
  );

describe('an etcd with TLS that wants certificates', () => {
  let server: EtcdServer;
  let authority: Certified;
  let other: Certified;
  let ours: Certified;

  beforeAll(async () => {
    authority = makeAuthority(directory, 'authority');
    other = makeAuthority(directory, 'other');
    // Its gateway shows the members its own certificate as a client.
    const its = certify(directory, authority, 'server', { usage: 'serverAuth,clientAuth' });
    ours = certify(directory, authority, 'client');
    server = await EtcdServer.start(
      [
        ...['--cert-file', its.certificate, '--key-file', its.key],
        ...['--client-cert-auth', '--trusted-ca-file', authority.certificate],
      ],
      'https',
    );
  });
  afterAll(() => server?.remove());

  it('serves who has one', async () => {
    const store = await open(server.url, { certificateAuthority: authority.certificate, ...ours });
    const watching = take(store, '', 1, 1);
    await store.txn([], [{ put: 'a', value: 'b' }]);
    expect(await store.get('a')).toMatchObject({ value: 'b' });
    expect(await watching).toHaveLength(1);
  });

  it('refuses who has none, or somebody else’s', async () => {
    const stranger = certify(directory, other, 'stranger');
    for (const certificates of [{}, stranger]) {
      const store = await open(server.url, { certificateAuthority: authority.certificate, ...certificates });
      expect(await refusal(store)).toMatchObject({
        code: 'unauthorized',
        reason: 'It wants another certificate of this node.',
        remedy: expect.stringContaining('etcd.certificate and etcd.key'),
      });
    }
  });

  it('is not believed where the authority is another', async () => {
    for (const certificateAuthority of [other.certificate, undefined]) {
      const store = await open(server.url, {
        ...ours,
        ...(certificateAuthority && { certificateAuthority }),
      });
      expect(await refusal(store)).toMatchObject({
        code: 'forbidden',
        reason: 'Nobody known here signed its certificate.',
        remedy: expect.stringContaining('etcd.certificateAuthority'),
      });
    }
  });

  it('is told from one without', async () => {
    const plain = await open(server.url.replace('https', 'http'));
    expect(await refusal(plain)).toMatchObject({
      code: 'unavailable',
      remedy: expect.stringContaining('if it wants TLS, write https://'),
    });
    const without = await EtcdServer.start();
    onTestFinished(() => without.remove());
    const secured = await open(without.url.replace('http', 'https'));
    expect(await refusal(secured)).toMatchObject({
      code: 'unavailable',
      reason: expect.stringMatching(/^It does not speak TLS/),
    });
  });

  it('takes up a certificate that was put in the place of one that is refused', async () => {
    const certificates = certify(directory, other, 'renewed');
    const store = await open(server.url, { certificateAuthority: authority.certificate, ...certificates });
    expect(await refusal(store)).toMatchObject({ code: 'unauthorized' });
    certify(directory, authority, 'renewed');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await refusal(store);
    expect(await refusal(store)).toBe('let in');
  });

  it('is not asked where a file is missing', async () => {
    await expect(open(server.url, { certificateAuthority: '/nowhere.pem' })).rejects.toMatchObject({
      code: 'configuration',
      message: 'etcd.certificateAuthority cannot be read',
    });
  });
});

describe('an etcd with authentication', () => {
  let server: EtcdServer;
  let passwordFile: string;
  const base64 = (text: string) => Buffer.from(text).toString('base64');

  beforeAll(async () => {
    server = await EtcdServer.start();
    passwordFile = join(directory, 'password');
    writeFileSync(passwordFile, 'secret\n');
    for (const name of ['root', 'node', 'guest']) {
      await server.call('auth/user/add', { name, password: 'secret' });
      await server.call('auth/role/add', { name });
      await server.call('auth/user/grant', { user: name, role: name });
    }
    const perm = { permType: 'READWRITE', key: base64('/holdfast/'), range_end: base64('/holdfast0') };
    await server.call('auth/role/grant', { name: 'node', perm });
    expect(await server.call('auth/enable')).not.toHaveProperty('error');
  });
  afterAll(() => server?.remove());

  it('serves who has a name and its password, also after it was started again', async () => {
    const store = await open(server.url, { username: 'node', passwordFile });
    await store.txn([], [{ put: 'a', value: 'b' }]);
    expect(await take(store, '', 1, 1)).toHaveLength(1);
    await server.kill();
    await server.start();
    // Tokens did not survive.
    expect(await store.get('a')).toMatchObject({ value: 'b' });
    const lease = await store.lease(2_000);
    expect(await lease.renew()).toBe(true);
  });

  it('refuses others', async () => {
    writeFileSync(join(directory, 'wrong'), 'wrong');
    const nobody = await open(server.url);
    const wrong = await open(server.url, { username: 'node', passwordFile: join(directory, 'wrong') });
    for (const store of [nobody, wrong]) {
      expect(await refusal(store)).toMatchObject({
        code: 'unauthorized',
        message: 'etcd does not accept who we say we are',
        remedy: expect.stringContaining('etcd.passwordFile'),
      });
    }
    const guest = await open(server.url, { username: 'guest', passwordFile });
    const denied = { code: 'forbidden', remedy: expect.stringContaining('grant-permission') };
    expect(await refusal(guest)).toMatchObject(denied);
    await expect(take(guest, '', 1, 1)).rejects.toMatchObject(denied);
  });
});
