// Owns the backend table of the data plane: records, and the order of writes in which no packet sees half a next hop.
import type { AddressBytes, IpVersion } from '../lib/address.ts';
import { networkOrder16, parseAddress, parseMac, versionOf, wordsOf } from '../lib/address.ts';
import type { Backend } from './generated/layout.ts';
import { BackendFlag, backendCodec, EncapKind, Limit } from './generated/layout.ts';

/** How to reach the next hop of a backend. */
export type NextHop = {
  /** Egress interface; 0: back out of the interface that the packet came in by. */
  ifindex: number;
  destinationMac: string;
  sourceMac: string;
  /** 802.1Q tag control information; absent: untagged. */
  vlanTci?: number;
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

export const GUE_PORT = 6080;
/** Of an inner packet that every path must carry (RFC 791 section 3.1). */
const INNER_MTU_MIN = 68;
const FLAGS_OFFSET = 16;

export class BackendTable {
  readonly #records: ArrayBuffer;
  readonly #source4: AddressBytes | undefined;
  readonly #source6: AddressBytes | undefined;
  readonly #grace: () => void;
  readonly #configs = new Map<number, BackendConfig>();

  constructor(
    records: ArrayBuffer,
    sources: { source4: AddressBytes | undefined; source6: AddressBytes | undefined },
    grace: () => void,
  ) {
    this.#records = records;
    this.#source4 = sources.source4;
    this.#source6 = sources.source6;
    this.#grace = grace;
  }

  get(index: number): BackendConfig | undefined {
    return this.#configs.get(index);
  }

  indexes(): number[] {
    return [...this.#configs.keys()];
  }

  /** Writes backend `index`; undefined removes it. @throws TypeError, RangeError for what cannot be sent to. */
  set(index: number, config: BackendConfig | undefined): void {
    if (!Number.isInteger(index) || index < 1 || index >= Limit.LIMIT_BACKENDS) {
      throw new RangeError(`backend index must be 1-${Limit.LIMIT_BACKENDS - 1}, got ${index}`);
    }
    const old = this.#configs.get(index);
    const record = config === undefined ? undefined : this.#encode(config);
    const sameDestination =
      old !== undefined && config !== undefined && destinationOf(old) === destinationOf(config);

    if (old !== undefined) {
      /* The same destination goes on by the FIB while its next hop is rewritten; another one must not mix. */
      this.#storeFlags(index, sameDestination ? this.#loadFlags(index) & ~BackendFlag.BACKEND_NEXT_HOP : 0);
      this.#grace();
    }
    if (record === undefined || config === undefined) {
      new Uint8Array(this.#records, index * backendCodec.sizeBytes, backendCodec.sizeBytes).fill(0);
      this.#configs.delete(index);
      return;
    }
    const { flags, ...rest } = record;
    const during = sameDestination ? BackendFlag.BACKEND_PRESENT : 0;
    backendCodec.write(new DataView(this.#records), index * backendCodec.sizeBytes, {
      ...rest,
      flags: during,
    });
    this.#storeFlags(index, flags);
    this.#configs.set(index, { ...config });
  }

  #encode(config: BackendConfig): Backend {
    const address = parseAddress(config.address);
    const version = versionOf(address);
    const source = version === 4 ? this.#source4 : this.#source6;
    if (source === undefined) {
      throw new TypeError(
        `backend ${config.address} needs a tunnel source of IPv${version}, and none is configured`,
      );
    }
    const innerMtu = config.mtuBytes - outerBytes(version, config.encap);
    if (!Number.isInteger(config.mtuBytes) || config.mtuBytes > 65535 || innerMtu < INNER_MTU_MIN) {
      throw new RangeError(
        `mtuBytes of backend ${config.address} must leave room for a packet, got ${config.mtuBytes}`,
      );
    }
    const hop = config.nextHop;
    const tagged = hop?.vlanTci !== undefined;
    let flags: number = BackendFlag.BACKEND_PRESENT;
    if (hop !== undefined) flags |= BackendFlag.BACKEND_NEXT_HOP;
    if (tagged) flags |= BackendFlag.BACKEND_VLAN;
    return {
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
      address_sum: version === 4 ? addressSum(source, address) : 0,
      ether_type: networkOrder16(version === 4 ? 0x0800 : 0x86dd),
      reserved: new Uint8Array(14),
    };
  }

  /** Flags, encapsulation and version are one aligned word, which the program reads at once. */
  #storeFlags(index: number, flags: number): void {
    const words = new Uint16Array(this.#records, index * backendCodec.sizeBytes + FLAGS_OFFSET, 1);
    Atomics.store(words, 0, flags);
  }

  #loadFlags(index: number): number {
    return Atomics.load(new Uint16Array(this.#records, index * backendCodec.sizeBytes + FLAGS_OFFSET, 1), 0);
  }
}

/** Bytes that encapsulation adds. */
export function outerBytes(version: IpVersion, encap: 'ip' | 'gue'): number {
  return (version === 4 ? 20 : 40) + (encap === 'gue' ? 8 : 0);
}

/** What a packet in flight may not see half of; the next hop is guarded by its own flag. */
function destinationOf(config: BackendConfig): string {
  return `${config.address} ${config.encap} ${config.guePort ?? GUE_PORT}`;
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
