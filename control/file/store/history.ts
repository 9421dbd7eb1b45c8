// Owns how the history of the namespace lies in the store: a record of each change, and by which revision a command with an
// id was done.
//
//   namespace/history/records/REVISION  what it touched: JSON, deflated
//   namespace/history/ids/ID            the revision that a command became
//
// Both are written with the change, and go when the record is too old.
import { z } from 'zod';
import { damaged, deflated, inflated, parseStored } from '../../cluster/stored_value.ts';
import { type Operation, type Store, VALUE_BYTES_MAX } from '../../store/contract.ts';
import { type ChangeRecord, HISTORY_REVISIONS_MAX, recordSchema } from '../namespace/history.ts';

const RECORDS_PREFIX = 'namespace/history/records/';
const IDS_PREFIX = 'namespace/history/ids/';
const FORMAT = 1;
/** Inflated. */
const RECORD_BYTES_MAX = 32 << 20;
/** Beside the change itself in one request. */
const STORED_BYTES_MAX = 100_000;
const DIGITS = 12;

const storedSchema = recordSchema.extend({ format: z.literal(FORMAT) });
const idSchema = z.strictObject({ format: z.literal(FORMAT), revision: z.int().min(1) });

const recordKey = (revision: number): string => RECORDS_PREFIX + String(revision).padStart(DIGITS, '0');
/** Ids may be anything; keys may not. */
export const idKey = (id: string): string => IDS_PREFIX + encodeURIComponent(id);

/** What writes the record with its change, and lets go of the one that is too old. */
export async function recordOperations(
  store: Pick<Store, 'get'>,
  record: ChangeRecord,
): Promise<Operation[]> {
  const { revision, id } = record;
  const operations: Operation[] = [
    { put: recordKey(revision), value: encode(record) },
    { put: idKey(id), value: JSON.stringify({ format: FORMAT, revision }) },
  ];
  const old = revision - HISTORY_REVISIONS_MAX;
  const entry = old < 1 ? undefined : await store.get(recordKey(old));
  if (entry === undefined) return operations;
  // What cannot be read goes as well; its id stays.
  const forgotten = decodeOr(entry.key, entry.value);
  return [
    ...operations,
    { delete: entry.key },
    ...(forgotten === undefined ? [] : [{ delete: idKey(forgotten.id) }]),
  ];
}

/** The revision that a command became; undefined: it was not done, or long ago. */
export async function revisionOf(store: Pick<Store, 'get'>, id: string): Promise<number | undefined> {
  const entry = await store.get(idKey(id));
  return entry && parseStored(entry.key, entry.value, idSchema, { format: FORMAT }).revision;
}

/** All that is remembered, by revision. */
export async function readHistory(store: Pick<Store, 'list'>): Promise<ReadonlyMap<number, ChangeRecord>> {
  const { entries } = await store.list(RECORDS_PREFIX);
  const records = new Map<number, ChangeRecord>();
  for (const { key, value } of entries) {
    const record = decode(key, value);
    if (recordKey(record.revision) !== key) throw damaged(key, `it is of revision ${record.revision}`);
    records.set(record.revision, record);
  }
  return records;
}

function encode(record: ChangeRecord): string {
  const value = deflated(JSON.stringify({ format: FORMAT, ...record }));
  if (value.length <= Math.min(STORED_BYTES_MAX, VALUE_BYTES_MAX)) return value;
  const { content: _, ...rest } = record;
  return deflated(JSON.stringify({ format: FORMAT, ...rest }));
}

function decode(key: string, value: string): ChangeRecord {
  const text = inflated(key, value, RECORD_BYTES_MAX).toString();
  const { format: _, ...record } = parseStored(key, text, storedSchema, { format: FORMAT });
  return record;
}

function decodeOr(key: string, value: string): ChangeRecord | undefined {
  try {
    return decode(key, value);
  } catch {
    return undefined;
  }
}
