// Owns what an act of the demo is: something promised, done for all to see, and judged.
import type { ClientAgent } from '../agent.ts';
import type { Lab } from '../lab.ts';

/** A promise, what became of it, and whether it was kept. */
export type Check = { readonly expected: string; readonly seen: string; readonly kept: boolean };

export type Account = {
  readonly title: string;
  readonly checks: readonly Check[];
  readonly durationMs: number;
};

/** What all acts play with. */
export type Cast = {
  readonly lab: Lab;
  readonly agent: ClientAgent;
  /** As they are now, by backend. */
  readonly weights: Map<string, number>;
  /** Says what happens now. */
  readonly now: (what: string) => void;
};

export function check(expected: string, kept: boolean, seen: string): Check {
  return { expected, seen, kept };
}

export function count(value: number): string {
  return value.toLocaleString('en');
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
