// Owns the block structure of pcapng (draft-ietf-opsawg-pcapng): cutting a stream into whole blocks, and the fields of
// the blocks that carry packets. Old pcap files are packet_file.ts.
import { Failure } from '../lib/failure.ts';

export const SECTION_HEADER = 0x0a0d0d0a;
export const INTERFACE_DESCRIPTION = 1;
const PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;

/** Beyond any packet with its comments. */
const BLOCK_BYTES_MAX = 1 << 20;

/** Type and total length before, total length again after. */
const BLOCK_BYTES_MIN = 12;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

export type Block = {
  readonly type: number;
  readonly littleEndian: boolean;
  /** Between the two lengths. */
  readonly body: DataView;
  /** The whole block. */
  readonly bytes: Uint8Array;
};

/** Takes blocks off the front of what has come so far. */
export class BlockReader {
  #littleEndian = true;
  #begun = false;
  /** Bytes of the blocks taken. */
  #position = 0;
  readonly #what: string;

  /** `what` names it in messages. */
  constructor(what: string) {
    this.#what = what;
  }

  /** Undefined where the block is not complete yet. @throws Failure where this is no pcapng. */
  next(bytes: Uint8Array): Block | undefined {
    if (bytes.length < BLOCK_BYTES_MIN) return undefined;
    const view = viewOf(bytes);
    // Reads the same in both byte orders.
    const opensSection = view.getUint32(0) === SECTION_HEADER;
    if (opensSection) this.#littleEndian = this.#byteOrder(view.getUint32(8));
    else if (!this.#begun) throw this.#damaged('it does not begin with a section header');
    this.#begun = true;
    const length = view.getUint32(4, this.#littleEndian);
    if (length < BLOCK_BYTES_MIN || length % 4 !== 0 || length > BLOCK_BYTES_MAX) {
      throw this.#damaged(`a block of ${length} bytes cannot be`);
    }
    if (bytes.length < length) return undefined;
    if (view.getUint32(length - 4, this.#littleEndian) !== length) {
      throw this.#damaged('the two lengths of a block differ');
    }
    this.#position += length;
    return {
      type: view.getUint32(0, this.#littleEndian),
      littleEndian: this.#littleEndian,
      body: viewOf(bytes.subarray(8, length - 4)),
      bytes: bytes.subarray(0, length),
    };
  }

  #byteOrder(magic: number): boolean {
    if (magic === BYTE_ORDER_MAGIC) return false;
    if (magic === 0x4d3c2b1a) return true;
    throw this.#damaged('the byte order of a section is unknown');
  }

  #damaged(reason: string): Failure {
    return new Failure('invalid', `${this.#what} is damaged.`, {
      reason: `At byte ${this.#position}: ${reason}.`,
    });
  }
}

export type Blocks = {
  readonly blocks: readonly Block[];
  /** All of them, one after the other. */
  readonly bytes: Uint8Array;
};

/** Whole blocks of a stream that is cut anywhere, as they come; what follows the last whole one is left out. */
export async function* wholeBlocks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Blocks> {
  const reader = new BlockReader('The stream of packets');
  let rest: Uint8Array = new Uint8Array();
  for await (const chunk of chunks) {
    const come: Uint8Array = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const blocks: Block[] = [];
    rest = come;
    for (let block = reader.next(rest); block !== undefined; block = reader.next(rest)) {
      rest = rest.subarray(block.bytes.length);
      blocks.push(block);
    }
    if (blocks.length > 0) yield { blocks, bytes: come.subarray(0, come.length - rest.length) };
  }
}

export type BlockPacket = {
  /** Index into the interface descriptions of the section. */
  readonly interfaceIndex: number;
  /** In units of the interface's resolution; absent in simple packets. */
  readonly timestamp?: bigint;
  readonly lengthBytes: number;
  readonly bytes: Uint8Array;
};

/** Undefined where the block carries no packet. */
export function packetOf({ type, body, littleEndian }: Block): BlockPacket | undefined {
  if (type === SIMPLE_PACKET) {
    const lengthBytes = u32(body, 0, littleEndian);
    return {
      interfaceIndex: 0,
      lengthBytes,
      bytes: part(body, 4, Math.min(lengthBytes, body.byteLength - 4)),
    };
  }
  if (type !== ENHANCED_PACKET && type !== PACKET) return undefined;
  const interfaceIndex = type === PACKET ? u16(body, 0, littleEndian) : u32(body, 0, littleEndian);
  const timestamp = (BigInt(u32(body, 4, littleEndian)) << 32n) | BigInt(u32(body, 8, littleEndian));
  const captured = u32(body, 12, littleEndian);
  return {
    interfaceIndex,
    timestamp,
    lengthBytes: u32(body, 16, littleEndian),
    bytes: part(body, 20, captured),
  };
}

export function linkTypeOf({ body, littleEndian }: Block): number {
  return u16(body, 0, littleEndian);
}

function u16(view: DataView, offset: number, littleEndian: boolean): number {
  if (offset + 2 > view.byteLength) throw tooShort();
  return view.getUint16(offset, littleEndian);
}

function u32(view: DataView, offset: number, littleEndian: boolean): number {
  if (offset + 4 > view.byteLength) throw tooShort();
  return view.getUint32(offset, littleEndian);
}

function part(view: DataView, offset: number, length: number): Uint8Array {
  if (length < 0 || offset + length > view.byteLength) throw tooShort();
  return new Uint8Array(view.buffer, view.byteOffset + offset, length);
}

function tooShort(): Failure {
  return new Failure('invalid', 'The capture is damaged.', { reason: 'A block is shorter than its fields.' });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
