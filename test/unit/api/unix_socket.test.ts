// Where the API listens on a host: who may connect, what is left behind by the dead, what belongs to the living.
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Failure } from '../../../control/lib/failure.ts';
import { ask } from './lib/connection.ts';
import { listening, temporaryDirectory } from './lib/listening.ts';

const status = async (path: string) => (await ask({ socketPath: path, path: '/v1/status' })).status;
const modeOf = (path: string) => lstatSync(path).mode & 0o7777;

async function failureOf(promise: Promise<unknown>): Promise<object> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Failure);
  return (error as Failure).body;
}

/** A socket whose process has died. */
async function deadSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.new`, resolve));
  renameSync(`${path}.new`, path);
  await new Promise((resolve) => server.close(resolve));
  expect(lstatSync(path).isSocket()).toBe(true);
}

describe('the Unix socket', () => {
  it('is for its owner only, in a directory that is made', async () => {
    const path = join(temporaryDirectory(), 'run', 'holdfast', 'holdfast.sock');
    const { listener } = await listening({ place: { socket: path } });
    expect(listener.where).toBe(path);
    expect(modeOf(path)).toBe(0o600);
    expect(modeOf(dirname(path))).toBe(0o755);
    expect(readdirSync(dirname(path))).toEqual(['holdfast.sock']);
    expect(readdirSync(dirname(dirname(path)))).toEqual(['holdfast']);
    expect(await status(path)).toBe(200);
  });

  it('is never there with another mode, whatever the umask', async () => {
    const umask = process.umask(0);
    try {
      for (let round = 0; round < 20; round++) {
        const parent = temporaryDirectory();
        const path = join(parent, 'run', 'h.sock');
        const modes = new Set<number>();
        const beside = new Set<string>();
        let done = false;
        const watch = (): void => {
          if (existsSync(path)) modes.add(modeOf(path));
          for (const name of readdirSync(parent)) beside.add(name);
          if (!done) setImmediate(watch);
        };
        watch();
        await listening({ place: { socket: path } });
        done = true;
        modes.add(modeOf(path));
        expect([...modes]).toEqual([0o600]);
        expect([...beside]).toEqual(['run']);
      }
    } finally {
      process.umask(umask);
    }
  });

  it('takes the place of one that nobody answers on', async () => {
    const path = join(temporaryDirectory(), 'h.sock');
    await deadSocket(path);
    await listening({ place: { socket: path } });
    expect(await status(path)).toBe(200);
    expect(readdirSync(dirname(path))).toEqual(['h.sock']);
  });

  it('is not taken from a daemon that runs', async () => {
    const { path } = await listening();
    expect(await failureOf(listening({ place: { socket: path } }))).toEqual({
      code: 'conflict',
      message: `Another process listens on ${path} already.`,
      cause: 'Probably a holdfastd that still runs.',
      remedy: 'Stop it, or set api.socket of one of them to another path.',
    });
    expect(await status(path)).toBe(200);
    expect(readdirSync(dirname(path))).toEqual(['h.sock']);
  });

  it('goes to exactly one of many that start over a dead one', async () => {
    for (let round = 0; round < 10; round++) {
      const path = join(temporaryDirectory(), 'h.sock');
      await deadSocket(path);
      const started = await Promise.allSettled(
        Array.from({ length: 5 }, () => listening({ place: { socket: path } })),
      );
      const failed = started.filter((it) => it.status === 'rejected');
      expect(failed.map((it) => (it.reason as Failure).code)).toEqual(Array(4).fill('conflict'));
      expect(await status(path)).toBe(200);
      expect(readdirSync(dirname(path))).toEqual(['h.sock']);
    }
  });

  it('does not remove what is no socket', async () => {
    const path = join(temporaryDirectory(), 'h.sock');
    writeFileSync(path, 'precious');
    expect(await failureOf(listening({ place: { socket: path } }))).toEqual({
      code: 'configuration',
      message: `${path} exists and is no socket.`,
      remedy: 'Remove it, or set api.socket to another path.',
    });
    expect(existsSync(path)).toBe(true);
  });

  it('is not put where others could put one', async () => {
    const directory = temporaryDirectory();
    chmodSync(directory, 0o777);
    const place = { socket: join(directory, 'h.sock') };
    expect(await failureOf(listening({ place }))).toEqual({
      code: 'configuration',
      message: `Others may write to ${directory}.`,
      cause: 'They could put a socket of their own in the place of api.socket.',
      remedy: `chmod go-w ${directory}`,
    });
    chmodSync(directory, 0o1777);
    await listening({ place });
  });

  it('has a path of at most 107 bytes', async () => {
    const directory = temporaryDirectory();
    const fits = join(directory, 'h'.repeat(107 - directory.length - 1));
    await listening({ place: { socket: fits } });
    expect(await status(fits)).toBe(200);
    const path = `${fits}h`;
    expect(await failureOf(listening({ place: { socket: path } }))).toEqual({
      code: 'configuration',
      message: `The path of the socket ${path.slice(directory.length + 1)} is too long.`,
      cause: `${path} has 108 bytes, and Linux takes 107.`,
      remedy: 'Set api.socket to a shorter path.',
    });
  });

  it('cannot be where no directory can be', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'file'), '');
    const socket = join(directory, 'file', 'run', 'h.sock');
    expect(await failureOf(listening({ place: { socket } }))).toEqual({
      code: 'configuration',
      message: `The directory ${dirname(socket)} cannot be made.`,
      cause: expect.stringContaining('ENOTDIR'),
      remedy: 'Make it, or set api.socket to another path.',
    });
  });

  it('goes with its daemon, but not if it belongs to the next one by then', async () => {
    const first = await listening();
    await first.listener.close();
    expect(readdirSync(dirname(first.path))).toEqual([]);

    const second = await listening();
    renameSync(second.path, `${second.path}.old`);
    const third = await listening({ place: { socket: second.path } });
    await second.listener.close();
    expect(await status(third.path)).toBe(200);
  });

  it('does not need the directory to be empty', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'other'));
    await listening({ place: { socket: join(directory, 'h.sock') } });
    expect(readdirSync(directory).sort()).toEqual(['h.sock', 'other']);
  });
});
