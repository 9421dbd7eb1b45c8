// Owns how a mux writes what its health checks found into the store, and how it is read: one value a mux, bounded.
// Who writes it, and when, is checking.ts; what follows from it judgement_core.ts.
import { z } from 'zod';
import { PORTS_DEFAULT } from '../config/node.ts';
import { BACKENDS_MAX, type Backend } from '../config/objects.ts';

/** With it all verdicts about BACKENDS_MAX backends fit into a value of the store. */
export const VERDICT_REASON_MAX = 120;

export type Verdict = {
  /** Undefined: it is being checked, and there were not enough results yet. */
  readonly isUp: boolean | undefined;
  /** Of the mux's clock; 0 where it has no opinion yet. */
  readonly sinceMs: number;
  readonly reason: string;
  /** It came to no opinion for long, for `reason`: it has no part in what others find. */
  readonly isAbstaining?: boolean;
};
/** By subject, see subjectOf(). */
export type Verdicts = ReadonlyMap<number, Verdict>;

const subject = z.int().min(0);
const time = z.number().min(0);
const reasonSchema = z.string().max(VERDICT_REASON_MAX);
const verdictsSchema = z.object({
  pending: z.array(z.tuple([subject, reasonSchema])).max(BACKENDS_MAX),
  /** Absent: an older Holdfast, whose muxes are pending instead. */
  abstaining: z
    .array(z.tuple([subject, reasonSchema]))
    .max(BACKENDS_MAX)
    .default([]),
  up: z.array(z.tuple([subject, time])).max(BACKENDS_MAX),
  down: z.array(z.tuple([subject, time, reasonSchema])).max(BACKENDS_MAX),
});

/**
 * What a verdict is about: 53 bits of name and destination. A mux may not know yet that a name has another server, or an
 * index another backend: its verdict is about what it asked. Two of 4,095 have the same number with a chance of 1e-9.
 */
export function subjectOf(backend: Pick<Backend, 'pool' | 'name' | 'address' | 'encap' | 'guePort'>): number {
  const { pool, name, address, encap, guePort = PORTS_DEFAULT.gue } = backend;
  return hash53(`${pool}/${name} ${address} ${encap} ${guePort}`);
}

export function encodeVerdicts(verdicts: Verdicts): string {
  const pending: [number, string][] = [];
  const abstaining: [number, string][] = [];
  const up: [number, number][] = [];
  const down: [number, number, string][] = [];
  for (const [about, { isUp, sinceMs, reason, isAbstaining }] of verdicts) {
    const words = reason.slice(0, VERDICT_REASON_MAX);
    if (isAbstaining === true) abstaining.push([about, words]);
    else if (isUp === undefined) pending.push([about, words]);
    else if (isUp) up.push([about, sinceMs]);
    else down.push([about, sinceMs, words]);
  }
  return JSON.stringify({ pending, abstaining, up, down });
}

/** @throws where it is not understood: the mux is as one without an opinion. */
export function decodeVerdicts({ value }: { readonly value: string }): Verdicts {
  const { pending, abstaining, up, down } = verdictsSchema.parse(JSON.parse(value));
  const without = (reason: string) => ({ isUp: undefined, sinceMs: 0, reason });
  return new Map<number, Verdict>([
    ...pending.map(([about, reason]): [number, Verdict] => [about, without(reason)]),
    ...abstaining.map(([about, reason]): [number, Verdict] => [
      about,
      { ...without(reason), isAbstaining: true },
    ]),
    ...up.map(([about, sinceMs]): [number, Verdict] => [about, { isUp: true, sinceMs, reason: '' }]),
    ...down.map(([about, sinceMs, reason]): [number, Verdict] => [about, { isUp: false, sinceMs, reason }]),
  ]);
}

/** FNV-1a of 32 bits over the text, twice with different beginnings; 53 of the 64 bits. */
function hash53(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x9747b28c;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x85ebca6b);
    high ^= high >>> 13;
  }
  low ^= Math.imul(high, 0xc2b2ae35) ^ (low >>> 15);
  return ((high >>> 0) & 0x1fffff) * 2 ** 32 + (low >>> 0);
}
