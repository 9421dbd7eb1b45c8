// Owns reading the counters of a program: one element a CPU, mapped, summed here.
import {
  countersCodec,
  FLOW_EVENT_NAMES,
  FlowEvent,
  Limit,
  REASON_NAMES,
  Reason,
  trafficCodec,
} from './generated/layout.ts';

export type ReasonName = Exclude<keyof typeof Reason, 'REASON_NONE' | 'REASON_COUNT'>;

export type FlowEventName = Exclude<keyof typeof FlowEvent, 'FLOW_EVENT_COUNT'>;

export type TrafficCount = { packets: bigint; bytes: bigint; newFlows: bigint };

export const REASON_LIST: readonly ReasonName[] = Object.values(REASON_NAMES).filter(
  (name): name is ReasonName => name !== 'REASON_NONE' && name !== 'REASON_COUNT',
);

export const FLOW_EVENT_LIST: readonly FlowEventName[] = Object.values(FLOW_EVENT_NAMES).filter(
  (name): name is FlowEventName => name !== 'FLOW_EVENT_COUNT',
);

const U64_BYTES = 8;
const TRAFFIC_WORDS = trafficCodec.sizeBytes / U64_BYTES;
const FLOW_EVENTS_WORD = Limit.LIMIT_REASONS;
const SERVICES_WORD = FLOW_EVENTS_WORD + Limit.LIMIT_FLOW_EVENTS;
const BACKENDS_WORD = SERVICES_WORD + Limit.LIMIT_SERVICES * TRAFFIC_WORDS;
const CPU_WORDS = countersCodec.sizeBytes / U64_BYTES;

export interface CounterReading {
  /** Packets by reason, every reason present. */
  reasons(): Record<ReasonName, bigint>;
  flowEvents(): Record<FlowEventName, bigint>;
  /** By place in the services table. */
  service(place: number): TrafficCount;
  backend(index: number): TrafficCount;
}

/** What a program counts of a reason elsewhere. */
export type CountedApart = { readonly reason: ReasonName; count(): bigint };

export class Counters implements CounterReading {
  readonly #words: BigUint64Array;
  readonly #cpus: number;
  readonly #apart: CountedApart | undefined;

  /** `mapped` is the `counters` map, an element a possible CPU. */
  constructor(mapped: ArrayBuffer, cpus: number, apart?: CountedApart) {
    this.#words = new BigUint64Array(mapped, 0, CPU_WORDS * cpus);
    this.#cpus = cpus;
    this.#apart = apart;
  }

  reasons(): Record<ReasonName, bigint> {
    const counts = REASON_LIST.map((name) => [name, this.#sum(Reason[name])]);
    const reasons = Object.fromEntries(counts) as Record<ReasonName, bigint>;
    if (this.#apart !== undefined) reasons[this.#apart.reason] += this.#apart.count();
    return reasons;
  }

  flowEvents(): Record<FlowEventName, bigint> {
    const counts = FLOW_EVENT_LIST.map((name) => [name, this.#sum(FLOW_EVENTS_WORD + FlowEvent[name])]);
    return Object.fromEntries(counts) as Record<FlowEventName, bigint>;
  }

  service(place: number): TrafficCount {
    return this.#traffic(SERVICES_WORD + place * TRAFFIC_WORDS);
  }

  backend(index: number): TrafficCount {
    return this.#traffic(BACKENDS_WORD + index * TRAFFIC_WORDS);
  }

  #traffic(word: number): TrafficCount {
    return { packets: this.#sum(word), bytes: this.#sum(word + 1), newFlows: this.#sum(word + 2) };
  }

  #sum(word: number): bigint {
    let sum = 0n;
    for (let cpu = 0; cpu < this.#cpus; cpu++) sum += this.#words[cpu * CPU_WORDS + word]!;
    return sum;
  }
}
