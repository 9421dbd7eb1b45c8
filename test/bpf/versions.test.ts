// Versions of the configuration on the real program: what it does with packets of a slot that is taken from one backend
// to another, what it remembers, and what user space sees of it.
import { afterEach, describe, expect, it } from 'vitest';
import type { Candidate, Period, Version } from '../../control/cluster/version.ts';
import { type DesiredMux, desiredMux } from '../../control/dataplane/desired.ts';
import { frameOf } from '../../control/dataplane/frame.ts';
import { chainCodec } from '../../control/dataplane/generated/layout.ts';
import { MuxProgram } from '../../control/dataplane/mux.ts';
import { MUX_OPTIONS } from './lib/state.ts';

const SECOND_NS = 1_000_000_000n;
const IDLE_MS = 5_000;
const SLOTS = 251;
const POOL = 7;
const SELF = { id: 1, incarnation: 40 };
const OTHER = { id: 2, incarnation: 50 };
const ADDRESS = '203.0.113.1';
const SYN = 2;
const ACK = 16;

const backendOf = (index: number) => ({
  pool: 'web',
  name: `b${index}`,
  address: `192.0.2.${index}`,
  weight: 100,
  encap: 'ip' as const,
  index,
  generation: 1,
  modRevision: 1,
});

const memberOf = ({ id, incarnation }: Candidate) => ({
  id,
  incarnation,
  name: `mux${id}`,
  address: `198.51.100.${id}`,
  askPort: 7445,
  isLeaving: false,
});

type Step = { current: number; base: number; period?: Partial<Period>; members?: Candidate[] };

/** All slots of the pool do the same. */
function versionOf(number: number, { current, base, period, members = [SELF] }: Step): Version {
  const periods: Period[] =
    period === undefined
      ? []
      : [
          {
            trackEpoch: 2,
            chainEpoch: 2,
            candidates: [members],
            step: 'track',
            stepVersion: number,
            idleTimeoutMs: IDLE_MS,
            isUrgent: false,
            lostSlots: 0,
            reason: 'test',
            ...period,
          },
        ];
  return {
    number,
    cluster: 'c',
    digest: `${number}`,
    leaderEpoch: 1,
    members: members.map(memberOf),
    gone: [],
    objects: {
      revision: number,
      services: new Map([
        [
          'www',
          {
            name: 'www',
            addresses: [ADDRESS],
            protocol: 'tcp' as const,
            port: 80,
            pool: 'web',
            idleTimeoutMs: IDLE_MS,
            modRevision: 1,
          },
        ],
      ]),
      pools: new Map([['web', { name: 'web', slots: SLOTS, id: POOL, modRevision: 1 }]]),
      backends: new Map([1, 2].map((index) => [`web/b${index}`, backendOf(index)])),
    },
    unnamedSince: new Map(),
    placements: new Map([
      [
        POOL,
        {
          poolId: POOL,
          current: new Uint16Array(SLOTS).fill(current),
          base: new Uint16Array(SLOTS).fill(base),
          period: new Uint8Array(SLOTS).fill(periods.length),
          periods,
        },
      ],
    ]),
  };
}

const hop = { ifindex: 0, destinationMac: '02:00:00:00:00:01', sourceMac: '02:00:00:00:00:02' };
const desired = (version: Version): DesiredMux =>
  desiredMux(version, () => ({ nextHop: hop, mtuBytes: 1500 }), {
    id: SELF.id,
    address: '198.51.100.1',
    askPort: 7445,
  });

const CLEAN = versionOf(1, { current: 1, base: 1 });
const TRACK = versionOf(2, { current: 1, base: 1, period: { step: 'track' } });
const COMMIT = versionOf(3, { current: 2, base: 1, period: { step: 'commit' } });
const SETTLE = versionOf(4, { current: 2, base: 2, period: { step: 'settle' } });
const DONE = versionOf(5, { current: 2, base: 2 });

let mux: MuxProgram;
let clock: BigUint64Array;

async function start(): Promise<void> {
  mux = MuxProgram.load({ ...MUX_OPTIONS, drivenTime: true, incarnation: SELF.incarnation });
  clock = mux.mapClock();
  clock[0] = 1_000n * SECOND_NS;
  mux.self.id = SELF.id;
  await mux.apply(desired(CLEAN));
}

afterEach(() => mux.close());

const flowFrom = (port: number) => ({
  protocol: 'tcp' as const,
  source: '198.18.7.7',
  sourcePort: port,
  destination: ADDRESS,
  destinationPort: 80,
});

const frameFrom = (port: number, flags: number) => frameOf({ ...flowFrom(port), syn: flags === SYN });

/** The backend that a packet of a client's port goes to. */
function send(port: number, flags: number): number {
  const data = frameFrom(port, flags);
  const { retval, dataOut } = mux.program.testRun({ data });
  return retval === 3 ? dataOut![14 + 19]! : -retval;
}

const explain = (port: number, flags: number) => mux.explain(frameFrom(port, flags));

function listAll() {
  const items = [];
  let cursor: number | undefined;
  do {
    const found = mux.flows.list({ poolId: POOL, cursor });
    items.push(...found.items);
    cursor = found.cursor;
  } while (cursor !== undefined);
  return items;
}

function sweepAll(): number {
  let removed = 0;
  let cursor: number | undefined;
  mux.flows.beginCensus();
  do {
    const found = mux.flows.sweep(cursor);
    removed += found.removed;
    cursor = found.cursor;
  } while (cursor !== undefined);
  return removed;
}

const word = (slot: number): bigint => new BigUint64Array(mux.slotMap.mmap())[slot]!;

describe('a pool that goes from one backend to another', () => {
  it('keeps flows that were there, and gives new ones to the new backend', async () => {
    await start();
    expect(send(1000, SYN)).toBe(1);
    expect(listAll(), 'clean slots keep no flows').toEqual([]);

    await mux.apply(desired(TRACK));
    expect(send(1000, ACK), 'was there before').toBe(1);
    expect(send(2000, SYN), 'new while tracking').toBe(1);
    await mux.apply(desired(COMMIT));
    expect(send(2000, ACK)).toBe(1);
    expect(send(1001, ACK), 'was never seen').toBe(1);
    expect(send(3000, SYN), 'new').toBe(2);
    expect(send(3000, ACK)).toBe(2);
    await mux.apply(desired(SETTLE));
    expect([send(1000, ACK), send(2000, ACK), send(3000, ACK)]).toEqual([1, 1, 2]);
    expect(send(1002, ACK), 'unknown now').toBe(2);
    await mux.apply(desired(DONE));
    expect([send(1000, ACK), send(3000, ACK)]).toEqual([2, 2]);
  });

  it('writes each slot and one chain as the version says', async () => {
    await start();
    expect(word(SLOTS - 1)).toBe(0x1_0001n);
    await mux.apply(desired(COMMIT));
    const tracked = word(0);
    expect(tracked & 0x1_ffff_ffffn).toBe(0x1_0001_0002n);
    expect(word(SLOTS - 1)).toBe(tracked);
    const { used } = mux.limits().chains;
    expect(used).toBe(1);
    expect(mux.self.version).toBe(3);
    await mux.apply(desired(DONE));
    expect(word(0)).toBe(0x2_0002n);
    expect(mux.limits().chains.used).toBe(0);
    expect(chainCodec.sizeBytes).toBe(32);
  });

  it('is clean when a census finds no flow of the old backend any more', async () => {
    await start();
    await mux.apply(desired(COMMIT));
    send(1000, ACK);
    send(3000, SYN);
    send(3000, ACK);
    const items = listAll();
    expect(items).toHaveLength(2);
    const old = items.find(({ backend }) => backend === 1)!;
    expect(old).toMatchObject({
      poolId: POOL,
      trackEpoch: 2,
      chainEpoch: 2,
      generation: 1,
      state: 'unproven',
      protocol: 'tcp',
      ipVersion: 4,
      client: Uint8Array.of(198, 18, 7, 7),
      silentMs: 0,
    });
    expect(Math.abs(old.idleTimeoutMs - IDLE_MS)).toBeLessThan(300);
    expect(items.find(({ backend }) => backend === 2)).toMatchObject({ state: 'trusted' });
    expect(mux.flows.lookUp(POOL, old.fingerprint)).toEqual({
      fingerprint: old.fingerprint,
      poolId: POOL,
      slot: old.slot,
      table: old,
      cache: { backend: 1, generation: 1, silentMs: 0, isFromSyn: false },
    });
    expect(mux.flows.lookUp(POOL, old.fingerprint ^ 1n).table).toBeUndefined();

    expect(sweepAll()).toBe(0);
    const { heldSlots, ...counts } = mux.flows.census(POOL, 2);
    expect(counts).toEqual({ flows: 2, oldFlows: 1 });
    const bits = Array.from({ length: SLOTS }, (_, slot) => (heldSlots[slot >> 3]! >> (slot & 7)) & 1);
    expect(bits.flatMap((bit, slot) => (bit === 1 ? [slot] : []))).toEqual([old.slot]);

    clock[0]! += 30n * SECOND_NS;
    expect(sweepAll(), 'four idle timeouts later').toBe(2);
    expect(mux.flows.census(POOL, 2)).toMatchObject({ flows: 0, oldFlows: 0 });
    expect(listAll()).toEqual([]);
    expect(mux.counters().flowEvents).toMatchObject({ FLOW_NEW: 1n, FLOW_BASE: 1n, FLOW_PROMOTED: 1n });
  });
});

describe('an explanation of a tracked slot', () => {
  it('says who answers, by which chain, since when, and changes nothing', async () => {
    await start();
    expect(explain(1000, ACK)).toMatchObject({ reason: 'FORWARD', backend: 1 });
    expect(explain(1000, ACK).tracking).toBeUndefined();
    await mux.apply(desired(COMMIT));
    const chain = { trackEpoch: 2, chainEpoch: 2, owner: SELF.id, chain: 1, current: 2, base: 1 };
    expect(explain(1000, ACK)).toMatchObject({ backend: 1, tracking: { ...chain, answeredBy: 'base' } });
    expect(explain(1000, SYN)).toMatchObject({ backend: 2, tracking: { ...chain, answeredBy: 'current' } });
    expect(listAll()).toEqual([]);
    send(3000, SYN);
    expect(explain(3000, SYN)).toMatchObject({ reason: 'FORWARD_CACHED', tracking: { answeredBy: 'cache' } });
    expect(explain(3000, ACK)).toMatchObject({ backend: 2, tracking: { answeredBy: 'table' } });
    expect(listAll()).toMatchObject([{ state: 'nascent' }]);
    const { backup } = explain(3000, ACK).tracking!;
    expect(backup).toBeUndefined();
  });

  it('names no backend where another mux would be asked', async () => {
    await start();
    const version = versionOf(3, { current: 2, base: 1, members: [OTHER], period: { step: 'commit' } });
    await mux.apply(desired(version));
    const found = explain(1000, ACK);
    expect(found).toMatchObject({ verdict: 'ASK', tracking: { owner: OTHER.id, answeredBy: 'owner' } });
    expect(found.backend).toBeUndefined();
  });

  it('has the hash that a flow is found by', async () => {
    await start();
    await mux.apply(desired(COMMIT));
    send(1000, ACK);
    const name = mux.nameFlow(flowFrom(1000))!;
    const { hash, slot, poolId } = explain(1000, ACK);
    expect(name).toEqual({ fingerprint: hash, slot, poolId });
    expect(mux.flows.lookUp(POOL, name.fingerprint).table).toMatchObject({ backend: 1, slot });
    expect(mux.nameFlow({ ...flowFrom(1000), destinationPort: 81 })).toBeUndefined();
  });
});

describe('what this mux says of itself', () => {
  it('is until when it may decide, by driven time', async () => {
    await start();
    await mux.clock.ready();
    expect(mux.deadline.atMs).toBeUndefined();
    mux.deadline.set(1_003_000);
    expect(mux.deadline.hasPassed).toBe(false);
    expect(mux.deadline.atMs!).toBeGreaterThan(1_002_995);
    expect(mux.deadline.atMs!).toBeLessThanOrEqual(1_003_000);
    clock[0] = 1_003_000_000_000n;
    expect(mux.deadline.hasPassed).toBe(true);
    mux.deadline.set(1_000_000);
    expect(mux.deadline.hasPassed).toBe(true);
  });

  it('is jiffies at a rate that Linux has', async () => {
    mux = MuxProgram.load(MUX_OPTIONS);
    await mux.clock.ready();
    expect([100, 250, 300, 1000]).toContain(mux.clock.jiffiesPerSecond);
    const nowMs = Number(process.hrtime.bigint()) / 1e6;
    mux.deadline.set(nowMs + 60_000);
    expect(mux.deadline.hasPassed).toBe(false);
    expect(Math.abs(mux.deadline.atMs! - nowMs - 60_000)).toBeLessThan(200);
    mux.deadline.pass();
    expect(mux.deadline.hasPassed).toBe(true);
    expect(mux.self.incarnation).toBeGreaterThan(1_700_000_000);
  });

  it('is a signed heartbeat', async () => {
    await start();
    await mux.askKeys.install(5, new Uint8Array(16).fill(9));
    mux.askKeys.use(5);
    const probe = mux.flows.composeProbe({ number: 77 });
    const view = new DataView(probe.buffer);
    expect(probe).toHaveLength(56);
    expect([view.getUint8(1), view.getUint8(2), view.getUint32(8, true)]).toEqual([5, SELF.id, 77]);
    expect(view.getBigUint64(48, true)).not.toBe(0n);
    expect(mux.flows.composeProbe({ number: 77 })).toEqual(probe);
    expect(mux.flows.composeProbe({ number: 77, pledge: true })).not.toEqual(probe);
    await mux.askKeys.install(6, new Uint8Array(16).fill(8));
    mux.askKeys.use(6);
    await mux.askKeys.remove(5);
    expect(mux.askKeys.places()).toEqual([2]);
    expect(() => mux.askKeys.use(5)).toThrow(/not installed/);
  });

  it('has no flows of the incarnation before', async () => {
    await start();
    await mux.apply(desired(COMMIT));
    for (let port = 1000; port < 1100; port++) send(port, ACK);
    expect(listAll()).toHaveLength(100);
    const begun = mux.beginIncarnation(SELF.incarnation + 1);
    // Of none, until the tables are empty: a daemon that is killed meanwhile has the next one begin anew.
    expect(mux.self.incarnation).toBe(0);
    await begun;
    expect(mux.self.incarnation).toBe(SELF.incarnation + 1);
    expect(listAll()).toEqual([]);
  });
});

describe('messages of flows', () => {
  const members = [SELF, OTHER];
  const track = (number: number, chainEpoch: number): Version =>
    versionOf(number, {
      current: 2,
      base: 1,
      members,
      period: { step: 'commit', chainEpoch, candidates: [[SELF], [OTHER]] },
    });

  it('are made for a new backup, of flows whose chain changed, in rounds', async () => {
    await start();
    await mux.apply(desired(COMMIT));
    for (let port = 1000; port < 1200; port++) send(port, ACK);
    await mux.apply(desired(track(4, 4)));
    await mux.peerStates.beginCopyRound(OTHER.id, 9);
    const sizes: number[] = [];
    let cursor: number | undefined;
    let entries = 0;
    do {
      const made = mux.flows.copy({
        poolId: POOL,
        peer: OTHER.id,
        chainEpoch: 4,
        round: 9,
        message: sizes.length,
        cursor,
      });
      for (const message of made.messages) {
        const view = new DataView(message.buffer, message.byteOffset);
        expect(view.getUint32(8, true)).toBe((9 << 11) | sizes.length);
        expect(message.byteLength).toBe(56 + view.getUint16(42, true) * 32);
        sizes.push(message.byteLength);
      }
      entries += made.entries;
      cursor = made.cursor;
    } while (cursor !== undefined);
    expect(entries).toBe(200);
    expect(sizes.length).toBeLessThan(60);
    const none = mux.flows.copy({ poolId: POOL, peer: OTHER.id, chainEpoch: 5, round: 9, message: 0 });
    expect(none).toMatchObject({ messages: [], entries: 0 });
    // A change may be open in a pool that has lost its last service.
    const gone = { poolId: POOL + 1, peer: OTHER.id };
    const nothing = { messages: [], entries: 0, cursor: undefined };
    expect(mux.flows.copy({ ...gone, chainEpoch: 4, round: 9, message: 0 })).toEqual(nothing);
    expect(mux.flows.refresh({ ...gone, seenWithinMs: 1_000, idleTimeoutMs: 1_000 })).toEqual(nothing);
  });
});
