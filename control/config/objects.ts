// Owns the cluster's objects as users write them: services, pools, backends; their fields, defaults and limits. They
// live in the store and travel through the API, `apply` and `export`. Not here: node-local configuration (node.ts).
import { z } from 'zod';
import { isAddress } from '../lib/address.ts';
import { deliverySchema, disabledSchema, hostsSchema, multicastSchema, prioritySchema } from './filter.ts';
import { healthSchema, slowStartMsSchema } from './health.ts';

/** Slots of a pool: a prime (shared/design: M). */
export const POOL_SLOTS_DEFAULT = 65_537;
export const WEIGHT_MAX = 65_535;
/** Of the data plane: services by address, and backends of all pools. */
export const SERVICE_ADDRESSES_MAX = 16;
export const POOLS_MAX = 1_024;
/** From a drain to its deadline. */
export const DRAIN_MS_MAX = 30 * 24 * 3_600_000;
export const BACKENDS_MAX = 4_095;

/** Names of objects: what DNS labels may be, 63 characters. */
export const nameSchema = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    'a name is 1 to 63 of a-z, 0-9 and -, and neither begins nor ends with -',
  )
  .describe('Name: 1 to 63 of a-z, 0-9 and -');

const addressSchema = z.string().refine(isAddress, { error: 'not an IPv4 or IPv6 address' });

/** Of a service, see idleTimeoutOf(); but 0 where servers know their connections. The longest is what the data plane can count (FLOW_LIFETIME_MAX). */
export const IDLE_TIMEOUT_MS_MIN = 1_000;
export const IDLE_TIMEOUT_MS_MAX = 4 * 3_600_000;
const TCP_IDLE_TIMEOUT_MS = 600_000;
const UDP_IDLE_TIMEOUT_MS = 60_000;
/** A client is its sessions, not one connection: it may be away for longer. */
const AFFINITY_TIMEOUT_MS = 20 * 60_000;

/** From the last packet of a flow, or of a client where the service has affinity, until it has ended. */
export function idleTimeoutOf({
  idleTimeoutMs,
  protocol,
  affinity,
}: Pick<Service, 'idleTimeoutMs' | 'protocol' | 'affinity'>): number {
  if (idleTimeoutMs !== undefined) return idleTimeoutMs;
  if (affinity !== undefined) return AFFINITY_TIMEOUT_MS;
  return protocol === 'udp' ? UDP_IDLE_TIMEOUT_MS : TCP_IDLE_TIMEOUT_MS;
}

export const serviceSchema = z
  .strictObject({
    name: nameSchema,
    addresses: z
      .array(addressSchema)
      .min(1)
      .max(SERVICE_ADDRESSES_MAX)
      .describe('Addresses that clients talk to, IPv4 and IPv6'),
    protocol: z
      .enum(['tcp', 'udp'])
      .optional()
      .describe('Absent, with the port: every TCP and UDP port of the addresses'),
    port: z.int().min(1).max(65_535).optional(),
    pool: nameSchema.describe('Name of the pool whose backends serve it'),
    affinity: z
      .strictObject({
        prefixLength4: z.int().min(1).max(32).default(32),
        prefixLength6: z.int().min(1).max(128).default(128),
      })
      .optional()
      .describe('A client, under these prefix lengths, keeps one backend for all its connections'),
    ignoreSourcePort: z.boolean().optional().describe('The flow key leaves the source port out'),
    quic: z
      .strictObject({
        configRotation: z.int().min(0).max(6),
        serverIdBytes: z.int().min(1).max(4),
      })
      .optional()
      .describe('Route by the server ID in connection IDs (draft-ietf-quic-load-balancers, plaintext)'),
    idleTimeoutMs: z
      .int()
      .min(0)
      .max(IDLE_TIMEOUT_MS_MAX)
      .refine((it) => it === 0 || it >= IDLE_TIMEOUT_MS_MIN, {
        error: `must be ${IDLE_TIMEOUT_MS_MIN} at least, or 0 with a pool of delivery filter`,
      })
      .optional()
      .describe(
        'A flow (with affinity, a client) silent for longer has ended; absent: 600,000, of protocol udp 60,000, with affinity 1,200,000. 0, with a pool of delivery filter only: it has ended with its last connection',
      ),
    multicast: multicastSchema,
    disabled: disabledSchema,
  })
  .refine((it) => (it.protocol === undefined) === (it.port === undefined), {
    error: 'protocol and port go together',
    path: ['port'],
  })
  .refine((it) => it.quic === undefined || it.protocol === 'udp', {
    error: 'QUIC needs protocol udp',
    path: ['quic'],
  });
export type Service = z.infer<typeof serviceSchema>;

export const poolSchema = z.strictObject({
  name: nameSchema,
  slots: z
    .int()
    .min(1)
    .max(POOL_SLOTS_DEFAULT)
    .default(POOL_SLOTS_DEFAULT)
    .describe('Hash slots; cannot be changed later'),
  delivery: deliverySchema,
  hosts: hostsSchema,
  health: healthSchema.optional().describe('How its backends are checked; absent: not at all'),
  slowStartMs: slowStartMsSchema,
});
export type Pool = z.infer<typeof poolSchema>;

export const backendSchema = z.strictObject({
  pool: nameSchema,
  name: nameSchema,
  address: addressSchema.describe(
    'Where the tunnel ends; in a pool of delivery filter: of the filter node that it is (cluster.address there)',
  ),
  weight: z.int().min(0).max(WEIGHT_MAX).default(100).describe('Share of new flows; 0 drains'),
  encap: z.enum(['ip', 'gue']).default('ip').describe('Tunnel: IP in IP, or GUE over UDP'),
  guePort: z.int().min(1).max(65_535).optional().describe('UDP port of GUE; 6080 unless given'),
  mtuBytes: z
    .int()
    .min(576)
    .max(65_535)
    .optional()
    .describe('Upper bound of an outer packet; absent: what the path from each mux allows'),
  serverId: z
    .int()
    .min(0)
    .max(0xffff_ffff)
    .optional()
    .describe('Server ID in QUIC connection IDs, unique within the pool'),
  priority: prioritySchema,
});
export type Backend = z.infer<typeof backendSchema>;

/** What `apply` takes and `export` gives. `apply` makes the cluster be this: what is not in it goes. */
export const documentSchema = z.strictObject({
  services: z.array(serviceSchema).default([]),
  pools: z.array(poolSchema).default([]),
  backends: z.array(backendSchema).default([]),
});
export type Document = z.infer<typeof documentSchema>;

/** Fields of a service that may be changed; `null` takes an optional one away. The same for backends below. */
export type ServicePatch = { [K in keyof Omit<Service, 'name'>]?: Service[K] | null };
export type PoolPatch = {
  health?: Partial<z.input<typeof healthSchema>> | null;
  slowStartMs?: number | null;
  hosts?: Pool['hosts'] | null;
};
export type BackendPatch = { [K in keyof Omit<Backend, 'name' | 'pool'>]?: Backend[K] | null };
