// Owns what objects may say where clients reach servers without a load balancer in front: every server hears every packet
// (role `filter`). Fields, defaults, limits, and what follows from an address. Rules between objects are
// control/pool/filter_rules.ts's, what servers do control/cluster/leader/holders*.ts's and the program's.
import { z } from 'zod';
import { isAddress, parseAddress, versionOf } from '../lib/address.ts';

export const DELIVERIES = ['mux', 'filter'] as const;
export type Delivery = (typeof DELIVERIES)[number];

/** Servers that may have affinities of a bucket at a time, besides the one that it goes to: HOLDERS_MAX of the data plane. */
export const HOLDERS_MAX = 8;

export const PRIORITY_MAX = 65_535;

export const deliverySchema = z
  .enum(DELIVERIES)
  .optional()
  .describe(
    'mux: packets come to muxes, which tunnel them to backends; filter: every backend hears every packet, and answers its own clients. Absent: mux. Cannot be changed later',
  );

export const hostsSchema = z
  .enum(['multiple', 'single'])
  .optional()
  .describe(
    'With delivery filter. multiple: clients are shared by weight; single: the live backend of the best priority answers all. Absent: multiple',
  );

export const prioritySchema = z
  .int()
  .min(1)
  .max(PRIORITY_MAX)
  .optional()
  .describe('In a pool with hosts single: 1 is the best; absent: after all that have one, by name');

export const disabledSchema = z
  .boolean()
  .optional()
  .describe('With a pool of delivery filter: its packets are dropped, whoever they are for');

const groupSchema = (version: 4 | 6) =>
  z.string().refine((it) => isAddress(it) && versionOf(parseAddress(it)) === version && isMulticast(it), {
    error: `not an IPv${version} multicast address`,
  });

export const multicastSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe('false: packets come to every backend by other means, such as a mirroring router'),
    group4: groupSchema(4)
      .optional()
      .describe('Joined for IPv4 addresses; absent: 239.255.C.D of address A.B.C.D'),
    group6: groupSchema(6)
      .optional()
      .describe('Joined for IPv6 addresses; absent: ff15:: and the last 32 bits of the address'),
    mac: z
      .string()
      .regex(
        /^[0-9a-f][13579bdf](?::[0-9a-f]{2}){5}$/,
        'must be a multicast address such as 01:00:5e:7f:00:0a',
      )
      .optional()
      .describe('Link address that routers send to; absent: that of the group (RFC 1112, RFC 2464)'),
    answers: z
      .boolean()
      .default(true)
      .describe('ARP requests and neighbour solicitations are answered with that link address'),
  })
  .optional()
  .describe(
    'With a pool of delivery filter: how packets come to every backend; absent: by multicast, as by default',
  );

export type Multicast = z.infer<ReturnType<typeof multicastSchema.unwrap>>;

export function deliveryOf({ delivery = 'mux' }: { readonly delivery?: Delivery | undefined }): Delivery {
  return delivery;
}

/** How packets for an address come to all servers. */
export type SharedAddress = {
  readonly address: string;
  /** Joined by IGMP or MLD. */
  readonly group: string;
  readonly mac: string;
  readonly answers: boolean;
};

/** Undefined: not by multicast. */
export function sharedAddress(
  address: string,
  { enabled = true, answers = true, ...given }: Partial<Multicast> = {},
): SharedAddress | undefined {
  if (!enabled) return undefined;
  const bytes = [...parseAddress(address)];
  const last = bytes.slice(-4);
  const is4 = versionOf(parseAddress(address)) === 4;
  const group = is4
    ? (given.group4 ?? `239.255.${last[2]}.${last[3]}`)
    : (given.group6 ?? `ff15::${hex(last[0]!, last[1]!)}:${hex(last[2]!, last[3]!)}`);
  return { address, group, mac: given.mac ?? macOf(group), answers };
}

/** RFC 1112 section 6.4, RFC 2464 section 7. */
function macOf(group: string): string {
  const parsed = parseAddress(group);
  const [a, b, c, d] = [...parsed].slice(-4) as [number, number, number, number];
  const bytes = versionOf(parsed) === 4 ? [0x01, 0x00, 0x5e, b & 0x7f, c, d] : [0x33, 0x33, a, b, c, d];
  return bytes.map((it) => it.toString(16).padStart(2, '0')).join(':');
}

function isMulticast(address: string): boolean {
  const parsed = parseAddress(address);
  const bytes = [...parsed];
  return versionOf(parsed) === 4 ? bytes.at(-4)! >> 4 === 0xe : bytes[0] === 0xff;
}

function hex(high: number, low: number): string {
  return ((high << 8) | low).toString(16);
}
