// IP and hardware addresses between text and bytes. Text is canonical when written (RFC 5952) and anything that
// RFC 4291 section 2.2 allows, without a zone, when read.
import { MalformedMessageError } from './bytes.ts';

export type IpFamily = 4 | 6;

/** A network: `{ address: '198.18.0.0', prefixLength: 15 }`. */
export interface Prefix {
  readonly address: string;
  readonly prefixLength: number;
}

export const AF_INET = 2;
export const AF_INET6 = 10;

const HARDWARE_LIMIT_BYTES = 32; // MAX_ADDR_LEN

export const familyNumber = (family: IpFamily): number => (family === 4 ? AF_INET : AF_INET6);

export const familyOf = (number: number): IpFamily | undefined =>
  number === AF_INET ? 4 : number === AF_INET6 ? 6 : undefined;

export const addressBits = (family: IpFamily): number => (family === 4 ? 32 : 128);

/** The bytes of an address, 4 or 16; undefined when the text is none. */
export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** The address of an attribute; its length must fit the family. */
export function formatIp(bytes: Uint8Array, family: IpFamily): string {
  if (bytes.length * 8 !== addressBits(family)) {
    throw new MalformedMessageError(`an IPv${family} address of ${bytes.length} bytes`);
  }
  return family === 4 ? bytes.join('.') : formatIpv6(bytes);
}

export function formatHardwareAddress(bytes: Uint8Array): string {
  if (bytes.length > HARDWARE_LIMIT_BYTES) {
    throw new MalformedMessageError(`a hardware address of ${bytes.length} bytes`);
  }
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** `aa:bb:cc:dd:ee:ff`; undefined when the text is none. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

/** `198.18.0.0/15`, or a bare address as a host's prefix; undefined when the text is neither. */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  const bytes = match?.[1] === undefined ? undefined : parseIp(match[1]);
  if (bytes === undefined) return undefined;
  const bits = bytes.length * 8;
  const prefixLength = match?.[2] === undefined ? bits : Number(match[2]);
  if (prefixLength > bits) return undefined;
  return { address: formatIp(bytes, bits === 32 ? 4 : 6), prefixLength };
}

export const formatPrefix = (prefix: Prefix): string => `${prefix.address}/${prefix.prefixLength}`;

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) {
    return undefined;
  }
  return Uint8Array.from(parts, Number);
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0]!, halves.length === 1);
  const tail = parseGroups(halves[1] ?? '', true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set(head);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

function parseGroups(text: string, ends: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    if (ends && index === groups.length - 1 && group.includes('.')) {
      const quad = parseIpv4(group);
      if (quad === undefined) return undefined;
      bytes.push(...quad);
    } else if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else return undefined;
    if (bytes.length > 16) return undefined;
  }
  return bytes;
}

const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

function formatIpv6(bytes: Uint8Array): string {
  if (MAPPED_PREFIX.every((byte, index) => bytes[index] === byte)) {
    return `::ffff:${bytes.subarray(12).join('.')}`;
  }
  const groups = Array.from({ length: 8 }, (_, index) => (bytes[2 * index]! << 8) | bytes[2 * index + 1]!);
  let zeros = { start: 0, count: 0 };
  for (let start = 0; start < 8; start += 1) {
    let count = 0;
    while (start + count < 8 && groups[start + count] === 0) count += 1;
    if (count > zeros.count) zeros = { start, count };
  }
  const text = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
  if (zeros.count < 2) return text(groups);
  return `${text(groups.slice(0, zeros.start))}::${text(groups.slice(zeros.start + zeros.count))}`;
}
