// Owns the nodes that run programs: muxes and hosts, each with a loaded copy of the real object. A mux also knows what
// its tables say, written here a second time, so that what the program did can be judged.

import type { ClusterState, StoredBackend } from '../../../control/config/cluster_state.ts';
import { DecapProgram } from '../../../control/dataplane/decap.ts';
import { MuxProgram } from '../../../control/dataplane/mux.ts';
import type { Reply } from './client.ts';
import { SECOND } from './scenario.ts';
import {
  HASH_KEY,
  HOSTS,
  hopTo,
  hostAt,
  MTU_BYTES,
  MUX_SOURCES,
  muxSource,
  POOLS,
  SERVICE_ADDRESSES,
  SLOT_CAPACITY,
  slotBaseOf,
} from './site.ts';
import type { Flow, Message, Packet } from './traffic.ts';

const VERDICTS = ['ABORTED', 'DROP', 'PASS', 'TX', 'REDIRECT'] as const;
export type Verdict = (typeof VERDICTS)[number];

export type Outcome = {
  readonly verdict: Verdict;
  readonly output: Uint8Array;
  /** Counters that moved, and by how much. */
  readonly reasons: Readonly<Record<string, number>>;
};

/** What is needed of a MuxProgram or a DecapProgram. */
export type Loaded = {
  readonly program: { testRun(options: { data: Uint8Array }): { retval: number; dataOut?: Uint8Array } };
  counters(): { reasons: Record<string, bigint> };
};

function run(loaded: Loaded, frame: Uint8Array): Outcome {
  const before = loaded.counters().reasons;
  const { retval, dataOut } = loaded.program.testRun({ data: frame });
  const after = loaded.counters().reasons;
  const moved = Object.entries(after).filter(([name, count]) => count !== before[name]);
  return {
    verdict: VERDICTS[retval] ?? 'ABORTED',
    output: dataOut ?? new Uint8Array(0),
    reasons: Object.fromEntries(moved.map(([name, count]) => [name, Number(count - before[name]!)])),
  };
}

/** What a mux must do with a packet: leave for this reason and, forwarding, for this address. */
export type Expected = { readonly reason: string; readonly address?: string };

const FORWARD_REASONS = {
  whole: 'FORWARD',
  firstFragment: 'FORWARD_FIRST_FRAGMENT',
  icmpError: 'FORWARD_ICMP_ERROR',
} as const;
const FRAGMENT_LIFETIME_NS = 60 * SECOND;

export class SimMux {
  readonly name: string;
  readonly program: MuxProgram;
  readonly #clock: BigUint64Array;
  readonly #slots = new Uint16Array(SLOT_CAPACITY);
  readonly #backends = new Map<number, StoredBackend>();
  readonly #fragments = new Map<string, { seenNs: number; index: number; generation: number }>();

  constructor(number: number, hashKey: Uint8Array = HASH_KEY) {
    // As in test/bpf: a changed program can be put in the place of the real one, to see it found.
    const objectPath = process.env.HOLDFAST_TEST_MUX;
    this.name = `mux${number}`;
    this.program = MuxProgram.load({
      hashKey,
      ...muxSource(number),
      slotCapacity: SLOT_CAPACITY,
      drivenTime: true,
      ...(objectPath !== undefined && { objectPath }),
    });
    this.#clock = this.program.mapClock();
  }

  async setServices(state: ClusterState): Promise<void> {
    for (const { addresses, protocol, port, pool, affinity } of state.services.values()) {
      const { id, slots } = state.pools.get(pool)!;
      const shared = {
        slotBase: slotBaseOf(pool),
        slotCount: slots,
        pool: id,
        ...(affinity && { affinity }),
      };
      for (const address of addresses) {
        await this.program.setService({ address, ...(protocol && port && { protocol, port }), ...shared });
      }
    }
  }

  async setBackend(index: number, backend: StoredBackend | undefined): Promise<void> {
    if (backend === undefined) {
      this.#backends.delete(index);
      await this.program.setBackend(index, undefined);
      return;
    }
    const { address, encap, guePort, generation } = backend;
    this.#backends.set(index, backend);
    await this.program.setBackend(index, {
      address,
      encap,
      ...(guePort !== undefined && { guePort }),
      mtuBytes: MTU_BYTES,
      generation,
      nextHop: hopTo(hostAt(address)),
    });
  }

  async setSlots(base: number, indexes: Uint16Array): Promise<void> {
    this.#slots.set(indexes, base);
    await this.program.setSlots(base, indexes);
  }

  run(frame: Uint8Array, nowNs: number): Outcome {
    this.#clock[0] = BigInt(nowNs);
    return run(this.program, frame);
  }

  /** What its tables say about a packet, and remembering what the program is to remember of it. */
  expect({ kind, flow, fragmentKey }: Packet, nowNs: number): Expected {
    if (kind === 'ping') return { reason: 'REPLY_ECHO' };
    if (kind === 'stranger') return { reason: 'PASS_NOT_A_SERVICE' };
    if (kind === 'laterFragment') return this.#expectLater(fragmentKey!, nowNs);
    const index = this.#slots[flow!.slot]!;
    const backend = this.#backends.get(index);
    if (backend === undefined) return { reason: 'DROP_NO_BACKEND' };
    if (kind === 'firstFragment') {
      this.#fragments.set(fragmentKey!, { seenNs: nowNs, index, generation: backend.generation });
    }
    return { reason: FORWARD_REASONS[kind], address: backend.address };
  }

  /** Backend index of a slot. */
  slotAt(slot: number): number {
    return this.#slots[slot]!;
  }

  knowsFragment(key: string): boolean {
    return this.#fragments.has(key);
  }

  close(): void {
    this.program.close();
  }

  #expectLater(key: string, nowNs: number): Expected {
    const first = this.#fragments.get(key);
    const backend = first && this.#backends.get(first.index);
    const known =
      first !== undefined &&
      nowNs - first.seenNs <= FRAGMENT_LIFETIME_NS &&
      backend?.generation === first.generation;
    return known
      ? { reason: 'FORWARD_LATER_FRAGMENT', address: backend!.address }
      : { reason: 'DROP_FRAGMENT_UNKNOWN' };
  }
}

/** One write, or few, that packets may come before and after. */
export type Step = { readonly what: string; perform(mux: SimMux): Promise<void> };

/** From one version to the next, so that no slot ever names a backend that is not there. */
export function stepsBetween(before: ClusterState, after: ClusterState): Step[] {
  const indexes = (state: ClusterState) => new Map([...state.backends.values()].map((it) => [it.index, it]));
  const [old, now] = [indexes(before), indexes(after)];
  const steps: Step[] = [];
  for (const [index, backend] of now) {
    if (old.has(index)) continue;
    steps.push({ what: `backend ${index}`, perform: (mux) => mux.setBackend(index, backend) });
  }
  for (const { name } of POOLS) {
    const { slots } = after.tables.get(name)!;
    if (slots === before.tables.get(name)?.slots) continue;
    const middle = slots.length >> 1;
    for (const [begin, end] of [
      [0, middle],
      [middle, slots.length],
    ] as const) {
      const base = slotBaseOf(name) + begin;
      const part = slots.subarray(begin, end);
      steps.push({
        what: `slots ${base}-${base + part.length - 1}`,
        perform: (mux) => mux.setSlots(base, part),
      });
    }
  }
  for (const index of old.keys()) {
    if (now.has(index)) continue;
    steps.push({ what: `no backend ${index}`, perform: (mux) => mux.setBackend(index, undefined) });
  }
  return steps;
}

/** The machine of a backend: takes the tunnel off and serves. */
export class SimHost {
  readonly number: number;
  readonly name: string;
  readonly #decap: Loaded;
  readonly #connections = new Set<number>();
  readonly #parts = new Map<string, Set<number>>();

  constructor(number: number, decap: Loaded) {
    this.number = number;
    this.name = HOSTS[number]!.name;
    this.#decap = decap;
  }

  run(frame: Uint8Array): Outcome {
    return run(this.#decap, frame);
  }

  /** What the server says to a message; undefined: nothing. */
  serve({ action }: Flow, message: Message): Reply | undefined {
    const from = { host: this.number };
    if (message.kind === 'error') return undefined;
    const { number } = message;
    if (message.kind === 'syn') {
      this.#connections.add(action.id);
      return { kind: 'synAck', number, ...from };
    }
    if (message.kind !== 'datagram') {
      return { kind: this.#connections.has(action.id) ? 'ack' : 'reset', number, ...from };
    }
    const key = `${action.id} ${number}`;
    const parts = this.#parts.get(key) ?? new Set<number>();
    this.#parts.set(key, parts.add(message.part));
    return parts.size === message.parts ? { kind: 'answer', number, ...from } : undefined;
  }
}

/** The programs of all hosts. Loading one takes a quarter of a second, and they keep nothing but counters. */
export class HostPrograms {
  readonly decaps: readonly DecapProgram[];

  private constructor(decaps: readonly DecapProgram[]) {
    this.decaps = decaps;
  }

  static async load(): Promise<HostPrograms> {
    const hosts = new HostPrograms(HOSTS.map(() => DecapProgram.load()));
    await hosts.takeFrom(MUX_SOURCES);
    return hosts;
  }

  /** Has all hosts take tunnel packets of these sources only. */
  async takeFrom(muxSources: readonly string[]): Promise<void> {
    for (const decap of this.decaps) await decap.apply({ muxSources, serviceAddresses: SERVICE_ADDRESSES });
  }

  close(): void {
    for (const decap of this.decaps) decap.close();
  }
}
