// Owns reading spans of time: 250ms, 2s, 10m, 1h.
import { UsageError } from './usage_error.ts';

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

export function millisecondsOf(option: string, text: string): number {
  const [, amount = '', unit = ''] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  const ms = Number(amount) * (UNITS_MS[unit] ?? Number.NaN);
  if (amount !== '' && Number.isSafeInteger(ms)) return ms;
  throw new UsageError(`${option} cannot be "${text}".`, {
    remedy: 'Write a whole number and a unit (ms, s, m, h, d), such as 250ms or 10m.',
  });
}
