// Owns what the commands of services, pools and backends have in common.
import { UsageError } from '../usage_error.ts';

/** `pool/name` in two. */
export function splitBackend(text: string): { pool: string; name: string } {
  const [pool = '', name = '', ...more] = text.split('/');
  if (pool === '' || name === '' || more.length > 0) {
    throw new UsageError(`"${text}" names no backend.`, { remedy: 'Write POOL/NAME, such as web/b1.' });
  }
  return { pool, name };
}

/** Without what is undefined. */
export function defined<T extends Record<string, unknown>>(
  values: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** A patch says something, and does not set what it takes away. */
export function checkPatch(
  patch: Readonly<Record<string, unknown>>,
  unset: readonly string[],
  fields: Readonly<Record<string, readonly string[]>>,
): void {
  if (Object.keys(patch).length === 0 && unset.length === 0) {
    throw new UsageError('Nothing to change.', { remedy: 'Say what, with an option.' });
  }
  for (const name of unset) {
    const both = fields[name]?.some((field) => patch[field] !== undefined);
    if (both)
      throw new UsageError(`${name} is both set and taken away.`, { remedy: 'Leave one of them out.' });
  }
}
