// Owns our file server without a daemon: the process holdfast-filed in a namespace, told what a daemon would tell it. For
// benchmarks and guests, where nothing else is to run beside it.
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { namespaceCommandSchema } from '../../../control/config/namespace_commands.ts';
import { apply } from '../../../control/file/namespace/commands.ts';
import { EMPTY_NAMESPACE, type Namespace } from '../../../control/file/namespace/document.ts';
import { snapshotOf } from '../../../control/file/namespace/snapshot.ts';
import {
  encodeMessage,
  type FileReport,
  type FileServerState,
  type FromServer,
  MessageReader,
  type ToServer,
} from '../../../control/file/server/messages.ts';
import { eventually } from '../eventually.ts';
import { isAlive, leaveRunning, type Started, startScript } from '../processes.ts';
import type { ProcessIdentity } from '../state.ts';

const MAIN = fileURLToPath(new URL('../../../control/file/server/main.ts', import.meta.url));
const START_LIMIT_MS = 20_000;
const STORAGE = 'data';
const KEY = '000102030405060708090a0b0c0d0e0f';

export type FileServerOptions = {
  readonly netns: string;
  readonly address: string;
  /** For its socket and log. */
  readonly directory: string;
  /** The storage; everything below it is for root, too. */
  readonly path: string;
  /** Names of links, and directories of the storage that they lead to. */
  readonly links: Readonly<Record<string, string>>;
  readonly record: (identity: ProcessIdentity) => void;
};

export class HoldfastFiles {
  readonly port = 2049;
  readonly mountPort = 2049;
  readonly address: string;
  state: FileServerState | undefined;
  readonly #options: FileServerOptions;
  #started: Started | undefined;
  #socket: Socket | undefined;
  #report: FileReport | undefined;

  constructor(options: FileServerOptions) {
    this.#options = options;
    this.address = options.address;
  }

  get pid(): number | undefined {
    return this.#started?.identity.pid;
  }

  async start(): Promise<void> {
    const { netns, address, directory, path, record } = this.#options;
    const socketPath = join(directory, 'filed.sock');
    const started = startScript(netns, MAIN, [socketPath], {
      detached: true,
      logPath: join(directory, 'filed.log'),
    });
    leaveRunning(started);
    record(started.identity);
    this.#started = started;
    const socket = await eventually(() => connected(socketPath), 'the file server', START_LIMIT_MS);
    const reader = new MessageReader<FromServer>();
    socket.setEncoding('utf8');
    socket.on('error', () => {});
    socket.on('data', (text: string) => {
      for (const message of reader.read(text)) {
        if (message.kind === 'state') this.state = message.state;
        if (message.kind === 'report') this.#report = message.report;
      }
    });
    this.#socket = socket;
    this.#send({
      kind: 'configure',
      configuration: {
        version: 'lab',
        addresses: [address],
        port: this.port,
        portmapper: false,
        storages: { [STORAGE]: path },
        key: KEY,
        slowRequestMs: 1_000,
      },
    });
    this.#send({ kind: 'namespace', snapshot: snapshotOf(this.#namespace()) });
    await eventually(
      () => (this.state?.listening.length === 1 ? true : undefined),
      `listening of the file server: ${JSON.stringify(this.state?.problems)}`,
      START_LIMIT_MS,
    );
  }

  async report(): Promise<FileReport> {
    this.#report = undefined;
    this.#send({ kind: 'report', id: 1 });
    return await eventually(() => this.#report, 'a report of the file server');
  }

  async stop(): Promise<void> {
    this.#send({ kind: 'end' });
    await eventually(() => (isAlive(this.#started!.identity) ? undefined : true), 'its end');
    this.#socket?.destroy();
  }

  #send(message: ToServer): void {
    this.#socket?.write(encodeMessage(message));
  }

  #namespace(): Namespace {
    const commands = [
      { op: 'addStorage', name: STORAGE },
      ...Object.entries(this.#options.links).map(([name, target]) => ({
        op: 'link',
        path: `/${name}`,
        storage: STORAGE,
        target,
        clients: [{ address: '0.0.0.0/0', access: 'rw', squash: 'none' }],
      })),
    ];
    return commands.reduce<Namespace>(
      (namespace, command) => apply(namespace, namespaceCommandSchema.parse(command), Date.now()),
      EMPTY_NAMESPACE,
    );
  }
}

async function connected(path: string): Promise<Socket | undefined> {
  const socket = connect(path);
  const { promise, resolve } = Promise.withResolvers<Socket | undefined>();
  socket.once('connect', () => resolve(socket));
  socket.once('error', () => resolve(undefined));
  return await promise;
}
