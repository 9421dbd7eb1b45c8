// Owns the histories that versions of the filter protocol fell to: each drawn from a seed, hostile in one way. Which rule
// each is against: ../affinity.test.ts.
import { Random } from '../protocol/random.ts';
import { MS, SECOND } from './port.ts';
import { type Action, CALM, plain, type Scenario } from './scenario.ts';

type Changes = Omit<Partial<Scenario>, 'traffic' | 'settings'> & {
  readonly traffic?: Partial<Scenario['traffic']>;
  readonly settings?: Partial<Scenario['settings']>;
};

function like(seed: number, changes: Changes): Scenario {
  const base = plain(seed);
  return {
    ...base,
    ...changes,
    traffic: { ...base.traffic, ...changes.traffic },
    settings: { ...base.settings, ...changes.settings },
  };
}

/** Most are new: what they had has ended when they come back. */
const NEWCOMERS = {
  traffic: {
    clients: 60,
    connections: 1,
    packets: [1, 2, 4],
    gapsNs: [20 * MS, 200 * MS, SECOND],
    pausesNs: [3 * SECOND, 6 * SECOND],
  },
  settings: { timeoutNs: 2 * SECOND },
} as const;

/** One of the kinds each so often, of a server drawn from the seed. */
function trouble(
  seed: number,
  everySeconds: number,
  seconds: number,
  make: (random: Random, atNs: number, server: number) => readonly Action[],
): Action[] {
  const random = new Random(seed, 'trouble');
  const actions: Action[] = [];
  for (let second = 3; second < seconds - 8; second += everySeconds)
    actions.push(...make(random, (second + random.unit()) * SECOND, random.between(1, 4)));
  return actions.sort((a, b) => a.atNs - b.atNs);
}

const crashes = (seed: number, everySeconds: number): Action[] =>
  trouble(seed, everySeconds, 60, (_, atNs, server) => [
    { kind: 'crash', atNs, server },
    { kind: 'join', atNs: atNs + 3 * SECOND, server },
  ]);

const hangs = (seed: number, everySeconds: number, minNs: number, maxNs: number): Action[] =>
  trouble(seed, everySeconds, 60, (random, atNs, server) => [
    { kind: 'hang', atNs, server, forNs: random.between(minNs, maxNs) },
  ]);

/** All of it at once, as the seed has it. */
function anything(seed: number): Scenario {
  const random = new Random(seed, 'anything');
  const servers = random.between(2, 12);
  const weather = () => ({
    loss: random.pick([0, 0, 0.01, 0.05]),
    duplicate: random.pick([0, 0, 0.05]),
    delayNs: random.pick([0.2, 1, 5]) * MS,
    jitterNs: random.pick([0.5, 3, 30, 150]) * MS,
  });
  const [outside, inside] = [weather(), weather()];
  const actions: Action[] = [];
  for (let second = 3; second < 50; second += random.pick([2, 5, 10, 30])) {
    const server = random.between(1, servers);
    const atNs = (second + random.unit()) * SECOND;
    const kind = random.pick(['crash', 'hang', 'drain', 'none'] as const);
    if (kind === 'hang') actions.push({ kind, atNs, server, forNs: random.between(100, 5_000) * MS });
    else if (kind !== 'none') actions.push({ kind, atNs, server });
    if (kind === 'crash')
      actions.push({ kind: 'join', atNs: atNs + random.between(1_000, 5_000) * MS, server });
  }
  return like(seed, {
    servers,
    buckets: random.pick([1, 3, 8]),
    traffic: {
      protocol: random.chance(0.2) ? 'udp' : 'tcp',
      isAffine: random.chance(0.8),
      clients: random.pick([20, 60]),
      connections: random.pick([1, 2, 3]),
      packets: random.pick([
        [1, 2],
        [5, 20],
        [20, 60],
      ]),
      gapsNs: random.pick([
        [20 * MS, 200 * MS],
        [200 * MS, 2 * SECOND],
        [SECOND, 6 * SECOND],
      ]),
      pausesNs: random.pick([
        [50 * MS, SECOND],
        [3 * SECOND, 6 * SECOND],
        [SECOND, 20 * SECOND],
      ]),
      answerNs: random.pick([1, 20, 1_500]) * MS,
    },
    settings: {
      timeoutNs: random.pick([2, 4, 10, 40]) * SECOND,
      affinitiesMax: random.pick([1_000, 1_000, 30, 6]),
    },
    outside,
    inside,
    lagNs: random.pick([10, 100, 1_000, 5_000]) * MS,
    moveEveryNs: random.pick([30, 150, 1_000, 4_000]) * MS,
    actions: actions.sort((a, b) => a.atNs - b.atNs),
    judgesUnanswered: false,
  });
}

export const ATTACKS = {
  anything,
  /** Buckets that move all the time. */
  moves: plain,
  /** Clients that nobody knows, while they move. */
  newcomers: (seed) => like(seed, { ...NEWCOMERS, moveEveryNs: 150 * MS }),
  /** No affinity: each connection is a client. */
  tuples: (seed) => like(seed, { traffic: { isAffine: false, clients: 60 }, moveEveryNs: 150 * MS }),
  /**
   * Each datagram may be the first. Of two that are closer together than a query's way, one may be lost in a move: who is
   * being released has asked for the first when the second one's question makes it leave the client to the other.
   */
  datagrams: (seed) =>
    like(seed, {
      ...NEWCOMERS,
      traffic: {
        ...NEWCOMERS.traffic,
        protocol: 'udp',
        packets: [5, 20],
        gapsNs: [100 * MS, 200 * MS, SECOND],
      },
      moveEveryNs: 150 * MS,
    }),
  /** Servers that have versions seconds late. */
  lag: (seed) =>
    like(seed, {
      ...NEWCOMERS,
      traffic: { ...NEWCOMERS.traffic, packets: [20], gapsNs: [200 * MS, 400 * MS] },
      lagNs: 6 * SECOND,
      moveEveryNs: 200 * MS,
    }),
  /** The same where a bucket is clean again before it moves. */
  lagOfClean: (seed) =>
    like(seed, {
      ...NEWCOMERS,
      buckets: 8,
      traffic: { ...NEWCOMERS.traffic, packets: [20], gapsNs: [200 * MS, 400 * MS] },
      lagNs: 3 * SECOND,
      moveEveryNs: 2 * SECOND,
    }),
  /** Copies, queries and answers are lost or come twice. */
  lossy: (seed) => {
    const weather = { ...CALM, loss: 0.03, duplicate: 0.05 };
    return like(seed, { ...NEWCOMERS, outside: weather, inside: weather, moveEveryNs: 150 * MS });
  },
  /** Clients come back when what they had is just ending, and copies are lost. */
  ending: (seed) =>
    like(seed, {
      traffic: {
        clients: 60,
        connections: 1,
        packets: [1, 2],
        gapsNs: [20 * MS, 200 * MS],
        pausesNs: [4 * SECOND],
      },
      settings: { timeoutNs: 4 * SECOND },
      outside: { ...CALM, loss: 0.03 },
      moveEveryNs: 300 * MS,
    }),
  /** Packets under way for longer than a bucket's move takes. */
  reordered: (seed) => {
    const weather = { loss: 0, duplicate: 0.1, delayNs: MS, jitterNs: 120 * MS };
    return like(seed, {
      ...NEWCOMERS,
      outside: weather,
      inside: weather,
      lagNs: 10 * MS,
      moveEveryNs: 30 * MS,
      judgesUnanswered: false,
    });
  },
  /** Two servers that have a bucket in turns. */
  swing: (seed) => {
    const weather = { loss: 0, duplicate: 0.05, delayNs: MS, jitterNs: 25 * MS };
    return like(seed, {
      ...NEWCOMERS,
      servers: 2,
      outside: CALM,
      inside: weather,
      lagNs: 20 * MS,
      moveEveryNs: 20 * MS,
      judgesUnanswered: false,
    });
  },
  /** Few clients, so that holders often have none when they are asked. */
  few: (seed) => like(seed, { ...NEWCOMERS, buckets: 12, lagNs: 500 * MS, moveEveryNs: 100 * MS }),
  /** Servers that hang, are taken for dead, and wake. */
  hangs: (seed) => like(seed, { actions: hangs(seed, 6, 300 * MS, 4_000 * MS) }),
  /** Not for long enough to be taken for dead, but for longer than who asked is remembered. */
  pauses: (seed) =>
    like(seed, {
      ...NEWCOMERS,
      inside: { ...CALM, delayNs: 5 * MS, jitterNs: 100 * MS },
      lagNs: 200 * MS,
      moveEveryNs: 150 * MS,
      actions: hangs(seed, 1, 520 * MS, 590 * MS),
      judgesUnanswered: false,
    }),
  /** Servers that come back and are given buckets before all others have heard of them. */
  comebacks: (seed) =>
    like(seed, {
      ...NEWCOMERS,
      servers: 2,
      buckets: 8,
      lagNs: 2 * SECOND,
      moveEveryNs: 300 * MS,
      actions: hangs(seed, 5, 1_200 * MS, 1_600 * MS),
    }),
  /** Servers that die, mid-query too, and join again. */
  crashes: (seed) => like(seed, { ...NEWCOMERS, actions: crashes(seed, 5) }),
  /** The same for clients that stay. */
  crashesOfLong: (seed) => like(seed, { settings: { timeoutNs: 40 * SECOND }, actions: crashes(seed, 5) }),
  /** Tables that have no place for most. */
  full: (seed) =>
    like(seed, {
      traffic: { clients: 60, connections: 3 },
      settings: { affinitiesMax: 6 },
      moveEveryNs: 600 * MS,
    }),
  /** The same for datagrams. */
  fullDatagrams: (seed) =>
    like(seed, {
      ...NEWCOMERS,
      traffic: {
        ...NEWCOMERS.traffic,
        protocol: 'udp',
        packets: [5, 20],
        gapsNs: [100 * MS, 200 * MS, SECOND],
      },
      settings: { timeoutNs: 2 * SECOND, affinitiesMax: 6 },
      moveEveryNs: 300 * MS,
    }),
  /** Connections that are silent for longer than affinities last. */
  silent: (seed) =>
    like(seed, {
      traffic: { connections: 3, gapsNs: [100 * MS, 500 * MS, SECOND, 5 * SECOND], packets: [10, 20] },
      settings: { timeoutNs: 3 * SECOND },
      moveEveryNs: 1_000 * MS,
    }),
  /** More holders than a list has places. */
  holders: (seed) =>
    like(seed, {
      servers: 14,
      buckets: 2,
      traffic: {
        clients: 60,
        connections: 1,
        packets: [10, 20],
        pausesNs: [SECOND, 5 * SECOND, 30 * SECOND],
      },
      settings: { timeoutNs: 20 * SECOND },
      moveEveryNs: 400 * MS,
    }),
  holdersDie: (seed) =>
    like(seed, {
      servers: 14,
      buckets: 2,
      traffic: {
        clients: 60,
        connections: 1,
        packets: [10, 20],
        pausesNs: [SECOND, 5 * SECOND, 30 * SECOND],
      },
      settings: { timeoutNs: 20 * SECOND },
      moveEveryNs: 400 * MS,
      actions: crashes(seed, 4),
    }),
  /** One after the other is drained, and another joins. */
  drains: (seed) =>
    like(seed, {
      moveEveryNs: 1_000 * MS,
      actions: [
        { kind: 'drain', atNs: 5 * SECOND, server: 1 },
        { kind: 'join', atNs: 15 * SECOND, server: 5 },
        { kind: 'drain', atNs: 20 * SECOND, server: 2 },
        { kind: 'join', atNs: 30 * SECOND, server: 6 },
        { kind: 'crash', atNs: 40 * SECOND, server: 3 },
      ],
    }),
} satisfies Record<string, (seed: number) => Scenario>;
export type AttackName = keyof typeof ATTACKS;

export function attackOf(name: AttackName, seed: number): Scenario {
  return ATTACKS[name](seed);
}
