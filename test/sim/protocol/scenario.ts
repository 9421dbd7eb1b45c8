// Owns what one history is, as data: drawn from a seed here, shortened by shrink.ts, carried out by history.ts.
import type { LeaderSettings } from '../../../control/cluster/leader/inputs.ts';
import type { Action, HostEdit } from './actions.ts';
import { GAPS_NS } from './client.ts';
import type { DaemonTimes } from './daemon.ts';
import { HOSTS, MS, POOL_NAMES, SECOND, type ServiceName } from './place.ts';
import { Random } from './random.ts';
import type { Traffic, Weather } from './world.ts';

export type Scenario = {
  readonly seed: number;
  readonly muxes: number;
  readonly version: 4 | 6;
  readonly hosts: readonly number[];
  /** Of every service; absent: IDLE_MS. */
  readonly idleMs?: number;
  readonly traffic: Traffic;
  readonly outside: Weather;
  readonly inside: Weather;
  readonly times: DaemonTimes;
  readonly settings: LeaderSettings;
  readonly flowTable: { readonly entries: number; readonly cacheEntries: number };
  /** In order of time. */
  readonly actions: readonly Action[];
};

export const TIMES: DaemonTimes = {
  leaseMs: 3_000,
  marginMs: 500,
  heartbeatMs: 100,
  misses: 3,
  storeMs: 10,
  applyLagMs: 200,
};
export const SETTINGS: LeaderSettings = {
  handshakeHoldMs: 3_000,
  leaseMs: TIMES.leaseMs,
  marginMs: TIMES.marginMs,
  acknowledgeMsMax: 10_000,
  handOverMsMax: 60_000,
};

export const CALM: Weather = { loss: 0, duplicate: 0, delayNs: 0.1 * MS, jitterNs: 0 };
const BAD: Weather = { loss: 0.01, duplicate: 0.01, delayNs: 0.2 * MS, jitterNs: 5 * MS };
const AWFUL: Weather = { loss: 0.03, duplicate: 0.03, delayNs: 0.5 * MS, jitterNs: 40 * MS };

const DURATION_NS = 60 * SECOND;
/** Muxes register and the first versions are applied. */
export const WARM_UP_NS = 3 * SECOND;
const MUXES_MAX = 5;

/** The history of a seed. */
export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed, 'shape');
  const muxes = random.between(2, MUXES_MAX);
  const weathers = [CALM, BAD, BAD, AWFUL];
  const services = random.pick<readonly ServiceName[]>([
    ['http', 'dns', 'quic', 'sticky'],
    ['http', 'dns', 'quic', 'sticky'],
    ['http'],
    ['http', 'sticky'],
    ['quic', 'dns'],
  ]);
  return {
    seed,
    muxes,
    version: random.pick([4, 6]),
    hosts: HOSTS.map((_, at) => at).filter((at) => at < 2 || random.chance(0.5)),
    traffic: {
      habits: {
        packets: random.pick([[5, 20, 60], [20, 80], [200]]),
        gapsNs: random.pick([
          [GAPS_NS.busy, GAPS_NS.usual],
          [GAPS_NS.busy, GAPS_NS.usual, GAPS_NS.slow, GAPS_NS.nearlyIdle],
          [GAPS_NS.slow, GAPS_NS.nearlyIdle],
        ]),
        slowAnswers: random.pick([0, 0.05, 0.3]),
        icmpErrors: random.pick([0, 0.01]),
        fragments: random.pick([0, 0.3]),
      },
      flowsPerSecond: random.pick([60, 200, 400]),
      services,
      beginNs: WARM_UP_NS,
      endNs: WARM_UP_NS + DURATION_NS,
      tuples: random.pick([0, 0, 60]),
      spray: random.pick([0, 0, 0.05, 0.5]),
    },
    outside: random.pick(weathers),
    inside: random.pick(weathers),
    times: { ...TIMES, applyLagMs: random.pick([20, 200, 1_500]), storeMs: random.pick([2, 10, 100]) },
    settings: SETTINGS,
    flowTable: random.pick([
      { entries: 7 * 4_096, cacheEntries: 4 * 1_024 },
      { entries: 7 * 4_096, cacheEntries: 4 * 64 },
    ]),
    actions: actionsOf(seed, muxes),
  };
}

function actionsOf(seed: number, muxes: number): Action[] {
  const random = new Random(seed, 'actions');
  const at = (): number => WARM_UP_NS + Math.floor(random.unit() * DURATION_NS);
  const actions: Action[] = [];
  for (let n = random.between(0, 5); n > 0; n--) {
    const edits = Array.from({ length: random.between(1, 2) }, () => editOf(random));
    actions.push({ kind: 'edit', atNs: at(), edits });
  }
  for (let n = random.between(0, 6); n > 0; n--) {
    actions.push({ kind: 'reshuffle', atNs: at(), salt: random.word() });
  }
  const keys = new Random(seed, 'keys');
  for (let n = keys.between(0, 2); n > 0; n--)
    actions.push({ kind: 'rotateKeys', atNs: WARM_UP_NS + Math.floor(keys.unit() * DURATION_NS) });
  const deaths = new Random(seed, 'hosts');
  for (let n = deaths.between(0, 2); n > 0; n--) {
    actions.push({
      kind: 'hostDies',
      atNs: WARM_UP_NS + Math.floor(deaths.unit() * DURATION_NS),
      host: deaths.between(0, HOSTS.length - 1),
      forNs: deaths.pick([500, 3_000, 15_000]) * MS,
    });
  }
  // One failure at a time until it is repaired.
  let troubleNs = WARM_UP_NS + random.unit() * 10 * SECOND;
  for (let mux = muxes; troubleNs < WARM_UP_NS + DURATION_NS; mux++) {
    actions.push(...troubleOf(random, Math.floor(troubleNs), random.between(0, muxes - 1), mux));
    troubleNs += (20 + random.unit() * 20) * SECOND;
  }
  return actions.sort((a, b) => a.atNs - b.atNs);
}

function troubleOf(random: Random, atNs: number, mux: number, newcomer: number): Action[] {
  switch (random.between(0, 8)) {
    case 0:
      return [
        { kind: 'crash', atNs, mux },
        { kind: 'join', atNs: atNs + 12 * SECOND, mux },
      ];
    case 1:
      return [{ kind: 'reboot', atNs, mux, forNs: random.pick([50, 400, 5_000]) * MS }];
    case 2:
      return [{ kind: 'hang', atNs, mux, forNs: random.pick([200, 1_000, 6_000]) * MS }];
    case 3:
      return [{ kind: 'restart', atNs, mux, forNs: random.pick([300, 2_000, 8_000]) * MS }];
    case 4:
      return [{ kind: 'join', atNs, mux: newcomer }];
    case 5:
      return [{ kind: 'newLeader', atNs, forNs: random.pick([100, 3_000]) * MS }];
    case 6:
      return [{ kind: 'storeAway', atNs, forNs: random.pick([500, 2_000, 6_000]) * MS }];
    case 7:
      return [{ kind: 'leave', atNs, mux }];
    default:
      return [];
  }
}

function editOf(random: Random): HostEdit {
  const host = random.between(0, HOSTS.length - 1);
  const pool = random.pick([undefined, ...POOL_NAMES]);
  const weight = random.pick([0, 50, 100, 100, 300, undefined]);
  return { host, ...(pool !== undefined && { pool }), ...(weight !== undefined && { weight }) };
}
