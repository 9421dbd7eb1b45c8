// Owns an initiator's side of iSCSI's wire format for tests, written from RFC 7143 and sharing no line with the codec:
// PDUs are built by naming bytes, and read into plain objects.

export type Fields = Readonly<Record<string, number | readonly number[] | Uint8Array>>;

export interface Digests {
  readonly header?: boolean;
  readonly data?: boolean;
}

/** Where fields of initiators' PDUs lie: offset and size. EDTL, TTT, RTT and CID share bytes. */
const LAYOUT: Readonly<Record<string, readonly [number, number]>> = {
  opcode: [0, 1],
  flags: [1, 1],
  versionMax: [2, 1],
  versionMin: [3, 1],
  lun: [8, 8],
  isid: [8, 6],
  TSIH: [14, 2],
  ITT: [16, 4],
  TTT: [20, 4],
  EDTL: [20, 4],
  RTT: [20, 4],
  CID: [20, 2],
  CmdSN: [24, 4],
  ExpStatSN: [28, 4],
  RefCmdSN: [32, 4],
  cdb: [32, 16],
  DataSN: [36, 4],
  offset: [40, 4],
};

/** Bit by bit, as the definition has it. */
export function slowCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

export function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export interface Extra {
  readonly data?: Uint8Array;
  readonly ahs?: Uint8Array;
  readonly digests?: Digests;
}

export function buildPdu(
  fields: Fields,
  { data = EMPTY, ahs = EMPTY, digests = {} }: Extra = {},
): Uint8Array {
  const header = new Uint8Array(48 + ahs.length);
  for (const [name, value] of Object.entries(fields)) {
    const [offset, size] = LAYOUT[name]!;
    if (typeof value === 'number') {
      for (let at = 0; at < size; at++)
        header[offset + at] = Math.floor(value / 256 ** (size - 1 - at)) % 256;
    } else header.set(value, offset);
  }
  header[4] = ahs.length / 4;
  header.set([(data.length >> 16) & 255, (data.length >> 8) & 255, data.length & 255], 5);
  header.set(ahs, 48);
  const padded = new Uint8Array(Math.ceil(data.length / 4) * 4);
  padded.set(data);
  return concatenated([
    header,
    digests.header ? littleEndian(slowCrc32c(header)) : EMPTY,
    padded,
    digests.data && data.length > 0 ? littleEndian(slowCrc32c(padded)) : EMPTY,
  ]);
}

const EMPTY = new Uint8Array(0);

function littleEndian(value: number): Uint8Array {
  return Uint8Array.of(value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24);
}

export const NO_TAG = 0xffff_ffff;
const IMMEDIATE = 0x40;

export const text = (pairs: Readonly<Record<string, string | number>>): Uint8Array =>
  new TextEncoder().encode(
    Object.entries(pairs)
      .map(([key, value]) => `${key}=${value}\0`)
      .join(''),
  );

/** A PDU of the target, by the names of section 11; numbers that it does not have are what lies there. */
export interface TargetPdu {
  readonly opcode: number;
  readonly flags: number;
  readonly byte2: number;
  readonly byte3: number;
  readonly TSIH: number;
  readonly ITT: number;
  readonly TTT: number;
  readonly StatSN: number;
  readonly ExpCmdSN: number;
  readonly MaxCmdSN: number;
  readonly word36: number;
  readonly word40: number;
  readonly word44: number;
  readonly header: Uint8Array;
  readonly data: Uint8Array;
}

/** All PDUs of these bytes, which must be whole, with digests that are right and padding of zeros. */
export function parsePdus(bytes: Uint8Array, digests: Digests = {}): TargetPdu[] {
  const pdus: TargetPdu[] = [];
  let at = 0;
  const take = (count: number): Uint8Array => {
    if (at + count > bytes.length) throw new Error(`a PDU of the target is cut off at ${bytes.length}`);
    at += count;
    return bytes.subarray(at - count, at);
  };
  const check = (covered: Uint8Array, what: string) => {
    const sent = take(4);
    if (!littleEndian(slowCrc32c(covered)).every((byte, i) => byte === sent[i]))
      throw new Error(`${what} digest`);
  };
  while (at < bytes.length) {
    const header = take(48);
    if (header[4] !== 0) throw new Error('the target sends no additional header segments');
    if (digests.header) check(header, 'header');
    const length = (header[5]! << 16) | (header[6]! << 8) | header[7]!;
    const segment = take(Math.ceil(length / 4) * 4);
    if (segment.subarray(length).some((byte) => byte !== 0)) throw new Error('padding is not zero');
    if (digests.data && length > 0) check(segment, 'data');
    const word = (offset: number) =>
      ((header[offset]! << 24) |
        (header[offset + 1]! << 16) |
        (header[offset + 2]! << 8) |
        header[offset + 3]!) >>>
      0;
    pdus.push({
      opcode: header[0]!,
      flags: header[1]!,
      byte2: header[2]!,
      byte3: header[3]!,
      TSIH: word(12) & 0xffff,
      ITT: word(16),
      TTT: word(20),
      StatSN: word(24),
      ExpCmdSN: word(28),
      MaxCmdSN: word(32),
      word36: word(36),
      word40: word(40),
      word44: word(44),
      header: header.slice(),
      data: segment.slice(0, length),
    });
  }
  return pdus;
}

/** `Key=value` pairs of a data segment, in order. */
export function parsePairs(data: Uint8Array): [string, string][] {
  const parts = new TextDecoder().decode(data).split('\0');
  if (parts.pop() !== '') throw new Error('text without an end');
  return parts.map((part) => {
    const equals = part.indexOf('=');
    return [part.slice(0, equals), part.slice(equals + 1)];
  });
}

export interface LoginFields {
  readonly CSG?: number;
  readonly NSG?: number;
  readonly transit?: boolean;
  readonly continues?: boolean;
  readonly isid?: readonly number[];
  readonly TSIH?: number;
  readonly CID?: number;
  readonly CmdSN?: number;
  readonly ITT?: number;
  readonly versionMin?: number;
}

export const ISID = [0x80, 1, 2, 3, 4, 5];

export function loginPdu(
  pairs: Readonly<Record<string, string | number>> | Uint8Array,
  { CSG = 0, NSG = 1, transit = true, continues = false, ...more }: LoginFields = {},
): Uint8Array {
  const flags = (transit ? 0x80 : 0) | (continues ? 0x40 : 0) | (CSG << 2) | (transit ? NSG : 0);
  const fields = { opcode: 0x03 | IMMEDIATE, flags, isid: ISID, ITT: 7, CmdSN: 100, ...more };
  return buildPdu(fields, { data: pairs instanceof Uint8Array ? pairs : text(pairs) });
}
