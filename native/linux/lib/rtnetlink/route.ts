// Routes: struct rtmsg, RTA_* and struct rtnexthop (rtnetlink(7), linux/rtnetlink.h).
import { type Attribute, attributeMap, putBytes, putNested, putU32 } from './attribute.ts';
import { align4, MalformedMessageError, Reader, type Writer } from './bytes.ts';
import {
  checkFamily,
  checkIfindex,
  checkInteger,
  checkIp,
  checkObject,
  checkPrefix,
  checkU8,
  checkU32,
} from './check.ts';
import { addressBits, familyNumber, familyOf, formatIp, type IpFamily, type Prefix } from './ip.ts';
import { encodeRequest, MessageFlag, MessageType } from './message.ts';

const RTA = {
  DST: 1,
  SRC: 2,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
  NH_ID: 30,
} as const;
const RTAX_MTU = 2;
const NEXT_HOP_HEADER_BYTES = 8;
const NEXT_HOP_LIMIT = 1024;

/** RTN_* in their order. */
const ROUTE_TYPES = [
  'unspec',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
  'nat',
] as const;
export type RouteType = (typeof ROUTE_TYPES)[number];

export const RouteTable = { DEFAULT: 253, MAIN: 254, LOCAL: 255 } as const;
export const RouteProtocol = {
  UNSPEC: 0,
  REDIRECT: 1,
  KERNEL: 2,
  BOOT: 3,
  STATIC: 4,
  RA: 9,
  BIRD: 12,
} as const;
export const RouteScope = { UNIVERSE: 0, SITE: 200, LINK: 253, HOST: 254, NOWHERE: 255 } as const;
/** RTM_F_CLONED: a cached copy (a redirect, a learnt path MTU), not an entry of a table. */
export const ROUTE_FLAG_CLONED = 0x200;

export interface NextHop {
  readonly oif: number;
  /** May be of the other family (RFC 5549, RTA_VIA). */
  readonly gateway: string | undefined;
  /** 1 to 256. */
  readonly weight: number;
  /** RTNH_F_*: 1 dead, 2 pervasive, 4 onlink, 16 linkdown. */
  readonly flags: number;
}

export interface Route {
  readonly family: IpFamily;
  readonly type: RouteType;
  readonly dst: Prefix;
  readonly src: Prefix | undefined;
  readonly gateway: string | undefined;
  readonly oif: number | undefined;
  readonly prefsrc: string | undefined;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly priority: number | undefined;
  /** The route's own MTU; undefined where the device's counts. */
  readonly mtuBytes: number | undefined;
  /** Several paths; empty for a route with one, which is then in `gateway` and `oif`. */
  readonly nextHops: readonly NextHop[];
  /** The id of a next-hop object (`ip nexthop`). */
  readonly nextHopId: number | undefined;
  /** RTM_F_* and RTNH_F_* bits. */
  readonly flags: number;
}

/** Undefined for a family that is neither IPv4 nor IPv6 (multicast routing, MPLS). */
export function decodeRoute(payload: Uint8Array): Route | undefined {
  const reader = new Reader(payload, 'rtmsg');
  const family = familyOf(reader.u8());
  const dstLength = reader.u8();
  const srcLength = reader.u8();
  reader.skip(1);
  const shortTable = reader.u8();
  const protocol = reader.u8();
  const scope = reader.u8();
  const type = ROUTE_TYPES[reader.u8()] ?? 'unspec';
  const flags = reader.u32();
  if (family === undefined) return undefined;
  const map = attributeMap(reader.rest());
  const metrics = map.get(RTA.METRICS);
  const multipath = map.get(RTA.MULTIPATH);
  const prefsrc = map.get(RTA.PREFSRC);
  return {
    family,
    type,
    dst: decodePrefix(map.get(RTA.DST), dstLength, family),
    src: srcLength === 0 ? undefined : decodePrefix(map.get(RTA.SRC), srcLength, family),
    gateway: decodeGateway(map, family),
    oif: map.get(RTA.OIF)?.u32(),
    prefsrc: prefsrc === undefined ? undefined : formatIp(prefsrc.value, family),
    table: map.get(RTA.TABLE)?.u32() ?? shortTable,
    protocol,
    scope,
    priority: map.get(RTA.PRIORITY)?.u32(),
    mtuBytes: metrics === undefined ? undefined : attributeMap(metrics.value).get(RTAX_MTU)?.u32(),
    nextHops: multipath === undefined ? [] : decodeNextHops(multipath.value, family),
    nextHopId: map.get(RTA.NH_ID)?.u32(),
    flags,
  };
}

function decodePrefix(attribute: Attribute | undefined, prefixLength: number, family: IpFamily): Prefix {
  const bits = addressBits(family);
  if (prefixLength > bits) throw new MalformedMessageError(`an IPv${family} prefix of ${prefixLength} bits`);
  const bytes = attribute?.value ?? new Uint8Array(bits / 8);
  return { address: formatIp(bytes, family), prefixLength };
}

function decodeGateway(map: ReadonlyMap<number, Attribute>, family: IpFamily): string | undefined {
  const gateway = map.get(RTA.GATEWAY);
  if (gateway !== undefined) return formatIp(gateway.value, family);
  const via = map.get(RTA.VIA);
  if (via === undefined) return undefined;
  const reader = new Reader(via.value, 'rtvia');
  const viaFamily = familyOf(reader.u16());
  return viaFamily === undefined ? undefined : formatIp(reader.rest(), viaFamily);
}

function decodeNextHops(bytes: Uint8Array, family: IpFamily): NextHop[] {
  const nextHops: NextHop[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const reader = new Reader(rest, 'rtnexthop');
    const lengthBytes = reader.u16();
    const flags = reader.u8();
    const weight = reader.u8() + 1;
    const oif = reader.i32();
    if (lengthBytes < NEXT_HOP_HEADER_BYTES || lengthBytes > rest.length) {
      throw new MalformedMessageError(`a next hop claims ${lengthBytes} of ${rest.length} bytes`);
    }
    const map = attributeMap(rest.subarray(NEXT_HOP_HEADER_BYTES, lengthBytes));
    nextHops.push({ oif, gateway: decodeGateway(map, family), weight, flags });
    rest = rest.subarray(Math.min(align4(lengthBytes), rest.length));
  }
  return nextHops;
}

/** `table` lets the kernel leave out the others. */
export function encodeRoutesDump(family: IpFamily, table: number | undefined): Uint8Array {
  checkFamily(family);
  if (table !== undefined) checkU32(table, 'table');
  return encodeRequest(MessageType.GETROUTE, MessageFlag.DUMP, (writer) => {
    putHeader(writer, { family });
    if (table !== undefined) putU32(writer, RTA.TABLE, table);
  });
}

export interface RouteQuery {
  readonly from?: string | undefined;
  readonly oif?: number | undefined;
}

export function encodeRouteGet(address: string, query: RouteQuery): Uint8Array {
  const { family, bytes } = checkIp(address, 'address');
  const from = query.from === undefined ? undefined : checkIp(query.from, 'from');
  if (from !== undefined && from.family !== family) throw new TypeError('from and address differ in family');
  const oif = query.oif === undefined ? undefined : checkIfindex(query.oif, 'oif');
  return encodeRequest(MessageType.GETROUTE, MessageFlag.ACK, (writer) => {
    const bits = addressBits(family);
    putHeader(writer, { family, dstLength: bits, srcLength: from === undefined ? 0 : bits });
    putBytes(writer, RTA.DST, bytes);
    if (from !== undefined) putBytes(writer, RTA.SRC, from.bytes);
    if (oif !== undefined) putU32(writer, RTA.OIF, oif);
  });
}

export interface NextHopSpec {
  readonly oif?: number | undefined;
  readonly gateway?: string | undefined;
  /** 1 to 256; 1 by default. */
  readonly weight?: number | undefined;
}

export interface RouteSpec {
  readonly dst: Prefix;
  readonly gateway?: string | undefined;
  readonly oif?: number | undefined;
  readonly nextHops?: readonly NextHopSpec[] | undefined;
  readonly prefsrc?: string | undefined;
  readonly table?: number | undefined;
  readonly protocol?: number | undefined;
  readonly scope?: number | undefined;
  readonly type?: RouteType | undefined;
  readonly priority?: number | undefined;
  readonly mtuBytes?: number | undefined;
  /** Overwrite a route of the same destination, table and priority. */
  readonly replace?: boolean | undefined;
}

export function encodeRouteAdd(spec: RouteSpec): Uint8Array {
  checkObject(spec, 'route');
  const existing = spec.replace ? MessageFlag.REPLACE : MessageFlag.EXCL;
  const flags = MessageFlag.ACK | MessageFlag.CREATE | existing;
  return encodeRoute(MessageType.NEWROUTE, flags, spec, {
    type: spec.type ?? 'unicast',
    protocol: spec.protocol ?? RouteProtocol.STATIC,
    scope: spec.scope ?? defaultScope(spec),
  });
}

/** Only what the spec says is compared; the rest matches anything. */
export function encodeRouteDelete(spec: RouteSpec): Uint8Array {
  checkObject(spec, 'route');
  return encodeRoute(MessageType.DELROUTE, MessageFlag.ACK, spec, {
    type: spec.type ?? 'unspec',
    protocol: spec.protocol ?? RouteProtocol.UNSPEC,
    scope: spec.scope ?? RouteScope.NOWHERE,
  });
}

// The kernel wants IPv4 destinations without a gateway to be of link scope, and local ones of host scope.
function defaultScope(spec: RouteSpec): number {
  if (spec.type === 'local') return RouteScope.HOST;
  const direct = spec.type === undefined || spec.type === 'unicast' || spec.type === 'broadcast';
  return direct && spec.gateway === undefined && spec.nextHops === undefined
    ? RouteScope.LINK
    : RouteScope.UNIVERSE;
}

function encodeRoute(
  messageType: number,
  messageFlags: number,
  spec: RouteSpec,
  header: { type: RouteType; protocol: number; scope: number },
): Uint8Array {
  const { family, bytes, prefixLength } = checkPrefix(spec.dst, 'dst');
  const type = ROUTE_TYPES.indexOf(header.type);
  if (type < 0) throw new TypeError(`unknown route type: ${header.type}`);
  const table = checkU32(spec.table ?? RouteTable.MAIN, 'table');
  const protocol = checkU8(header.protocol, 'protocol');
  const scope = checkU8(header.scope, 'scope');
  const prefsrc = spec.prefsrc === undefined ? undefined : checkIp(spec.prefsrc, 'prefsrc');
  if (prefsrc !== undefined && prefsrc.family !== family)
    throw new TypeError('prefsrc and dst differ in family');
  if (spec.priority !== undefined) checkU32(spec.priority, 'priority');
  if (spec.mtuBytes !== undefined) checkU32(spec.mtuBytes, 'mtuBytes');
  if (spec.oif !== undefined) checkIfindex(spec.oif, 'oif');
  if (spec.nextHops !== undefined && !Array.isArray(spec.nextHops))
    throw new TypeError('nextHops is not a list');
  if (spec.nextHops !== undefined) checkInteger(spec.nextHops.length, 'nextHops.length', 1, NEXT_HOP_LIMIT);
  return encodeRequest(messageType, messageFlags, (writer) => {
    putHeader(writer, { family, dstLength: prefixLength, table, protocol, scope, type });
    if (prefixLength > 0) putBytes(writer, RTA.DST, bytes);
    if (table > 0xff) putU32(writer, RTA.TABLE, table);
    if (spec.gateway !== undefined) putGateway(writer, spec.gateway, family);
    if (spec.oif !== undefined) putU32(writer, RTA.OIF, spec.oif);
    if (prefsrc !== undefined) putBytes(writer, RTA.PREFSRC, prefsrc.bytes);
    if (spec.priority !== undefined) putU32(writer, RTA.PRIORITY, spec.priority);
    const mtuBytes = spec.mtuBytes;
    if (mtuBytes !== undefined) putNested(writer, RTA.METRICS, () => putU32(writer, RTAX_MTU, mtuBytes));
    const nextHops = spec.nextHops;
    if (nextHops !== undefined) putNested(writer, RTA.MULTIPATH, () => putNextHops(writer, nextHops, family));
  });
}

function putNextHops(writer: Writer, nextHops: readonly NextHopSpec[], family: IpFamily): void {
  for (const nextHop of nextHops) {
    checkObject(nextHop, 'next hop');
    const start = writer.lengthBytes;
    writer.u16(0);
    writer.u8(0);
    writer.u8(checkInteger(nextHop.weight ?? 1, 'weight', 1, 256) - 1);
    writer.i32(nextHop.oif === undefined ? 0 : checkIfindex(nextHop.oif, 'oif'));
    if (nextHop.gateway !== undefined) putGateway(writer, nextHop.gateway, family);
    writer.patchU16(start, writer.lengthBytes - start);
  }
}

function putGateway(writer: Writer, text: string, family: IpFamily): void {
  const gateway = checkIp(text, 'gateway');
  if (gateway.family === family) {
    putBytes(writer, RTA.GATEWAY, gateway.bytes);
    return;
  }
  const via = new Uint8Array(2 + gateway.bytes.length);
  new Uint16Array(via.buffer, 0, 1)[0] = familyNumber(gateway.family);
  via.set(gateway.bytes, 2);
  putBytes(writer, RTA.VIA, via);
}

interface Header {
  readonly family: IpFamily;
  readonly dstLength?: number;
  readonly srcLength?: number;
  readonly table?: number;
  readonly protocol?: number;
  readonly scope?: number;
  readonly type?: number;
}

function putHeader(writer: Writer, header: Header): void {
  const table = header.table ?? 0;
  writer.u8(familyNumber(header.family));
  writer.u8(header.dstLength ?? 0);
  writer.u8(header.srcLength ?? 0);
  writer.u8(0);
  writer.u8(table > 0xff ? 0 : table);
  writer.u8(header.protocol ?? 0);
  writer.u8(header.scope ?? 0);
  writer.u8(header.type ?? 0);
  writer.u32(0);
}
