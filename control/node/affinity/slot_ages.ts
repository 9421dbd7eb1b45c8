// Owns since when slots have the backend that they have, as this node saw it: versions carry no times. Pure.
import type { Version } from '../../cluster/version.ts';

/** Pools whose slots have moved; of more than that the one whose slots moved longest ago is forgotten. */
const POOLS_MAX = 32;
const SECOND_MS = 1_000;

export class SlotAges {
  #head: Version | undefined;
  #beganMs = 0;
  /** By pool, the last that moved at the end: seconds after the beginning, plus one; 0: not since. */
  readonly #moved = new Map<number, Uint32Array>();

  /** Of every version that is the head, in order. */
  observe(head: Version, wallMs: number): void {
    const before = this.#head;
    this.#head = head;
    if (before === undefined) this.#beganMs = wallMs;
    if (before === undefined || before.number === head.number) return;
    const at = 1 + Math.max(0, Math.floor((wallMs - this.#beganMs) / SECOND_MS));
    for (const [poolId, { current }] of head.placements) {
      const old = before.placements.get(poolId)?.current;
      if (old === undefined || old === current || old.length !== current.length) continue;
      let moved: Uint32Array | undefined;
      for (let slot = 0; slot < current.length; slot++) {
        if (old[slot] === current[slot]) continue;
        moved ??= this.#of(poolId, current.length);
        moved[slot] = at;
      }
    }
  }

  /** When the slot got the backend that it has, milliseconds since the epoch; undefined: before this node looked. */
  sinceMs(poolId: number, slot: number): number | undefined {
    const at = this.#moved.get(poolId)?.[slot] ?? 0;
    return at === 0 ? undefined : this.#beganMs + (at - 1) * SECOND_MS;
  }

  /** Since when this node looks. */
  get beganMs(): number {
    return this.#beganMs;
  }

  #of(poolId: number, slots: number): Uint32Array {
    const known = this.#moved.get(poolId);
    const moved = known?.length === slots ? known : new Uint32Array(slots);
    this.#moved.delete(poolId);
    this.#moved.set(poolId, moved);
    const [oldest] = this.#moved.keys();
    if (this.#moved.size > POOLS_MAX) this.#moved.delete(oldest!);
    return moved;
  }
}
