// Owns the form of what is said to etcd and of what it answers: the JSON of its v3 gateway, in which bytes are base64,
// 64-bit integers are strings, and whatever is zero is left out. Every answer is checked. Not here: who is asked
// (client.ts), and what it means (store.ts).
import { z } from 'zod';
import { Failure } from '../../lib/failure.ts';
import type { Change, Comparison, Entry, Operation } from '../contract.ts';

/** etcd knows no lease of a negative number: a text that is no lease of etcd's becomes this one. */
const NO_LEASE = '-1';

const int64 = z
  .union([z.string().regex(/^-?\d{1,19}$/), z.int()])
  .transform(Number)
  .refine((value) => Number.isSafeInteger(value), 'is beyond what can be counted exactly');
/** Of 64 bits, which a number of JavaScript does not hold; only compared and sent back. */
const id = z.string().regex(/^-?\d{1,20}$/);
const bytes = z.base64().default('');

const headerSchema = z.object({ revision: int64.default(0), raft_term: id.default('0') });
const keyValueSchema = z.object({
  key: bytes,
  value: bytes,
  create_revision: int64.default(0),
  mod_revision: int64,
  lease: id.default('0'),
});

export const rangeSchema = z.object({
  header: headerSchema,
  kvs: z.array(keyValueSchema).default([]),
  more: z.boolean().default(false),
});
export const txnSchema = z.object({ header: headerSchema, succeeded: z.boolean().default(false) });
export const grantSchema = z.object({ header: headerSchema, ID: id, TTL: int64 });
/** TTL 0: there is no such lease. */
export const keepAliveSchema = z.object({ header: headerSchema, TTL: int64.default(0) });
export const plainSchema = z.object({ header: headerSchema });
export const tokenSchema = z.object({ token: z.string().min(1) });

const watchSchema = z.object({
  header: headerSchema,
  created: z.boolean().default(false),
  canceled: z.boolean().default(false),
  cancel_reason: z.string().default(''),
  compact_revision: int64.default(0),
  /** More of the same revisions follows. */
  fragment: z.boolean().default(false),
  events: z
    .array(z.object({ type: z.enum(['PUT', 'DELETE']).default('PUT'), kv: keyValueSchema }))
    .default([]),
});
export type WatchAnswer = z.infer<typeof watchSchema>;

/** What the gateway says in place of an answer; of a stream, in `error`. */
const refusalSchema = z.object({
  code: z.int().optional(),
  grpc_code: z.int().optional(),
  message: z.string().optional(),
  error: z.string().optional(),
});
export type Refusal = { readonly code: number; readonly message: string };

const streamSchema = z.union([z.object({ result: z.unknown() }), z.object({ error: refusalSchema })]);

/** @throws Failure `unavailable` where it is not what etcd answers: something else listens there. */
export function decode<T>(text: string, schema: z.ZodType<T>): T {
  return check(parseJson(text), schema);
}

/** A line of a stream: an answer, or why there will be none. */
export function decodeLine<T>(text: string, schema: z.ZodType<T>): { answer: T } | { refusal: Refusal } {
  const line = check(parseJson(text), streamSchema);
  return 'error' in line ? { refusal: refusalOf(line.error) } : { answer: check(line.result, schema) };
}

export const decodeWatch = (text: string): { answer: WatchAnswer } | { refusal: Refusal } =>
  decodeLine(text, watchSchema);

/** Undefined where it is none of etcd's. */
export function decodeRefusal(text: string): Refusal | undefined {
  try {
    const refusal = refusalOf(decode(text, refusalSchema));
    return refusal.message === '' ? undefined : refusal;
  } catch {
    return undefined;
  }
}

function refusalOf(it: z.infer<typeof refusalSchema>): Refusal {
  return { code: it.code ?? it.grpc_code ?? 2, message: it.message ?? it.error ?? '' };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw notEtcd(`It begins with ${JSON.stringify(text.slice(0, 60))}.`, cause);
  }
}

function check<T>(value: unknown, schema: z.ZodType<T>): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw notEtcd(`${path.join('.') || 'it'}: ${message}`);
}

function notEtcd(reason: string, cause?: unknown): Failure {
  return new Failure('unavailable', 'the answer is none of etcd', {
    reason,
    remedy: 'check the address in store: it must be that of etcd’s clients, and etcd 3.4 or newer',
    ...(cause !== undefined && { cause }),
  });
}

// --- keys and values

export function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** The range of all keys that begin with `prefix`, which is not empty. */
export function prefixRange(prefix: string): { key: string; range_end: string } {
  const end = Buffer.from(prefix);
  // UTF-8 has no byte 0xff.
  end[end.length - 1]! += 1;
  return { key: base64(prefix), range_end: end.toString('base64') };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(value: string, what: string): string {
  try {
    return utf8.decode(Buffer.from(value, 'base64'));
  } catch (cause) {
    throw new Failure('internal', `${what} in etcd is no text`, {
      remedy: 'somebody else writes under the prefix of Holdfast: give one of the two another (etcd.prefix)',
      cause,
    });
  }
}

export type KeyValue = z.infer<typeof keyValueSchema>;

function keyOf({ key }: KeyValue, root: string): string {
  return textOf(key, 'a key').slice(root.length);
}

export function entryOf(it: KeyValue, root: string): Entry {
  const key = keyOf(it, root);
  const { create_revision: createRevision, mod_revision: modRevision, lease } = it;
  const entry = { key, value: textOf(it.value, `the value of ${key}`), createRevision, modRevision };
  return lease === '0' ? entry : { ...entry, leaseId: lease };
}

export function changeOf({ type, kv }: WatchAnswer['events'][number], root: string): Change {
  if (type === 'PUT') return { kind: 'put', entry: entryOf(kv, root) };
  return { kind: 'delete', key: keyOf(kv, root), modRevision: kv.mod_revision };
}

export function encodeTxn(
  comparisons: readonly Comparison[],
  operations: readonly Operation[],
  root: string,
): object {
  return {
    compare: comparisons.map(({ key, modRevision }) => ({
      key: base64(root + key),
      target: 'MOD',
      result: 'EQUAL',
      mod_revision: String(modRevision),
    })),
    success: operations.map((operation) =>
      'put' in operation
        ? {
            request_put: {
              key: base64(root + operation.put),
              value: base64(operation.value),
              ...(operation.leaseId !== undefined && { lease: leaseNumber(operation.leaseId) }),
            },
          }
        : { request_delete_range: { key: base64(root + operation.delete) } },
    ),
  };
}

function leaseNumber(leaseId: string): string {
  // 0 would mean: no lease.
  return /^[1-9]\d{0,17}$/.test(leaseId) || isInt64(leaseId) ? leaseId : NO_LEASE;
}

function isInt64(text: string): boolean {
  return /^[1-9]\d{18}$/.test(text) && BigInt(text) <= 0x7fff_ffff_ffff_ffffn;
}
