// Owns the process holdfast-filed of this node: finding the one that an earlier daemon left, starting one, starting it again
// when it dies, and what is said to it. What it serves is its own business (control/file/server).
import { type ChildProcess, spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../../file/namespace/document.ts';
import { snapshotOf } from '../../file/namespace/snapshot.ts';
import { digestOf } from '../../file/server/filed.ts';
import {
  encodeMessage,
  type FileConfiguration,
  type FileReport,
  type FileServerState,
  type FromServer,
  MessageReader,
  type ToServer,
} from '../../file/server/messages.ts';
import { Failure } from '../../lib/failure.ts';

const MAIN = fileURLToPath(new URL('../../file/server/main.ts', import.meta.url));
const CONNECT_POLL_MS = 25;
const START_LIMIT_MS = 15_000;
/** Of a process that has served; doubled each time it ends soon after its start. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 10_000;
/** It is well when it has lived so long. */
const WELL_MS = 30_000;
/** It is asked for a report this often; without an answer it hangs, and is ended. */
const ASK_MS = 2_000;
const HUNG_MS = 15_000;
const END_LIMIT_MS = 3_000;
const REPORT_LIMIT_MS = 3_000;

export type ServerProcessOptions = {
  /** Of its socket. */
  readonly path: string;
  readonly configuration: FileConfiguration;
  readonly namespace: () => Namespace | undefined;
  readonly onState: (state: FileServerState) => void;
  /** Undefined: it runs. */
  readonly onProblem: (problem: Failure | undefined) => void;
  readonly tell: (message: string) => void;
};

type Ended = { readonly code: number | null; readonly signal: string | null };

export class ServerProcess {
  readonly #options: ServerProcessOptions;
  readonly #asked = new Map<number, (report: FileReport) => void>();
  #pid: number | undefined;
  #socket: Socket | undefined;
  #nextId = 1;
  #heardMs = 0;
  #isClosed = false;
  #running: Promise<void> | undefined;
  readonly #closing = new AbortController();

  constructor(options: ServerProcessOptions) {
    this.#options = options;
  }

  /** Undefined: there is none now. */
  get pid(): number | undefined {
    return this.#pid;
  }

  start(): void {
    this.#running = this.#keep();
  }

  /** Lets go: it serves on for a while, for the next daemon. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#closing.abort();
    this.#socket?.destroy();
    await this.#running;
  }

  become(namespace: Namespace): void {
    if (this.#pid !== undefined) this.#send({ kind: 'namespace', snapshot: snapshotOf(namespace) });
  }

  /** @throws Failure `unavailable` */
  async report(): Promise<FileReport> {
    if (this.#pid === undefined) throw noAnswer('it does not run now');
    const id = this.#nextId++;
    const { promise, resolve } = Promise.withResolvers<FileReport | undefined>();
    const timer = setTimeout(resolve, REPORT_LIMIT_MS, undefined);
    this.#asked.set(id, resolve);
    this.#send({ kind: 'report', id });
    const report = await promise;
    clearTimeout(timer);
    this.#asked.delete(id);
    if (report === undefined) throw noAnswer(`it did not answer within ${REPORT_LIMIT_MS / 1_000} s`);
    return report;
  }

  async #keep(): Promise<void> {
    let retryMs = RETRY_MIN_MS;
    while (!this.#isClosed) {
      const startedMs = performance.now();
      try {
        await this.#once();
      } catch (error) {
        if (this.#isClosed) return;
        this.#options.onProblem(error instanceof Failure ? error : bug(error));
      }
      if (performance.now() - startedMs >= WELL_MS) retryMs = RETRY_MIN_MS;
      await sleep(retryMs, undefined, { signal: this.#closing.signal }).catch(() => {});
      retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
    }
  }

  /** From finding or starting one to its end. @throws Failure that says why it ended. */
  async #once(): Promise<void> {
    const { path } = this.#options;
    let child: ChildProcess | undefined;
    let ended: Ended | undefined;
    let socket = await connected(path);
    if (socket === undefined) {
      child = spawn(process.execPath, [...process.execArgv, MAIN, path], {
        detached: true,
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      child.on('exit', (code, signal) => {
        ended = { code, signal };
      });
      child.on('error', () => {
        ended = { code: null, signal: null };
      });
      child.unref();
      const deadlineMs = performance.now() + START_LIMIT_MS;
      while (socket === undefined && ended === undefined && !this.#isClosed) {
        await sleep(CONNECT_POLL_MS);
        socket = await connected(path);
        if (performance.now() > deadlineMs) break;
      }
      if (socket === undefined) {
        child.kill('SIGKILL');
        throw died(ended, 'it did not start');
      }
    }
    await this.#talk(socket);
    if (this.#isClosed) return;
    // The exit of a child is known a moment after its socket.
    if (child !== undefined && ended === undefined) await sleep(CONNECT_POLL_MS);
    throw died(ended, 'its connection ended');
  }

  /** Until it ends. */
  async #talk(socket: Socket): Promise<void> {
    if (this.#isClosed) return void socket.destroy();
    this.#socket = socket;
    this.#heardMs = performance.now();
    const reader = new MessageReader<FromServer>();
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.setEncoding('utf8');
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.on('data', (text: string) => {
      this.#heardMs = performance.now();
      try {
        for (const message of reader.read(text)) this.#hear(message);
      } catch (error) {
        this.#options.onProblem(bug(error));
        socket.destroy();
      }
    });
    const asking = setInterval(() => this.#look(), ASK_MS);
    await promise;
    clearInterval(asking);
    this.#pid = undefined;
    this.#socket = undefined;
  }

  #look(): void {
    if (this.#pid === undefined) return;
    if (performance.now() - this.#heardMs < HUNG_MS) {
      this.#send({ kind: 'report', id: 0 });
      return;
    }
    this.#options.tell(`the file server hangs, and is ended: process ${this.#pid}`);
    try {
      process.kill(this.#pid, 'SIGKILL');
    } catch {
      this.#socket?.destroy();
    }
  }

  #hear(message: FromServer): void {
    switch (message.kind) {
      case 'hello':
        this.#greeted(message);
        break;
      case 'state':
        this.#options.onState(message.state);
        break;
      case 'report':
        this.#asked.get(message.id)?.(message.report);
        break;
    }
  }

  /** A server that is as it is to be is taken on; one that has no configuration gets it; any other one is ended. */
  #greeted({ pid, digest }: Extract<FromServer, { kind: 'hello' }>): void {
    const { configuration, namespace, onProblem, tell } = this.#options;
    if (digest !== undefined && digest !== digestOf(configuration)) {
      tell(`the file server has another configuration, and is ended: process ${pid}`);
      this.#send({ kind: 'end' });
      setTimeout(() => this.#socket?.destroy(), END_LIMIT_MS).unref();
      return;
    }
    this.#pid = pid;
    if (digest === undefined) this.#send({ kind: 'configure', configuration });
    const known = namespace();
    if (known !== undefined) this.become(known);
    tell(`the file server ${digest === undefined ? 'runs' : 'went on meanwhile'}: process ${pid}`);
    onProblem(undefined);
  }

  #send(message: ToServer): void {
    this.#socket?.write(encodeMessage(message));
  }
}

/** Undefined: nobody is there. */
async function connected(path: string): Promise<Socket | undefined> {
  const socket = connect(path);
  const { promise, resolve } = Promise.withResolvers<Socket | undefined>();
  socket.once('connect', () => resolve(socket));
  socket.once('error', () => resolve(undefined));
  return await promise;
}

function died(ended: Ended | undefined, otherwise: string): Failure {
  const reason =
    ended === undefined
      ? otherwise
      : ended.signal === null
        ? `it ended with exit status ${ended.code}`
        : `it was ended by ${ended.signal}`;
  return new Failure('unavailable', 'the file server of this node does not run', {
    reason,
    remedy:
      'it is started again by itself, and clients go on; if it does not stay, the log of holdfastd says why',
  });
}

function noAnswer(reason: string): Failure {
  return new Failure('unavailable', 'the file server of this node does not answer', {
    reason,
    remedy: 'see holdfast status; it is started again by itself',
  });
}

function bug(error: unknown): Failure {
  return new Failure('internal', 'the file server cannot be looked after', {
    cause: error,
    remedy: 'this is a bug: please report it with the log of holdfastd',
  });
}
