// Owns what a benchmark says: one record a case, complete and judged. Printing and drawing are elsewhere.
import { type Statistics, statistics } from './statistics.ts';

/** What a figure must be: the ratio where there is a reference, otherwise the value. */
export interface Must {
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface Measurement {
  readonly case: string;
  readonly unit: string;
  /** Either one figure, or a series, which is reported by its median and spread. */
  readonly value?: number;
  readonly samples?: readonly number[];
  /** What the value is compared with, and its value in the same unit. */
  readonly reference?: string;
  readonly referenceValue?: number;
  readonly must?: Must;
}

export interface BenchRecord extends Partial<Statistics> {
  readonly bench: string;
  readonly case: string;
  readonly value: number;
  readonly unit: string;
  readonly reference: string | null;
  readonly referenceValue: number | null;
  /** value ÷ referenceValue; null without a reference. */
  readonly ratio: number | null;
  readonly must?: Must;
  readonly ok?: boolean;
}

export class Report {
  readonly bench: string;
  readonly records: BenchRecord[] = [];
  readonly #onRecord: (record: BenchRecord) => void;

  constructor(bench: string, onRecord: (record: BenchRecord) => void = () => {}) {
    this.bench = bench;
    this.#onRecord = onRecord;
  }

  /** Records one case. Its value is then available as a reference for others. */
  add(measurement: Measurement): BenchRecord {
    const record = complete(this.bench, measurement);
    if (this.records.some((earlier) => earlier.case === record.case)) {
      throw new Error(`${this.bench}: two cases are named ${JSON.stringify(record.case)}`);
    }
    this.records.push(record);
    this.#onRecord(record);
    return record;
  }
}

function complete(bench: string, measurement: Measurement): BenchRecord {
  const { case: name, unit, samples, reference = null, referenceValue = null, must } = measurement;
  const where = `${bench}: ${name}`;
  if ((measurement.value === undefined) === (samples === undefined)) {
    throw new TypeError(`${where}: give either a value or samples`);
  }
  if ((reference === null) !== (referenceValue === null)) {
    throw new TypeError(`${where}: a reference has a name and a value`);
  }
  const series = samples === undefined ? undefined : statistics(samples);
  const value = series?.median ?? measurement.value!;
  if (!Number.isFinite(value)) throw new RangeError(`${where}: a value is a finite number, got ${value}`);
  if (referenceValue !== null && !(Number.isFinite(referenceValue) && referenceValue !== 0)) {
    throw new RangeError(`${where}: nothing can be compared with ${referenceValue}`);
  }
  const ratio = referenceValue === null ? null : value / referenceValue;
  return {
    bench,
    case: name,
    value,
    unit,
    reference,
    referenceValue,
    ratio,
    ...series,
    ...(must === undefined ? {} : { must, ok: meets(must, ratio ?? value, where) }),
  };
}

function meets({ atMost, atLeast }: Must, figure: number, where: string): boolean {
  if (atMost === undefined && atLeast === undefined) throw new TypeError(`${where}: a must names a limit`);
  return figure <= (atMost ?? Infinity) && figure >= (atLeast ?? -Infinity);
}
