// Owns the routes of flows: what owners and backups of tracked slots keep of them.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { nameSchema } from '../../config/objects.ts';
import { Failure } from '../../lib/failure.ts';
import { FLOW_NAME_CHARACTERS_MAX, parseFlowName } from '../../lib/flow_name.ts';
import { FlowReport, Flows, FlowsTop } from '../components.ts';
import type { FlowSelection, NodePort } from '../node_port.ts';
import { type ApiEnv, answer, createRoute, failures, flag, readFailures } from '../operation.ts';
import { FLOW_STATES, FLOWS_PAGE_DEFAULT, FLOWS_PAGE_MAX, TOP_BY, TOP_DEFAULT, TOP_MAX } from '../schema.ts';

const tags = ['flows'];
/** Of a position in a table: longer is none of ours. */
const POSITION_CHARACTERS_MAX = 200;

const local = flag('Only the tables of this node: no other is asked');
const selectionShape = {
  service: nameSchema.optional().describe('Flows that may be of this service'),
  backend: z
    .string()
    .regex(/^[^/]+\/[^/]+$/, 'must be pool/name')
    .optional()
    .describe('pool/name'),
  pool: nameSchema.optional().describe('Name of the pool'),
  slot: z.coerce.number().int().min(0).max(65_536).optional().describe('With pool'),
  state: z.enum(FLOW_STATES).optional().describe('How much is known of them'),
  client: z
    .string()
    .max(64)
    .optional()
    .describe('Address or prefix; of IPv6 only the first 32 bits are known'),
  old: flag('Only flows on another backend than the current one of their slot'),
  role: z
    .enum(['owner', 'backup'])
    .default('owner')
    .describe('Each flow is at its owner once; backup: the copies'),
  key: z.literal('client').optional().describe('Only clients with affinity'),
} as const;

const listFlows = createRoute({
  method: 'get',
  path: '/v1/flows',
  operationId: 'listFlows',
  summary: 'Live flows of tracked slots, in no order',
  description:
    'Flows of clean slots are nowhere: no state is kept of them. This node answers from its own table and, unless `local`, ' +
    'asks other muxes whose API listens on the network; those that it could not ask are named. A page comes from one ' +
    'mux, so it may be short, or empty, and there may be a next one.',
  tags,
  request: {
    query: z.strictObject({
      ...selectionShape,
      limit: z.coerce
        .number()
        .int()
        .min(1)
        .max(FLOWS_PAGE_MAX)
        .default(FLOWS_PAGE_DEFAULT)
        .describe('Flows of one answer, at most'),
      after: z.string().max(POSITION_CHARACTERS_MAX).optional().describe('`next` of the page before'),
      local,
    }),
  },
  responses: {
    200: answer('The flows', Flows),
    ...failures('not_found', 'unsupported', 'limit', ...readFailures),
  },
});

const topFlows = createRoute({
  method: 'get',
  path: '/v1/flows/top',
  operationId: 'topFlows',
  summary: 'Who has most live flows of tracked slots',
  tags,
  request: {
    query: z.strictObject({
      ...selectionShape,
      by: z.enum(TOP_BY).default('backend').describe('mux: the owner'),
      limit: z.coerce
        .number()
        .int()
        .min(1)
        .max(TOP_MAX)
        .default(TOP_DEFAULT)
        .describe('Groups of the answer, at most'),
      local,
    }),
  },
  responses: {
    200: answer('The largest groups', FlowsTop),
    ...failures('not_found', 'unsupported', 'limit', ...readFailures),
  },
});

const getFlow = createRoute({
  method: 'get',
  path: '/v1/flows/{flow}',
  operationId: 'getFlow',
  summary: 'What is known of one flow: its slot, who keeps it, and where its next packet goes',
  description: 'The flow is CLIENT:PORT>ADDRESS:PORT/tcp or /udp, percent-encoded; IPv6 in brackets.',
  tags,
  request: {
    query: z.strictObject({ local }),
    params: z.strictObject({
      flow: z
        .string()
        .max(3 * FLOW_NAME_CHARACTERS_MAX)
        .describe('CLIENT:PORT>ADDRESS:PORT/tcp or /udp'),
    }),
  },
  responses: {
    200: answer('The flow', FlowReport),
    ...failures('not_found', 'unsupported', ...readFailures),
  },
});

export function addFlowRoutes(app: OpenAPIHono<ApiEnv>, node: NodePort): void {
  app.openapi(listFlows, async (c) => {
    const { limit, after, local, ...selected } = c.req.valid('query');
    const options = { limit, local, ...(after === undefined ? {} : { after }) };
    return c.json(await node.flows(selectionOf(selected), options), 200);
  });

  app.openapi(topFlows, async (c) => {
    const { by, limit, local, ...selected } = c.req.valid('query');
    return c.json(await node.topFlows(by, selectionOf(selected), { limit, local }), 200);
  });

  app.openapi(getFlow, async (c) => {
    const { flow } = c.req.valid('param');
    const name = parseFlowName(flow);
    if (name === undefined) {
      throw new Failure('invalid', 'That names no flow.', {
        reason: `It is ${JSON.stringify(flow.slice(0, FLOW_NAME_CHARACTERS_MAX))}.`,
        remedy: 'Write CLIENT:PORT>ADDRESS:PORT/tcp, such as 192.0.2.7:4242>198.18.0.10:80/tcp',
      });
    }
    return c.json(await node.flow(name, c.req.valid('query')), 200);
  });
}

function selectionOf(given: FlowSelection): FlowSelection {
  if (given.slot !== undefined && given.pool === undefined) {
    throw new Failure('invalid', 'A slot is one of a pool, and no pool is named.', {
      remedy: 'Give pool as well.',
    });
  }
  return given;
}
