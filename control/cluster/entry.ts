// Owns reading an entry of the store as what it must be. Which forms there are: ack_layout.ts, member_layout.ts, control/trust/layout.ts.
import type { z } from 'zod';
import type { Entry } from '../store/contract.ts';
import { damaged } from './layout.ts';

/** @throws Failure `internal` that names the key. */
export function parseEntry<T>({ key, value }: Entry, schema: z.ZodType<T>): T {
  let content: unknown;
  try {
    content = JSON.parse(value);
  } catch (error) {
    throw damaged(key, (error as Error).message, error);
  }
  const result = schema.safeParse(content);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw damaged(key, `${issue.path.join('.')}: ${issue.message}`);
}
