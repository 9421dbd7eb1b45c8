// Owns what a simulation found: the trace with its digest, violations, and the counts of what is tolerated today.
import { createHash } from 'node:crypto';

export const VIOLATION_KINDS = {
  aborted: 'a program aborted',
  accounting: 'a packet left a program for another number of reasons than one, or not as its reason says',
  reason: 'a program did something else with a packet than its tables say',
  backend: 'a mux sent a packet to another backend than its tables say',
  disagreement: 'two muxes with one configuration sent a flow to different backends',
  moved: 'a flow got another backend although its slot did not',
  payload: 'a packet arrived changed',
  lost: 'packets are not accounted for',
  endless: 'the simulation did not come to an end',
  misdirected: 'a packet of an established flow reached another server',
  fragment: 'a mux did not know the first fragment of a datagram that another mux has seen',
} as const;
export type ViolationKind = keyof typeof VIOLATION_KINDS;

export type Violation = {
  readonly kind: ViolationKind;
  readonly atNs: number;
  readonly message: string;
  /** The flow it is about. */
  readonly flow?: number;
};

/** What becomes of the violations of a kind: found, or only counted. */
export type Tolerance = Readonly<Partial<Record<ViolationKind, 'counted'>>>;

/**
 * Of muxes that are in no cluster: nobody keeps flows for them, and fragments stay where they come. In clusters nothing is
 * tolerated: test/sim/protocol.
 */
export const ALONE: Tolerance = { misdirected: 'counted', fragment: 'counted' };

/** After so many the rest is a consequence. */
const VIOLATIONS_MAX = 5;
const TRACE_LINES_MAX = 100_000;

export type TraceLine = { readonly text: string /** Absent: concerns every flow. */; readonly flow?: number };

export class Judgement {
  readonly violations: Violation[] = [];
  readonly tolerated = new Map<ViolationKind, number>();
  readonly trace: TraceLine[] = [];
  readonly #digest = createHash('sha256');
  readonly #tolerance: Tolerance;
  readonly #nowNs: () => number;

  constructor(tolerance: Tolerance, nowNs: () => number) {
    this.#tolerance = tolerance;
    this.#nowNs = nowNs;
  }

  get isOver(): boolean {
    return this.violations.length >= VIOLATIONS_MAX;
  }

  note(text: string, flow?: number): void {
    const line = `${(this.#nowNs() / 1e6).toFixed(3).padStart(10)} ms  ${text}`;
    this.#digest.update(`${line}\n`);
    if (this.trace.length < TRACE_LINES_MAX)
      this.trace.push({ text: line, ...(flow !== undefined && { flow }) });
  }

  /** Bytes that belong to the history, but not into a listing of it. */
  digestBytes(bytes: Uint8Array): void {
    this.#digest.update(bytes);
  }

  report(kind: ViolationKind, message: string, flow?: number): void {
    this.note(`${this.#tolerance[kind] === 'counted' ? 'tolerated' : 'VIOLATION'} ${kind}: ${message}`, flow);
    if (this.#tolerance[kind] === 'counted') {
      this.tolerated.set(kind, (this.tolerated.get(kind) ?? 0) + 1);
    } else if (!this.isOver) {
      this.violations.push({ kind, atNs: this.#nowNs(), message, ...(flow !== undefined && { flow }) });
    }
  }

  /** Of everything noted so far: the same for the same history. */
  digest(): string {
    return this.#digest.copy().digest('hex').slice(0, 16);
  }
}
