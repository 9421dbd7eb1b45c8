// Owns reading what was counted by a program of another build, or by counters that were replaced.
import { BpfMap, possibleCpus } from 'libbpf-ts';
import { Counters } from './counters.ts';
import { countersCodec } from './generated/layout.ts';
import { elementsOf, enumOf, type Inheritance } from './inheritance.ts';
import type { Traffic } from './traffic.ts';

export class FormerCounters {
  readonly #map: BpfMap;
  readonly #now: BpfMap;

  private constructor(map: BpfMap, now: BpfMap) {
    this.#map = map;
    this.#now = now;
    // Says before anything is replaced whether it can be read afterwards.
    this.read();
  }

  /**
   * Those of the program before, or those that a process replaced and died before it had read them; undefined where
   * the counters are the same, or nobody kept them. @throws BtfError where they cannot be told apart.
   */
  static find(
    traffic: Traffic,
    from: Inheritance | undefined,
    inherited: ReadonlySet<string>,
    now: BpfMap,
  ): FormerCounters | undefined {
    const inheritedId = inherited.has('counters') ? undefined : from?.maps.get('counters')?.info.id;
    const map = openById(inheritedId ?? traffic.formerCountersId);
    return map?.info.name === 'counters' ? new FormerCounters(map, now) : undefined;
  }

  get id(): number {
    return this.#map.info.id;
  }

  /** As they are now; none is added any more a grace period after the program was replaced. */
  read(): Counters {
    const elements = elementsOf(this.#map, this.#now);
    const cpus = Math.min(elements.count, possibleCpus());
    const copy = new ArrayBuffer(countersCodec.sizeBytes * cpus);
    for (let cpu = 0; cpu < cpus; cpu++)
      elements.read(cpu, new DataView(copy), cpu * countersCodec.sizeBytes);
    return new Counters(copy, cpus, enumOf(this.#map, 'reason'));
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
