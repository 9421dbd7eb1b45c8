// Owns what a node's YAML file may say, and the defaults: only what is local to the node. Reading the file, with the
// line and column of every error, is node_file.ts.
import { z } from 'zod';
import { isAddress } from '../lib/address.ts';
import { ETCD_URLS_MAX, etcdMistakes, etcdSchema, etcdUrls } from './etcd.ts';
import { FILE_PORT_DEFAULT, fileServiceSchema } from './file_service.ts';
import { healthCommandsSchema } from './health.ts';
import { nameSchema } from './objects.ts';
import { routesSchema } from './routes.ts';

/** Every port that Holdfast uses, in one place; all configurable. */
export const PORTS_DEFAULT = {
  /** HTTPS API, TCP, only where `api.listen` says so. */
  api: 7443,
  /** GUE towards backends (IANA). */
  gue: 6080,
  /** Nodes that join, TCP, only while a join token is open. */
  join: 7444,
  /** Questions, heartbeats and flows between muxes, UDP. */
  ask: 7445,
  /** The file service and mounting it, TCP, only with the role file. */
  file: FILE_PORT_DEFAULT,
} as const;

/** Those that have a program on an interface. */
export const PROGRAM_ROLES = ['mux', 'backend', 'filter'] as const;
export const ROLES = [...PROGRAM_ROLES, 'file'] as const;
export type Role = (typeof ROLES)[number];
/** They take part in versions, and share the secret that keys between members are sealed with. */
export const MEMBER_ROLES: readonly Role[] = ['mux', 'filter'];

export function programRoleOf(roles: readonly Role[]): (typeof PROGRAM_ROLES)[number] | undefined {
  return PROGRAM_ROLES.find((role) => roles.includes(role));
}

/** Of Linux: IFNAMSIZ less its zero. */
export const interfaceNameSchema = z
  .string()
  .regex(/^[^\s/:]{1,15}$/, 'an interface name is 1 to 15 characters without space, / and :');

const prefix = z
  .string()
  .regex(/^[0-9a-fA-F:.]+\/\d{1,3}$/, 'must be an address and a prefix length, such as 198.51.100.0/24');

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

/** As long may a mux that is removed go on, and everybody waits for it. */
export const LEASE_MS_MAX = 60_000;

const nodeConfigFields = z.strictObject({
  node: nameSchema.optional().describe("Name of this node, unique in the cluster; default: the host's name"),
  roles: z
    .array(z.enum(ROLES))
    .min(1, 'must have one role at least')
    .refine((roles) => new Set(roles).size === roles.length, { error: 'has a role twice' })
    .refine((roles) => PROGRAM_ROLES.filter((role) => roles.includes(role)).length <= 1, {
      error: 'must not be two of mux, backend and filter: an interface has room for one XDP program',
    })
    .default(['mux'])
    .describe('What this node does'),
  interface: z
    .union([interfaceNameSchema, z.array(interfaceNameSchema).min(1).max(16)])
    .optional()
    .describe('Interfaces to attach to; default: the one of the default route'),
  xdpMode: z
    .enum(['auto', 'native', 'generic'])
    .default('auto')
    .describe('native needs a driver with XDP; auto falls back to generic, which is slow'),
  tunnel: z
    .strictObject({
      source4: prefix.optional(),
      source6: prefix.optional(),
    })
    .default({})
    .describe(
      'Outer source addresses of a mux; bits beyond the prefix length vary with the flow. Default: the address of the interface',
    ),
  guePort: z
    .int()
    .min(1)
    .max(65_535)
    .default(PORTS_DEFAULT.gue)
    .describe('UDP port that a backend takes GUE on'),
  store: z
    .string()
    .regex(/^(sqlite=\/.+|etcd=.*)$/, 'must be sqlite=/absolute/path or etcd=URL[,URL...]')
    .refine((it) => !it.startsWith('etcd=') || etcdUrls(it.slice('etcd='.length)) !== undefined, {
      error: `must be etcd=URL[,URL...], up to ${ETCD_URLS_MAX}, each https://HOST[:PORT] or http://HOST[:PORT]`,
    })
    .default('sqlite=/var/lib/holdfast/store.db')
    .describe(
      'Where the cluster keeps its objects: sqlite=PATH, for the daemons of one host, or etcd=URL[,URL...]',
    ),
  etcd: etcdSchema.optional().describe('How to reach an etcd that store names'),
  stateDirectory: absolutePath.default('/var/lib/holdfast').describe('What this node remembers for itself'),
  bpfDirectory: absolutePath
    .default('/sys/fs/bpf/holdfast')
    .describe('Where maps and links are pinned; on a BPF file system'),
  slotCapacity: z
    .int()
    .min(65_537)
    .max(65_537 * 256)
    .default(65_537 * 16)
    .describe('Slots of all pools together, 8 bytes each'),
  flowTable: z
    .strictObject({
      entries: z
        .int()
        .min(4_096)
        .max(67_108_864)
        .optional()
        .describe(
          'Flows of open changes that this mux can keep for all of the cluster, 37 bytes each; of a filter: clients that it can remember, 20 bytes each. Default: 65,536 where the store is of one host; else 1,048,576, or less where both tables would take more than a 64th of the memory',
        ),
      cacheEntries: z
        .int()
        .min(4_096)
        .max(67_108_864)
        .optional()
        .describe(
          'Flows of open changes whose backend this mux can remember for itself, 16 bytes each. Default: as entries',
        ),
    })
    .prefault({})
    .describe('A change empties both tables: drain the node first'),
  cluster: z
    .strictObject({
      address: z
        .string()
        .refine(isAddress, { error: 'not an IPv4 or IPv6 address' })
        .optional()
        .describe(
          'Where other muxes, or filters, reach this one; default: the first address of the first interface',
        ),
      askPort: z
        .int()
        .min(1)
        .max(65_535)
        .default(PORTS_DEFAULT.ask)
        .describe('UDP port for what muxes tell each other; this program takes it, no socket is bound to it'),
      leaseMs: z
        .int()
        .min(1_000)
        .max(LEASE_MS_MAX)
        .default(3_000)
        .describe(
          'A daemon that is away for longer is removed from the muxes: more than it takes to restart it',
        ),
      heartbeatMs: z.int().min(20).max(1_000).default(50).describe('Between probes of each other mux'),
      heartbeatMisses: z
        .int()
        .min(2)
        .max(20)
        .default(3)
        .describe('Probes in a row without an answer after which another mux is suspected'),
      keyAgeMs: z
        .int()
        .min(10_000)
        .max(2_592_000_000)
        .default(86_400_000)
        .describe(
          'The key that headers between muxes are signed with is changed when it is older; the same on all nodes',
        ),
    })
    .prefault({})
    .describe('How this mux takes part in the cluster'),
  health: z
    .strictObject({ commands: healthCommandsSchema.optional() })
    .default({})
    .describe('What checks of backends may do on this node'),
  routes: routesSchema.describe('How routers come to know that this mux takes packets for service addresses'),
  file: fileServiceSchema.optional(),
  api: z
    .strictObject({
      socket: absolutePath.default('/run/holdfast/holdfast.sock').describe('Unix socket, for root only'),
      listen: z
        .string()
        .regex(/^(\[[0-9a-fA-F:]+\]|[0-9.]+):\d{1,5}$/, 'must be ADDRESS:PORT, IPv6 addresses in brackets')
        .optional()
        .describe(
          `HTTPS for clients with a certificate of the cluster, such as 198.51.100.1:${PORTS_DEFAULT.api}`,
        ),
      joinPort: z
        .int()
        .min(1)
        .max(65_535)
        .default(PORTS_DEFAULT.join)
        .describe('TCP port, beside listen, for nodes that join; open only while a join token counts'),
      certificate: absolutePath
        .optional()
        .describe("PEM, with intermediates: instead of the cluster's own certificates"),
      key: absolutePath.optional().describe('PEM'),
      clientAuthority: absolutePath.optional().describe('PEM: who signs client certificates'),
    })
    .refine(
      (it) =>
        (it.certificate === undefined) === (it.key === undefined) &&
        (it.certificate === undefined) === (it.clientAuthority === undefined),
      {
        error:
          "certificate, key and clientAuthority belong together; without them the cluster's own certificates are used",
        path: ['certificate'],
      },
    )
    .prefault({}),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error']).default('info') }).prefault({}),
});

export const nodeConfigSchema = nodeConfigFields.check((context) => {
  for (const { path, message } of etcdMistakes(context.value)) {
    context.issues.push({ code: 'custom', path, message, input: context.value });
  }
  const { roles, file } = context.value;
  if (file !== undefined && !roles.includes('file')) {
    const message = 'is for the role file, which this node does not have';
    context.issues.push({ code: 'custom', path: ['file'], message, input: context.value });
  }
});
export type NodeConfig = z.infer<typeof nodeConfigSchema>;

export const NODE_CONFIG_PATH = '/etc/holdfast/holdfastd.yaml';
