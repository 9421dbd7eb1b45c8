// Owns our file server without a daemon: the process holdfast-filed in a namespace, told what a daemon would tell it. For
// benchmarks and guests, where nothing else is to run beside it.
import { mkdirSync } from 'node:fs';
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
import { NativeProcess } from '../native_process.ts';
import type { ProcessIdentity } from '../state.ts';

const MAIN = fileURLToPath(new URL('../../../control/file/server/main.ts', import.meta.url));
const START_LIMIT_MS = 20_000;
const KEY = '000102030405060708090a0b0c0d0e0f';

export type FileServerOptions = {
  readonly netns: string;
  readonly address: string;
  /** For its socket and log. */
  readonly directory: string;
  /** Each is a storage, and a link of its name that everybody may do everything in. */
  readonly exports: readonly {
    readonly name: string;
    readonly path: string;
    /** It is a file system in memory of this size, seen by the server alone. */
    readonly sizeMb?: number;
  }[];
  readonly record: (identity: ProcessIdentity) => void;
};

export class HoldfastFiles {
  readonly port = 2049;
  readonly mountPort = 2049;
  readonly address: string;
  readonly process: NativeProcess;
  state: FileServerState | undefined;
  readonly #options: FileServerOptions;
  #socket: Socket | undefined;
  #report: FileReport | undefined;

  constructor(options: FileServerOptions) {
    this.#options = options;
    this.address = options.address;
    const { netns, directory, exports, record } = options;
    mkdirSync(directory, { recursive: true });
    // `ip netns exec` gave it mounts of its own: what is mounted here goes with the process.
    const mounts = exports.flatMap(({ path, sizeMb }) =>
      sizeMb === undefined ? [] : [`mount -n -t tmpfs -o size=${sizeMb}m,mode=755 small ${path}`],
    );
    const server = [process.execPath, '--conditions=source', MAIN, join(directory, 'filed.sock')].join(' ');
    this.process = new NativeProcess(
      {
        netns,
        file: '/bin/sh',
        args: ['-c', ['set -e', ...mounts, `exec ${server}`].join('\n')],
        logPath: join(directory, 'filed.log'),
      },
      record,
    );
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  async start(): Promise<void> {
    const { address, directory, exports } = this.#options;
    const socketPath = join(directory, 'filed.sock');
    this.process.launch();
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
        storages: Object.fromEntries(exports.map(({ name, path }) => [name, path])),
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
    await this.process.end();
    this.#socket?.destroy();
  }

  #send(message: ToServer): void {
    this.#socket?.write(encodeMessage(message));
  }

  #namespace(): Namespace {
    const commands = this.#options.exports.flatMap(({ name }) => [
      { op: 'addStorage', name },
      {
        op: 'link',
        path: `/${name}`,
        storage: name,
        target: '.',
        clients: [{ address: '0.0.0.0/0', access: 'rw', squash: 'none' }],
      },
    ]);
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
