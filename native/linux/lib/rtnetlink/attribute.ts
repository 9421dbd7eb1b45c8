// Netlink attributes (struct nlattr): length, type, value, padding to four bytes. Kernel documentation:
// userspace-api/netlink/intro.
import { MalformedMessageError, Reader, type Writer } from './bytes.ts';

const HEADER_BYTES = 4;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** One attribute with readers that check its length. */
export class Attribute {
  readonly type: number;
  readonly value: Uint8Array;

  constructor(type: number, value: Uint8Array) {
    this.type = type;
    this.value = value;
  }

  u8(): number {
    return this.#sized(1).u8();
  }

  u16(): number {
    return this.#sized(2).u16();
  }

  u32(): number {
    return this.#sized(4).u32();
  }

  u64(): bigint {
    return this.#sized(8).u64();
  }

  i32(): number {
    return this.#sized(4).i32();
  }

  /** Up to the first NUL; the kernel always writes one, a missing one is tolerated. */
  text(): string {
    const end = this.value.indexOf(0);
    return decoder.decode(end < 0 ? this.value : this.value.subarray(0, end));
  }

  #sized(lengthBytes: number): Reader {
    if (this.value.length !== lengthBytes) {
      throw new MalformedMessageError(
        `attribute ${this.type} has ${this.value.length} bytes instead of ${lengthBytes}`,
      );
    }
    return new Reader(this.value, `attribute ${this.type}`);
  }
}

/** Each attribute of a run, in order. Every step consumes at least a header, so the walk ends. */
export function* attributes(bytes: Uint8Array): Generator<Attribute> {
  let rest = bytes;
  while (rest.length > 0) {
    const reader = new Reader(rest, 'attribute header');
    const lengthBytes = reader.u16();
    const type = reader.u16();
    if (lengthBytes < HEADER_BYTES || lengthBytes > rest.length) {
      throw new MalformedMessageError(
        `attribute ${type & NLA_TYPE_MASK} claims ${lengthBytes} of ${rest.length} bytes`,
      );
    }
    yield new Attribute(type & NLA_TYPE_MASK, rest.subarray(HEADER_BYTES, lengthBytes));
    // The last attribute's padding may be missing.
    rest = rest.subarray(Math.min((lengthBytes + 3) & ~3, rest.length));
  }
}

/** By type; of repeated attributes the last counts, as in the kernel. */
export function attributeMap(bytes: Uint8Array): Map<number, Attribute> {
  const map = new Map<number, Attribute>();
  for (const attribute of attributes(bytes)) map.set(attribute.type, attribute);
  return map;
}

export function putBytes(writer: Writer, type: number, value: Uint8Array): void {
  writer.u16(HEADER_BYTES + value.length);
  writer.u16(type);
  writer.bytes(value);
  writer.align();
}

export function putU32(writer: Writer, type: number, value: number): void {
  writer.u16(HEADER_BYTES + 4);
  writer.u16(type);
  writer.u32(value);
}

export function putText(writer: Writer, type: number, value: string): void {
  putBytes(writer, type, encoder.encode(`${value}\0`));
}

export function putNested(writer: Writer, type: number, body: () => void): void {
  const start = writer.lengthBytes;
  writer.u16(0);
  writer.u16(type | NLA_F_NESTED);
  body();
  writer.patchU16(start, writer.lengthBytes - start);
}
