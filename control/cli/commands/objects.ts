// Owns the commands about single services, pools and backends: what they are called and what they take.
import { type Command, command, type Options } from '../command.ts';
import {
  FILTER_POOL_OPTIONS,
  FILTER_SERVICE_OPTIONS,
  FILTER_SERVICE_UNSET,
  HOSTS_OPTION,
  PRIORITY_OPTION,
} from './filter.ts';
import { HEALTH_OPTIONS, HEALTH_UNSET } from './health.ts';
import { REMOVE_OPTIONS, WRITE_OPTIONS } from './writing.ts';

const SERVICE = { required: true, describe: 'Name of a service', source: 'services' } as const;
const POOL = { required: true, describe: 'Name of a pool', source: 'pools' } as const;
const BACKEND = { required: true, describe: 'POOL/NAME', source: 'backends' } as const;

const SERVICE_OPTIONS = {
  address: { type: 'text', many: true, describe: 'An address that clients talk to, IPv4 or IPv6' },
  protocol: {
    type: 'text',
    choices: ['tcp', 'udp'],
    describe: 'With --port; without both: every TCP and UDP port',
  },
  port: { type: 'number', describe: 'With --protocol' },
  pool: { type: 'text', describe: 'The pool that serves it', source: 'pools' },
  affinity: { type: 'flag', describe: 'A client keeps one backend for all its connections' },
  affinityPrefix4: {
    type: 'number',
    describe: 'Affinity of IPv4 clients that share so many bits; 32 is each its own',
  },
  affinityPrefix6: {
    type: 'number',
    describe: 'Affinity of IPv6 clients that share so many bits; 128 is each its own',
  },
  idleTimeout: {
    type: 'text',
    describe:
      'A flow, with affinity a client, that is silent for longer has ended: 90s, 20m, 4h; 10m unless given, of protocol udp 1m, with affinity 20m; pool of delivery filter, 0s: with its last connection',
  },
  ignoreSourcePort: {
    type: 'flag',
    describe: 'The source port does not count: flows of the same addresses stay together',
  },
  quicConfigRotation: {
    type: 'number',
    describe: 'QUIC: the config rotation bits (0 to 6) of connection IDs that carry a server ID',
  },
  quicServerIdBytes: { type: 'number', describe: 'QUIC: length of the server ID (1 to 4)' },
  ...FILTER_SERVICE_OPTIONS,
} as const satisfies Options;

const BACKEND_OPTIONS = {
  address: { type: 'text', describe: 'Where the tunnel ends, IPv4 or IPv6' },
  weight: { type: 'number', describe: 'Its share of new flows, relative to the others; 0 drains' },
  encap: { type: 'text', choices: ['ip', 'gue'], describe: 'The tunnel: IP in IP, or GUE over UDP' },
  guePort: { type: 'number', describe: 'UDP port of GUE; 6080 unless given' },
  mtu: { type: 'number', describe: 'Largest outer packet, bytes; what the path allows unless given' },
  serverId: { type: 'number', describe: 'Server ID in QUIC connection IDs' },
  priority: PRIORITY_OPTION,
} as const satisfies Options;

const actions = {
  services: () => import('../actions/services.ts'),
  pools: () => import('../actions/pools.ts'),
  backends: () => import('../actions/backends.ts'),
};

const SERVICE_COMMANDS: readonly Command[] = [
  command({
    path: 'services list',
    summary: 'All services',
    run: async (session) => (await actions.services()).list(session),
  }),
  command({
    path: 'services show',
    summary: 'One service with all that is known of it',
    arguments: { name: SERVICE },
    run: async (session, given) => (await actions.services()).show(session, given),
  }),
  command({
    path: 'services add',
    summary: 'Add a service',
    arguments: { name: { required: true, describe: 'Its name: a-z, 0-9 and -' } },
    options: {
      ...SERVICE_OPTIONS,
      address: { ...SERVICE_OPTIONS.address, required: true },
      pool: { ...SERVICE_OPTIONS.pool, required: true },
      ...WRITE_OPTIONS,
    },
    examples: [
      [
        'services add web --address 198.18.0.10 --address 2001:db8::10 --protocol tcp --port 80 --pool web',
        '',
      ],
      ['services add all --address 198.18.0.11 --pool web', 'every TCP and UDP port'],
    ],
    run: async (session, given) => (await actions.services()).add(session, given),
  }),
  command({
    path: 'services set',
    summary: 'Change a service',
    details: 'What is not named stays. Addresses that are named replace all that were there.',
    arguments: { name: SERVICE },
    options: {
      ...SERVICE_OPTIONS,
      unset: {
        type: 'text',
        many: true,
        choices: ['port', 'affinity', 'idle-timeout', 'ignore-source-port', 'quic', ...FILTER_SERVICE_UNSET],
        describe: 'Take away; port: every TCP and UDP port',
      },
      ...WRITE_OPTIONS,
    },
    examples: [['services set web --pool web-next', 'new flows to other backends']],
    run: async (session, given) => (await actions.services()).set(session, given),
  }),
  command({
    path: 'services rm',
    summary: 'Remove a service',
    arguments: { name: SERVICE },
    options: REMOVE_OPTIONS,
    run: async (session, given) => (await actions.services()).remove(session, given),
  }),
];

const POOL_COMMANDS: readonly Command[] = [
  command({
    path: 'pools list',
    summary: 'All pools',
    run: async (session) => (await actions.pools()).list(session),
  }),
  command({
    path: 'pools show',
    summary: 'One pool with the shares of its backends',
    arguments: { name: POOL },
    run: async (session, given) => (await actions.pools()).show(session, given),
  }),
  command({
    path: 'pools add',
    summary: 'Add a pool',
    details: 'Its slots cannot be changed later; how its backends are checked can: pools set.',
    arguments: { name: { required: true, describe: 'Its name: a-z, 0-9 and -' } },
    options: {
      slots: { type: 'number', describe: 'Parts that flows are spread over', standard: '65537' },
      ...FILTER_POOL_OPTIONS,
      ...WRITE_OPTIONS,
    },
    examples: [['pools add web --delivery filter', 'its backends are filter nodes, by their addresses']],
    run: async (session, given) => (await actions.pools()).add(session, given),
  }),
  command({
    path: 'pools set',
    summary: 'Change how the backends of a pool are checked, and how they begin',
    details:
      'What is not named stays. A backend that its checks find dead takes no flows; those it has are given up.',
    arguments: { name: POOL },
    options: {
      ...HEALTH_OPTIONS,
      hosts: HOSTS_OPTION,
      unset: { type: 'text', many: true, choices: HEALTH_UNSET, describe: 'Take away' },
      ...WRITE_OPTIONS,
    },
    examples: [
      ['pools set web --health http --path /healthy --check-interval 1s --check-timeout 500ms', ''],
      ['pools set web --health none', 'no checks any more'],
    ],
    run: async (session, given) => (await actions.pools()).set(session, given),
  }),
  command({
    path: 'pools rm',
    summary: 'Remove a pool',
    arguments: { name: POOL },
    options: REMOVE_OPTIONS,
    run: async (session, given) => (await actions.pools()).remove(session, given),
  }),
];

const BACKEND_COMMANDS: readonly Command[] = [
  command({
    path: 'backends list',
    summary: 'All backends, or those of a pool',
    options: { pool: { type: 'text', describe: 'Only of this pool', source: 'pools' } },
    run: async (session, given) => (await actions.backends()).list(session, given),
  }),
  command({
    path: 'backends show',
    summary: 'One backend with all that is known of it',
    arguments: { backend: BACKEND },
    run: async (session, given) => (await actions.backends()).show(session, given),
  }),
  command({
    path: 'backends add',
    summary: 'Add a backend to a pool',
    arguments: { backend: { required: true, describe: 'POOL/NAME; the pool exists, the name is new' } },
    options: {
      ...BACKEND_OPTIONS,
      address: { ...BACKEND_OPTIONS.address, required: true },
      weight: { ...BACKEND_OPTIONS.weight, standard: '100' },
      encap: { ...BACKEND_OPTIONS.encap, standard: 'ip' },
      ...WRITE_OPTIONS,
    },
    examples: [['backends add web/b1 --address 10.0.0.1 --weight 100 --encap gue', '']],
    run: async (session, given) => (await actions.backends()).add(session, given),
  }),
  command({
    path: 'backends set',
    summary: 'Change a backend',
    details: 'What is not named stays.',
    arguments: { backend: BACKEND },
    options: {
      ...BACKEND_OPTIONS,
      unset: {
        type: 'text',
        many: true,
        choices: ['gue-port', 'mtu', 'server-id', 'priority'],
        describe: 'Take away',
      },
      ...WRITE_OPTIONS,
    },
    examples: [
      ['backends set web/b1 --weight 50', 'half of what the others get'],
      ['backends set web/b1 --unset mtu', 'what the path allows, again'],
    ],
    run: async (session, given) => (await actions.backends()).set(session, given),
  }),
  command({
    path: 'backends drain',
    summary: 'Give a backend no more flows: weight 0',
    details:
      'The backend stays, its slots go to the others of its pool. It says which command brings the weight back; ' +
      'backends list says how many flows it has left.',
    arguments: { backend: BACKEND },
    options: {
      deadline: { type: 'text', describe: 'Flows that it still has so much later are given up: 10m' },
      ...WRITE_OPTIONS,
    },
    examples: [['backends drain web/b1 --deadline 10m', 'what is left then breaks']],
    run: async (session, given) => (await actions.backends()).drain(session, given),
  }),
  command({
    path: 'backends rm',
    summary: 'Remove a backend',
    arguments: { backend: BACKEND },
    options: REMOVE_OPTIONS,
    run: async (session, given) => (await actions.backends()).remove(session, given),
  }),
];

export const OBJECT_COMMANDS: readonly Command[] = [
  ...SERVICE_COMMANDS,
  ...POOL_COMMANDS,
  ...BACKEND_COMMANDS,
];
