// Owns a cluster of three muxes with a change that is open, as data, for tests of what is said about it.
import type { Period, Placement, Version } from '../../../../control/cluster/version.ts';
import { type ClusterState, EMPTY_STATE } from '../../../../control/config/cluster_state.ts';
import type { MuxFacts, OwnFacts, Picture } from '../../../../control/node/tracking/picture.ts';

export const SLOTS = 64;

export const member = (id: number) => ({
  id,
  incarnation: 100 + id,
  name: `mux${id}`,
  address: `192.0.2.${id}`,
  askPort: 7445,
  isLeaving: false,
});

const stored = { modRevision: 1 };
export const STATE: ClusterState = {
  ...EMPTY_STATE,
  revision: 20,
  pools: new Map([['web', { name: 'web', slots: SLOTS, id: 7, ...stored }]]),
  services: new Map([
    [
      'www',
      {
        name: 'www',
        addresses: ['198.51.100.1'],
        protocol: 'tcp',
        port: 80,
        pool: 'web',
        idleTimeoutMs: 5_000,
        ...stored,
      },
    ],
  ]),
  backends: new Map(
    ['b1', 'b2'].map((name, index) => [
      `web/${name}`,
      {
        pool: 'web',
        name,
        address: `10.0.0.${index + 1}`,
        weight: 100,
        encap: 'ip',
        index: index + 1,
        generation: 1,
        ...stored,
      },
    ]),
  ),
  tables: new Map([['web', { slots: new Uint16Array(SLOTS).fill(1), modRevision: 1 }]]),
};

export const PERIOD: Period = {
  trackEpoch: 5,
  chainEpoch: 5,
  candidates: [[1, 2, 3].map((id) => ({ id, incarnation: 100 + id }))],
  step: 'commit',
  stepVersion: 6,
  idleTimeoutMs: 5_000,
  isUrgent: false,
  lostSlots: 0,
  reason: 'web/b1 has weight 0, not 100',
};

/** Slots 0-15 go from b1 to b2. */
export function placement(...periods: readonly Period[]): Placement {
  const moved = (to: number) => Uint16Array.from({ length: SLOTS }, (_, slot) => (slot < 16 ? to : 1));
  return {
    poolId: 7,
    base: moved(1),
    current: moved(periods.length === 0 ? 1 : 2),
    period: Uint8Array.from({ length: SLOTS }, (_, slot) =>
      periods.length === 0 || slot >= 16 ? 0 : 1 + (slot % periods.length),
    ),
    periods,
  };
}

export function version(number: number, changes: Partial<Version> = {}): Version {
  return {
    number,
    cluster: 'c',
    digest: `d${number}`,
    leaderEpoch: 1,
    members: [1, 2, 3].map(member),
    gone: [],
    objects: { ...STATE, revision: 20 },
    unnamedSince: new Map(),
    placements: new Map([[7, placement(PERIOD)]]),
    ...changes,
  };
}

const report = { poolId: 7, trackEpoch: 5, copiedChainEpoch: 5, isHandedOver: false, unrecordedAgoMs: -1 };

export const acknowledgement = (id: number, version: number, flows = 0, oldFlows = 0) => ({
  name: `mux${id}`,
  incarnation: 100 + id,
  version,
  digest: `d${version}`,
  reports: [{ ...report, flows, oldFlows }],
});

export const MUXES: MuxFacts = {
  registrations: new Map([1, 2, 3].map((id) => [`mux${id}`, { ...member(id), leaseMs: 3_000 }])),
  acknowledgements: new Map([
    ['mux1', acknowledgement(1, 6, 6, 2)],
    ['mux2', acknowledgement(2, 6, 4, 2)],
    ['mux3', acknowledgement(3, 5, 0, 0)],
  ]),
  ids: new Map([1, 2, 3].map((id) => [id, `mux${id}`])),
  suspicions: [],
  drains: new Set(),
  ring: { step: 4, keys: [{ id: 1, secret: 'AAAAAAAAAAAAAAAAAAAAAA==' }], use: 1, madeAtMs: 9_000 },
  knownKeys: new Map([1, 2, 3].map((id) => [`mux${id}`, { incarnation: 100 + id, step: 4 }])),
  leader: 'mux1',
};

export const OWN: OwnFacts = {
  id: 1,
  incarnation: 101,
  version: 6,
  leaseLeftMs: 2_400,
  hearings: new Map([
    [2, { agoMs: 40, isPastDeadline: false, timeAheadMs: 0 }],
    [3, { agoMs: 60, isPastDeadline: false, timeAheadMs: 0 }],
  ]),
};

export function picture(changes: Partial<Picture> = {}): Picture {
  return {
    self: 'mux1',
    nowMs: 10_000,
    wallMs: 10_000,
    intent: STATE,
    editedRevision: 20,
    head: version(6),
    muxes: MUXES,
    own: OWN,
    ...changes,
  };
}
