// Owns what must hold of every history: no packet of an established flow reaches another server, and every packet is
// accounted for. Judges what the world tells it; changes nothing.
import { isOpening, type Packet } from './packets.ts';
import { HOSTS } from './place.ts';

export const FINDINGS = {
  misdirected: 'a packet of an established flow reached another server',
  aborted: 'a program aborted',
  accounting: 'a packet left a program for another number of reasons than one, or not as its reason says',
  backend: 'a packet of a clean slot was sent to a host that is not of this slot',
  payload: 'a packet arrived changed',
  lost: 'packets are not accounted for',
  leftover: 'tables hold something for clean slots at the end',
  stuck: 'a change did not come to its end although nothing was in its way',
  endless: 'the history did not come to an end',
} as const;
export type FindingKind = keyof typeof FINDINGS;

export type Finding = {
  readonly kind: FindingKind;
  readonly atNs: number;
  readonly text: string;
  /** Flow that it is about. */
  readonly flow?: number;
};

/** After so many the rest is a consequence. */
const FINDINGS_MAX = 20;

export class Oracle {
  readonly findings: Finding[] = [];
  readonly counts = { delivered: 0, established: 0, misdirected: 0, strayOpenings: 0, idle: 0, lostFlows: 0 };
  readonly #nowNs: () => number;
  readonly #idleNs: number;
  readonly #lost = new Set<number>();
  /** Times at which a flow may have begun that may be lost: [from, to]. */
  readonly #excused: (readonly [number, number])[] = [];

  constructor(nowNs: () => number, idleNs: number) {
    this.#nowNs = nowNs;
    this.#idleNs = idleNs;
  }

  report(kind: FindingKind, text: string, flow?: number): void {
    if (this.findings.length >= FINDINGS_MAX) return;
    this.findings.push({ kind, atNs: this.#nowNs(), text, ...(flow !== undefined && { flow }) });
  }

  /** A second mux has died before the first was made up for: open flows begun since may be lost, and are counted. */
  excuseOpenFlows(sinceNs: number): void {
    this.#excused.push([sinceNs, this.#nowNs()]);
  }

  /** A mux has sent a packet on to a host. False where its flow had been idle for longer than anybody keeps it. */
  forwarded({ flow }: Packet): boolean {
    if (flow === undefined || flow.isClosed) return true;
    const nowNs = this.#nowNs();
    const isIdle = nowNs - flow.forwardedNs > this.#idleNs;
    flow.forwardedNs = nowNs;
    if (isIdle && flow.server >= 0) {
      this.counts.idle++;
      return false;
    }
    return true;
  }

  /** A packet has reached a host that is alive. */
  delivered(packet: Packet, host: number, by: string): void {
    const { flow, kind } = packet;
    // Of a flood: nobody counts on it.
    if (flow === undefined) return;
    this.counts.delivered++;
    if (flow.isClosed) return;
    if (flow.server < 0) {
      // Nobody answers datagrams: the first one settles it.
      if (flow.identity.service === 'dns' && kind !== 'icmpError') flow.server = host;
      return;
    }
    this.counts.established++;
    if (flow.server === host) return;
    if (isOpening(kind) && flow.identity.protocol === 'tcp') {
      this.counts.strayOpenings++;
      return;
    }
    if (this.#excused.some(([from, to]) => flow.begunNs >= from && flow.begunNs <= to)) {
      this.#lost.add(flow.id);
      this.counts.lostFlows = this.#lost.size;
      return;
    }
    this.counts.misdirected++;
    const { service, slot, pool } = flow.identity;
    const text = `${kind} ${packet.number} of flow ${flow.id} (${service}, slot ${slot} of ${pool}) reached ${HOSTS[host]?.name}, and ${HOSTS[flow.server]?.name} serves it; ${by}`;
    this.report('misdirected', text, flow.id);
  }
}
