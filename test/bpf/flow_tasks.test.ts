// What user space has the program `flows` do: clock, probes, sweeps, censuses, lists, copies and refreshes.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FlowsCommand, Limit } from '../../control/dataplane/generated/layout.ts';
import { ClusterMux, tcpPacket } from './lib/cluster_mux.ts';
import { concat } from './lib/packets.ts';
import { slotOf } from './lib/reference.ts';
import { hex } from './lib/rig.ts';
import {
  ASK_KEY,
  type Chain,
  GENERATION,
  IDLE,
  INCARNATION,
  SELF,
  SITE,
  slotInPool,
} from './lib/tracked_mux.ts';
import { carrying, FLAGS, flowsMessage, type MessageEntry, OP, wireFrame } from './lib/wire_frames.ts';

const OWNER = 1;
const BACKUP = 3;
const { pool, slotBase, slotCount } = SITE.tcp;
const TRACK_EPOCH = 5;
const ALL = { bucket: 0, buckets: Limit.LIMIT_FLOWS_BUCKETS };
const RANGE = { slot_base: slotBase, slot_count: slotCount, pool };
const {
  FLOWS_COMMAND_CLOCK: CLOCK,
  FLOWS_COMMAND_PROBE: PROBE,
  FLOWS_COMMAND_SWEEP: SWEEP,
  FLOWS_COMMAND_SWEEP_CACHE: SWEEP_CACHE,
  FLOWS_COMMAND_LIST: LIST,
  FLOWS_COMMAND_LOOK_UP: LOOK_UP,
  FLOWS_COMMAND_COPY: COPY,
  FLOWS_COMMAND_COPY_AHEAD: COPY_AHEAD,
  FLOWS_COMMAND_REFRESH: REFRESH,
} = FlowsCommand;

let mux: ClusterMux;
let chain: number;
beforeAll(() => {
  mux = ClusterMux.make();
});
beforeEach(() => {
  mux.reset();
  for (const name of ['chain_flows', 'held_slots', 'ahead_slots'])
    new Uint8Array(mux.map(name).mmap()).fill(0);
  chain = track({ owner: SELF, backup: BACKUP });
});
afterAll(() => mux?.close());

function track(more: Partial<Chain> & Pick<Chain, 'owner' | 'backup'>): number {
  return mux.setSlots('tcp', 2, 1, { trackEpoch: TRACK_EPOCH, chainEpoch: 6, ...more });
}

/** An entry of the flow table for the flow of a client port. */
function put(port: number, more: Parameters<ClusterMux['putEntry']>[1] = {}): bigint {
  const { hash } = tcpPacket(port);
  mux.putEntry(hash, { slot: slotOf(SITE.tcp, hash), track_epoch: TRACK_EPOCH, backend: 1, ...more });
  return hash;
}

/** Of `count` client ports, those whose flows find a place in their buckets. */
function fitting(first: number, count: number): number[] {
  const taken = new Map<bigint, number>();
  return Array.from({ length: count }, (_, i) => first + i).filter((port) => {
    const bucket = ((tcpPacket(port).hash & 0xffffffffn) * 16n) >> 32n;
    taken.set(bucket, (taken.get(bucket) ?? 0) + 1);
    return taken.get(bucket)! <= Limit.LIMIT_FLOW_PLACES;
  });
}

/** Has the flow of a client port answered, and so cached. */
function cache(port: number, more: { flags?: number } = {}): bigint {
  const { hash, datagram } = tcpPacket(port);
  const header = mux.sign(
    {
      operation: OP.answer,
      asker: SELF,
      askerIncarnation: INCARNATION(SELF),
      slot: slotInPool('tcp', hash),
      pool,
      owner: OWNER,
      backup: BACKUP,
      trackEpoch: TRACK_EPOCH,
      chainEpoch: 6,
      backend: 1,
      generation: GENERATION,
      hops: 3,
      ...more,
    },
    hash,
  );
  const { counted } = mux.judge(wireFrame(mux.from(BACKUP), carrying(header, datagram)));
  expect(counted).toMatchObject({ FORWARD_ANSWERED: 1 });
  return hash;
}

/** Every entry that a command finds, page by page. */
function gather(request: Parameters<ClusterMux['command']>[0], size: number) {
  const found: { fingerprint: bigint; slot: number; seen: number; state: number }[] = [];
  for (let bucket = 0; bucket < size; ) {
    const { request: out, message } = mux.command({ ...ALL, ...request, bucket })!;
    expect(out.bucket).toBeGreaterThan(bucket);
    bucket = out.bucket;
    const entries = message.flatMap((it) => it.entry).slice(0, out.entries);
    found.push(
      ...entries.map(({ fingerprint, entry: { slot, seen, state } }) => ({ fingerprint, slot, seen, state })),
    );
  }
  return found;
}

describe('any command', () => {
  it('says what time it is, as deadlines count and as clocks do', () => {
    const { request } = mux.command({ command: CLOCK })!;
    expect(request).toMatchObject({ now_ns: mux.nowNs, jiffies: mux.nowNs >> 20n, done: 1 });
  });

  it('that is unknown is refused', () => {
    for (const command of [0, 11, 0xffffffff]) expect(mux.command({ command })).toBeUndefined();
  });

  it('in less than a page is refused', () => {
    const { retval } = mux.object.program('flows').testRun({ data: new Uint8Array(2743) });
    expect(retval).toBe(0);
  });
});

describe('a probe', () => {
  it('is signed for any peer', () => {
    mux.command({ command: PROBE, number: 1234, flags: 0xffff });
    const header = { operation: OP.probe, asker: SELF, slot: 1234, flags: FLAGS.pledge };
    expect(hex(mux.message(0, 0))).toBe(hex(mux.sign(header, 0n)));
    mux.command({ command: PROBE, number: 1235 });
    expect(hex(mux.message(0, 0))).toBe(hex(mux.sign({ ...header, slot: 1235, flags: 0 }, 0n)));
  });
});

describe('a sweep', () => {
  it('takes out what has expired', () => {
    put(1, { seen: mux.now - 4 * IDLE - 1 });
    put(2, { seen: mux.now - Limit.LIMIT_NASCENT_TIME - 1, state: 1 });
    const live = [put(3, { seen: mux.now - 4 * IDLE }), put(4, { seen: mux.now - 250, state: 1 })];
    expect(mux.command({ ...ALL, command: SWEEP })!.request).toMatchObject({ entries: 2, bucket: 16 });
    expect([...mux.entries().keys()].sort()).toEqual(live.sort());
  });

  it('takes out what is of a period that has ended, and leaves one that has not come here', () => {
    put(1, { track_epoch: TRACK_EPOCH - 1 });
    const newer = put(2, { track_epoch: TRACK_EPOCH + 1 });
    expect(mux.command({ ...ALL, command: SWEEP })!.request.entries).toBe(1);
    expect([...mux.entries().keys()]).toEqual([newer]);
  });

  it('raises the chain epoch of what may be told apart from newer ones no longer', () => {
    const epochs = [9, 9 - 0x4000, 9 - 0x4001, 9 - 0x7fff].map((it) => it & 0xffff);
    const hashes = epochs.map((chain_epoch, at) => put(at + 1, { chain_epoch }));
    mux.command({ ...ALL, command: SWEEP });
    const least = (9 - 0x4000) & 0xffff;
    expect(hashes.map((it) => mux.entries().get(it)!.chain_epoch)).toEqual([9, least, least, least]);
  });

  it('takes out what is of a clean slot, and leaves what a newer version has tracked', () => {
    mux.setSlots('tcp', 2, 2);
    put(1, { track_epoch: 9 });
    const newer = put(2, { track_epoch: 10 });
    expect(mux.command({ ...ALL, command: SWEEP })!.request.entries).toBe(1);
    expect([...mux.entries().keys()]).toEqual([newer]);
  });

  it('counts, by chain and by slot, what is live and what is not of the current backend', () => {
    const old = [put(1, { backend: 1 }), put(2, { backend: 1 })];
    put(3, { backend: 2 });
    put(4, { backend: 3, generation: GENERATION + 1 });
    put(5, { seen: mux.now - 4 * IDLE - 1 });
    mux.command({ ...ALL, command: SWEEP });
    const flows = mux.view('chain_flows');
    expect([flows.getUint32(chain * 8, true), flows.getUint32(chain * 8 + 4, true)]).toEqual([4, 2]);
    const bits = mux.view('held_slots');
    const held = Array.from({ length: slotBase + slotCount }, (_, slot) => slot).filter(
      (slot) => bits.getUint8(slot >> 3) & (1 << (slot & 7)),
    );
    expect(held).toEqual([...new Set(old.map((hash) => slotOf(SITE.tcp, hash)))].sort((a, b) => a - b));
  });

  it('goes on where it was left', () => {
    for (const port of fitting(1, 60)) put(port, { seen: mux.now - 4 * IDLE - 1 });
    let removed = 0;
    for (let bucket = 0; bucket < 16; ) {
      const { request } = mux.command({ command: SWEEP, bucket, buckets: 5 })!;
      expect(request.bucket).toBe(Math.min(bucket + 5, 16));
      bucket = request.bucket;
      removed += request.entries;
    }
    expect(removed).toBeGreaterThan(40);
    expect(mux.entries().size).toBe(0);
    expect(mux.command({ ...ALL, command: SWEEP, bucket: 16 })!.request).toMatchObject({
      bucket: 16,
      entries: 0,
    });
  });

  it('of the cache takes out what was silent', () => {
    cache(1);
    mux.advance(5);
    cache(2);
    expect(mux.cached()).toHaveLength(2);
    const { request } = mux.command({ ...ALL, command: SWEEP_CACHE, idle_time: 4 })!;
    expect(request).toMatchObject({ entries: 1, bucket: 16 });
    expect(mux.cached()).toHaveLength(1);
  });
});

describe('a list', () => {
  it('has every entry once, however many there are, with its age', () => {
    const put_ = fitting(7000, 200);
    expect(put_.length).toBeGreaterThan(90);
    for (const port of put_) put(port, { seen: mux.now - 2 });
    const found = gather({ command: LIST }, 16);
    expect(found.map((it) => it.fingerprint).sort()).toEqual(put_.map((it) => tcpPacket(it).hash).sort());
    for (const { fingerprint, slot, seen } of found)
      expect({ slot, seen }).toEqual({ slot: slotOf(SITE.tcp, fingerprint), seen: 2 });
  });

  it('may be of some slots', () => {
    const hashes = [1, 2, 3, 4, 5, 6].map((port) => put(port));
    const slot = slotOf(SITE.tcp, hashes[0]!);
    const found = gather({ command: LIST, slot_base: slot, slot_count: 1 }, 16);
    expect(found.map((it) => it.fingerprint).sort()).toEqual(
      hashes.filter((it) => slotOf(SITE.tcp, it) === slot).sort(),
    );
  });
});

describe('looking one flow up', () => {
  it('says what table and cache know', () => {
    const hash = put(1, { seen: mux.now - 7 });
    track({ owner: OWNER, backup: BACKUP });
    const look = () =>
      mux
        .command({ command: LOOK_UP, fingerprint: hash, slot_base: slotOf(SITE.tcp, hash) })!
        .message[0]!.entry.slice(0, 2)
        .map(({ entry: { state, backend, seen } }) => ({ state, backend, seen }));
    expect(look()).toEqual([
      { state: 3, backend: 1, seen: 7 },
      { state: 0, backend: 0, seen: expect.anything() },
    ]);
    cache(1);
    mux.advance(2);
    expect(look()).toEqual([
      { state: 3, backend: 1, seen: 9 },
      { state: 2, backend: 1, seen: 2 },
    ]);
  });
});

describe('messages of a copy', () => {
  const request = { command: COPY, peer: BACKUP, number: 640, ...RANGE };

  it('are signed, and as the peer takes them', () => {
    // It is as this mux says it under the chain of now, which began at version 6.
    const hash = put(1, { seen: mux.now - 3, chain_epoch: 4 });
    expect(mux.command({ ...ALL, ...request })!.request.entries).toBe(1);
    const entry: MessageEntry = {
      fingerprint: hash,
      slot: slotInPool('tcp', hash),
      trackEpoch: TRACK_EPOCH,
      chainEpoch: 6,
      backend: 1,
      generation: GENERATION,
      ageUnits: 3,
      idleTime: IDLE,
      state: 3,
    };
    const header = {
      asker: SELF,
      askerIncarnation: INCARNATION(SELF),
      time: mux.ticks,
      version: 9,
      operation: OP.flows,
      owner: BACKUP,
      slot: 640,
      pool,
    };
    expect(hex(mux.message(0, 1))).toBe(hex(flowsMessage(header, ASK_KEY, [entry])));
  });

  it('are two at a time, numbered, and both signed', () => {
    for (const port of fitting(8000, 1000)) put(port);
    const { request: out, message } = mux.command({ ...ALL, ...request })!;
    expect(out.entries).toBeGreaterThan(73);
    expect(message.map((it) => it.header.slot)).toEqual([640, 641]);
    expect(message.map((it) => it.header.backend)).toEqual([40, out.entries - 40]);
    // Another mux takes them.
    mux.setPool(pool, slotBase, slotCount);
    const frames = [mux.message(0, 40), mux.message(1, out.entries - 40)];
    mux.clearTables();
    mux.set({ id: BACKUP, incarnation: INCARNATION(BACKUP) });
    for (const data of frames)
      expect(
        mux.judge(wireFrame({ ...mux.from(SELF), to: mux.addressOf(BACKUP) }, data)).counted,
      ).toMatchObject({ REPLY_FLOWS: 1 });
    expect(mux.entries().size).toBe(out.entries);
  });

  it.each([
    ['of a slot of another pool', () => mux.command({ ...ALL, ...request, slot_base: 500 })],
    ['of a chain that has not changed since', () => mux.command({ ...ALL, ...request, chain_epoch: 7 })],
    ['whose backup is another', () => mux.command({ ...ALL, ...request, peer: 4 })],
    [
      'that another owns',
      () => {
        track({ owner: OWNER, backup: BACKUP });
        return mux.command({ ...ALL, ...request });
      },
    ],
    [
      'whose backend is gone',
      () => {
        mux.setBackend(1, { present: false });
        return mux.command({ ...ALL, ...request });
      },
    ],
    [
      'that has expired',
      () => {
        mux.advance(4 * IDLE + 1);
        return mux.command({ ...ALL, ...request });
      },
    ],
  ])('have no entry %s', (_, run) => {
    put(1);
    expect(mux.command({ ...ALL, ...request })!.request.entries).toBe(1);
    expect(run()!.request.entries).toBe(0);
  });
});

describe('messages of a copy ahead', () => {
  const run = () =>
    mux.command({ command: COPY_AHEAD, ...ALL, peer: 4, number: 640, chain_epoch: 0, ...RANGE })!;
  const choose = (...slots: number[]): void => {
    const bits = mux.view('ahead_slots');
    for (const slot of slots) {
      const at = ((slotBase + slot) >> 6) * 8;
      bits.setBigUint64(at, bits.getBigUint64(at, true) | (1n << BigInt((slotBase + slot) & 63)), true);
    }
  };

  it.each([
    ['owns', { owner: SELF, backup: BACKUP }],
    ['is the backup of', { owner: BACKUP, backup: SELF }],
  ])('have the flows of slots that were chosen and that this mux %s', (_, keepers) => {
    track(keepers);
    const [one, two] = [put(1, { chain_epoch: 4 }), put(2)];
    expect(slotInPool('tcp', one)).not.toBe(slotInPool('tcp', two));
    expect(run().request.entries).toBe(0);
    choose(slotInPool('tcp', one));
    const { request, message } = run();
    expect(request.entries).toBe(1);
    expect(message[0]!.header).toMatchObject({ owner: 4, slot: 640, pool });
    expect(message[0]!.entry[0]).toMatchObject({
      fingerprint: one,
      entry: { slot: slotInPool('tcp', one), chain_epoch: 6, backend: 1 },
    });
    choose(slotInPool('tcp', two));
    expect(run().request.entries).toBe(2);
  });

  it.each([
    ['of a slot that others keep', () => track({ owner: OWNER, backup: BACKUP })],
    ['of a period that has ended', () => track({ owner: SELF, backup: BACKUP, trackEpoch: TRACK_EPOCH + 1 })],
    ['of a clean slot', () => mux.setSlots('tcp', 2, 1)],
    ['that has expired', () => mux.advance(4 * IDLE + 1)],
    ['whose backend is gone', () => mux.setBackend(1, { present: false })],
  ])('have no entry %s', (_, change) => {
    choose(slotInPool('tcp', put(1)));
    expect(run().request.entries).toBe(1);
    change();
    expect(run().request.entries).toBe(0);
  });

  it('of a chain that began long ago are not taken for newer than those of the next one', () => {
    const version = 40_000;
    mux.set({ version });
    choose(slotInPool('tcp', put(1)));
    const { chain_epoch } = run().message[0]!.entry[0]!.entry;
    expect((version - chain_epoch) & 0xffff).toBe(0x4000);
  });
});

describe('messages of a refresh', () => {
  const request = { command: REFRESH, peer: OWNER, number: 64, age_max: 10, idle_time: IDLE, ...RANGE };
  beforeEach(() => {
    track({ owner: OWNER, backup: BACKUP });
    mux.setPool(pool, slotBase, slotCount);
  });

  it('have the flows that lived here lately, for owner and backup alike', () => {
    const hash = cache(1);
    cache(2, { flags: FLAGS.newFlow });
    mux.advance(3);
    for (const peer of [OWNER, BACKUP]) {
      const { request: out } = mux.command({ ...ALL, ...request, peer })!;
      expect(out.entries).toBe(1);
      const entry: MessageEntry = {
        fingerprint: hash,
        slot: slotInPool('tcp', hash),
        trackEpoch: TRACK_EPOCH,
        chainEpoch: 6,
        backend: 1,
        generation: GENERATION,
        ageUnits: 3,
        idleTime: IDLE,
        state: 2,
      };
      const header = {
        asker: SELF,
        askerIncarnation: INCARNATION(SELF),
        time: mux.ticks,
        version: 9,
        operation: OP.flows,
        owner: peer,
        slot: 64,
        pool,
        flags: FLAGS.refresh,
      };
      const expected = flowsMessage(header, ASK_KEY, [entry]);
      // The protocol is for people, and the cache does not have it.
      const bytes = mux.message(0, 1);
      expect(hex(bytes.subarray(0, 48))).toBe(hex(expected.subarray(0, 48)));
      expect(hex(concat(bytes.subarray(56, 87)))).toBe(hex(expected.subarray(56, 87)));
    }
  });

  it.each([
    ['nobody that is not of the chain', { peer: 4 }],
    ['those that were silent for longer', { age_max: 2 }],
    ['other pools', { slot_base: 500 }],
  ])('have nothing for %s', (_, more) => {
    cache(1);
    mux.advance(3);
    expect(mux.command({ ...ALL, ...request, ...more })!.request.entries).toBe(0);
  });

  it('have nothing of an earlier period', () => {
    for (let port = 1; port <= 30; port++) cache(port);
    track({ owner: OWNER, backup: BACKUP, trackEpoch: TRACK_EPOCH + 1 });
    // Of a false slot and bucket but for one in 80 (5 slots, 16 buckets).
    expect(mux.command({ ...ALL, ...request })!.request.entries).toBeLessThan(3);
  });

  it('need to know the pool', () => {
    expect(mux.command({ ...ALL, ...request, slot_count: 0 })).toBeUndefined();
  });

  it('for this mux itself are taken in at once', () => {
    const hash = cache(1);
    track({ owner: SELF, backup: BACKUP });
    put(1, { seen: mux.now - 9 });
    const before = mux.counts();
    expect(mux.command({ ...ALL, ...request, peer: SELF })!.request.entries).toBe(1);
    expect(mux.entries().get(hash)!.seen).toBe(mux.now);
    expect(mux.counts().FLOW_REFRESHED! - before.FLOW_REFRESHED!).toBe(1n);
  });
});
