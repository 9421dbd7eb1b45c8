// Commands that look, against a daemon that answers by the schemas: what they print, and as JSON.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as answers from './lib/answers.ts';
import * as files from './lib/capture_files.ts';
import { FakeDaemon, failure, stream } from './lib/fake_daemon.ts';
import { holdfast, type Outcome, type RunOptions } from './lib/run.ts';

process.env.TZ = 'UTC';

let daemon: FakeDaemon;
beforeEach(async () => {
  daemon = await FakeDaemon.start();
});
afterEach(async () => {
  await daemon[Symbol.asyncDispose]();
});

const ask = (line: string, options: RunOptions = {}): Promise<Outcome> =>
  holdfast(line.split(' '), { daemon, ...options });

/** The only thing on standard output is this document. */
async function expectJson(line: string, document: unknown, exit = 0): Promise<void> {
  const outcome = await ask(`${line} --json`);
  expect(outcome).toMatchObject({ exit, stderr: '' });
  expect(JSON.parse(outcome.stdout)).toEqual(document);
}

const lines = (...all: readonly string[]): string => `${all.join('\n')}\n`;

describe('status', () => {
  const since = new Date(Date.now() - 273_600_000 - 30_000).toISOString();

  it('says how the node is', async () => {
    daemon.reply({ 'GET /v1/status': { ...answers.STATUS, startedAt: since } });
    expect(await ask('status')).toEqual({
      exit: 0,
      stderr: '',
      stdout: lines(
        'node     mux1 (mux)',
        'daemon   holdfastd 0.1.0, process 812, up 3 d 4 h',
        'kernel   6.18.0',
        'tables   taken over from the pins of the run before',
        'store    sqlite /var/lib/holdfast/store.db, revision 42, applied',
        'objects  2 services, 1 pool, 3 backends',
        '',
        'INTERFACE  ROLE  MODE     PROGRAM  TAG               PINNED',
        'eth0       mux   native        31  0a1b2c3d4e5f6071  yes',
        'eth1       mux   generic       32                    no',
        '',
        'LIMIT          USED         OF',
        'services         12      4,096   0.3 %',
        'backends          3      4,095   0.1 %',
        'slots     1,000,000  1,048,592  95.4 %',
        '',
        'no problems',
      ),
    });
    await expectJson('status', { ...answers.STATUS, startedAt: since });
  });

  it('says what is wrong', async () => {
    daemon.reply({
      'GET /v1/status': {
        ...answers.STATUS,
        attachments: [],
        limits: {},
        capturing: true,
        adopted: 'migrated',
        store: { ...answers.STATUS.store, connected: false, revision: 44 },
        problems: [
          {
            code: 'unavailable',
            message: 'The store does not answer.',
            cause: 'The disk is full.',
            remedy: 'Make room.',
          },
          { code: 'limit', message: 'There are too many slots.' },
        ],
      },
    });
    const { stdout } = await ask('status');
    expect(stdout).toContain('\ntables   copied from the pins of an older version\n');
    expect(stdout).toContain(
      '\nstore    sqlite /var/lib/holdfast/store.db, revision 44, 42 applied, not connected\n',
    );
    expect(stdout).toContain('\ncapture  running\n');
    expect(stdout).toContain(
      lines(
        '',
        'no program is attached',
        '',
        '2 problems',
        '',
        'error:  The store does not answer.',
        'cause:  The disk is full.',
        'remedy: Make room.',
        '',
        'error:  There are too many slots.',
      ),
    );
  });

  it('has colours and bars in a terminal', async () => {
    daemon.reply({ 'GET /v1/status': answers.STATUS });
    const { stdout } = await ask('status', { terminal: { columns: 100 } });
    expect(stdout).toContain('\x1b[36m███████████████████▏\x1b[39m');
    expect(stdout).toContain('\x1b[33mgeneric\x1b[39m');
    const plain = await ask('status --no-color', { terminal: { columns: 100 } });
    expect(plain.stdout).not.toContain('\x1b');
    expect(plain.stdout).toContain('███');
  });
});

describe('stats', () => {
  it('are counts', async () => {
    daemon.reply({ 'GET /v1/stats': answers.STATS });
    expect((await ask('stats')).stdout).toBe(
      lines(
        'VERDICT    PACKETS   SHARE',
        'FORWARD  1,234,567  99.9 %',
        'PASS         1,200   0.1 %',
        'DROP            45  <0.1 %',
        'REPLY            3  <0.1 %',
        '',
        'REASON                PACKETS   SHARE',
        'FORWARD             1,234,567  99.9 %',
        'PASS_NOT_A_SERVICE      1,200   0.1 %',
        'DROP_NO_BACKEND            45  <0.1 %',
        'REPLY_ECHO                  3  <0.1 %',
        '',
        'SERVICE    PACKETS   BYTES  NEW FLOWS   SHARE',
        'web      1,230,000  988 MB     65,537  99.6 %',
        'dns          4,567  400 kB          0   0.4 %',
        '',
        'BACKEND  PACKETS   BYTES  NEW FLOWS   SHARE',
        'web/b1   615,000  494 MB     32,768  50.0 %',
        'web/b2   615,000  494 MB     32,769  50.0 %',
      ),
    );
    await expectJson('stats', answers.STATS);
  });

  it('cannot be watched that often, or that seldom', async () => {
    for (const seconds of ['0', '0.05', '3601', 'x', '-1']) {
      expect(await ask(`stats --watch ${seconds}`)).toEqual({
        exit: 2,
        stdout: '',
        stderr: `error:  --watch takes 0.1 to 3600 seconds, not "${seconds}".\n`,
      });
    }
  });
});

describe('stats --watch', () => {
  /** Counts that grow by a thousand packets a second, and stop the command after some answers. */
  const growing = (answersMax: number) => {
    const stop = new AbortController();
    let asked = 0;
    const reply = () => {
      if (++asked > answersMax) stop.abort();
      const packets = asked * 100;
      return {
        ...answers.STATS,
        atMs: answers.STATS.atMs + asked * 100,
        packets: { FORWARD: packets },
        reasons: { FORWARD: packets, DROP_ECN: asked > 2 ? packets : 0 },
        services: [],
        backends: [],
      };
    };
    daemon.reply({ 'GET /v1/stats': reply });
    return stop.signal;
  };

  it('is rates, a line of JSON each', async () => {
    const outcome = await ask('stats --watch 0.1 --json', { signal: growing(3) });
    expect(outcome).toMatchObject({ exit: 130, stderr: '' });
    const printed = outcome.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(printed).toHaveLength(2);
    expect(printed[0]).toEqual({
      atMs: answers.STATS.atMs + 200,
      seconds: 0.1,
      packets: { FORWARD: 1_000 },
      reasons: { FORWARD: 1_000, DROP_ECN: 0 },
      services: [],
      backends: [],
    });
  });

  it('is text in a pipe', async () => {
    const outcome = await ask('stats --watch 0.1', { signal: growing(3) });
    expect(outcome).toMatchObject({ exit: 130, stderr: '' });
    expect(outcome.stdout).not.toContain('\x1b');
    expect(outcome.stdout).toContain(
      lines(
        '2026-11-23 00:45:30  per second, over 0.1 s',
        '',
        'VERDICT  PACKETS/S    SHARE',
        'FORWARD      1,000  100.0 %',
        '',
        'REASON   PACKETS/S    SHARE',
        'FORWARD      1,000  100.0 %',
        '',
        'moved: nothing much',
      ),
    );
    expect(outcome.stdout).toContain('\nmoved: ↑ DROP_ECN 0 → 3,000\n');
  });

  it('takes the screen of a terminal, and gives it back with the last rates', async () => {
    const signal = growing(3);
    const { exit, stdout } = await ask('stats -w 0.1', { signal, terminal: { columns: 80, rows: 9 } });
    expect(exit).toBe(130);
    expect(stdout.startsWith('\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H')).toBe(true);
    const [screens = '', after = ''] = stdout.split('\x1b[?7h\x1b[?25h\x1b[?1049l');
    for (const screen of screens.split('\x1b[H')) expect(screen.split('\r\n').length).toBeLessThanOrEqual(9);
    expect(after).toMatch(/^2026-11-23 00:45:30 /);
  });

  it('goes on in a terminal where the daemon is away, and says so', async () => {
    const stop = new AbortController();
    let asked = 0;
    daemon.reply({
      'GET /v1/stats': (_, response) => {
        asked++;
        if (asked === 2) return void response.destroy();
        if (asked === 4) setTimeout(() => stop.abort(), 50);
        return { ...answers.STATS, atMs: asked * 1_000 };
      },
    });
    const terminal = { columns: 80 };
    const { stdout } = await ask('stats --watch 0.1', { signal: stop.signal, terminal });
    expect(stdout).toContain('It closed the connection before its answer was complete.');
    expect(stdout.split('\x1b[?1049l').at(-1)).toContain('1970-01-01 00:00:04');
  });

  it('ends in a pipe where the daemon is away', async () => {
    let asked = 0;
    daemon.reply({
      'GET /v1/stats': (_, response) => (++asked === 1 ? answers.STATS : void response.destroy()),
    });
    expect(await ask('stats --watch 0.1')).toMatchObject({ exit: 69, stdout: '' });
  });
});

describe('explain', () => {
  const text = lines(
    '1  A TCP packet from 192.0.2.7:4242 to 198.18.0.10:80.',
    '2  The address and port are those of service web.',
    '3  Slot 4711 of pool web belongs to backend web/b1.',
    '',
    'FORWARD to web/b1  by the slot of the flow',
  );
  const flow = {
    protocol: 'tcp',
    source: '192.0.2.7',
    sourcePort: 4242,
    destination: '198.18.0.10',
    destinationPort: 80,
  };
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-explain-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  beforeEach(() => daemon.reply({ 'POST /v1/explain': answers.EXPLANATION }));

  it('shows the way of a flow', async () => {
    expect(await ask('explain tcp 192.0.2.7:4242 198.18.0.10:80')).toEqual({
      exit: 0,
      stderr: '',
      stdout: text,
    });
    expect(daemon.seen[0]!.body).toEqual({ flow });
    await expectJson('explain tcp 192.0.2.7:4242 -> 198.18.0.10:80', answers.EXPLANATION);
    expect(daemon.seen[1]!.body).toEqual({ flow });
  });

  it('asks for a SYN, a length and an interface', async () => {
    await ask('explain tcp 192.0.2.7:4242 198.18.0.10:80 --syn --length 60 --interface eth1');
    expect(daemon.seen[0]!.body).toEqual({
      flow: { ...flow, syn: true, lengthBytes: 60 },
      interface: 'eth1',
    });
  });

  it('shows a packet that goes nowhere', async () => {
    daemon.reply({
      'POST /v1/explain': {
        verdict: 'DROP',
        reason: 'DROP_NO_BACKEND',
        meaning: 'the slot is empty',
        steps: ['One.', 'DROP_NO_BACKEND: the slot is empty'],
      },
    });
    expect((await ask('explain icmp 192.0.2.7 198.18.0.10')).stdout).toBe(
      lines('1  One.', '', 'DROP_NO_BACKEND  the slot is empty'),
    );
  });

  it('wraps steps where the terminal is narrow', async () => {
    const { stdout } = await ask('explain tcp 192.0.2.7:4242 198.18.0.10:80 --no-color', {
      terminal: { columns: 40 },
    });
    expect(stdout.split('\n').slice(0, 4)).toEqual([
      '1  A TCP packet from 192.0.2.7:4242 to',
      '   198.18.0.10:80.',
      '2  The address and port are those of',
      '   service web.',
    ]);
  });

  it('takes a frame as hex dumps have it', async () => {
    await holdfast(['explain', '--frame', '0x0200 00:00:00:01\nAB'], { daemon });
    expect(daemon.seen[0]!.body).toEqual({ frame: '020000000001AB' });
  });

  it('takes the packet of a file', async () => {
    const file = join(directory, 'two.pcapng');
    writeFileSync(
      file,
      files.pcapng([{ bytes: Uint8Array.of(1, 2, 3) }, { bytes: Uint8Array.of(4, 5, 6), lengthBytes: 5 }]),
    );
    expect((await ask(`explain --pcap ${file}`)).stderr).toBe('');
    expect((await ask(`explain --pcap ${file} --packet 2`)).stderr).toBe(
      '2 bytes of packet 2 were not captured and are taken to be 0\n',
    );
    expect(daemon.seen.map(({ body }) => body)).toEqual([{ frame: '010203' }, { frame: '0405060000' }]);
    expect(await ask(`explain --pcap ${file} --packet 3`)).toEqual({
      exit: 65,
      stdout: '',
      stderr: lines(`error:  ${file} has no packet 3.`, 'cause:  It has 2 packets.'),
    });
  });

  it('says where the file cannot be read', async () => {
    expect(await ask(`explain --pcap ${directory}/none.pcap`)).toMatchObject({
      exit: 66,
      stderr: lines(
        `error:  Cannot read ${directory}/none.pcap.`,
        'cause:  There is no such file or directory.',
      ),
    });
    expect(await ask(`explain --pcap ${directory}`)).toMatchObject({
      exit: 65,
      stderr: lines(`error:  Cannot read ${directory}.`, 'cause:  It is a directory.'),
    });
  });

  const give = 'remedy: Give one: a flow such as tcp 192.0.2.7:4242 198.18.0.10:80, --frame or --pcap.';
  const wrong: readonly [string, ...string[]][] = [
    ['explain', 'error:  There is no packet to explain.', give],
    ['explain --frame 00 --pcap x', 'error:  These are several packets.', give],
    ['explain tcp 192.0.2.7:1 198.18.0.10:80 --frame 00', 'error:  These are several packets.', give],
    ['explain --frame 0', 'error:  --frame is not hexadecimal.', 'remedy: Write two digits for each byte.'],
    ['explain --frame 00 --packet 2', 'error:  --packet needs --pcap.'],
    ['explain --frame 00 --syn', 'error:  --syn is about a flow, and this is a frame.'],
    ['explain --frame 00 --length 9', 'error:  --length is about a flow, and this is a frame.'],
    [
      'explain udp 192.0.2.7:1 198.18.0.10:80 --length 20',
      'error:  --length cannot be "20".',
      'cause:  Must be at least 28.',
    ],
    ['explain --pcap x --packet 0', 'error:  --packet counts from 1.'],
    ['explain udp 192.0.2.7:1 198.18.0.10:80 --syn', 'error:  --syn is about TCP.'],
    ['explain tcp 192.0.2.7:1 2001:db8::1', 'error:  192.0.2.7 and 2001:db8::1 are not of one IP version.'],
  ];
  for (const [line, ...printed] of wrong) {
    it(`refuses ${line}`, async () => {
      expect(await ask(line)).toEqual({ exit: 2, stdout: '', stderr: lines(...printed) });
      expect(daemon.seen).toEqual([]);
    });
  }
});

describe('events', () => {
  beforeEach(() => {
    const [one, other] = answers.EVENTS;
    daemon.reply({
      'GET /v1/events': stream(
        `: hello\n\nid: 1\ndata: ${JSON.stringify(one)}\n\n`,
        `id: 2\ndata: ${JSON.stringify(other)}\n\n`,
      ),
    });
  });

  it('are a line each', async () => {
    expect(await ask('events')).toEqual({
      exit: 69,
      stderr: lines(
        'error:  There are no more events.',
        'cause:  holdfastd has ended, or begins again.',
        'remedy: See holdfast status, and ask for events again.',
      ),
      stdout: lines(
        '2026-11-23 00:45:30  changed   Backend web/b1 was changed. (revision 43)',
        '2026-11-23 00:45:31  problem   The store does not answer.',
      ),
    });
  });

  it('are a line of JSON each', async () => {
    const { stdout } = await ask('events --json');
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(answers.EVENTS);
  });
});

describe('doctor', () => {
  it('says what was found', async () => {
    daemon.reply({ 'GET /v1/doctor': answers.FINDINGS });
    expect(await ask('doctor')).toEqual({
      exit: 0,
      stderr: '',
      stdout: lines(
        'ok       kernel           Linux 6.18 has all that is needed.',
        'warning  xdp-native eth1  The driver has no XDP.',
        '                          cure: Use another card.',
        'note     forwarding       Forwarding is off.',
        '',
        '1 warning, 1 note',
      ),
    });
    await expectJson('doctor', answers.FINDINGS);
  });

  it('fails where it finds an error', async () => {
    const items = [{ check: 'bpf', severity: 'error', message: 'There is no BPF.' }];
    daemon.reply({ 'GET /v1/doctor': { items } });
    expect(await ask('doctor eth0')).toMatchObject({
      exit: 69,
      stdout: lines('error    bpf  There is no BPF.', '', '1 error'),
    });
    await expectJson('doctor eth0', { items }, 69);
    expect(daemon.asked).toEqual(['GET /v1/doctor?interface=eth0', 'GET /v1/doctor?interface=eth0']);
  });

  it('is wrapped where the terminal is narrow', async () => {
    daemon.reply({ 'GET /v1/doctor': answers.FINDINGS });
    const { stdout } = await ask('doctor --no-color', { terminal: { columns: 50 } });
    expect(stdout.split('\n').slice(0, 4)).toEqual([
      'ok       kernel           Linux 6.18 has all that',
      '                          is needed.',
      'warning  xdp-native eth1  The driver has no XDP.',
      '                          cure: Use another card.',
    ]);
  });

  it('may have nothing to complain about', async () => {
    daemon.reply({ 'GET /v1/doctor': { items: [answers.FINDINGS.items[0]] } });
    expect((await ask('doctor')).stdout).toContain('\n\nnothing to complain about\n');
    daemon.reply({ 'GET /v1/doctor': { items: [] } });
    expect((await ask('doctor')).stdout).toBe('nothing to complain about\n');
  });
});

it('metrics are as they are', async () => {
  daemon.reply({ 'GET /metrics': '# TYPE a counter\na 1\n' });
  expect(await ask('metrics')).toEqual({ exit: 0, stderr: '', stdout: '# TYPE a counter\na 1\n' });
  await expectJson('metrics', { text: '# TYPE a counter\na 1\n' });
});

describe('a failure', () => {
  const body = { code: 'not_found', message: 'There is no service x.', remedy: 'See holdfast services list' };

  it('is what it is, why, and what to do', async () => {
    daemon.reply({ 'GET /v1/services/x': failure(404, { ...body, cause: 'It was removed.' }) });
    expect(await ask('services show x')).toEqual({
      exit: 66,
      stdout: '',
      stderr: lines(
        'error:  There is no service x.',
        'cause:  It was removed.',
        'remedy: See holdfast services list',
      ),
    });
  });

  it('is JSON on standard error where JSON is asked for', async () => {
    daemon.reply({ 'GET /v1/services/x': failure(404, body) });
    const outcome = await ask('services show x --json');
    expect(outcome).toMatchObject({ exit: 66, stdout: '' });
    expect(JSON.parse(outcome.stderr)).toEqual(body);
  });

  it('has colours in a terminal', async () => {
    daemon.reply({ 'GET /v1/services/x': failure(404, body) });
    const terminal = { columns: 80 };
    expect((await ask('services show x', { terminal })).stderr).toContain(
      '\x1b[1m\x1b[31merror:\x1b[39m\x1b[22m  ',
    );
    expect((await ask('services show x --no-color', { terminal })).stderr).toMatch(/^error: {2}/);
  });

  it('has no stack, unless somebody wants to find a bug', async () => {
    const quiet = await ask('status');
    expect(quiet.stderr).not.toMatch(/\.ts:\d+/);
    const loud = await ask('status', { env: { HOLDFAST_DEBUG: '1' } });
    expect(loud.stderr).toMatch(/\.ts:\d+/);
  });
});
