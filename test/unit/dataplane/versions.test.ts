// Versions in the order of the protocol, on tables in plain memory: at every grace period and at the end each slot's word
// is one of the version before or of this one, and the chain that it names says what it is to say.
import { describe, expect, it } from 'vitest';
import type { Candidate, Period } from '../../../control/cluster/version.ts';
import type { DesiredMux } from '../../../control/dataplane/desired.ts';
import { chainCodec } from '../../../control/dataplane/generated/layout.ts';
import {
  ALONE,
  backendOf,
  build,
  CAPACITY,
  CHAINS,
  type Memory,
  poolOf,
  route,
  serviceOf,
} from './tables_in_memory.ts';

const muxes = (...ids: number[]): Candidate[] => ids.map((id) => ({ id, incarnation: 100 + id }));

const periodOf = (trackEpoch: number, change: Partial<Period> = {}): Period => ({
  trackEpoch,
  chainEpoch: trackEpoch,
  candidates: [muxes(1, 2)],
  step: 'track',
  stepVersion: trackEpoch,
  idleTimeoutMs: 5_000,
  isUrgent: false,
  lostSlots: 0,
  reason: 'test',
  ...change,
});

/** Backend 1 leaves the slots 0 and 2 to backend 2. */
function versionOf(
  number: number,
  {
    current = [1, 3, 1],
    base = [1, 3, 1],
    period = [0, 0, 0],
    periods = [] as Period[],
    members = [1, 2],
  } = {},
): DesiredMux {
  const pool = poolOf(1, Uint16Array.from(current));
  return {
    ...ALONE,
    version: number,
    members: muxes(...members),
    services: [serviceOf(80, 1)],
    pools: new Map([
      [1, { ...pool, base: Uint16Array.from(base), period: Uint8Array.from(period), periods }],
    ]),
    backends: new Map([1, 2, 3].map((index) => [index, backendOf(index)])),
    serverIds: [],
    peers: new Map(members.map((id) => [id, { ...backendOf(100 + id), encap: 'gue', guePort: 7445 }])),
  };
}

const TRACK = versionOf(2, { period: [1, 0, 1], periods: [periodOf(2)] });
const COMMIT = versionOf(3, {
  current: [2, 3, 2],
  period: [1, 0, 1],
  periods: [periodOf(2, { step: 'commit', stepVersion: 3 })],
});
const SETTLE = versionOf(4, {
  current: [2, 3, 2],
  base: [2, 3, 2],
  period: [1, 0, 1],
  periods: [periodOf(2, { step: 'settle', stepVersion: 4 })],
});
const CLEAN = versionOf(5, { current: [2, 3, 2], base: [2, 3, 2] });

type Slot = {
  current: number;
  base: number;
  chain?: { track: number; epoch: number; owner: number; backup: number };
};

/** As a program reads it: the word, then the chain that it names. */
function slotAt(memory: Memory, slot: number): Slot {
  const word = memory.slots[slot]!;
  const found = { current: Number(word & 0xffffn), base: Number((word >> 16n) & 0xffffn) };
  if (((word >> 32n) & 1n) === 0n) return found;
  const it = chainCodec.read(new DataView(memory.chains), Number(word >> 33n) * chainCodec.sizeBytes);
  expect([it.owner_incarnation, it.backup_incarnation]).toEqual(
    [it.owner, it.backup].map((id) => (id === 0 ? 0 : 100 + id)),
  );
  return {
    ...found,
    chain: { track: it.track_epoch, epoch: it.chain_epoch, owner: it.owner, backup: it.backup },
  };
}

const slotsOf = (memory: Memory): Slot[] => [0, 1, 2].map((slot) => slotAt(memory, slot));

describe('versions of the protocol', () => {
  it('take slots from tracking to clean, each in one store, and say so when nobody acts on what was', async () => {
    const seen: Slot[][] = [];
    const versions: number[] = [];
    const { memory, parts, tables } = build(() => {
      seen.push(slotsOf(memory));
      versions.push(parts.self.version);
    });
    await tables.apply(versionOf(1));
    const clean = slotsOf(memory);
    expect(clean).toEqual([
      { current: 1, base: 1 },
      { current: 3, base: 3 },
      { current: 1, base: 1 },
    ]);
    let before = clean;
    for (const version of [TRACK, COMMIT, SETTLE, CLEAN]) {
      seen.length = 0;
      versions.length = 0;
      const applied = await tables.apply(version);
      expect(applied, `version ${version.version}`).toMatchObject({ slots: 2, gracePeriods: 2 });
      const after = slotsOf(memory);
      for (const words of seen)
        for (const [slot, word] of words.entries()) expect([before[slot], after[slot]]).toContainEqual(word);
      expect(versions, 'while packets may be on the version before').toEqual([
        version.version - 1,
        // A pledge that it saw before is in its notes when this has passed.
        version.version,
      ]);
      expect(parts.self.version).toBe(version.version);
      before = after;
      expect(await tables.apply(version)).toMatchObject({ slots: 0, gracePeriods: 0 });
    }
    expect(before).toEqual([
      { current: 2, base: 2 },
      { current: 3, base: 3 },
      { current: 2, base: 2 },
    ]);
    expect(parts.chains.size).toBe(0);
  });

  it('name one chain a pair of muxes', async () => {
    const { memory, tables } = build();
    await tables.apply(versionOf(1));
    await tables.apply(COMMIT);
    for (const slot of [0, 2]) {
      const { chain, ...backends } = slotAt(memory, slot);
      expect(backends).toEqual({ current: 2, base: 1 });
      expect(chain).toMatchObject({ track: 2, epoch: 2 });
      expect([chain!.owner, chain!.backup].sort()).toEqual([1, 2]);
    }
    expect(slotAt(memory, 1)).toEqual({ current: 3, base: 3 });
  });

  it('repair a chain by another record, and leave the old one alone as long as packets may be reading it', async () => {
    const old = new Map<number, bigint[]>();
    const record = (memory: Memory, index: number) => [...new BigUint64Array(memory.chains, index * 32, 4)];
    const { memory, parts, tables } = build(() => {
      for (const [index, words] of old) expect(record(memory, index)).toEqual(words);
    });
    await tables.apply(versionOf(1));
    await tables.apply(COMMIT);
    for (const { index } of parts.chains.entries()) old.set(index, record(memory, index));
    const repaired = versionOf(4, {
      current: [2, 3, 2],
      period: [1, 0, 1],
      members: [2],
      periods: [periodOf(2, { step: 'commit', stepVersion: 3, chainEpoch: 4 })],
    });
    await tables.apply(repaired);
    for (const slot of [0, 2])
      expect(slotAt(memory, slot).chain).toEqual({ track: 2, epoch: 4, owner: 2, backup: 0 });
    expect(parts.chains.size).toBe(1);
    expect(parts.peers.indexes()).toEqual([2]);
  });

  it('that need more chains than there are change nothing, unless a grace period frees some', async () => {
    const { memory, parts, tables } = build();
    await tables.apply(versionOf(1));
    await tables.apply(TRACK);
    const image = memory.slots.slice();
    const named = parts.chains.indexes();
    const numbers = Array.from({ length: CHAINS }, (_, at) => at + 1);
    const many = (count: number): DesiredMux =>
      versionOf(3, {
        current: numbers.slice(0, count).map(() => 1),
        base: numbers.slice(0, count).map(() => 1),
        period: numbers.slice(0, count),
        periods: numbers.slice(0, count).map((at) => periodOf(10 + at)),
      });
    await expect(tables.apply(many(CHAINS))).rejects.toMatchObject({
      code: 'limit',
      message: expect.stringMatching(/chains/),
    });
    expect(memory.slots).toEqual(image);
    expect(parts.chains.indexes(), 'those that slots name').toEqual(named);
    expect(parts.self.version).toBe(2);

    await tables.apply(CLEAN);
    await tables.apply({ ...many(CHAINS - 1), version: 6 });
    expect(parts.chains.size).toBe(CHAINS - 1);
  });

  it('add a peer before slots name it, and take it away after', async () => {
    const present: boolean[] = [];
    const { memory, parts, tables } = build(() => {
      const names3 = slotsOf(memory).some(({ chain }) => chain?.owner === 3 || chain?.backup === 3);
      if (names3) present.push(parts.peers.get(3) !== undefined);
    });
    await tables.apply(versionOf(1));
    const joined = {
      period: [1, 0, 1],
      members: [1, 3],
      periods: [periodOf(2, { candidates: [muxes(1, 3)] })],
    };
    await tables.apply(versionOf(2, joined));
    const { encap, guePort, mtuBytes } = parts.peers.get(3)!;
    expect({ encap, guePort, mtuBytes }).toEqual({ encap: 'gue', guePort: 7445, mtuBytes: 1500 });
    expect(new DataView(memory.peers).getUint16(3 * 64 + 22, true), 'behind all headers').toBe(
      1500 - 20 - 8 - 56,
    );
    await tables.apply(versionOf(3));
    expect(parts.peers.indexes()).toEqual([1, 2]);
    expect(present.length).toBeGreaterThan(0);
    expect(present).not.toContain(false);
  });

  it('reach peers by new paths', async () => {
    const { parts, tables } = build();
    await tables.apply(versionOf(1));
    const moved = { ...backendOf(102, 7), encap: 'gue' as const, guePort: 7445 };
    expect(await tables.setPaths(new Map(), new Map([[2, moved]]))).toBe(1);
    expect(parts.peers.get(2)!.nextHop!.destinationMac).toBe('02:00:00:00:00:07');
    expect(await tables.setPaths(new Map(), new Map([[2, { ...moved, address: '192.0.2.9' }]]))).toBe(0);
  });
});

describe('a pool that has the id of another one before it', () => {
  const change = (id: number, name: string, backend: number, port: number): DesiredMux => ({
    ...versionOf(0),
    services: [serviceOf(port, id)],
    pools: new Map([[id, poolOf(id, new Uint16Array(5).fill(backend), name)]]),
  });

  it('gets slots of its own while packets of services of the other read theirs', async () => {
    const found = new Set<unknown>();
    const { memory, tables } = build(() => found.add(route(memory, serviceOf(80, 1), 0)));
    await tables.apply(change(1, 'old', 1, 80));
    await tables.apply(change(1, 'new', 2, 81));
    expect(found).not.toContain(2);
    expect(route(memory, serviceOf(80, 1), 0)).toBe('no service');
    expect(route(memory, serviceOf(81, 1), 0)).toBe(2);
  });

  it('stays where it is when it is the same pool and a service of it goes', async () => {
    const { memory, tables } = build();
    const both = change(1, 'web', 1, 80);
    await tables.apply({ ...both, services: [serviceOf(80, 1), serviceOf(81, 1)] });
    const applied = await tables.apply(change(1, 'web', 1, 81));
    expect(applied.slots).toBe(0);
    expect([...memory.slots.subarray(5, CAPACITY)].every((word) => word === 0n)).toBe(true);
  });
});
