// Owns reading an interval of seconds.
import { UsageError } from './usage_error.ts';

const SECONDS_MIN = 0.1;
const SECONDS_MAX = 3_600;

/** `1` where nothing is given. */
export function secondsOf(option: string, text: string): number {
  if (text === '') return 1;
  const seconds = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= SECONDS_MIN && seconds <= SECONDS_MAX) return seconds;
  throw new UsageError(`${option} takes ${SECONDS_MIN} to ${SECONDS_MAX} seconds, not "${text}".`);
}
