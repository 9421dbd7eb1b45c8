// Captures: shown, piped and saved.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packetsOf } from '../../../control/cli/packet_file.ts';
import * as packets from '../../bpf/lib/packets.ts';
import * as files from './lib/capture_files.ts';
import { FakeDaemon, failure, stream } from './lib/fake_daemon.ts';
import { holdfast, type RunOptions } from './lib/run.ts';

process.env.TZ = 'UTC';

const FRAME = packets.frame(
  packets.ipv4(
    { source: '192.0.2.7', destination: '198.18.0.10' },
    packets.tcp({ sourcePort: 4242, destinationPort: 80, flags: packets.TCP_FLAG.syn }),
  ),
);
const LINE = {
  atMs: Date.UTC(2026, 10, 23, 0, 45, 30) + 1.5,
  reason: 'DROP_NO_BACKEND',
  ifindex: 2,
  interface: 'eth0',
  lengthBytes: FRAME.length,
  frame: Buffer.from(FRAME).toString('hex'),
};
const WORDS = '192.0.2.7.4242 > 198.18.0.10.80: Flags [S], seq 16909060, win 64240, length 0';

let daemon: FakeDaemon;
let directory: string;
beforeEach(async () => {
  daemon = await FakeDaemon.start();
  directory = mkdtempSync(join(tmpdir(), 'holdfast-capture-'));
});
afterEach(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const ask = (line: string, options: RunOptions = {}) => holdfast(line.split(' '), { daemon, ...options });

describe('capture', () => {
  const { interface: _, ...unnamed } = LINE;
  const text = [LINE, { ...unnamed, reason: 'FORWARD', lost: 1_234 }].map((it) => `${JSON.stringify(it)}\n`);

  it('shows packets in words, each with its reason', async () => {
    daemon.reply({ 'POST /v1/capture': stream(...text) });
    expect(await ask('capture')).toEqual({
      exit: 0,
      stdout:
        `00:45:30.001500 eth0 DROP_NO_BACKEND        ${WORDS}\n` +
        `00:45:30.001500 if2 FORWARD                ${WORDS}\n`,
      stderr: '2 packets; 1,234 more came too fast\n',
    });
    expect(daemon.seen[0]).toMatchObject({ body: {}, accept: 'application/x-ndjson' });
  });

  it('says in a terminal how long it lasts', async () => {
    daemon.reply({ 'POST /v1/capture': stream() });
    const terminal = { columns: 80 };
    expect((await ask('capture', { terminal })).stderr).toBe(
      'for 60 s or 10,000 packets; Ctrl-C ends it\n0 packets\n',
    );
    expect((await ask('capture --seconds 5 -c 1', { terminal })).stderr).toContain('for 5 s or 1 packet;');
    expect((await ask('capture --json', { terminal })).stderr).toBe('');
  });

  it('shows them as lines of JSON', async () => {
    daemon.reply({ 'POST /v1/capture': stream(...text) });
    expect(await ask('capture --json')).toEqual({ exit: 0, stdout: text.join(''), stderr: '' });
  });

  it('asks for what is wanted alone', async () => {
    daemon.reply({ 'POST /v1/capture': stream() });
    const { stderr } = await ask(
      'capture --reason DROP --reason PASS_NOT_IP --client 192.0.2.7 --client-port 4242 --address 198.18.0.10 ' +
        '--port 80 --protocol tcp --seconds 1.5 -c 9',
    );
    expect(stderr).toBe('0 packets\n');
    expect(daemon.seen[0]!.body).toEqual({
      reasons: ['DROP', 'PASS_NOT_IP'],
      client: '192.0.2.7',
      clientPort: 4242,
      address: '198.18.0.10',
      port: 80,
      protocol: 'tcp',
      seconds: 1.5,
      packets: 9,
    });
  });

  it('ends with what went wrong', async () => {
    const broken = { code: 'unavailable', message: 'The program is gone.', remedy: 'Attach it.' };
    daemon.reply({ 'POST /v1/capture': stream(text[0]!, `${JSON.stringify(broken)}\n`) });
    const outcome = await ask('capture');
    expect(outcome.exit).toBe(69);
    expect(outcome.stdout).toContain(WORDS);
    expect(outcome.stderr).toBe('error:  The program is gone.\nremedy: Attach it.\n');
  });

  it('is interrupted with what it has', async () => {
    const stop = new AbortController();
    daemon.reply({
      'POST /v1/capture': (_, response) => {
        response.write(text[0]);
        setTimeout(() => stop.abort(), 50);
      },
    });
    const outcome = await ask('capture', { signal: stop.signal });
    expect(outcome).toMatchObject({ exit: 130, stderr: '1 packet\n' });
    expect(outcome.stdout).toContain(WORDS);
  });
});

describe('capture -w', () => {
  const file = files.pcapng([{ bytes: FRAME }, { bytes: FRAME, lengthBytes: 1514 }]);

  it('writes a file', async () => {
    const path = join(directory, 'two.pcapng');
    daemon.reply({ 'POST /v1/capture': stream(file.subarray(0, 99), file.subarray(99)) });
    expect(await ask(`capture -w ${path}`)).toEqual({
      exit: 0,
      stdout: '',
      stderr: `2 packets, ${file.length} B, in ${path}\n`,
    });
    expect(daemon.seen[0]!.accept).toBe('application/x-pcapng');
    expect(readFileSync(path)).toEqual(Buffer.from(file));
    const { stdout } = await ask(`capture --write ${path} --json`);
    expect(JSON.parse(stdout)).toEqual({ file: path, packets: 2, bytes: file.length });
  });

  it('writes to standard output, and nothing else there', async () => {
    daemon.reply({ 'POST /v1/capture': stream(file) });
    const outcome = await ask('capture -w -');
    expect(outcome).toMatchObject({ exit: 0, stderr: '' });
    expect(outcome.stdout).toBe(Buffer.from(file).toString('utf8'));
  });

  it('leaves a file that can be read where it is interrupted in the middle of a packet', async () => {
    const path = join(directory, 'cut.pcapng');
    const stop = new AbortController();
    daemon.reply({
      'POST /v1/capture': (_, response) => {
        response.write(file.subarray(0, -7));
        setTimeout(() => stop.abort(), 50);
      },
    });
    expect(await ask(`capture -w ${path}`, { signal: stop.signal })).toMatchObject({ exit: 130, stdout: '' });
    expect([...packetsOf(readFileSync(path), path)]).toHaveLength(1);
  });

  it('leaves the file of before alone where it gets nothing', async () => {
    const path = join(directory, 'old.pcapng');
    writeFileSync(path, 'old');
    daemon.reply({
      'POST /v1/capture': failure(409, { code: 'conflict', message: 'Somebody captures already.' }),
    });
    expect(await ask(`capture -w ${path}`)).toEqual({
      exit: 73,
      stdout: '',
      stderr: 'error:  Somebody captures already.\n',
    });
    expect(readFileSync(path, 'utf8')).toBe('old');
  });

  it('says where it cannot write', async () => {
    daemon.reply({ 'POST /v1/capture': stream(file) });
    const path = join(directory, 'none', 'x.pcapng');
    expect(await ask(`capture -w ${path}`)).toEqual({
      exit: 66,
      stdout: '',
      stderr: `error:  Cannot write ${path}.\ncause:  There is no such file or directory.\n`,
    });
    expect(existsSync(path)).toBe(false);
  });

  it('is not asked for what cannot be', async () => {
    const refused: readonly [string, string][] = [
      ['--client 1.2.3', '--client cannot be "1.2.3".\ncause:  Not an IPv4 or IPv6 address.'],
      ['--port 0', '--port cannot be "0".\ncause:  Must be at least 1.'],
      ['--seconds 3601', '--seconds cannot be "3601".\ncause:  Must be at most 3600.'],
      ['--count 0.5', '--count cannot be "0.5".\ncause:  Expected int, received number.'],
    ];
    for (const [words, text] of refused) {
      expect(await ask(`capture ${words}`)).toEqual({ exit: 2, stdout: '', stderr: `error:  ${text}\n` });
    }
    expect(daemon.seen).toEqual([]);
  });

  it('does not write bytes to a terminal, nor beside JSON', async () => {
    expect(await ask('capture -w - --no-color', { terminal: { columns: 80 } })).toEqual({
      exit: 2,
      stdout: '',
      stderr:
        'error:  pcapng is not for a terminal.\n' +
        'remedy: Pipe it: holdfast capture -w - | tcpdump -nr -; or leave -w out.\n',
    });
    expect(await ask('capture -w - --json')).toMatchObject({ exit: 2, stdout: '' });
  });
});
