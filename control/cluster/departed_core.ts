// Owns whom a member probes though it is no member any more: a mux that was removed goes on relaying what routers still
// send to it, as long as its program runs, but only to those that it hears; and with its daemon dead it hears nobody who
// does not speak first. Pure. Not here: who is probed to find out whether it is alive (heartbeat_core.ts).
import type { Member } from './version.ts';

export type Place = Pick<Member, 'address' | 'askPort'>;

/** A program relays to those that it has heard within 500 ms. */
const INTERVAL_MS = 150;
/** Somebody has taken its routes away by then, or nobody will. */
export const DEPARTED_MS = 24 * 3_600_000;
/** As many as there can be muxes, twice. */
export const DEPARTED_MAX = 128;

export class Departed {
  #members = new Map<string, Place>();
  readonly #departed = new Map<string, Place & { readonly untilMs: number }>();
  #probedMs = Number.NEGATIVE_INFINITY;

  /** The members of the version that is in effect. */
  members(members: readonly Pick<Member, 'name' | 'address' | 'askPort'>[], nowMs: number): void {
    const now = new Map(members.map(({ name, address, askPort }) => [name, { address, askPort }]));
    for (const [name, place] of this.#members) {
      if (!now.has(name)) this.#departed.set(name, { ...place, untilMs: nowMs + DEPARTED_MS });
    }
    for (const name of now.keys()) this.#departed.delete(name);
    const [oldest] = this.#departed.keys();
    if (this.#departed.size > DEPARTED_MAX && oldest !== undefined) this.#departed.delete(oldest);
    this.#members = now;
  }

  /** Where probes are to go now. */
  due(nowMs: number): Place[] {
    if (this.#departed.size === 0 || nowMs - this.#probedMs < INTERVAL_MS) return [];
    this.#probedMs = nowMs;
    for (const [name, { untilMs }] of this.#departed) if (untilMs <= nowMs) this.#departed.delete(name);
    return [...this.#departed.values()].map(({ address, askPort }) => ({ address, askPort }));
  }
}
