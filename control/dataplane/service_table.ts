// Owns the service table of the data plane (bpf/service.h): where a record stands, and the order of writes that lets
// packets be judged at any moment by either the old or the new configuration. Nothing here waits: what must wait for a
// grace period is done by settle(). Not here: what a service leads to.
//
// A record is replaced by another one at a free place. A look-up that has passed the place of the new record before it
// was there must still find the old one, so where the new one stands first, the old one is only withdrawn a grace period
// later. What is withdrawn may still be acted on: its place is free another grace period later.
import type { HashKey, Service } from './generated/layout.ts';
import { Limit, SERVICE_LAYOUT, ServiceFlag, serviceCodec } from './generated/layout.ts';
import type { GraceMark, GracePeriods } from './grace.ts';
import { filterPlace, serviceDigest, servicePlace } from './hash.ts';
import { memberOffset } from './layout_offsets.ts';

/** Identifies a record: protocol and port 0 are the entry of the address itself. */
export type ServiceKey = { words: readonly number[]; version: 4 | 6; protocol: number; port: number };

/** The fields of a record that are not its key. */
export type ServiceFields = Omit<Service, 'address' | 'port' | 'protocol' | 'reserved'>;

export type ServiceRecord = { key: ServiceKey; fields: ServiceFields };

/** Writes that go together; a grace period must pass before the next round. */
export type ServiceRound = {
  puts: (ServiceRecord & { place: number })[];
  removals: ServiceKey[];
};

type Entry = ServiceRecord & { place: number; home: number };
type Superseded = { entry: Entry; mark: GraceMark };
type Retired = { entry: Entry; mark: GraceMark };

const TABLE_MASK = Limit.LIMIT_SERVICES - 1;
const FLAGS_OFFSET = memberOffset(SERVICE_LAYOUT, 'flags');
const PORT_OFFSET = memberOffset(SERVICE_LAYOUT, 'port');
/** Of a place, not of the service that stands there. */
const PLACE_FLAGS = ServiceFlag.SERVICE_PRESENT | ServiceFlag.SERVICE_CONTINUED;
const EMPTY_RECORD = serviceCodec.read(new DataView(new ArrayBuffer(serviceCodec.sizeBytes)), 0);
const MAPPED_WORD = 0xffff_0000;

export class ServiceTableFullError extends Error {
  override readonly name = 'ServiceTableFullError';
}

/** The same for equal keys. */
export const nameOf = (key: ServiceKey): string => `${key.words.join('.')}/${key.protocol}/${key.port}`;

/** The record at `place` as it stands in memory, whoever wrote it; undefined where none is present. */
export function readRecord(records: DataView, place: number): ServiceRecord | undefined {
  const offset = place * serviceCodec.sizeBytes;
  const record = serviceCodec.read(records, offset);
  if (!(record.flags & ServiceFlag.SERVICE_PRESENT)) return undefined;
  const { address, protocol, port: _, reserved: __, ...fields } = record;
  const [first, second, third] = address.word;
  const key: ServiceKey = {
    words: address.word,
    version: first === 0 && second === 0 && third === MAPPED_WORD ? 4 : 6,
    protocol,
    port: records.getUint16(offset + PORT_OFFSET),
  };
  return { key, fields: { ...fields, flags: fields.flags & ~PLACE_FLAGS } };
}

export class ServiceTable {
  readonly #records: Uint8Array;
  readonly #filter: Uint8Array;
  readonly #key: HashKey;
  readonly #grace: GracePeriods;
  readonly #entries = new Map<string, Entry>();
  readonly #taken = new Map<number, Entry>();
  /** Present still, beside the entry of the same key that stands before them. */
  readonly #superseded = new Map<string, Superseded>();
  readonly #retired = new Map<number, Retired>();
  /** Records whose address falls on each byte of the filter. */
  readonly #filterUses = new Uint16Array(Limit.LIMIT_ADDRESS_FILTER_BYTES);

  /** `records` and `filter` are the mapped tables. */
  constructor(records: Uint8Array, filter: Uint8Array, key: HashKey, grace: GracePeriods) {
    this.#records = records;
    this.#filter = filter;
    this.#key = key;
    this.#grace = grace;
  }

  get size(): number {
    return this.#entries.size;
  }

  *entries(): Generator<ServiceRecord & { place: number }> {
    yield* this.#entries.values();
  }

  /** Whether something waits for settle(). */
  get isSettled(): boolean {
    return this.#superseded.size + this.#retired.size === 0;
  }

  /** What programs may still act on. */
  *inUse(): Generator<ServiceRecord> {
    yield* this.#taken.values();
    for (const { entry } of this.#retired.values()) yield entry;
  }

  at(place: number): ServiceRecord | undefined {
    return this.#taken.get(place);
  }

  find(key: ServiceKey): (ServiceRecord & { place: number }) | undefined {
    return this.#entries.get(nameOf(key));
  }

  /**
   * Takes over what another process has left, and repairs what it left half done. A grace period must have passed
   * since that process ended.
   */
  adopt(): void {
    const view = new DataView(this.#records.buffer, this.#records.byteOffset, this.#records.byteLength);
    for (let place = 0; place < Limit.LIMIT_SERVICES; place++) {
      const record = readRecord(view, place);
      if (record === undefined) this.#clear(place);
      else this.#adoptRecord(record, place);
    }
    for (let place = 0; place < Limit.LIMIT_SERVICES; place++) this.#storeFlags(place, this.#flagsAt(place));
    this.#filterUses.fill(0);
    for (const { key } of this.#taken.values()) this.#useFilter(key, 1);
    this.#filter.forEach((byte, at) => {
      if (byte !== 0 && this.#filterUses[at] === 0) this.#filter[at] = 0;
    });
  }

  /** Whether set() would change anything. */
  differs({ key, fields }: ServiceRecord): boolean {
    const known = this.#entries.get(nameOf(key));
    return known === undefined || !sameFields(known.fields, fields);
  }

  /**
   * Places for `wanted`, which is all that shall be, in rounds. Removals come last: what replaces a service under
   * another key is there before.
   * @throws ServiceTableFullError where a record finds no place whatever goes before; nothing has changed then.
   */
  plan(wanted: readonly ServiceRecord[]): ServiceRound[] {
    const names = new Set(wanted.map(({ key }) => nameOf(key)));
    let removals = [...this.#entries.values()]
      .filter(({ key }) => !names.has(nameOf(key)))
      .map(({ key }) => key);
    let puts = wanted.filter((record) => this.differs(record));
    // The entry of an address comes before its services and goes after them.
    puts.sort((a, b) => Number(a.key.protocol !== 0) - Number(b.key.protocol !== 0));
    removals.sort((a, b) => Number(a.protocol === 0) - Number(b.protocol === 0));

    const busy = new Set([...this.#taken.keys(), ...this.#retired.keys()]);
    /** Places that are free once so many more rounds are over. */
    let freeing = [...this.#retired.keys()].map((place) => ({ place, rounds: 1 }));
    const rounds: ServiceRound[] = [];
    /** Whose places below are no longer theirs. */
    const moved = new Set<string>();
    while (puts.length > 0 || removals.length > 0) {
      const { placed, left } = placeAll(puts, (key) => this.#home(key), busy);
      const round: ServiceRound = { puts: placed, removals: [] };
      if (left.length === 0 || (placed.length === 0 && freeing.length === 0)) {
        round.removals = removals;
        removals = [];
      }
      if (placed.length + round.removals.length + freeing.length === 0) {
        const move = this.#moveFor(left[0]!, wanted, busy, moved);
        if (move === undefined) throw this.#full();
        moved.add(nameOf(move.key));
        busy.add(move.place);
        placed.push(move);
      }
      freeing = freeing.concat(
        placed.flatMap(({ key, place }) => this.#freedBy(key, place)),
        round.removals.flatMap((key) => this.#freedBy(key)),
      );
      for (const it of freeing) if (--it.rounds === 0) busy.delete(it.place);
      freeing = freeing.filter(({ rounds }) => rounds > 0);
      puts = left;
      rounds.push(round);
    }
    return rounds;
  }

  /**
   * Adds or replaces a record and returns its place. The new one is complete before the old one goes.
   * @throws ServiceTableFullError where the record finds no place; nothing has changed then.
   */
  set(key: ServiceKey, fields: ServiceFields): number {
    const place = this.freePlace(key);
    this.put(key, fields, place);
    return place;
  }

  /** A place for a record with this key. */
  freePlace(key: ServiceKey): number {
    const place = freePlaceFrom(this.#home(key), (it) => this.#taken.has(it) || this.#retired.has(it));
    if (place === undefined) throw this.#full();
    return place;
  }

  /** set() to a place that plan() or freePlace() has found. */
  put(key: ServiceKey, fields: ServiceFields, place: number): void {
    const name = nameOf(key);
    if (this.#superseded.has(name)) throw new Error(`service ${name} changed twice within a grace period`);
    const old = this.#entries.get(name);
    const home = this.#home(key);
    const entry: Entry = { key, place, home, fields };
    this.#write(entry);
    this.#taken.set(place, entry);
    this.#markContinued(home);
    this.#useFilter(key, 1);
    this.#storeFlags(place, this.#flagsAt(place));
    this.#entries.set(name, entry);
    if (old === undefined) return;
    if (standsBefore(entry, old)) this.#superseded.set(name, { entry: old, mark: this.#grace.mark() });
    else this.#withdraw(old);
  }

  /** Removes a record; false where there is none. */
  delete(key: ServiceKey): boolean {
    const name = nameOf(key);
    const entry = this.#entries.get(name);
    if (entry === undefined) return false;
    const superseded = this.#superseded.get(name);
    this.#superseded.delete(name);
    if (superseded !== undefined) this.#withdraw(superseded.entry);
    this.#entries.delete(name);
    this.#withdraw(entry);
    return true;
  }

  /** Withdraws what was superseded, and frees what was withdrawn, as far as grace periods have passed. */
  settle(): void {
    for (const [name, { entry, mark }] of this.#superseded) {
      if (!this.#grace.passed(mark)) continue;
      this.#superseded.delete(name);
      this.#withdraw(entry);
    }
    for (const [place, { entry, mark }] of this.#retired) {
      if (!this.#grace.passed(mark)) continue;
      this.#retired.delete(place);
      this.#clear(place);
      this.#markContinued(entry.home);
    }
  }

  #adoptRecord(record: ServiceRecord, place: number): void {
    const home = this.#home(record.key);
    const entry: Entry = { ...record, place, home };
    const distance = (place - home) & TABLE_MASK;
    const other = this.#entries.get(nameOf(record.key));
    // Of two, one was about to be withdrawn: the first on the way of a look-up is the one that packets see.
    const otherDistance = other === undefined ? Number.POSITIVE_INFINITY : (other.place - home) & TABLE_MASK;
    if (distance >= Limit.LIMIT_SERVICE_PROBES || otherDistance < distance) {
      this.#retire(entry);
      return;
    }
    if (other !== undefined) {
      this.#taken.delete(other.place);
      this.#retire(other);
    }
    this.#taken.set(place, entry);
    this.#entries.set(nameOf(record.key), entry);
  }

  /** Where the record of `key` stands that goes, by one at `place` or without; and after how many rounds. */
  #freedBy(key: ServiceKey, place?: number): { place: number; rounds: number }[] {
    const old = this.#entries.get(nameOf(key));
    if (old === undefined) return [];
    const later = place !== undefined && standsBefore({ place, home: old.home }, old);
    return [{ place: old.place, rounds: later ? 2 : 1 }];
  }

  /**
   * A record that is to stay as it is, and in the way of `put`, at another place. One at a time: with a quarter of the
   * table in use a place is hardly ever two moves away.
   */
  #moveFor(
    put: ServiceRecord,
    wanted: readonly ServiceRecord[],
    busy: ReadonlySet<number>,
    moved: ReadonlySet<string>,
  ): ServiceRound['puts'][number] | undefined {
    const staying = new Set(wanted.filter((it) => !this.differs(it)).map(({ key }) => nameOf(key)));
    for (const at of placesFrom(this.#home(put.key))) {
      const entry = this.#taken.get(at);
      if (entry === undefined || !staying.has(nameOf(entry.key)) || moved.has(nameOf(entry.key))) continue;
      const place = freePlaceFrom(entry.home, (it) => busy.has(it));
      if (place !== undefined) return { key: entry.key, fields: entry.fields, place };
    }
    return undefined;
  }

  #full(): ServiceTableFullError {
    return new ServiceTableFullError(
      `no place for another service: ${this.size} of ${Limit.LIMIT_SERVICES} places are taken and the ` +
        `${Limit.LIMIT_SERVICE_PROBES} it may stand at are among them`,
    );
  }

  #home(key: ServiceKey): number {
    const digest = serviceDigest(this.#key, key.words, key.port, key.protocol, key.version);
    return servicePlace(this.#key, digest) & TABLE_MASK;
  }

  #write(entry: Entry): void {
    const { key, fields } = entry;
    const buffer = new DataView(new ArrayBuffer(serviceCodec.sizeBytes));
    const address = { word: [...key.words] };
    serviceCodec.write(buffer, 0, { ...EMPTY_RECORD, ...fields, address, protocol: key.protocol, flags: 0 });
    buffer.setUint16(PORT_OFFSET, key.port); // as on the wire
    const offset = entry.place * serviceCodec.sizeBytes;
    for (let at = 0; at < serviceCodec.sizeBytes; at++) {
      // The flags of the place tell whether later places matter, also while it is empty.
      if (at !== FLAGS_OFFSET) this.#records[offset + at] = buffer.getUint8(at);
    }
  }

  #clear(place: number): void {
    const offset = place * serviceCodec.sizeBytes;
    for (let at = 0; at < serviceCodec.sizeBytes; at++) {
      // A page of an empty table is not touched.
      if (at !== FLAGS_OFFSET && this.#records[offset + at] !== 0) this.#records[offset + at] = 0;
    }
  }

  #withdraw(entry: Entry): void {
    this.#taken.delete(entry.place);
    this.#retire(entry);
    this.#useFilter(entry.key, -1);
  }

  #retire(entry: Entry): void {
    this.#retired.set(entry.place, { entry, mark: this.#grace.mark() });
    this.#storeFlags(entry.place, this.#flagsAt(entry.place));
  }

  #useFilter(key: ServiceKey, by: 1 | -1): void {
    const at = filterPlace(key.words, key.version);
    this.#filterUses[at] = this.#filterUses[at]! + by;
    this.#filter[at] = this.#filterUses[at] === 0 ? 0 : 1;
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
    if (this.#load(place) !== flags)
      Atomics.store(this.#records, place * serviceCodec.sizeBytes + FLAGS_OFFSET, flags);
  }
}

function standsBefore(one: { place: number; home: number }, other: { place: number; home: number }): boolean {
  return ((one.place - one.home) & TABLE_MASK) < ((other.place - other.home) & TABLE_MASK);
}

function placesFrom(home: number): number[] {
  return Array.from({ length: Limit.LIMIT_SERVICE_PROBES }, (_, probe) => (home + probe) & TABLE_MASK);
}

function freePlaceFrom(home: number, isBusy: (place: number) => boolean): number | undefined {
  return placesFrom(home).find((place) => !isBusy(place));
}

/** Places what fits beside `busy`, which the places found are added to. Records make way for each other. */
function placeAll(
  puts: readonly ServiceRecord[],
  homeOf: (key: ServiceKey) => number,
  busy: Set<number>,
): { placed: ServiceRound['puts']; left: ServiceRecord[] } {
  const byPlace = new Map<number, ServiceRecord>();
  const placeOf = new Map<ServiceRecord, number>();
  const left: ServiceRecord[] = [];
  const settle = (record: ServiceRecord, place: number): void => {
    byPlace.set(place, record);
    placeOf.set(record, place);
    busy.add(place);
  };
  const free = (home: number) => freePlaceFrom(home, (it) => busy.has(it));
  for (const put of puts) {
    const place = free(homeOf(put.key)) ?? placesFrom(homeOf(put.key)).find((it) => makeWay(it));
    if (place === undefined) left.push(put);
    else settle(put, place);
  }
  return {
    placed: puts.flatMap((put) => (placeOf.has(put) ? [{ ...put, place: placeOf.get(put)! }] : [])),
    left,
  };

  function makeWay(place: number): boolean {
    const record = byPlace.get(place);
    const other = record && free(homeOf(record.key));
    if (other === undefined) return false;
    settle(record!, other);
    return true;
  }
}

/** By the fields of `wanted`. */
function sameFields(known: ServiceFields, wanted: ServiceFields): boolean {
  return Object.entries(wanted).every(([name, value]) => {
    const other = known[name as keyof ServiceFields];
    if (typeof value !== 'object') return other === value;
    return typeof other === 'object' && value.every((word, index) => word === other[index]);
  });
}
