// A model of what muxes send each other, written from the design: the in-band header, its tag, and the frame around
// it. Shares no code with the program nor with generated codecs.
import { address, be, type Datagram, ipv4, link, udp } from './packets.ts';

const U64 = (1n << 64n) - 1n;

/** SipHash-2-4 over whole little-endian words (Aumasson and Bernstein, 2012). */
export function sipHash(key: readonly [bigint, bigint], words: readonly bigint[]): bigint {
  return sipHashOf(key, [...words, (BigInt(words.length * 8) & 0xffn) << 56n]);
}

/** The last word has the last bytes of the message, fewer than eight, and its length in the top byte. */
function sipHashOf(key: readonly [bigint, bigint], words: readonly bigint[]): bigint {
  let v0 = 0x736f6d6570736575n ^ key[0];
  let v1 = 0x646f72616e646f6dn ^ key[1];
  let v2 = 0x6c7967656e657261n ^ key[0];
  let v3 = 0x7465646279746573n ^ key[1];
  const turn = (word: bigint, bits: bigint) => ((word << bits) | (word >> (64n - bits))) & U64;
  const round = () => {
    v0 = (v0 + v1) & U64;
    v1 = turn(v1, 13n) ^ v0;
    v0 = turn(v0, 32n);
    v2 = (v2 + v3) & U64;
    v3 = turn(v3, 16n) ^ v2;
    v0 = (v0 + v3) & U64;
    v3 = turn(v3, 21n) ^ v0;
    v2 = (v2 + v1) & U64;
    v1 = turn(v1, 17n) ^ v2;
    v2 = turn(v2, 32n);
  };
  for (const word of words) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  v2 ^= 0xffn;
  for (let i = 0; i < 4; i++) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

export const OPERATION = { ask: 1, record: 2, answer: 3, relay: 4 } as const;
export type Operation = keyof typeof OPERATION;
export const FLAG = { newFlow: 1, unrecorded: 2, lookUp: 4 } as const;

/** What a header says; little-endian on the wire. */
export type Header = {
  keyId: number;
  asker: number;
  askerIncarnation: number;
  slot: number;
  pool: number;
  owner: number;
  backup: number;
  time: number;
  version: number;
  trackEpoch: number;
  chainEpoch: number;
  ownerIncarnation: number;
  backupIncarnation: number;
  operation: Operation;
  hops: number;
  flags: number;
  backend: number;
  generation: number;
};

/** 56 bytes, signed. */
export function headerBytes(it: Header, key: readonly [bigint, bigint], hash: bigint): Uint8Array {
  const bytes = new Uint8Array(56);
  const view = new DataView(bytes.buffer);
  bytes.set([1, it.keyId, it.asker, 0]);
  view.setUint32(4, it.askerIncarnation, true);
  view.setUint32(8, it.slot, true);
  view.setUint16(12, it.pool, true);
  bytes.set([it.owner, it.backup], 14);
  view.setUint32(16, it.time, true);
  view.setUint32(20, it.version, true);
  view.setUint32(24, it.trackEpoch, true);
  view.setUint32(28, it.chainEpoch, true);
  view.setUint32(32, it.ownerIncarnation, true);
  view.setUint32(36, it.backupIncarnation, true);
  bytes.set([OPERATION[it.operation], it.hops], 40);
  view.setUint16(42, it.backend, true);
  view.setUint16(44, it.generation, true);
  bytes.set([it.flags], 46);
  view.setBigUint64(48, headerTag(bytes, key, hash), true);
  return bytes;
}

/** Of 55 bytes: five words, the hash, and the next word but for its last byte. */
export function headerTag(header: Uint8Array, key: readonly [bigint, bigint], hash: bigint): bigint {
  const view = new DataView(header.buffer, header.byteOffset, 48);
  const words = [0, 1, 2, 3, 4].map((word) => view.getBigUint64(word * 8, true));
  const last = (view.getBigUint64(40, true) & ((1n << 56n) - 1n)) | (55n << 56n);
  return sipHashOf(key, [...words, hash, last]);
}

/** What stands in the header of a frame of askFrame(); undefined where it is none. */
export function readHeader(frame: Uint8Array): Header | undefined {
  const at = 14 + 20 + 8;
  if (frame.length < at + 56 || frame[23] !== 17) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset + at, 56);
  const operation = (Object.keys(OPERATION) as Operation[]).find((it) => OPERATION[it] === view.getUint8(40));
  if (operation === undefined) return undefined;
  return {
    keyId: view.getUint8(1),
    asker: view.getUint8(2),
    askerIncarnation: view.getUint32(4, true),
    slot: view.getUint32(8, true),
    pool: view.getUint16(12, true),
    owner: view.getUint8(14),
    backup: view.getUint8(15),
    time: view.getUint32(16, true),
    version: view.getUint32(20, true),
    trackEpoch: view.getUint32(24, true),
    chainEpoch: view.getUint32(28, true),
    ownerIncarnation: view.getUint32(32, true),
    backupIncarnation: view.getUint32(36, true),
    operation,
    hops: view.getUint8(41),
    backend: view.getUint16(42, true),
    generation: view.getUint16(44, true),
    flags: view.getUint8(46),
  };
}

export type Hop = {
  from: string;
  to: string;
  fromMac: Uint8Array;
  toMac: Uint8Array;
  port: number;
};

/** A frame from one mux to another that carries `inner` behind `header`. */
export function askFrame(
  hop: Hop,
  header: Header,
  key: readonly [bigint, bigint],
  hash: bigint,
  inner: Datagram,
): Uint8Array {
  const data = new Uint8Array(56 + inner.bytes.length);
  data.set(headerBytes(header, key, hash));
  data.set(inner.bytes, 56);
  const ports = { sourcePort: 0xc000 + Number((hash >> 12n) % 0x4000n), destinationPort: hop.port };
  const outer = ipv4(
    {
      source: hop.from,
      destination: hop.to,
      ttl: 64,
      identification: 0,
      dontFragment: true,
      trafficClass: trafficClassOf(inner),
    },
    udp({ ...ports, data, zeroChecksum: true }),
  );
  return link({ destination: hop.toMac, source: hop.fromMac }, 0x0800, outer.bytes);
}

function trafficClassOf({ version, bytes }: Datagram): number {
  return version === 4 ? bytes[1]! : ((bytes[0]! & 15) << 4) | (bytes[1]! >> 4);
}

/** An address's four words as a little-endian machine loads them from the wire; IPv4 is mapped. */
export function addressWords(text: string): number[] {
  const bytes = address(text);
  const whole = bytes.length === 16 ? bytes : Uint8Array.of(...be(0, 10), 0xff, 0xff, ...bytes);
  const view = new DataView(whole.buffer);
  return [0, 4, 8, 12].map((at) => view.getUint32(at, true));
}
