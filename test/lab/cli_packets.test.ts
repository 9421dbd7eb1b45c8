// holdfast against a holdfastd: packets that are explained, captured and counted.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { capturedPacketSchema, explanationSchema, statsSchema } from '../../control/api/schema.ts';
import { readPcapng } from '../unit/api/lib/pcapng_reader.ts';
import { HOLDFAST, lines, startBash, startHoldfast, told } from './command.ts';
import { Operator, WEB } from './operator.ts';
import { run } from './shell.ts';
import { NEIGHBOUR_ADDRESS, raiseTestSingle, type SingleLab } from './single.ts';
import { eventually } from './support.ts';

const SERVICE = '198.18.0.10';
const DNS = { name: 'dns', addresses: [SERVICE], protocol: 'udp', port: 53, pool: 'web' } as const;

let lab: SingleLab;
let operator: Operator;
beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  await lab.start();
  await operator.restore({ ...WEB, services: [...WEB.services, DNS] });
  await lab.reaches(...WEB.backends.map(({ address }) => address));
});
afterAll(() => lab?.down());

const capturing = () =>
  eventually(async () => (await lab.daemon.client.status()).capturing || undefined, 'a capture');
const idle = () =>
  eventually(
    async () => !(await lab.daemon.client.status()).capturing || undefined,
    'the end of the capture',
  );

/** Runs a capture, and sends while it runs. */
async function captured(line: string, send: () => void) {
  const running = startHoldfast(line, { socket: operator.socket });
  await capturing();
  send();
  return await running.ended;
}

describe('explain', () => {
  const flow = 'tcp 192.0.2.7:4242 198.18.0.10:80';

  it('tells the way of a packet, and its outcome', async () => {
    expect(await operator.done(`explain ${flow}`)).toMatch(
      new RegExp(
        [
          '^1  198\\.18\\.0\\.10 tcp 80 is service web: address, protocol and port are a service\\.',
          '2  The flow is protocol, addresses and ports; its hash is 0x[0-9a-f]+\\.',
          '3  That is slot \\d+ of 1,000 of pool web, clean: no state is kept of it\\.',
          '4  The slot has backend web/(b[12])\\.',
          '5  It is wrapped in (?:GUE|IP in IP) to 198\\.18\\.200\\.1[12] and leaves by eth0 to [0-9a-f:]{17}\\.',
          '',
          'FORWARD to web/\\1  It goes to the backend that the slot of its flow has\\.\n$',
        ].join('\n'),
      ),
    );
  });

  it('as JSON, with all that is known', async () => {
    const found = await operator.json(explanationSchema, `explain ${flow} --syn --interface eth0`);
    expect(found).toMatchObject({ verdict: 'FORWARD', reason: 'FORWARD', service: 'web', pool: 'web' });
    expect(found.backend).toMatch(/^web\/b[12]$/);
    expect(found.frame).toMatch(/^[0-9a-f]+$/);
  });

  const outcomes: readonly [line: string, text: string][] = [
    [
      'tcp 192.0.2.7:4242 198.18.0.99:80',
      'PASS_NOT_A_SERVICE  Its destination is not a service address: the host may have it.\n',
    ],
    [
      'tcp 192.0.2.7:4242 198.18.0.10:81',
      lines(
        '1  198.18.0.10 is a service address: nothing balances it as a whole.',
        '',
        'PASS_NO_SUCH_PORT  Its destination is a service address, but no service is at this port and protocol.',
      ),
    ],
    [
      'icmp 192.0.2.7 198.18.0.10',
      lines(
        '1  198.18.0.10 is a service address: nothing balances it as a whole.',
        '',
        'REPLY_ECHO  It is an echo request to a service address, which the mux answers itself.',
      ),
    ],
    [`--frame ${'ff'.repeat(14)}`, 'PASS_NOT_IP  It is not IP: the host may have it.\n'],
  ];
  it.concurrent.each(outcomes)('%s', async (line, text) => {
    expect(await operator.done(`explain ${line}`)).toBe(text);
  });

  it('counts nothing', async () => {
    const before = await lab.daemon.client.stats();
    await operator.done(`explain ${flow}`);
    expect((await lab.daemon.client.stats()).services).toEqual(before.services);
  });

  const examples =
    'Write tcp 192.0.2.7:4242 198.18.0.10:80, udp [2001:db8::7]:4242 [2001:db8::10]:443, or icmp 192.0.2.7 198.18.0.10';
  const refused: readonly [line: string, exit: number, text: string][] = [
    ['foo bar', 2, told('A flow begins with tcp, udp or icmp, not with "foo".', undefined, examples)],
    ['tcp 192.0.2.7 198.18.0.10', 2, told('198.18.0.10 has no port.', undefined, examples)],
    ['--frame 00', 65, told('A frame has 14 to 3300 bytes, not 1.')],
    [
      `${flow} --interface eth9`,
      66,
      told('The program is not on eth9.', undefined, 'See holdfast status for where it is'),
    ],
  ];
  it.concurrent.each(refused)('refuses %s', async (line, exit, stderr) => {
    expect(await operator.run(`explain ${line}`)).toEqual({ exit, stdout: '', stderr });
  });
});

describe('capture', () => {
  const file = () => join(lab.directory, 'captured.pcapng');

  it('shows packets as they leave, each with its reason', async () => {
    const outcome = await captured(`capture -c 4 --client ${NEIGHBOUR_ADDRESS}`, () => {
      lab.sendDatagrams(SERVICE, 53, 2);
      lab.sendDatagrams(SERVICE, 54, 1);
      expect(lab.isEchoing(SERVICE)).toBe(true);
    });
    expect(outcome).toMatchObject({ exit: 0, stderr: '4 packets\n' });
    const shown = outcome.stdout.split('\n');
    const tunnel =
      /^\d\d:\d\d:\d\d\.\d{6} eth0 FORWARD +198\.18\.200\.1(?:\.\d+)? > 198\.18\.200\.1[12](?:\.6080)?: (?:GUE, )?198\.18\.200\.2\.\d+ > 198\.18\.0\.10\.53: UDP, length 2$/;
    expect(shown[0]).toMatch(tunnel);
    expect(shown[1]).toMatch(tunnel);
    expect(shown[2]).toMatch(
      / eth0 PASS_NO_SUCH_PORT +198\.18\.200\.2\.\d+ > 198\.18\.0\.10\.54: UDP, length 2$/,
    );
    expect(shown[3]).toMatch(/ eth0 REPLY_ECHO +198\.18\.0\.10 > 198\.18\.200\.2: ICMP echo reply, /);
  });

  it('as JSON, a line each', async () => {
    const { exit, stdout } = await captured(
      'capture -c 2 --port 53 --protocol udp --reason forward --json',
      () => lab.sendDatagrams(SERVICE, 53, 2),
    );
    expect(exit).toBe(0);
    const found = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(found.map((line) => capturedPacketSchema.parse(line))).toEqual(found);
    expect(found).toMatchObject([
      { reason: 'FORWARD', interface: 'eth0' },
      { reason: 'FORWARD', interface: 'eth0' },
    ]);
  });

  it('writes what tcpdump reads, and we', async () => {
    const outcome = await captured(
      `capture -c 3 -w ${file()} --address ${SERVICE} --reason PASS_NO_SUCH_PORT`,
      () => {
        lab.sendDatagrams(SERVICE, 53, 1);
        lab.sendDatagrams(SERVICE, 54, 3);
      },
    );
    expect(outcome).toMatchObject({
      exit: 0,
      stdout: '',
      stderr: expect.stringMatching(/^3 packets, \d+ B, in .*captured\.pcapng\n$/),
    });
    const read = run('tcpdump', ['-nr', file()]).trimEnd().split('\n');
    expect(read).toHaveLength(3);
    for (const line of read)
      expect(line).toMatch(/ IP 198\.18\.200\.2\.\d+ > 198\.18\.0\.10\.54: UDP, length 2$/);
    const { interfaces, packets } = readPcapng(readFileSync(file()));
    expect(interfaces).toMatchObject([{ name: 'eth0', linktype: 1 }]);
    // opt_comment
    expect(packets.map(({ options }) => options.get(1)!.map(String))).toEqual(
      Array(3).fill(['PASS_NO_SUCH_PORT']),
    );
    expect(await operator.done(`explain --pcap ${file()} --packet 3`)).toContain('\nPASS_NO_SUCH_PORT  ');
    expect(await operator.run(`explain --pcap ${file()} --packet 4`)).toEqual({
      exit: 65,
      stdout: '',
      stderr: told(`${file()} has no packet 4.`, 'It has 3 packets.'),
    });
  });

  it('pipes pcapng', async () => {
    const script = `'${HOLDFAST}' capture -c 1 -w - --reason PASS_NO_SUCH_PORT | tcpdump -nr - 2>/dev/null`;
    const running = startBash(script, { socket: operator.socket });
    await capturing();
    lab.sendDatagrams(SERVICE, 54, 1);
    expect((await running.ended).stdout).toMatch(/198\.18\.0\.10\.54: UDP, length 2\n$/);
  });

  it('ends by itself after a time', async () => {
    expect(await operator.run('capture --seconds 0.2 --reason DROP')).toEqual({
      exit: 0,
      stdout: '',
      stderr: '0 packets\n',
    });
  });

  it('is one at a time, and leaves the file of the refused one alone', async () => {
    const first = startHoldfast('capture --reason DROP', { socket: operator.socket });
    await capturing();
    expect(await operator.done('status')).toMatch(/\ncapture +running\n/);
    writeFileSync(file(), 'kept');
    expect(await operator.run(`capture -w ${file()}`)).toEqual({
      exit: 73,
      stdout: '',
      stderr: told('Somebody captures already.', undefined, 'One capture runs at a time; wait until it ends'),
    });
    expect(readFileSync(file(), 'utf8')).toBe('kept');
    expect(await first.signal('SIGINT')).toMatchObject({ exit: 130, stdout: '' });
    await idle();
  });

  it('ends when its client is killed', async () => {
    const running = startHoldfast('capture', { socket: operator.socket });
    await capturing();
    await running.signal('SIGKILL');
    await idle();
    expect(lab.isEchoing(SERVICE)).toBe(true);
  });

  it('refuses what there is not', async () => {
    const unknown = await operator.run('capture --reason NOPE');
    expect(unknown).toMatchObject({ exit: 65, stdout: '' });
    expect(unknown.stderr).toMatch(
      /^error: {2}There is no reason NOPE\.\nremedy: Name a verdict \(PASS, ACCEPT, DECAP, FORWARD, ASK, RELAY, QUERY, REPLY, DROP, NOTED\) or one of PASS_NOT_IP, .*DROP_INTERNAL\n$/,
    );
    expect(await operator.run('capture --client 1.2.3')).toMatchObject({
      exit: 2,
      stderr: told('--client cannot be "1.2.3".', 'Not an IPv4 or IPv6 address.'),
    });
    const missing = join(lab.directory, 'nowhere', 'x.pcapng');
    expect(await operator.run(`capture --seconds 0.2 -w ${missing}`)).toEqual({
      exit: 66,
      stdout: '',
      stderr: told(`Cannot write ${missing}.`, 'There is no such file or directory.'),
    });
    expect(existsSync(missing)).toBe(false);
  });
});

describe('stats', () => {
  it('counts by verdict, reason, service and backend', async () => {
    const before = await operator.json(statsSchema, 'stats');
    lab.sendDatagrams(SERVICE, 53, 20);
    const after = await operator.json(statsSchema, 'stats');
    const packets = (of: { services: { name: string; packets: number }[] }) =>
      of.services.find(({ name }) => name === 'dns')!.packets;
    expect(packets(after) - packets(before)).toBe(20);
    expect(after.packets.FORWARD! - before.packets.FORWARD!).toBe(20);
    expect(after.reasons.FORWARD! - before.reasons.FORWARD!).toBe(20);
    const share = (name: string) => after.backends.find((it) => it.name === name)!.packets;
    expect(share('b1') + share('b2')).toBe(packets(after));
    const text = await operator.done('stats');
    expect(text).toMatch(/^VERDICT +PACKETS +SHARE\n/);
    expect(text).toMatch(new RegExp(`\\ndns +${packets(after)} +${packets(after) * 30} B +0 +100\\.0 %\\n`));
  });

  it('watches, until SIGINT', async () => {
    const watching = startHoldfast('stats --watch 0.1', { socket: operator.socket });
    const text = await watching.said(/SERVICE +PACKETS\/S +BIT\/S .*SERVICE/s);
    expect(text).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}per second, over 0\.\d s\n/);
    expect(await watching.signal('SIGINT')).toMatchObject({ exit: 130, stderr: '' });
  });

  it('watches as JSON, a line each time', async () => {
    const watching = startHoldfast('stats --watch 0.2 --json', { socket: operator.socket });
    const text = await watching.said(/\n.*\n/);
    expect((await watching.signal('SIGINT')).exit).toBe(130);
    const [line = ''] = text.split('\n');
    expect(JSON.parse(line)).toMatchObject({ services: [{ name: 'dns' }, { name: 'web' }] });
  });

  it('ends in silence where nobody reads on', async () => {
    const script = `set -o pipefail; '${HOLDFAST}' stats | head -1; '${HOLDFAST}' stats --watch 0.1 | head -1`;
    expect(await startBash(script, { socket: operator.socket }).ended).toMatchObject({ exit: 0, stderr: '' });
  });
});

describe('after all that', () => {
  beforeEach(idle);

  it('nothing has gone wrong', async () => {
    expect(await lab.daemon.client.status()).toMatchObject({ problems: [], capturing: false });
    expect(lab.isEchoing(SERVICE)).toBe(true);
    expect(readFileSync(lab.daemon.logPath, 'utf8')).not.toContain('"level":50');
  });
});
