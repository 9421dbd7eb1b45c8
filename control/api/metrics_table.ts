// Owns which metrics there are: name, type, labels and meaning of each, where its values come from, and alerts that
// make use of them. METRICS.md is generated from this; metrics.ts answers them. Pure.
import type { ClusterState } from '../config/cluster_state.ts';
import { FAILURES } from '../lib/failure.ts';
import { FILE_METRICS, type FilesSample } from './file_metrics.ts';
import { HEALTH_SECONDS, type HealthPort } from './node_port.ts';
import type { BackendView, Routes, Stats, Status } from './schema.ts';
import { slotsByBackend, unassignedSlots } from './views.ts';

/** What one scrape reads; all metrics of it are of the same moment. */
export type Sample = {
  readonly status: Status;
  readonly stats: Stats;
  readonly state: ClusterState;
  readonly path: (index: number) => BackendView['path'];
  readonly health: HealthPort;
  readonly files: FilesSample | undefined;
};

export type Value = { readonly labels: Readonly<Record<string, string>>; readonly value: number };

export type Metric = {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  /** One sentence; also the HELP text. */
  readonly help: string;
  /** Absent where the API itself counts. */
  readonly read?: (sample: Sample) => Iterable<Value>;
  /** Of a histogram. */
  readonly distributions?: (sample: Sample) => Iterable<Distribution>;
};

export type Distribution = {
  readonly labels: Readonly<Record<string, string>>;
  /** Upper ends, rising, with how many were no larger. */
  readonly buckets: readonly (readonly [number, number])[];
  readonly sum: number;
  readonly count: number;
};

const one = (value: number | boolean): Value[] => [{ labels: {}, value: Number(value) }];

const services = (field: 'packets' | 'bytes' | 'newFlows') => (sample: Sample) =>
  sample.stats.services.map((it) => ({ labels: { service: it.name }, value: it[field] }));

const backends = (field: 'packets' | 'bytes' | 'newFlows') => (sample: Sample) =>
  sample.stats.backends.map((it) => ({ labels: { pool: it.pool, backend: it.name }, value: it[field] }));

const HEALTH_STATES = ['up', 'down', 'kept', 'unknown'];

export const REQUESTS_METRIC = 'holdfast_api_requests_total';

/** Nothing of a node whose routers have static routes. */
const routes = (read: (it: Routes) => Value[]) => (sample: Sample) =>
  sample.status.routes?.mode === 'bird' ? read(sample.status.routes) : [];

export const METRICS: readonly Metric[] = [
  {
    name: 'holdfast_info',
    type: 'gauge',
    labels: ['node', 'version', 'kernel', 'roles', 'tables'],
    help: 'Always 1; tables says how they came to be: fresh, adopted or migrated.',
    read: ({ status }) => [
      {
        labels: {
          node: status.node,
          version: status.version,
          kernel: status.kernel,
          roles: status.roles.join(','),
          tables: status.adopted,
        },
        value: 1,
      },
    ],
  },
  {
    name: 'holdfast_routes_announced',
    type: 'gauge',
    labels: ['as'],
    help: 'Service addresses that this mux announces; as: normal or lastResort.',
    read: routes(({ announced, addresses = [] }) =>
      (['normal', 'lastResort'] as const).map((as) => ({
        labels: { as },
        value: announced === as ? addresses.length : 0,
      })),
    ),
  },
  {
    name: 'holdfast_routes_in_effect',
    type: 'gauge',
    labels: [],
    help: '1 while BIRD has exactly the routes that it is to have.',
    read: routes(({ inEffect = false }) => one(inEffect)),
  },
  {
    name: 'holdfast_routes_supervised',
    type: 'gauge',
    labels: [],
    help: '1 while holdfast-supervisor is there to withdraw the routes of a daemon that is dead.',
    read: routes(({ supervised }) => (supervised === undefined ? [] : one(supervised))),
  },
  {
    name: 'holdfast_bird_up',
    type: 'gauge',
    labels: [],
    help: '1 while BIRD answers.',
    read: routes(({ bird }) => one(bird?.state === 'up')),
  },
  {
    name: 'holdfast_bgp_session_up',
    type: 'gauge',
    labels: ['session'],
    help: "1 while the BGP session of BIRD is established; session: its protocol's name in bird.conf.",
    read: routes(({ bird }) =>
      (bird?.sessions ?? []).map(({ name, state }) => ({
        labels: { session: name },
        value: Number(state === 'Established'),
      })),
    ),
  },
  {
    name: 'holdfast_bfd_session_up',
    type: 'gauge',
    labels: ['peer'],
    help: '1 while the BFD session of BIRD is up.',
    read: routes(({ bird }) =>
      (bird?.bfd ?? []).map(({ peer, state }) => ({ labels: { peer }, value: Number(state === 'Up') })),
    ),
  },
  {
    name: 'holdfast_attached',
    type: 'gauge',
    labels: ['interface', 'role', 'mode'],
    help: 'Always 1, for each interface that a program is attached to; generic mode is slow.',
    read: ({ status }) =>
      status.attachments.map((it) => ({
        labels: { interface: it.interface, role: it.role, mode: it.mode },
        value: 1,
      })),
  },
  {
    name: 'holdfast_problems',
    type: 'gauge',
    labels: ['code'],
    help: 'Problems that holdfast status shows, by code; 0 on a healthy node.',
    read: ({ status }) =>
      Object.keys(FAILURES).map((code) => ({
        labels: { code },
        value: status.problems.filter((it) => it.code === code).length,
      })),
  },
  {
    name: 'holdfast_store_connected',
    type: 'gauge',
    labels: [],
    help: '1 while the store answers; forwarding goes on without it.',
    read: ({ status }) => one(status.store.connected),
  },
  {
    name: 'holdfast_certificate_expiry_timestamp_seconds',
    type: 'gauge',
    labels: [],
    help: "When this node's certificate of the cluster ends; it is renewed a third of its life before.",
    read: ({ status }) =>
      status.trust?.expiresAtMs === undefined ? [] : one(status.trust.expiresAtMs / 1_000),
  },
  {
    name: 'holdfast_store_revision',
    type: 'gauge',
    labels: [],
    help: 'Revision of the last state that is known of the store.',
    read: ({ status }) => one(status.store.revision),
  },
  {
    name: 'holdfast_applied_revision',
    type: 'gauge',
    labels: [],
    help: 'Revision of the state that the programs have.',
    read: ({ status }) => one(status.appliedRevision),
  },
  {
    name: 'holdfast_limit_used',
    type: 'gauge',
    labels: ['limit'],
    help: 'How much of a limit of the data plane is used.',
    read: ({ status }) =>
      Object.entries(status.limits).map(([limit, { used }]) => ({ labels: { limit }, value: used })),
  },
  {
    name: 'holdfast_limit_max',
    type: 'gauge',
    labels: ['limit'],
    help: 'The limit itself.',
    read: ({ status }) =>
      Object.entries(status.limits).map(([limit, { max }]) => ({ labels: { limit }, value: max })),
  },
  {
    name: 'holdfast_capturing',
    type: 'gauge',
    labels: [],
    help: '1 while packets are captured, which makes forwarding cost more.',
    read: ({ status }) => one(status.capturing),
  },
  {
    name: 'holdfast_packets_total',
    type: 'counter',
    labels: ['verdict', 'reason'],
    help: 'Packets that the programs have judged, by the reason that they left for.',
    read: ({ stats }) =>
      Object.entries(stats.reasons).map(([reason, value]) => ({
        labels: { verdict: reason.split('_', 1)[0]!, reason },
        value,
      })),
  },
  {
    name: 'holdfast_flow_events_total',
    type: 'counter',
    labels: ['event'],
    help: 'What happened to packets of tracked slots besides their reason: known, decided, recorded, cached, refused.',
    read: ({ stats }) =>
      Object.entries(stats.flowEvents).map(([event, value]) => ({ labels: { event }, value })),
  },
  {
    name: 'holdfast_mux_heard_seconds',
    type: 'gauge',
    labels: ['mux'],
    help: 'Since another mux has last answered a heartbeat, by its id; absent until it has.',
    read: ({ stats }) =>
      stats.muxes.flatMap(({ id, heardAgoMs }) =>
        heardAgoMs === undefined ? [] : [{ labels: { mux: `${id}` }, value: heardAgoMs / 1000 }],
      ),
  },
  {
    name: 'holdfast_mux_version',
    type: 'gauge',
    labels: ['mux'],
    help: 'Version of the configuration that another mux has said it is at, by its id.',
    read: ({ stats }) => stats.muxes.map(({ id, version }) => ({ labels: { mux: `${id}` }, value: version })),
  },
  {
    name: 'holdfast_mux_past_deadline',
    type: 'gauge',
    labels: ['mux'],
    help: '1 for another mux that has said it may not decide, by its id.',
    read: ({ stats }) =>
      stats.muxes.map(({ id, isPastDeadline }) => ({
        labels: { mux: `${id}` },
        value: Number(isPastDeadline),
      })),
  },
  {
    name: 'holdfast_service_packets_total',
    type: 'counter',
    labels: ['service'],
    help: 'Packets of clients to a service.',
    read: services('packets'),
  },
  {
    name: 'holdfast_service_bytes_total',
    type: 'counter',
    labels: ['service'],
    help: 'Bytes of these packets from the IP header on, as received.',
    read: services('bytes'),
  },
  {
    name: 'holdfast_service_new_flows_total',
    type: 'counter',
    labels: ['service'],
    help: 'Those of them that begin a flow: TCP SYN, QUIC Initial.',
    read: services('newFlows'),
  },
  {
    name: 'holdfast_backend_packets_total',
    type: 'counter',
    labels: ['pool', 'backend'],
    help: 'Packets sent to a backend.',
    read: backends('packets'),
  },
  {
    name: 'holdfast_backend_bytes_total',
    type: 'counter',
    labels: ['pool', 'backend'],
    help: 'Bytes of these packets from the IP header on, as received from clients.',
    read: backends('bytes'),
  },
  {
    name: 'holdfast_backend_new_flows_total',
    type: 'counter',
    labels: ['pool', 'backend'],
    help: 'Those of them that begin a flow: TCP SYN, QUIC Initial.',
    read: backends('newFlows'),
  },
  {
    name: 'holdfast_backend_weight',
    type: 'gauge',
    labels: ['pool', 'backend'],
    help: 'Weight of a backend; 0 is drained.',
    read: ({ state }) =>
      [...state.backends.values()].map((it) => ({
        labels: { pool: it.pool, backend: it.name },
        value: it.weight,
      })),
  },
  {
    name: 'holdfast_backend_slots',
    type: 'gauge',
    labels: ['pool', 'backend'],
    help: 'Slots of its pool that a backend has.',
    read: ({ state }) =>
      [...state.backends.values()].map((it) => ({
        labels: { pool: it.pool, backend: it.name },
        value: slotsByBackend(state.tables.get(it.pool)).get(it.index) ?? 0,
      })),
  },
  {
    name: 'holdfast_backend_path_known',
    type: 'gauge',
    labels: ['pool', 'backend'],
    help: '1 while the next hop to a backend is known to the program; absent on nodes that are no mux.',
    read: ({ state, path }) =>
      [...state.backends.values()].flatMap((it) => {
        const known = path(it.index);
        const labels = { pool: it.pool, backend: it.name };
        return known === undefined ? [] : [{ labels, value: Number(known.state === 'known') }];
      }),
  },
  {
    name: 'holdfast_backend_health',
    type: 'gauge',
    labels: ['pool', 'backend', 'state'],
    help: '1 for the state that checks of all muxes come to: up, down, kept (dead, but too little would be left) or unknown.',
    read: ({ state, health }) =>
      [...state.backends.values()].flatMap((it) => {
        const known = health.backend(it).health?.state;
        const labels = { pool: it.pool, backend: it.name };
        if (known === undefined) return [];
        return HEALTH_STATES.map((name) => ({
          labels: { ...labels, state: name },
          value: Number(name === known),
        }));
      }),
  },
  {
    name: 'holdfast_health_checks_total',
    type: 'counter',
    labels: ['pool', 'backend', 'result'],
    help: 'Health checks that this node made, by result: good, bad, timeout, or unable, which says nothing of the backend.',
    read: ({ health }) => health.counts().checks.map(({ count, ...labels }) => ({ labels, value: count })),
  },
  {
    name: 'holdfast_health_check_duration_seconds',
    type: 'histogram',
    labels: ['pool'],
    help: 'How long health checks that this node made took.',
    distributions: ({ health }) =>
      health.counts().durations.map(({ pool, buckets, seconds, count }) => ({
        labels: { pool },
        buckets: buckets.map((value, at) => [HEALTH_SECONDS[at]!, value]),
        sum: seconds,
        count,
      })),
  },
  {
    name: 'holdfast_pool_slots',
    type: 'gauge',
    labels: ['pool'],
    help: 'Slots of a pool.',
    read: ({ state }) =>
      [...state.pools.values()].map((it) => ({ labels: { pool: it.name }, value: it.slots })),
  },
  {
    name: 'holdfast_pool_unassigned_slots',
    type: 'gauge',
    labels: ['pool'],
    help: 'Slots that no backend has: packets that fall into them are dropped.',
    read: ({ state }) =>
      [...state.pools.values()].map((it) => ({
        labels: { pool: it.name },
        value: unassignedSlots(state, it),
      })),
  },
  {
    name: 'holdfast_pool_services',
    type: 'gauge',
    labels: ['pool'],
    help: 'Services that use a pool.',
    read: ({ state }) => {
      const users = Map.groupBy(state.services.values(), (it) => it.pool);
      return [...state.pools.keys()].map((pool) => ({
        labels: { pool },
        value: users.get(pool)?.length ?? 0,
      }));
    },
  },
  {
    name: REQUESTS_METRIC,
    type: 'counter',
    labels: ['operation', 'status'],
    help: 'Requests that the API has answered, by operationId and HTTP status; operation none: there is no such route.',
  },
  ...FILE_METRICS,
];

export type Alert = {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly severity: 'page' | 'ticket';
  /** What it means and where to look. */
  readonly summary: string;
};

export const ALERTS: readonly Alert[] = [
  {
    alert: 'HoldfastNotAttached',
    expr: 'holdfast_info unless on (instance) holdfast_attached',
    for: '1m',
    severity: 'page',
    summary: 'No program is attached on {{ $labels.node }}: it handles no packets. See holdfast status.',
  },
  {
    alert: 'HoldfastPoolHasNoBackend',
    expr:
      '(holdfast_pool_unassigned_slots > 0 and on (instance, pool) holdfast_pool_services > 0) or ' +
      'max by (instance, pool) (holdfast_backend_health{state="kept"} == 1)',
    for: '1m',
    severity: 'page',
    summary:
      'Pool {{ $labels.pool }} has slots without a backend that lives: nobody has them, or checks find dead who does.',
  },
  {
    alert: 'HoldfastBackendUnreachable',
    expr:
      '(holdfast_backend_path_known == 0 and on (instance, pool, backend) holdfast_backend_slots > 0) or ' +
      'max by (instance, pool, backend) (holdfast_backend_health{state="down"} == 1)',
    for: '1m',
    severity: 'page',
    summary:
      '{{ $labels.pool }}/{{ $labels.backend }} has slots and no next hop, or its checks find it dead. See holdfast backends show.',
  },
  {
    alert: 'HoldfastDropping',
    expr:
      'sum by (instance, reason) (rate(holdfast_packets_total{verdict="DROP"}[5m])) > on (instance) group_left ' +
      '0.001 * sum by (instance) (rate(holdfast_packets_total{verdict=~"FORWARD|DECAP|DROP"}[5m]))',
    for: '5m',
    severity: 'ticket',
    summary: 'More than one packet in a thousand is dropped for {{ $labels.reason }}. See holdfast capture.',
  },
  {
    alert: 'HoldfastFlowsUnrecorded',
    expr: 'sum by (instance) (rate(holdfast_flow_events_total{event=~"FLOW_(TABLE|RECORD|COPY)_FULL"}[5m])) > 0',
    for: '5m',
    severity: 'ticket',
    summary:
      'Flows of open changes find no place: the changes wait for them. See flowTable in the node file.',
  },
  {
    alert: 'HoldfastMuxSilent',
    expr: 'holdfast_mux_heard_seconds > 5 or holdfast_mux_past_deadline == 1',
    for: '1m',
    severity: 'page',
    summary: 'Mux {{ $labels.mux }} is not heard, or may not decide. See holdfast status on both.',
  },
  {
    alert: 'HoldfastBehindStore',
    expr: 'holdfast_store_revision > holdfast_applied_revision',
    for: '2m',
    severity: 'page',
    summary: 'Changes do not reach the program: muxes may disagree. See the problems in holdfast status.',
  },
  {
    alert: 'HoldfastStoreUnreachable',
    expr: 'holdfast_store_connected == 0',
    for: '2m',
    severity: 'ticket',
    summary: 'The store does not answer: forwarding goes on, changes do not happen.',
  },
  {
    alert: 'HoldfastFilesSlow',
    expr: 'histogram_quantile(0.99, sum by (instance, le) (rate(holdfast_file_duration_seconds_bucket[5m]))) > 1',
    for: '5m',
    severity: 'ticket',
    summary: 'One file request in a hundred takes more than a second. See holdfast files stats.',
  },
  {
    alert: 'HoldfastProblem',
    expr: 'sum by (instance, code) (holdfast_problems) > 0',
    for: '10m',
    severity: 'ticket',
    summary: 'The node has a problem of code {{ $labels.code }}. See holdfast status.',
  },
  {
    alert: 'HoldfastLimitNear',
    expr: 'holdfast_limit_used / holdfast_limit_max > 0.9',
    for: '10m',
    severity: 'ticket',
    summary: 'Limit {{ $labels.limit }} is nearly reached: further changes will be refused.',
  },
];
