// Owns how numbers, times and shares are written for people.

/** 65,537 */
export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** Per second: small ones with a decimal; what is there does not become nothing. */
export function rate(value: number): string {
  if (value > 0 && value < 0.05) return '<0.1';
  return value > 0 && value < 9.95 ? value.toFixed(1) : count(value);
}

/** 12.3 Gbit/s, of bytes per second. */
export function bitRate(bytesPerSecond: number): string {
  return `${scaled(bytesPerSecond * 8)}bit/s`;
}

/** 12.3 GB */
export function byteCount(bytes: number): string {
  return bytes < 1000 ? `${bytes} B` : `${scaled(bytes)}B`;
}

const SCALES = ['', 'k', 'M', 'G', 'T', 'P', 'E'] as const;

function scaled(value: number): string {
  let index = 0;
  let rest = value;
  // What would be rounded to 1000 belongs to the next scale.
  while (rest >= 999.5 && index < SCALES.length - 1) {
    rest /= 1000;
    index++;
  }
  const digits = index === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return `${rest.toFixed(digits)} ${SCALES[index]}`;
}

/** 16.7 % of a share of 0 to 1; what is there does not become nothing. */
export function percent(share: number): string {
  if (share > 0 && share < 0.0005) return '<0.1 %';
  return `${(share * 100).toFixed(1)} %`;
}

export function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

const EIGHTHS = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const;

/** A share of 0 to 1 as a bar of at most `columns`, in eighths of a column. */
export function bar(share: number, columns: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * columns * 8);
  const rest = eighths % 8;
  return '█'.repeat(Math.floor(eighths / 8)) + (rest === 0 ? '' : EIGHTHS[rest]);
}

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const;

/** 3 d 4 h: the two largest units that say something. */
export function duration(ms: number): string {
  let rest = Math.max(0, Math.floor(ms / 1000));
  const parts: string[] = [];
  for (const [unit, seconds] of UNITS) {
    const amount = Math.floor(rest / seconds);
    rest %= seconds;
    if (amount > 0) parts.push(`${amount} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(' ') || '0 s';
}

/** A duration as measured: short ones with a decimal. */
export function span(ms: number): string {
  return ms < 9_950 ? `${(Math.max(0, ms) / 1_000).toFixed(1)} s` : duration(ms);
}

/** Local time: 2026-11-23 00:45:30. */
export function dateTime(ms: number): string {
  const at = new Date(ms);
  const date = [at.getFullYear(), at.getMonth() + 1, at.getDate()].map(twoDigits).join('-');
  return `${date} ${timeOfDay(at)}`;
}

/** Local time with microseconds, as far as `ms` has them: 00:45:30.123456. */
export function timeWithMicroseconds(ms: number): string {
  const microseconds = Math.floor((((ms % 1000) + 1000) % 1000) * 1000);
  return `${timeOfDay(new Date(ms))}.${String(microseconds).padStart(6, '0')}`;
}

function timeOfDay(at: Date): string {
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join(':');
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

/** 1 pool, 2 pools */
export function counted(amount: number, noun: string): string {
  return `${count(amount)} ${noun}${amount === 1 ? '' : 's'}`;
}
