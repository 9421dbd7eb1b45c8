import { describe, expect, it } from 'vitest';
import { chainOf } from '../../../control/cluster/chain.ts';
import type { Acknowledgement, Period, PeriodReport, Version } from '../../../control/cluster/version.ts';
import { COPY_IN_FLIGHT, type CopyProgress, copyFlows } from '../../../control/flow/copy.ts';
import { COPY_ROUND_MESSAGES, type FlowEngine, type Task } from '../../../control/flow/engine.ts';
import { FlowTasks } from '../../../control/flow/tasks.ts';

const M = 101;
const text = (message: Uint8Array) => Buffer.from(message).toString();

/** A data plane of `pages` pages a pass that has two messages for each peer in each page. */
function engine({ pages = 4, messages = 2 } = {}) {
  const seen: string[] = [];
  const acked = new Map<number, { round: number; acked: Uint32Array }>();
  const next = (at: number) => ({ next: at + 1 < pages ? at + 1 : undefined });
  const made = (what: string) =>
    Array.from({ length: messages }, (_, index) => Buffer.from(`${what}.${index}`));
  let counted = 0;
  let chosen = 0;
  const it: FlowEngine = {
    sweep: (at) => {
      seen.push(`sweep ${at}`);
      counted++;
      return next(at);
    },
    sweepCache: (at) => next(at),
    beginCensus: () => {
      counted = 0;
    },
    census: () => ({ flows: counted, oldFlows: 1, heldSlots: new Uint8Array(Math.ceil(M / 8)) }),
    chooseAhead: (_, slots) => {
      chosen = slots.reduce((sum, it) => sum + it, 0);
    },
    copy: ({ peer, chainEpoch, round, number, at }) => {
      seen.push(chainEpoch === 'ahead' ? `ahead ${peer} ${at} of ${chosen}` : `copy ${peer} ${at}`);
      const all = Array.from({ length: messages }, (_, index) =>
        Buffer.from(`${round}:${number + index}:${at}`),
      );
      return { messages: all, flows: all.length, ...next(at) };
    },
    refresh: ({ peer, at, ageMaxMs }) => {
      seen.push(`refresh ${peer} ${at} ${ageMaxMs}`);
      const all = peer === 1 ? [] : made(`refresh ${peer}`);
      return { messages: all, flows: all.length, ...next(at) };
    },
    beginCopyRound: async (peer, round) => void acked.set(peer, { round, acked: new Uint32Array(64) }),
    copyAcked: (peer) => acked.get(peer) ?? { round: 0, acked: new Uint32Array(64) },
    unrecordedMs: () => undefined,
  };
  /** What the peer does with a copy. */
  const take = (peer: number, message: Uint8Array): void => {
    const [round, number] = text(message).split(':').map(Number) as [number, number];
    const known = acked.get(peer);
    if (known?.round === round) known.acked[number >>> 5]! |= 1 << (number & 31);
  };
  return { it, seen, take };
}

/** Resumes a task until it ends, `stepMs` after each wait. */
async function finish(task: Task, stepMs = 50, ticksMax = 1_000): Promise<number> {
  let nowMs = 0;
  for (let tick = 0; tick < ticksMax; tick++) {
    const { done, value } = task.next(nowMs);
    if (done === true) return nowMs;
    if (value === 'wait') {
      nowMs += stepMs;
      await Promise.resolve();
    }
  }
  throw new Error('the task does not end');
}

function copying(messages: number, pages: number, deliver: (message: Uint8Array, sent: number) => boolean) {
  const { it, take, seen } = engine({ messages, pages });
  const progress: CopyProgress = { taken: 0, flows: 0, resent: 0, restarted: 0 };
  const sent: string[] = [];
  let round = 0;
  const task = copyFlows(
    it,
    {
      peer: 2,
      poolId: 1,
      chainEpoch: 7,
      nextRound: () => ++round,
      send: (message) => {
        sent.push(text(message));
        if (deliver(message, sent.length)) take(2, message);
      },
    },
    progress,
  );
  return { task, progress, sent, seen };
}

it('copies all pages in rounds of as many messages as a peer can acknowledge', async () => {
  const { task, progress, sent } = copying(2, 1_100, () => true);
  await finish(task, 50, 10_000);
  expect(progress).toEqual({ taken: 2_200, flows: 2_200, resent: 0, restarted: 0 });
  const rounds = Map.groupBy(sent, (message) => message.split(':')[0]);
  expect([...rounds.values()].map(({ length }) => length)).toEqual([COPY_ROUND_MESSAGES, 152]);
  for (const messages of rounds.values())
    expect(messages.map((it) => Number(it.split(':')[1]))).toEqual(messages.map((_, index) => index));
});

it('has no more under way than a receive ring has room for', async () => {
  const { it: plane, take } = engine({ pages: 400 });
  const [flying, sizes]: [Uint8Array[], number[]] = [[], []];
  let round = 0;
  const request = { peer: 2, poolId: 1, chainEpoch: 7, nextRound: () => ++round };
  const progress: CopyProgress = { taken: 0, flows: 0, resent: 0, restarted: 0 };
  const send = (message: Uint8Array) => void flying.push(message);
  const task = copyFlows(plane, { ...request, send }, progress);
  for (let nowMs = 0; ; nowMs++) {
    const { done, value } = task.next(nowMs);
    if (done === true) break;
    if (value !== 'wait') continue;
    sizes.push(flying.length);
    for (const message of flying.splice(0)) take(2, message);
    await Promise.resolve();
  }
  expect(Math.max(...sizes)).toBe(COPY_IN_FLIGHT);
  expect(progress).toEqual({ taken: 800, flows: 800, resent: 0, restarted: 0 });
});

it('makes short rounds where the way to the peer does not carry a long one in time', async () => {
  // One message in 6 ms.
  const { it: plane, take } = engine({ pages: 200 });
  let [round, nowMs, freeMs] = [0, 0, 0];
  const arriving: { atMs: number; message: Uint8Array }[] = [];
  const progress: CopyProgress = { taken: 0, flows: 0, resent: 0, restarted: 0 };
  const send = (message: Uint8Array) => {
    freeMs = Math.max(freeMs, nowMs) + 6;
    arriving.push({ atMs: freeMs, message });
  };
  const request = { peer: 2, poolId: 1, chainEpoch: 7, nextRound: () => ++round, send };
  const task = copyFlows(plane, request, progress);
  for (; nowMs < 60_000 && task.next(nowMs).done !== true; nowMs += 5) {
    while (arriving.length > 0 && arriving[0]!.atMs <= nowMs) take(2, arriving.shift()!.message);
    await Promise.resolve();
  }
  expect(progress).toMatchObject({ taken: 400, flows: 400, restarted: 1 });
});

it('sends what was lost again, and no more than that', async () => {
  const { task, progress, sent } = copying(2, 3, (_, count) => count !== 2 && count !== 5);
  const tookMs = await finish(task);
  expect(sent.slice(6).map((it) => Number(it.split(':')[1]))).toEqual([1, 4]);
  expect(progress).toEqual({ taken: 6, flows: 6, resent: 2, restarted: 0 });
  expect(tookMs).toBeLessThan(500);
});

it('makes a round anew before its headers are too old, and begins the next only when it was taken', async () => {
  let lost = true;
  const { task, progress, sent } = copying(2, 2, (message) => {
    if (text(message).startsWith('2:')) lost = false;
    return !lost;
  });
  const tookMs = await finish(task);
  expect(progress.restarted).toBe(1);
  expect(progress.taken).toBe(4);
  expect(sent.at(-1)).toBe('2:3:1');
  expect(tookMs).toBeLessThan(4_000);
});

it('sends what it has before it is too old, where few flows are far apart', async () => {
  const { it: plane, take } = engine({ pages: 100, messages: 1 });
  const progress: CopyProgress = { taken: 0, flows: 0, resent: 0, restarted: 0 };
  let [round, nowMs] = [0, 0];
  const madeMs = new Map<string, number>();
  const { copy } = plane;
  const sparse: FlowEngine = {
    ...plane,
    copy: (request) => {
      const page = copy(request);
      for (const message of page.messages) madeMs.set(text(message), nowMs);
      return page;
    },
  };
  const send = (message: Uint8Array) => {
    if (nowMs - madeMs.get(text(message))! < 2_000) take(2, message);
  };
  const task = copyFlows(
    sparse,
    { peer: 2, poolId: 1, chainEpoch: 7, nextRound: () => ++round, send },
    progress,
  );
  while (task.next(nowMs).done !== true && nowMs < 60_000) {
    await Promise.resolve();
    nowMs += 100;
  }
  expect(progress).toEqual({ taken: 100, flows: 100, resent: 0, restarted: 0 });
});

it('has nothing to wait for where there is nothing to copy', async () => {
  const { task, sent } = copying(0, 10, () => false);
  expect(await finish(task)).toBe(0);
  expect(sent).toEqual([]);
});

const MEMBERS = [1, 2, 3].map((id) => ({
  id,
  incarnation: 1,
  name: `m${id}`,
  address: `10.0.0.${id}`,
  askPort: 7445,
  isLeaving: false,
}));

function version(number: number, periods: Partial<Period>[], { leaving = 0 } = {}): Version {
  const full = periods.map(
    (it): Period => ({
      trackEpoch: 5,
      chainEpoch: 5,
      candidates: [MEMBERS.map(({ id, incarnation }) => ({ id, incarnation }))],
      step: 'commit',
      stepVersion: 5,
      idleTimeoutMs: 8_000,
      isUrgent: false,
      lostSlots: 0,
      reason: 'test',
      ...it,
    }),
  );
  const slots = new Uint16Array(M).fill(1);
  const period = new Uint8Array(M).map((_, slot) => (full.length === 0 ? 0 : 1 + (slot % full.length)));
  const placement = { poolId: 1, current: slots, base: slots, period, periods: full };
  return {
    number,
    cluster: 'test',
    digest: `d${number}`,
    leaderEpoch: 1,
    members: MEMBERS.map((it) => ({ ...it, isLeaving: it.id === leaving })),
    gone: [],
    objects: { revision: 1, services: new Map(), pools: new Map(), backends: new Map() },
    unnamedSince: new Map(),
    placements: new Map([[1, placement]]),
  };
}

const acksAt = (...versions: number[]) =>
  new Map(
    versions.map((number, index): [string, Acknowledgement] => {
      const { name, incarnation } = MEMBERS[index]!;
      return [name, { name, incarnation, version: number, digest: '', reports: [] }];
    }),
  );

const SAID = { poolId: 1, trackEpoch: 5, isHandedOver: false, unrecordedAgoMs: -1, flows: 0, oldFlows: 0 };

function tasks({ pages = 4 } = {}) {
  const { it, seen, take } = engine({ pages });
  const sent: [number, string][] = [];
  /** Take nothing. */
  const deaf = new Set<number>();
  let reported = 0;
  const flow = new FlowTasks({
    engine: it,
    self: () => ({ id: 1, incarnation: 1 }),
    send: (peer, message) => {
      sent.push([peer, text(message)]);
      if (!text(message).startsWith('refresh') && !deaf.has(peer)) take(peer, message);
    },
    onReports: () => {
      reported++;
    },
    firstRound: 0,
  });
  let nowMs = 0;
  const pass = async (forMs: number) => {
    for (const untilMs = nowMs + forMs; nowMs < untilMs; nowMs += 50) {
      flow.tick(nowMs);
      await Promise.resolve();
    }
  };
  const reports = (number: number): PeriodReport[] => flow.reports(number, nowMs);
  return { flow, seen, sent, deaf, pass, reports, reported: () => reported };
}

it('refreshes what it forwards at every member each quarter of the idle timeout, at itself too', async () => {
  const { flow, seen, pass, sent } = tasks();
  flow.apply(version(5, [{}]));
  await pass(6_000);
  for (const peer of [1, 2, 3]) {
    const passes = seen.filter((it) => it.startsWith(`refresh ${peer} 0`));
    // The first looks back as far as any flow lives: for how long nobody has refreshed is not known.
    expect(passes).toEqual([`refresh ${peer} 0 8000`, `refresh ${peer} 0 4000`, `refresh ${peer} 0 4000`]);
  }
  expect(sent.filter(([peer]) => peer === 2).length).toBe(3 * 4 * 2);
});

it('refreshes clients with long timeouts every ten minutes, for less than four of those can be counted', async () => {
  const { flow, seen } = tasks({ pages: 1 });
  flow.apply(version(5, [{ idleTimeoutMs: 4 * 3_600_000 }]));
  for (let minute = 0; minute <= 30; minute++) flow.tick(minute * 60_000);
  expect(seen.filter((it) => it.startsWith('refresh 2 '))).toEqual([
    'refresh 2 0 14400000',
    'refresh 2 0 1200000',
    'refresh 2 0 1200000',
    'refresh 2 0 1200000',
  ]);
});

it('refreshes many flows in time, so that none of them ends at its owner', async () => {
  const { flow, seen, pass } = tasks({ pages: 400 });
  flow.apply(version(5, [{}]));
  await pass(2_000);
  for (const peer of [2, 3]) expect(seen.filter((it) => it.startsWith(`refresh ${peer} `)).length).toBe(400);
});

it('looks further back where the refresh before has taken longer than it should', async () => {
  const { flow, seen, pass } = tasks({ pages: 1_600 });
  flow.apply(version(5, [{}]));
  await pass(8_000);
  const ages = seen.filter((it) => it.startsWith('refresh 2 0 ')).map((it) => Number(it.split(' ')[3]));
  // Two passes, of which the first took some 5 s: a flow that sent a packet at its beginning is in the second.
  expect(ages[1]).toBeGreaterThan(8_000 - 1);
  expect(Math.max(...ages)).toBeLessThanOrEqual(8_000);
});

it('ends what it does for pools and muxes that are no more', async () => {
  const { flow, seen, pass } = tasks({ pages: 1_600 });
  flow.apply(version(5, [{}]));
  await pass(100);
  flow.apply(version(6, []));
  const { length } = seen.filter((it) => it.startsWith('refresh'));
  await pass(500);
  expect(seen.filter((it) => it.startsWith('refresh')).length).toBe(length);
});

it('has nothing to refresh or report where nothing is tracked', async () => {
  const { flow, seen, pass, reports } = tasks();
  flow.apply(version(5, []));
  await pass(6_000);
  expect(seen.filter((it) => it.startsWith('refresh'))).toEqual([]);
  expect(reports(5)).toEqual([]);
});

it('reports what it has counted at the version in effect, and of no other', async () => {
  const { flow, pass, reports, reported } = tasks();
  flow.apply(version(5, [{}]));
  expect(reports(5)).toMatchObject([{ poolId: 1, trackEpoch: 5, copiedChainEpoch: 5, unrecordedAgoMs: -1 }]);
  expect(reports(5)[0]).not.toHaveProperty('heldSlots');
  await pass(100);
  expect(reported()).toBe(1);
  expect(reports(5)).toMatchObject([{ flows: 4, oldFlows: 1, heldSlots: expect.any(Uint8Array) }]);
  expect(reports(4)).toEqual([]);
  flow.apply(version(6, [{}]));
  expect(reports(6)[0]).not.toHaveProperty('heldSlots');
  await pass(6_000);
  expect(reported()).toBeGreaterThanOrEqual(4);
  expect(reported()).toBeLessThanOrEqual(8);
});

it('copies to new backups once every member has the version, says so, and not again', async () => {
  const { flow, pass, reports, seen } = tasks();
  const repaired = version(7, [{ chainEpoch: 7 }]);
  flow.apply(repaired);
  flow.acknowledged(acksAt(7, 7, 6));
  await pass(500);
  expect(seen.filter((it) => it.startsWith('copy'))).toEqual([]);
  expect(reports(7)[0]!.copiedChainEpoch).toBe(0);
  flow.acknowledged(acksAt(7, 7, 7));
  await pass(1_000);
  expect(new Set(seen.filter((it) => it.startsWith('copy')).map((it) => it.split(' ')[1]))).toEqual(
    new Set(['2', '3']),
  );
  expect(reports(7)[0]!.copiedChainEpoch).toBe(7);
  expect(flow.copying).toBeUndefined();
  const before = seen.filter((it) => it.startsWith('copy')).length;
  flow.apply(version(8, [{ chainEpoch: 7 }]));
  await pass(1_000);
  expect(seen.filter((it) => it.startsWith('copy')).length).toBe(before);
});

it('does not take the acknowledgement of an incarnation before for a barrier', async () => {
  const { flow, pass, reports } = tasks();
  flow.apply(version(7, [{ chainEpoch: 7 }]));
  const acks = acksAt(7, 7, 7);
  acks.set('m3', { ...acks.get('m3')!, incarnation: 0 });
  flow.acknowledged(acks);
  await pass(500);
  expect(reports(7)[0]!.copiedChainEpoch).toBe(0);
});

it('begins a copy anew where the chain has changed meanwhile', async () => {
  const { flow, pass, reports, seen } = tasks();
  flow.apply(version(7, [{ chainEpoch: 7 }]));
  flow.acknowledged(acksAt(7, 7, 7));
  flow.tick(0);
  expect(seen.filter((it) => it.startsWith('copy')).length).toBeGreaterThan(0);
  flow.apply(version(8, [{ chainEpoch: 8 }]));
  flow.acknowledged(acksAt(8, 8, 8));
  await pass(1_000);
  expect(reports(8)[0]!.copiedChainEpoch).toBe(8);
});

it('goes on with a copy when a version comes that changes no chain', async () => {
  const { flow, pass, seen, reports } = tasks();
  flow.apply(version(7, [{ chainEpoch: 7 }]));
  flow.acknowledged(acksAt(7, 7, 7));
  flow.tick(0);
  flow.apply(version(8, [{ chainEpoch: 7 }]));
  flow.acknowledged(acksAt(8, 8, 8));
  await pass(1_000);
  expect(reports(8)[0]!.copiedChainEpoch).toBe(7);
  const copies = seen.filter((it) => it.startsWith('copy'));
  expect(new Set(copies).size).toBe(copies.length);
});

it('says that a leaving mux has handed over when its backups have all', async () => {
  const { flow, pass, reports, seen } = tasks();
  flow.apply(version(7, [{ chainEpoch: 7 }], { leaving: 1 }));
  expect(reports(7)[0]!.isHandedOver).toBe(false);
  flow.acknowledged(acksAt(7, 7, 7));
  await pass(1_000);
  expect(reports(7)[0]!.isHandedOver).toBe(true);
  // Who stays has what it has, and copies it.
  expect(seen.filter((it) => it.startsWith('ahead'))).toEqual([]);
});

describe('where another mux leaves', () => {
  const ahead = (seen: readonly string[]) => seen.filter((it) => it.startsWith('ahead'));
  const copiedAt = (chainEpoch: number, number: number) =>
    new Map(
      [...acksAt(number, number, number)].map(([name, it]): [string, Acknowledgement] => [
        name,
        { ...it, reports: [{ ...SAID, copiedChainEpoch: chainEpoch }] },
      ]),
    );

  it('copies what it will own to who will be its backup and is no keeper yet, and says so', async () => {
    const { flow, pass, reports, seen } = tasks();
    flow.apply(version(6, [{}]));
    flow.acknowledged(acksAt(6, 6, 6));
    await pass(500);
    expect(reports(6)[0]!.isHandedOver).toBe(false);
    const leaves = version(7, [{}], { leaving: 3 });
    flow.apply(leaves);
    expect(reports(7)[0]!.isHandedOver).toBe(false);
    await pass(1_000);
    // Those slots that mux 3 keeps beside this one, where mux 2 is not the other keeper.
    const period = leaves.placements.get(1)!.periods[0]!;
    const slots = Array.from({ length: M }, (_, slot) => slot).filter((slot) => {
      const now = chainOf(period, leaves.members, slot)!;
      const next = chainOf(period, leaves.members.slice(0, 2), slot)!;
      return next.owner.id === 1 && [now.owner.id, now.backup!.id].includes(3);
    });
    expect(slots.length).toBeGreaterThan(0);
    expect(ahead(seen)).toEqual([0, 1, 2, 3].map((page) => `ahead 2 ${page} of ${slots.length}`));
    expect(reports(7)[0]!).toMatchObject({ isHandedOver: true, copiedChainEpoch: 5 });
    flow.apply(version(8, [{}], { leaving: 3 }));
    expect(reports(8)[0]!.isHandedOver).toBe(true);
    await pass(1_000);
    expect(ahead(seen)).toHaveLength(4);
  });

  it('waits until everybody has the flows that the last change of chains brought', async () => {
    const { flow, pass, reports, seen } = tasks();
    flow.apply(version(7, [{ chainEpoch: 7 }], { leaving: 3 }));
    flow.acknowledged(acksAt(7, 7, 7));
    await pass(1_000);
    expect(ahead(seen)).toEqual([]);
    flow.acknowledged(copiedAt(7, 7));
    await pass(1_000);
    expect(ahead(seen)).toHaveLength(4);
    expect(reports(7)[0]!.isHandedOver).toBe(true);
  });

  it('gives up what it copies to one that is gone, and begins anew when chains are repaired', async () => {
    const { flow, seen, pass, reports, deaf } = tasks();
    deaf.add(2);
    flow.apply(version(7, [{}], { leaving: 3 }));
    flow.acknowledged(acksAt(7, 7, 7));
    await pass(5_000);
    expect(reports(7)[0]!.isHandedOver).toBe(false);
    expect(ahead(seen).length).toBeGreaterThan(4);
    // Mux 2 is taken out: there is nobody left to copy to.
    const candidates = [[1, 3].map((id) => ({ id, incarnation: 1 }))];
    const without = version(8, [{ chainEpoch: 8, candidates }], { leaving: 3 });
    flow.apply({ ...without, members: without.members.filter(({ id }) => id !== 2) });
    const { length } = ahead(seen);
    flow.acknowledged(copiedAt(8, 8));
    deaf.clear();
    await pass(1_000);
    expect(ahead(seen)).toHaveLength(length);
    expect(reports(8)[0]!.isHandedOver).toBe(true);
  });

  it('copies to a new backup first', async () => {
    const { flow, seen, pass, deaf } = tasks();
    deaf.add(2);
    flow.apply(version(7, [{}], { leaving: 3 }));
    flow.acknowledged(acksAt(7, 7, 7));
    await pass(300);
    const { length } = ahead(seen);
    expect(length).toBeGreaterThan(0);
    flow.apply(version(8, [{}, { trackEpoch: 6, chainEpoch: 8 }], { leaving: 3 }));
    flow.acknowledged(acksAt(8, 8, 8));
    await pass(300);
    deaf.clear();
    await pass(5_000);
    const copies = seen.filter((it) => it.startsWith('copy') || it.startsWith('ahead')).slice(length);
    expect(copies[0]).toMatch(/^copy/);
    expect(copies.findLastIndex((it) => it.startsWith('copy'))).toBeLessThan(
      copies.findIndex((it) => it.startsWith('ahead')),
    );
  });
});
