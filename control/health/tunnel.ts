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
  isAsked: boolean;
};
type Protocol = 'tcp' | 'udp';

export class Tunnel implements Pick<TunnelPort, 'versions' | 'open'> {
  readonly versions: ReadonlySet<4 | 6>;
  readonly #options: TunnelOptions;
  /** By protocol and port. */
  readonly #questions = new Map<string, Question>();
  /** Ports that nothing is asked from, and until when they rest: the one that rested longest first. */
  readonly #free: Readonly<Record<Protocol, { readonly port: number; readonly restsUntilMs: number }[]>>;
  /** Packets of checks that did not leave, by the name of the error. */
  readonly refused = new Map<string, number>();

  constructor(options: TunnelOptions) {
    this.#options = options;
    const { from, to } = options.ports;
    const ports = Array.from({ length: to - from + 1 }, (_, at) => ({
      port: from + at,
      restsUntilMs: -Infinity,
    }));
    this.#free = { tcp: [...ports], udp: [...ports] };
    this.versions = new Set(([4, 6] as const).filter((it) => options.addresses[it] !== undefined));
  }

  open(
    { backend }: { readonly backend: StoredBackend },
    { address: to }: { readonly address: string },
    protocol: Protocol,
    onTrouble: (reason: string) => void,
  ): ReturnType<TunnelPort['open']> {
    const { addresses, way } = this.#options;
    const address = addresses[versionOf(parseAddress(to))];
    if (way() === undefined || address === undefined) throw new Error('there is no tunnel for checks here');
    const port = this.#portOf(protocol);
    const question: Question = { backend, onTrouble, isAsked: true };
    this.#questions.set(`${protocol} ${port}`, question);
    const close = () => {
      if (!question.isAsked) return;
      question.isAsked = false;
      this.#free[protocol].push({ port, restsUntilMs: this.#options.nowMs() + REST_MS });
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
    if (question?.isAsked === true && isOwnTrouble(error))
      question.onTrouble(wordsOf({ code: error, message: error }));
  }

  #portOf(protocol: Protocol): number {
    const [first] = this.#free[protocol];
    if (first !== undefined && first.restsUntilMs <= this.#options.nowMs()) {
      this.#free[protocol].shift();
      return first.port;
    }
    const { from, to } = this.#options.ports;
    throw new Error(`no port of ${from}-${to} is free to ask from`);
  }
}
