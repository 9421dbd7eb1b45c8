// Owns what a node may answer about muxes, changes and flows; each is held to its schema when this file is loaded.
import type { z } from 'zod';
import * as schema from '../../../../control/api/schema.ts';

const checked = <S extends z.ZodType>(of: S, value: z.input<S>): z.output<S> => of.parse(value);

export const MUX1 = checked(schema.nodeViewSchema, {
  name: 'mux1',
  roles: ['mux'],
  self: true,
  state: 'member',
  software: '0.1.0',
  id: 1,
  incarnation: 77,
  address: '192.0.2.201',
  askPort: 7445,
  version: 12,
  behind: 0,
  leaseLeftMs: 2_412,
  pastDeadline: false,
  heard: [{ by: 'mux2', suspects: false }],
  chains: { owned: 10_923, backed: 10_922 },
  flows: { kept: 812, old: 40 },
  problems: [],
});

export const MUX2 = checked(schema.nodeViewSchema, {
  ...MUX1,
  name: 'mux2',
  self: false,
  id: 2,
  address: '192.0.2.202',
  api: '192.0.2.202:7443',
  version: 11,
  behind: 1,
  leaseLeftMs: undefined,
  heard: [{ by: 'mux1', agoMs: 31.5, suspects: false }],
});

const STEPS: schema.StepView[] = [
  { step: 'track', state: 'done', leastMs: 3_000, sinceMs: 3_120, waitsFor: [] },
  {
    step: 'commit',
    state: 'now',
    leastMs: 660_000,
    sinceMs: 60_000,
    leftMs: 600_000,
    waitsFor: ['The settle window lasts another 10 min.'],
  },
  { step: 'settle', state: 'next', leastMs: 0, waitsFor: [] },
];

export const POOL_PLAN = checked(schema.poolPlanSchema, {
  pool: 'web',
  of: 65_537,
  slots: 21_845,
  moves: [{ from: 'web/b1', to: 'web/b2', slots: 21_845 }],
  way: 'tracked',
  flows: { known: 0, atRisk: 0 },
  risks: [],
  steps: [
    { step: 'track', state: 'next', leastMs: 3_000, waitsFor: ['Every mux has it.'] },
    { step: 'commit', state: 'next', leastMs: 660_000, waitsFor: [] },
    { step: 'settle', state: 'next', leastMs: 0, waitsFor: [] },
  ],
  leastMs: 663_000,
});

export const CHANGES = checked(schema.changesSchema, {
  atMs: 1_767_225_600_000,
  version: 12,
  applied: 12,
  revision: 18,
  publishedRevision: 18,
  leader: 'mux1',
  waitsFor: [],
  pools: [{ pool: 'web', of: 65_537, clean: 43_692, track: 0, commit: 21_845, settle: 0 }],
  open: [
    {
      id: 'web@11',
      pool: 'web',
      reason: 'revision 18',
      urgent: false,
      step: 'commit',
      parts: [{ step: 'commit', version: 12, slots: 21_845, reason: 'revision 18' }],
      version: 12,
      chainVersion: 11,
      revision: 18,
      ageMs: 63_120,
      slots: { of: 65_537, tracked: 21_845, moved: 21_845 },
      moves: [{ from: 'web/b1', to: 'web/b2', slots: 21_845 }],
      flows: { known: 812, old: 40 },
      steps: STEPS,
      waitsFor: ['The settle window lasts another 10 min.'],
      nextStepInMs: 600_000,
      lostSlots: 0,
      lostBriefly: 0,
      nodes: [
        { node: 'mux1', acknowledged: true, copied: true, flows: 812, oldFlows: 40 },
        { node: 'mux2', acknowledged: false, copied: true },
      ],
    },
  ],
  finished: [
    {
      id: 'web@3',
      pool: 'web',
      reason: 'revision 9',
      finishedAtMs: 1_767_225_000_000,
      tookMs: 700_000,
      seenWhole: true,
      slots: 100,
      steps: [{ step: 'track', tookMs: 3_100 }],
    },
  ],
});

const ENTRY = checked(schema.flowEntrySchema, {
  fingerprint: '00c0ffee00c0ffee',
  client: '203.0.113.7',
  services: ['www'],
  protocol: 'tcp',
  pool: 'web',
  slot: 40_213,
  backend: 'web/b1',
  isOld: true,
  state: 'trusted',
  seenAgoMs: 1_250,
  idleTimeoutMs: 600_000,
  node: 'mux1',
  role: 'owner',
  trackEpoch: 11,
});

export const FLOWS = checked(schema.flowsSchema, { items: [ENTRY], unanswered: [] });

export const FLOWS_TOP = checked(schema.flowsTopSchema, {
  by: 'backend',
  flows: 812,
  groups: [{ name: 'web/b2', flows: 772, old: 0, nascent: 3 }],
  others: { groups: 1, flows: 40 },
  unanswered: [],
});

export const FLOW_REPORT = checked(schema.flowReportSchema, {
  flow: '203.0.113.7:51000>198.51.100.10:443/tcp',
  service: 'www',
  pool: 'web',
  slot: 40_213,
  fingerprint: '00c0ffee00c0ffee',
  tracked: true,
  change: 'web@11',
  step: 'commit',
  trackEpoch: 11,
  chainEpoch: 11,
  current: 'web/b2',
  base: 'web/b1',
  owner: { node: 'mux1', id: 1, incarnation: 77, address: '192.0.2.201', self: true },
  backup: { node: 'mux2', id: 2, incarnation: 78, address: '192.0.2.202', self: false },
  known: [{ node: 'mux1', role: 'owner', entry: ENTRY }],
  next: { backend: 'web/b1', reason: 'FORWARD_CACHED', meaning: 'of a tracked slot, by the cache' },
  conclusions: ['It stays with web/b1.'],
  unanswered: [],
});

const KEY = {
  source: 'mux',
  pool: 'web',
  slot: 40_213,
  fingerprint: '00c0ffee00c0ffee',
  backend: 'web/b1',
} as const;

export const AFFINITIES = checked(schema.affinitiesSchema, {
  items: [
    {
      ...KEY,
      client: '203.0.113.7',
      services: ['www'],
      address: '198.51.100.10',
      rule: 'recorded',
      isOld: true,
      seenAgoMs: 61_250,
      timeoutMs: 1_200_000,
      node: 'mux1',
    },
  ],
  unanswered: [],
});

export const AFFINITY = checked(schema.affinityExplanationSchema, {
  client: '203.0.113.7',
  items: [
    {
      ...KEY,
      client: '203.0.113.7',
      service: 'www',
      address: '198.51.100.10',
      rule: 'recorded',
      timeoutMs: 1_200_000,
      timeoutLeftMs: 1_138_750,
      since: { what: 'change web@11 began', agoMs: 63_120 },
      current: 'web/b2',
      base: 'web/b1',
      change: 'web@11',
      step: 'commit',
      trackEpoch: 11,
      owner: { node: 'mux1', id: 1, incarnation: 77, address: '192.0.2.201', self: true },
      backup: { node: 'mux2', id: 2, incarnation: 78, address: '192.0.2.202', self: false },
      known: [{ node: 'mux1', role: 'owner', entry: { ...ENTRY, key: 'client' } }],
      leaving: { backend: 'web/b1', to: 'web/b2', drained: 'kept', dead: 'moved' },
      conclusions: ['It stays with web/b1.'],
    },
  ],
  unanswered: [],
});

export const AFFINITY_RELEASE = checked(schema.affinityReleaseSchema, {
  dryRun: false,
  action: 'release',
  client: '203.0.113.7',
  items: [{ service: 'www', address: '198.51.100.10', from: 'web/b1', to: 'web/b2', outcome: 'released' }],
  effects: ['For service www at 198.51.100.10 it goes from web/b1 to web/b2.'],
  unanswered: [],
});
