// Owns the tables of the data plane that say how backends and other muxes (peers) are reached: records, and the order of
// writes in which no packet sees half of one.
// Nothing here waits: a change that needs a grace period says so and goes on when it is asked for again.
import type { AddressBytes, IpVersion } from '../lib/address.ts';
import {
  addressOfWords,
  formatAddress,
  networkOrder16,
  parseAddress,
  parseMac,
  versionOf,
  wordsOf,
} from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';
import type { Backend } from './generated/layout.ts';
import {
  askHeaderCodec,
  BACKEND_LAYOUT,
  BackendFlag,
  backendCodec,
  EncapKind,
  Limit,
  queryHeaderCodec,
} from './generated/layout.ts';
import type { GraceMark, GracePeriods } from './grace.ts';
import { memberOffset } from './layout_offsets.ts';

/** How to reach the next hop of a backend. */
export type NextHop = {
  /** Egress interface; 0: back out of the interface that the packet came in by. */
  ifindex: number;
  destinationMac: string;
  sourceMac: string;
  /** 802.1Q tag control information; absent: untagged. */
  vlanTci?: number;
};

/** What a node knows of the way to an address. */
export type Path = {
  /** Absent while the way is not known: then the program asks the kernel's FIB. */
  readonly nextHop?: NextHop;
  /** Of the path as far as this node knows it; absent where there is no route. */
  readonly mtuBytes?: number;
};

export type BackendConfig = {
  address: string;
  encap: 'ip' | 'gue';
  /** UDP port of GUE; 6080 (IANA) unless given. */
  guePort?: number;
  /** Largest outer IP packet on the path to the backend, bytes. */
  mtuBytes: number;
  /** Changes when a dead backend returns, so that what was remembered of it does not point at it. */
  generation?: number;
  /** Absent: the kernel's FIB is asked for every packet. */
  nextHop?: NextHop;
};

/** What differs between the table of backends and that of peers. */
export type TableShape = {
  readonly what: 'backend' | 'peer';
  readonly count: number;
  /** Bytes between the outer IP header and the inner packet. */
  readonly overheadBytes: Readonly<Record<BackendConfig['encap'], number>>;
  /** Of a record that was deleted. */
  readonly goneFlags: number;
};

export type TunnelAddresses = { source4: AddressBytes | undefined; source6: AddressBytes | undefined };

export const GUE_PORT = 6080;
/** Of an inner packet that every path must carry (RFC 791 section 3.1). */
export const INNER_MTU_MIN = 68;
const UDP_BYTES = 8;
export const BACKEND_OVERHEAD_BYTES = { ip: 0, gue: UDP_BYTES } as const;
/** Asks go to peers in UDP, as GUE does, with a header of their own. */
export const PEER_OVERHEAD_BYTES = UDP_BYTES + askHeaderCodec.sizeBytes;

const { BACKEND_PRESENT, BACKEND_NEXT_HOP, BACKEND_VLAN, PEER_GONE } = BackendFlag;

export const BACKENDS: TableShape = {
  what: 'backend',
  count: Limit.LIMIT_BACKENDS,
  overheadBytes: BACKEND_OVERHEAD_BYTES,
  goneFlags: 0,
};
/** Records are those of backends; an index is the id of a mux. Who is gone may have packets to relay. */
export const PEERS: TableShape = {
  what: 'peer',
  count: Limit.LIMIT_MUXES,
  overheadBytes: { ip: PEER_OVERHEAD_BYTES, gue: PEER_OVERHEAD_BYTES },
  goneFlags: PEER_GONE,
};
/** Of a filter, by the ids of servers. What one that is gone sends is dropped. */
const SERVER_OVERHEAD_BYTES = UDP_BYTES + queryHeaderCodec.sizeBytes;
export const SERVERS: TableShape = {
  what: 'peer',
  count: Limit.LIMIT_SERVERS,
  overheadBytes: { ip: SERVER_OVERHEAD_BYTES, gue: SERVER_OVERHEAD_BYTES },
  goneFlags: 0,
};
const { sizeBytes: RECORD_BYTES } = backendCodec;
const EMPTY_RECORD = backendCodec.read(new DataView(new ArrayBuffer(RECORD_BYTES)), 0);
const FLAGS_OFFSET = memberOffset(BACKEND_LAYOUT, 'flags');
const MTU_OFFSET = memberOffset(BACKEND_LAYOUT, 'inner_mtu');
const GUE_PORT_OFFSET = memberOffset(BACKEND_LAYOUT, 'gue_port');
const GENERATION_OFFSET = memberOffset(BACKEND_LAYOUT, 'generation');
const MAC_OFFSET = memberOffset(BACKEND_LAYOUT, 'destination_mac');

export class BackendTable {
  readonly #view: DataView;
  readonly #halves: Uint16Array;
  readonly #words: BigUint64Array;
  readonly #sources: TunnelAddresses | undefined;
  readonly #grace: GracePeriods;
  readonly #shape: TableShape;
  readonly #present = new Set<number>();
  /** When the record of an index, or its next hop, was last taken from packets: it is not written until then. */
  readonly #cleared = new Map<number, GraceMark>();

  /** `records` is the mapped table; without `sources` a record needs none, and has no sum of addresses. */
  constructor(
    records: ArrayBuffer,
    sources: TunnelAddresses | undefined,
    grace: GracePeriods,
    shape: TableShape = BACKENDS,
  ) {
    this.#shape = shape;
    this.#view = new DataView(records);
    this.#halves = new Uint16Array(records);
    this.#words = new BigUint64Array(records);
    this.#sources = sources;
    this.#grace = grace;
  }

  /** What stands in the table; undefined where nothing does. */
  get(index: number): BackendConfig | undefined {
    const record = this.#read(index);
    return record.flags & BACKEND_PRESENT ? configOf(record, this.#shape) : undefined;
  }

  get shape(): TableShape {
    return this.#shape;
  }

  generation(index: number): number {
    return this.#halves[(index * RECORD_BYTES + GENERATION_OFFSET) / 2]!;
  }

  indexes(): number[] {
    return [...this.#present].sort((a, b) => a - b);
  }

  /**
   * Clears what another process left half written. A grace period must have passed since it ended; a record without
   * the next hop that it was about to get is complete in itself.
   */
  adopt(): void {
    for (let index = 0; index < this.#shape.count; index++) {
      const flags = this.#flags(index);
      if (flags & BACKEND_PRESENT) this.#present.add(index);
      else if (flags === 0 || flags !== this.#shape.goneFlags) this.#clear(index);
    }
  }

  /** @throws Failure where `config` says what cannot be sent to. */
  check(index: number, config: BackendConfig): void {
    checkIndex(index, this.#shape);
    this.#encode(config);
  }

  /** Whether set() would change anything. */
  differs(index: number, config: BackendConfig): boolean {
    const old = this.#read(index);
    const wanted = this.#encode(config);
    const hopCounts = (wanted.flags & BACKEND_NEXT_HOP) !== 0;
    return Object.entries(wanted).some(([name, value]) => {
      if (!hopCounts && HOP_FIELDS.has(name)) return false;
      return !sameValue(old[name as keyof Backend], value);
    });
  }

  /**
   * Writes backend `index`. False where packets may still be on the old way and nothing new can be written yet: again
   * after a grace period. Until then a backend with the same destination is reached through the kernel's FIB, and one
   * with another destination not at all.
   */
  set(index: number, config: BackendConfig): boolean {
    checkIndex(index, this.#shape);
    if (!this.differs(index, config)) return true;
    const wanted = this.#encode(config);
    const old = this.#read(index);
    if (!(old.flags & BACKEND_PRESENT)) {
      this.#takeAway(index, 0);
      if (!this.#isQuiet(index)) return false;
      this.#write(index, { ...wanted, flags: 0 });
    } else if (!isSameDestination(configOf(old, this.#shape), config)) {
      this.#takeAway(index, 0);
      return false;
    } else {
      this.#writeLoose(index, wanted);
      if (!(wanted.flags & BACKEND_NEXT_HOP)) {
        this.#takeAway(index, wanted.flags);
        return true;
      }
      if (old.flags & BACKEND_NEXT_HOP) {
        if (!sameHop(old, wanted)) {
          this.#takeAway(index, BACKEND_PRESENT);
          return false;
        }
        this.#storeMac(index, wanted);
        return true;
      }
      if (!this.#isQuiet(index)) return false;
      this.#write(index, { ...wanted, flags: old.flags });
    }
    this.#storeFlags(index, wanted.flags);
    return true;
  }

  /** Removes `index`: no packet is sent to it from now on. */
  delete(index: number): void {
    checkIndex(index, this.#shape);
    if (this.#flags(index) & BACKEND_PRESENT) this.#takeAway(index, this.#shape.goneFlags);
  }

  /** Writes everything but flags, which tell packets whether to look. */
  #write(index: number, record: Backend): void {
    const scratch = new DataView(new ArrayBuffer(RECORD_BYTES));
    backendCodec.write(scratch, 0, record);
    const offset = index * RECORD_BYTES;
    for (let at = 0; at < RECORD_BYTES; at++) {
      if (at < FLAGS_OFFSET || at > FLAGS_OFFSET + 1) this.#view.setUint8(offset + at, scratch.getUint8(at));
    }
  }

  /** What is read by itself, each in one store. */
  #writeLoose(index: number, wanted: Backend): void {
    Atomics.store(this.#halves, (index * RECORD_BYTES + MTU_OFFSET) / 2, wanted.inner_mtu);
    Atomics.store(this.#halves, (index * RECORD_BYTES + GENERATION_OFFSET) / 2, wanted.generation);
    Atomics.store(this.#halves, (index * RECORD_BYTES + GUE_PORT_OFFSET) / 2, wanted.gue_port);
  }

  /** The destination's MAC address and two bytes that stay the same are one word. */
  #storeMac(index: number, wanted: Backend): void {
    const scratch = new DataView(new ArrayBuffer(RECORD_BYTES));
    backendCodec.write(scratch, 0, wanted);
    const word = scratch.getBigUint64(MAC_OFFSET, true);
    Atomics.store(this.#words, (index * RECORD_BYTES + MAC_OFFSET) / 8, word);
  }

  #takeAway(index: number, flags: number): void {
    if (this.#flags(index) === flags) return;
    this.#storeFlags(index, flags);
    this.#cleared.set(index, this.#grace.mark());
  }

  #isQuiet(index: number): boolean {
    const mark = this.#cleared.get(index);
    if (mark !== undefined && !this.#grace.passed(mark)) return false;
    this.#cleared.delete(index);
    return true;
  }

  #clear(index: number): void {
    const bytes = new Uint8Array(
      this.#view.buffer,
      this.#view.byteOffset + index * RECORD_BYTES,
      RECORD_BYTES,
    );
    // A page of an empty table is not touched.
    if (bytes.some((byte) => byte !== 0)) bytes.fill(0);
  }

  #encode(config: BackendConfig): Backend {
    const address = parseAddress(config.address);
    const version = versionOf(address);
    const sum = this.#addressSum(config.address, address);
    const innerMtu = config.mtuBytes - outerBytes(version, config.encap, this.#shape);
    if (!Number.isInteger(config.mtuBytes) || config.mtuBytes > 65535 || innerMtu < INNER_MTU_MIN) {
      throw new Failure('invalid', `an MTU of ${config.mtuBytes} bytes leaves no room for packets`, {
        reason: `the path to ${this.#shape.what} ${config.address} must carry ${INNER_MTU_MIN} bytes in its tunnel`,
        remedy: "set the backend's mtuBytes, or the MTU of the interface or route to it",
      });
    }
    const hop = config.nextHop;
    let flags: number = BACKEND_PRESENT;
    if (hop !== undefined) flags |= BACKEND_NEXT_HOP;
    if (hop?.vlanTci !== undefined) flags |= BACKEND_VLAN;
    return {
      ...EMPTY_RECORD,
      address: { word: wordsOf(address) },
      flags,
      encap: config.encap === 'gue' ? EncapKind.ENCAP_GUE : EncapKind.ENCAP_IP,
      ip_version: version,
      gue_port: networkOrder16(config.guePort ?? GUE_PORT),
      inner_mtu: innerMtu,
      ifindex: hop?.ifindex ?? 0,
      destination_mac: hop === undefined ? new Uint8Array(6) : parseMac(hop.destinationMac),
      source_mac: hop === undefined ? new Uint8Array(6) : parseMac(hop.sourceMac),
      vlan_tci: hop?.vlanTci ?? 0,
      generation: config.generation ?? 0,
      address_sum: sum,
      ether_type: networkOrder16(version === 4 ? 0x0800 : 0x86dd),
    };
  }

  #addressSum(text: string, address: AddressBytes): number {
    if (this.#sources === undefined) return 0;
    const version = versionOf(address);
    const source = version === 4 ? this.#sources.source4 : this.#sources.source6;
    if (source === undefined) {
      throw new Failure(
        'configuration',
        `${this.#shape.what} ${text} needs a tunnel source of IPv${version}`,
        {
          reason: 'this node has none',
          remedy: `set tunnel.source${version} in the node's configuration`,
        },
      );
    }
    return version === 4 ? addressSum(source, address) : 0;
  }

  #read(index: number): Backend {
    return backendCodec.read(this.#view, index * RECORD_BYTES);
  }

  /** Flags, encapsulation and version are one aligned word, which the program reads at once. */
  #storeFlags(index: number, flags: number): void {
    if (flags & BACKEND_PRESENT) this.#present.add(index);
    else this.#present.delete(index);
    Atomics.store(this.#halves, (index * RECORD_BYTES + FLAGS_OFFSET) / 2, flags);
  }

  #flags(index: number): number {
    return Atomics.load(this.#halves, (index * RECORD_BYTES + FLAGS_OFFSET) / 2);
  }
}

/** Of a next hop; they mean nothing without BACKEND_NEXT_HOP. */
const HOP_FIELDS: ReadonlySet<string> = new Set(['ifindex', 'destination_mac', 'source_mac', 'vlan_tci']);

/** What a record says; undefined where none is present. Of other layouts: transcode first. */
export function readBackend(
  records: DataView,
  index: number,
  shape: TableShape = BACKENDS,
): BackendConfig | undefined {
  const record = backendCodec.read(records, index * RECORD_BYTES);
  return record.flags & BACKEND_PRESENT ? configOf(record, shape) : undefined;
}

function configOf(record: Backend, shape: TableShape): BackendConfig {
  const version = record.ip_version === 4 ? 4 : 6;
  const encap = record.encap === EncapKind.ENCAP_GUE ? 'gue' : 'ip';
  const config: BackendConfig = {
    address: formatAddress(addressOfWords(record.address.word)),
    encap,
    guePort: networkOrder16(record.gue_port),
    mtuBytes: record.inner_mtu + outerBytes(version, encap, shape),
    generation: record.generation,
  };
  if (record.flags & BACKEND_NEXT_HOP) {
    config.nextHop = {
      ifindex: record.ifindex,
      destinationMac: macText(record.destination_mac),
      sourceMac: macText(record.source_mac),
      ...(record.flags & BACKEND_VLAN ? { vlanTci: record.vlan_tci } : {}),
    };
  }
  return config;
}

const macText = (bytes: Uint8Array): string =>
  [...bytes].map((octet) => octet.toString(16).padStart(2, '0')).join(':');

function checkIndex(index: number, { what, count }: TableShape): void {
  if (!Number.isInteger(index) || index < 1 || index >= count) {
    throw new RangeError(`${what} index must be 1-${count - 1}, got ${index}`);
  }
}

/** Bytes that encapsulation adds. */
export function outerBytes(version: IpVersion, encap: 'ip' | 'gue', { overheadBytes } = BACKENDS): number {
  return ipHeaderBytes(version) + overheadBytes[encap];
}

export function ipHeaderBytes(version: IpVersion): number {
  return version === 4 ? 20 : 40;
}

/** Whether both lead to the same place: what a packet may not see half of. */
export function isSameDestination(one: BackendConfig, other: BackendConfig): boolean {
  return destinationOf(one) === destinationOf(other);
}

function destinationOf({ address, encap, guePort }: BackendConfig): string {
  const port = encap === 'gue' ? (guePort ?? GUE_PORT) : '';
  return `${formatAddress(parseAddress(address))} ${encap} ${port}`;
}

/** Whether two next hops differ in the destination's MAC address at most. */
function sameHop(one: Backend, other: Backend): boolean {
  return (
    one.flags === other.flags &&
    one.ifindex === other.ifindex &&
    one.vlan_tci === other.vlan_tci &&
    sameValue(one.source_mac, other.source_mac)
  );
}

function sameValue(one: unknown, other: unknown): boolean {
  if (one instanceof Uint8Array) {
    return (
      other instanceof Uint8Array && one.length === other.length && one.every((it, at) => it === other[at])
    );
  }
  if (typeof one === 'object') return JSON.stringify(one) === JSON.stringify(other);
  return one === other;
}

/** `address_sum` of struct backend: 16-bit words of both IPv4 addresses as stored, folded once. */
function addressSum(source: AddressBytes, destination: AddressBytes): number {
  let sum = 0;
  for (const address of [source, destination]) {
    const view = new DataView(address.buffer, address.byteOffset, 16);
    sum += view.getUint16(12, true) + view.getUint16(14, true);
  }
  return (sum & 0xffff) + (sum >>> 16);
}
