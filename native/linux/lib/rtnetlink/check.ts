// Checks of what callers pass in. A wrong argument is a bug of the caller: TypeError or RangeError, thrown before
// any byte is written.
import { addressBits, type IpFamily, type Prefix, parseIp, parseMac } from './ip.ts';

export function checkInteger(value: unknown, name: string, min: number, max: number): number {
  if (typeof value !== 'number') throw new TypeError(`${name} is not a number`);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} is ${value}, not an integer from ${min} to ${max}`);
  }
  return value;
}

export const checkU8 = (value: unknown, name: string): number => checkInteger(value, name, 0, 0xff);
export const checkU32 = (value: unknown, name: string): number => checkInteger(value, name, 0, 0xffff_ffff);
export const checkIfindex = (value: unknown, name = 'ifindex'): number =>
  checkInteger(value, name, 1, 0x7fff_ffff);

export function checkText(value: unknown, name: string): string {
  if (typeof value !== 'string') throw new TypeError(`${name} is not a string`);
  if (value === '' || value.includes('\0')) throw new TypeError(`${name} is empty or contains NUL`);
  return value;
}

export function checkObject(value: unknown, name: string): void {
  if (typeof value !== 'object' || value === null) throw new TypeError(`${name} is not an object`);
}

export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw new TypeError(`${name} is not a function`);
}

export function checkFamily(value: unknown): IpFamily {
  if (value !== 4 && value !== 6) throw new TypeError('family is neither 4 nor 6');
  return value;
}

/** The family and bytes of an address. */
export function checkIp(value: unknown, name: string): { family: IpFamily; bytes: Uint8Array } {
  const bytes = parseIp(checkText(value, name));
  if (bytes === undefined) throw new TypeError(`${name} is not an IP address: ${value}`);
  return { family: bytes.length === 4 ? 4 : 6, bytes };
}

export function checkPrefix(
  value: Prefix,
  name: string,
): { family: IpFamily; bytes: Uint8Array; prefixLength: number } {
  checkObject(value, name);
  const { family, bytes } = checkIp(value.address, `${name}.address`);
  return {
    family,
    bytes,
    prefixLength: checkInteger(value.prefixLength, `${name}.prefixLength`, 0, addressBits(family)),
  };
}

export function checkMac(value: unknown, name: string): Uint8Array {
  const bytes = parseMac(checkText(value, name));
  if (bytes === undefined) throw new TypeError(`${name} is not a MAC address: ${value}`);
  return bytes;
}

const NAME_LIMIT_BYTES = 15; // IFNAMSIZ less its NUL

export function checkLinkName(value: unknown, name: string): string {
  const text = checkText(value, name);
  if (new TextEncoder().encode(text).length > NAME_LIMIT_BYTES) {
    throw new RangeError(`${name} has more than ${NAME_LIMIT_BYTES} bytes: ${text}`);
  }
  return text;
}
