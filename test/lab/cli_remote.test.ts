// holdfast against a holdfastd of another host, and the certificates that the daemon shows. Who gets in is
// api_access.test.ts.
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Certified, certify, makeAuthority } from '../unit/api/lib/certificates.ts';
import { type CommandOptions, holdfast, holdfastd, told } from './command.ts';
import { Operator } from './operator.ts';
import { raiseTestSingle, type SingleLab } from './single.ts';
import { eventually } from './support.ts';

const URL = 'https://127.0.0.1:7443';

let lab: SingleLab;
let operator: Operator;
let bridge: string;
let directory: string;
let authority: Certified;
let client: Certified;
let stranger: Certified;
const server: Record<'first' | 'second', Certified> = {} as never;
/** What the daemon's file names. */
let used: { certificate: string; key: string; clientAuthority: string };

beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  directory = join(lab.directory, 'tls');
  mkdirSync(directory);
  authority = makeAuthority(directory, 'authority');
  client = certify(directory, authority, 'operator');
  stranger = certify(directory, makeAuthority(directory, 'other'), 'stranger');
  server.first = certify(directory, authority, 'first', { usage: 'serverAuth', days: 30 });
  server.second = certify(directory, authority, 'second', { usage: 'serverAuth', days: 30 });
  used = {
    certificate: join(directory, 'used.pem'),
    key: join(directory, 'used.key'),
    clientAuthority: authority.certificate,
  };
  use(server.first);
  await lab.start({ api: { listen: '127.0.0.1:7443', ...used } });
  bridge = await lab.bridge('127.0.0.1', 7443);
});
afterAll(() => lab?.down());

function use({ certificate, key }: Certified): void {
  copyFileSync(certificate, used.certificate);
  copyFileSync(key, used.key);
}

/** The common name in the certificate that the daemon shows. */
async function shown(): Promise<string> {
  const socket = connect({ path: bridge, rejectUnauthorized: false, minVersion: 'TLSv1.3' });
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}

describe('holdfast', () => {
  const inNode = (options: CommandOptions = {}): CommandOptions => ({
    prefix: ['ip', 'netns', 'exec', lab.netns],
    ...options,
  });
  const known = () => `--url ${URL} --authority ${authority.certificate}`;
  const as = ({ certificate, key }: Certified) => `--certificate ${certificate} --key ${key}`;
  const talk = `Cannot talk to holdfastd at ${URL}.`;

  it('of another host works with a certificate', async () => {
    const outcome = await holdfast(`status ${known()} ${as(client)}`, inNode());
    expect(outcome).toMatchObject({
      exit: 0,
      stderr: '',
      stdout: expect.stringMatching(/^node +node \(mux\)\n/),
    });
    const env = {
      HOLDFAST_URL: URL,
      HOLDFAST_CERTIFICATE: client.certificate,
      HOLDFAST_KEY: client.key,
      HOLDFAST_AUTHORITY: authority.certificate,
    };
    expect(await holdfast('pools add remote', inNode({ env }))).toMatchObject({ exit: 0 });
    expect(readFileSync(lab.daemon.logPath, 'utf8')).toContain('"caller":{"via":"tls","subject":"operator"');
  });

  it('says what is wrong with the connection', async () => {
    const foreign =
      "Name a certificate that the daemon's clientAuthority signed with --certificate, and its key with --key.";
    const refused = await holdfast(`status ${known()} ${as(stranger)}`, inNode());
    expect(refused).toMatchObject({ stdout: '', stderr: expect.stringContaining(`error:  ${talk}\n`) });
    expect([69, 77]).toContain(refused.exit);
    const without = await holdfast(`status ${known()}`, inNode());
    expect(without).toEqual({
      exit: 77,
      stdout: '',
      stderr: told(talk, 'It wants another certificate of this client.', foreign),
    });
    const unknown = await holdfast(`status --url ${URL} ${as(client)}`, inNode());
    expect(unknown).toEqual({
      exit: 77,
      stdout: '',
      stderr: told(
        talk,
        'Nobody known here signed its certificate.',
        'Name the authority that signed the certificate of holdfastd with --authority, and check the address.',
      ),
    });
    const closed = await holdfast(`status --url https://127.0.0.1:7444 ${as(client)}`, inNode());
    expect(closed).toEqual({
      exit: 69,
      stdout: '',
      stderr: told(
        'Cannot talk to holdfastd at https://127.0.0.1:7444.',
        'Nobody listens there.',
        'Start holdfastd with api.listen in its configuration, or name its address with --url.',
      ),
    });
  });
});

describe('SIGHUP', () => {
  beforeEach(() => use(server.first));

  it('has certificates read again', async () => {
    expect(await shown()).toBe('first');
    use(server.second);
    expect(await shown()).toBe('first');
    process.kill(lab.daemon.pid!, 'SIGHUP');
    await eventually(async () => ((await shown()) === 'second' ? true : undefined), 'the second certificate');
  });

  it('tells of a certificate that ends soon', async () => {
    use(certify(directory, authority, 'short', { usage: 'serverAuth', days: 3 }));
    process.kill(lab.daemon.pid!, 'SIGHUP');
    const { problems } = await lab.daemon.answers(({ problems }) => problems.length > 0);
    expect(problems).toMatchObject([
      { message: expect.stringMatching(/^The certificate of https:\/\/127\.0\.0\.1:7443 ends on \d{4}-/) },
    ]);
    use(server.first);
    process.kill(lab.daemon.pid!, 'SIGHUP');
    await lab.daemon.answers(({ problems }) => problems.length === 0);
  });
});

describe('holdfastd --check', () => {
  it('reads the certificates too', async () => {
    const good = lab.daemon.configPath;
    expect(await holdfastd(`--check --config ${good}`)).toEqual({
      exit: 0,
      stdout: `${good} is as it should be\n`,
      stderr: '',
    });
    const text = readFileSync(good, 'utf8');
    const missing = operator.file('missing.yaml', text.replace('used.key', 'nothing.key'));
    expect(await holdfastd(`--check --config ${missing}`)).toEqual({
      exit: 78,
      stdout: '',
      stderr: told(
        'The file that api.key names cannot be read.',
        `ENOENT: no such file or directory, open '${directory}/nothing.key'`,
        'Make it readable for holdfastd, or name another one.',
      ),
    });
  });
});
