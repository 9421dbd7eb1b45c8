// Who may ask the API of a real daemon: root through the socket, and over TLS whoever has a certificate.
import { statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Certified, certify, makeAuthority } from '../unit/api/lib/certificates.ts';
import { runIn } from './shell.ts';
import { raiseTestSingle, type SingleLab } from './single.ts';

/** In the namespace of the node: what the test's certificates are made for. */
const TLS = 'https://127.0.0.1:7443';

let lab: SingleLab;
let authority: Certified;
let server: Certified;

beforeAll(async () => {
  lab = raiseTestSingle();
  authority = makeAuthority(lab.directory, 'authority');
  server = certify(lab.directory, authority, 'server', { usage: 'serverAuth', days: 60 });
  await lab.start({
    api: { listen: '127.0.0.1:7443', ...server, clientAuthority: authority.certificate },
  });
});
afterAll(() => lab?.down());

const socket = () => lab.daemon.place.socket;

describe('who may ask', () => {
  const curl = (...args: string[]) =>
    runIn(lab.netns, 'curl', '--silent', '--show-error', '--max-time', '5', ...args, `${TLS}/v1/status`);
  const client = (name: string, of = authority) => {
    const { certificate, key } = certify(lab.directory, of, name);
    return ['--cacert', authority.certificate, '--cert', certificate, '--key', key];
  };

  it('on this host is root alone', () => {
    const { mode, uid } = statSync(socket());
    expect([mode & 0o777, uid]).toEqual([0o600, 0]);
    expect(() =>
      runIn(
        lab.netns,
        'setpriv',
        '--reuid=65534',
        '--clear-groups',
        'curl',
        '--silent',
        '--show-error',
        '--unix-socket',
        socket(),
        'http://x/v1/status',
      ),
    ).toThrow(/connect|denied/i);
  });

  it('over the network is who has a certificate of the authority', () => {
    expect(JSON.parse(curl(...client('operator')))).toMatchObject({ node: 'node' });
  });

  it('over the network is nobody else, and gets nothing', () => {
    expect(() => curl('--cacert', authority.certificate)).toThrow();
    const foreign = makeAuthority(lab.directory, 'foreign');
    expect(() => curl(...client('stranger', foreign))).toThrow();
    expect(() =>
      runIn(
        lab.netns,
        'curl',
        '--silent',
        '--show-error',
        '--max-time',
        '5',
        'http://127.0.0.1:7443/v1/status',
      ),
    ).toThrow();
  });

  it('follows certificates that are replaced, on SIGHUP; bad ones change nothing', async () => {
    const good = client('renewed');
    const pid = (await lab.daemon.client.status()).pid;
    const hangUp = async () => {
      process.kill(pid, 'SIGHUP');
      await sleep(300);
    };
    writeFileSync(server.certificate, 'not a certificate');
    await hangUp();
    expect(JSON.parse(curl(...good))).toMatchObject({ node: 'node' });
    expect((await lab.daemon.client.status()).problems).toMatchObject([
      { code: 'configuration', message: 'The certificates of the API cannot be used.' },
    ]);
    certify(lab.directory, authority, 'server', { usage: 'serverAuth', days: 60 });
    await hangUp();
    expect(JSON.parse(curl(...good))).toMatchObject({ node: 'node' });
    expect((await lab.daemon.client.status()).problems).toEqual([]);
  });
});
