// Messages of flows from another mux: which are taken, what they change in the flow table, and what is sent back.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FlowsCommand } from '../../control/dataplane/generated/layout.ts';
import { ClusterMux, tcpPacket } from './lib/cluster_mux.ts';
import { hex } from './lib/rig.ts';
import { ASK_KEY, GENERATION, IDLE, INCARNATION, SELF, SITE, slotInPool } from './lib/tracked_mux.ts';
import { FLAGS, flowsMessage, type MessageEntry, OP, type WireHeader, wireFrame } from './lib/wire_frames.ts';

const PEER = 3;
const { pool, slotBase, slotCount } = SITE.tcp;
const TRACK_EPOCH = 5;
const STATE = { nascent: 1, unproven: 2, trusted: 3 } as const;
const ROUND = 9;

let mux: ClusterMux;
beforeAll(() => {
  mux = ClusterMux.make();
});
beforeEach(() => {
  mux.reset();
  mux.setSlots('tcp', 2, 1, { owner: SELF, backup: PEER, trackEpoch: TRACK_EPOCH, chainEpoch: 6 });
  mux.setPool(pool, slotBase, slotCount);
});
afterAll(() => mux?.close());

function entryOf(port: number, more: Partial<MessageEntry> = {}): MessageEntry {
  const { hash } = tcpPacket(port);
  return {
    fingerprint: hash,
    slot: slotInPool('tcp', hash),
    trackEpoch: TRACK_EPOCH,
    chainEpoch: 6,
    backend: 1,
    generation: GENERATION,
    ageUnits: 3,
    idleTime: IDLE,
    state: STATE.trusted,
    ...more,
  };
}

function frameOf(entries: readonly MessageEntry[], header: Partial<WireHeader> = {}): Uint8Array {
  const whole: WireHeader = {
    asker: PEER,
    askerIncarnation: INCARNATION(PEER),
    time: mux.ticks,
    version: 9,
    operation: OP.flows,
    owner: SELF,
    slot: ROUND * 64 + 7,
    pool,
    ...header,
  };
  return wireFrame(mux.from(PEER), flowsMessage(whole, ASK_KEY, entries));
}

/** Events that a message was counted for, once it was taken. */
function taken(entries: readonly MessageEntry[], header: Partial<WireHeader> = {}): Record<string, number> {
  const { verdict, counted } = mux.judge(frameOf(entries, header));
  expect({ verdict, REPLY_FLOWS: counted.REPLY_FLOWS }).toEqual({ verdict: 'TX', REPLY_FLOWS: 1 });
  const { REPLY_FLOWS: _, ...events } = counted;
  return events;
}

const refresh = { flags: FLAGS.refresh };

describe('a message of flows', () => {
  it('is answered by its number, without its entries', () => {
    const { output } = mux.judge(frameOf([entryOf(1), entryOf(2)]));
    const came = mux.from(PEER);
    const back = { ...came, from: came.to, to: came.from, fromMac: came.toMac, toMac: came.fromMac };
    const header = mux.sign({ operation: OP.flowsTaken, asker: SELF, owner: PEER, slot: ROUND * 64 + 7 }, 0n);
    expect(hex(output)).toBe(hex(wireFrame(back, header)));
  });

  it.each([0, 1])('for mux %i is none for this one', (owner) => {
    const { verdict, counted } = mux.judge(frameOf([entryOf(1)], { owner }));
    expect({ verdict, counted }).toEqual({ verdict: 'DROP', counted: { DROP_ASK_INCARNATION: 1 } });
    expect(mux.entries().size).toBe(0);
  });

  it('may be as long as 40 entries', () => {
    const entries = Array.from({ length: 40 }, (_, i) => entryOf(2000 + i));
    expect(taken(entries).FLOW_COPIED).toBe(40);
    expect(mux.entries().size).toBe(40);
  });

  it.each([
    ['no entries', () => frameOf([]), 'DROP_ASK_SIZE'],
    [
      'more than it may have',
      () => frameOf(Array.from({ length: 41 }, (_, i) => entryOf(i))),
      'DROP_ASK_SIZE',
    ],
    ['fewer than it says', () => frameOf([entryOf(1)], { backend: 2 }), 'DROP_ASK_SIZE'],
    ['more than it says', () => frameOf([entryOf(1), entryOf(2)], { backend: 1 }), 'DROP_ASK_SIZE'],
    ['one that was changed', () => change(frameOf([entryOf(1)]), -1), 'DROP_ASK_TAG'],
    ['a time long ago', () => frameOf([entryOf(1)], { time: mux.ticks - 5000 }), 'DROP_ASK_TIME'],
    ['a pool that is not here', () => frameOf([entryOf(1)], { pool: 99 }), 'DROP_ASK_SLOT'],
    ['a version that is not here yet', () => frameOf([entryOf(1)], { version: 10 }), 'DROP_ASK_EPOCH'],
    ['another sender', () => frameOf([entryOf(1)], { asker: 1 }), 'DROP_ASK_SOURCE'],
  ])('is not taken with %s, and then not answered', (_, make, reason) => {
    expect(mux.judge(make())).toMatchObject({ verdict: 'DROP', counted: { [reason]: 1 } });
    expect(mux.entries().size).toBe(0);
  });

  it.each([
    ['a slot that its flow does not have', { slot: (entryOf(1).slot + 1) % slotCount }],
    ['a slot that the pool does not have', { slot: slotCount }],
    ['another period', { trackEpoch: TRACK_EPOCH - 1 }],
    ['a later period', { trackEpoch: TRACK_EPOCH + 1 }],
    ['a backend that is not here', { backend: 77 }],
    ['no backend', { backend: 0 }],
    ['another generation', { generation: GENERATION - 1 }],
    ['an age beyond its life', { ageUnits: 4 * IDLE + 1 }],
    ['an age beyond all', { ageUnits: 0xffff }],
    ['no idle time', { idleTime: 0 }],
    ['no state', { state: 0 }],
    ['an unknown state', { state: 4 }],
  ])('is taken without an entry of %s', (_, wrong) => {
    for (const header of [{}, refresh])
      expect(taken([entryOf(1, wrong), entryOf(2)], header)).toMatchObject({ FLOW_ENTRY_REFUSED: 1 });
    expect([...mux.entries().keys()]).toEqual([tcpPacket(2).hash]);
  });

  it('of clean slots is for nobody', () => {
    mux.setSlots('tcp', 2, 1);
    expect(taken([entryOf(1)])).toEqual({ FLOW_ENTRY_REFUSED: 1 });
  });
});

describe('a copy', () => {
  it('makes what is not known known, as old as it is', () => {
    expect(taken([entryOf(1, { state: STATE.nascent })])).toEqual({ FLOW_COPIED: 1 });
    expect(mux.entries().get(tcpPacket(1).hash)).toMatchObject({
      slot: slotBase + entryOf(1).slot,
      track_epoch: TRACK_EPOCH,
      chain_epoch: 6,
      backend: 1,
      generation: GENERATION,
      seen: (mux.now - 3) & 0xffff,
      idle_time: IDLE,
      state: STATE.nascent,
      protocol: 6,
    });
  });

  it.each([6, 7])('overrules nothing that was recorded under its chain or a newer one', (chain_epoch) => {
    const seen = mux.now - 9;
    for (const [port, backend] of [
      [1, 1],
      [2, 2],
    ] as const) {
      const { hash } = tcpPacket(port);
      mux.putEntry(hash, { slot: slotBase, track_epoch: TRACK_EPOCH, backend, seen, chain_epoch, state: 1 });
    }
    const before = mux.entries();
    expect(taken([entryOf(1), entryOf(2)])).toEqual({ FLOW_COPY_KEPT: 2 });
    expect(mux.entries()).toEqual(before);
  });

  it('overrules what was copied under a chain before: its owner has decided anew since', () => {
    const { hash } = tcpPacket(1);
    mux.putEntry(hash, { slot: slotBase, track_epoch: TRACK_EPOCH, backend: 2, chain_epoch: 5, state: 1 });
    expect(taken([entryOf(1)])).toEqual({ FLOW_COPIED: 1 });
    expect(mux.entries().get(hash)).toMatchObject({ backend: 1, chain_epoch: 6, state: STATE.trusted });
    // Another one that says the same comes to nothing, and one from before even less.
    expect(taken([entryOf(1, { backend: 2 }), entryOf(1, { backend: 2, chainEpoch: 5 })])).toEqual({
      FLOW_COPY_KEPT: 2,
    });
    expect(mux.entries().get(hash)).toMatchObject({ backend: 1, chain_epoch: 6 });
  });

  it.each([
    ['that a flow is real', STATE.nascent, STATE.trusted, STATE.trusted],
    ['not that it is not', STATE.trusted, STATE.nascent, STATE.trusted],
    ['what else it is', STATE.nascent, STATE.unproven, STATE.unproven],
  ])('tells what was copied under a chain before %s, and its last sign of life', (_, was, says, is) => {
    for (const [port, own] of [
      [1, 9],
      [2, 2],
    ] as const) {
      const entry = { slot: slotBase, track_epoch: TRACK_EPOCH, backend: 1, chain_epoch: 5, state: was };
      mux.putEntry(tcpPacket(port).hash, { ...entry, seen: mux.now - own });
    }
    expect(taken([1, 2].map((port) => entryOf(port, { state: says })))).toEqual({ FLOW_COPY_KEPT: 2 });
    const [one, two] = [1, 2].map((port) => mux.entries().get(tcpPacket(port).hash));
    expect(one).toMatchObject({ chain_epoch: 6, state: is, seen: (mux.now - 3) & 0xffff });
    expect(two).toMatchObject({ chain_epoch: 6, state: is, seen: (mux.now - 2) & 0xffff });
  });

  it('is taken by who does not keep the slot yet, and is there when it does', () => {
    const { hash } = tcpPacket(1);
    mux.setSlots('tcp', 2, 1, { owner: PEER, backup: 4, trackEpoch: TRACK_EPOCH, chainEpoch: 6 });
    expect(taken([entryOf(1)])).toEqual({ FLOW_COPIED: 1 });
    mux.command({ command: FlowsCommand.FLOWS_COMMAND_SWEEP, bucket: 0, buckets: 16 });
    expect(mux.entries().get(hash)).toMatchObject({ backend: 1, chain_epoch: 6 });
    // Mux 4 has left. What the owner says under the chain of now is what counts.
    mux.setSlots('tcp', 2, 1, { owner: PEER, backup: SELF, trackEpoch: TRACK_EPOCH, chainEpoch: 9 });
    expect(taken([entryOf(1, { backend: 2, chainEpoch: 9 })])).toEqual({ FLOW_COPIED: 1 });
    expect(mux.entries().get(hash)).toMatchObject({ backend: 2, chain_epoch: 9 });
  });

  it.each([
    ['of an older period', { track_epoch: TRACK_EPOCH - 1, age: 0 }],
    ['that has expired', { track_epoch: TRACK_EPOCH, age: 4 * IDLE + 1 }],
  ])('takes the place of one %s', (_, { age, ...entry }) => {
    mux.putEntry(tcpPacket(1).hash, { ...entry, backend: 2, seen: mux.now - age });
    expect(taken([entryOf(1)])).toEqual({ FLOW_COPIED: 1 });
    expect(mux.entries().get(tcpPacket(1).hash)).toMatchObject({ track_epoch: TRACK_EPOCH, backend: 1 });
  });

  it('takes no place of a live flow', () => {
    const entries = Array.from({ length: 40 * 16 }, (_, i) => entryOf(3000 + i));
    let full = 0;
    for (let at = 0; at < entries.length; at += 40)
      full += taken(entries.slice(at, at + 40)).FLOW_COPY_FULL ?? 0;
    expect(mux.entries().size).toBe(16 * 7);
    expect(full).toBe(entries.length - 16 * 7);
  });

  it('keeps to the quotas of what is not trusted', () => {
    for (const [state, places] of [
      [STATE.nascent, 3],
      [STATE.unproven, 5],
    ] as const) {
      mux.clearTables();
      for (let at = 0; at < 400; at += 40)
        taken(Array.from({ length: 40 }, (_, i) => entryOf(4000 + at + i, { state })));
      expect(mux.entries().size).toBe(16 * places);
    }
  });
});

describe('a refresh', () => {
  it('is a sign of life, but never an older one', () => {
    const { hash } = tcpPacket(1);
    mux.putEntry(hash, { slot: slotBase, track_epoch: TRACK_EPOCH, backend: 1, seen: mux.now - 9 });
    expect(taken([entryOf(1, { ageUnits: 2 })], refresh)).toEqual({ FLOW_REFRESHED: 1 });
    expect(mux.entries().get(hash)!.seen).toBe(mux.now - 2);
    expect(taken([entryOf(1, { ageUnits: 5 })], refresh)).toEqual({ FLOW_REFRESHED: 1 });
    expect(mux.entries().get(hash)!.seen).toBe(mux.now - 2);
  });

  it('of another backend is none', () => {
    const { hash } = tcpPacket(1);
    mux.putEntry(hash, { slot: slotBase, track_epoch: TRACK_EPOCH, backend: 2, seen: mux.now - 9 });
    expect(taken([entryOf(1)], refresh)).toEqual({ FLOW_COPY_KEPT: 1 });
    expect(mux.entries().get(hash)).toMatchObject({ backend: 2, seen: mux.now - 9 });
  });

  it('makes known what was lost', () => {
    expect(taken([entryOf(1, { state: STATE.unproven })], refresh)).toEqual({ FLOW_COPIED: 1 });
    expect(mux.entries().get(tcpPacket(1).hash)).toMatchObject({ backend: 1, state: STATE.unproven });
  });
});

describe('an answer to a message', () => {
  const answer = (slot: number) =>
    wireFrame(mux.from(PEER), mux.sign({ operation: OP.flowsTaken, asker: PEER, owner: SELF, slot }, 0n));

  it('is noted for its round', () => {
    mux.setPeerState(PEER, { copy_round: ROUND });
    for (const number of [0, 5, 63, 2047])
      expect(mux.judge(answer(ROUND * 2048 + number))).toMatchObject({
        verdict: 'DROP',
        counted: { NOTED_FLOWS: 1 },
      });
    expect(mux.copiesTaken(PEER)).toEqual([0, 5, 63, 2047]);
  });

  it('of another round is late', () => {
    mux.setPeerState(PEER, { copy_round: ROUND });
    expect(mux.judge(answer((ROUND - 1) * 2048)).counted).toEqual({ NOTED_LATE: 1 });
    expect(mux.copiesTaken(PEER)).toEqual([]);
  });
});

function change(frame: Uint8Array, at: number): Uint8Array {
  frame[frame.length + at]! ^= 1;
  return frame;
}
