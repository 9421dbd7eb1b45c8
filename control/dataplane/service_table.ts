// Owns the service table of the data plane (bpf/service.h): where a record stands, and the order of writes that lets
// packets be judged at any moment by either the old or the new configuration.
import type { HashKey, Service } from './generated/layout.ts';
import { Limit, ServiceFlag, serviceCodec } from './generated/layout.ts';
import { filterPlace, serviceDigest, servicePlace } from './hash.ts';

/** Identifies a record: protocol and port 0 are the entry of the address itself. */
export type ServiceKey = { words: readonly number[]; version: 4 | 6; protocol: number; port: number };

/** The fields of a record that are not its key. */
export type ServiceFields = Omit<Service, 'address' | 'port' | 'protocol' | 'reserved'>;

type Entry = { key: ServiceKey; place: number; home: number; fields: ServiceFields };

const TABLE_MASK = Limit.LIMIT_SERVICES - 1;
const FLAGS_OFFSET = 35;
const RESERVED = new Uint8Array(14);

export class ServiceTableFullError extends Error {
  override readonly name = 'ServiceTableFullError';
}

/** The same for equal keys. */
export const nameOf = (key: ServiceKey): string => `${key.words.join('.')}/${key.protocol}/${key.port}`;

export class ServiceTable {
  readonly #records: Uint8Array;
  readonly #filter: Uint8Array;
  readonly #key: HashKey;
  readonly #grace: () => void;
  readonly #entries = new Map<string, Entry>();
  readonly #taken = new Map<number, Entry>();

  /**
   * `records` and `filter` are the mapped tables; `grace` returns once every program that began before it has ended.
   */
  constructor(records: Uint8Array, filter: Uint8Array, key: HashKey, grace: () => void) {
    this.#records = records;
    this.#filter = filter;
    this.#key = key;
    this.#grace = grace;
  }

  get size(): number {
    return this.#entries.size;
  }

  *entries(): Generator<{ key: ServiceKey; place: number; fields: ServiceFields }> {
    yield* this.#entries.values();
  }

  find(key: ServiceKey): ServiceFields | undefined {
    return this.#entries.get(nameOf(key))?.fields;
  }

  /**
   * Adds or replaces a record and returns its place. The new one is complete before the old one goes.
   * @throws ServiceTableFullError where the record finds no place; nothing has changed then.
   */
  set(key: ServiceKey, fields: ServiceFields): number {
    const old = this.#entries.get(nameOf(key));
    const home = this.#home(key);
    const place = this.#freePlace(home);
    const entry: Entry = { key, place, home, fields };

    this.#write(entry);
    this.#taken.set(place, entry);
    this.#markContinued(home);
    this.#filter[filterPlace(key.words, key.version)] = 1;
    this.#storeFlags(place, this.#flagsAt(place));
    this.#entries.set(nameOf(key), entry);
    if (old !== undefined) this.#withdraw(old);
    return place;
  }

  /** Removes a record; false where there is none. */
  delete(key: ServiceKey): boolean {
    const entry = this.#entries.get(nameOf(key));
    if (entry === undefined) return false;
    this.#entries.delete(nameOf(key));
    this.#withdraw(entry);
    const filter = filterPlace(key.words, key.version);
    const shared = [...this.#entries.values()].some(
      (it) => filterPlace(it.key.words, it.key.version) === filter,
    );
    if (!shared) this.#filter[filter] = 0;
    return true;
  }

  #home(key: ServiceKey): number {
    const digest = serviceDigest(this.#key, key.words, key.port, key.protocol, key.version);
    return servicePlace(this.#key, digest) & TABLE_MASK;
  }

  #freePlace(home: number): number {
    for (let probe = 0; probe < Limit.LIMIT_SERVICE_PROBES; probe++) {
      const place = (home + probe) & TABLE_MASK;
      if (!this.#taken.has(place)) return place;
    }
    throw new ServiceTableFullError(
      `no place for another service: ${this.size} of ${Limit.LIMIT_SERVICES} places are taken and the ` +
        `${Limit.LIMIT_SERVICE_PROBES} it may stand at are among them`,
    );
  }

  #write(entry: Entry): void {
    const { key, fields } = entry;
    const record = {
      ...fields,
      address: { word: [...key.words] },
      port: 0,
      protocol: key.protocol,
      reserved: RESERVED,
    };
    const buffer = new DataView(new ArrayBuffer(serviceCodec.sizeBytes));
    serviceCodec.write(buffer, 0, { ...record, flags: 0 });
    buffer.setUint16(32, key.port); // as on the wire
    const offset = entry.place * serviceCodec.sizeBytes;
    for (let at = 0; at < serviceCodec.sizeBytes; at++) {
      // The flags of the place tell whether later places matter, also while it is empty.
      if (at !== FLAGS_OFFSET) this.#records[offset + at] = buffer.getUint8(at);
    }
  }

  #withdraw(entry: Entry): void {
    this.#taken.delete(entry.place);
    this.#storeFlags(entry.place, this.#flagsAt(entry.place));
    this.#grace();
    const offset = entry.place * serviceCodec.sizeBytes;
    for (let at = 0; at < serviceCodec.sizeBytes; at++)
      if (at !== FLAGS_OFFSET) this.#records[offset + at] = 0;
    this.#markContinued(entry.home);
  }

  /** Renews the flags of the places that records of `home` pass by. */
  #markContinued(home: number): void {
    for (let probe = 0; probe < Limit.LIMIT_SERVICE_PROBES; probe++) {
      const place = (home + probe) & TABLE_MASK;
      const present = this.#load(place) & ServiceFlag.SERVICE_PRESENT;
      this.#storeFlags(place, (this.#flagsAt(place) & ~ServiceFlag.SERVICE_PRESENT) | present);
    }
  }

  #flagsAt(place: number): number {
    const entry = this.#taken.get(place);
    const own = entry === undefined ? 0 : entry.fields.flags | ServiceFlag.SERVICE_PRESENT;
    return own | (this.#isPassed(place) ? ServiceFlag.SERVICE_CONTINUED : 0);
  }

  /** Whether a record whose home is here or before stands after `place`. */
  #isPassed(place: number): boolean {
    for (let ahead = 1; ahead < Limit.LIMIT_SERVICE_PROBES; ahead++) {
      const entry = this.#taken.get((place + ahead) & TABLE_MASK);
      if (entry === undefined) continue;
      const distance = (entry.place - entry.home) & TABLE_MASK;
      if (distance >= ahead) return true;
    }
    return false;
  }

  #load(place: number): number {
    return Atomics.load(this.#records, place * serviceCodec.sizeBytes + FLAGS_OFFSET);
  }

  #storeFlags(place: number, flags: number): void {
    Atomics.store(this.#records, place * serviceCodec.sizeBytes + FLAGS_OFFSET, flags);
  }
}
