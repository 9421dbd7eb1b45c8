// Owns questions on their way through the tunnel: which port of this mux asks which backend, and wrapping what is asked.
// The way to here and out is given (control/io/probe_way.ts); the headers are encapsulation_core.ts.
import type { StoredBackend } from '../config/cluster_state.ts';
import { parseAddress, versionOf } from '../lib/address.ts';
import type { TunnelPort } from './checking.ts';
import { encapsulated, innerOf, type Sources } from './encapsulation_core.ts';
import { isOwnTrouble, wordsOf } from './probe/probe.ts';

/**
 * A port that asked is not used again so soon: a late answer is not another question's, and what the kernel says last, the
 * end of the connection, still finds its backend.
 */
const REST_MS = 1_000;

export type TunnelWay = {
  send(version: 4 | 6, packet: Uint8Array, destination: Uint8Array): string | undefined;
};

export type TunnelOptions = {
  readonly ports: { readonly from: number; readonly to: number };
  /** This mux's own addresses, which answers come to. */
  readonly addresses: Sources;
  /** Addresses that tunnels come from, as backends know them. */
  readonly sources: Sources;
  readonly way: () => TunnelWay | undefined;
  readonly nowMs: () => number;
};

type Question = {
  readonly backend: StoredBackend;
  readonly onTrouble: (reason: string) => void;
  /** Undefined while it is asked. */
  freeAtMs: number | undefined;
};

export class Tunnel implements Pick<TunnelPort, 'versions' | 'open'> {
  readonly versions: ReadonlySet<4 | 6>;
  readonly #options: TunnelOptions;
  /** By protocol and port. */
  readonly #questions = new Map<string, Question>();
  #next: number;
  /** Packets of checks that did not leave, by the name of the error. */
  readonly refused = new Map<string, number>();

  constructor(options: TunnelOptions) {
    this.#options = options;
    this.#next = options.ports.from;
    this.versions = new Set(([4, 6] as const).filter((it) => options.addresses[it] !== undefined));
  }

  open(
    { backend }: { readonly backend: StoredBackend },
    { address: to }: { readonly address: string },
    protocol: 'tcp' | 'udp',
    onTrouble: (reason: string) => void,
  ): ReturnType<TunnelPort['open']> {
    const { addresses, way } = this.#options;
    const address = addresses[versionOf(parseAddress(to))];
    if (way() === undefined || address === undefined) throw new Error('there is no tunnel for checks here');
    const port = this.#free(protocol);
    const question: Question = { backend, onTrouble, freeAtMs: undefined };
    this.#questions.set(`${protocol} ${port}`, question);
    const close = () => {
      question.freeAtMs ??= this.#options.nowMs() + REST_MS;
    };
    return { address, port, close };
  }

  /** What this host sends from one of the ports; dropped where none of the questions is from there. */
  take(packet: Uint8Array): void {
    const inner = innerOf(packet);
    const question = inner && this.#questions.get(`${inner.protocol} ${inner.sourcePort}`);
    const outer = question && encapsulated(packet, question.backend, this.#options.sources);
    if (outer === undefined) return;
    const error = this.#options.way()?.send(outer.version, outer.packet, outer.destination);
    if (error === undefined) return;
    this.refused.set(error, (this.refused.get(error) ?? 0) + 1);
    if (question?.freeAtMs === undefined && isOwnTrouble(error))
      question?.onTrouble(wordsOf({ code: error, message: error }));
  }

  #free(protocol: 'tcp' | 'udp'): number {
    const { from, to } = this.#options.ports;
    const nowMs = this.#options.nowMs();
    for (let tried = from; tried <= to; tried++) {
      const port = this.#next;
      this.#next = port === to ? from : port + 1;
      const last = this.#questions.get(`${protocol} ${port}`);
      if (last === undefined || (last.freeAtMs ?? Infinity) <= nowMs) return port;
    }
    throw new Error(`no port of ${from}-${to} is free to ask from`);
  }
}
