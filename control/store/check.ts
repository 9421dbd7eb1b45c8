// Owns the checks of what callers pass to a store, the same for every implementation: nothing beyond the limits of the
// contract is ever sent.
import { Failure } from '../lib/failure.ts';
import {
  type Comparison,
  KEY_BYTES_MAX,
  type Operation,
  type Revision,
  TXN_OPERATIONS_MAX,
  VALUE_BYTES_MAX,
} from './contract.ts';

export const TTL_MS_MIN = 100;
/** A day: a longer lease would outlive what it is meant to notice. */
export const TTL_MS_MAX = 86_400_000;

export function checkKey(key: string): void {
  if (key === '') throw new Failure('invalid', 'a key of the store is empty');
  checkPrefix(key);
}

/** A prefix may be empty: all keys. */
export function checkPrefix(prefix: string): void {
  if (!prefix.isWellFormed()) throw new Failure('invalid', 'a key of the store is not well-formed Unicode');
  const bytes = Buffer.byteLength(prefix);
  if (bytes > KEY_BYTES_MAX) {
    throw new Failure(
      'invalid',
      `a key of the store has ${bytes} bytes; at most ${KEY_BYTES_MAX} are possible`,
      {
        reason: `it begins with ${JSON.stringify(prefix.slice(0, 64))}`,
      },
    );
  }
}

export function checkTxn(comparisons: readonly Comparison[], operations: readonly Operation[]): void {
  checkCount(comparisons.length, 'comparisons');
  checkCount(operations.length, 'operations');
  for (const { key, modRevision } of comparisons) {
    checkKey(key);
    if (!Number.isSafeInteger(modRevision) || modRevision < 0) {
      throw new Failure('invalid', `${modRevision} is no revision to compare ${key} with`);
    }
  }
  const named = new Set<string>();
  for (const operation of operations) {
    const key = 'put' in operation ? operation.put : operation.delete;
    checkKey(key);
    if (named.has(key)) throw new Failure('invalid', `two operations of one transaction name ${key}`);
    named.add(key);
    if ('put' in operation) checkValue(key, operation.value);
  }
}

function checkCount(count: number, what: string): void {
  if (count <= TXN_OPERATIONS_MAX) return;
  throw new Failure(
    'limit',
    `a transaction of the store has ${count} ${what}; at most ${TXN_OPERATIONS_MAX} are possible`,
  );
}

function checkValue(key: string, value: string): void {
  if (!value.isWellFormed()) throw new Failure('invalid', `the value of ${key} is not well-formed Unicode`);
  const bytes = Buffer.byteLength(value);
  if (bytes <= VALUE_BYTES_MAX) return;
  throw new Failure(
    'limit',
    `the value of ${key} has ${bytes} bytes; at most ${VALUE_BYTES_MAX} are possible`,
  );
}

export function checkFrom(revision: Revision): void {
  if (!Number.isSafeInteger(revision) || revision < 1) {
    throw new Failure('invalid', `${revision} is no revision of the store: they count from 1`);
  }
}

export function checkTtl(ttlMs: number): void {
  if (ttlMs >= TTL_MS_MIN && ttlMs <= TTL_MS_MAX) return;
  throw new Failure('invalid', `a lease lives ${TTL_MS_MIN} to ${TTL_MS_MAX} ms, not ${ttlMs}`);
}
