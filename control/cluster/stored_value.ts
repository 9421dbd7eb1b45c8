// Owns how values in the store are read: JSON of a format, deflated or not. What is newer than this version is told from
// what is damaged. What the values say is their layouts'.
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { z } from 'zod';
import { Failure } from '../lib/failure.ts';
import { VALUE_BYTES_MAX } from '../store/contract.ts';

const REMEDY = 'delete the key or put back a copy of the store, then apply what was exported last';

/**
 * What the text says. @throws Failure `unsupported` where a newer Holdfast wrote it: its `format` is above `format`, or it
 * has fields or choices that are not known here; `internal` where it is damaged.
 */
export function parseStored<T>(
  key: string,
  text: string,
  schema: z.ZodType<T>,
  { format, remedy = REMEDY }: { readonly format: number; readonly remedy?: string },
): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(key, (error as Error).message, error, remedy);
  }
  const found = typeof value === 'object' && value !== null && 'format' in value ? value.format : undefined;
  if (typeof found === 'number' && found > format) throw newer(key, `it is of format ${found}`);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  // New fields and new choices are what newer versions bring. What else is wrong may follow from them.
  const { issues } = result.error;
  const issue =
    issues.find(({ code }) => code === 'unrecognized_keys' || code === 'invalid_value') ?? issues[0]!;
  const where = issue.path.join('.');
  if (issue.code === 'unrecognized_keys')
    throw newer(key, `it has ${[...issue.path, issue.keys.join()].join('.')}`);
  if (issue.code === 'invalid_value') throw newer(key, `${where} is none of ${issue.values.join(', ')}`);
  throw damaged(key, `${where}: ${issue.message}`, undefined, remedy);
}

export function deflated(text: string): string {
  return deflateRawSync(Buffer.from(text)).toString('base64');
}

export function inflated(key: string, text: string, bytesMax: number, remedy = REMEDY): Buffer {
  try {
    return inflateRawSync(Buffer.from(text, 'base64'), { maxOutputLength: bytesMax });
  } catch (error) {
    throw damaged(key, (error as Error).message, error, remedy);
  }
}

export function checkFits(value: string, what: string, remedy: string): void {
  const bytes = Buffer.byteLength(value);
  if (bytes <= VALUE_BYTES_MAX) return;
  throw new Failure(
    'limit',
    `${what} take ${bytes} bytes in the store; at most ${VALUE_BYTES_MAX} are possible`,
    { remedy },
  );
}

export function newer(key: string, reason: string): Failure {
  return new Failure('unsupported', `a newer Holdfast wrote ${key} in the store`, {
    reason: `${reason}, and this version knows no more`,
    remedy: 'upgrade Holdfast on this node; until then it keeps what it has',
  });
}

export function damaged(key: string, reason: string, cause?: unknown, remedy = REMEDY): Failure {
  return new Failure('internal', `${key} in the store is damaged`, { reason, remedy, cause });
}
