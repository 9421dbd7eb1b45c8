// Owns where the API listens: a Unix socket for root, and TCP for clients with a certificate, with nothing in between.
// The server itself is http_server.ts.
import { constants, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Server as SecureServer } from 'node:https';
import { createSecureContext, type SecureContextOptions, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Logger } from 'pino';
import { Failure } from '../lib/failure.ts';
import { HttpServer, SERVER_LIMITS, type ServerLimits } from './http_server.ts';
import type { Api } from './server.ts';
import { listenAt } from './unix_socket.ts';

/** As in a node's configuration; see control/config/node.ts. */
export type ListenPlace =
  | { readonly socket: string }
  | {
      /** ADDRESS:PORT */
      readonly listen: string;
      readonly certificate: string;
      readonly key: string;
      readonly clientAuthority: string;
    }
  | {
      readonly listen: string;
      /** The cluster's own; asked again by reload(). */
      readonly identity: () => HeldIdentity;
      /** `joining`: also those who have none yet; what they may ask is for who answers to decide. */
      readonly clients: 'certified' | 'joining';
    };

/** PEM. */
export type HeldIdentity = {
  readonly cert: string;
  readonly key: string;
  readonly ca: readonly string[];
  readonly expiresAtMs: number;
};

export type ListenOptions = {
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly limits?: Partial<ServerLimits>;
};

export interface Listener {
  /** For people: the path of the socket, or https://ADDRESS:PORT with the port that was chosen for 0. */
  readonly where: string;
  /** When clients will refuse our certificate; undefined for a Unix socket. */
  readonly certificateExpiresAtMs: number | undefined;
  /**
   * Reads certificate, key and authority again. Connections that are open keep the identity that they have shown; those
   * without a request are closed. @throws Failure where the files are not usable: what was read before stays in use.
   */
  reload(): Promise<void>;
  /** Connections that have shown a certificate, and are open. */
  clients(): readonly TLSSocket[];
  /** Ends when all requests have, after SERVER_LIMITS.closeWaitMs at the latest. Streams must be stopped before. */
  close(): Promise<void>;
}

/** What answers; it may be longer in coming than the place where it is asked for. */
type Answering = Pick<Api, 'fetch'>;

/** @throws Failure `configuration` where certificates that listen() would need are not usable. */
export async function checkIdentity(
  api: {
    readonly [Field in keyof Identified]?: string | undefined;
  },
): Promise<void> {
  const { certificate, key, clientAuthority } = api;
  if (certificate === undefined || key === undefined || clientAuthority === undefined) return;
  await readIdentity({ certificate, key, clientAuthority });
}

export async function listen(api: Answering, place: ListenPlace, options: ListenOptions): Promise<Listener> {
  const limits = { ...SERVER_LIMITS, ...options.limits };
  return 'socket' in place
    ? await listenOnSocket(api, place.socket, options, limits)
    : await listenWithTls(api, place, options, limits);
}

async function listenOnSocket(
  api: Answering,
  path: string,
  { log }: ListenOptions,
  limits: ServerLimits,
): Promise<Listener> {
  const http = new HttpServer(api, log, limits);
  const place = await listenAt(http.server, path);
  return {
    where: path,
    certificateExpiresAtMs: undefined,
    reload: async () => {},
    clients: () => [],
    close: async () => {
      // First, so that who starts next does not find a socket that nobody answers on.
      await place.leave();
      await http.close();
    },
  };
}

type TlsPlace = Extract<ListenPlace, { listen: string }>;
type Identified = Omit<Extract<ListenPlace, { certificate: string }>, 'listen'>;

async function listenWithTls(
  api: Answering,
  place: TlsPlace,
  { log }: ListenOptions,
  limits: ServerLimits,
): Promise<Listener> {
  const read = async () => ('identity' in place ? heldIdentity(place.identity()) : await readIdentity(place));
  const clients = 'clients' in place && place.clients === 'joining' ? CLIENTS_MAY_JOIN : CLIENTS_MUST_SHOW;
  let identity = await read();
  const http = new HttpServer(api, log, limits, { ...identity.options, ...clients });
  const server = http.server as SecureServer;
  const { host, port } = parseListen(place.listen);
  await bound(server, host, port, place.listen);
  const address = server.address();
  const chosen = typeof address === 'object' && address !== null ? address.port : port;
  return {
    where: `https://${host.includes(':') ? `[${host}]` : host}:${chosen}`,
    get certificateExpiresAtMs() {
      return identity.expiresAtMs;
    },
    reload: async () => {
      identity = await read();
      server.setSecureContext({ ...identity.options, ...TLS_VERSION });
      // Others may be believed now. The cluster's own certificates are judged with each request instead, and a connection
      // whose first request is on its way seems idle.
      if (!('identity' in place)) server.closeIdleConnections();
    },
    clients: () => http.clients(),
    close: () => http.close(),
  };
}

/** Every connection shows its certificate: one that was resumed would be as good as it was when it began. */
const TLS_VERSION = {
  minVersion: 'TLSv1.3',
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const satisfies SecureContextOptions;

const CLIENTS_MUST_SHOW = {
  ...TLS_VERSION,
  requestCert: true,
  rejectUnauthorized: true,
  ALPNProtocols: ['http/1.1'],
} as const satisfies TlsOptions;

const CLIENTS_MAY_JOIN = {
  ...TLS_VERSION,
  requestCert: false,
  ALPNProtocols: ['http/1.1'],
} as const satisfies TlsOptions;

type Identity = { readonly options: SecureContextOptions; readonly expiresAtMs: number };

function heldIdentity({ cert, key, ca, expiresAtMs }: HeldIdentity): Identity {
  return { options: { cert, key, ca: [...ca] }, expiresAtMs };
}

async function readIdentity({ certificate, key, clientAuthority }: Identified): Promise<Identity> {
  const options = {
    cert: await readPem('certificate', certificate),
    key: await readPem('key', key),
    ca: await readPem('clientAuthority', clientAuthority),
  };
  try {
    createSecureContext({ ...options, ...TLS_VERSION });
    // An authority that does not parse is left out without a word, and then nobody is let in.
    new X509Certificate(options.ca);
    return { options, expiresAtMs: Date.parse(new X509Certificate(options.cert).validTo) };
  } catch (error) {
    throw new Failure('configuration', 'The certificates of the API cannot be used.', {
      cause: error,
      remedy: `Check that ${certificate} and ${key} belong together, and that ${clientAuthority} is a certificate.`,
    });
  }
}

async function readPem(field: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new Failure('configuration', `The file that api.${field} names cannot be read.`, {
      cause: error,
      remedy: 'Make it readable for holdfastd, or name another one.',
    });
  }
}

function parseListen(listen: string): { host: string; port: number } {
  const at = listen.lastIndexOf(':');
  return { host: listen.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(listen.slice(at + 1)) };
}

async function bound(server: SecureServer, host: string, port: number, listen: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  try {
    server.listen({ host, port }, () => resolve());
    await promise;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new Failure('conflict', `Another process listens on ${listen} already.`, {
        remedy: 'Stop it, or set api.listen to another port.',
      });
    }
    throw new Failure('configuration', `holdfastd cannot listen on ${listen}.`, {
      cause: error,
      remedy: 'Set api.listen to an address of this host and a free port.',
    });
  } finally {
    server.off('error', reject);
  }
}
