// Owns waiting in the lab for what can only be looked at again and again.
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 10;

/** What `read` gives once that is something; fails at the limit, by the name of `what` was waited for. */
export async function eventually<T>(
  read: () => T | undefined | Promise<T | undefined>,
  what: string,
  limitMs = 5_000,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const value = await read();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${limitMs} ms`);
    await sleep(POLL_MS);
  }
}
