// Owns what the API says: the shape of every answer. The server makes them, clients (the CLI among them) read them,
// and OpenAPI is generated from them. Objects that users write are control/config/objects.ts.
//
// POST and PATCH take a body of `application/json`, `{}` where there is nothing to say.
import { z } from 'zod';
import { interfaceNameSchema } from '../config/node.ts';
import { backendSchema, poolSchema, serviceSchema } from '../config/objects.ts';
import { poolPlanSchema } from './schema/changes.ts';
import { count, failureSchema, milliseconds } from './schema/common.ts';
import { fileStatusSchema } from './schema/files.ts';
import { routesSchema } from './schema/routes.ts';

export * from './schema/affinity.ts';
export * from './schema/changes.ts';
export { failureSchema } from './schema/common.ts';
export * from './schema/files.ts';
export * from './schema/flows.ts';
export * from './schema/namespace.ts';
export * from './schema/nodes.ts';
export * from './schema/routes.ts';
export * from './schema/trust.ts';

const trafficSchema = z.object({
  packets: count,
  bytes: count.describe('Of IP, as received'),
  newFlows: count.describe('TCP SYN, QUIC Initial'),
});
export type Traffic = z.infer<typeof trafficSchema>;

/** What GET of a collection answers; attach, detach and doctor too. */
export const itemsSchema = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item) });

/** The node's view of an object: the object, and what became of it here. Clients skip fields that they do not know. */
export const serviceViewSchema = z.object({
  ...serviceSchema.shape,
  revision: count,
  backends: count.describe('With a weight'),
  /** Absent where this node is no mux. */
  traffic: trafficSchema.optional(),
});
export type ServiceView = z.infer<typeof serviceViewSchema>;

export const poolViewSchema = z.object({
  ...poolSchema.shape,
  revision: count,
  id: count,
  services: z.array(z.string()),
  backends: z.array(
    z.object({
      name: z.string(),
      weight: count,
      slots: count,
      share: z.number().describe('Of the slots, 0-1'),
      health: z.enum(['up', 'down', 'kept', 'unknown']).optional().describe('Absent: not checked'),
    }),
  ),
  unassignedSlots: count,
});
export type PoolView = z.infer<typeof poolViewSchema>;

export const healthViewSchema = z.object({
  state: z
    .enum(['up', 'down', 'kept', 'unknown'])
    .describe(
      'kept: found dead, but the pool would have too little left (panic); unknown: no mux has a result',
    ),
  since: z.string().optional().describe('RFC 3339'),
  reason: z.string().optional(),
  muxes: z
    .array(
      z.object({
        name: z.string(),
        state: z.enum(['up', 'down', 'pending']).describe('pending: not enough results in a row yet'),
        since: z.string().optional().describe('RFC 3339, of the clock of the mux'),
        reason: z.string().optional(),
      }),
    )
    .describe('What each mux that checks it found'),
});
export type HealthView = z.infer<typeof healthViewSchema>;

export const backendViewSchema = z.object({
  ...backendSchema.shape,
  revision: count,
  index: count,
  slots: count,
  share: z.number(),
  traffic: trafficSchema.optional(),
  health: healthViewSchema.optional().describe('Absent where its pool has no health checks'),
  slowStart: z
    .object({ step: count, of: count })
    .optional()
    .describe('Its weight counts with so much of it; absent: with all'),
  flowsLeft: count
    .optional()
    .describe('Flows it still has, as far as muxes keep track of them; while it is drained'),
  givesUpAt: z
    .string()
    .optional()
    .describe('It is drained, and the flows it has are given up then; RFC 3339'),
  path: z
    .object({
      state: z.enum(['known', 'resolving', 'unreachable']).describe('known: next hop written to the program'),
      interface: z.string().optional(),
      mac: z.string().optional(),
      mtuBytes: count.optional(),
      innerMtuBytes: count.optional().describe('Largest packet of a client that fits'),
    })
    .optional(),
});
export type BackendView = z.infer<typeof backendViewSchema>;

export const attachmentSchema = z.object({
  interface: z.string(),
  ifindex: count,
  role: z.enum(['mux', 'backend', 'filter']),
  mode: z.enum(['native', 'generic', 'offloaded']),
  programId: count,
  programTag: z.string().optional(),
  pinned: z.boolean(),
});
export type Attachment = z.infer<typeof attachmentSchema>;

export const statusSchema = z.object({
  node: z.string(),
  version: z.string(),
  roles: z.array(z.string()),
  pid: count,
  startedAt: z.string().describe('RFC 3339'),
  adopted: z
    .enum(['fresh', 'adopted', 'migrated'])
    .describe('How the tables came to be: new, taken over from pins, or copied to a new layout'),
  kernel: z.string(),
  attachments: z.array(attachmentSchema),
  store: z.object({
    kind: z.string(),
    where: z.string(),
    connected: z.boolean(),
    revision: count.describe('Of the last state known'),
  }),
  appliedRevision: count.describe('Of the state that the program has'),
  services: count,
  pools: count,
  backends: count,
  limits: z.record(z.string(), z.object({ used: count, max: count })),
  capturing: z.boolean(),
  trust: z
    .object({
      standing: z.enum(['alone', 'member', 'removed']).describe('As GET /v1/cluster/members says it'),
      expiresAtMs: z
        .number()
        .optional()
        .describe('When the certificate of this node ends, in milliseconds since the epoch'),
    })
    .optional(),
  cluster: z
    .object({
      id: count,
      incarnation: count,
      state: z.enum(['member', 'joining', 'draining', 'alone']).describe('alone: no version lists it'),
      version: count.describe('Of the configuration, in effect here'),
      head: count.describe('The newest version'),
      leader: z.string().optional(),
      members: count,
      heard: count.describe('Other members that answer this one'),
      leaseLeftMs: milliseconds.optional().describe('Until it may not decide any more; absent: no limit'),
      pastDeadline: z.boolean().describe('It decides nothing and relays to a peer'),
      changes: z.array(z.object({ id: z.string(), step: z.string(), waitsFor: z.string() })),
    })
    .optional()
    .describe('Absent where this node is no mux'),
  routes: routesSchema.optional().describe('Absent where this node is no mux'),
  file: fileStatusSchema.optional().describe('Absent where this node does not serve files'),
  problems: z.array(failureSchema).describe('What needs somebody; empty on a healthy node'),
});
export type Status = z.infer<typeof statusSchema>;

export const statsSchema = z.object({
  atMs: z.number().describe('Milliseconds since the epoch'),
  packets: z
    .record(z.string(), count)
    .describe('By verdict: PASS, ACCEPT, DECAP, FORWARD, ASK, RELAY, QUERY, REPLY, DROP, NOTED'),
  reasons: z.record(z.string(), count).describe('By reason; mux and backend program summed'),
  services: z.array(trafficSchema.extend({ name: z.string() })),
  backends: z.array(trafficSchema.extend({ pool: z.string(), name: z.string() })),
  flowEvents: z
    .record(z.string(), count)
    .describe('Of packets of tracked slots, by event: what was known, decided, recorded, cached'),
  muxes: z
    .array(
      z.object({
        id: count,
        heardAgoMs: z
          .number()
          .optional()
          .describe('Since its last answer to a heartbeat; absent: none came yet'),
        version: count.describe('Of the configuration, as it said'),
        isPastDeadline: z.boolean().describe('It said that it may not decide'),
      }),
    )
    .describe('Other muxes of the cluster'),
});
export type Stats = z.infer<typeof statsSchema>;

export const changeSchema = z.object({
  dryRun: z.boolean(),
  revision: count.describe('Of the store after the change; before it on a dry run'),
  changes: z.array(
    z.object({
      action: z.enum(['add', 'change', 'remove']),
      kind: z.enum(['service', 'pool', 'backend']),
      name: z.string(),
      before: z.unknown().optional(),
      after: z.unknown().optional(),
    }),
  ),
  moved: z.array(z.object({ pool: z.string(), slots: count, of: count })),
  plan: z
    .array(poolPlanSchema)
    .optional()
    .describe('How slots would move without any flow losing its server; on a dry run'),
});
export type Change = z.infer<typeof changeSchema>;

/** A packet to explain: a flow in words, or a frame from its Ethernet header on. */
export const explainRequestSchema = z.union([
  z.strictObject({
    flow: z.strictObject({
      protocol: z.enum(['tcp', 'udp', 'icmp']).default('tcp'),
      source: z.string(),
      sourcePort: z.int().min(0).max(65_535).optional(),
      destination: z.string(),
      destinationPort: z.int().min(0).max(65_535).optional(),
      syn: z.boolean().default(false),
      lengthBytes: z.int().min(28).max(3_000).optional().describe('Of the IP packet'),
    }),
    interface: interfaceNameSchema.optional(),
  }),
  z.strictObject({
    frame: z
      .string()
      .regex(/^([0-9a-fA-F]{2})+$/)
      .max(6_000)
      .describe('Hexadecimal'),
    interface: interfaceNameSchema.optional(),
  }),
]);
export type ExplainRequest = z.infer<typeof explainRequestSchema>;

export const explanationSchema = z.object({
  verdict: z.enum(['PASS', 'ACCEPT', 'DECAP', 'FORWARD', 'ASK', 'RELAY', 'QUERY', 'REPLY', 'DROP', 'NOTED']),
  reason: z.string(),
  meaning: z.string().describe('The reason in a sentence'),
  service: z.string().optional().describe('Name'),
  rule: z.string().optional().describe('Which record decided: address, port and protocol, or every port, …'),
  flowKey: z.string().optional().describe('What of the packet was hashed'),
  hash: z.string().optional(),
  pool: z.string().optional(),
  slot: count.optional(),
  slotState: z.enum(['clean', 'tracked']).optional(),
  tracking: z
    .object({
      change: z.string().optional().describe('The open change that the slot is tracked for'),
      trackEpoch: count,
      chainEpoch: count,
      owner: z.string().optional(),
      backup: z.string().optional(),
      current: z.string().optional(),
      base: z.string().optional(),
    })
    .optional()
    .describe('Of a tracked slot'),
  backend: z.string().optional().describe('pool/name'),
  backendAddress: z.string().optional(),
  encap: z.string().optional(),
  nextHop: z.string().optional(),
  frame: z.string().optional().describe('As it would leave, hexadecimal'),
  steps: z.array(z.string()).describe('The same as sentences, in the order of the way through the program'),
});
export type Explanation = z.infer<typeof explanationSchema>;

export const captureRequestSchema = z.strictObject({
  reasons: z.array(z.string()).default([]).describe('Reasons or verdicts; none: all'),
  client: z.string().optional(),
  address: z.string().optional(),
  clientPort: z.int().min(1).max(65_535).optional(),
  port: z.int().min(1).max(65_535).optional(),
  protocol: z.enum(['tcp', 'udp', 'icmp', 'icmp6']).optional(),
  seconds: z.number().positive().max(3_600).default(60),
  packets: z.int().positive().max(10_000_000).default(10_000),
});
export type CaptureRequest = z.infer<typeof captureRequestSchema>;

/** A captured packet: a line of the stream that `Accept: application/x-ndjson` asks for. */
export const capturedPacketSchema = z.object({
  atMs: z.number().describe('Milliseconds since the epoch, with a fraction'),
  reason: z.string(),
  ifindex: count,
  interface: z.string().optional(),
  lengthBytes: count.describe('Of the whole frame; `frame` may be less'),
  frame: z.string().describe('As it left the program, hexadecimal'),
  lost: count.optional().describe('Copies that found no room since the packet before'),
});
export type CapturedPacketLine = z.infer<typeof capturedPacketSchema>;

/** Media types of what a capture answers; pcapng unless the client accepts only the other. */
export const CAPTURE_TYPES = { pcapng: 'application/x-pcapng', ndjson: 'application/x-ndjson' } as const;

export const attachRequestSchema = z.strictObject({
  interface: interfaceNameSchema.optional().describe('Absent: all that the node is configured for'),
  mode: z.enum(['auto', 'native', 'generic']).optional().describe('Absent: as the node is configured'),
});
export type AttachRequest = z.infer<typeof attachRequestSchema>;

export const detachRequestSchema = z.strictObject({
  interface: interfaceNameSchema.optional().describe('Absent: all'),
});
export type DetachRequest = z.infer<typeof detachRequestSchema>;

export const findingSchema = z.object({
  check: z.string().describe('Stable name, such as xdp-native'),
  interface: z.string().optional(),
  severity: z.enum(['ok', 'note', 'warning', 'error']),
  message: z.string(),
  cure: z.string().optional(),
});
export type Finding = z.infer<typeof findingSchema>;

export const eventSchema = z.object({
  atMs: z.number(),
  kind: z
    .enum([
      'changed',
      'applied',
      'version',
      'namespace',
      'step',
      'member',
      'attached',
      'detached',
      'path',
      'routes',
      'problem',
      'solved',
      'health',
      'affinity',
      'files',
      'capture',
      'missed',
    ])
    .describe(
      'namespace: of the file service, has changed; version: of the configuration, published or in effect here; step: of a change of slots; member: a mux came, went ' +
        'or is suspected, or whom the cluster trusts has changed; health: a backend is down or back; affinity: a client was let go; files: the server of files began or ended; missed: events before this one are lost to the reader, so what it knows may be out of date',
    ),
  message: z.string(),
  revision: count.optional(),
  detail: z.unknown().optional(),
});
export type NodeEvent = z.infer<typeof eventSchema>;
