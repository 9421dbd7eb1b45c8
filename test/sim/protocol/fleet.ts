// Owns what a history needs of a set of muxes, whether they are real programs (programs.ts) or models of what others do
// (test/bench/lib/policies.ts). Muxes are numbered from 0.
import type { Packet } from './packets.ts';

/** What a mux did with a packet. Reused by the next call: read it at once. */
export type Outcome = {
  kind: 'host' | 'mux' | 'end';
  /** Number of the host or mux; -1: nobody. */
  to: number;
  /** What travels to the other mux, or to the host. */
  content: unknown;
  /** As a counter is named. */
  reason: string;
};

export interface Fleet {
  /** Whether it reads the bytes of packets. */
  readonly hasBytes: boolean;
  /** A packet that came from the router, or from another mux as `content`. */
  handle(mux: number, packet: Packet | undefined, content: unknown, nowNs: number): Outcome;
  /** A host that serves flows looks at a packet before it takes it: who gets it instead. */
  passOn?(host: number, packet: Packet, content: unknown): number | undefined;
  served?(host: number, packet: Packet): void;
}
