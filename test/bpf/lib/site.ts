// The configuration that the tables of cases share, and what the model says about it.
// Port 1000 + n of both service addresses leads to backend n alone, so a case chooses its tunnel by its port.
import { createHash } from 'node:crypto';
import { address, isIpv4, mac } from './packets.ts';
import {
  type Flow,
  type FlowRule,
  flowHash,
  parseHashKey,
  type Sources,
  slotOf,
  type Way,
} from './reference.ts';

export const SERVICE4 = '203.0.113.10';
export const SERVICE6 = '2001:db8:5::10';
/** Addresses that balance every port. */
export const ANY4 = '203.0.113.20';
export const ANY6 = '2001:db8:5::20';
/** Addresses that balance every port, by client address. */
export const STICKY4 = '203.0.113.30';
export const STICKY6 = '2001:db8:5::30';
export const CLIENT4 = '198.51.100.77';
export const CLIENT6 = '2001:db8:c:1::77';
export const HOST4 = '203.0.113.200';
export const HOST6 = '2001:db8:5::200';

export const serviceAddress = (version: 4 | 6): string => (version === 4 ? SERVICE4 : SERVICE6);
export const clientAddress = (version: 4 | 6): string => (version === 4 ? CLIENT4 : CLIENT6);
export const hostAddress = (version: 4 | 6): string => (version === 4 ? HOST4 : HOST6);

export const TCP = 6;
export const UDP = 17;

/** Twelve words, the first two odd. */
export function testKey(seed: string): Uint8Array {
  const bytes = new Uint8Array(
    [0, 1, 2].flatMap((i) => [...createHash('sha256').update(`${seed}/${i}`).digest()]),
  );
  bytes[0]! |= 1;
  bytes[8]! |= 1;
  return bytes;
}

export const KEY_BYTES = testKey('holdfast test site');
export const KEY = parseHashKey(KEY_BYTES);

export const SOURCES: Sources = {
  address4: '198.18.64.0',
  prefixLength4: 18,
  address6: '2001:db8:100::',
  prefixLength6: 100,
};

export interface SiteBackend {
  readonly address: string;
  readonly encap: 'ip' | 'gue';
  readonly guePort?: number;
  readonly mtuBytes: number;
  readonly generation?: number;
  readonly nextHop?: { ifindex: number; destinationMac: string; sourceMac: string; vlanTci?: number };
}

function hop(index: number, vlanTci?: number, ifindex = 0): NonNullable<SiteBackend['nextHop']> {
  const last = index.toString(16).padStart(2, '0');
  const macs = { destinationMac: `02:00:00:00:b0:${last}`, sourceMac: `02:00:00:00:a0:${last}` };
  return { ifindex, ...macs, ...(vlanTci === undefined ? {} : { vlanTci }) };
}

const ROOMY = 2000;

export const PLAIN = { v4: 1, v6: 2, gue4: 3, gue6: 4 } as const;
export const TAGGED = { v4: 5, v6: 6, gue4: 7, gue6: 8 } as const;
export const REDIRECTED = 9;
export const NARROW4 = 10;
export const NARROW6 = 11;
/** Their addresses bring the outer checksum near zero. */
export const CARRYING = [12, 13] as const;
export const ABSENT = 14;
export const BELOW_IPV6_MINIMUM = 15;
export const TINY = 16;
export const NARROW_GUE4 = 17;
export const EMPTY_SLOT = 18;
export const NARROW_TAGGED = 19;
export const POOL = [20, 21, 22, 23, 24, 25, 26, 27] as const;
export const REDIRECT_IFINDEX = 7;

export const BACKENDS: ReadonlyMap<number, SiteBackend> = new Map<number, SiteBackend>([
  [1, { address: '192.0.2.1', encap: 'ip', mtuBytes: ROOMY, nextHop: hop(1) }],
  [2, { address: '2001:db8:b::2', encap: 'ip', mtuBytes: ROOMY, nextHop: hop(2) }],
  [3, { address: '192.0.2.3', encap: 'gue', mtuBytes: ROOMY, nextHop: hop(3) }],
  [4, { address: '2001:db8:b::4', encap: 'gue', guePort: 6081, mtuBytes: ROOMY, nextHop: hop(4) }],
  [5, { address: '192.0.2.5', encap: 'ip', mtuBytes: ROOMY, nextHop: hop(5, 0x2064) }],
  [6, { address: '2001:db8:b::6', encap: 'ip', mtuBytes: ROOMY, nextHop: hop(6, 0x0fff) }],
  [7, { address: '192.0.2.7', encap: 'gue', guePort: 6081, mtuBytes: ROOMY, nextHop: hop(7, 0x0001) }],
  [8, { address: '2001:db8:b::8', encap: 'gue', mtuBytes: ROOMY, nextHop: hop(8, 0xe123) }],
  [9, { address: '192.0.2.9', encap: 'ip', mtuBytes: ROOMY, nextHop: hop(9, undefined, REDIRECT_IFINDEX) }],
  [10, { address: '192.0.2.10', encap: 'ip', mtuBytes: 1400, nextHop: hop(10) }],
  [11, { address: '2001:db8:b::b', encap: 'gue', mtuBytes: 1500, nextHop: hop(11) }],
  [12, { address: '198.51.76.1', encap: 'ip', mtuBytes: ROOMY, nextHop: hop(12) }],
  [13, { address: '198.51.76.2', encap: 'gue', mtuBytes: ROOMY, nextHop: hop(13) }],
  [15, { address: '2001:db8:b::f', encap: 'ip', mtuBytes: 1300, nextHop: hop(15) }],
  [16, { address: '192.0.2.16', encap: 'ip', mtuBytes: 520, nextHop: hop(16) }],
  [17, { address: '192.0.2.17', encap: 'gue', mtuBytes: 1500, nextHop: hop(17) }],
  [19, { address: '192.0.2.19', encap: 'ip', mtuBytes: 1400, nextHop: hop(19, 0x2013) }],
  ...POOL.map((index): [number, SiteBackend] => [
    index,
    { address: `192.0.2.${index}`, encap: 'ip', mtuBytes: ROOMY, nextHop: hop(index) },
  ]),
]);

/** What the bytes on the wire take from a backend. */
export function wayTo(backend: SiteBackend): Way {
  const { address, encap, guePort, nextHop } = backend;
  if (nextHop === undefined) throw new Error('a backend without a next hop has no MAC addresses');
  return {
    address,
    encap,
    ...(guePort === undefined ? {} : { guePort }),
    destinationMac: mac(nextHop.destinationMac),
    sourceMac: mac(nextHop.sourceMac),
    ...(nextHop.vlanTci === undefined ? {} : { vlanTci: nextHop.vlanTci }),
  };
}

export function innerMtu(index: number): number {
  const backend = BACKENDS.get(index)!;
  return backend.mtuBytes - (isIpv4(backend.address) ? 20 : 40) - (backend.encap === 'gue' ? 8 : 0);
}

export interface SiteService extends FlowRule {
  readonly pool?: number;
  readonly quic?: { configRotation: number; serverIdBytes: number };
}

const POOL_BASE = 4096;
const POOL_SLOTS = 1021;

/** Runs of slots, by where they begin. */
export const SLOTS: ReadonlyMap<number, Uint16Array> = new Map<number, Uint16Array>([
  ...Array.from({ length: 19 }, (_, i): [number, Uint16Array] => {
    const index = i + 1;
    return [index * 4, new Uint16Array(4).fill(index === EMPTY_SLOT ? 0 : index)];
  }),
  // 389 is prime: neighbouring slots are of different backends without being a simple stripe.
  [POOL_BASE, Uint16Array.from({ length: POOL_SLOTS }, (_, i) => POOL[(i * 389) % 8]!)],
]);

const pooled = { slotBase: POOL_BASE, slotCount: POOL_SLOTS };

export const PORT = {
  pool: 443,
  byAddress: 8080,
  bySubnet: 8081,
  noSourcePort: 8082,
  quic: (serverIdBytes: number): number => 4430 + serverIdBytes,
  of: (backend: number): number => 1000 + backend,
} as const;

/** QUIC: the config rotation of the service whose server IDs have so many bytes. */
export const ROTATION = [-1, 0, 3, 6, 5] as const;
export const QUIC_POOL = (serverIdBytes: number): number => 70 + serverIdBytes;
/** Server IDs of each QUIC service: the same two, cut to their length. */
export const SERVER_IDS: readonly { id: number; backend: number }[] = [
  { id: 0xc1d2e3f4, backend: PLAIN.v6 },
  { id: 0x00000000, backend: PLAIN.gue4 },
  { id: 0xffffffff, backend: POOL[3] },
];
export const serverIdOf = (id: number, bytes: number): number => Math.floor(id / 256 ** (4 - bytes));

function services(): SiteService[] {
  const all: SiteService[] = [];
  for (const address of [SERVICE4, SERVICE6]) {
    for (const protocol of [TCP, UDP]) {
      for (let backend = 1; backend <= 19; backend++)
        all.push({ address, protocol, port: PORT.of(backend), slotBase: backend * 4, slotCount: 4 });
      all.push({ address, protocol, port: PORT.pool, ...pooled });
      all.push({
        address,
        protocol,
        port: PORT.byAddress,
        ...pooled,
        affinity: { prefixLength4: 32, prefixLength6: 128 },
      });
      all.push({
        address,
        protocol,
        port: PORT.bySubnet,
        ...pooled,
        affinity: { prefixLength4: 24, prefixLength6: 64 },
      });
      all.push({ address, protocol, port: PORT.noSourcePort, ...pooled, ignoreSourcePort: true });
    }
    for (const bytes of [1, 2, 3, 4]) {
      const quic = { configRotation: ROTATION[bytes]!, serverIdBytes: bytes };
      all.push({ address, protocol: UDP, port: PORT.quic(bytes), ...pooled, pool: QUIC_POOL(bytes), quic });
    }
  }
  for (const address of [ANY4, ANY6]) all.push({ address, protocol: 0, port: 0, ...pooled });
  for (const address of [STICKY4, STICKY6])
    all.push({
      address,
      protocol: 0,
      port: 0,
      ...pooled,
      affinity: { prefixLength4: 24, prefixLength6: 64 },
    });
  return all;
}

export const SERVICES: readonly SiteService[] = services();

/** What the model says a flow leads to; undefined where it is not for a service of this site. */
export function decide(flow: Flow): { service: SiteService; hash: bigint; backend: number } | undefined {
  const same = (a: string, b: string): boolean => Buffer.compare(address(a), address(b)) === 0;
  const here = SERVICES.filter((it) => same(it.address, flow.destination));
  const service =
    here.find((it) => it.port === flow.destinationPort && it.protocol === flow.protocol) ??
    here.find((it) => it.port === 0 && it.protocol === 0);
  if (service === undefined) return undefined;
  const hash = flowHash(KEY, service, flow);
  return { service, hash, backend: backendAt(slotOf(service, hash)) };
}

export function backendAt(slot: number): number {
  for (const [base, backends] of SLOTS)
    if (slot >= base && slot < base + backends.length) return backends[slot - base]!;
  return 0;
}

export const isServiceAddress = (text: string): boolean =>
  SERVICES.some((it) => Buffer.compare(address(it.address), address(text)) === 0);
