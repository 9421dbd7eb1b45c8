// Owns a filter's program: loading it, taking over what the one before it left, its tables and counters, and the
// interfaces it is attached to. Not here: which server a bucket has (control/cluster), what is asked of the tables of
// clients (control/affinity).
import { join } from 'node:path';
import type { LoadedObject } from 'libbpf-ts';
import { BtfError } from 'libbpf-ts';
import { parseMac } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';
import { AffinityProgram } from './affinity_program.ts';
import { AskKeys } from './ask_keys.ts';
import { type AttachedInterface, Attachments, type AttachOptions } from './attachment.ts';
import type { BackendConfig } from './backend_table.ts';
import { DataplaneClock, Deadline } from './clock.ts';
import type { FlowEventName, ReasonName, TrafficCount } from './counters.ts';
import type { ServiceAddress } from './desired.ts';
import { type DesiredFilter, filterRecords } from './desired_filter.ts';
import { Explainer, type ExplainOptions, explanationOf, type PacketExplanation } from './explain.ts';
import {
  affinityBuckets,
  FILTER_STATE,
  type FilterOptions,
  filterConstants,
  filterParts,
  openFilter,
} from './filter_object.ts';
import { type ClientName, type FlowName, type FlowTuple, nameClient, nameFlow } from './flow_tuple.ts';
import { FormerCounters } from './former_counters.ts';
import { Limit, Observer } from './generated/layout.ts';
import { holderIndexes } from './holder_table.ts';
import { findInheritance, type Inheritance, inherit, pinnable } from './inheritance.ts';
import { adoptPlaces, migrateMux } from './mux_state.ts';
import { type Applied, MuxTables } from './mux_tables.ts';
import { loadProgram, mapSection } from './object.ts';
import { PeerStates } from './peer_states.ts';
import { type Origin, PinDirectory, type PinnedOptions } from './pins.ts';
import { NO_INCARNATION, type SelfRecord } from './self.ts';
import { addressOfKey } from './service_record.ts';
import { nameOf } from './service_table.ts';
import { isOthers, isSettled, SlotBits } from './slot_bits.ts';
import { Turns } from './turns.ts';

export type FilterCounters = {
  reasons: Record<ReasonName, bigint>;
  flowEvents: Record<FlowEventName, bigint>;
  services: (TrafficCount & { key: ServiceAddress })[];
};

type Place = { pins: PinDirectory; stateFile?: string; netns?: string };

export class FilterProgram {
  readonly #options: FilterOptions;
  readonly #object: LoadedObject;
  readonly #place: Place;
  readonly #attachments: Attachments;
  readonly #parts: ReturnType<typeof filterParts>;
  readonly #tables: MuxTables;
  readonly #bits: readonly SlotBits[];
  readonly #turns = new Turns();
  readonly affinities: AffinityProgram;
  readonly askKeys: AskKeys;
  readonly peerStates: PeerStates;
  readonly clock: DataplaneClock;
  readonly deadline: Deadline;
  #origin: Origin = 'fresh';
  #affinityOrigin: Origin = 'fresh';
  #explainer: Explainer | undefined;
  /** By pool id, of the last apply. */
  #ranges: ReadonlyMap<number, { readonly base: number; readonly count: number }> = new Map();

  private constructor(options: FilterOptions, object: LoadedObject, place: Place) {
    this.#options = options;
    this.#object = object;
    this.#place = place;
    this.#attachments = new Attachments(place.pins);
    this.#parts = filterParts(options, object, place.stateFile);
    const { chains, self, grace } = this.#parts;
    this.#tables = new MuxTables(this.#parts, {
      slotChains: (placement) => holderIndexes(placement, (key) => chains.claim(key)),
      records: filterRecords,
    });
    this.#bits = [
      new SlotBits(mapSection(object, '.data.others'), isOthers),
      new SlotBits(mapSection(object, '.data.settled'), isSettled),
    ];
    this.affinities = new AffinityProgram(object.program('affinity'), affinityBuckets(options));
    this.askKeys = new AskKeys(mapSection(object, '.data.ask_keys'), self, grace);
    const taken = new ArrayBuffer(0);
    this.peerStates = new PeerStates(
      mapSection(object, '.data.peer_states'),
      taken,
      grace,
      Limit.LIMIT_SERVERS,
    );
    this.clock = new DataplaneClock(() => this.affinities.sample(), false, mapSection(object, '.data.clock'));
    this.deadline = new Deadline(self, this.clock);
  }

  /** As MuxProgram.open(). */
  static async open(options: FilterOptions & PinnedOptions): Promise<FilterProgram> {
    const { pinDirectory, stateDirectory, netns } = options;
    const pins = new PinDirectory(pinDirectory);
    const from = findInheritance(pins);
    const opened = openFilter(options, Observer.OBSERVER_NONE);
    const inherited =
      from === undefined ? new Set<string>() : inherit(opened, from, FILTER_STATE, filterConstants(options));
    const object = loadProgram(opened);
    const stateFile = stateDirectory === undefined ? undefined : join(stateDirectory, 'traffic-filter.json');
    const filter = new FilterProgram(options, object, {
      pins,
      ...(stateFile !== undefined && { stateFile }),
      ...(netns !== undefined && { netns }),
    });
    try {
      await filter.#takeOver(from, inherited);
      return filter;
    } catch (error) {
      filter.close();
      if (!(error instanceof BtfError)) throw error;
      throw new Failure('unsupported', 'the tables of the running program cannot be carried over', {
        cause: error,
        remedy:
          'start the version before again, or detach first: clients are unanswered until this one is attached',
      });
    } finally {
      for (const map of from?.maps.values() ?? []) map.close();
    }
  }

  get origin(): Origin {
    return this.#origin;
  }

  /** Of what is known of clients: 'fresh' also where another layout or size has emptied it. */
  get flowOrigin(): Origin {
    return this.#affinityOrigin;
  }

  get self(): SelfRecord {
    return this.#parts.self;
  }

  /**
   * Becomes another incarnation, which knows no client. For a server that was removed: its deadline has passed, so that
   * nothing is answered in the meantime.
   */
  async beginIncarnation(incarnation: number): Promise<void> {
    const { self, grace } = this.#parts;
    self.incarnation = NO_INCARNATION;
    await grace.wait();
    for (const name of ['affinities', 'foreigns']) {
      const { maxEntries, valueSize } = this.#object.map(name).info;
      new Uint8Array(this.#object.map(name).mmap(), 0, maxEntries * valueSize).fill(0);
    }
    self.incarnation = incarnation;
  }

  problems(): Failure[] {
    const { problem } = this.#parts.traffic;
    return problem === undefined ? [] : [problem];
  }

  /** As MuxProgram.apply(): nobody acts on what was before once it resolves. */
  apply(desired: DesiredFilter): Promise<Applied> {
    return this.#turns.take(async () => {
      const { id } = this.#parts.self;
      for (const bits of this.#bits) bits.withdraw(desired.pools, id);
      const applied = await this.#tables.apply(desired);
      this.#ranges = new Map(this.#parts.pools.entries());
      for (const bits of this.#bits) bits.publish(desired.pools, this.#ranges, id);
      return applied;
    });
  }

  setPaths(peers: ReadonlyMap<number, BackendConfig>): Promise<number> {
    return this.#turns.take(() => this.#tables.setPaths(new Map(), peers));
  }

  /** Accepted frames are the host's own: it drops what is addressed to a group. */
  setLinkAddress(mac: string): void {
    const bytes = new Uint8Array(8);
    bytes.set(parseMac(mac));
    const [word] = new BigUint64Array(bytes.buffer);
    Atomics.store(new BigUint64Array(mapSection(this.#object, '.data.filter_link'), 0, 1), 0, word!);
  }

  /** What a client of a service with affinity is remembered by; undefined where there is no such service here. */
  nameClient(service: ServiceAddress, client: string): ClientName | undefined {
    return nameClient(this.#options.hashKey, this.#parts.services, service, client);
  }

  /** What a flow is remembered by; undefined where it is of no service with slots here. */
  nameFlow(flow: FlowTuple): FlowName | undefined {
    return nameFlow(this.#options.hashKey, this.#parts.services, flow);
  }

  /** Where the slots of pools stand. */
  get ranges(): ReadonlyMap<number, { readonly base: number; readonly count: number }> {
    return this.#ranges;
  }

  /** Empties the marks of a sweep. */
  beginSweep(): void {
    this.#heldWords().fill(0n);
  }

  /** After a sweep: slots of a pool with a client here whose current server is another one, a bit each. */
  heldSlots(poolId: number): Uint8Array | undefined {
    const range = this.#ranges.get(poolId);
    if (range === undefined) return undefined;
    const words = this.#heldWords();
    const held = new Uint8Array(Math.ceil(range.count / 8));
    for (let slot = 0; slot < range.count; slot++) {
      const place = range.base + slot;
      if ((words[Math.floor(place / 64)]! >> BigInt(place % 64)) & 1n) held[slot >> 3]! |= 1 << (slot & 7);
    }
    return held;
  }

  /** When a session began last without a record, in a tracking or in clean buckets; program's time, 0n: never. */
  unrecordedNs(poolId: number, trackEpoch: number): bigint {
    const clean = Atomics.load(new BigUint64Array(mapSection(this.#object, '.data.unrecorded'), 0, 1), 0);
    const tracked = this.#parts.chains.unrecordedNs(poolId, trackEpoch);
    if (clean > tracked) return clean;
    return tracked;
  }

  attach(options: AttachOptions): AttachedInterface {
    const { netns } = this.#place;
    return this.#attachments.attach(this.#object.program('filter'), {
      ...(netns !== undefined && { netns }),
      ...options,
    });
  }

  detach(interfaceName?: string): boolean {
    return this.#attachments.detach(interfaceName);
  }

  attachments(): AttachedInterface[] {
    return this.#attachments.list();
  }

  counters(): FilterCounters {
    const { services, traffic } = this.#parts;
    return {
      reasons: traffic.reasons(),
      flowEvents: traffic.flowEvents(),
      services: [...services.entries()].map(({ key }) => ({
        key: addressOfKey(key),
        ...traffic.services.count(nameOf(key)),
      })),
    };
  }

  limits(): Record<'services' | 'slots' | 'holders' | 'servers', { used: number; max: number }> {
    const { services, slots, chains, peers } = this.#parts;
    const used = [...this.#ranges.values()].reduce((sum, { count }) => sum + count, 0);
    return {
      services: { used: services.size, max: Limit.LIMIT_SERVICES },
      slots: { used, max: slots.capacity },
      holders: { used: chains.size, max: chains.capacity },
      servers: { used: peers.indexes().length, max: Limit.LIMIT_SERVERS - 1 },
    };
  }

  /** As MuxProgram.explain(). */
  explain(frame: Uint8Array, options: ExplainOptions = {}): PacketExplanation {
    this.#explainer ??= new Explainer(
      openFilter(this.#options, Observer.OBSERVER_EXPLAIN),
      this.#object,
      'filter',
      this.#place.netns,
    );
    const ifindex = options.ifindex ?? this.#attachments.list()[0]?.ifindex;
    const answer = this.#explainer.ask(frame, ifindex === undefined ? {} : { ifindex });
    return explanationOf(
      answer,
      (place) => this.#parts.services.at(place),
      () => undefined,
    );
  }

  /** Lets go of everything; what is pinned goes on. */
  close(): void {
    this.#explainer?.close();
    this.#attachments.close();
    this.#object.close();
  }

  #heldWords(): BigUint64Array {
    return new BigUint64Array(
      this.#object.map('held_slots').mmap(),
      0,
      Math.ceil(this.#options.slotCapacity / 64),
    );
  }

  /** Fill first, then swap, then pin, as a mux does. */
  async #takeOver(from: Inheritance | undefined, inherited: ReadonlySet<string>): Promise<void> {
    const { services, peers, traffic, grace } = this.#parts;
    let finish = (): void => {};
    if (from !== undefined) {
      await grace.wait();
      if (inherited.has('.data.services')) services.adopt();
      if (inherited.has('.data.peers')) peers.adopt();
      await this.#tables.settle();
      finish = migrateMux(from, this.#object, this.#parts, inherited);
      adoptPlaces(this.#parts);
      this.#origin = inherited.size === FILTER_STATE.length ? 'adopted' : 'migrated';
      if (inherited.has('affinities')) this.#affinityOrigin = 'adopted';
    }
    if (this.#affinityOrigin === 'fresh') this.#nextIncarnation();
    traffic.restore();
    this.#tables.adoptTraffic();
    const before = FormerCounters.find(traffic, from, inherited);
    this.#attachments.adopt(this.#object.program('filter'), this.#place.netns);
    if (this.#origin === 'migrated') await grace.wait();
    finish();
    if (before !== undefined) traffic.carryFrom(before.read(), before.id);
    before?.close();
    traffic.save();
    this.#place.pins.pinMaps(pinnable(this.#object, FILTER_STATE));
  }

  /** It knows no client; see MuxProgram. */
  #nextIncarnation(): void {
    const { self } = this.#parts;
    self.incarnation = Math.max(self.incarnation + 1, Math.floor(Date.now() / 1000));
    // Until somebody says who it is and until when, it answers nobody.
    self.deadline = 0n;
  }
}
