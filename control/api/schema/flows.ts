// Owns what the API says of flows of tracked slots: entries of the tables that owners and backups keep, and what is to
// be known of one flow.
import { z } from 'zod';
import { count, failureSchema, milliseconds } from './common.ts';

export const FLOW_STATES = ['nascent', 'unproven', 'trusted'] as const;

/** Flows in one answer. */
export const FLOWS_PAGE_DEFAULT = 100;
export const FLOWS_PAGE_MAX = 1_000;
/** Groups in one answer of the largest. */
export const TOP_DEFAULT = 20;
export const TOP_MAX = 100;
export const TOP_BY = ['backend', 'service', 'client', 'slot', 'mux'] as const;
export type TopBy = (typeof TOP_BY)[number];

export const flowEntrySchema = z.object({
  fingerprint: z.string().describe("The flow's keyed hash, hexadecimal: tables do not keep addresses"),
  client: z.string().describe('An IPv4 address, or the first 32 bits of an IPv6 one as a prefix'),
  services: z
    .array(z.string())
    .describe('Services that it may be of: those of the pool with its protocol and idle timeout'),
  key: z.literal('client').optional().describe('It is a client with affinity, whatever its connections are'),
  protocol: z.enum(['tcp', 'udp']),
  pool: z.string(),
  slot: count,
  backend: z.string().optional().describe('pool/name; absent: it is not there any more'),
  isOld: z.boolean().describe('Another backend than the current one of the slot'),
  state: z
    .enum(FLOW_STATES)
    .describe('nascent: only its SYN was seen; unproven: unknown when it came, so of base; trusted: in use'),
  seenAgoMs: milliseconds.describe(
    'Since its last sign of life, as far as this node knows; a quarter second exact',
  ),
  idleTimeoutMs: milliseconds,
  node: z.string().describe('Whose table this is'),
  role: z.enum(['owner', 'backup', 'former']).describe('Of that node for the slot, now'),
  trackEpoch: count.describe('Version at which the tracking began'),
});
export type FlowEntry = z.infer<typeof flowEntrySchema>;

/** A node that was not asked, or did not answer, and how to ask there. */
const unansweredSchema = z.object({ node: z.string(), failure: failureSchema });
export type Unanswered = z.infer<typeof unansweredSchema>;

export const flowsSchema = z.object({
  items: z.array(flowEntrySchema),
  next: z.string().optional().describe('Ask again with `after` set to this; absent: that is all'),
  unanswered: z.array(unansweredSchema).describe('Other muxes whose tables are not in the answer'),
});
export type Flows = z.infer<typeof flowsSchema>;

export const flowsTopSchema = z.object({
  by: z.enum(TOP_BY),
  flows: count.describe('Counted in all, each at its owner'),
  groups: z.array(z.object({ name: z.string(), flows: count, old: count, nascent: count })),
  others: z.object({ groups: count, flows: count }).describe('Beyond the largest'),
  unanswered: z.array(unansweredSchema),
});
export type FlowsTop = z.infer<typeof flowsTopSchema>;

export const holderSchema = z.object({
  node: z.string(),
  id: count,
  incarnation: count,
  address: z.string().optional(),
  api: z.string().optional(),
  self: z.boolean(),
});
export type FlowHolder = z.infer<typeof holderSchema>;

/** What one mux knows of a flow. */
export const knowledgeSchema = z.object({
  node: z.string(),
  role: z.enum(['owner', 'backup', 'other']),
  entry: flowEntrySchema.optional().describe('Of its flow table'),
  cached: z
    .object({
      backend: z.string().optional(),
      fromSyn: z.boolean().describe('Learnt from a SYN: serves only SYNs'),
      seenAgoMs: milliseconds,
      valid: z.boolean(),
      why: z.string().optional().describe('Why not'),
    })
    .optional()
    .describe('What it has learnt from the owner'),
});
export type FlowKnowledge = z.infer<typeof knowledgeSchema>;

export const flowReportSchema = z.object({
  flow: z.string(),
  service: z.string().optional(),
  pool: z.string(),
  slot: count,
  fingerprint: z.string(),
  tracked: z.boolean(),
  change: z.string().optional().describe('The open change that the slot is tracked for'),
  step: z.string().optional(),
  trackEpoch: count.optional(),
  chainEpoch: count.optional(),
  current: z.string().optional().describe('Backend that new flows of the slot go to'),
  base: z.string().optional().describe('Backend that unknown flows of the slot go to'),
  owner: holderSchema.optional(),
  backup: holderSchema.optional(),
  known: z.array(knowledgeSchema).describe('By the muxes that were asked, the one that answers first'),
  next: z
    .object({
      backend: z.string().optional(),
      reason: z.string(),
      meaning: z.string(),
    })
    .describe('What becomes of its next packet at this node; one that opens no flow'),
  conclusions: z.array(z.string()).describe('What all that means, a sentence each'),
  unanswered: z.array(unansweredSchema),
});
export type FlowReport = z.infer<typeof flowReportSchema>;
