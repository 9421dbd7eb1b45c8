// Owns the muxes that run the real program: each a loaded copy with its own maps and its own time, run packet by packet.
// Judges what every run must keep to: one reason, a verdict that goes with it, a packet that arrives as it was sent.
import { type Program, possibleCpus } from 'libbpf-ts';
import {
  countersCodec,
  FlowEvent,
  Limit,
  REASON_NAMES,
} from '../../../control/dataplane/generated/layout.ts';
import { MuxProgram } from '../../../control/dataplane/mux.ts';
import type { MuxOptions } from '../../../control/dataplane/mux_object.ts';
import { parseAddress } from '../../../control/lib/address.ts';
import { mac } from '../../bpf/lib/packets.ts';
import type { Fleet, Outcome } from './fleet.ts';
import { type Copy, giveBack, takeCopy } from './loaded.ts';
import type { FindingKind } from './oracle.ts';
import { HASH_KEY, type Packet } from './packets.ts';
import { ASK_PORT, HOSTS, NEXT_HOP, POOL_SLOTS } from './place.ts';

const VERDICT = { aborted: 0, drop: 1, pass: 2, tx: 3, redirect: 4 } as const;
/** By the first word of a reason. */
const VERDICTS: Readonly<Record<string, readonly number[]>> = {
  PASS: [VERDICT.pass],
  FORWARD: [VERDICT.tx, VERDICT.redirect],
  ASK: [VERDICT.tx, VERDICT.redirect],
  RELAY: [VERDICT.tx, VERDICT.redirect],
  REPLY: [VERDICT.tx, VERDICT.redirect],
  NOTED: [VERDICT.drop],
  DROP: [VERDICT.drop],
};

const WORDS_OF_CPU = countersCodec.sizeBytes / 4;
const REASONS = Array.from(
  { length: Limit.LIMIT_REASONS },
  (_, reason) => (REASON_NAMES as Record<number, string>)[reason] ?? `REASON_${reason}`,
);
const EVENTS = Object.entries(FlowEvent).filter(([name]) => name !== 'FLOW_EVENT_COUNT');
const ALLOWED = REASONS.map((name) => VERDICTS[name.split('_')[0]!] ?? []);

const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;
const UDP = 17;
const NEXT_HOP_MAC = mac(NEXT_HOP.destinationMac);
const FLOW_BUCKETS = 256;
/** What a program leaves of a packet, of all muxes in turn. */
const ROOM = new Uint8Array(4_096);

export type FleetOptions = {
  /** Muxes reach each other by this; all the same. */
  readonly version: 4 | 6;
  readonly report: (kind: FindingKind, text: string, flow?: number) => void;
  /** Entries that a mux keeps, and of its cache. */
  readonly flowTable?: { readonly entries: number; readonly cacheEntries: number };
  readonly objectPath?: string;
};

export const muxAddressOf = (version: 4 | 6, mux: number): string =>
  version === 4 ? `198.51.100.${mux + 1}` : `2001:db8:a::a000:${(mux + 1).toString(16)}`;

type Target = { readonly kind: 'host' | 'mux'; readonly number: number };

export class ProgramFleet implements Fleet {
  readonly hasBytes = true;
  readonly #options: FleetOptions;
  readonly #muxes = new Map<number, ProgramMux>();
  /** Of muxes that have gone, too: what their daemons had begun may still write to them. */
  readonly #copies: Copy[] = [];
  /** By the last word of the address, which all have different. */
  readonly #targets = new Map<number, Target>();
  readonly #outcome: Outcome = { kind: 'end', to: -1, content: undefined, reason: '' };

  constructor(options: FleetOptions) {
    this.#options = options;
    for (const [number, { address }] of HOSTS.entries())
      this.#targets.set(lastWord(parseAddress(address)), { kind: 'host', number });
    for (let number = 0; number < Limit.LIMIT_MUXES - 1; number++) {
      const address = parseAddress(muxAddressOf(options.version, number));
      this.#targets.set(lastWord(address), { kind: 'mux', number });
    }
  }

  /** A mux with empty tables whose clock began `bootNs` before the history. */
  load(mux: number, bootNs: number, incarnation: number, gracePeriod: () => Promise<void>): ProgramMux {
    const made = new ProgramMux(this.#options, mux, bootNs, incarnation, gracePeriod);
    this.#copies.push(made.copy);
    this.#muxes.set(mux, made);
    return made;
  }

  mux(number: number): ProgramMux {
    return this.#muxes.get(number)!;
  }

  handle(number: number, packet: Packet | undefined, content: unknown, nowNs: number): Outcome {
    const mux = this.#muxes.get(number)!;
    const frame = (content as Uint8Array | undefined) ?? packet!.bytes;
    const verdict = mux.run(frame, nowNs);
    const { reason, output } = mux;
    const outcome = this.#outcome;
    outcome.reason = REASONS[reason] ?? 'NONE';
    outcome.kind = 'end';
    outcome.to = -1;
    if (reason <= 0 || !ALLOWED[reason]!.includes(verdict)) this.#complain(number, packet, mux, verdict);
    if (verdict !== VERDICT.tx && verdict !== VERDICT.redirect) return outcome;
    const target = this.#targets.get(destinationWord(output));
    // To the client: an answer of the mux itself.
    if (target === undefined) return outcome;
    outcome.kind = target.kind;
    outcome.to = target.number;
    if (target.kind === 'mux') outcome.content = output.slice();
    else if (packet === undefined || !carries(output, packet.bytes))
      this.#options.report('payload', `mux${number} sent ${packet?.kind} changed`, packet?.flow?.id);
    return outcome;
  }

  /** What became of flows at all muxes that there were, by the name of the event. */
  get events(): Record<string, number> {
    const counters = this.#copies.map(({ object }) => new Uint32Array(object.map('counters').mmap()));
    return Object.fromEntries(
      EVENTS.map(([name, event]) => [name, counters.reduce((sum, it) => sum + eventsOf(it, event), 0)]),
    );
  }

  /** Nothing of the history happens any more. */
  async close(): Promise<void> {
    this.#muxes.clear();
    await giveBack(this.#copies.splice(0));
  }

  #complain(number: number, packet: Packet | undefined, mux: ProgramMux, verdict: number): void {
    const kind = verdict === VERDICT.aborted ? 'aborted' : 'accounting';
    const what = `${packet?.kind ?? 'message'} at mux${number}: verdict ${verdict}, ${mux.counted}`;
    this.#options.report(kind, what, packet?.flow?.id);
  }
}

export class ProgramMux {
  readonly copy: Copy;
  readonly program: MuxProgram;
  readonly address: string;
  readonly id: number;
  /** What a run before has left for: > 0 where it was exactly one reason. */
  reason = 0;
  /** Until the next run. */
  output: Uint8Array = new Uint8Array(0);
  readonly #bootNs: number;
  readonly #run: Program;
  readonly #clock: BigUint64Array;
  readonly #counters: Uint32Array;
  readonly #cpus = possibleCpus();
  /** By CPU and reason, as last read. */
  readonly #seen: Uint32Array;

  constructor(
    { version, flowTable, objectPath }: FleetOptions,
    mux: number,
    bootNs: number,
    incarnation: number,
    gracePeriod: () => Promise<void>,
  ) {
    this.id = mux + 1;
    this.address = muxAddressOf(version, mux);
    this.#bootNs = bootNs;
    const options: MuxOptions = {
      hashKey: HASH_KEY,
      tunnelSource4: { address: `198.18.${64 + mux}.0`, prefixLength: 24 },
      tunnelSource6: { address: `2001:db8:100:${mux.toString(16)}::`, prefixLength: 112 },
      slotCapacity: Object.values(POOL_SLOTS).reduce((sum, slots) => sum + slots, 0) * 2,
      askPort: ASK_PORT,
      incarnation,
      drivenTime: true,
      gracePeriod,
      flowTable: flowTable ?? { entries: FLOW_BUCKETS * 7, cacheEntries: FLOW_BUCKETS * 8 },
      ...(objectPath !== undefined && { objectPath }),
    };
    this.copy = takeCopy(`${mux} ${JSON.stringify(options.flowTable)} ${objectPath}`, options);
    this.program = MuxProgram.begin(options, this.copy.object);
    this.#clock = this.program.mapClock();
    this.#run = this.copy.object.program('mux');
    this.#counters = new Uint32Array(this.copy.object.map('counters').mmap());
    this.#seen = new Uint32Array(this.#cpus * REASONS.length);
  }

  /** Time of this host: since it booted. */
  nowNs(worldNs: number): number {
    return worldNs + this.#bootNs;
  }

  /** For whatever reads the program's time next: a test run of another program of the object, too. */
  setTime(worldNs: number): void {
    this.#clock[0] = BigInt(this.nowNs(worldNs));
  }

  run(frame: Uint8Array, worldNs: number): number {
    this.setTime(worldNs);
    const { retval, dataOut } = this.#run.testRun({ data: frame, dataOut: ROOM });
    this.output = dataOut!;
    this.reason = this.#readReason();
    return retval;
  }

  /** Reasons that the run before last counted, for people. */
  get counted(): string {
    return this.reason > 0 ? REASONS[this.reason]! : this.reason === 0 ? 'no reason' : 'several reasons';
  }

  /** Runs of programs other than by run() count, too. */
  forgetCounts(): void {
    this.#readReason();
  }

  /** The one reason that was counted since; 0: none; -1: several. */
  #readReason(): number {
    const counters = this.#counters;
    const seen = this.#seen;
    let found = 0;
    for (let cpu = 0, at = 0; cpu < this.#cpus; cpu++) {
      let word = cpu * WORDS_OF_CPU;
      for (let reason = 0; reason < REASONS.length; reason++, at++, word += 2) {
        const count = counters[word]!;
        if (count === seen[at]) continue;
        found = found === 0 && ((count - seen[at]!) | 0) === 1 ? reason : -1;
        seen[at] = count;
      }
    }
    return found;
  }
}

/** On all CPUs. */
function eventsOf(counters: Uint32Array, event: number): number {
  let sum = 0;
  for (let word = (REASONS.length + event) * 2; word < counters.length; word += WORDS_OF_CPU)
    sum += counters[word]!;
  return sum;
}

function lastWord(address: Uint8Array): number {
  const at = address.length - 4;
  return ((address[at]! << 24) | (address[at + 1]! << 16) | (address[at + 2]! << 8) | address[at + 3]!) >>> 0;
}

/** Last word of the outermost destination. */
function destinationWord(frame: Uint8Array): number {
  const at = frame[12] === 0x86 ? 50 : 30;
  return ((frame[at]! << 24) | (frame[at + 1]! << 16) | (frame[at + 2]! << 8) | frame[at + 3]!) >>> 0;
}

/** Whether a tunnel packet goes the way that there is, and carries what a client sent. */
function carries(tunnelled: Uint8Array, sent: Uint8Array): boolean {
  const isIpv6 = tunnelled[12] === 0x86;
  const protocol = isIpv6 ? tunnelled[20] : tunnelled[23];
  const at = ETHERNET_BYTES + (isIpv6 ? 40 : 20) + (protocol === UDP ? UDP_BYTES : 0);
  if (Buffer.compare(tunnelled.subarray(0, 6), NEXT_HOP_MAC) !== 0) return false;
  return Buffer.compare(tunnelled.subarray(at), sent.subarray(ETHERNET_BYTES)) === 0;
}
