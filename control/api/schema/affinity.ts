// Owns what the API says of clients with affinity: who answers a client, by which rule, for how long, and what would
// change that.
import { z } from 'zod';
import { count, failureSchema, milliseconds } from './common.ts';
import { holderSchema, knowledgeSchema } from './flows.ts';

/** Where it is known whom a client belongs to. */
export const AFFINITY_SOURCES = ['mux', 'filter'] as const;
/** Why a backend answers a client. */
export const AFFINITY_RULES = ['clean', 'recorded', 'base', 'unknown'] as const;
export type AffinityRule = (typeof AFFINITY_RULES)[number];

/** Clients in one answer. */
export const AFFINITIES_PAGE_DEFAULT = 100;
export const AFFINITIES_PAGE_MAX = 1_000;
/** Services and addresses that one client is explained for. */
export const AFFINITY_KEYS_MAX = 64;

const rule = z
  .enum(AFFINITY_RULES)
  .describe(
    "clean: its slot has one backend, and nothing is recorded; recorded: at the slot's owner; base: the slot is being " +
      'moved, and nobody knows the client, which may have been there before; unknown: the owner could not be asked',
  );
const client = z
  .string()
  .describe(
    'An address; with subnet affinity its prefix; in lists of filters, which have no more, # and its hash',
  );
const source = z
  .enum(AFFINITY_SOURCES)
  .describe('mux: entries of flows whose key is a client; filter: tables of servers that all hear');

/** Of what has no name beside its service and address. */
const keyShape = {
  source,
  pool: z.string(),
  slot: count,
  fingerprint: z.string().describe("The key's keyed hash, hexadecimal"),
  backend: z.string().optional().describe('pool/name of who answers; absent: nobody, or it is not known'),
} as const;

export const affinityEntrySchema = z.object({
  client: client.describe('An address or prefix; of IPv6 tables have the first 32 bits alone'),
  services: z.array(z.string()).describe('One, or those that it may be of where tables do not tell'),
  address: z.string().optional().describe('Of the service'),
  ...keyShape,
  rule,
  isOld: z.boolean().describe('Another backend than the one that new clients of the slot go to'),
  seenAgoMs: milliseconds.optional().describe('Since its last packet, as far as its owner knows'),
  timeoutMs: milliseconds.optional().describe('Of the service'),
  node: z.string().optional().describe('Who has recorded it'),
});
export type AffinityEntry = z.infer<typeof affinityEntrySchema>;

const unansweredSchema = z.object({ node: z.string(), failure: failureSchema });

export const affinitiesSchema = z.object({
  items: z.array(affinityEntrySchema),
  next: z.string().optional().describe('Ask again with `after` set to this; absent: that is all'),
  unanswered: z.array(unansweredSchema).describe('Nodes whose tables are not in the answer'),
});
export type Affinities = z.infer<typeof affinitiesSchema>;

/** Of a client, where some backend leaves. */
const leavingSchema = z.object({
  backend: z.string().describe('pool/name of who leaves'),
  to: z.string().optional().describe('Who has the slot then; absent: nobody is left'),
  drained: z
    .enum(['kept', 'unchanged'])
    .describe('kept: it answers the client until that was silent for the timeout'),
  dead: z.enum(['moved', 'unchanged']).describe('moved: at once'),
});
export type AffinityLeaving = z.infer<typeof leavingSchema>;

/** What one server that hears every packet knows of a client. */
const serverSchema = z.object({
  node: z.string(),
  part: z
    .enum(['current', 'base', 'holder', 'other'])
    .describe(
      'current: new clients of the slot go there; base: they went there; holder: it may have some of before',
    ),
  holds: z.boolean().describe('It has a session of the client'),
  state: z.enum(['nascent', 'proven']).optional(),
  seenAgoMs: milliseconds.optional(),
  leftMs: milliseconds.optional().describe('Until it forgets the client, if that sends nothing more'),
  foreign: z.string().optional().describe('The server that it has learnt to have the client'),
  foreignLeftMs: milliseconds.optional(),
});
export type AffinityServer = z.infer<typeof serverSchema>;

export const affinityReportSchema = z.object({
  client,
  service: z.string(),
  address: z.string().describe('Of the service'),
  ...keyShape,
  rule,
  timeoutMs: milliseconds,
  timeoutLeftMs: milliseconds
    .optional()
    .describe('Until it counts as gone, if it sends nothing more; absent: nobody counts'),
  since: z.object({
    what: z.string(),
    agoMs: milliseconds.optional().describe('Absent: longer than this node looks'),
  }),
  current: z.string().optional().describe('Backend that new clients of the slot go to'),
  base: z.string().optional().describe('Backend that unknown clients of the slot go to'),
  change: z.string().optional().describe('The open change that the slot is tracked for'),
  step: z.string().optional(),
  trackEpoch: count.optional(),
  owner: holderSchema.optional(),
  backup: holderSchema.optional(),
  known: z.array(knowledgeSchema).describe('By the muxes that were asked'),
  servers: z.array(serverSchema).optional().describe('Of source filter: the servers that were asked'),
  leaving: leavingSchema.optional().describe('What would change if a backend left'),
  conclusions: z.array(z.string()).describe('What all that means, a sentence each'),
});
export type AffinityReport = z.infer<typeof affinityReportSchema>;

export const affinityExplanationSchema = z.object({
  client: z.string(),
  items: z.array(affinityReportSchema).describe('One for each service with affinity and address of it'),
  unanswered: z.array(unansweredSchema),
});
export type AffinityExplanation = z.infer<typeof affinityExplanationSchema>;

export const affinityReleaseSchema = z.object({
  dryRun: z.boolean(),
  action: z.enum(['release', 'none']),
  client: z.string(),
  items: z
    .array(
      z.object({
        service: z.string(),
        address: z.string(),
        from: z.string().optional(),
        to: z.string().optional(),
        outcome: z
          .enum(['released', 'there', 'nothing', 'full'])
          .describe('there: it went to the current backend before; full: there was no place to remember it'),
      }),
    )
    .describe('With `local`, what this node did'),
  effects: z.array(z.string()),
  unanswered: z.array(unansweredSchema).describe('Muxes that go on with what they have learnt'),
});
export type AffinityRelease = z.infer<typeof affinityReleaseSchema>;
