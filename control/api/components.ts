// Owns the shapes as OpenAPI shows them: their names, and an example of each. What they are is schema.ts and
// control/config/objects.ts; nothing here changes what is accepted.
import type { z } from '@hono/zod-openapi';
import { backendSchema, documentSchema, poolSchema, serviceSchema } from '../config/objects.ts';
import type { FlowEntry } from './schema/flows.ts';
import {
  affinitiesSchema,
  affinityExplanationSchema,
  affinityReleaseSchema,
  attachmentSchema,
  attachRequestSchema,
  backendViewSchema,
  capturedPacketSchema,
  captureRequestSchema,
  changeSchema,
  changesSchema,
  detachRequestSchema,
  drainRequestSchema,
  eventSchema,
  explainRequestSchema,
  explanationSchema,
  failureSchema,
  findingSchema,
  flowReportSchema,
  flowsSchema,
  flowsTopSchema,
  itemsSchema,
  keysSchema,
  nodeChangeSchema,
  nodeViewSchema,
  poolViewSchema,
  rotateKeysRequestSchema,
  serviceViewSchema,
  statsSchema,
  statusSchema,
} from './schema.ts';
import { complete, patchOf } from './shapes.ts';

// A copy, because only schemas that were made after @hono/zod-openapi was loaded can have a name.
export function named<T extends z.ZodType>(name: string, schema: T, example: z.input<T>): T {
  return schema.clone().openapi(name, { examples: [example] }) as T;
}

const service: z.input<typeof serviceSchema> = {
  name: 'www',
  addresses: ['198.51.100.10', '2001:db8::10'],
  protocol: 'tcp',
  port: 443,
  pool: 'web',
};
const pool = { name: 'web', slots: 65_537 };
const backend = { pool: 'web', name: 'web1', address: '192.0.2.1', weight: 100, encap: 'ip' } as const;
const traffic = { packets: 81_120, bytes: 92_164_800, newFlows: 1_014 };
const path = { state: 'known', interface: 'eth0', mac: '02:00:00:00:00:01', mtuBytes: 1_500 } as const;
const attachment = {
  interface: 'eth0',
  ifindex: 2,
  role: 'mux',
  mode: 'native',
  programId: 412,
  programTag: '9f2c4b1a6d3e8f70',
  pinned: true,
} as const;

export const Failure = named('Failure', failureSchema, {
  code: 'not_found',
  message: 'There is no service www.',
  remedy: 'See those there are: holdfast services list',
});

export const Service = named('Service', serviceSchema, service);
export const Pool = named('Pool', poolSchema, pool);
export const Backend = named('Backend', backendSchema, backend);
export const Document = named('Document', documentSchema, {
  services: [service],
  pools: [pool],
  backends: [backend],
});

export const ServicePatch = named('ServicePatch', patchOf(serviceSchema.shape), {
  port: 8443,
  affinity: null,
}).describe('JSON merge patch (RFC 7396) of a Service; its name cannot be changed');
const { slots: _, delivery: __, ...changeable } = poolSchema.shape;
export const PoolPatch = named('PoolPatch', patchOf(changeable), {
  health: { type: 'http', path: '/healthy', intervalMs: 1_000 },
}).describe('JSON merge patch (RFC 7396) of a Pool; its name, its slots and its delivery cannot be changed');
export const BackendPatch = named('BackendPatch', patchOf(backendSchema.shape), {
  weight: 0,
}).describe('JSON merge patch (RFC 7396) of a Backend; its pool and name cannot be changed');

export const ServiceView = named('ServiceView', complete(serviceViewSchema), {
  ...service,
  revision: 17,
  backends: 3,
  traffic,
});
export const PoolView = named('PoolView', complete(poolViewSchema), {
  ...pool,
  revision: 12,
  id: 1,
  services: ['www'],
  backends: [{ name: 'web1', weight: 100, slots: 65_537, share: 1 }],
  unassignedSlots: 0,
});
export const BackendView = named('BackendView', complete(backendViewSchema), {
  ...backend,
  revision: 13,
  index: 1,
  slots: 65_537,
  share: 1,
  traffic,
  path: { ...path, innerMtuBytes: 1_480 },
});

export const ServiceViews = itemsSchema(ServiceView);
export const PoolViews = itemsSchema(PoolView);
export const BackendViews = itemsSchema(BackendView);

export const Change = named('Change', changeSchema, {
  dryRun: false,
  revision: 18,
  changes: [{ action: 'change', kind: 'backend', name: 'web/web1', before: backend, after: backend }],
  moved: [{ pool: 'web', slots: 21_846, of: 65_537 }],
});

export const Attachment = named('Attachment', attachmentSchema, attachment);
export const Attachments = itemsSchema(Attachment);
export const AttachRequest = named('AttachRequest', attachRequestSchema, {
  interface: 'eth0',
  mode: 'native',
});
export const DetachRequest = named('DetachRequest', detachRequestSchema, { interface: 'eth0' });

export const Status = named('Status', statusSchema, {
  node: 'mux1',
  version: '0.1.0',
  roles: ['mux'],
  pid: 4_711,
  startedAt: '2026-01-01T00:00:00.000Z',
  adopted: 'adopted',
  kernel: '6.1.0-28-amd64',
  attachments: [attachment],
  store: { kind: 'sqlite', where: '/var/lib/holdfast/store.db', connected: true, revision: 18 },
  appliedRevision: 18,
  services: 1,
  pools: 1,
  backends: 1,
  limits: { backends: { used: 1, max: 4_095 } },
  capturing: false,
  problems: [],
});
export const Stats = named('Stats', statsSchema, {
  atMs: 1_767_225_600_000,
  packets: { FORWARD: 81_120, PASS: 904 },
  reasons: { FORWARD: 81_120, PASS_NOT_A_SERVICE: 904 },
  services: [{ name: 'www', ...traffic }],
  backends: [{ pool: 'web', name: 'web1', ...traffic }],
  flowEvents: { FLOW_KNOWN: 812, FLOW_NEW: 40, FLOW_RECORDED: 838 },
  muxes: [{ id: 2, heardAgoMs: 21.4, version: 18, isPastDeadline: false }],
});

export const ExplainRequest = named('ExplainRequest', explainRequestSchema, {
  flow: { source: '203.0.113.7', sourcePort: 51_000, destination: '198.51.100.10', destinationPort: 443 },
});
export const Explanation = named('Explanation', explanationSchema, {
  verdict: 'FORWARD',
  reason: 'FORWARD',
  meaning: "by the slot of the flow's hash",
  service: 'www',
  pool: 'web',
  slot: 40_213,
  slotState: 'clean',
  backend: 'web/web1',
  backendAddress: '192.0.2.1',
  steps: ['198.51.100.10 port 443 over TCP is service www.', 'Slot 40213 of pool web has backend web1.'],
});

export const Finding = named('Finding', findingSchema, {
  check: 'xdp-native',
  interface: 'eth0',
  severity: 'warning',
  message: 'The driver of eth0 has no XDP.',
  cure: 'Use an interface whose driver has it; generic mode is slow.',
});
export const Findings = itemsSchema(Finding);

export const CaptureRequest = named('CaptureRequest', captureRequestSchema, {
  reasons: ['DROP'],
  port: 443,
  seconds: 10,
});
export const CapturedPacket = named('CapturedPacket', capturedPacketSchema, {
  atMs: 1_767_225_600_000.125,
  reason: 'DROP_NO_BACKEND',
  ifindex: 2,
  interface: 'eth0',
  lengthBytes: 74,
  frame: '020000000001020000000002080045000028',
});
export const NodeEvent = named('NodeEvent', eventSchema, {
  atMs: 1_767_225_600_000,
  kind: 'applied',
  message: 'revision 18 is in the program',
  revision: 18,
});

const mux: z.input<typeof nodeViewSchema> = {
  name: 'mux1',
  roles: ['mux'],
  self: true,
  state: 'member',
  software: '0.2.0',
  id: 1,
  incarnation: 2_882_343_476,
  address: '192.0.2.201',
  askPort: 7_445,
  version: 12,
  behind: 0,
  leaseLeftMs: 2_412,
  pastDeadline: false,
  heard: [{ by: 'mux2', suspects: false }],
  chains: { owned: 10_923, backed: 10_922 },
  flows: { kept: 812, old: 40 },
  problems: [],
};
const moves = [{ from: 'web/web1', to: 'web/web2', slots: 21_846 }];
const flowEntry: FlowEntry = {
  fingerprint: '9f2c4b1a6d3e8f70',
  client: '203.0.113.7',
  services: ['www'],
  protocol: 'tcp',
  pool: 'web',
  slot: 40_213,
  backend: 'web/web1',
  isOld: true,
  state: 'trusted',
  seenAgoMs: 1_250,
  idleTimeoutMs: 600_000,
  node: 'mux1',
  role: 'owner',
  trackEpoch: 11,
};

export const NodeView = named('NodeView', nodeViewSchema, mux);
export const NodeViews = itemsSchema(NodeView);
export const Keys = named('Keys', keysSchema, {
  step: 2,
  state: 'learning',
  ageMs: 1_200,
  lacking: ['mux2'],
});
export const RotateKeysRequest = named('RotateKeysRequest', rotateKeysRequestSchema, {});
export const DrainRequest = named('DrainRequest', drainRequestSchema, { undo: true });
export const NodeChange = named('NodeChange', nodeChangeSchema, {
  dryRun: false,
  action: 'drain',
  node: mux,
  effects: ['It hands 10,923 slots over and leaves.'],
});
export const Changes = named('Changes', changesSchema, {
  atMs: 1_767_225_600_000,
  version: 12,
  applied: 12,
  revision: 18,
  publishedRevision: 18,
  leader: 'mux1',
  waitsFor: [],
  pools: [{ pool: 'web', of: 65_537, clean: 43_691, track: 0, commit: 21_846, settle: 0 }],
  open: [
    {
      id: 'web@11',
      pool: 'web',
      reason: 'revision 18',
      urgent: false,
      step: 'commit',
      parts: [{ step: 'commit', version: 12, slots: 21_846, reason: 'revision 18' }],
      version: 12,
      chainVersion: 11,
      revision: 18,
      ageMs: 63_120,
      slots: { of: 65_537, tracked: 21_846, moved: 21_846 },
      moves,
      flows: { known: 812, old: 40 },
      steps: [{ step: 'commit', state: 'now', leastMs: 660_000, leftMs: 600_000, waitsFor: [] }],
      waitsFor: ['The settle window lasts another 10 min.'],
      nextStepInMs: 600_000,
      lostSlots: 0,
      lostBriefly: 0,
      nodes: [{ node: 'mux1', acknowledged: true, copied: true, flows: 812, oldFlows: 40 }],
    },
  ],
  finished: [],
});
export const Flows = named('Flows', flowsSchema, { items: [flowEntry], unanswered: [] });
export const FlowsTop = named('FlowsTop', flowsTopSchema, {
  by: 'backend',
  flows: 812,
  groups: [{ name: 'web/web2', flows: 812, old: 40, nascent: 3 }],
  others: { groups: 0, flows: 0 },
  unanswered: [],
});
export const FlowReport = named('FlowReport', flowReportSchema, {
  flow: '203.0.113.7:51000>198.51.100.10:443/tcp',
  service: 'www',
  pool: 'web',
  slot: 40_213,
  fingerprint: '9f2c4b1a6d3e8f70',
  tracked: true,
  change: 'web@11',
  step: 'commit',
  current: 'web/web2',
  base: 'web/web1',
  owner: { node: 'mux1', id: 1, incarnation: 2_882_343_476, self: true },
  known: [{ node: 'mux1', role: 'owner', entry: flowEntry }],
  next: { backend: 'web/web1', reason: 'FORWARD_CACHED', meaning: 'of a tracked slot, by the cache' },
  conclusions: ['The flow stays with web/web1.'],
  unanswered: [],
});

const affinity = {
  source: 'mux',
  pool: 'web',
  slot: 40_213,
  fingerprint: '9f2c4b1a6d3e8f70',
  backend: 'web/web1',
  rule: 'recorded',
} as const;
export const Affinities = named('Affinities', affinitiesSchema, {
  items: [
    {
      ...affinity,
      client: '203.0.113.7',
      services: ['www'],
      address: '198.51.100.10',
      isOld: true,
      seenAgoMs: 61_250,
      timeoutMs: 1_200_000,
      node: 'mux1',
    },
  ],
  unanswered: [],
});
export const AffinityExplanation = named('AffinityExplanation', affinityExplanationSchema, {
  client: '203.0.113.7',
  items: [
    {
      ...affinity,
      client: '203.0.113.7',
      service: 'www',
      address: '198.51.100.10',
      timeoutMs: 1_200_000,
      timeoutLeftMs: 1_138_750,
      since: { what: 'change web@11 began', agoMs: 63_120 },
      current: 'web/web2',
      base: 'web/web1',
      change: 'web@11',
      step: 'commit',
      trackEpoch: 11,
      known: [{ node: 'mux1', role: 'owner', entry: { ...flowEntry, key: 'client' } }],
      leaving: { backend: 'web/web1', to: 'web/web2', drained: 'kept', dead: 'moved' },
      conclusions: ['web/web1 answers it.'],
    },
  ],
  unanswered: [],
});
export const AffinityRelease = named('AffinityRelease', affinityReleaseSchema, {
  dryRun: false,
  action: 'release',
  client: '203.0.113.7',
  items: [
    { service: 'www', address: '198.51.100.10', from: 'web/web1', to: 'web/web2', outcome: 'released' },
  ],
  effects: ['For service www at 198.51.100.10 it goes from web/web1 to web/web2.'],
  unanswered: [],
});
