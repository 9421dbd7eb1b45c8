// Namespaces of the thread, the service manager's socket, membarrier and rounds of the CPUs.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
import {
  cpuRound,
  currentNetns,
  membarrierGlobal,
  membarrierGlobalSync,
  membarrierSupported,
  netnsIdentity,
  Rtnetlink,
  SystemError,
  sdNotify,
  watchdogIntervalMs,
  withNetns,
} from '@holdfast/linux';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { binding } from '../../../native/linux/lib/binding.ts';
import { parseCpus } from '../../../native/linux/lib/cpu_round.ts';
import { Lab } from './lab.ts';

const lab = new Lab();
afterAll(() => lab.remove());

describe('withNetns', () => {
  let path: string;
  let other: string;
  const home = currentNetns();
  beforeAll(() => {
    path = lab.netns('a');
    other = lab.netns('b');
  });
  afterEach(() => expect(currentNetns()).toEqual(home));

  test('runs there and comes back', () => {
    const inode = Number(/\d+/.exec(execFileSync('stat', ['-c', '%i', path], { encoding: 'utf8' }))?.[0]);
    expect(inode).not.toBe(home.inode);
    expect(withNetns(path, () => currentNetns().inode)).toBe(inode);
    expect(netnsIdentity(path).inode).toBe(inode);
    expect(withNetns(path, () => readFileSync('/proc/thread-self/net/dev', 'utf8').split('\n').length)).toBe(
      4,
    );
  });

  test('comes back when the function throws, with that very error', () => {
    const error = Object.assign(new Error('inside'), { errno: 5, syscall: 'x' });
    let caught: unknown;
    try {
      withNetns(path, () => {
        throw error;
      });
    } catch (thrown) {
      caught = thrown;
    }
    expect(caught).toBe(error);
  });

  test('nests', () => {
    const there = netnsIdentity(path);
    const seen = withNetns(path, () => [withNetns(other, () => currentNetns()), currentNetns()]);
    expect(seen).toEqual([netnsIdentity(other), there]);
  });

  test('refuses asynchronous functions and says why', () => {
    let ran = false;
    const asynchronous = async (): Promise<void> => {
      ran = true;
    };
    expect(() => withNetns(path, asynchronous)).toThrow(/only this thread/);
    expect(ran).toBe(false);
    expect(() => withNetns(path, () => Promise.reject(new Error('lost')))).toThrow(TypeError);
  });

  test('refuses what is no namespace', () => {
    expect(() => withNetns('/run/netns/hf-test-none', () => 1)).toThrow(
      expect.objectContaining({ name: 'SystemError', code: 'ENOENT' }),
    );
    expect(() => withNetns('/etc/hostname', () => 1)).toThrow(SystemError);
    expect(() => withNetns('/proc/self/ns/mnt', () => 1)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });

  test('moves no other thread', async () => {
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads');
       import('@holdfast/linux').then(({ currentNetns }) => {
         parentPort.on('message', () => parentPort.postMessage(currentNetns().inode));
         parentPort.postMessage('ready');
       });`,
      { eval: true, execArgv: ['--conditions=source'] },
    );
    await new Promise((resolve) => worker.once('message', resolve));
    const answer = new Promise((resolve) => worker.once('message', resolve));
    withNetns(path, () => {
      worker.postMessage('');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    });
    expect(await answer).toBe(home.inode);
    await worker.terminate();
  });

  test('leaves sockets where they were opened', () => {
    using inside = withNetns(path, () => new Rtnetlink());
    expect(inside.links().map((link) => link.name)).toEqual(['lo']);
  });
});

// Node.js has no AF_UNIX datagram socket, so Python listens.
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
n = sys.argv[1]
s.bind('\\0' + n[1:] if n[0] == '@' else n)
s.settimeout(10)
print('ready', flush=True)
while True: print(s.recv(65536).decode().encode('unicode_escape').decode(), flush=True)
`;

describe('sdNotify', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hf-test-notify-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  async function received(address: string, send: () => void): Promise<string> {
    const listener = spawn('python3', ['-c', LISTENER, address], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const lines = createInterface(listener.stdout)[Symbol.asyncIterator]();
      await lines.next();
      send();
      return (await lines.next()).value as string;
    } finally {
      listener.kill();
    }
  }

  test.each(['path', 'abstract'])('reaches a socket with a name of kind %s', async (kind) => {
    const address = kind === 'path' ? join(directory, 'notify') : `@hf-test-${process.pid}-notify`;
    const environment = { NOTIFY_SOCKET: address };
    expect(await received(address, () => sdNotify('READY=1', environment))).toBe('READY=1');
    rmSync(address, { force: true });
    const state = { READY: 1, STATUS: 'serving é', MAINPID: 7 };
    expect(await received(address, () => expect(sdNotify(state, environment)).toBe(true))).toBe(
      'READY=1\\nSTATUS=serving \\xe9\\nMAINPID=7',
    );
  });

  test('does nothing without a socket', () => {
    expect(sdNotify('READY=1', {})).toBe(false);
    expect(sdNotify('READY=1', { NOTIFY_SOCKET: '' })).toBe(false);
  });

  test('refuses addresses and states that are none', () => {
    const environment = { NOTIFY_SOCKET: join(directory, 'none') };
    expect(() => sdNotify('READY=1', environment)).toThrow(
      expect.objectContaining({ name: 'SystemError', code: 'ENOENT' }),
    );
    expect(() => sdNotify('READY=1', { NOTIFY_SOCKET: 'relative' })).toThrow(TypeError);
    expect(() => sdNotify('READY=1', { NOTIFY_SOCKET: `/${'x'.repeat(200)}` })).toThrow(RangeError);
    expect(() => sdNotify({ 'READY=1\nX': 1 }, environment)).toThrow(TypeError);
    expect(() => sdNotify({ STATUS: 'two\nlines' }, environment)).toThrow(TypeError);
    expect(() => sdNotify({}, environment)).toThrow(TypeError);
  });
});

describe('watchdogIntervalMs', () => {
  test('reads the interval that is meant for this process', () => {
    expect(watchdogIntervalMs({})).toBeUndefined();
    expect(watchdogIntervalMs({ WATCHDOG_USEC: '3000000' })).toBe(3000);
    expect(watchdogIntervalMs({ WATCHDOG_USEC: '1500', WATCHDOG_PID: `${process.pid}` })).toBe(1.5);
    expect(watchdogIntervalMs({ WATCHDOG_USEC: '1500', WATCHDOG_PID: '1' })).toBeUndefined();
  });

  test.each(['', '0', '-1', '1e6', 'soon'])('refuses an interval of "%s"', (text) => {
    expect(() => watchdogIntervalMs({ WATCHDOG_USEC: text })).toThrow(TypeError);
  });
});

describe('a round of the CPUs', () => {
  test('ends, many at once too, and leaves the threads of this process where they may run', async () => {
    const allowed = () => /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1];
    const before = allowed();
    await cpuRound();
    await Promise.all(Array.from({ length: 20 }, () => cpuRound()));
    expect(allowed()).toBe(before);
  });

  test('is of the CPUs that the kernel lists', () => {
    expect(parseCpus('0\n')).toEqual([0]);
    expect(parseCpus('0-2,5,7-8\n')).toEqual([0, 1, 2, 5, 7, 8]);
    for (const list of ['', 'a', '0-', '-1', '0-99999999', '3-x'])
      expect(() => parseCpus(list)).toThrow(RangeError);
  });

  test('fails where a CPU is not there', async () => {
    await expect(binding.cpuRound([0, 1023])).rejects.toMatchObject({ code: 'EINVAL' });
  });
});

describe('membarrier', () => {
  test('is supported and returns after a grace period', async () => {
    expect(membarrierSupported()).toBe(true);
    membarrierGlobalSync();
    await membarrierGlobal();
    await Promise.all(Array.from({ length: 20 }, () => membarrierGlobal()));
  });

  test('leaves the event loop free while it waits', async () => {
    let turns = 0;
    let done = false;
    const spin = (): void => {
      turns += 1;
      if (!done) setImmediate(spin);
    };
    spin();
    await membarrierGlobal();
    done = true;
    expect(turns).toBeGreaterThan(1);
  });

  test('fails with the reason where it is forbidden', () => {
    // A seccomp filter that answers membarrier with EPERM stands for a container that forbids it.
    const script = `
      import ctypes, os, struct, sys
      libc = ctypes.CDLL(None, use_errno=True)
      number = {'x86_64': 324, 'aarch64': 283}[os.uname().machine]
      code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
      program = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *i) for i in code))
      fprog = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(code), ctypes.addressof(program)))
      assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, fprog) == 0
      os.execv(sys.argv[1], sys.argv[1:])`;
    const body = `import('@holdfast/linux').then(async (m) => {
      let code; try { m.membarrierGlobalSync(); } catch (e) { code = e.name + ' ' + e.code; }
      let late; try { await m.membarrierGlobal(); } catch (e) { late = e.name + ' ' + e.code; }
      console.log(m.membarrierSupported(), code, late);
    })`;
    const python = script.replaceAll('\n      ', '\n');
    const output = execFileSync(
      'python3',
      ['-c', python, process.execPath, '--conditions=source', '-e', body],
      { encoding: 'utf8', cwd: process.cwd() },
    );
    expect(output.trim()).toBe('false SystemError EPERM SystemError EPERM');
  });
});
