// Owns what the API says of changes that move slots: what one would do, and how far those are that are under way.
import { z } from 'zod';
import { count, milliseconds } from './common.ts';

/** In this order. */
export const CHANGE_STEPS = ['track', 'commit', 'settle'] as const;
export type ChangeStep = (typeof CHANGE_STEPS)[number];

const moveSchema = z.object({
  from: z.string().optional().describe('pool/name; absent: nobody had them'),
  to: z.string().optional().describe('pool/name; absent: nobody has them then'),
  slots: count,
});
export type SlotMove = z.infer<typeof moveSchema>;

const stepSchema = z.object({
  step: z
    .enum(CHANGE_STEPS)
    .describe(
      'track: new flows are recorded; commit: new flows go to the new backends; settle: unknown flows, too, ' +
        'until no flow is left on an old backend',
    ),
  state: z.enum(['done', 'now', 'next', 'skipped']),
  leastMs: milliseconds.describe('It lasts this long at least'),
  sinceMs: milliseconds.optional().describe('It has lasted, or did last; as seen by this node'),
  leftMs: milliseconds.optional().describe('Of what it waits for, what only takes time'),
  waitsFor: z.array(z.string()).describe('A sentence each'),
});
export type StepView = z.infer<typeof stepSchema>;

const riskSchema = z.object({
  kind: z
    .enum(['given-up', 'one-copy', 'copying'])
    .describe(
      'given-up: their backend is, so these flows end; one-copy: one mux alone records them while the change lasts; ' +
        'copying: they are on their way to a new backup, and until then one mux alone has them',
    ),
  slots: count.describe('Of those that move'),
  known: count.describe('Live flows of these slots that are recorded, by their share of what muxes reported'),
  why: z.string(),
});
export type PlanRisk = z.infer<typeof riskSchema>;

/** What an edit would do to one pool. */
export const poolPlanSchema = z.object({
  pool: z.string(),
  of: count.describe('Slots of the pool'),
  slots: count.describe('That get another backend'),
  moves: z.array(moveSchema),
  way: z
    .enum(['tracked', 'joins', 'direct', 'urgent', 'waits', 'stays'])
    .describe(
      'tracked: as a change of its own; joins: goes into the change that is open; direct: at once, because no flow can ' +
        'be there; urgent: at once, because the backend is dead; waits: until another change has ended; stays: not at ' +
        'all, because nobody would take the slots',
    ),
  why: z.string().optional(),
  flows: z.object({
    known: count.describe('Live flows of the pool that are recorded; clean slots keep no record'),
    atRisk: count.describe(
      'Of those, the ones that end with the change, or would with the death of one mux; see risks. Flows of clean slots ' +
        'are in no count: of them `risks` has the slots',
    ),
  }),
  risks: z
    .array(riskSchema)
    .describe('Of slots that move; empty: each flow keeps its server, whichever one mux dies'),
  steps: z.array(stepSchema),
  leastMs: milliseconds.describe('From the edit until all slots are clean, at least'),
});
export type PoolPlan = z.infer<typeof poolPlanSchema>;

const slotStatesSchema = z.object({
  pool: z.string(),
  of: count,
  clean: count,
  track: count,
  commit: count,
  settle: count,
});
export type SlotStates = z.infer<typeof slotStatesSchema>;

const reporterSchema = z.object({
  node: z.string(),
  acknowledged: z.boolean().describe('It has the version that brought the step'),
  copied: z.boolean().describe('Its flows are at the new backup of every slot that needs one'),
  flows: count.optional().describe('Live entries of these slots in its table'),
  oldFlows: count.optional().describe("Those of another backend than their slot's current one"),
  unrecordedAgoMs: milliseconds
    .optional()
    .describe('Since it last answered a packet of these slots without a record; absent: it has not'),
});

export const openChangeSchema = z.object({
  id: z.string().describe('POOL@VERSION, by the version at which it began'),
  pool: z.string(),
  reason: z.string().describe('The edits it came of'),
  urgent: z.boolean().describe('A backend is dead: nothing is waited for on its behalf'),
  step: z.enum(CHANGE_STEPS).describe('Of the part that is least advanced'),
  parts: z
    .array(
      z.object({
        step: z.enum(CHANGE_STEPS),
        version: count.describe('That brought the step'),
        slots: count,
        reason: z.string(),
      }),
    )
    .describe('More than one where a later edit moves slots that an earlier one still does'),
  version: count.describe('That brought the step'),
  chainVersion: count.describe('At which the owners and backups of its slots changed last'),
  revision: count.describe('Of the edits that it contains'),
  ageMs: milliseconds.describe('Since this node first saw it'),
  slots: z.object({
    of: count.describe('Of the pool'),
    tracked: count,
    moved: count.describe('Whose base and current backends differ'),
  }),
  moves: z.array(moveSchema),
  flows: z
    .object({ known: count, old: count.describe('On another backend than the current one of their slot') })
    .optional()
    .describe('By what owners and backups reported, each flow once; absent: nobody has reported yet'),
  steps: z.array(stepSchema),
  waitsFor: z.array(z.string()).describe('What keeps it from its next step now, a sentence each'),
  nextStepInMs: milliseconds
    .optional()
    .describe('At the earliest; absent where it does not depend on time alone'),
  lostSlots: count.describe(
    'That lost owner and backup before flows were copied to another mux: those that were open then may have lost their server',
  ),
  lostBriefly: count.describe(
    'Of these, those where only flows that began within seconds may have: a mux died while another one left',
  ),
  nodes: z.array(reporterSchema),
});
export type OpenChange = z.infer<typeof openChangeSchema>;

export const finishedChangeSchema = z.object({
  id: z.string(),
  pool: z.string(),
  reason: z.string(),
  finishedAtMs: z.number().describe('Milliseconds since the epoch'),
  tookMs: milliseconds.describe('As seen by this node'),
  seenWhole: z.boolean().describe('False: it was under way when this node began to look, so it took longer'),
  slots: count.describe('Tracked, at most'),
  steps: z.array(z.object({ step: z.enum(CHANGE_STEPS), tookMs: milliseconds })),
});
export type FinishedChange = z.infer<typeof finishedChangeSchema>;

/** Finished changes that a node remembers. */
export const FINISHED_CHANGES_MAX = 100;

export const changesSchema = z.object({
  atMs: z.number().describe('Milliseconds since the epoch'),
  version: count.describe('The newest there is of the configuration; 0: none yet'),
  applied: count.describe('The one in effect on this node'),
  revision: count.describe('Of the store: what users have edited'),
  publishedRevision: count.describe('Of the edits that are in the newest version'),
  leader: z.string().optional().describe('The node that makes versions'),
  waitsFor: z
    .array(z.string())
    .describe('Why edits are not in a version yet, where there are such; a sentence each'),
  pools: z.array(slotStatesSchema),
  open: z.array(openChangeSchema),
  finished: z.array(finishedChangeSchema).describe('The newest first'),
});
export type Changes = z.infer<typeof changesSchema>;
