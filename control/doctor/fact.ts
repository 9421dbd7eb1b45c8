// Owns turning what throws into facts.
import type { Fact } from './core/facts.ts';

export function attempt<T>(read: () => T): Fact<T> {
  try {
    return { known: true, value: read() };
  } catch (error) {
    return unknown(error);
  }
}

export function unknown(error: unknown): { readonly known: false; readonly reason: string } {
  return { known: false, reason: error instanceof Error ? error.message : String(error) };
}

/** What `derive` makes of a fact. */
export function derived<T, U>(fact: Fact<T>, derive: (value: T) => U): Fact<U> {
  return fact.known ? attempt(() => derive(fact.value)) : fact;
}
