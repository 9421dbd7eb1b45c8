// Owns the lab's processes: starting Node in a namespace, knowing a process again, ending those that we started.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ProcessIdentity } from './state.ts';

const READY_TIMEOUT_MS = 20_000;
const TERMINATE_LIMIT_MS = 2_000;
const POLL_MS = 10;
/** As scripts/bin/holdfastd has it: a lab starts the same modules many times. */
const COMPILED = fileURLToPath(new URL('../../out/cache/node', import.meta.url));

export interface Started {
  readonly child: ChildProcess;
  readonly identity: ProcessIdentity;
  /** Its standard output, line by line. */
  readonly lines: Interface;
}

/** A script of the lab in a namespace; it says what it has to say as JSON, a line each. Errors go to `logPath`. */
export function startScript(
  netns: string,
  script: string,
  args: readonly string[],
  options: { detached: boolean; logPath: string; preload?: string },
): Started {
  const preload = options.preload === undefined ? [] : ['--import', options.preload];
  return startProgram(netns, [process.execPath, '--conditions=source', ...preload, script, ...args], options);
}

/** As startScript(), of a program and its arguments. */
export function startProgram(
  netns: string,
  program: readonly string[],
  options: { detached: boolean; logPath: string },
): Started {
  const log = openSync(options.logPath, 'a');
  // `ip netns exec` becomes the program: the process id is the program's own.
  const child = spawn('ip', ['netns', 'exec', netns, ...program], {
    detached: options.detached,
    stdio: [options.detached ? 'ignore' : 'pipe', 'pipe', log],
    env: { ...process.env, NODE_ENV: 'production', NODE_COMPILE_CACHE: COMPILED },
  });
  closeSync(log);
  const what = program.join(' ');
  if (child.pid === undefined || child.stdout === null) throw new Error(`cannot start ${what} in ${netns}`);
  const identity = identify(child.pid);
  if (identity === undefined) throw new Error(`${what} in ${netns} ended at once; see ${options.logPath}`);
  return { child, identity, lines: createInterface({ input: child.stdout }) };
}

/** Waits for the script's first line, `{"ready": true}`. */
export async function ready(started: Started, what: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(
    () => reject(new Error(`${what} was not ready after ${READY_TIMEOUT_MS} ms`)),
    READY_TIMEOUT_MS,
  );
  started.lines.once('line', () => resolve());
  started.child.once('exit', (code, signal) =>
    reject(new Error(`${what} ended before it was ready: ${signal ?? `exit status ${code}`}`)),
  );
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}

/** Lets this process end while the script runs on. */
export function leaveRunning(started: Started): void {
  started.lines.close();
  started.child.stdout?.destroy();
  started.child.unref();
}

export function identify(pid: number): ProcessIdentity | undefined {
  const startTicks = startTicksOf(pid);
  return startTicks === undefined ? undefined : { pid, startTicks };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return startTicksOf(identity.pid) === identity.startTicks;
}

/** Ends these processes and no others, and returns when they are gone. */
export async function endProcesses(identities: readonly ProcessIdentity[]): Promise<void> {
  signalAll(identities, 'SIGTERM');
  const deadline = Date.now() + TERMINATE_LIMIT_MS;
  while (identities.some(isAlive)) {
    if (Date.now() > deadline) signalAll(identities, 'SIGKILL');
    if (Date.now() > deadline + TERMINATE_LIMIT_MS) {
      const left = identities.filter(isAlive).map(({ pid }) => pid);
      throw new Error(`processes do not end: ${left.join(', ')}`);
    }
    await sleep(POLL_MS);
  }
}

function signalAll(identities: readonly ProcessIdentity[], signal: NodeJS.Signals): void {
  for (const identity of identities.filter(isAlive)) {
    try {
      process.kill(identity.pid, signal);
    } catch (error) {
      // It ended since.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

// Field 22 of /proc/PID/stat, counted behind the command's name, which may hold anything. A zombie has ended.
function startTicksOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
