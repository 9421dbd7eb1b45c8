// Owns what a mux's program knows of itself: who it is, how far it is, until when it may decide, and how time is told.
// Each member is written in one store. Not here: when these change (control/cluster), making the time (clock.ts).
import { MUX_SELF_LAYOUT, type MuxSelf, muxSelfCodec } from './generated/layout.ts';
import { memberOffset } from './layout_offsets.ts';

const offset = (member: keyof MuxSelf): number => memberOffset(MUX_SELF_LAYOUT, member);
const DEADLINE = offset('deadline') / 8;
const ID = offset('id') / 4;
const INCARNATION = offset('incarnation') / 4;
const VERSION = offset('version') / 4;
const TIME_OFFSET = offset('time_offset') / 4;
const KEY_ID = offset('key_id');

/** A deadline that never passes. */
export const NO_DEADLINE = 0xffff_ffff_ffff_ffffn;

/** Of tables of flows that are being emptied: nothing that others send is for it. */
export const NO_INCARNATION = 0;

/** Past, and nobody is heard who could decide instead (bpf/types.h). */
export const DEADLINE_ALONE = 1n;

export class SelfRecord {
  readonly #words64: BigUint64Array;
  readonly #words32: Uint32Array;
  readonly #bytes: Uint8Array;

  /** `record` is the mapped section. */
  constructor(record: ArrayBuffer) {
    this.#words64 = new BigUint64Array(record, 0, muxSelfCodec.sizeBytes / 8);
    this.#words32 = new Uint32Array(record, 0, muxSelfCodec.sizeBytes / 4);
    this.#bytes = new Uint8Array(record, 0, muxSelfCodec.sizeBytes);
  }

  /** 1-63; 0: in no cluster, and nobody keeps flows. */
  get id(): number {
    return this.#load(ID);
  }

  set id(id: number) {
    this.#store(ID, id);
  }

  /** Another one whenever the flow tables were emptied. */
  get incarnation(): number {
    return this.#load(INCARNATION);
  }

  set incarnation(incarnation: number) {
    this.#store(INCARNATION, incarnation);
  }

  /** Of the configuration that is in effect on every CPU. */
  get version(): number {
    return this.#load(VERSION);
  }

  set version(version: number) {
    this.#store(VERSION, version);
  }

  /** Ticks that make the cluster's time of this host's, modulo 2^32. */
  get timeOffset(): number {
    return this.#load(TIME_OFFSET);
  }

  set timeOffset(ticks: number) {
    this.#store(TIME_OFFSET, ticks >>> 0);
  }

  /** Of the key that this mux signs with. */
  get keyId(): number {
    return Atomics.load(this.#bytes, KEY_ID);
  }

  set keyId(id: number) {
    Atomics.store(this.#bytes, KEY_ID, id);
  }

  /** In jiffies, or in ticks under driven time. */
  get deadline(): bigint {
    return Atomics.load(this.#words64, DEADLINE);
  }

  set deadline(at: bigint) {
    Atomics.store(this.#words64, DEADLINE, at);
  }

  #load(word: number): number {
    return Atomics.load(this.#words32, word);
  }

  #store(word: number, value: number): void {
    Atomics.store(this.#words32, word, value);
  }
}
