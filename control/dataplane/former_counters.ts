// Owns reading what was counted by a program of another build, or by counters that were replaced.
import { BpfMap, type MapTypes } from 'libbpf-ts';
import {
  type CounterReading,
  FLOW_EVENT_LIST,
  type FlowEventName,
  REASON_LIST,
  type ReasonName,
  type TrafficCount,
} from './counters.ts';
import { FlowEvent, Reason } from './generated/layout.ts';
import { enumOf, type Inheritance } from './inheritance.ts';
import type { Traffic } from './traffic.ts';

type Numbers = Readonly<Record<string, number | undefined>>;
type OldTraffic = { packets: bigint; bytes: bigint; new_flows: bigint };
/** By name: the members that every version has, and those that came later. */
type OldCounters = {
  reasons: bigint[];
  flow_events?: bigint[];
  services: OldTraffic[];
  backends: OldTraffic[];
};

export class FormerCounters {
  readonly #map: BpfMap;
  readonly #types: MapTypes;

  private constructor(map: BpfMap) {
    this.#map = map;
    this.#types = map.types()!;
  }

  /**
   * Those of the program before, or those that a process replaced and died before it had read them; undefined where
   * the counters are the same, or nobody kept them.
   */
  static find(
    traffic: Traffic,
    from: Inheritance | undefined,
    inherited: ReadonlySet<string>,
  ): FormerCounters | undefined {
    const inheritedId = inherited.has('counters') ? undefined : from?.maps.get('counters')?.info.id;
    const map = openById(inheritedId ?? traffic.formerCountersId);
    return map?.info.name === 'counters' && map.types() !== undefined ? new FormerCounters(map) : undefined;
  }

  get id(): number {
    return this.#map.info.id;
  }

  /** As they are now; none is added any more a grace period after the program was replaced. */
  read(): CounterReading {
    const { btf, value } = this.#types;
    const codec = btf.codec<OldCounters>(value);
    const view = new DataView(this.#map.mmap());
    const strideBytes = Math.ceil(codec.sizeBytes / 8) * 8;
    const cpus = Array.from({ length: this.#map.info.maxEntries }, (_, cpu) =>
      codec.read(view, cpu * strideBytes),
    );
    const numbers: Numbers = enumOf(this.#map, 'reason') ?? Reason;
    const eventNumbers: Numbers = enumOf(this.#map, 'flow_event') ?? FlowEvent;
    const sum = (of: (one: OldCounters) => bigint | undefined): bigint =>
      cpus.reduce((total, one) => total + (of(one) ?? 0n), 0n);
    const traffic = (of: (one: OldCounters) => OldTraffic | undefined): TrafficCount => ({
      packets: sum((one) => of(one)?.packets),
      bytes: sum((one) => of(one)?.bytes),
      newFlows: sum((one) => of(one)?.new_flows),
    });
    return {
      reasons: () => {
        const counts = REASON_LIST.map((name) => [name, sum(({ reasons }) => reasons[numbers[name] ?? -1])]);
        return Object.fromEntries(counts) as Record<ReasonName, bigint>;
      },
      flowEvents: () => {
        const counts = FLOW_EVENT_LIST.map((name) => [
          name,
          sum(({ flow_events: events }) => events?.[eventNumbers[name] ?? -1]),
        ]);
        return Object.fromEntries(counts) as Record<FlowEventName, bigint>;
      },
      service: (place) => traffic(({ services }) => services[place]),
      backend: (index) => traffic(({ backends }) => backends[index]),
    };
  }

  close(): void {
    this.#map.close();
  }
}

function openById(id: number | undefined): BpfMap | undefined {
  try {
    return id === undefined ? undefined : BpfMap.openById(id);
  } catch {
    return undefined;
  }
}
