// Links: struct ifinfomsg and IFLA_* (rtnetlink(7), linux/if_link.h).
import {
  type Attribute,
  attributeMap,
  attributes,
  putBytes,
  putNested,
  putText,
  putU32,
} from './attribute.ts';
import { Reader, type Writer } from './bytes.ts';
import { checkIfindex, checkInteger, checkLinkName, checkMac, checkObject, checkU32 } from './check.ts';
import { formatHardwareAddress } from './ip.ts';
import { encodeRequest, MessageFlag, MessageType } from './message.ts';

const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  OPERSTATE: 16,
  LINKINFO: 18,
  NET_NS_FD: 28,
  PROMISCUITY: 30,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
  LINK_NETNSID: 37,
  XDP: 43,
  PROP_LIST: 52,
  ALT_IFNAME: 53,
} as const;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_XDP = { ATTACHED: 2, PROG_ID: 4, DRV_PROG_ID: 5, SKB_PROG_ID: 6, HW_PROG_ID: 7 } as const;

/** Interface flags (netdevice(7), linux/if.h). */
export const LinkFlag = {
  UP: 0x1,
  BROADCAST: 0x2,
  LOOPBACK: 0x8,
  POINTOPOINT: 0x10,
  RUNNING: 0x40,
  NOARP: 0x80,
  PROMISC: 0x100,
  ALLMULTI: 0x200,
  MULTICAST: 0x1000,
  LOWER_UP: 0x10000,
} as const;

/** RFC 2863 ifOperStatus, in the order of IF_OPER_*. */
const OPERATIONAL_STATES = [
  'unknown',
  'notpresent',
  'down',
  'lowerlayerdown',
  'testing',
  'dormant',
  'up',
] as const;
export type OperationalState = (typeof OPERATIONAL_STATES)[number];

/** XDP_ATTACHED_* in their order; `multiple`: a driver or hardware program beside a generic one. */
const XDP_MODES = ['none', 'driver', 'generic', 'hardware', 'multiple'] as const;
export type XdpMode = (typeof XDP_MODES)[number];

export interface XdpAttachment {
  readonly mode: XdpMode;
  /** The only program; undefined when there is none or mode is `multiple`. */
  readonly programId: number | undefined;
  readonly driverProgramId: number | undefined;
  readonly genericProgramId: number | undefined;
  readonly hardwareProgramId: number | undefined;
}

export interface Link {
  readonly ifindex: number;
  readonly name: string;
  readonly alternativeNames: readonly string[];
  /** ARPHRD_* (1 Ethernet, 772 loopback). */
  readonly hardwareType: number;
  readonly mac: string | undefined;
  readonly mtuBytes: number | undefined;
  /** `LinkFlag` bits. */
  readonly flags: number;
  /** Administratively up; `operationalState` says whether it carries traffic. */
  readonly up: boolean;
  readonly operationalState: OperationalState;
  /** `veth`, `bridge`, …; undefined for physical devices and loopback. */
  readonly kind: string | undefined;
  readonly masterIfindex: number | undefined;
  /** The lower device, or the peer of a veth: an index in the namespace `peerNetnsId`, if that is given. */
  readonly peerIfindex: number | undefined;
  readonly peerNetnsId: number | undefined;
  readonly xdp: XdpAttachment;
  readonly promiscuityCount: number;
  readonly rxQueueCount: number | undefined;
  readonly txQueueCount: number | undefined;
}

const NO_XDP: XdpAttachment = {
  mode: 'none',
  programId: undefined,
  driverProgramId: undefined,
  genericProgramId: undefined,
  hardwareProgramId: undefined,
};

/** `family` is 7 (AF_BRIDGE) where the message is about a bridge port rather than the link itself. */
export function decodeLink(payload: Uint8Array): Link & { readonly family: number } {
  const reader = new Reader(payload, 'ifinfomsg');
  const family = reader.u8();
  reader.skip(1);
  const hardwareType = reader.u16();
  const ifindex = reader.i32();
  const flags = reader.u32();
  reader.skip(4);
  const map = attributeMap(reader.rest());
  const address = map.get(IFLA.ADDRESS);
  const linkInfo = map.get(IFLA.LINKINFO);
  const properties = map.get(IFLA.PROP_LIST);
  return {
    family,
    ifindex,
    name: map.get(IFLA.IFNAME)?.text() ?? '',
    alternativeNames: properties === undefined ? [] : decodeAlternativeNames(properties),
    hardwareType,
    mac: address === undefined ? undefined : formatHardwareAddress(address.value),
    mtuBytes: map.get(IFLA.MTU)?.u32(),
    flags,
    up: (flags & LinkFlag.UP) !== 0,
    operationalState: OPERATIONAL_STATES[map.get(IFLA.OPERSTATE)?.u8() ?? 0] ?? 'unknown',
    kind: linkInfo === undefined ? undefined : attributeMap(linkInfo.value).get(IFLA_INFO_KIND)?.text(),
    masterIfindex: map.get(IFLA.MASTER)?.u32(),
    peerIfindex: map.get(IFLA.LINK)?.u32(),
    peerNetnsId: map.get(IFLA.LINK_NETNSID)?.i32(),
    xdp: decodeXdp(map.get(IFLA.XDP)),
    promiscuityCount: map.get(IFLA.PROMISCUITY)?.u32() ?? 0,
    rxQueueCount: map.get(IFLA.NUM_RX_QUEUES)?.u32(),
    txQueueCount: map.get(IFLA.NUM_TX_QUEUES)?.u32(),
  };
}

function decodeXdp(attribute: Attribute | undefined): XdpAttachment {
  if (attribute === undefined) return NO_XDP;
  const map = attributeMap(attribute.value);
  const mode = XDP_MODES[map.get(IFLA_XDP.ATTACHED)?.u8() ?? 0] ?? 'none';
  return {
    mode,
    programId: map.get(IFLA_XDP.PROG_ID)?.u32(),
    driverProgramId: map.get(IFLA_XDP.DRV_PROG_ID)?.u32(),
    genericProgramId: map.get(IFLA_XDP.SKB_PROG_ID)?.u32(),
    hardwareProgramId: map.get(IFLA_XDP.HW_PROG_ID)?.u32(),
  };
}

function decodeAlternativeNames(properties: Attribute): string[] {
  const names: string[] = [];
  for (const property of attributes(properties.value)) {
    if (property.type === IFLA.ALT_IFNAME) names.push(property.text());
  }
  return names;
}

export function encodeLinksDump(): Uint8Array {
  return encodeRequest(MessageType.GETLINK, MessageFlag.DUMP, (writer) => putHeader(writer, 0));
}

export function encodeLinkGet(nameOrIndex: string | number): Uint8Array {
  const ifindex = typeof nameOrIndex === 'number' ? checkIfindex(nameOrIndex) : 0;
  const name = typeof nameOrIndex === 'number' ? undefined : checkLinkName(nameOrIndex, 'link name');
  return encodeRequest(MessageType.GETLINK, MessageFlag.ACK, (writer) => {
    putHeader(writer, ifindex);
    if (name !== undefined) putText(writer, IFLA.IFNAME, name);
  });
}

export interface LinkChange {
  readonly up?: boolean;
  readonly mtuBytes?: number;
}

export function encodeLinkChange(ifindex: number, change: LinkChange): Uint8Array {
  checkIfindex(ifindex);
  if (change.mtuBytes !== undefined) checkU32(change.mtuBytes, 'mtuBytes');
  return encodeRequest(MessageType.NEWLINK, MessageFlag.ACK, (writer) => {
    const touched = change.up === undefined ? 0 : LinkFlag.UP;
    putHeader(writer, ifindex, change.up ? LinkFlag.UP : 0, touched);
    if (change.mtuBytes !== undefined) putU32(writer, IFLA.MTU, change.mtuBytes);
  });
}

export function encodeLinkDelete(ifindex: number): Uint8Array {
  checkIfindex(ifindex);
  return encodeRequest(MessageType.DELLINK, MessageFlag.ACK, (writer) => putHeader(writer, ifindex));
}

export interface VethPair {
  readonly name: string;
  readonly peer: string;
  readonly mac?: string | undefined;
  readonly peerMac?: string | undefined;
}

/** `peerNetnsFd`: an open namespace file in which the peer appears. */
export function encodeVethCreate(pair: VethPair, peerNetnsFd: number | undefined): Uint8Array {
  checkObject(pair, 'veth pair');
  const name = checkLinkName(pair.name, 'name');
  const peer = checkLinkName(pair.peer, 'peer');
  const mac = pair.mac === undefined ? undefined : checkMac(pair.mac, 'mac');
  const peerMac = pair.peerMac === undefined ? undefined : checkMac(pair.peerMac, 'peerMac');
  if (peerNetnsFd !== undefined) checkInteger(peerNetnsFd, 'peerNetnsFd', 0, 0x7fff_ffff);
  const flags = MessageFlag.ACK | MessageFlag.CREATE | MessageFlag.EXCL;
  return encodeRequest(MessageType.NEWLINK, flags, (writer) => {
    putHeader(writer, 0);
    putText(writer, IFLA.IFNAME, name);
    if (mac !== undefined) putBytes(writer, IFLA.ADDRESS, mac);
    putNested(writer, IFLA.LINKINFO, () => {
      putText(writer, IFLA_INFO_KIND, 'veth');
      putNested(writer, IFLA_INFO_DATA, () => {
        putNested(writer, VETH_INFO_PEER, () => {
          putHeader(writer, 0);
          putText(writer, IFLA.IFNAME, peer);
          if (peerMac !== undefined) putBytes(writer, IFLA.ADDRESS, peerMac);
          if (peerNetnsFd !== undefined) putU32(writer, IFLA.NET_NS_FD, peerNetnsFd);
        });
      });
    });
  });
}

function putHeader(writer: Writer, ifindex: number, flags = 0, changeMask = 0): void {
  writer.zeros(4);
  writer.i32(ifindex);
  writer.u32(flags);
  writer.u32(changeMask);
}
