// Owns the file server as a whole, between the daemon's messages and the clients' requests: configured once, given the
// namespace again and again, asked for reports. Building sockets and clocks for it is main.ts.
import { createHash } from 'node:crypto';
import { Failure } from '../../lib/failure.ts';
import { Statistics } from '../core/statistics.ts';
import { Exports, type FinishedCall } from '../exports/exports.ts';
import type { FileSystem } from '../filesystem/port.ts';
import { namespaceOf } from '../namespace/snapshot.ts';
import { NamespaceView } from '../namespace/view.ts';
import type { Fence } from './fence.ts';
import { FileServer, PORTMAPPER_PORT } from './file_server.ts';
import { LinkCheck } from './link_check.ts';
import type { FileConfiguration, FileReport, FileServerState, FromServer, ToServer } from './messages.ts';
import { Storages } from './storages.ts';

const LOOK_MS = 1_000;
/** Slow requests that are logged one by one, each second: what is slow is slow for everybody. */
const SLOW_LOGGED_MAX = 10;

const NO_DUPLICATES = { hits: 0, inProgress: 0, misses: 0, early: 0, tooLong: 0 };

export type FiledOptions = {
  readonly pid: number;
  readonly send: (message: FromServer) => void;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, detail?: object) => void;
  readonly openStorage: (directory: string) => FileSystem;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly fence: Fence;
  /** Monotonic. */
  readonly nowMs: () => number;
  readonly timeMs: () => number;
  readonly end: () => void;
};

export class Filed {
  readonly #options: FiledOptions;
  readonly #startedAtMs: number;
  readonly #namespace = new NamespaceView();
  readonly #statistics = new Statistics();
  #digest: string | undefined;
  #hasNamespace = false;
  #configuration: FileConfiguration | undefined;
  #storages: Storages | undefined;
  #exports: Exports | undefined;
  #server: FileServer | undefined;
  #links: LinkCheck | undefined;
  #looking: NodeJS.Timeout | undefined;
  #slow = 0;
  #slowLogged = 0;
  #toldState = '';

  constructor(options: FiledOptions) {
    this.#options = options;
    this.#startedAtMs = options.timeMs();
  }

  /** A daemon is there. */
  greet(): void {
    const { pid, send } = this.#options;
    const startedAtMs = this.#startedAtMs;
    send({
      kind: 'hello',
      pid,
      startedAtMs,
      ...(this.#digest !== undefined && { digest: this.#digest }),
    });
    this.#toldState = '';
    this.#tellState();
  }

  hear(message: ToServer): void {
    switch (message.kind) {
      case 'configure':
        this.#configure(message.configuration);
        break;
      case 'namespace':
        this.#namespace.become(namespaceOf(message.snapshot));
        this.#hasNamespace = true;
        this.#statistics.forgetLinks((id) => this.#namespace.link(id) === undefined);
        this.#serve();
        this.#checkLinks();
        this.#tellState();
        break;
      case 'report':
        this.#options.send({ kind: 'report', id: message.id, report: this.#report() });
        break;
      case 'lease':
        this.#options.fence.hold(message.untilMs);
        break;
      case 'end':
        this.#options.end();
        break;
    }
  }

  close(): void {
    clearInterval(this.#looking);
    this.#server?.close();
    this.#storages?.close();
  }

  #configure(configuration: FileConfiguration): void {
    if (this.#configuration !== undefined) throw new Error('the file server has a configuration');
    this.#configuration = configuration;
    this.#digest = digestOf(configuration);
    this.#storages = new Storages({
      storages: configuration.storages,
      open: this.#options.openStorage,
    });
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    this.#serve();
    this.#tellState();
  }

  /** From when it knows what to serve on: before, it would say that what is there is not. */
  #serve(): void {
    const { nowMs, randomBytes, log } = this.#options;
    const configuration = this.#configuration;
    if (this.#server !== undefined || configuration === undefined || !this.#hasNamespace) return;
    const { addresses, port, key } = configuration;
    const exports = new Exports({
      view: this.#namespace,
      storages: { get: (name) => this.#storages!.fileSystem(name) },
      key: Uint8Array.from(Buffer.from(key, 'hex')),
      randomBytes,
      nowMs,
      portmap: { port },
      finished: (call) => this.#finished(call),
      bug: (error, { procedure }) =>
        log('error', 'a bug stopped a request', { procedure: procedure.name, err: error }),
    });
    const session: Exports['session'] = (...given) => exports.session(...given);
    this.#exports = exports;
    this.#links = new LinkCheck({
      view: this.#namespace,
      check: (id) => exports.checkLink(id),
      isServed: (storage) => this.#storages!.fileSystem(storage) !== undefined,
    });
    this.#server = new FileServer({
      addresses,
      services: [
        { service: exports, port },
        ...(configuration.portmapper
          ? [{ service: { programs: exports.portmapPrograms, session }, port: PORTMAPPER_PORT }]
          : []),
      ],
      nowMs,
      onChange: () => this.#tellState(),
    });
  }

  #finished(call: FinishedCall): void {
    this.#statistics.count(this.#server?.clients.get(call.client)?.tally, call);
    if (call.durationMs >= this.#configuration!.slowRequestMs) this.#tellSlow(call);
  }

  #look(): void {
    if (this.#storages!.look() || (this.#links?.problems.length ?? 0) > 0) this.#checkLinks();
    this.#exports?.duplicates.expire(this.#options.nowMs());
    if (this.#slowLogged > SLOW_LOGGED_MAX)
      this.#options.log('warn', 'more requests were slow', { requests: this.#slowLogged - SLOW_LOGGED_MAX });
    this.#slowLogged = 0;
    this.#tellState();
  }

  #checkLinks(): void {
    void this.#links?.run().then(() => this.#tellState());
  }

  #tellSlow({ client, linkId, procedure, status, uid, durationMs }: FinishedCall): void {
    this.#slow += 1;
    this.#slowLogged += 1;
    if (this.#slowLogged > SLOW_LOGGED_MAX) return;
    const link = this.#namespace.pathOf(linkId);
    const elapsedMs = Math.round(durationMs);
    const detail = {
      client,
      procedure: procedure.name,
      ...(linkId !== 0 && { link }),
      status,
      uid,
      elapsedMs,
    };
    this.#options.log('warn', 'a request was slow', detail);
  }

  /** Where it is otherwise than the daemon knows. */
  #tellState(): void {
    const state = this.#state();
    const told = JSON.stringify(state);
    if (told === this.#toldState) return;
    this.#toldState = told;
    this.#options.send({ kind: 'state', state });
  }

  #state(): FileServerState {
    const storages = this.#storages?.reports() ?? [];
    return {
      listening: this.#server?.listening ?? [],
      // What changes all the time is for reports.
      storages: storages.map(({ name, directory, type }) => ({
        name,
        directory,
        ...(type !== undefined && { type }),
      })),
      problems: [
        ...(this.#server?.problems() ?? []),
        ...(this.#storages?.problems() ?? []),
        ...this.#unknownStorages(),
        ...(this.#links?.problems ?? []),
      ].map(({ body }) => body),
      revision: this.#namespace.revision,
    };
  }

  /** Storages that links of the namespace lead into, and this node's file does not say where they are. */
  #unknownStorages(): Failure[] {
    const configured = this.#configuration?.storages ?? {};
    const missing = Map.groupBy(
      this.#namespace.links().filter(({ storage }) => configured[storage] === undefined),
      ({ storage }) => storage,
    );
    return [...missing].map(([storage, [first]]) => {
      const path = this.#namespace.pathOf(first!.id);
      return new Failure('configuration', `storage ${storage} is not of this node`, {
        reason: `links lead into it, such as ${path}, and its file does not say where it is mounted`,
        remedy: `add it to file.storages of this node (${storage}: /directory), and restart holdfastd`,
      });
    });
  }

  #report(): FileReport {
    const nowMs = this.#options.nowMs();
    const clients = this.#server?.clients;
    return {
      startedAtMs: this.#startedAtMs,
      procedures: this.#statistics.procedures(),
      links: this.#statistics.links(),
      otherLinks: this.#statistics.otherLinks(),
      clients: clients?.reports(nowMs) ?? [],
      otherClients: clients?.others() ?? this.#statistics.otherLinks(),
      connections: clients?.connections ?? 0,
      closed: Object.fromEntries(this.#server?.closed ?? []),
      refused: Object.fromEntries(this.#server?.refused ?? []),
      slow: this.#slow,
      storages: this.#storages?.reports() ?? [],
      duplicates: {
        kept: this.#exports?.duplicates.size ?? 0,
        ...(this.#exports?.duplicates.counts ?? NO_DUPLICATES),
      },
      mounts: this.#exports?.mounts().map(({ client, path }) => ({ client, path })) ?? [],
    };
  }
}

/** What a server with another configuration has another one of. Says nothing of the key. */
export function digestOf(configuration: FileConfiguration): string {
  const { storages, ...rest } = configuration;
  const sorted = Object.entries(storages).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)), sorted]))
    .digest('hex');
}
