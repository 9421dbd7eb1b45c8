// Owns a backend's program: loading it, taking over what the one before it left, which muxes it takes tunnel packets
// from, for which service addresses, and the interfaces it is attached to.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { LoadedObject, OpenObject, Program } from 'libbpf-ts';
import { BtfError, possibleCpus } from 'libbpf-ts';
import { networkOrder16 } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';
import type { AttachedInterface, AttachOptions } from './attachment.ts';
import { Attachments } from './attachment.ts';
import { GUE_PORT } from './backend_table.ts';
import type { ReasonName } from './counters.ts';
import { Counters } from './counters.ts';
import { Explainer, type ExplainOptions, explanationOf, type PacketExplanation } from './explain.ts';
import { FormerCounters } from './former_counters.ts';
import { hashKeyCodec, Observer } from './generated/layout.ts';
import { GracePeriods } from './grace.ts';
import { hashKeyFromSecret, readHashKey } from './hash.ts';
import {
  elementsOf,
  findInheritance,
  type Inheritance,
  inherit,
  pinnable,
  type StateMap,
} from './inheritance.ts';
import { MuxSources, parseSources } from './mux_sources.ts';
import { copyServices } from './mux_state.ts';
import { loadProgram, mapSection, objectPath, openProgram } from './object.ts';
import { type Origin, PinDirectory, type PinnedOptions } from './pins.ts';
import { addressKey, plainFields } from './service_record.ts';
import { nameOf, ServiceTable } from './service_table.ts';
import { Traffic } from './traffic.ts';
import { Turns } from './turns.ts';

export type DecapOptions = { guePort?: number; objectPath?: string };

export type DesiredDecap = {
  /** Prefixes (or addresses) of the muxes' tunnel sources. */
  muxSources: readonly string[];
  /** Addresses whose packets are unwrapped. */
  serviceAddresses: readonly string[];
};

export type DecapApplied = { muxSources: boolean; added: number; removed: number };

const STRUCTS = ['service', 'counters', 'mux_source', 'explanation', 'hash_key'];
const DECAP_STATE: readonly StateMap[] = [
  { name: '.data.services', dependsOn: ['hash_key'] },
  { name: '.data.mux_sources', dependsOn: [], with: ['.data.mux_source_set'] },
  { name: '.data.mux_source_set', dependsOn: [], with: ['.data.mux_sources'] },
  { name: 'counters', dependsOn: [], enumNames: ['reason'] },
];

type Place = { pins?: PinDirectory; stateFile?: string; netns?: string };

/** Grace periods that one change may need, one after the other, before something is wrong. */
const GRACE_PERIODS_MAX = 64;

export class DecapProgram {
  readonly #options: DecapOptions;
  readonly #key: Uint8Array;
  readonly #object: LoadedObject;
  readonly #place: Place;
  readonly #attachments: Attachments;
  readonly #grace = new GracePeriods();
  readonly #services: ServiceTable;
  readonly #sources: MuxSources;
  readonly #traffic: Traffic;
  readonly #turns = new Turns();
  #origin: Origin = 'fresh';
  #explainer: Explainer | undefined;

  private constructor(options: DecapOptions, object: LoadedObject, key: Uint8Array, place: Place) {
    this.#options = options;
    this.#key = key;
    this.#object = object;
    this.#place = place;
    this.#attachments = new Attachments(place.pins);
    this.#services = new ServiceTable(
      new Uint8Array(mapSection(object, '.data.services')),
      new Uint8Array(mapSection(object, '.data.address_filter')),
      readHashKey(key),
      this.#grace,
    );
    this.#sources = new MuxSources(
      mapSection(object, '.data.mux_sources'),
      mapSection(object, '.data.mux_source_set'),
      this.#grace,
    );
    const counters = object.map('counters');
    this.#traffic = new Traffic(
      new Counters(counters.mmap(), possibleCpus()),
      counters.info.id,
      place.stateFile,
    );
  }

  /** Loads without pins: what is attached ends with this process. */
  static load(options: DecapOptions = {}): DecapProgram {
    const key = newKey();
    return new DecapProgram(options, open(options, key).load(), key, {});
  }

  /** As MuxProgram.open(). */
  static async open(options: DecapOptions & PinnedOptions): Promise<DecapProgram> {
    const { pinDirectory, stateDirectory, netns } = options;
    const pins = new PinDirectory(pinDirectory);
    const from = findInheritance(pins);
    const key = keyOf(from) ?? newKey();
    const opened = open(options, key);
    const inherited =
      from === undefined ? new Set<string>() : inherit(opened, from, DECAP_STATE, { hash_key: key });
    const object = loadProgram(opened);
    const stateFile = stateDirectory === undefined ? undefined : join(stateDirectory, 'traffic-backend.json');
    const decap = new DecapProgram(options, object, key, {
      pins,
      ...(stateFile !== undefined && { stateFile }),
      ...(netns !== undefined && { netns }),
    });
    try {
      await decap.#takeOver(from, inherited);
      return decap;
    } catch (error) {
      decap.close();
      if (!(error instanceof BtfError)) throw error;
      throw new Failure('unsupported', 'the tables of the running program cannot be carried over', {
        cause: error,
        remedy: 'start the version before again, or detach first: traffic stops until this one is attached',
      });
    } finally {
      for (const map of from?.maps.values() ?? []) map.close();
    }
  }

  get origin(): Origin {
    return this.#origin;
  }

  /** What does not work though forwarding does; empty on a healthy node. */
  problems(): Failure[] {
    const { problem } = this.#traffic;
    return problem === undefined ? [] : [problem];
  }

  get program(): Program {
    return this.#object.program('decap');
  }

  /** Brings the tables to `desired`; every packet is judged by the state before or by this one. */
  apply(desired: DesiredDecap): Promise<DecapApplied> {
    return this.#turns.take(async () => {
      parseSources(desired.muxSources);
      const muxSources = await this.#sources.apply(desired.muxSources);
      return { muxSources, ...(await this.#setAddresses(desired.serviceAddresses)) };
    });
  }

  attach(options: AttachOptions): AttachedInterface {
    const { netns } = this.#place;
    return this.#attachments.attach(this.program, { ...(netns !== undefined && { netns }), ...options });
  }

  /** Takes the program off an interface, or off all. False where it was on none. */
  detach(interfaceName?: string): boolean {
    return this.#attachments.detach(interfaceName);
  }

  attachments(): AttachedInterface[] {
    return this.#attachments.list();
  }

  /** Pins what load() has left unpinned. */
  pin(directory: string): void {
    const pins = new PinDirectory(directory);
    this.#place.pins = pins;
    this.#attachments.pin(pins);
    pins.pinMaps(pinnable(this.#object, DECAP_STATE));
  }

  /** Has no tables found by the next open(). For a node that is no backend any more. */
  unpinTables(): void {
    this.#place.pins?.removeMaps();
  }

  counters(): { reasons: Record<ReasonName, bigint> } {
    return { reasons: this.#traffic.reasons() };
  }

  /** As MuxProgram.explain(). */
  explain(frame: Uint8Array, options: ExplainOptions = {}): PacketExplanation {
    this.#explainer ??= new Explainer(
      open(this.#options, this.#key, Observer.OBSERVER_EXPLAIN),
      this.#object,
      'decap',
      this.#place.netns,
    );
    const ifindex = options.ifindex ?? this.#attachments.list()[0]?.ifindex;
    const answer = this.#explainer.ask(frame, ifindex === undefined ? {} : { ifindex });
    return explanationOf(
      answer,
      (place) => this.#services.at(place),
      () => undefined,
    );
  }

  close(): void {
    this.#explainer?.close();
    this.#attachments.close();
    this.#object.close();
  }

  async #setAddresses(addresses: readonly string[]): Promise<{ added: number; removed: number }> {
    const wanted = [...new Map(addresses.map(addressKey).map((key) => [nameOf(key), key])).values()];
    let added = 0;
    let removed = 0;
    await this.#settle();
    for (const round of this.#services.plan(wanted.map((key) => ({ key, fields: plainFields() })))) {
      for (const { key, fields, place } of round.puts) this.#services.put(key, fields, place);
      for (const key of round.removals) this.#services.delete(key);
      added += round.puts.length;
      removed += round.removals.length;
      await this.#settle();
    }
    return { added, removed };
  }

  async #settle(): Promise<void> {
    this.#services.settle();
    for (let periods = 0; !this.#services.isSettled; periods++) {
      if (periods > GRACE_PERIODS_MAX) throw new Error('the service table does not come to rest');
      await this.#grace.wait();
      this.#services.settle();
    }
  }

  /** Fill first, then swap, then pin: until the swap the old program goes on with its own. */
  async #takeOver(from: Inheritance | undefined, inherited: ReadonlySet<string>): Promise<void> {
    if (from !== undefined) {
      await this.#grace.wait();
      if (inherited.has('.data.services')) this.#services.adopt();
      await this.#settle();
      this.#migrate(from, inherited);
      this.#origin = inherited.size === DECAP_STATE.length ? 'adopted' : 'migrated';
    }
    this.#traffic.restore();
    const before = FormerCounters.find(this.#traffic, from, inherited);
    this.#attachments.adopt(this.program, this.#place.netns);
    if (before !== undefined) {
      await this.#grace.wait();
      this.#traffic.carryFrom(before.read(), before.id);
      before.close();
    }
    this.#traffic.save();
    this.#place.pins!.pinMaps(pinnable(this.#object, DECAP_STATE));
  }

  #migrate(from: Inheritance, inherited: ReadonlySet<string>): void {
    const services = from.maps.get('.data.services');
    if (services !== undefined && !inherited.has('.data.services'))
      copyServices(services, this.#object.map('.data.services'), this.#services);
    const sources = from.maps.get('.data.mux_sources');
    const set = from.maps.get('.data.mux_source_set');
    if (sources === undefined || set === undefined || inherited.has('.data.mux_sources')) return;
    const elements = elementsOf(sources, this.#object.map('.data.mux_sources'));
    this.#sources.migrate(new Uint32Array(set.mmap(), 0, 1)[0]!, elements.read, elements.count / 2);
  }
}

/** Nobody else has to agree with this table, so the key is this program's own. */
function newKey(): Uint8Array {
  return hashKeyFromSecret(randomBytes(32));
}

function keyOf(from: Inheritance | undefined): Uint8Array | undefined {
  const key = from?.constants.get('hash_key');
  return key?.byteLength === hashKeyCodec.sizeBytes ? key : undefined;
}

function open(
  options: DecapOptions,
  key: Uint8Array,
  observer: Observer = Observer.OBSERVER_NONE,
): OpenObject {
  const opened = openProgram(options.objectPath ?? objectPath('decap'), STRUCTS);
  opened.setConstants({
    hash_key: key,
    gue_port: networkOrder16(options.guePort ?? GUE_PORT),
    observer,
  });
  opened.maps.get('counters')?.setMaxEntries(possibleCpus());
  return opened;
}
