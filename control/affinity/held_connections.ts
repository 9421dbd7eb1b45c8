// Owns in which slots this host's stack has connections though their clients go to another server: a client that found no
// place in the table, or is silent for longer than the timeout, has no affinity, and its connection is here all the same.
// Until it ends its slot is not clean. Reading is the caller's; it takes long where there are many, and others wait for none
// of it.
import type { FlowName, FlowTuple } from '../dataplane/flow_tuple.ts';

export type HeldConnectionsOptions = {
  readonly read: () => AsyncIterable<readonly FlowTuple[]>;
  /** Undefined: of no service here. */
  readonly name: (connection: FlowTuple) => FlowName | undefined;
  /** How many slots a pool has here, and whether another server has one; in the version in effect. */
  readonly slots: (poolId: number) => number;
  readonly isElsewhere: (poolId: number, slot: number) => boolean;
  /** Undefined: it went well. */
  readonly onOutcome: (error: unknown) => void;
};

export class HeldConnections {
  readonly #options: HeldConnectionsOptions;
  /** Of readings: one that began before the version in effect says nothing of it. */
  #number = 0;
  #reads = false;
  #known: ReadonlyMap<number, Uint8Array> | undefined;

  constructor(options: HeldConnectionsOptions) {
    this.#options = options;
  }

  /** Another version is in effect: who has which slot has changed. */
  forget(): void {
    this.#number++;
    this.#known = undefined;
  }

  /** Reads once more, unless it does. */
  async read(): Promise<void> {
    if (this.#reads) return;
    this.#reads = true;
    const number = this.#number;
    try {
      const found = new Map<number, Uint8Array>();
      for await (const connections of this.#options.read()) {
        if (number !== this.#number) return;
        for (const connection of connections) this.#note(connection, found);
      }
      this.#known = found;
      this.#options.onOutcome(undefined);
    } catch (error) {
      // What was known is old: a slot would be called clean by it.
      this.#known = undefined;
      this.#options.onOutcome(error);
    } finally {
      this.#reads = false;
    }
  }

  /** Slots of a pool, a bit each; undefined: not known yet. */
  held(poolId: number): Uint8Array | undefined {
    if (this.#known === undefined) return undefined;
    return this.#known.get(poolId) ?? new Uint8Array(Math.ceil(this.#options.slots(poolId) / 8));
  }

  #note(connection: FlowTuple, found: Map<number, Uint8Array>): void {
    const { name, slots, isElsewhere } = this.#options;
    const it = name(connection);
    if (it === undefined || !isElsewhere(it.poolId, it.slot)) return;
    const bits = found.get(it.poolId) ?? new Uint8Array(Math.ceil(slots(it.poolId) / 8));
    bits[it.slot >> 3]! |= 1 << (it.slot & 7);
    found.set(it.poolId, bits);
  }
}
