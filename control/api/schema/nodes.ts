// Owns what the API says of the cluster's nodes: who takes part, how far each is, and who hears whom.
import { z } from 'zod';
import { count, milliseconds } from './common.ts';
import { routesSchema } from './routes.ts';

export const NODE_STATES = ['member', 'joining', 'draining', 'drained', 'gone', 'registered'] as const;
export type NodeState = (typeof NODE_STATES)[number];

const heardSchema = z.object({
  by: z.string().describe('Name of the mux that listens'),
  agoMs: milliseconds
    .optional()
    .describe('Since its last answer came; only known of the node that answers this request'),
  suspects: z.boolean().describe('It has told the cluster that it does not hear this node'),
});

export const nodeViewSchema = z.object({
  name: z.string(),
  roles: z.array(z.string()),
  self: z.boolean().describe('The node that answers this request'),
  state: z
    .enum(NODE_STATES)
    .describe(
      'member: decides about flows; joining: a mux that is not a member yet; draining: hands its chains over and goes; ' +
        'drained: has left, until its drain is undone; ' +
        'gone: a mux that was here and has no lease; registered: no mux',
    ),
  software: z.string().optional().describe('Version of holdfastd'),
  id: count.optional().describe('Of a mux, 1-63, for as long as the cluster knows its name'),
  incarnation: count.optional().describe('Another one whenever its tables were emptied'),
  address: z.string().optional().describe('Where other muxes reach its program'),
  askPort: count.optional(),
  api: z.string().optional().describe('HOST:PORT of its API, where it listens on the network'),
  version: count.optional().describe('Of the configuration, in effect there as far as it has said'),
  behind: count.optional().describe('Versions that it has not acknowledged yet'),
  leaseLeftMs: milliseconds
    .optional()
    .describe('Until it may not decide any more; of the node that answers alone'),
  pastDeadline: z.boolean().describe('Its lease has run out, or it says so: it relays to others'),
  goneSinceMs: z
    .number()
    .optional()
    .describe('Milliseconds since the epoch: when this node first saw that it was gone'),
  heard: z.array(heardSchema).describe('By each other mux'),
  chains: z
    .object({
      owned: count.describe('Tracked slots whose flows it decides about'),
      backed: count.describe('Tracked slots whose flows it keeps a copy of'),
    })
    .optional(),
  flows: z
    .object({
      kept: count.describe('Live entries in its flow table'),
      old: count.describe("Those of another backend than their slot's current one"),
    })
    .optional()
    .describe('As it reported last; absent while it has reported nothing'),
  routes: routesSchema.optional().describe('Of the node that answers, where it is a mux'),
  problems: z.array(z.string()).describe('What is not as it should be, a sentence each'),
});
export type NodeView = z.infer<typeof nodeViewSchema>;

/** What draining and removing a node answers. */
export const nodeChangeSchema = z.object({
  dryRun: z.boolean(),
  action: z.enum(['drain', 'undo drain', 'remove', 'none']),
  node: nodeViewSchema.describe('As it was before'),
  effects: z.array(z.string()).describe('What follows, a sentence each'),
});
export type NodeChange = z.infer<typeof nodeChangeSchema>;

/** Of the key that headers between muxes are signed with. */
export const keysSchema = z.object({
  step: count.describe('Grows with each state'),
  state: z
    .enum(['steady', 'learning', 'signing'])
    .describe(
      'steady: one key; learning: a new one is known more and more, and nobody signs with it; signing: muxes sign with it, ' +
        'and the old one is accepted still',
    ),
  ageMs: z.number().optional().describe('Of the newest key; absent: nobody knows'),
  lacking: z.array(z.string()).describe('Muxes that do not have this state yet'),
});
export type Keys = z.infer<typeof keysSchema>;

/** Nothing can be chosen. */
export const rotateKeysRequestSchema = z.strictObject({});

export const drainRequestSchema = z.strictObject({
  undo: z.boolean().default(false).describe('Take the draining back: it becomes a member again'),
});
