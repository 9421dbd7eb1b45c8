// The API over TCP: clients with a certificate of our authority, and nobody else, get more than a failed handshake.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Failure } from '../../../control/lib/failure.ts';
import { type Certified, certify, makeAuthority } from './lib/certificates.ts';
import { ask } from './lib/connection.ts';
import { type ListeningApi, listening } from './lib/listening.ts';

let directory: string;
let authority: Certified;
let otherAuthority: Certified;
let server: Certified;
let client: Certified;
let strangers: Record<string, Certified>;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-tls-'));
  authority = makeAuthority(directory, 'authority');
  otherAuthority = makeAuthority(directory, 'other');
  server = certify(directory, authority, 'server', { usage: 'serverAuth' });
  client = certify(directory, authority, 'operator');
  strangers = {
    'another authority signed': certify(directory, otherAuthority, 'stranger'),
    'signed itself': makeAuthority(directory, 'selfmade'),
    'has expired': certify(directory, authority, 'expired', { days: -1 }),
    'is for servers': certify(directory, authority, 'servant', { usage: 'serverAuth' }),
    'a client signed': certify(directory, client, 'vassal'),
  };
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Copies, so that a test can exchange them. */
let files: { certificate: string; key: string; clientAuthority: string };
beforeEach(() => {
  const at = (name: string) => join(directory, `used-${name}.pem`);
  files = { certificate: at('certificate'), key: at('key'), clientAuthority: at('authority') };
  use(server, authority);
});

function use(certified: Certified, clientAuthority: Certified): void {
  copyFileSync(certified.certificate, files.certificate);
  copyFileSync(certified.key, files.key);
  copyFileSync(clientAuthority.certificate, files.clientAuthority);
}

const secure = async (listen = '127.0.0.1:0', limits = {}) =>
  await listening({ place: { listen, ...files }, limits });
const portOf = ({ listener }: ListeningApi) => Number(listener.where.split(':').at(-1));

function identity(certified: Certified | undefined, trusted = authority): ConnectionOptions {
  return {
    ca: readFileSync(trusted.certificate),
    ...(certified && { cert: readFileSync(certified.certificate), key: readFileSync(certified.key) }),
  };
}

const status = async (api: ListeningApi, options: ConnectionOptions) =>
  await ask({ protocol: 'https:', host: '127.0.0.1', port: portOf(api), path: '/v1/status', ...options });

/** All that a client gets that sends a request as soon as it thinks that it may. */
async function received(
  api: ListeningApi,
  options: ConnectionOptions,
): Promise<{ text: string; error: string }> {
  const socket = connect({ host: '127.0.0.1', port: portOf(api), ...options });
  let text = '';
  let error = '';
  socket.on('data', (data) => {
    text += data.toString();
  });
  socket.on('error', (reason: NodeJS.ErrnoException) => {
    error ||= reason.code ?? reason.message;
  });
  socket.once('secureConnect', () => socket.write('GET /v1/status HTTP/1.1\r\n\r\n'));
  await new Promise((resolve) => socket.once('close', resolve));
  return { text, error };
}

async function failureOf(promise: Promise<unknown>): Promise<object> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Failure);
  return (error as Failure).body;
}

describe('a client with a certificate', () => {
  it('is answered, and the log knows who it was', async () => {
    const api = await secure();
    expect(api.listener.where).toBe(`https://127.0.0.1:${portOf(api)}`);
    expect((await status(api, identity(client))).status).toBe(200);
    expect(api.logged.find(({ message }) => message === 'request')!.record.caller).toEqual({
      via: 'tls',
      role: 'admin',
      subject: 'operator',
      address: '127.0.0.1',
    });
  });

  it('may come over IPv6', async () => {
    const api = await secure('[::1]:0');
    expect(api.listener.where).toMatch(/^https:\/\/\[::1\]:\d+$/);
    expect((await status(api, { ...identity(client), host: '::1' })).status).toBe(200);
  });

  it('must speak TLS 1.3', async () => {
    const api = await secure();
    const { text, error } = await received(api, { ...identity(client), maxVersion: 'TLSv1.2' });
    expect([text, error]).toEqual(['', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION']);
  });

  it('has a failed handshake where another daemon shows it a certificate', async () => {
    const api = await secure();
    await expect(status(api, identity(client, otherAuthority))).rejects.toThrow(
      /self-signed certificate in certificate chain/,
    );
  });
});

describe('anybody else', () => {
  it('gets nothing but a failed handshake without a certificate', async () => {
    const api = await secure();
    expect(await received(api, identity(undefined))).toEqual({
      text: '',
      error: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    });
    expect(api.node.calls).toEqual([]);
    expect(api.logged).toEqual([]);
  });

  it.each([
    ['another authority signed', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['signed itself', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['has expired', 'CERT_HAS_EXPIRED'],
    ['is for servers', 'INVALID_PURPOSE'],
    ['a client signed', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ])('gets nothing but a failed handshake with a certificate that %s', async (which, cause) => {
    const api = await secure();
    const { text, error } = await received(api, identity(strangers[which]!));
    expect(text).toBe('');
    // Node.js judges after the handshake and closes without an alert, which clients see as one or the other.
    expect(['', 'ECONNRESET']).toContain(error);
    expect(api.reported).toEqual([
      { level: 'info', record: { cause, connections: 1 }, message: 'TLS clients were refused' },
    ]);
    expect(api.node.calls).toEqual([]);
    expect(api.logged).toEqual([]);
  });

  it('is counted in the log, and does not fill it', async () => {
    const api = await secure();
    for (let i = 0; i < 5; i++) await received(api, identity(undefined));
    expect(api.reported).toHaveLength(1);
    expect(api.reported[0]!.record).toMatchObject({ address: '127.0.0.1', connections: 1 });
    expect(api.reported[0]!.record.cause).toContain('peer did not return a certificate');
  });

  it('gets nothing without TLS', async () => {
    const api = await secure();
    const socket = connectPlain({ host: '127.0.0.1', port: portOf(api) });
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('latin1');
    });
    socket.on('error', () => {});
    socket.write('GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((resolve) => socket.once('close', resolve));
    expect(text).not.toContain('HTTP');
    expect(api.node.calls).toEqual([]);
  });

  it('has little time for a handshake', async () => {
    const api = await secure('127.0.0.1:0', { headTimeoutMs: 200 });
    const socket = connectPlain({ host: '127.0.0.1', port: portOf(api) });
    socket.on('error', () => {});
    const startedAt = performance.now();
    await new Promise((resolve) => {
      socket.once('close', resolve);
      socket.resume();
    });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  it('does not delay the end with a handshake that does not', async () => {
    const api = await secure();
    const socket = connectPlain({ host: '127.0.0.1', port: portOf(api) });
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('connect', resolve));
    const startedAt = performance.now();
    await api.listener.close();
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe('reloading', () => {
  it('shows the new certificate and trusts the new authority, and the old one no more', async () => {
    const api = await secure();
    expect((await status(api, identity(client))).status).toBe(200);
    const newServer = certify(directory, otherAuthority, 'server2', { usage: 'serverAuth' });
    use(newServer, otherAuthority);
    await api.listener.reload();
    const stranger = strangers['another authority signed']!;
    expect((await status(api, identity(stranger, otherAuthority))).status).toBe(200);
    const { text, error } = await received(api, identity(client, otherAuthority));
    expect(text).toBe('');
    expect(['', 'ECONNRESET']).toContain(error);
  });

  it('does not let anybody in by what they showed before', async () => {
    const api = await secure();
    const session = await new Promise<Buffer>((resolve) => {
      const socket: TLSSocket = connect({ host: '127.0.0.1', port: portOf(api), ...identity(client) });
      socket.once('session', (it: Buffer) => {
        resolve(it);
        socket.destroy();
      });
      socket.on('error', () => {});
      socket.write('GET /v1/status HTTP/1.1\r\n\r\n');
    });
    copyFileSync(otherAuthority.certificate, files.clientAuthority);
    await api.listener.reload();
    api.logged.splice(0);
    const { text } = await received(api, { ...identity(client), session });
    expect(text).toBe('');
    expect(api.logged).toEqual([]);
  });

  it('closes connections that wait for a request, so that they show who they are anew', async () => {
    const api = await secure();
    const socket = connect({ host: '127.0.0.1', port: portOf(api), ...identity(client) });
    const text = await new Promise<string>((resolve) => {
      socket.once('data', (data) => resolve(data.toString()));
      socket.write('GET /v1/status HTTP/1.1\r\n\r\n');
    });
    expect(text).toContain('200 OK');
    await new Promise((resolve) => setTimeout(resolve, 20));
    await api.listener.reload();
    await new Promise((resolve) => socket.once('close', resolve));
  });

  it('keeps what it had where the new files are not usable', async () => {
    const api = await secure();
    copyFileSync(client.key, files.key);
    expect(await failureOf(api.listener.reload())).toEqual({
      code: 'configuration',
      message: 'The certificates of the API cannot be used.',
      cause: expect.stringContaining('key values mismatch'),
      remedy: `Check that ${files.certificate} and ${files.key} belong together, and that ${files.clientAuthority} is a certificate.`,
    });
    rmSync(files.certificate);
    expect(await failureOf(api.listener.reload())).toEqual({
      code: 'configuration',
      message: 'The file that api.certificate names cannot be read.',
      cause: expect.stringContaining('ENOENT'),
      remedy: 'Make it readable for holdfastd, or name another one.',
    });
    expect((await status(api, identity(client))).status).toBe(200);
  });

  it('knows when the certificate expires', async () => {
    const api = await secure();
    const inDays = () => (api.listener.certificateExpiresAtMs! - Date.now()) / 86_400_000;
    expect(inDays()).toBeGreaterThan(1.9);
    expect(inDays()).toBeLessThan(2.1);
    use(certify(directory, authority, 'server9', { usage: 'serverAuth', days: 9 }), authority);
    await api.listener.reload();
    expect(inDays()).toBeGreaterThan(8.9);
  });
});

describe('listening', () => {
  it.each(['certificate', 'key', 'clientAuthority'] as const)('needs the file of %s', async (field) => {
    rmSync(files[field]);
    expect(await failureOf(secure())).toMatchObject({
      code: 'configuration',
      message: `The file that api.${field} names cannot be read.`,
    });
  });

  it('needs an authority that is a certificate', async () => {
    writeFileSync(files.clientAuthority, 'nobody');
    expect(await failureOf(secure())).toMatchObject({
      code: 'configuration',
      message: 'The certificates of the API cannot be used.',
    });
  });

  it('needs a free port', async () => {
    const api = await secure();
    const listen = `127.0.0.1:${portOf(api)}`;
    expect(await failureOf(secure(listen))).toEqual({
      code: 'conflict',
      message: `Another process listens on ${listen} already.`,
      remedy: 'Stop it, or set api.listen to another port.',
    });
  });

  it('needs an address of this host', async () => {
    expect(await failureOf(secure('192.0.2.77:7443'))).toEqual({
      code: 'configuration',
      message: 'holdfastd cannot listen on 192.0.2.77:7443.',
      cause: expect.stringContaining('EADDRNOTAVAIL'),
      remedy: 'Set api.listen to an address of this host and a free port.',
    });
    expect(await failureOf(secure('127.0.0.1:70000'))).toMatchObject({
      code: 'configuration',
      message: 'holdfastd cannot listen on 127.0.0.1:70000.',
    });
  });
});
