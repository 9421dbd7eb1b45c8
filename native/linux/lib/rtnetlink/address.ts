// Interface addresses: struct ifaddrmsg and IFA_* (rtnetlink(7), linux/if_addr.h).
import { attributeMap, putBytes, putU32 } from './attribute.ts';
import { MalformedMessageError, Reader } from './bytes.ts';
import { checkIfindex, checkIp, checkObject, checkPrefix, checkU8, checkU32 } from './check.ts';
import { familyNumber, familyOf, formatIp, type IpFamily } from './ip.ts';
import { encodeRequest, MessageFlag, MessageType } from './message.ts';

const IFA = { ADDRESS: 1, LOCAL: 2, LABEL: 3, BROADCAST: 4, FLAGS: 8 } as const;

/** IFA_F_* (linux/if_addr.h). */
export const AddressFlag = {
  SECONDARY: 0x01,
  NODAD: 0x02,
  DADFAILED: 0x08,
  DEPRECATED: 0x20,
  TENTATIVE: 0x40,
  PERMANENT: 0x80,
  NOPREFIXROUTE: 0x200,
} as const;

export interface InterfaceAddress {
  readonly ifindex: number;
  readonly family: IpFamily;
  readonly address: string;
  readonly prefixLength: number;
  /** The other end of a point-to-point address, where it differs from `address`. */
  readonly peer: string | undefined;
  readonly broadcast: string | undefined;
  readonly label: string | undefined;
  /** RT_SCOPE_*: 0 universe, 253 link, 254 host. */
  readonly scope: number;
  /** `AddressFlag` bits. */
  readonly flags: number;
}

/** Undefined for a family that is neither IPv4 nor IPv6. */
export function decodeAddress(payload: Uint8Array): InterfaceAddress | undefined {
  const reader = new Reader(payload, 'ifaddrmsg');
  const family = familyOf(reader.u8());
  const prefixLength = reader.u8();
  const shortFlags = reader.u8();
  const scope = reader.u8();
  const ifindex = reader.u32();
  if (family === undefined) return undefined;
  const map = attributeMap(reader.rest());
  const ip = (type: number): string | undefined => {
    const attribute = map.get(type);
    return attribute === undefined ? undefined : formatIp(attribute.value, family);
  };
  const far = ip(IFA.ADDRESS);
  const address = ip(IFA.LOCAL) ?? far;
  if (address === undefined) throw new MalformedMessageError('an interface address without an address');
  return {
    ifindex,
    family,
    address,
    prefixLength,
    peer: far === address ? undefined : far,
    broadcast: ip(IFA.BROADCAST),
    label: map.get(IFA.LABEL)?.text(),
    scope,
    flags: map.get(IFA.FLAGS)?.u32() ?? shortFlags,
  };
}

export function encodeAddressesDump(): Uint8Array {
  return encodeRequest(MessageType.GETADDR, MessageFlag.DUMP, (writer) => writer.zeros(8));
}

export interface AddressSpec {
  readonly ifindex: number;
  readonly address: string;
  readonly prefixLength: number;
  readonly broadcast?: string | undefined;
  /** `AddressFlag` bits; NODAD spares an IPv6 address the second of being tentative. */
  readonly flags?: number | undefined;
  /** RT_SCOPE_*; 0 by default. */
  readonly scope?: number | undefined;
  /** Succeed where the address exists already. */
  readonly replace?: boolean | undefined;
}

export function encodeAddressAdd(spec: AddressSpec): Uint8Array {
  checkObject(spec, 'address');
  const existing = spec.replace ? MessageFlag.REPLACE : MessageFlag.EXCL;
  return encodeAddress(MessageType.NEWADDR, MessageFlag.ACK | MessageFlag.CREATE | existing, spec);
}

export function encodeAddressDelete(spec: AddressSpec): Uint8Array {
  checkObject(spec, 'address');
  return encodeAddress(MessageType.DELADDR, MessageFlag.ACK, spec);
}

function encodeAddress(type: number, messageFlags: number, spec: AddressSpec): Uint8Array {
  const ifindex = checkIfindex(spec.ifindex);
  const { family, bytes, prefixLength } = checkPrefix(spec, 'address');
  const flags = checkU32(spec.flags ?? 0, 'flags');
  const scope = checkU8(spec.scope ?? 0, 'scope');
  const broadcast = spec.broadcast === undefined ? undefined : checkIp(spec.broadcast, 'broadcast');
  if (broadcast !== undefined && (broadcast.family !== 4 || family !== 4)) {
    throw new TypeError('broadcast belongs to IPv4 addresses');
  }
  return encodeRequest(type, messageFlags, (writer) => {
    writer.u8(familyNumber(family));
    writer.u8(prefixLength);
    writer.u8(flags & 0xff);
    writer.u8(scope);
    writer.u32(ifindex);
    putBytes(writer, IFA.LOCAL, bytes);
    putBytes(writer, IFA.ADDRESS, bytes);
    if (broadcast !== undefined) putBytes(writer, IFA.BROADCAST, broadcast.bytes);
    if (flags !== 0) putU32(writer, IFA.FLAGS, flags);
  });
}
