// Neighbours (ARP and neighbour discovery entries): struct ndmsg and NDA_* (rtnetlink(7), linux/neighbour.h).
import { attributeMap, putBytes, putU32 } from './attribute.ts';
import { Reader } from './bytes.ts';
import { checkIfindex, checkIp, checkMac, checkObject } from './check.ts';
import { familyNumber, familyOf, formatHardwareAddress, formatIp, type IpFamily } from './ip.ts';
import { encodeRequest, MessageFlag, MessageType } from './message.ts';

const NDA = { DST: 1, LLADDR: 2, IFINDEX: 8 } as const;
const NTF_USE = 0x01;

/** NUD_*: the states of RFC 4861 section 7.3.2 and Linux's own. */
const NUD = {
  none: 0x00,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const;
export type NeighbourState = keyof typeof NUD;

const STATE_NAMES: ReadonlyMap<number, NeighbourState> = new Map(
  Object.entries(NUD).map(([name, bit]) => [bit, name as NeighbourState]),
);

/** States in which the entry's hardware address may be used (NUD_VALID). */
const USABLE_STATES: ReadonlySet<NeighbourState> = new Set([
  'reachable',
  'stale',
  'delay',
  'probe',
  'noarp',
  'permanent',
]);

export interface Neighbour {
  readonly ifindex: number;
  readonly family: IpFamily;
  readonly address: string;
  readonly lladdr: string | undefined;
  readonly state: NeighbourState;
  /** NTF_* bits (linux/neighbour.h). */
  readonly flags: number;
}

export const isUsable = (neighbour: Neighbour): boolean =>
  USABLE_STATES.has(neighbour.state) && neighbour.lladdr !== undefined;

/** Undefined for what is no IP neighbour: bridge forwarding entries, proxy entries without an address. */
export function decodeNeighbour(payload: Uint8Array): Neighbour | undefined {
  const reader = new Reader(payload, 'ndmsg');
  const family = familyOf(reader.u8());
  reader.skip(3);
  const ifindex = reader.i32();
  const state = reader.u16();
  const flags = reader.u8();
  reader.skip(1);
  const map = attributeMap(reader.rest());
  const destination = map.get(NDA.DST);
  if (family === undefined || destination === undefined) return undefined;
  const lladdr = map.get(NDA.LLADDR);
  return {
    ifindex,
    family,
    address: formatIp(destination.value, family),
    lladdr: lladdr === undefined ? undefined : formatHardwareAddress(lladdr.value),
    state: STATE_NAMES.get(state) ?? 'none',
    flags,
  };
}

export interface NeighbourFilter {
  readonly ifindex?: number | undefined;
  readonly family?: IpFamily | undefined;
}

export function encodeNeighboursDump(filter: NeighbourFilter): Uint8Array {
  const ifindex = filter.ifindex === undefined ? undefined : checkIfindex(filter.ifindex);
  return encodeRequest(MessageType.GETNEIGH, MessageFlag.DUMP, (writer) => {
    writer.u8(filter.family === undefined ? 0 : familyNumber(filter.family));
    writer.zeros(11);
    if (ifindex !== undefined) putU32(writer, NDA.IFINDEX, ifindex);
  });
}

export interface NeighbourKey {
  readonly ifindex: number;
  readonly address: string;
}

export interface NeighbourSpec extends NeighbourKey {
  readonly lladdr: string;
  /** `permanent` by default. */
  readonly state?: NeighbourState | undefined;
  /** Overwrite an existing entry. */
  readonly replace?: boolean | undefined;
}

export function encodeNeighbourAdd(spec: NeighbourSpec): Uint8Array {
  checkObject(spec, 'neighbour');
  const state = spec.state ?? 'permanent';
  if (!Object.hasOwn(NUD, state)) throw new TypeError(`unknown neighbour state: ${state}`);
  const existing = spec.replace ? MessageFlag.REPLACE : MessageFlag.EXCL;
  const flags = MessageFlag.ACK | MessageFlag.CREATE | existing;
  return encodeNeighbour(MessageType.NEWNEIGH, flags, spec, NUD[state], 0, checkMac(spec.lladdr, 'lladdr'));
}

export function encodeNeighbourDelete(key: NeighbourKey): Uint8Array {
  checkObject(key, 'neighbour');
  return encodeNeighbour(MessageType.DELNEIGH, MessageFlag.ACK, key, 0, 0, undefined);
}

/** What a packet to this neighbour would do: create the entry and start resolving (NTF_USE). */
export function encodeNeighbourUse(key: NeighbourKey): Uint8Array {
  const flags = MessageFlag.ACK | MessageFlag.CREATE;
  return encodeNeighbour(MessageType.NEWNEIGH, flags, key, NUD.none, NTF_USE, undefined);
}

function encodeNeighbour(
  type: number,
  messageFlags: number,
  key: NeighbourKey,
  state: number,
  flags: number,
  lladdr: Uint8Array | undefined,
): Uint8Array {
  const ifindex = checkIfindex(key.ifindex);
  const { family, bytes } = checkIp(key.address, 'address');
  return encodeRequest(type, messageFlags, (writer) => {
    writer.u8(familyNumber(family));
    writer.zeros(3);
    writer.i32(ifindex);
    writer.u16(state);
    writer.u8(flags);
    writer.zeros(1);
    putBytes(writer, NDA.DST, bytes);
    if (lladdr !== undefined) putBytes(writer, NDA.LLADDR, lladdr);
  });
}
