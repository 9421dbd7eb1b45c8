// Services, pools and backends: what is shown of them, and what each change asks of the daemon.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as answers from './lib/answers.ts';
import { FakeDaemon, failure } from './lib/fake_daemon.ts';
import { holdfast, type RunOptions } from './lib/run.ts';

let daemon: FakeDaemon;
beforeEach(async () => {
  daemon = await FakeDaemon.start();
});
afterEach(async () => {
  await daemon[Symbol.asyncDispose]();
});

const ask = (line: string, options: RunOptions = {}) => holdfast(line.split(' '), { daemon, ...options });
const lines = (...all: readonly string[]): string => `${all.join('\n')}\n`;

describe('services list', () => {
  it('is a table', async () => {
    const items = [answers.ALL_PORTS, answers.WEB];
    daemon.reply({ 'GET /v1/services': { items } });
    expect(await ask('services list')).toEqual({
      exit: 0,
      stderr: '',
      stdout: lines(
        'SERVICE  ADDRESSES                 PORT    POOL   BACKENDS    PACKETS   BYTES  NEW FLOWS',
        'all      198.18.0.11               all     empty         0          0     0 B          0',
        'web      198.18.0.10 2001:db8::10  tcp 80  web           2  1,230,000  988 MB     65,537',
      ),
    });
    expect(JSON.parse((await ask('services list --json')).stdout)).toEqual({ items });
  });

  it('has no traffic on a node that counts none, and may be empty', async () => {
    const { traffic: _, ...web } = answers.WEB;
    daemon.reply({ 'GET /v1/services': { items: [web] } });
    expect((await ask('services list')).stdout).toBe(
      lines(
        'SERVICE  ADDRESSES                 PORT    POOL  BACKENDS',
        'web      198.18.0.10 2001:db8::10  tcp 80  web          2',
      ),
    );
    daemon.reply({ 'GET /v1/services': { items: [] } });
    expect((await ask('services list')).stdout).toBe('no services; add one with holdfast services add\n');
  });

  it('gives way in a narrow terminal', async () => {
    daemon.reply({ 'GET /v1/services': { items: [answers.WEB] } });
    const { stdout } = await ask('services list --no-color', { terminal: { columns: 70 } });
    expect(stdout).toBe(
      lines(
        'SERVICE  ADDRESSES     PORT    POOL  BACKENDS    PACKETS   BYTES  NEW FLOWS',
        'web      198.18.0.10   tcp 80  web          2  1,230,000  988 MB     65,537',
        '         2001:db8::10',
      ),
    );
  });
});

it('services show is all that is known', async () => {
  const quic = { configRotation: 1, serverIdBytes: 2 };
  daemon.reply({ 'GET /v1/services/web': { ...answers.WEB, ignoreSourcePort: true, quic } });
  expect((await ask('services show web')).stdout).toBe(
    lines(
      'service    web',
      'addresses  198.18.0.10, 2001:db8::10',
      'port       tcp 80',
      'pool       web, backends with a weight: 2',
      'affinity   client of /24 (IPv4), /64 (IPv6)',
      'timeout    20 min',
      'flow key   without the source port',
      'quic       server ID of 2 bytes, config rotation 1',
      'packets    1,230,000',
      'bytes      988 MB',
      'new flows  65,537',
      'revision   40',
    ),
  );
});

it('pools list and show are shares', async () => {
  daemon.reply({
    'GET /v1/pools': { items: [answers.EMPTY_POOL, answers.POOL] },
    'GET /v1/pools/web': answers.POOL,
    'GET /v1/pools/empty': answers.EMPTY_POOL,
  });
  expect((await ask('pools list')).stdout).toBe(
    lines(
      'POOL    SLOTS  BACKENDS  WITH WEIGHT  UNASSIGNED  SERVICES',
      'empty     251         0            0         251',
      'web    65,537         3            2           0  web',
    ),
  );
  expect((await ask('pools show web')).stdout).toBe(
    lines(
      'pool      web',
      'slots     65,537',
      'services  web',
      'health    not checked',
      'revision  42, id 1',
      '',
      'BACKEND  WEIGHT   SLOTS   SHARE',
      'b1          100  32,769  50.0 %',
      'b2          100  32,768  50.0 %',
      'b3            0       0   0.0 %',
      '',
      '3 backends',
    ),
  );
  expect((await ask('pools show empty')).stdout).toBe(
    lines(
      'pool      empty',
      'slots     251, 251 with no backend',
      'services  none',
      'health    not checked',
      'revision  39, id 2',
      '',
      'no backends; add one with holdfast backends add',
    ),
  );
  expect(JSON.parse((await ask('pools show web --json')).stdout)).toEqual(answers.POOL);
});

it('backends list is all of them, or those of a pool', async () => {
  daemon.reply({ 'GET /v1/backends': { items: [answers.B1, answers.B3] } });
  expect((await ask('backends list')).stdout).toBe(
    lines(
      'BACKEND  ADDRESS        TUNNEL    WEIGHT   SLOTS   SHARE  PATH         PACKETS   BYTES  NEW FLOWS',
      'web/b1   10.0.0.1       gue:6081     100  32,769  50.0 %  known        615,000  494 MB     32,768',
      'web/b3   2001:db8:2::3  ip             0       0   0.0 %  unreachable        0     0 B          0',
    ),
  );
  await ask('backends list --pool web');
  expect(daemon.asked.at(-1)).toBe('GET /v1/backends?pool=web');
});

it('backends show is all that is known', async () => {
  daemon.reply({ 'GET /v1/backends/web/b1': answers.B1, 'GET /v1/backends/web/b3': answers.B3 });
  expect((await ask('backends show web/b1')).stdout).toBe(
    lines(
      'backend    web/b1',
      'address    10.0.0.1',
      'tunnel     gue:6081',
      'weight     100',
      'slots      32,769, 50.0 % of the pool',
      'mtu        at most 1500 bytes',
      'server id  7',
      'path       known, through eth0, to 02:00:00:00:00:01, MTU 1500',
      'fits       packets of at most 1464 bytes',
      'packets    615,000',
      'bytes      494 MB',
      'new flows  32,768',
      'revision   42, index 1',
    ),
  );
  expect((await ask('backends show web/b3')).stdout).toContain('\nweight     0, drained\n');
  daemon.reply({
    'GET /v1/backends/web/b1': {
      ...answers.B1,
      weight: 0,
      flowsLeft: 1_234,
      givesUpAt: '2026-11-23T01:00:00.000Z',
      slowStart: { step: 2, of: 4 },
      health: {
        state: 'down',
        since: '2026-11-23T00:45:30.000Z',
        reason: 'connection refused',
        muxes: [
          { name: 'm1', state: 'down', since: '2026-11-23T00:45:29.000Z', reason: 'connection refused' },
          { name: 'm2', state: 'pending' },
        ],
      },
    },
  });
  const { stdout } = await ask('backends show web/b1');
  expect(stdout.split('\n').slice(4, 12)).toEqual([
    'slots       32,769, 50.0 % of the pool',
    'flows left  1,234',
    'gives up    what flows are left at 2026-11-23T01:00:00.000Z',
    'slow start  step 2 of 4',
    'health      down, since 2026-11-23T00:45:30.000Z, connection refused',
    '  by m1     down, since 2026-11-23T00:45:29.000Z, connection refused',
    '  by m2     pending',
    'mtu         at most 1500 bytes',
  ]);
});

describe('a change asks', () => {
  const cases: readonly [string, string, unknown?][] = [
    [
      'services add web --address 198.18.0.10 --address 2001:db8::10 --protocol tcp --port 80 --pool web',
      'POST /v1/services',
      { name: 'web', addresses: ['198.18.0.10', '2001:db8::10'], protocol: 'tcp', port: 80, pool: 'web' },
    ],
    [
      'services add all --pool web --address 198.18.0.10 --affinity --ignore-source-port',
      'POST /v1/services',
      { name: 'all', addresses: ['198.18.0.10'], pool: 'web', affinity: {}, ignoreSourcePort: true },
    ],
    [
      'services add q --pool web --address 198.18.0.10 --protocol udp --port 443 --quic-config-rotation 1 --quic-server-id-bytes 2 --affinity-prefix4 24 --affinity-prefix6 64',
      'POST /v1/services',
      {
        name: 'q',
        addresses: ['198.18.0.10'],
        pool: 'web',
        protocol: 'udp',
        port: 443,
        quic: { configRotation: 1, serverIdBytes: 2 },
        affinity: { prefixLength4: 24, prefixLength6: 64 },
      },
    ],
    ['services set web --pool next', 'PATCH /v1/services/web', { pool: 'next' }],
    [
      'services set web --address 198.18.0.12 --affinity-prefix4 24 --unset port --unset quic',
      'PATCH /v1/services/web',
      { addresses: ['198.18.0.12'], affinity: { prefixLength4: 24 }, protocol: null, port: null, quic: null },
    ],
    [
      'services set web --unset affinity --unset ignore-source-port --dry-run',
      'PATCH /v1/services/web?dryRun=true',
      { affinity: null, ignoreSourcePort: null },
    ],
    ['services rm web --force', 'DELETE /v1/services/web?force=true'],
    ['pools add web', 'POST /v1/pools', { name: 'web' }],
    ['pools add web --slots 251 --dry-run', 'POST /v1/pools?dryRun=true', { name: 'web', slots: 251 }],
    ['pools rm web --yes', 'DELETE /v1/pools/web'],
    [
      'pools set web --health none --slow-start 30s',
      'PATCH /v1/pools/web',
      { health: null, slowStartMs: 30_000 },
    ],
    [
      'pools set web --health http --path /healthy --status 200-299 --check-interval 1s --check-timeout 500ms --rise 1 --fall 2 --via direct',
      'PATCH /v1/pools/web',
      {
        health: {
          type: 'http',
          via: 'direct',
          path: '/healthy',
          status: { from: 200, to: 299 },
          intervalMs: 1_000,
          timeoutMs: 500,
          rise: 1,
          fall: 2,
          tls: null,
          grpcService: null,
          send: null,
          expect: null,
          command: null,
        },
      },
    ],
    [
      'pools set web --check-interval 250ms --unset path --unset quorum --unset slow-start',
      'PATCH /v1/pools/web',
      { health: { intervalMs: 250, path: null, quorum: null }, slowStartMs: null },
    ],
    ['backends drain web/b1 --deadline 10m', 'PATCH /v1/backends/web/b1?deadlineMs=600000', { weight: 0 }],
    [
      'backends add web/b1 --address 10.0.0.1',
      'POST /v1/backends',
      { pool: 'web', name: 'b1', address: '10.0.0.1' },
    ],
    [
      'backends add web/b1 --address 10.0.0.1 --weight 50 --encap gue --gue-port 6081 --mtu 1500 --server-id 7',
      'POST /v1/backends',
      {
        pool: 'web',
        name: 'b1',
        address: '10.0.0.1',
        weight: 50,
        encap: 'gue',
        guePort: 6081,
        mtuBytes: 1500,
        serverId: 7,
      },
    ],
    ['backends set web/b1 --weight 0', 'PATCH /v1/backends/web/b1', { weight: 0 }],
    [
      'backends set web/b1 --address 10.0.0.9 --unset gue-port --unset mtu --unset server-id',
      'PATCH /v1/backends/web/b1',
      { address: '10.0.0.9', guePort: null, mtuBytes: null, serverId: null },
    ],
    ['backends drain web/b1 --force', 'PATCH /v1/backends/web/b1?force=true', { weight: 0 }],
    ['backends rm web/b1 --dry-run --force', 'DELETE /v1/backends/web/b1?dryRun=true&force=true'],
  ];
  for (const [line, asked, body] of cases) {
    it(`${asked} for ${line}`, async () => {
      daemon.reply({ [asked.replace(/\?.*/, '')]: answers.ADDED });
      expect(await ask(`${line} --json`)).toEqual({
        exit: 0,
        stderr: '',
        stdout: `${JSON.stringify(answers.ADDED, undefined, 2)}\n`,
      });
      expect(daemon.asked).toEqual([asked]);
      expect(daemon.seen[0]!.body).toEqual(body);
    });
  }
});

describe('a change that says too little or too much', () => {
  const cases: readonly [string, ...string[]][] = [
    ['services set web', 'error:  Nothing to change.', 'remedy: Say what, with an option.'],
    ['backends set web/b1 --force', 'error:  Nothing to change.', 'remedy: Say what, with an option.'],
    [
      'services set web --port 80',
      'error:  --protocol is missing.',
      'cause:  Protocol and port go together.',
    ],
    [
      'services set web --protocol tcp',
      'error:  --port is missing.',
      'cause:  Protocol and port go together.',
    ],
    [
      'services set web --protocol tcp --port 80 --unset port',
      'error:  port is both set and taken away.',
      'remedy: Leave one of them out.',
    ],
    [
      'backends set web/b1 --mtu 1400 --unset mtu',
      'error:  mtu is both set and taken away.',
      'remedy: Leave one of them out.',
    ],
    [
      'services add web --pool web --address 198.18.0.10 --address 198.18.0.999',
      'error:  --address cannot be "198.18.0.999".',
      'cause:  Not an IPv4 or IPv6 address.',
    ],
    [
      'services add Web --pool web --address 198.18.0.10',
      'error:  NAME cannot be "Web".',
      'cause:  A name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -.',
    ],
    [
      'services set web --protocol tcp --port 65536',
      'error:  --port cannot be "65536".',
      'cause:  Must be at most 65535.',
    ],
    [
      'services set web --affinity-prefix4 33',
      'error:  --affinity-prefix4 cannot be "33".',
      'cause:  Must be at most 32.',
    ],
    [
      'services set web --quic-config-rotation 7',
      'error:  --quic-config-rotation cannot be "7".',
      'cause:  Must be at most 6.',
    ],
    ['pools add web --slots 0', 'error:  --slots cannot be "0".', 'cause:  Must be at least 1.'],
    [
      'backends add web/B1 --address 10.0.0.1',
      'error:  NAME cannot be "B1".',
      'cause:  A name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -.',
    ],
    [
      'backends set web/b1 --weight 70000',
      'error:  --weight cannot be "70000".',
      'cause:  Must be at most 65535.',
    ],
    ['backends set web/b1 --weight -1', 'error:  --weight cannot be "-1".', 'cause:  Must be at least 0.'],
    ['backends set web/b1 --mtu 100', 'error:  --mtu cannot be "100".', 'cause:  Must be at least 576.'],
    [
      'backends set b1 --weight 1',
      'error:  "b1" names no backend.',
      'remedy: Write POOL/NAME, such as web/b1.',
    ],
    [
      'backends rm web/b1/x',
      'error:  "web/b1/x" names no backend.',
      'remedy: Write POOL/NAME, such as web/b1.',
    ],
    ['backends drain /b1', 'error:  "/b1" names no backend.', 'remedy: Write POOL/NAME, such as web/b1.'],
  ];
  for (const [line, ...printed] of cases) {
    it(`is ${line}`, async () => {
      expect(await ask(line)).toEqual({ exit: 2, stdout: '', stderr: lines(...printed) });
      expect(daemon.seen).toEqual([]);
    });
  }
});

describe('backends drain', () => {
  it('says how to take it back', async () => {
    daemon.reply({ 'PATCH /v1/backends/web/b1': answers.DRAINED });
    expect(await ask('backends drain web/b1')).toEqual({
      exit: 0,
      stdout: lines(
        '~ backend web/b1',
        '    weight: 100 → 0',
        '',
        'pool web: 32,769 of 65,537 slots get another backend (50.0 %)',
        '',
        '1 changed: revision 43',
      ),
      stderr: 'back with: holdfast backends set web/b1 --weight 100\n',
    });
  });

  it('has nothing to take back on a dry run, or where it is drained', async () => {
    daemon.reply({ 'PATCH /v1/backends/web/b1': { ...answers.DRAINED, dryRun: true } });
    expect(await ask('backends drain web/b1 --dry-run')).toMatchObject({
      stdout: expect.stringMatching(/\n\ndry run, nothing was changed: 1 to change\n$/),
      stderr: '',
    });
    daemon.reply({ 'PATCH /v1/backends/web/b1': { ...answers.DRAINED, changes: [], moved: [] } });
    expect(await ask('backends drain web/b1')).toEqual({
      exit: 0,
      stdout: 'nothing to change at revision 43\n',
      stderr: '',
    });
  });

  it('is refused where it would stop traffic, and says what then', async () => {
    const unsafe = {
      code: 'unsafe',
      message: 'Pool web would have no backend.',
      remedy: 'Add --force to do it nevertheless.',
    };
    daemon.reply({ 'PATCH /v1/backends/web/b1': failure(409, unsafe) });
    expect(await ask('backends drain web/b1')).toEqual({
      exit: 73,
      stdout: '',
      stderr: lines('error:  Pool web would have no backend.', 'remedy: Add --force to do it nevertheless.'),
    });
  });
});

describe('attach and detach', () => {
  const items = answers.STATUS.attachments;

  it('say what is attached', async () => {
    daemon.reply({ 'POST /v1/attach': { items }, 'POST /v1/detach': { items: items.slice(0, 1) } });
    const table = lines(
      'INTERFACE  ROLE  MODE    PROGRAM  TAG               PINNED',
      'eth0       mux   native       31  0a1b2c3d4e5f6071  yes',
    );
    expect((await ask('attach eth1 --mode generic')).stdout).toContain('eth1       mux   generic       32');
    expect((await ask('detach eth1')).stdout).toBe(`still attached:\n\n${table}`);
    daemon.reply({ 'POST /v1/detach': { items: [] } });
    expect((await ask('detach')).stdout).toBe('no program is attached any more\n');
    expect(JSON.parse((await ask('detach --json')).stdout)).toEqual({ items: [] });
    expect(JSON.parse((await ask('attach --json')).stdout)).toEqual({ items });
    expect(daemon.seen.map(({ body }) => body)).toEqual([
      { interface: 'eth1', mode: 'generic' },
      { interface: 'eth1' },
      {},
      {},
      {},
    ]);
  });

  it('ask in a terminal before traffic stops', async () => {
    daemon.reply({ 'POST /v1/detach': { items: [] } });
    const terminal = { columns: 100 };
    const no = await ask('detach', { terminal, input: '\n' });
    expect(no).toMatchObject({ exit: 130, stdout: '' });
    expect(no.stderr).toContain(
      'Take the program off every interface? Its traffic is not balanced any more. [y/N] ',
    );
    expect(no.stderr).toMatch(/nothing was changed\n$/);
    expect(daemon.seen).toEqual([]);
    expect(await ask('detach eth0', { terminal, input: 'y\n' })).toMatchObject({ exit: 0 });
    expect(await ask('detach eth0 --yes', { terminal })).toMatchObject({ exit: 0, stderr: '' });
    expect(daemon.asked).toEqual(['POST /v1/detach', 'POST /v1/detach']);
  });
});
