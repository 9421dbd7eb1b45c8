// Owns the probe that runs a program. What stands in the store must not be a way to run things as root: a node has to allow
// commands in its own file, with the directory of those that may run, and they run as a user that is nobody.
import { type ChildProcess, spawn } from 'node:child_process';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Result } from '../checks_core.ts';
import { bad, failed, good, type Probe, unable, wordsOf } from './probe.ts';

/** Of what a program says; it is killed when it says more. */
const OUTPUT_BYTES_MAX = 4_096;
const WRITABLE_BY_OTHERS = 0o022;
const ANY_EXECUTE = 0o111;

/** For one that was killed to go, which takes no time unless it waits for a disk or the like. */
const GOING_MS = 100;
/** Of earlier questions, by what they ask: resolves when one that was killed is gone. */
const going = new Map<string, Promise<void>>();

export const probeCommand: Probe = async ({ health, backend, port, commands }, signal) => {
  const [name, ...arguments_] = health.command ?? [];
  if (name === undefined) return unable('no command is configured');
  if (commands === undefined) {
    return unable('this node runs no commands: its configuration file has no health.commands');
  }
  const { directory, user, group } = commands;
  const path = join(directory, name);
  const asked = `${path} ${backend.pool}/${backend.name}`;
  if (!(await isGone(asked))) return unable(`${name} of an earlier check does not end, though it was killed`);
  const refusal = await refusalOf(directory, path);
  if (refusal !== undefined) return unable(refusal);
  if (signal.aborted) return bad('aborted');
  const child = spawn(path, arguments_, {
    uid: user,
    gid: group,
    cwd: '/',
    // A process group of its own: what it starts goes with it.
    detached: true,
    shell: false,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      HOLDFAST_POOL: backend.pool,
      HOLDFAST_BACKEND: backend.name,
      HOLDFAST_ADDRESS: backend.address,
      HOLDFAST_PORT: String(port),
    },
  });
  const abort = () => end(asked, child);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await outcomeOf(child);
  } finally {
    signal.removeEventListener('abort', abort);
    // What it left running in the background ends as well.
    end(asked, child);
  }
};

/** Whoever does not die is left alone, and is not started again: there is one at most of a backend. */
function end(asked: string, child: ChildProcess): void {
  killGroup(child);
  child.stdout?.destroy();
  child.stderr?.destroy();
  const hasExited = child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  if (hasExited || going.has(asked)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  going.set(asked, promise);
  child.once('exit', () => {
    going.delete(asked);
    resolve();
  });
}

async function isGone(asked: string): Promise<boolean> {
  const last = going.get(asked);
  if (last === undefined) return true;
  const limit = new AbortController();
  const late = sleep(GOING_MS, undefined, { signal: limit.signal }).catch(() => undefined);
  await Promise.race([last, late]);
  limit.abort();
  return !going.has(asked);
}

/** Why it must not be run: somebody else than root might have written it. */
async function refusalOf(directory: string, path: string): Promise<string | undefined> {
  try {
    const [place, file] = await Promise.all([lstat(directory), lstat(path)]);
    if (!place.isDirectory()) return `${directory} is no directory`;
    if (!file.isFile()) return `${path} is no regular file`;
    for (const [what, { uid, mode }] of [
      [directory, place],
      [path, file],
    ] as const) {
      if (uid !== 0) return `${what} is not root's`;
      if ((mode & WRITABLE_BY_OTHERS) !== 0) return `${what} may be written by others than root`;
    }
    return (file.mode & ANY_EXECUTE) === 0 ? `${path} is not executable` : undefined;
  } catch (error) {
    return wordsOf(error);
  }
}

function outcomeOf(child: ChildProcess): Promise<Result> {
  const { promise, resolve } = Promise.withResolvers<Result>();
  let said = '';
  let bytes = 0;
  const hear = (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= OUTPUT_BYTES_MAX) said += chunk.toString();
    else {
      killGroup(child);
      resolve(bad(`it says more than ${OUTPUT_BYTES_MAX} bytes`));
    }
  };
  child.stdout?.on('data', hear);
  child.stderr?.on('data', hear);
  child.on('error', (error) => resolve(failed(error)));
  // Its exit counts, not the end of its output: somebody it started may keep that open.
  child.on('exit', (code, killedBy) => {
    const line = said.trim().split('\n').at(-1) ?? '';
    const words = line === '' ? '' : `: ${line}`;
    if (code === 0) resolve(good(`exit 0${words}`));
    else resolve(bad(code === null ? `killed by ${killedBy}${words}` : `exit ${code}${words}`));
  });
  return promise;
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody of the group is left.
  }
}
