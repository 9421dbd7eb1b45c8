import { expect, it } from 'vitest';
import {
  type AskKeyRing,
  firstRing,
  KEY_LINGER_MS,
  keyOperations,
  nextRing,
  rotate,
} from '../../../control/cluster/member_keys_core.ts';

const MEMBERS = ['a', 'b', 'c'].map((name, index) => ({ name, incarnation: index + 1 }));
const at = (step: number, names = ['a', 'b', 'c']) =>
  new Map(MEMBERS.filter(({ name }) => names.includes(name)).map((it) => [it.name, { ...it, step }]));

/** A program: ids of its keys by place. */
type Known = { keys: Map<number, number>; used: number };
const nothing = (): Known => ({ keys: new Map(), used: -1 });

function follow(known: Known, ring: AskKeyRing) {
  for (const operation of keyOperations(ring, [...known.keys.keys()], known.used)) {
    const place = operation.id % 4;
    if (operation.kind === 'install') known.keys.set(place, operation.id);
    if (operation.kind === 'use') {
      expect(known.keys.get(place)).toBe(operation.id);
      known.used = operation.id;
    }
    if (operation.kind === 'remove') {
      expect(place).not.toBe(known.used % 4);
      known.keys.delete(place);
    }
  }
  return known;
}
const idsOf = (known: Known) => [...known.keys.values()];

it('changes keys in steps, each when all members have the one before', () => {
  const first = firstRing('one', 0);
  const installed = rotate(first, 'two', 1)!;
  expect(installed).toMatchObject({ step: 2, use: 0, keys: [{ id: 0 }, { id: 1, secret: 'two' }] });
  expect(nextRing(installed, MEMBERS, at(1), 60_000)).toBeUndefined();
  expect(nextRing(installed, MEMBERS, at(2, ['a', 'c']), 60_000)).toBeUndefined();
  const used = nextRing(installed, MEMBERS, at(2), 0)!;
  expect(used).toEqual({ ...installed, step: 3, use: 1 });
  expect(nextRing(used, MEMBERS, at(2), 60_000)).toBeUndefined();
  const removed = nextRing(used, MEMBERS, at(3), KEY_LINGER_MS)!;
  expect(removed).toEqual({ step: 4, keys: [{ id: 1, secret: 'two' }], use: 1, madeAtMs: 1 });
  expect(nextRing(removed, MEMBERS, at(4), 60_000)).toBeUndefined();
});

it('keeps the old key while packets that were signed with it may be on their way, from when nobody signs with it', () => {
  const used = nextRing(rotate(firstRing('one', 0), 'two', 1)!, MEMBERS, at(2), 0)!;
  expect(nextRing(used, MEMBERS, at(3), KEY_LINGER_MS - 1)).toBeUndefined();
});

it('does not take the word of an incarnation before: its keys are gone', () => {
  const installed = rotate(firstRing('one', 0), 'two', 1)!;
  const holders = at(2).set('b', { ...at(2).get('b')!, incarnation: 1 });
  expect(nextRing(installed, MEMBERS, holders, 60_000)).toBeUndefined();
});

it('begins no change while one is under way', () => {
  expect(rotate(rotate(firstRing('one', 0), 'two', 1)!, 'three', 2)).toBeUndefined();
});

it('uses ids round and round, no two of which share a place among four', () => {
  let ring = firstRing('0', 0);
  for (let turn = 1; turn <= 600; turn++) {
    const installed = rotate(ring, String(turn), turn)!;
    expect(new Set(installed.keys.map(({ id }) => id & 3)).size).toBe(2);
    ring = nextRing(nextRing(installed, [], new Map(), 0)!, [], new Map(), KEY_LINGER_MS)!;
    expect(ring.use).toBe(turn % 256);
  }
});

it('has every two muxes understand each other, at whichever neighbouring steps they are', () => {
  const rings = [firstRing('one', 0)];
  rings.push(rotate(rings[0]!, 'two', 1)!);
  rings.push(nextRing(rings[1]!, [], new Map(), 0)!);
  rings.push(nextRing(rings[2]!, [], new Map(), KEY_LINGER_MS)!);
  const states = rings.map((_, step) => rings.slice(0, step + 1).reduce(follow, nothing()));
  for (let step = 1; step < states.length; step++) {
    const [before, after] = [states[step - 1]!, states[step]!];
    expect(idsOf(after)).toContain(before.used);
    expect(idsOf(before)).toContain(after.used);
  }
});

it('brings a mux that has missed steps to the ring, and is done there', () => {
  const ring = { step: 9, keys: [{ id: 9, secret: 'x' }], use: 9 };
  const known = follow({ keys: new Map([[3, 7]]), used: 7 }, ring);
  expect(known).toEqual({ keys: new Map([[1, 9]]), used: 9 });
  expect(keyOperations(ring, [1], 9)).toEqual([{ kind: 'install', id: 9, secret: 'x' }]);
});
