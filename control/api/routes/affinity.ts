// Owns the routes of clients with affinity: who answers them, why, and letting one go.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { nameSchema } from '../../config/objects.ts';
import { Failure } from '../../lib/failure.ts';
import { Affinities, AffinityExplanation, AffinityRelease } from '../components.ts';
import type { NodePort } from '../node_port.ts';
import {
  type ApiEnv,
  answer,
  type Caller,
  createRoute,
  failures,
  flag,
  readFailures,
  writeFailures,
  writeQuery,
} from '../operation.ts';
import { AFFINITIES_PAGE_DEFAULT, AFFINITIES_PAGE_MAX } from '../schema/affinity.ts';

const tags = ['affinity'];
/** Of an IPv6 prefix, percent-encoded. */
const CLIENT_CHARACTERS_MAX = 200;
const POSITION_CHARACTERS_MAX = 200;

const local = flag('Only what this node knows: no other is asked');
const service = nameSchema.optional().describe('Only of this service');
const backend = z.string().regex(/^[^/]+\/[^/]+$/, 'must be pool/name');
const params = z.strictObject({
  client: z
    .string()
    .max(CLIENT_CHARACTERS_MAX)
    .describe('Address of the client, or its prefix with subnet affinity, percent-encoded'),
});

const listAffinities = createRoute({
  method: 'get',
  path: '/v1/affinities',
  operationId: 'listAffinities',
  summary: 'Clients with affinity that are recorded anywhere, in no order',
  description:
    'Clients of clean slots are recorded nowhere: the hash says who answers them, so they are in the answer only where ' +
    '`client` is an address. Other muxes are asked as for flows; a page comes from one node, so it may be short, or empty.',
  tags,
  request: {
    query: z.strictObject({
      service,
      backend: backend.optional().describe('pool/name: only clients that it answers'),
      client: z
        .string()
        .max(CLIENT_CHARACTERS_MAX)
        .optional()
        .describe('Address, which is looked up, or prefix'),
      limit: z.coerce
        .number()
        .int()
        .min(1)
        .max(AFFINITIES_PAGE_MAX)
        .default(AFFINITIES_PAGE_DEFAULT)
        .describe('Clients of one answer, at most'),
      after: z.string().max(POSITION_CHARACTERS_MAX).optional().describe('`next` of the page before'),
      local,
    }),
  },
  responses: {
    200: answer('The clients', Affinities),
    ...failures('not_found', 'unsupported', 'limit', ...readFailures),
  },
});

const getAffinity = createRoute({
  method: 'get',
  path: '/v1/affinities/{client}',
  operationId: 'getAffinity',
  summary:
    'Who answers a client, by which rule, since when, until when, and what would change if a backend left',
  tags,
  request: {
    params,
    query: z.strictObject({
      service,
      without: backend.optional().describe('pool/name of who would leave; absent: who answers the client'),
      local,
    }),
  },
  responses: {
    200: answer('One for each service with affinity', AffinityExplanation),
    ...failures('not_found', 'unsupported', 'limit', ...readFailures),
  },
});

const releaseAffinity = createRoute({
  method: 'delete',
  path: '/v1/affinities/{client}',
  operationId: 'releaseAffinity',
  summary: 'Let a client go to where new clients of its slots go',
  description:
    'What owner, backup and all other muxes know of it is changed. Its open connections go to the other backend, too, and ' +
    'break there: `unsafe` where it may have some, unless forced. Muxes that could not be asked are named.',
  tags,
  request: { params, query: writeQuery.extend({ service, local }) },
  responses: {
    200: answer('What became of it', AffinityRelease),
    ...failures('not_found', 'unsupported', 'forbidden', ...writeFailures),
  },
});

export function addAffinityRoutes(app: OpenAPIHono<ApiEnv>, node: NodePort): void {
  app.openapi(listAffinities, async (c) => {
    const { limit, after, local, ...selection } = c.req.valid('query');
    const options = { limit, local, ...(after === undefined ? {} : { after }) };
    return c.json(await node.affinities.list(selection, options), 200);
  });

  app.openapi(getAffinity, async (c) =>
    c.json(await node.affinities.explain(c.req.valid('param').client, c.req.valid('query')), 200),
  );

  app.openapi(releaseAffinity, async (c) => {
    const query = c.req.valid('query');
    const peer = peerOf(c.get('caller'), query.local);
    return c.json(
      await node.affinities.release(c.req.valid('param').client, {
        ...query,
        ...(peer === undefined ? {} : { peer }),
      }),
      200,
    );
  });
}

/** Another node may have this one do its part of what that one was asked for, and no more. */
function peerOf({ role, subject }: Caller, isLocal: boolean): string | undefined {
  if (role !== 'peer') return undefined;
  if (isLocal) return subject ?? '';
  throw new Failure('forbidden', 'A node may not let clients go.', {
    reason: 'It asks others for their part only.',
    remedy: 'Ask with the certificate of a user: holdfast users add NAME --role operate',
  });
}
