// Owns the keys that headers between muxes are signed with, as the program has them. Which key is used when is
// control/cluster's: all muxes know a key before one uses it, and none uses it before it goes.
import { ASK_KEY_LAYOUT, type AskKey, askKeyCodec, Limit } from './generated/layout.ts';
import type { GracePeriods } from './grace.ts';
import { memberOffset } from './layout_offsets.ts';
import type { SelfRecord } from './self.ts';

const { sizeBytes: RECORD_BYTES } = askKeyCodec;
const offset = (member: keyof AskKey): number => memberOffset(ASK_KEY_LAYOUT, member);
const KEY = offset('key');
const PRESENT = offset('present');
const KEY_BYTES = 16;
const ID_MAX = 255;

export class AskKeys {
  readonly #words: BigUint64Array;
  readonly #bytes: Uint8Array;
  readonly #self: SelfRecord;
  readonly #grace: GracePeriods;

  /** `records` is the mapped section. */
  constructor(records: ArrayBuffer, self: SelfRecord, grace: GracePeriods) {
    this.#words = new BigUint64Array(records);
    this.#bytes = new Uint8Array(records);
    this.#self = self;
    this.#grace = grace;
  }

  /** Places that have a key: ids modulo their number. */
  places(): number[] {
    return Array.from({ length: Limit.LIMIT_ASK_KEYS }, (_, place) => place).filter((place) =>
      this.#isPresent(place),
    );
  }

  /** Id of the key that this mux signs with. */
  get used(): number {
    return this.#self.keyId;
  }

  /** Has the program take headers with this key. The same again writes nothing. */
  async install(id: number, key: Uint8Array): Promise<void> {
    checkKey(id, key);
    const place = id % Limit.LIMIT_ASK_KEYS;
    if (this.#isPresent(place) && this.#says(place, key)) return;
    if (this.#isPresent(place)) await this.#takeAway(place);
    const view = new DataView(key.buffer, key.byteOffset, KEY_BYTES);
    for (const half of [0, 1])
      Atomics.store(this.#words, (place * RECORD_BYTES + KEY) / 8 + half, view.getBigUint64(half * 8, true));
    Atomics.store(this.#bytes, place * RECORD_BYTES + PRESENT, 1);
  }

  /** Signs with a key that is installed. */
  use(id: number): void {
    if (!this.#isPresent(id % Limit.LIMIT_ASK_KEYS)) throw new Error(`ask key ${id} is not installed`);
    this.#self.keyId = id;
  }

  /** Forgets a key. */
  async remove(id: number): Promise<void> {
    const place = id % Limit.LIMIT_ASK_KEYS;
    if (this.#isPresent(place)) await this.#takeAway(place);
  }

  async #takeAway(place: number): Promise<void> {
    Atomics.store(this.#bytes, place * RECORD_BYTES + PRESENT, 0);
    await this.#grace.wait();
    for (const half of [0, 1]) Atomics.store(this.#words, (place * RECORD_BYTES + KEY) / 8 + half, 0n);
  }

  #isPresent(place: number): boolean {
    return Atomics.load(this.#bytes, place * RECORD_BYTES + PRESENT) !== 0;
  }

  #says(place: number, key: Uint8Array): boolean {
    const at = place * RECORD_BYTES + KEY;
    return Buffer.compare(this.#bytes.subarray(at, at + KEY_BYTES), key) === 0;
  }
}

function checkKey(id: number, key: Uint8Array): void {
  if (!Number.isInteger(id) || id < 0 || id > ID_MAX)
    throw new RangeError(`the id of an ask key is 0-${ID_MAX}, got ${id}`);
  if (key.byteLength !== KEY_BYTES)
    throw new RangeError(`an ask key has ${KEY_BYTES} bytes, got ${key.byteLength}`);
}
