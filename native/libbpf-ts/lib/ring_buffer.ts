// Owns reading from a ring-buffer map, in one of two ways: drain() for volume, onRecord() for rare events.
import { checkFunction, checkInteger, describe, U32_MAX } from './check.ts';
import { BpfError, during, must } from './errors.ts';
import { duplicate, Handle } from './handle.ts';
import { BpfMap } from './map.ts';
import { type NativeRingBuffer, native } from './native.ts';

/** Records one after the other: record i is data[offsets[i] … offsets[i + 1]]. */
export interface DrainedRecords {
  readonly data: Uint8Array;
  /** One entry more than there are records. */
  readonly offsets: Uint32Array;
  readonly count: number;
}

const DEFAULT_DRAIN = 65_536;
/** Records a wake-up delivers before other events get their turn; the rest follows with the next. */
const RECORDS_PER_WAKEUP = 1024;

/** The reader of a ring buffer. A ring has one reader: a second one would take records from the first. */
export class RingBuffer extends Handle<NativeRingBuffer> {
  readonly #name: string;
  #watching = false;

  constructor(map: BpfMap) {
    if (!(map instanceof BpfMap)) throw new TypeError(`map must be a BpfMap, got ${describe(map)}`);
    if (map.info.type !== 'ringbuf') throw new TypeError(`map must be of type ringbuf, got ${map.info.type}`);
    const name = `ring buffer ${map.info.name}`;
    const resource = during('open', name, () => new native.RingBuffer(duplicate(map.fd, name)));
    super(resource, native.RingBuffer as never, name);
    this.#name = name;
  }

  /** Takes what is there, up to a number of records and 64 MiB, without waiting. */
  drain(maxRecords: number = DEFAULT_DRAIN): DrainedRecords {
    const records = this.native.drain(checkInteger(maxRecords, 'maxRecords', 1, U32_MAX));
    if (typeof records === 'number') throw new BpfError('drain', this.#name, -records);
    return records;
  }

  /**
   * Calls back for every record as it comes, until close(). Keeps the process running unless unref() is called.
   * What the callback throws is reported as an uncaught exception; later records are still delivered.
   */
  onRecord(callback: (record: Uint8Array) => void): this {
    checkFunction(callback, 'callback');
    const ring = this.native;
    if (this.#watching) throw new Error(`${this.#name} already has a callback`);
    must(
      ring.startWatch(() => this.#deliver(callback)),
      'watch',
      this.#name,
    );
    this.#watching = true;
    return this;
  }

  /** Keeps the process running while records are awaited; the default. */
  ref(): this {
    this.native.setRef(true);
    return this;
  }

  /** Lets the process end while records are awaited. */
  unref(): this {
    this.native.setRef(false);
    return this;
  }

  #deliver(callback: (record: Uint8Array) => void): void {
    const { data, offsets, count } = this.drain(RECORDS_PER_WAKEUP);
    for (let index = 0; index < count && !this.closed; index++) {
      try {
        // A copy each: a kept record must not keep the whole batch.
        callback(data.slice(offsets[index], offsets[index + 1]));
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
