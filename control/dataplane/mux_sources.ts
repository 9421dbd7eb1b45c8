// Owns which tunnel sources a backend takes for muxes: two banks, one of which packets are judged by.
import { parsePrefix, wordsOf } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';
import type { MuxSource } from './generated/layout.ts';
import { Limit, muxSourceCodec } from './generated/layout.ts';
import type { GraceMark, GracePeriods } from './grace.ts';

const BANK_SHIFT = 16;
const COUNT_MASK = 0xffff;

export class MuxSources {
  readonly #sources: DataView;
  readonly #set: Uint32Array;
  readonly #grace: GracePeriods;
  /** When the bank that is not in use was left. */
  #left: GraceMark | undefined;

  /** The mapped sections of the program. */
  constructor(sources: ArrayBuffer, set: ArrayBuffer, grace: GracePeriods) {
    this.#sources = new DataView(sources);
    this.#set = new Uint32Array(set, 0, 1);
    this.#grace = grace;
  }

  /** Prefixes (or addresses). Every packet is judged by the set before or by this one. False where it is the same. */
  async apply(prefixes: readonly string[]): Promise<boolean> {
    const wanted = parseSources(prefixes);
    if (JSON.stringify(this.#list()) === JSON.stringify(wanted)) return false;
    if (this.#left !== undefined && !this.#grace.passed(this.#left)) await this.#grace.wait();
    this.#write(wanted);
    return true;
  }

  /** Copies the set of a program of another layout; `read` gives its elements in the layout of today. */
  migrate(set: number, read: (index: number, target: DataView, at: number) => void, bankSize: number): void {
    const scratch = new DataView(new ArrayBuffer(muxSourceCodec.sizeBytes));
    const sources = Array.from({ length: set & COUNT_MASK }, (_, index) => {
      read((set >>> BANK_SHIFT) * bankSize + index, scratch, 0);
      return muxSourceCodec.read(scratch, 0);
    });
    if (sources.length > Limit.LIMIT_MUX_SOURCES) throw tooMany(sources.length);
    this.#write(sources);
  }

  #write(wanted: readonly MuxSource[]): void {
    const set = Atomics.load(this.#set, 0);
    const bank = set >>> BANK_SHIFT === 0 ? 1 : 0;
    wanted.forEach((source, index) => {
      muxSourceCodec.write(this.#sources, this.#offsetOf(bank, index), source);
    });
    Atomics.store(this.#set, 0, (bank << BANK_SHIFT) | wanted.length);
    this.#left = this.#grace.mark();
  }

  /** As they stand in the bank in use. */
  #list(): MuxSource[] {
    const set = Atomics.load(this.#set, 0);
    return Array.from({ length: set & COUNT_MASK }, (_, index) =>
      muxSourceCodec.read(this.#sources, this.#offsetOf(set >>> BANK_SHIFT, index)),
    );
  }

  #offsetOf(bank: number, index: number): number {
    return (bank * Limit.LIMIT_MUX_SOURCES + index) * muxSourceCodec.sizeBytes;
  }
}

/** @throws Failure where they are too many. */
export function parseSources(prefixes: readonly string[]): MuxSource[] {
  if (prefixes.length > Limit.LIMIT_MUX_SOURCES) throw tooMany(prefixes.length);
  return prefixes.map((text) => {
    const { address, mask } = parsePrefix(text);
    return { address: { word: wordsOf(address) }, mask: { word: wordsOf(mask) } };
  });
}

function tooMany(count: number): Failure {
  return new Failure('limit', `${count} prefixes of muxes are more than a backend takes`, {
    reason: `it takes ${Limit.LIMIT_MUX_SOURCES}`,
    remedy: 'use one prefix for the tunnel sources of several muxes',
  });
}
