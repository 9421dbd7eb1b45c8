// Owns what a finding is and how one is written. What is found is the other files of this directory.
import type { Fact } from './facts.ts';

/** `error`: it will not work; `warning`: it works badly, or breaks for some traffic; `note`: worth knowing. */
export type Severity = 'ok' | 'note' | 'warning' | 'error';

/** One thing that was looked at. The API answers this shape (control/api/schema.ts). */
export type Finding = {
  /** Stable name. */
  check: string;
  interface?: string;
  severity: Severity;
  message: string;
  /** Commands, ready to paste. */
  cure?: string;
};

export type Say = (message: string, cure?: string) => Finding;

/** Writes the findings of one check about one thing. */
export type Subject = { readonly [S in Severity]: Say } & {
  /** What `judge` makes of a fact; a fact that could not be read is a note that says so. */
  known<T>(what: string, fact: Fact<T>, judge: (value: T) => Finding[]): Finding[];
};

export function subject(check: string, interfaceName?: string): Subject {
  const say =
    (severity: Severity): Say =>
    (message, cure) => ({
      check,
      ...(interfaceName !== undefined && { interface: interfaceName }),
      severity,
      message,
      ...(cure !== undefined && { cure }),
    });
  const note = say('note');
  return {
    ok: say('ok'),
    note,
    warning: say('warning'),
    error: say('error'),
    known: (what, fact, judge) =>
      fact.known ? judge(fact.value) : [note(`${what} cannot be read: ${fact.reason}`)],
  };
}

/** How many names a message spells out. */
const NAMES_MAX = 3;

/** `a, b, c and 4 more`. */
export function listed(names: readonly string[]): string {
  const more = names.length - NAMES_MAX;
  if (more > 0) return `${names.slice(0, NAMES_MAX).join(', ')} and ${more} more`;
  return names.length < 2 ? (names[0] ?? 'none') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

export function counted(amount: number, noun: string, plural = `${noun}s`): string {
  return `${amount} ${amount === 1 ? noun : plural}`;
}

/** `sysctl -w` for settings by their path below /proc/sys; dots within names of interfaces need the slashes. */
export function sysctl(settings: Readonly<Record<string, number>>): string {
  const assignments = Object.entries(settings).map(
    ([path, value]) => `${path.includes('.') ? path : path.replaceAll('/', '.')}=${value}`,
  );
  return `sysctl -w ${assignments.join(' ')}`;
}

/** Values by what `key` says of them, in the order of first appearance. */
export function grouped<T>(values: readonly T[], key: (value: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const group = groups.get(key(value));
    if (group === undefined) groups.set(key(value), [value]);
    else group.push(value);
  }
  return [...groups.values()];
}
