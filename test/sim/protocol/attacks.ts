// Owns the attacks that earlier versions of the protocol fell to, as histories: each drawn from a seed, hostile in one way.
// Which protection each is against: test/sim/protections.test.ts.
import type { Action, HostEdit } from './actions.ts';
import { GAPS_NS } from './client.ts';
import { MS, SECOND } from './place.ts';
import { Random } from './random.ts';
import { CALM, type Scenario, SETTINGS, TIMES, WARM_UP_NS } from './scenario.ts';

const at = (seconds: number): number => WARM_UP_NS + Math.round(seconds * SECOND);

/** Steady traffic of long flows that the router sends to any mux; one host comes or goes every few seconds. */
function base(seed: number, seconds: number): Scenario {
  return {
    seed,
    muxes: 4,
    version: seed % 2 === 0 ? 4 : 6,
    hosts: [0, 1, 2],
    traffic: {
      habits: { packets: [60], gapsNs: [GAPS_NS.usual], slowAnswers: 0, icmpErrors: 0, fragments: 0 },
      flowsPerSecond: 60,
      services: ['http'],
      beginNs: WARM_UP_NS,
      endNs: at(seconds),
      tuples: 0,
      spray: 0.2,
      forgery: 0,
    },
    outside: CALM,
    inside: CALM,
    times: { ...TIMES, storeMs: 2, applyLagMs: 20 },
    settings: SETTINGS,
    flowTable: { entries: 7 * 4_096, cacheEntries: 4 * 1_024 },
    actions: [],
  };
}

const edit = (seconds: number, ...edits: readonly HostEdit[]): Action => ({
  kind: 'edit',
  atNs: at(seconds),
  edits,
});
const add = (seconds: number, host: number): Action => edit(seconds, { host, weight: 100 });
const drain = (seconds: number, host: number): Action => edit(seconds, { host, weight: 0 });
const inOrder = (...actions: readonly Action[]): Action[] => [...actions].sort((a, b) => a.atNs - b.atNs);

/** A host comes, another goes, and so on, each a while after the one before. */
function churn(seconds: number, everySeconds: number): Action[] {
  const actions: Action[] = [];
  for (let n = 0, second = 4; second < seconds; n++, second += everySeconds) {
    const host = [3, 0, 4, 1, 0, 2, 1, 3][n % 8]!;
    actions.push(n % 2 === 0 ? add(second, host) : drain(second, host));
  }
  return actions;
}

function withTraffic(
  scenario: Scenario,
  traffic: Partial<Scenario['traffic']>,
  habits: Partial<Scenario['traffic']['habits']> = {},
): Scenario {
  const { traffic: before } = scenario;
  return { ...scenario, traffic: { ...before, ...traffic, habits: { ...before.habits, ...habits } } };
}

/** A server's answer is slower than the client's patience, and a change is put into effect in between. */
function handshake(seed: number): Scenario {
  return {
    ...withTraffic(
      base(seed, 60),
      { services: ['http', 'quic'], flowsPerSecond: 250 },
      { slowAnswers: 0.6, packets: [6] },
    ),
    actions: churn(58, 7),
  };
}

/** Chains change while records are under way. */
function copyRace(seed: number): Scenario {
  return {
    ...withTraffic(base(seed, 50), { flowsPerSecond: 150, spray: 1 }, { packets: [8] }),
    inside: { loss: 0.01, duplicate: 0.05, delayNs: 0.5 * MS, jitterNs: 40 * MS },
    actions: inOrder(
      ...churn(48, 5),
      ...[12, 25, 38].map((s, n): Action => ({ kind: 'crash', atNs: at(s), mux: (seed + n) % 4 })),
      ...[20, 33, 45].map((s, n): Action => ({ kind: 'join', atNs: at(s), mux: (seed + n) % 4 })),
    ),
  };
}

export const ATTACKS = {
  handshake,
  /** The same where tables have no room for most: what found none is sent again when there is some. */
  crowdedHandshake: (seed) => ({
    ...handshake(seed),
    flowTable: { entries: 7 * 16, cacheEntries: 4 * 512 },
  }),
  /** Flows that were open before a change, at muxes that have it late. */
  lag: (seed) => ({
    ...base(seed, 60),
    times: { ...TIMES, applyLagMs: 9_000 },
    actions: churn(50, 12),
  }),
  /** Flows that are nearly idle when their slots are tracked. */
  nearlyIdle: (seed) => ({
    ...withTraffic(base(seed, 60), { flowsPerSecond: 40 }, { gapsNs: [GAPS_NS.nearlyIdle], packets: [12] }),
    actions: churn(58, 9),
  }),
  /** Clients of one subnet are one client to the service. */
  affinity: (seed) => ({
    ...withTraffic(
      base(seed, 60),
      { services: ['sticky'], subnets: 1_500 },
      { gapsNs: [GAPS_NS.nearlyIdle], packets: [12] },
    ),
    actions: churn(58, 9),
  }),
  /** Tuples are used again as soon as they are free, in one tracking after the other. */
  reuse: (seed) => ({
    ...withTraffic(base(seed, 90), { tuples: 150, flowsPerSecond: 150 }, { packets: [3, 10] }),
    actions: churn(88, 14),
  }),
  /** A mux comes back with empty tables before anybody noticed that it was gone. */
  amnesia: (seed) => ({
    ...base(seed, 50),
    times: { ...TIMES, storeMs: 2, applyLagMs: 20, heartbeatMs: 1_000 },
    actions: inOrder(
      add(3, 3),
      ...[14, 24, 34].map(
        (s, n): Action => ({ kind: 'reboot', atNs: at(s), mux: (seed + n) % 4, forNs: 50 * MS }),
      ),
      drain(20, 0),
    ),
  }),
  /** The daemon is gone for long, and its program would go on deciding by what it has. */
  stale: (seed) => ({
    ...base(seed, 70),
    actions: inOrder(
      { kind: 'restart', atNs: at(3), mux: seed % 4, forNs: 40 * SECOND },
      add(10, 3),
      drain(24, 0),
      drain(40, 1),
    ),
  }),
  /** A machine that is paused wakes in another time. */
  hang: (seed) => ({
    ...base(seed, 60),
    actions: inOrder(
      { kind: 'hang', atNs: at(4.5), mux: seed % 4, forNs: 12 * SECOND },
      add(3, 3),
      drain(9, 0),
      add(20, 4),
      {
        kind: 'hang',
        atNs: at(24),
        mux: (seed + 1) % 4,
        forNs: 5 * SECOND,
      },
    ),
  }),
  /** Owners die one after the other, each when the one before has been replaced; flows live long and are never asked for. */
  deaths: (seed) => ({
    ...withTraffic(
      base(seed, 80),
      { flowsPerSecond: 15, spray: 0 },
      { packets: [200], gapsNs: [GAPS_NS.usual] },
    ),
    muxes: 5,
    actions: inOrder(
      add(5, 3),
      drain(7, 0),
      ...[34, 48, 62].map((s, n): Action => ({ kind: 'crash', atNs: at(s), mux: (seed + n) % 5 })),
      ...[33, 47, 61, 75].map((s): Action => ({ kind: 'reshuffle', atNs: at(s), salt: s + seed })),
    ),
  }),
  /** An owner dies, and soon after it who was its backup. */
  deathsSoon: (seed) => ({
    ...withTraffic(
      base(seed, 45),
      { flowsPerSecond: 60, spray: 0 },
      { packets: [100], gapsNs: [GAPS_NS.usual] },
    ),
    muxes: 5,
    actions: inOrder(
      add(5, 3),
      drain(7, 0),
      ...[17, 22, 27].map((s, n): Action => ({ kind: 'crash', atNs: at(s), mux: (seed + n) % 5 })),
      ...[16, 21, 26, 31].map((s): Action => ({ kind: 'reshuffle', atNs: at(s), salt: s + seed })),
    ),
  }),
  /** As before, and flows are quiet between the deaths: only a copy tells the new backup of them in time. */
  deathsQuiet: (seed) => ({
    ...withTraffic(
      base(seed, 45),
      { flowsPerSecond: 120, spray: 0 },
      { packets: [15], gapsNs: [GAPS_NS.nearlyIdle] },
    ),
    muxes: 5,
    actions: inOrder(
      add(5, 3),
      drain(7, 0),
      ...[15, 18, 21].map((s, n): Action => ({ kind: 'crash', atNs: at(s), mux: (seed + n) % 5 })),
      ...[14, 17, 20, 23].map((s): Action => ({ kind: 'reshuffle', atNs: at(s), salt: s + seed })),
    ),
  }),
  /** A mux leaves, and another dies when it has just handed over: who keeps its slots now knew of their flows before. */
  leaveAndDeath: (seed) => ({
    ...withTraffic(
      base(seed, 40),
      { flowsPerSecond: 200, spray: 0, endNs: at(14) },
      { packets: [15], gapsNs: [GAPS_NS.nearlyIdle] },
    ),
    muxes: 4,
    actions: inOrder(
      add(5, 3),
      drain(7, 0),
      {
        kind: 'leave',
        atNs: at(16),
        mux: seed % 4,
        victim: (seed + 1) % 4,
        afterNs: [0, 30 * MS, 80 * MS][seed % 3]!,
      },
      ...[20, 23, 26].map((s): Action => ({ kind: 'reshuffle', atNs: at(s), salt: s + seed })),
    ),
  }),
  /** Muxes leave while records are under way, one after the other, while another dies or leads, and two at once. */
  leaves: (seed) => ({
    ...withTraffic(base(seed, 48), { flowsPerSecond: 60, spray: 1 }, { packets: [8] }),
    muxes: 5,
    inside: { loss: 0.02, duplicate: 0.05, delayNs: 0.5 * MS, jitterNs: 40 * MS },
    actions: inOrder(
      ...churn(48, 5),
      { kind: 'leave', atNs: at(11), mux: seed % 5 },
      { kind: 'newLeader', atNs: at(12), forNs: SECOND },
      { kind: 'join', atNs: at(17), mux: 5 },
      { kind: 'leave', atNs: at(21.5), mux: (seed + 1) % 5 },
      { kind: 'crash', atNs: at(22.5), mux: (seed + 2) % 5 },
      { kind: 'join', atNs: at(28), mux: 6 },
      { kind: 'leave', atNs: at(36), mux: (seed + 3) % 5 },
      { kind: 'leave', atNs: at(36.1), mux: (seed + 4) % 5 },
    ),
  }),
  /** Answers to opening packets are lost, one after the other: handshakes go on for longer than a mux knows of a SYN. */
  longHandshake: (seed) => ({
    ...withTraffic(
      base(seed, 45),
      { services: ['http', 'quic'], beginNs: at(9), endNs: at(15), flowsPerSecond: 100, spray: 0 },
      { lostAnswers: 0.85, packets: [4] },
    ),
    idleMs: 80_000,
    muxes: 3,
    times: { ...TIMES, storeMs: 2, applyLagMs: 20, heartbeatMs: 500 },
    flowTable: { entries: 7 * 256, cacheEntries: 4 * 256 },
    actions: inOrder(add(1, 3), drain(1, 0)),
  }),
  /** A mux of two dies while nobody reaches the store and a change is open: the other one has nobody to ask. */
  alone: (seed) => ({
    ...withTraffic(
      base(seed, 38),
      { services: ['http', 'quic'], spray: 0, flowsPerSecond: 25 },
      { packets: [4, 150] },
    ),
    muxes: 2,
    actions: inOrder(
      add(3, 3),
      { kind: 'storeAway', atNs: at(8.5), forNs: 26 * SECOND },
      { kind: 'crash', atNs: at(11), mux: seed % 2 },
      { kind: 'join', atNs: at(38), mux: seed % 2 },
      { kind: 'reshuffle', atNs: at(44), salt: seed },
    ),
  }),
  copyRace,
  /** The same where a backup may have no room for what its owner has decided, and the owner dies. */
  crowdedCopyRace: (seed) => ({
    ...copyRace(seed),
    flowTable: { entries: 7 * 512, cacheEntries: 4 * 512 },
  }),
  /** A mux is announced before it has what the others have. */
  earlyJoin: (seed) => ({
    ...base(seed, 60),
    times: { ...TIMES, applyLagMs: 4_000, firstApplyMs: 7_000, storeMs: 50 },
    actions: inOrder(
      ...churn(50, 5),
      ...[8, 15, 22, 29].map((s, n): Action => ({ kind: 'join', atNs: at(s), mux: 4 + n })),
    ),
  }),
  /** Spoofed packets fill what is kept. */
  flood: (seed) => ({
    ...withTraffic(base(seed, 60), { flowsPerSecond: 40 }),
    flowTable: { entries: 7 * 16, cacheEntries: 4 * 512 },
    actions: inOrder(
      add(4, 3),
      drain(30, 0),
      ...(['syn', 'data'] as const).map(
        (packets, n): Action => ({
          kind: 'flood',
          atNs: at(5 + n),
          packets,
          perSecond: 400,
          forNs: 12 * SECOND,
        }),
      ),
    ),
  }),
  /** Headers between muxes are said again, changed and cut off. */
  forgery: (seed) => ({
    ...withTraffic(base(seed, 50), { forgery: 0.3, spray: 0.6 }, { packets: [12] }),
    actions: inOrder(
      ...churn(48, 6),
      ...[10, 20, 30].map((s): Action => ({ kind: 'rotateKeys', atNs: at(s) })),
    ),
  }),
  /** A mux is taken for dead for a while, and is not. */
  falseSuspicion: (seed) => ({
    ...withTraffic(base(seed, 60), { spray: 0.6, flowsPerSecond: 100 }, { packets: [12] }),
    times: { ...TIMES, applyLagMs: 1_500 },
    actions: inOrder(
      ...churn(58, 8),
      ...[8, 20, 32, 44].map(
        (s, n): Action => ({ kind: 'partition', atNs: at(s), mux: (seed + n) % 4, forNs: 1_500 * MS }),
      ),
    ),
  }),
  /** Who is taken for dead is an owner still, decides by what it has late, and its records come to its successor. */
  twoOwners: (seed) => ({
    ...withTraffic(base(seed, 60), { spray: 1, flowsPerSecond: 300 }, { packets: [4], slowAnswers: 0.2 }),
    outside: { loss: 0, duplicate: 0.5, delayNs: 0.1 * MS, jitterNs: 400 * MS },
    times: { ...TIMES, applyLagMs: 4_000, storeMs: 300 },
    // An opening packet that finds no room, and then finds some, is a stated limit.
    flowTable: { entries: 7 * 16_384, cacheEntries: 4 * 1_024 },
    actions: inOrder(
      ...churn(58, 6),
      ...[7.5, 13.5, 19.5, 25.5, 31.5, 37.5, 43.5, 49.5, 55.5].map(
        (s, n): Action => ({ kind: 'partition', atNs: at(s), mux: (seed + n) % 4, forNs: 700 * MS }),
      ),
    ),
  }),
  /** Servers die and come back, and are another generation then. */
  flap: (seed) => ({
    ...base(seed, 60),
    actions: inOrder(
      add(3, 3),
      { kind: 'hostDies', atNs: at(8), host: 1, forNs: 12 * SECOND },
      { kind: 'hostDies', atNs: at(30), host: 3, forNs: 4 * SECOND },
      drain(45, 0),
    ),
  }),
  /** A server returns at once, while muxes remember who it served; tuples are used again. */
  returning: (seed) => ({
    ...withTraffic(base(seed, 60), { tuples: 60, flowsPerSecond: 120, spray: 0.6 }, { packets: [4, 12] }),
    actions: inOrder(
      ...churn(56, 16),
      ...[8, 16, 24, 32, 40, 48].map(
        (s, n): Action => ({ kind: 'hostDies', atNs: at(s), host: [1, 2, 3][n % 3]!, forNs: 1_500 * MS }),
      ),
    ),
  }),
  /** Keys change one after the other while muxes are late, lose packets, come and go. */
  keys: (seed) => ({
    ...withTraffic(base(seed, 60), { spray: 0.6 }, { packets: [12] }),
    inside: { loss: 0.05, duplicate: 0.05, delayNs: 0.5 * MS, jitterNs: 5 * MS },
    times: { ...TIMES, storeMs: 100, applyLagMs: 1_500 },
    actions: inOrder(
      ...churn(58, 8),
      ...[5, 16, 27, 38, 49].map((s): Action => ({ kind: 'rotateKeys', atNs: at(s) })),
      { kind: 'join', atNs: at(17), mux: 4 },
      { kind: 'crash', atNs: at(28), mux: seed % 4 },
      { kind: 'hang', atNs: at(39), mux: (seed + 1) % 4, forNs: 6 * SECOND },
    ),
  }),
  /** Two muxes die at once: more than is promised. Flows of then may be lost; later ones must not. */
  twoDeaths: (seed) => ({
    ...withTraffic(base(seed, 50), { flowsPerSecond: 60, spray: 0 }, { packets: [100] }),
    muxes: 5,
    actions: inOrder(
      add(5, 3),
      drain(7, 0),
      { kind: 'crash', atNs: at(17), mux: seed % 5 },
      { kind: 'crash', atNs: at(17.1), mux: (seed + 1) % 5 },
      { kind: 'reshuffle', atNs: at(21), salt: seed },
      { kind: 'reshuffle', atNs: at(30), salt: seed + 1 },
    ),
  }),
  /** Datagrams in fragments that come to different muxes; errors about flows. */
  fragments: (seed) => ({
    ...withTraffic(
      base(seed, 40),
      { services: ['dns', 'http'], spray: 0.5 },
      { fragments: 0.5, icmpErrors: 0.05 },
    ),
    actions: churn(38, 8),
  }),
} satisfies Record<string, (seed: number) => Scenario>;
export type AttackName = keyof typeof ATTACKS;

/** One of them, somewhat different with each seed. */
export function attackOf(name: AttackName, seed: number): Scenario {
  const scenario: Scenario = ATTACKS[name](seed);
  const random = new Random(seed, name);
  const actions = scenario.actions.map((action) => ({
    ...action,
    atNs: action.atNs + Math.floor(random.unit() * 2 * SECOND),
  }));
  return { ...scenario, actions: actions.sort((a, b) => a.atNs - b.atNs) };
}
