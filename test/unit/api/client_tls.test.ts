// The client over HTTPS: who it trusts, who it says it is, and what a user reads where that does not work.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createServer as createPlainServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, type Endpoint } from '../../../control/api/client.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { STATUS } from '../cli/lib/answers.ts';

type Identity = { readonly certificate: string; readonly key: string };

let directory: string;
let authority: Identity;
let server: Identity;
let client: Identity;
let stranger: Identity;
let port: number;
let strangerPort: number;
const servers: Server[] = [];

function openssl(...words: readonly string[]): void {
  execFileSync('openssl', words, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Signed by `by`, or by itself. */
function identity(name: string, by?: string, extension?: string): Identity {
  const signed = by === undefined ? [] : ['-CA', `${by}.pem`, '-CAkey', `${by}.key`];
  const extensions = extension === undefined ? [] : ['-addext', extension];
  const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
  openssl('req', '-x509', ...KEY, '-days', '2', '-subj', `/CN=${name}`, ...files, ...signed, ...extensions);
  const read = (file: string) => readFileSync(join(directory, file), 'utf8');
  return { certificate: read(`${name}.pem`), key: read(`${name}.key`) };
}

async function listen(it: Server): Promise<number> {
  servers.push(it);
  await new Promise<void>((resolve) => it.listen(0, '127.0.0.1', resolve));
  return (it.address() as AddressInfo).port;
}

function daemonOf({ certificate, key }: Identity): Server {
  return createServer(
    {
      cert: certificate,
      key,
      ca: authority.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    },
    (_, response) => response.end(JSON.stringify(STATUS)),
  );
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-tls-'));
  authority = identity('authority');
  server = identity('server', 'authority', 'subjectAltName=IP:127.0.0.1');
  client = identity('client', 'authority');
  stranger = identity('stranger', undefined, 'subjectAltName=IP:127.0.0.1');
  port = await listen(daemonOf(server));
  strangerPort = await listen(daemonOf(stranger));
});

afterAll(async () => {
  await Promise.all(servers.map((it) => new Promise((resolve) => it.close(resolve))));
  rmSync(directory, { recursive: true, force: true });
});

const ask = (options: Omit<Extract<Endpoint, { url: URL }>, 'url'>, at = port, host = '127.0.0.1') =>
  new Client({ url: new URL(`https://${host}:${at}`), ...options }, { version: '0.1.0', timeoutMs: 5_000 })
    .status()
    .catch((error: unknown) => {
      if (error instanceof Failure) return error.body;
      throw error;
    });

describe('over HTTPS', () => {
  it('both sides are who they say they are', async () => {
    expect(await ask({ ...client, authority: authority.certificate })).toEqual(STATUS);
  });

  it('a client without a certificate is told to have one', async () => {
    expect(await ask({ authority: authority.certificate })).toEqual({
      code: 'unauthorized',
      message: `Cannot talk to holdfastd at https://127.0.0.1:${port}.`,
      cause: 'It wants another certificate of this client.',
      remedy:
        "Name a certificate that the daemon's clientAuthority signed with --certificate, and its key with --key.",
    });
  });

  it('a client whose certificate another authority signed is told so', async () => {
    expect(await ask({ ...stranger, authority: authority.certificate })).toEqual({
      code: 'unavailable',
      message: `Cannot talk to holdfastd at https://127.0.0.1:${port}.`,
      cause: 'It closed the connection before its answer was complete.',
      remedy:
        'It does so where its clientAuthority did not sign --certificate. Look at its log: journalctl -u holdfastd',
    });
  });

  it('a daemon that nobody vouches for is not trusted', async () => {
    const distrusted = {
      code: 'forbidden',
      cause: 'Nobody known here signed its certificate.',
      remedy:
        'Name the authority that signed the certificate of holdfastd with --authority, and check the address.',
    };
    expect(await ask(client)).toMatchObject(distrusted);
    expect(await ask({ ...client, authority: authority.certificate }, strangerPort)).toMatchObject(
      distrusted,
    );
  });

  it('a daemon under another name is not trusted', async () => {
    expect(await ask({ ...client, authority: authority.certificate }, port, 'localhost')).toMatchObject({
      code: 'forbidden',
      cause: 'Its certificate is for another host.',
    });
  });

  it('somebody who speaks no TLS is recognised', async () => {
    const plain = await listen(
      createPlainServer((socket) =>
        socket
          .on('error', () => {})
          .resume()
          .end('hello\n'),
      ),
    );
    expect(await ask(client, plain)).toMatchObject({
      code: 'unavailable',
      cause: 'What listens there does not speak TLS.',
    });
  });

  it('nobody may listen', async () => {
    const closed = createPlainServer();
    const free = await listen(closed);
    await new Promise((resolve) => closed.close(resolve));
    servers.splice(servers.indexOf(closed), 1);
    expect(await ask(client, free)).toEqual({
      code: 'unavailable',
      message: `Cannot talk to holdfastd at https://127.0.0.1:${free}.`,
      cause: 'Nobody listens there.',
      remedy: 'Start holdfastd with api.listen in its configuration, or name its address with --url.',
    });
  });

  it('the name may have no address', async () => {
    expect(await ask(client, 1, 'no-such-host.invalid')).toMatchObject({
      code: 'unavailable',
      cause: expect.stringMatching(/^(?:This name has no address|The name server does not answer)\.$/),
    });
  });
});
