// Owns IP addresses and prefixes as the data plane sees them: 16 bytes in network order, IPv4 mapped into IPv6
// (RFC 4291 section 2.5.5.2).
import ipaddr from 'ipaddr.js';

export type IpVersion = 4 | 6;

/** 16 bytes in network order; IPv4 as ::ffff:a.b.c.d. */
export type AddressBytes = Uint8Array;

const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** @throws TypeError where `text` is no address, or an IPv4-mapped IPv6 one, which would name an IPv4 address twice. */
export function parseAddress(text: string): AddressBytes {
  // To find out that it is no IPv4 address, the library throws, which takes longer than all else here.
  if (!text.includes(':') && ipaddr.IPv4.isValidFourPartDecimal(text)) {
    return Uint8Array.from([...MAPPED_PREFIX, ...ipaddr.IPv4.parse(text).toByteArray()]);
  }
  if (!ipaddr.IPv6.isValid(text) || text.includes('%')) throw new TypeError(`not an IP address: ${text}`);
  const address = ipaddr.IPv6.parse(text);
  if (address.isIPv4MappedAddress()) throw new TypeError(`write ${text} as an IPv4 address`);
  return Uint8Array.from(address.toByteArray());
}

/** Whether parseAddress() takes it. */
export function isAddress(text: string): boolean {
  try {
    parseAddress(text);
    return true;
  } catch {
    return false;
  }
}

/** The one form of an address that may be written in several. @throws TypeError as parseAddress() does. */
export function canonicalAddress(text: string): string {
  return formatAddress(parseAddress(text));
}

export function versionOf(address: AddressBytes): IpVersion {
  return MAPPED_PREFIX.every((byte, index) => address[index] === byte) ? 4 : 6;
}

/** The shortest form (RFC 5952). */
export function formatAddress(address: AddressBytes): string {
  if (versionOf(address) === 4) return [...address.subarray(12)].join('.');
  return ipaddr.fromByteArray([...address]).toString();
}

/** The four words of an address as a little-endian machine loads them: what the codecs and the hash take. */
export function wordsOf(address: AddressBytes): number[] {
  const view = new DataView(address.buffer, address.byteOffset, 16);
  return [0, 4, 8, 12].map((offset) => view.getUint32(offset, true));
}

export function addressOfWords(words: readonly number[]): AddressBytes {
  const view = new DataView(new ArrayBuffer(16));
  words.forEach((word, index) => {
    view.setUint32(index * 4, word, true);
  });
  return new Uint8Array(view.buffer);
}

/** A mask of `prefixLength` ones for a version; for IPv4 the mapped prefix counts as masked. */
export function maskOf(version: IpVersion, prefixLength: number): AddressBytes {
  const longest = version === 4 ? 32 : 128;
  if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > longest) {
    throw new RangeError(`prefix length of IPv${version} must be 0-${longest}, got ${prefixLength}`);
  }
  const ones = prefixLength + (version === 4 ? 96 : 0);
  return Uint8Array.from({ length: 16 }, (_, index) => {
    const bits = Math.min(8, Math.max(0, ones - index * 8));
    return (0xff << (8 - bits)) & 0xff;
  });
}

export type Prefix = { address: AddressBytes; mask: AddressBytes; version: IpVersion };

/** `text` as address/length or a lone address. @throws TypeError where host bits are set. */
export function parsePrefix(text: string): Prefix {
  const [addressText = '', lengthText] = text.split('/', 2);
  const address = parseAddress(addressText);
  const version = versionOf(address);
  if (lengthText !== undefined && !/^\d{1,3}$/.test(lengthText)) throw new TypeError(`not a prefix: ${text}`);
  const mask = maskOf(version, lengthText === undefined ? (version === 4 ? 32 : 128) : Number(lengthText));
  if (address.some((byte, index) => (byte & ~mask[index]! & 0xff) !== 0)) {
    throw new TypeError(`${text} has bits beyond its prefix length`);
  }
  return { address, mask, version };
}

/** Six bytes of aa:bb:cc:dd:ee:ff. */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new TypeError(`not a MAC address: ${text}`);
  return Uint8Array.from(text.split(':'), (octet) => Number.parseInt(octet, 16));
}

/** A port or other 16-bit number as a little-endian machine loads it from the wire. */
export function networkOrder16(value: number): number {
  return ((value & 0xff) << 8) | (value >> 8);
}

/** With both ends. */
export type PortRange = { readonly from: number; readonly to: number };
