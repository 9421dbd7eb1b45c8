// Owns answers of a daemon as the schemas of the API want them; each is checked when this file is loaded.
import type { z } from 'zod';
import * as schema from '../../../../control/api/schema.ts';
import { documentSchema } from '../../../../control/config/objects.ts';

const checked = <S extends z.ZodType>(of: S, value: z.input<S>): z.output<S> => of.parse(value);

export const STATUS = checked(schema.statusSchema, {
  node: 'mux1',
  version: '0.1.0',
  roles: ['mux'],
  pid: 812,
  startedAt: '2026-11-20T00:00:00Z',
  adopted: 'adopted',
  kernel: '6.18.0',
  attachments: [
    {
      interface: 'eth0',
      ifindex: 2,
      role: 'mux',
      mode: 'native',
      programId: 31,
      programTag: '0a1b2c3d4e5f6071',
      pinned: true,
    },
    { interface: 'eth1', ifindex: 3, role: 'mux', mode: 'generic', programId: 32, pinned: false },
  ],
  store: { kind: 'sqlite', where: '/var/lib/holdfast/store.db', connected: true, revision: 42 },
  appliedRevision: 42,
  services: 2,
  pools: 1,
  backends: 3,
  limits: {
    services: { used: 12, max: 4096 },
    backends: { used: 3, max: 4095 },
    slots: { used: 1_000_000, max: 1_048_592 },
  },
  capturing: false,
  problems: [],
});

export const STATS = checked(schema.statsSchema, {
  atMs: Date.UTC(2026, 10, 23, 0, 45, 30),
  packets: { PASS: 1_200, DECAP: 0, FORWARD: 1_234_567, REPLY: 3, DROP: 45 },
  reasons: { PASS_NOT_A_SERVICE: 1_200, FORWARD: 1_234_567, REPLY_ECHO: 3, DROP_NO_BACKEND: 45, DECAP: 0 },
  services: [
    { name: 'dns', packets: 4_567, bytes: 400_000, newFlows: 0 },
    { name: 'web', packets: 1_230_000, bytes: 987_654_321, newFlows: 65_537 },
  ],
  backends: [
    { pool: 'web', name: 'b1', packets: 615_000, bytes: 493_827_160, newFlows: 32_768 },
    { pool: 'web', name: 'b2', packets: 615_000, bytes: 493_827_161, newFlows: 32_769 },
  ],
  flowEvents: {},
  muxes: [],
});

export const WEB = checked(schema.serviceViewSchema, {
  name: 'web',
  addresses: ['198.18.0.10', '2001:db8::10'],
  protocol: 'tcp',
  port: 80,
  pool: 'web',
  affinity: { prefixLength4: 24, prefixLength6: 64 },
  revision: 40,
  backends: 2,
  traffic: { packets: 1_230_000, bytes: 987_654_321, newFlows: 65_537 },
});

export const ALL_PORTS = checked(schema.serviceViewSchema, {
  name: 'all',
  addresses: ['198.18.0.11'],
  pool: 'empty',
  revision: 41,
  backends: 0,
  traffic: { packets: 0, bytes: 0, newFlows: 0 },
});

export const POOL = checked(schema.poolViewSchema, {
  name: 'web',
  slots: 65_537,
  revision: 42,
  id: 1,
  services: ['web'],
  backends: [
    { name: 'b1', weight: 100, slots: 32_769, share: 32_769 / 65_537 },
    { name: 'b2', weight: 100, slots: 32_768, share: 32_768 / 65_537 },
    { name: 'b3', weight: 0, slots: 0, share: 0 },
  ],
  unassignedSlots: 0,
});

export const EMPTY_POOL = checked(schema.poolViewSchema, {
  name: 'empty',
  slots: 251,
  revision: 39,
  id: 2,
  services: [],
  backends: [],
  unassignedSlots: 251,
});

export const B1 = checked(schema.backendViewSchema, {
  pool: 'web',
  name: 'b1',
  address: '10.0.0.1',
  weight: 100,
  encap: 'gue',
  guePort: 6081,
  mtuBytes: 1500,
  serverId: 7,
  revision: 42,
  index: 1,
  slots: 32_769,
  share: 32_769 / 65_537,
  traffic: { packets: 615_000, bytes: 493_827_160, newFlows: 32_768 },
  path: { state: 'known', interface: 'eth0', mac: '02:00:00:00:00:01', mtuBytes: 1500, innerMtuBytes: 1464 },
});

export const B3 = checked(schema.backendViewSchema, {
  pool: 'web',
  name: 'b3',
  address: '2001:db8:2::3',
  weight: 0,
  encap: 'ip',
  revision: 42,
  index: 3,
  slots: 0,
  share: 0,
  traffic: { packets: 0, bytes: 0, newFlows: 0 },
  path: { state: 'unreachable' },
});

export const DOCUMENT = checked(documentSchema, {
  services: [
    { name: 'web', addresses: ['198.18.0.10', '2001:db8::10'], protocol: 'tcp', port: 80, pool: 'web' },
  ],
  pools: [{ name: 'web', slots: 65_537 }],
  backends: [{ pool: 'web', name: 'b1', address: '10.0.0.1', weight: 100, encap: 'gue' }],
});

export const EXPLANATION = checked(schema.explanationSchema, {
  verdict: 'FORWARD',
  reason: 'FORWARD',
  meaning: 'by the slot of the flow',
  service: 'web',
  rule: '198.18.0.10 tcp 80',
  flowKey: '192.0.2.7:4242 198.18.0.10:80 tcp',
  hash: '0x1234abcd',
  pool: 'web',
  slot: 4711,
  slotState: 'clean',
  backend: 'web/b1',
  backendAddress: '10.0.0.1',
  encap: 'gue',
  nextHop: '02:00:00:00:00:01 through eth0',
  steps: [
    'A TCP packet from 192.0.2.7:4242 to 198.18.0.10:80.',
    'The address and port are those of service web.',
    'Slot 4711 of pool web belongs to backend web/b1.',
  ],
});

/** Drains web/b1. */
export const DRAINED = checked(schema.changeSchema, {
  dryRun: false,
  revision: 43,
  changes: [
    {
      action: 'change',
      kind: 'backend',
      name: 'web/b1',
      before: { pool: 'web', name: 'b1', address: '10.0.0.1', weight: 100, encap: 'gue' },
      after: { pool: 'web', name: 'b1', address: '10.0.0.1', weight: 0, encap: 'gue' },
    },
  ],
  moved: [{ pool: 'web', slots: 32_769, of: 65_537 }],
});

/** One of each kind. */
export const CHANGED = checked(schema.changeSchema, {
  dryRun: false,
  revision: 44,
  changes: [
    {
      action: 'add',
      kind: 'service',
      name: 'web',
      after: {
        name: 'web',
        addresses: ['198.18.0.10', '2001:db8::10'],
        protocol: 'tcp',
        port: 80,
        pool: 'web',
        affinity: { prefixLength4: 24, prefixLength6: 64 },
      },
    },
    {
      action: 'change',
      kind: 'backend',
      name: 'web/b2',
      before: { pool: 'web', name: 'b2', address: '10.0.0.2', weight: 100, mtuBytes: 1400 },
      after: { pool: 'web', name: 'b2', address: '10.0.0.9', weight: 100, serverId: 7 },
    },
    { action: 'remove', kind: 'backend', name: 'web/b1', before: { pool: 'web', name: 'b1' } },
    { action: 'remove', kind: 'pool', name: 'old', before: { name: 'old' } },
  ],
  moved: [
    { pool: 'web', slots: 10_923, of: 65_537 },
    { pool: 'other', slots: 0, of: 251 },
  ],
});

export const ADDED = checked(schema.changeSchema, {
  dryRun: false,
  revision: 45,
  changes: [{ action: 'add', kind: 'pool', name: 'new', after: { name: 'new', slots: 65_537 } }],
  moved: [],
});

export const FINDINGS = checked(schema.itemsSchema(schema.findingSchema), {
  items: [
    { check: 'kernel', severity: 'ok', message: 'Linux 6.18 has all that is needed.' },
    {
      check: 'xdp-native',
      interface: 'eth1',
      severity: 'warning',
      message: 'The driver has no XDP.',
      cure: 'Use another card.',
    },
    { check: 'forwarding', severity: 'note', message: 'Forwarding is off.' },
  ],
});

export const EVENTS = [
  {
    atMs: Date.UTC(2026, 10, 23, 0, 45, 30),
    kind: 'changed',
    message: 'Backend web/b1 was changed.',
    revision: 43,
  },
  { atMs: Date.UTC(2026, 10, 23, 0, 45, 31), kind: 'problem', message: 'The store does not answer.' },
].map((event) => checked(schema.eventSchema, event as z.input<typeof schema.eventSchema>));
