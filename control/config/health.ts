// Owns what a pool may say about how its backends are checked, the defaults and every limit of it. Checking is
// control/health's; whether a node may run commands is said in its own file (node.ts), never here.
import { z } from 'zod';

export const HEALTH_TYPES = ['tcp', 'http', 'https', 'grpc', 'udp', 'command'] as const;
export type HealthType = (typeof HEALTH_TYPES)[number];

export const HEALTH_INTERVAL_MS_MIN = 50;
export const HEALTH_INTERVAL_MS_MAX = 3_600_000;
const HEALTH_INTERVAL_MS = 2_000;
const HEALTH_TIMEOUT_MS = 1_000;
/** Results in a row. */
export const HEALTH_COUNT_MAX = 100;
/** Beyond it a check is no longer every `intervalMs` in any useful sense. */
export const HEALTH_JITTER_MAX = 0.5;
const PANIC_PERCENT = 25;

export const HEALTH_PATH_MAX = 1_024;
export const HEALTH_BODY_MAX = 256;
export const HEALTH_HEADER_MAX = 256;
export const HEALTH_PAYLOAD_BYTES_MAX = 1_024;
export const HEALTH_CA_MAX = 16_384;
export const HEALTH_ARGUMENTS_MAX = 32;
const ARGUMENT_MAX = 512;

export const SLOW_START_MS_MAX = 3_600_000;

const host = z
  .string()
  .min(1)
  .max(HEALTH_HEADER_MAX)
  .regex(/^[A-Za-z0-9._:[\]-]+$/, 'must be a host name or address, with a port where one is needed');

/** What a UDP check sends and expects: text as it stands, or bytes as `hex:` and pairs of digits. */
const payload = z
  .string()
  .min(1)
  .max(5 + 2 * HEALTH_PAYLOAD_BYTES_MAX)
  .refine((it) => !it.startsWith('hex:') || /^hex:(?:[0-9a-fA-F]{2})+$/.test(it), {
    error: 'after hex: must come pairs of hexadecimal digits, such as hex:0d0a',
  })
  .refine((it) => it.startsWith('hex:') || new TextEncoder().encode(it).length <= HEALTH_PAYLOAD_BYTES_MAX, {
    error: `must be at most ${HEALTH_PAYLOAD_BYTES_MAX} bytes (HEALTH_PAYLOAD_BYTES_MAX)`,
  });

/** Which fields only some types have. */
export const HEALTH_FIELDS_OF: Readonly<Record<HealthType, readonly string[]>> = {
  tcp: [],
  http: ['path', 'host', 'status', 'body'],
  https: ['path', 'host', 'status', 'body', 'tls'],
  grpc: ['host', 'grpcService', 'tls'],
  udp: ['send', 'expect'],
  command: ['command'],
};
export const HEALTH_TYPED_FIELDS = [...new Set(Object.values(HEALTH_FIELDS_OF).flat())];

const healthFields = z.strictObject({
  type: z.enum(HEALTH_TYPES).describe('How a backend is asked'),
  via: z
    .enum(['tunnel', 'direct'])
    .default('tunnel')
    .describe(
      "tunnel: to the service's address, encapsulated as clients' packets are; direct: to the backend's own address",
    ),
  port: z
    .int()
    .min(1)
    .max(65_535)
    .optional()
    .describe('Where to ask; absent: the port of the first service, by name, that uses the pool and has one'),
  path: z
    .string()
    .max(HEALTH_PATH_MAX)
    .regex(/^\/[\x21-\x7e]*$/, 'must begin with / and have no spaces')
    .optional()
    .describe('Of http and https: what to get; absent: /'),
  host: host
    .optional()
    .describe('Of http, https and grpc: the Host header; absent: the address that is asked'),
  status: z
    .strictObject({
      from: z.int().min(100).max(599),
      to: z.int().min(100).max(599),
    })
    .refine(({ from, to }) => from <= to, { error: 'from must not be above to', path: ['to'] })
    .optional()
    .describe('Of http and https: which status is good; absent: 200 to 399'),
  body: z
    .string()
    .min(1)
    .max(HEALTH_BODY_MAX)
    .optional()
    .describe('Of http and https: must be in the first 64 KiB of the answer'),
  tls: z
    .strictObject({
      serverName: host.optional().describe('Name asked for (SNI) and expected in the certificate'),
      verify: z.boolean().default(true).describe('Whether the certificate must be good'),
      authority: z
        .string()
        .max(HEALTH_CA_MAX)
        .regex(/-----BEGIN CERTIFICATE-----/, 'must be PEM')
        .optional()
        .describe('PEM: who signs it; absent: who the host trusts'),
    })
    .optional()
    .describe('Of https, and of grpc, which is in plain text without it'),
  grpcService: z
    .string()
    .max(HEALTH_HEADER_MAX)
    .optional()
    .describe('Of grpc: the service whose status is asked; absent: that of the whole server'),
  send: payload.optional().describe('Of udp: what is sent, as text or hex:…; absent: one byte of zero'),
  expect: payload
    .optional()
    .describe('Of udp: how the answer must begin, as text or hex:…; absent: any answer is good'),
  command: z
    .array(z.string().max(ARGUMENT_MAX))
    .min(1)
    .max(HEALTH_ARGUMENTS_MAX)
    .refine(([name = '']) => /^[A-Za-z0-9._-]+$/.test(name) && !name.startsWith('.'), {
      error:
        'the first must be the name of a program, without a path: each mux has a directory of those that may run',
      path: [0],
    })
    .optional()
    .describe(
      "Of command: a program in the directory that each mux's own file allows, and its arguments; 0 is good",
    ),
  intervalMs: z
    .int()
    .min(HEALTH_INTERVAL_MS_MIN)
    .max(HEALTH_INTERVAL_MS_MAX)
    .default(HEALTH_INTERVAL_MS)
    .describe('From the start of a check to that of the next'),
  timeoutMs: z
    .int()
    .min(10)
    .max(60_000)
    .default(HEALTH_TIMEOUT_MS)
    .describe('A check that has not ended by then has failed'),
  rise: z.int().min(1).max(HEALTH_COUNT_MAX).default(2).describe('Good results in a row that make it up'),
  fall: z.int().min(1).max(HEALTH_COUNT_MAX).default(3).describe('Bad results in a row that make it down'),
  jitter: z
    .number()
    .min(0)
    .max(HEALTH_JITTER_MAX)
    .default(0.1)
    .describe('Each interval is shortened by up to this share of it, by chance'),
  quorum: z
    .int()
    .min(1)
    .max(63)
    .optional()
    .describe('Muxes that must find a backend dead; absent: more than half of those that have an opinion'),
  panicPercent: z
    .int()
    .min(0)
    .max(100)
    .default(PANIC_PERCENT)
    .describe(
      "No backend is taken away that would leave less than this share of the pool's weight, nor ever the last",
    ),
});

export const healthSchema = healthFields.superRefine((health, context) => {
  const { type, timeoutMs, intervalMs, command } = health;
  const issue = (field: string, message: string) =>
    context.addIssue({ code: 'custom', path: [field], message });
  if (timeoutMs > intervalMs) {
    issue('timeoutMs', `must not be above intervalMs, ${intervalMs}: checks of one backend would overlap`);
  }
  if (type === 'command' && command === undefined) issue('command', 'must be given for type command');
  for (const field of HEALTH_TYPED_FIELDS) {
    if (health[field as keyof Health] === undefined || HEALTH_FIELDS_OF[type].includes(field)) continue;
    const types = HEALTH_TYPES.filter((it) => HEALTH_FIELDS_OF[it].includes(field));
    issue(field, `is of type ${types.join(' and ')}, not ${type}: leave it out, or change the type`);
  }
});
export type Health = z.infer<typeof healthFields>;

export const slowStartMsSchema = z
  .int()
  .min(1_000)
  .max(SLOW_START_MS_MAX)
  .optional()
  .describe('A backend that is added or comes back gets its share in 4 steps over so long; absent: at once');

/** What may stand in a node's own file: who may run programs is for who has the node. */
export const healthCommandsSchema = z
  .strictObject({
    directory: z
      .string()
      .startsWith('/', 'must be an absolute path')
      .describe('Programs in it, and no others, may be run by checks of type command'),
    user: z.int().min(1).max(0xffff_fffe).default(65_534).describe('Numeric user they run as; never root'),
    group: z.int().min(1).max(0xffff_fffe).default(65_534).describe('Numeric group they run as'),
  })
  .describe('Allows checks of type command on this node; absent: there are none');
export type HealthCommands = z.infer<typeof healthCommandsSchema>;
