// The leader's part in a change of keys, in memory.
import { describe, expect, it } from 'vitest';
import { KeyRotation } from '../../../control/cluster/leader/key_rotation.ts';
import {
  type AskKeyRing,
  firstRing,
  KEY_LINGER_MS,
  rotate,
} from '../../../control/cluster/member_keys_core.ts';

const AGE_MS = 1_000_000;
const EPOCH_MS = 1_767_225_600_000;
type Mux = { readonly name: string; readonly id: number; readonly incarnation: number };

class Cluster {
  nowMs = 0;
  ring: AskKeyRing = firstRing('one', EPOCH_MS);
  leader = new KeyRotation(AGE_MS);
  members: Mux[] = [1, 2].map((id) => ({ name: `m${id}`, id, incarnation: 1 }));
  readonly registrations = new Map<string, Mux>();
  readonly known = new Map<string, { incarnation: number; step: number }>();
  #secrets = 1;

  /** What is decided is in the store. */
  step(afterMs = 0): boolean {
    this.nowMs += afterMs;
    const times = { nowMs: this.nowMs, wallMs: EPOCH_MS + this.nowMs };
    const next = this.leader.step(this, times, () => `secret ${++this.#secrets}`);
    this.ring = next ?? this.ring;
    return next !== undefined;
  }

  rotate(): void {
    this.ring = rotate(this.ring, 'two', EPOCH_MS + this.nowMs)!;
  }

  know(name: string, incarnation = 1): void {
    this.known.set(name, { incarnation, step: this.ring.step });
  }

  knowAll(): void {
    for (const { name, incarnation } of this.members) this.know(name, incarnation);
  }

  get ids() {
    return this.ring.keys.map(({ id }) => id);
  }
}

describe('a change of keys', () => {
  it('begins by age also where the key was made by a clock that was ahead', () => {
    const its = new Cluster();
    its.ring = firstRing('one', EPOCH_MS + 100 * AGE_MS);
    expect(its.step()).toBe(false);
    expect(its.leader.wakeAtMs).toBe(AGE_MS);
    expect(its.step(AGE_MS - 1)).toBe(false);
    expect(its.step(1)).toBe(true);
  });

  it('goes on when all have a state, and keeps the old key for a while after nobody signs with it', () => {
    const its = new Cluster();
    its.rotate();
    its.know('m1');
    expect(its.step()).toBe(false);
    its.know('m2');
    expect(its.step()).toBe(true);
    expect([its.ids, its.ring.use]).toEqual([[0, 1], 1]);
    its.know('m1');
    expect(its.step(60_000)).toBe(false);
    its.know('m2');
    expect(its.step()).toBe(false);
    expect(its.leader.wakeAtMs).toBe(its.nowMs + KEY_LINGER_MS);
    expect(its.step(KEY_LINGER_MS - 1)).toBe(false);
    expect(its.step(1)).toBe(true);
    expect([its.ids, its.ring.use]).toEqual([[1], 1]);
    its.knowAll();
    expect(its.step(60_000)).toBe(false);
  });

  it('goes on with another leader, which waits anew', () => {
    const its = new Cluster();
    its.rotate();
    its.knowAll();
    its.leader = new KeyRotation(AGE_MS);
    expect(its.step()).toBe(true);
    its.knowAll();
    its.step();
    its.step(KEY_LINGER_MS - 1);
    its.leader = new KeyRotation(AGE_MS);
    expect(its.step(1)).toBe(false);
    expect(its.step(KEY_LINGER_MS)).toBe(true);
  });

  it('waits for who registers, and not for who is gone', () => {
    const its = new Cluster();
    its.rotate();
    its.know('m1');
    its.registrations.set('m3', { name: 'm3', id: 3, incarnation: 1 });
    its.members = its.members.filter(({ name }) => name === 'm1');
    expect(its.step()).toBe(false);
    its.know('m3');
    expect(its.step()).toBe(true);
  });

  it('waits for the incarnation that is a member, not for the word of one before', () => {
    const its = new Cluster();
    its.rotate();
    its.knowAll();
    its.members = its.members.map((it) => (it.name === 'm2' ? { ...it, incarnation: 2 } : it));
    expect(its.step()).toBe(false);
    its.know('m2', 2);
    expect(its.step()).toBe(true);
  });

  it('begins by itself when the key is old, by the wall clock, whoever leads', () => {
    const its = new Cluster();
    its.knowAll();
    expect(its.step(AGE_MS - 1)).toBe(false);
    expect(its.leader.wakeAtMs).toBe(AGE_MS);
    its.leader = new KeyRotation(AGE_MS);
    expect(its.step(1)).toBe(true);
    expect(its.ring).toMatchObject({ use: 0, madeAtMs: EPOCH_MS + AGE_MS });
    expect(its.ids).toEqual([0, 1]);
    expect(its.step(AGE_MS)).toBe(false);
  });

  it('begins as late where nobody knows how old the key is', () => {
    const its = new Cluster();
    const { madeAtMs: _, ...ring } = its.ring;
    its.ring = ring;
    expect(its.step(10 * AGE_MS)).toBe(false);
    expect(its.step(AGE_MS)).toBe(true);
  });
});
