// Owns a mux's program: loading it, taking over what the one before it left, its tables, counters, captures and the
// interfaces it is attached to. Not here: which backend a slot has (control/pool) and how a backend is reached
// (control/route).
import { join } from 'node:path';
import type { BpfMap, LoadedObject, Program } from 'libbpf-ts';
import { BtfError } from 'libbpf-ts';
import { Failure } from '../lib/failure.ts';
import { AskKeys } from './ask_keys.ts';
import type { AttachedInterface, AttachOptions } from './attachment.ts';
import { Attachments } from './attachment.ts';
import type { BackendConfig } from './backend_table.ts';
import type { CaptureFilter, CaptureRecord } from './capture.ts';
import { CaptureReader, writeCaptureFilter } from './capture.ts';
import { DataplaneClock, Deadline } from './clock.ts';
import type { FlowEventName, ReasonName, TrafficCount } from './counters.ts';
import type { DesiredMux, FlowKeyOptions, ServiceAddress } from './desired.ts';
import { Explainer, type ExplainOptions, explanationOf, type PacketExplanation } from './explain.ts';
import { FlowProgram } from './flow_program.ts';
import { emptyFlows } from './flow_reset.ts';
import type { FlowTable } from './flow_table.ts';
import { type ClientName, type FlowName, type FlowTuple, nameClient, nameFlow } from './flow_tuple.ts';
import { FormerCounters } from './former_counters.ts';
import { Limit, Observer } from './generated/layout.ts';
import { findInheritance, type Inheritance, inherit, inheritable, pinnable } from './inheritance.ts';
import { constantsOf, flowTableOf, type MuxOptions, openMux, sharing, tablesOf } from './mux_object.ts';
import { adoptPlaces, MUX_STATE, migrateMux } from './mux_state.ts';
import { type Applied, type MuxTables, muxTables, ownerOf } from './mux_tables.ts';
import { loadProgram, mapSection } from './object.ts';
import { PeerStates } from './peer_states.ts';
import { type Origin, PinDirectory, type PinnedOptions } from './pins.ts';
import { NO_INCARNATION, type SelfRecord } from './self.ts';
import {
  addressKey,
  addressOfKey,
  isSameAddress,
  plainFields,
  serviceFields,
  serviceKey,
} from './service_record.ts';
import { nameOf } from './service_table.ts';
import { Turns } from './turns.ts';

export type { MuxOptions, TunnelSource } from './mux_object.ts';

/** A service with slots that the caller looks after; apply() looks after them itself. */
export type ServiceConfig = ServiceAddress &
  FlowKeyOptions & {
    /** First slot and number of slots of the pool; absent on an address that balances nothing by itself. */
    slotBase?: number;
    slotCount?: number;
    pool?: number;
  };

export type MuxCounters = {
  reasons: Record<ReasonName, bigint>;
  flowEvents: Record<FlowEventName, bigint>;
  services: (TrafficCount & { key: ServiceAddress })[];
  backends: (TrafficCount & { index: number })[];
};

/** Another mux, as its program last answered. */
export type MuxHeard = {
  id: number;
  /** Absent: it never has. */
  heardAgoMs?: number;
  version: number;
  isPastDeadline: boolean;
};

type Place = { pins?: PinDirectory; stateFile?: string; netns?: string };

export class MuxProgram {
  readonly #options: MuxOptions;
  readonly #object: LoadedObject;
  readonly #place: Place;
  readonly #attachments: Attachments;
  readonly #parts: ReturnType<typeof tablesOf>;
  readonly #tables: MuxTables;
  readonly #turns = new Turns();
  readonly #askKeys: AskKeys;
  readonly #peerStates: PeerStates;
  readonly #flows: FlowTable;
  readonly #clock: DataplaneClock;
  readonly #deadline: Deadline;
  #origin: Origin = 'fresh';
  #flowOrigin: Origin = 'fresh';
  #explainer: Explainer | undefined;
  #capturing: { object: LoadedObject; reader: CaptureReader } | undefined;

  private constructor(options: MuxOptions, object: LoadedObject, place: Place) {
    this.#options = options;
    this.#object = object;
    this.#place = place;
    this.#attachments = new Attachments(place.pins);
    this.#parts = tablesOf(options, object, place.stateFile);
    this.#tables = muxTables(this.#parts);
    const { self, grace } = this.#parts;
    this.#askKeys = new AskKeys(mapSection(object, '.data.ask_keys'), self, grace);
    this.#peerStates = new PeerStates(
      mapSection(object, '.data.peer_states'),
      mapSection(object, '.data.copies_taken'),
      grace,
    );
    this.#flows = flowTableOf(options, object, this.#parts);
    const program = new FlowProgram(object.program('flows'));
    const { drivenTime = false } = options;
    this.#clock = new DataplaneClock(
      () => program.sample(),
      drivenTime,
      drivenTime ? undefined : mapSection(object, '.data.clock'),
    );
    this.#deadline = new Deadline(self, this.#clock);
  }

  /**
   * Loads without pins: what is attached ends with this process.
   * @throws BpfError with the verifier's log where the kernel refuses the program.
   */
  static load(options: MuxOptions): MuxProgram {
    const observer = options.capture ? Observer.OBSERVER_CAPTURE : Observer.OBSERVER_NONE;
    return MuxProgram.begin(options, openMux(options, observer).load());
  }

  /** On an object that was loaded with these options and has empty tables. */
  static begin(options: MuxOptions, object: LoadedObject): MuxProgram {
    const mux = new MuxProgram(options, object, {});
    mux.#nextIncarnation();
    return mux;
  }

  /**
   * Loads, takes over what is pinned, and puts this program in the place of the one that is attached, without a packet
   * lost. Where nothing is pinned the tables are empty and nothing is attached.
   * @throws Failure where what runs cannot be taken over: it then runs on as it is.
   */
  static async open(options: MuxOptions & PinnedOptions): Promise<MuxProgram> {
    const { pinDirectory, stateDirectory, netns } = options;
    const pins = new PinDirectory(pinDirectory);
    const from = findInheritance(pins);
    const opened = openMux(options, Observer.OBSERVER_NONE);
    const inherited =
      from === undefined ? new Set<string>() : inherit(opened, from, MUX_STATE, constantsOf(options));
    const object = loadProgram(opened);
    const stateFile = stateDirectory === undefined ? undefined : join(stateDirectory, 'traffic-mux.json');
    const mux = new MuxProgram(options, object, {
      pins,
      ...(stateFile !== undefined && { stateFile }),
      ...(netns !== undefined && { netns }),
    });
    try {
      await mux.#takeOver(from, inherited);
      return mux;
    } catch (error) {
      mux.#attachments.close();
      object.close();
      if (!(error instanceof BtfError)) throw error;
      throw new Failure('unsupported', 'the tables of the running program cannot be carried over', {
        cause: error,
        remedy: 'start the version before again, or detach first: traffic stops until this one is attached',
      });
    } finally {
      for (const map of from?.maps.values() ?? []) map.close();
    }
  }

  /**
   * Whether open() would begin with empty tables of flows, though those that are pinned may have some: of another layout,
   * another size or another hash key. A mux that owns chains hands them over before.
   */
  static wouldLoseFlows(options: MuxOptions & PinnedOptions): boolean {
    const from = findInheritance(new PinDirectory(options.pinDirectory));
    if (from === undefined) return false;
    const opened = openMux(options, Observer.OBSERVER_NONE);
    try {
      const fits = inheritable(opened, from, MUX_STATE, constantsOf(options));
      return from.maps.has('flow_table') && !fits.has('flow_table');
    } finally {
      opened.close();
      for (const map of from.maps.values()) map.close();
    }
  }

  get origin(): Origin {
    return this.#origin;
  }

  /** Of the tables of flows: 'fresh' also where another layout or size has emptied them; `self.incarnation` is new then. */
  get flowOrigin(): Origin {
    return this.#flowOrigin;
  }

  /** Who this mux is in its cluster, and until when it may decide. */
  get self(): SelfRecord {
    return this.#parts.self;
  }

  get askKeys(): AskKeys {
    return this.#askKeys;
  }

  get peerStates(): PeerStates {
    return this.#peerStates;
  }

  /** What a client of a service with affinity is remembered by; undefined where there is no such service here. */
  nameClient(service: ServiceAddress, client: string): ClientName | undefined {
    return nameClient(this.#options.hashKey, this.#parts.services, service, client);
  }

  /** What a flow is remembered by, and where; undefined where it is of no service with slots. */
  nameFlow(flow: FlowTuple): FlowName | undefined {
    return nameFlow(this.#options.hashKey, this.#parts.services, flow);
  }

  /** Until when this mux may decide; the clock must be ready where it is not for ever. */
  get deadline(): Deadline {
    return this.#deadline;
  }

  get clock(): DataplaneClock {
    return this.#clock;
  }

  /** Flows of tracked slots that this mux keeps, and messages to other muxes. */
  get flows(): FlowTable {
    return this.#flows;
  }

  /**
   * Becomes another incarnation with empty tables of flows. For a mux that was removed from its cluster: its deadline
   * has passed, so that nothing is decided in the meantime.
   */
  async beginIncarnation(incarnation: number): Promise<void> {
    const { self, grace } = this.#parts;
    // Whoever finds it so, after a process that died here, does not know what the tables have.
    self.incarnation = NO_INCARNATION;
    await grace.wait();
    await emptyFlows(this.#object);
    self.incarnation = incarnation;
  }

  /** When a packet of a tracking period was last answered without a record, in the program's time; 0n: never. */
  unrecordedNs(poolId: number, trackEpoch: number): bigint {
    return this.#parts.chains.unrecordedNs(poolId, trackEpoch);
  }

  /** What does not work though forwarding does; empty on a healthy node. */
  problems(): Failure[] {
    const { problem } = this.#parts.traffic;
    return problem === undefined ? [] : [problem];
  }

  get program(): Program {
    return this.#object.program('mux');
  }

  /** With `drivenTime`: the one word that the program takes for the time, in nanoseconds. Maps it anew each time. */
  mapClock(): BigUint64Array {
    return new BigUint64Array(mapSection(this.#object, '.data.clock'), 0, 1);
  }

  /** The slots of all pools, for reading. */
  get slotMap(): BpfMap {
    return this.#object.map('slots');
  }

  /**
   * Brings the tables to `desired`, without a packet lost or sent wrongly. The same again writes nothing.
   * @throws Failure before anything is written where it cannot be done.
   */
  apply(desired: DesiredMux): Promise<Applied> {
    return this.#turns.take(() => this.#tables.apply(desired));
  }

  /** New ways to backends and peers that are in the tables, without waiting for an apply; others are left alone. */
  setPaths(
    backends: ReadonlyMap<number, BackendConfig>,
    peers: ReadonlyMap<number, BackendConfig> = new Map(),
  ): Promise<number> {
    return this.#turns.take(() => this.#tables.setPaths(backends, peers));
  }

  /** Attaches and, after open(), pins. An interface that is attached already stays as it is. */
  attach(options: AttachOptions): AttachedInterface {
    const { netns } = this.#place;
    const program = this.#capturing?.object.program('mux') ?? this.program;
    return this.#attachments.attach(program, { ...(netns !== undefined && { netns }), ...options });
  }

  /** Takes the program off an interface, or off all. False where it was on none. */
  detach(interfaceName?: string): boolean {
    return this.#attachments.detach(interfaceName);
  }

  /** Pins what load() has left unpinned. */
  pin(directory: string): void {
    const pins = new PinDirectory(directory);
    this.#place.pins = pins;
    this.#attachments.pin(pins);
    pins.pinMaps(pinnable(this.#object, MUX_STATE));
  }

  /** Has no tables found by the next open(). For a node that is no mux any more. */
  unpinTables(): void {
    this.#place.pins?.removeMaps();
  }

  get isAttached(): boolean {
    return !this.#attachments.isEmpty;
  }

  attachments(): AttachedInterface[] {
    return this.#attachments.list();
  }

  /** Adds or replaces a service. Its address is answered for (echo, errors) from its first service on. */
  setService(config: ServiceConfig): Promise<void> {
    return this.#turns.take(async () => {
      const { services, slots } = this.#parts;
      const record = recordOf(config, slots.capacity);
      const address = addressKey(config.address);
      if (record.key.protocol !== 0 && services.find(address) === undefined)
        await this.#tables.setService({ key: address, fields: plainFields() });
      await this.#tables.setService(record);
    });
  }

  /** Removes a service, and its address with the last one of it. False where there is none. */
  removeService(service: ServiceAddress): Promise<boolean> {
    return this.#turns.take(async () => {
      const { services } = this.#parts;
      const key = serviceKey(service);
      if (services.find(key) === undefined) return false;
      const others = [...services.entries()].filter(
        (it) => isSameAddress(it.key, key) && nameOf(it.key) !== nameOf(key),
      );
      const [only] = others;
      const isLast = others.length === 1 && only!.key.protocol === 0 && only!.fields.slot_count === 0;
      await this.#tables.removeServices(isLast ? [key, only!.key] : [key]);
      return true;
    });
  }

  /** Writes backend `index` (1-4095); undefined removes it. */
  setBackend(index: number, config: BackendConfig | undefined): Promise<void> {
    return this.#turns.take(async () => {
      if (config === undefined) this.#tables.removeBackend(index);
      else await this.#tables.setBackends(new Map([[index, config]]));
    });
  }

  /** Installs a whole table of clean slots (current = base) from slot `base` on. */
  setSlots(base: number, backends: Uint16Array): void {
    this.#parts.slots.write(base, { current: backends, base: backends });
  }

  /** Routes connection IDs with `serverId` in services of `pool` to a backend; undefined removes. */
  setServerId(pool: number, serverId: number, backend: number | undefined): void {
    this.#parts.serverIds.set({ poolId: pool, serverId, backend });
  }

  counters(): MuxCounters {
    const { services, backends, traffic } = this.#parts;
    return {
      reasons: traffic.reasons(),
      flowEvents: traffic.flowEvents(),
      services: [...services.entries()].map(({ key }) => ({
        key: addressOfKey(key),
        ...traffic.services.count(nameOf(key)),
      })),
      backends: backends.indexes().map((index) => ({
        index,
        ...traffic.backends.count(ownerOf(index, backends.generation(index))),
      })),
    };
  }

  /** What the program has heard of the others. */
  muxesHeard(): MuxHeard[] {
    const { peers, self } = this.#parts;
    const others = peers.indexes().filter((id) => id !== self.id);
    if (others.length === 0) return [];
    const nowNs = this.#clock.nowNs();
    return others.map((id) => {
      const { heardNs, version, isPastDeadline } = this.#peerStates.state(id);
      const agoMs = heardNs === 0n ? undefined : Math.max(0, Number(nowNs - heardNs) / 1e6);
      return { id, version, isPastDeadline, ...(agoMs !== undefined && { heardAgoMs: agoMs }) };
    });
  }

  /** How full the tables are. */
  limits(): Record<
    'services' | 'backends' | 'slots' | 'serverIds' | 'chains' | 'muxes' | 'flows',
    { used: number; max: number }
  > {
    const { services, backends, serverIds, slots, chains, peers } = this.#parts;
    const balancing = [...services.inUse()].filter(({ fields }) => fields.slot_count > 0);
    const ranges = new Map(balancing.map(({ fields }) => [fields.slot_base, fields.slot_count]));
    const used = [...ranges.values()].reduce((sum, count) => sum + count, 0);
    return {
      services: { used: services.size, max: Limit.LIMIT_SERVICES },
      backends: { used: backends.indexes().length, max: Limit.LIMIT_BACKENDS - 1 },
      slots: { used, max: slots.capacity },
      serverIds: { used: [...serverIds.entries()].length, max: serverIds.capacity },
      chains: { used: chains.size, max: chains.capacity },
      flows: this.#flows.fill,
      muxes: { used: peers.indexes().length, max: Limit.LIMIT_MUXES - 1 },
    };
  }

  /** Replaces the attached program by one that copies what matches; forwarding goes on without a gap. */
  startCapture(filter: CaptureFilter): void {
    writeCaptureFilter(mapSection(this.#object, '.data.capture_filter'), filter);
    if (this.#capturing !== undefined) return;
    const object = sharing(openMux(this.#options, Observer.OBSERVER_CAPTURE), this.#object).load();
    this.#capturing = { object, reader: new CaptureReader(this.#object.map('captures')) };
    this.#attachments.replace(object.program('mux'));
  }

  /** The program that copies, for test runs; undefined while nobody captures. */
  get capturingProgram(): Program | undefined {
    return this.#capturing?.object.program('mux');
  }

  drainCapture(): CaptureRecord[] {
    if (this.#capturing === undefined && this.#options.capture) {
      this.#capturing = { object: this.#object, reader: new CaptureReader(this.#object.map('captures')) };
    }
    return this.#capturing?.reader.drain() ?? [];
  }

  stopCapture(): void {
    if (this.#capturing === undefined) return;
    const { object, reader } = this.#capturing;
    this.#capturing = undefined;
    try {
      this.#attachments.replace(this.program);
    } finally {
      reader.close();
      if (object !== this.#object) object.close();
    }
  }

  /**
   * What the program does with a frame, and why. Asks the program itself, as if the frame had come in by an interface:
   * the first one attached unless another is given. No counter and no table changes.
   */
  explain(frame: Uint8Array, options: ExplainOptions = {}): PacketExplanation {
    const { services, backends } = this.#parts;
    this.#explainer ??= new Explainer(
      openMux(this.#options, Observer.OBSERVER_EXPLAIN),
      this.#object,
      'mux',
      this.#place.netns,
    );
    const ifindex = options.ifindex ?? this.#attachments.list()[0]?.ifindex;
    const answer = this.#explainer.ask(frame, ifindex === undefined ? {} : { ifindex });
    return explanationOf(
      answer,
      (place) => services.at(place),
      (index) => backends.get(index),
    );
  }

  /** Lets go of everything. What is pinned goes on; what is not is detached. */
  close(): void {
    this.stopCapture();
    this.#explainer?.close();
    this.#attachments.close();
    this.#object.close();
  }

  /** Fill first, then swap, then pin: until the swap the old program goes on with its own. */
  async #takeOver(from: Inheritance | undefined, inherited: ReadonlySet<string>): Promise<void> {
    const { services, backends, peers, traffic, grace } = this.#parts;
    let finish = (): void => {};
    if (from !== undefined) {
      // What the process before was about to write, packets may still be acting on.
      await grace.wait();
      if (inherited.has('.data.services')) services.adopt();
      if (inherited.has('.data.backends')) backends.adopt();
      if (inherited.has('.data.peers')) peers.adopt();
      await this.#tables.settle();
      finish = migrateMux(from, this.#object, this.#parts, inherited);
      adoptPlaces(this.#parts);
      this.#origin = inherited.size === MUX_STATE.length ? 'adopted' : 'migrated';
      if (inherited.has('flow_table')) this.#flowOrigin = 'adopted';
    }
    if (this.#flowOrigin === 'fresh') this.#nextIncarnation();
    traffic.restore();
    this.#tables.adoptTraffic();
    const before = FormerCounters.find(traffic, from, inherited);
    this.#attachments.adopt(this.program, this.#place.netns);
    if (this.#origin === 'migrated') await grace.wait();
    finish();
    if (before !== undefined) traffic.carryFrom(before.read(), before.id);
    before?.close();
    traffic.save();
    this.#place.pins!.pinMaps(pinnable(this.#object, MUX_STATE));
  }

  /**
   * The tables of flows are empty: what was asked of the mux before is not for this one. Incarnations grow, and where the
   * one before is not known the time tells a later one; what the cluster remembers has the last word (beginIncarnation).
   */
  #nextIncarnation(): void {
    const { self } = this.#parts;
    const seconds = Math.floor(Date.now() / 1000);
    self.incarnation = this.#options.incarnation ?? Math.max(self.incarnation + 1, seconds);
  }
}

function recordOf(config: ServiceConfig, capacity: number) {
  const { address, port, protocol, slotBase: base = 0, slotCount: count, pool = 0 } = config;
  const key = serviceKey(config);
  if (count === undefined) {
    if (protocol !== undefined) throw new TypeError(`service ${address} port ${port} has no slots`);
    return { key, fields: plainFields() };
  }
  if (count < 1 || base < 0 || base + count > capacity)
    throw new RangeError(`the slots of service ${address} are beyond the ${capacity} there are`);
  return { key, fields: serviceFields(config, pool, { base, count }) };
}
