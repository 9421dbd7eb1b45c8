// Owns the sockets of the file service: where it listens, trying again where it cannot, whom it lets connect, and closing
// what is idle. What is answered is the services'.
import { createServer, type Server, type Socket } from 'node:net';
import { Failure } from '../../lib/failure.ts';
import { InputBuffers } from '../core/record_input.ts';
import { ReplySlabs } from '../core/reply_output.ts';
import { ClientSocket } from './client_socket.ts';
import { Clients } from './clients.ts';
import type { Service } from './service.ts';

/** A WRITE of 1 MiB with all around it, and room to spare. */
export const RECORD_BYTES_MAX = (1 << 20) + (64 << 10);
/** Records beyond 64 KiB that are on their way at the same time: 256 MiB. */
export const LARGE_RECORDS_MAX = 256;
/** IANA: sunrpc. */
export const PORTMAPPER_PORT = 111;
const RETRY_MS = 1_000;
const LOOK_MS = 1_000;
/** Connections that wait to be accepted: clients all come back at once after a restart. */
const BACKLOG = 1_024;

export type Listening = { readonly service: Service; readonly port: number };

export type FileServerOptions = {
  /** Empty: all of this host. */
  readonly addresses: readonly string[];
  readonly services: readonly Listening[];
  readonly nowMs: () => number;
  /** Listening, or what is wrong, is otherwise than before. */
  readonly onChange: () => void;
};

type Place = {
  readonly address: string | undefined;
  readonly listening: Listening;
  server: Server | undefined;
  problem: Failure | undefined;
};

export class FileServer {
  readonly clients = new Clients();
  /** Why connections were closed or refused, and calls; by reason, of which there are few. */
  readonly closed = new Map<string, number>();
  readonly refused = new Map<string, number>();
  readonly #options: FileServerOptions;
  readonly #places: readonly Place[];
  readonly #sockets = new Set<ClientSocket>();
  readonly #buffers = new InputBuffers({ recordBytesMax: RECORD_BYTES_MAX, largeMax: LARGE_RECORDS_MAX });
  readonly #slabs: ReplySlabs;
  readonly #timers: NodeJS.Timeout[];
  #isClosed = false;

  constructor(options: FileServerOptions) {
    this.#options = options;
    const { addresses, services } = options;
    this.#slabs = new ReplySlabs(Math.max(...services.map(({ service }) => service.programs.replyBytesMax)));
    const hosts = addresses.length === 0 ? [undefined] : addresses;
    this.#places = services.flatMap((listening) =>
      hosts.map((address): Place => ({ address, listening, server: undefined, problem: undefined })),
    );
    this.#timers = [
      setInterval(() => this.#expire(), LOOK_MS),
      setInterval(() => {
        for (const place of this.#places) if (place.server === undefined) this.#listen(place);
      }, RETRY_MS),
    ];
    for (const place of this.#places) this.#listen(place);
  }

  get listening(): string[] {
    return this.#places.filter(({ server }) => server?.listening).map(where);
  }

  problems(): Failure[] {
    return this.#places.flatMap(({ problem }) => problem ?? []);
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const { server } of this.#places) server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #listen(place: Place): void {
    const { address: host, listening } = place;
    const server = createServer({ pauseOnConnect: true }, (socket) =>
      this.#accept(socket, listening.service),
    );
    place.server = server;
    server.on('listening', () => {
      place.problem = undefined;
      this.#options.onChange();
    });
    server.on('error', (error: NodeJS.ErrnoException) => {
      place.server = undefined;
      server.close();
      const isKnown = place.problem !== undefined;
      place.problem = cannotListen(place, error);
      if (!isKnown) this.#options.onChange();
    });
    server.listen({ port: listening.port, backlog: BACKLOG, ...(host !== undefined && { host }) });
  }

  #accept(socket: Socket, service: Service): void {
    const { nowMs } = this.#options;
    const { remoteAddress } = socket;
    // It is gone already.
    if (remoteAddress === undefined || this.#isClosed) return void socket.destroy();
    const client = this.clients.connect(remoteAddress, nowMs());
    if (typeof client === 'string') {
      count(this.closed, client);
      return void socket.destroy();
    }
    this.#sockets.add(
      new ClientSocket(socket, {
        service,
        client,
        buffers: this.#buffers,
        slabs: this.#slabs,
        nowMs,
        onRefused: (reason) => count(this.refused, reason),
        onClosed: (it, reason) => {
          this.#sockets.delete(it);
          this.clients.disconnect(client);
          if (reason !== undefined) count(this.closed, reason);
        },
      }),
    );
  }

  #expire(): void {
    const nowMs = this.#options.nowMs();
    for (const socket of this.#sockets) socket.expire(nowMs);
  }
}

function count(counts: Map<string, number>, reason: string): void {
  counts.set(reason, (counts.get(reason) ?? 0) + 1);
}

function where({ address, listening: { port } }: Place): string {
  if (address === undefined) return `*:${port}`;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function cannotListen(place: Place, error: NodeJS.ErrnoException): Failure {
  const { port } = place.listening;
  const isTaken = error.code === 'EADDRINUSE';
  const remedies: Readonly<Record<string, string>> = {
    EADDRINUSE:
      port === PORTMAPPER_PORT
        ? 'stop what answers there (systemctl disable --now rpcbind.socket rpcbind), or leave file.portmapper out'
        : `stop the other one (ss -ltnp 'sport = ${port}' says who it is: often nfs-server or nfs-ganesha), or set file.port`,
    EADDRNOTAVAIL: `give this host the address, or set file.address to one that it has`,
  };
  return new Failure('unavailable', `files are not served at ${where(place)}`, {
    reason: isTaken ? 'another program has the port' : error.message,
    remedy: remedies[error.code ?? ''] ?? 'see that the address and the port can be used; it is tried again',
  });
}
