// A program under construction in its slot, and its results. It writes what it is told; meaning and order are the
// caller's, bounds are checked again by the addon.
import { HEADER_BYTES, INSTRUCTION_BYTES, INSTRUCTIONS_MAX, SLOT_BYTES } from './layout.ts';

const WORDS = 4;
/** Operands and results lie behind the instructions. */
const OPERANDS_AT = HEADER_BYTES + INSTRUCTIONS_MAX * INSTRUCTION_BYTES;

export type Operand = { readonly offset: number; readonly length: number };

/** What an instruction needs beside its operation; see src/file/program.h. */
export type Step = {
  a?: number;
  b?: number;
  c?: number;
  flags?: number;
  offset?: number;
  length?: number;
  /** 64 bits: either whole, or as two halves. */
  x?: bigint;
  xLow?: number;
  xHigh?: number;
  y?: number;
};

const NO_REGISTER = 0xff;

export class Program {
  /** Of the storage's memory. */
  readonly slot: number;
  readonly #at: number;
  readonly #words: Int32Array;
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #count = 0;
  #free = OPERANDS_AT;

  constructor(memory: ArrayBuffer, slot: number) {
    this.slot = slot;
    this.#at = slot * SLOT_BYTES;
    this.#words = new Int32Array(memory, this.#at, SLOT_BYTES / WORDS);
    this.#bytes = Buffer.from(memory, this.#at, SLOT_BYTES);
    this.#view = new DataView(memory, this.#at, SLOT_BYTES);
  }

  /** Begins anew. */
  begin(): this {
    this.#count = 0;
    this.#free = OPERANDS_AT;
    this.#words[0] = 0;
    return this;
  }

  /** Adds an instruction; answers its number, by which `result` knows it. */
  add(operation: number, step: Step): number {
    const number = this.#count;
    if (number === INSTRUCTIONS_MAX) throw new RangeError('the program has too many instructions');
    const words = this.#words;
    const at = (HEADER_BYTES + number * INSTRUCTION_BYTES) / WORDS;
    const { a = NO_REGISTER, b = NO_REGISTER, c = NO_REGISTER } = step;
    words[at] = operation | ((step.flags ?? 0) << 16);
    words[at + 1] = a | (b << 8) | (c << 16);
    words[at + 2] = step.offset ?? 0;
    words[at + 3] = step.length ?? 0;
    if (step.x === undefined) {
      words[at + 4] = step.xLow ?? 0;
      words[at + 5] = step.xHigh ?? 0;
    } else {
      this.#view.setBigUint64((at + 4) * WORDS, BigInt.asUintN(64, step.x), true);
    }
    words[at + 6] = step.y ?? 0;
    this.#count = number + 1;
    words[0] = this.#count;
    return number;
  }

  /** Room for operands or results, aligned to 8. */
  room(bytes: number): number {
    const offset = this.#free;
    if (bytes > SLOT_BYTES - offset) throw new RangeError('the operands do not fit the program');
    this.#free = (offset + bytes + 7) & ~7;
    return offset;
  }

  put(bytes: Uint8Array): Operand {
    const offset = this.room(bytes.length);
    this.#bytes.set(bytes, offset);
    return { offset, length: bytes.length };
  }

  putBigInts(...values: bigint[]): number {
    const offset = this.room(values.length * 8);
    values.forEach((value, i) => {
      this.#view.setBigInt64(offset + i * 8, BigInt.asIntN(64, value), true);
    });
    return offset;
  }

  /** The errno value that failed the program; 0 when all was done. */
  get error(): number {
    return this.#words[2]!;
  }

  /** The instruction that failed it, or -1. */
  get failedAt(): number {
    return this.#words[1]!;
  }

  /** What the instruction's call returned, or a negative errno value, or NOT_RUN. */
  result(number: number): number {
    return this.#words[(HEADER_BYTES + number * INSTRUCTION_BYTES) / WORDS + 7]!;
  }

  /** `x` of an instruction, which some return something in. */
  x(number: number): bigint {
    return this.#view.getBigUint64(HEADER_BYTES + number * INSTRUCTION_BYTES + 16, true);
  }

  /** The slot's bytes: results are where the program said. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  get view(): DataView {
    return this.#view;
  }
}
