// Owns what the daemon and its file server (holdfast-filed) say to each other, one JSON object a line over a Unix socket
// that root alone can reach.
import type { FailureBody } from '../../lib/failure.ts';
import type { Figures, ProcedureFigures } from '../core/statistics.ts';
import type { NamespaceSnapshot } from '../namespace/snapshot.ts';

/** A namespace of 65,536 links has some 20 MB. */
export const MESSAGE_BYTES_MAX = 64 << 20;

/** All that it is told of the node. Another one is another server: it is started anew. */
export type FileConfiguration = {
  /** Of Holdfast. */
  readonly version: string;
  readonly addresses: readonly string[];
  readonly port: number;
  readonly portmapper: boolean;
  /** Name to directory. */
  readonly storages: Readonly<Record<string, string>>;
  /** Hexadecimal: what handles are signed with. */
  readonly key: string;
  readonly slowRequestMs: number;
};

export type ToServer =
  | { readonly kind: 'configure'; readonly configuration: FileConfiguration }
  | { readonly kind: 'namespace'; readonly snapshot: NamespaceSnapshot }
  | { readonly kind: 'report'; readonly id: number }
  /** It may serve until then, by the monotonic clock of the host. */
  | { readonly kind: 'lease'; readonly untilMs: number }
  | { readonly kind: 'end' };

export type StorageReport = {
  readonly name: string;
  readonly directory: string;
  /** Absent: it is not served. */
  readonly type?: string;
  readonly pending?: number;
  readonly oldestMs?: number;
};

export type FileServerState = {
  readonly listening: readonly string[];
  readonly storages: readonly StorageReport[];
  readonly problems: readonly FailureBody[];
  /** Of the namespace that it serves. */
  readonly revision: number;
};

export type ClientReport = Figures & {
  readonly address: string;
  readonly connections: number;
  readonly inFlight: number;
  readonly waiting: boolean;
  /** Since its last request. */
  readonly idleMs: number;
};

export type FileReport = {
  readonly startedAtMs: number;
  readonly procedures: readonly ProcedureFigures[];
  readonly links: readonly (Figures & { readonly id: number })[];
  readonly otherLinks: Figures;
  readonly clients: readonly ClientReport[];
  /** Of clients that are told no more. */
  readonly otherClients: Figures;
  readonly connections: number;
  /** Connections that were closed by the server, and calls that were refused, by reason. */
  readonly closed: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  readonly slow: number;
  readonly mounts: readonly { readonly client: string; readonly path: string }[];
  readonly storages: readonly StorageReport[];
  readonly duplicates: {
    readonly kept: number;
    readonly hits: number;
    readonly inProgress: number;
    readonly misses: number;
    readonly early: number;
    readonly tooLong: number;
  };
};

export type FromServer =
  | {
      readonly kind: 'hello';
      readonly pid: number;
      /** Digest of its configuration; absent: it has none yet. */
      readonly digest?: string;
      readonly startedAtMs: number;
    }
  | { readonly kind: 'state'; readonly state: FileServerState }
  | { readonly kind: 'report'; readonly id: number; readonly report: FileReport };

export function encodeMessage(message: ToServer | FromServer): string {
  return `${JSON.stringify(message)}\n`;
}

/** Cuts what comes into messages. @throws where a line is too long or no JSON: the other end is not ours. */
export class MessageReader<Message> {
  #pieces: string[] = [];
  #length = 0;

  *read(text: string): Generator<Message> {
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      const line = this.#pieces.join('') + text.slice(from, end);
      this.#pieces = [];
      this.#length = 0;
      from = end + 1;
      yield JSON.parse(line) as Message;
    }
    if (from === text.length) return;
    this.#length += text.length - from;
    if (this.#length > MESSAGE_BYTES_MAX) throw new RangeError('a message is too long');
    this.#pieces.push(text.slice(from));
  }
}
