// Owns the routes of backends.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { ClusterState, StoredBackend } from '../../config/cluster_state.ts';
import { DRAIN_MS_MAX } from '../../config/objects.ts';
import { Failure } from '../../lib/failure.ts';
import { applyPatch, backendKey } from '../../pool/edits.ts';
import { Backend, BackendPatch, BackendView, BackendViews } from '../components.ts';
import type { NodePort } from '../node_port.ts';
import {
  type ApiEnv,
  answer,
  bodyFailures,
  createRoute,
  failures,
  ifMatch,
  jsonBody,
  nameParam,
  readFailures,
  withBody,
  writeQuery,
} from '../operation.ts';
import { TOP_MAX } from '../schema/flows.ts';
import { byPoolAndName } from '../views.ts';
import { change, changed, checkIfMatch, etagOf, found, mergedInside, shown, viewsOf } from './objects.ts';

const params = z.strictObject({
  pool: nameParam.describe('Name of its pool'),
  name: nameParam.describe('Its name'),
});
const tags = ['backends'];

const listBackends = createRoute({
  method: 'get',
  path: '/v1/backends',
  operationId: 'listBackends',
  summary: 'All backends, or those of a pool, by pool and name',
  tags,
  request: { query: z.strictObject({ pool: nameParam.describe('Only those of this pool').optional() }) },
  responses: { 200: answer('The backends', BackendViews), ...failures('not_found', ...readFailures) },
});

const createBackend = createRoute({
  method: 'post',
  path: '/v1/backends',
  operationId: 'createBackend',
  summary: 'Add a backend to a pool',
  description: 'Slots move to it by its share. Answers `conflict` where the pool has a backend of this name.',
  tags,
  middleware: withBody,
  request: { query: writeQuery, body: jsonBody(Backend) },
  responses: changed(...bodyFailures),
});

const getBackend = createRoute({
  method: 'get',
  path: '/v1/backends/{pool}/{name}',
  operationId: 'getBackend',
  summary: 'One backend: its slots, its traffic and the way to it',
  tags,
  request: { query: z.strictObject({}), params },
  responses: shown('The backend', BackendView),
});

const patchBackend = createRoute({
  method: 'patch',
  path: '/v1/backends/{pool}/{name}',
  operationId: 'patchBackend',
  summary: 'Change fields of a backend; weight 0 drains it',
  description:
    'JSON merge patch (RFC 7396): fields that are absent stay, `null` takes a field away. `If-Match` is optional.',
  tags,
  middleware: withBody,
  request: {
    query: writeQuery.extend({
      deadlineMs: z.coerce
        .number()
        .int()
        .min(0)
        .max(DRAIN_MS_MAX)
        .optional()
        .describe('With weight 0: the flows that it has are given up so long from now'),
    }),
    params,
    headers: ifMatch,
    body: jsonBody(BackendPatch),
  },
  responses: changed('not_found', 'preconditionFailed', ...bodyFailures),
});

const deleteBackend = createRoute({
  method: 'delete',
  path: '/v1/backends/{pool}/{name}',
  operationId: 'deleteBackend',
  summary: 'Remove a backend; its slots move to the others',
  tags,
  request: { query: writeQuery, params, headers: ifMatch },
  responses: changed('not_found', 'preconditionFailed'),
});

function noDrain(): Failure {
  return new Failure('invalid', 'A deadline is for a backend that is drained.', {
    reason: 'The patch does not have weight 0.',
    remedy: 'Send {"weight": 0}, or leave deadlineMs out.',
  });
}

/** Of those that are drained; counting is a walk through the tables of all muxes, so for others nobody asks. */
async function flowsLeft(
  node: NodePort,
  backends: readonly StoredBackend[],
): Promise<ReadonlyMap<string, number>> {
  const drained = backends.filter(({ weight, isDead }) => weight === 0 && isDead !== true).map(backendKey);
  if (drained.length === 0) return new Map();
  try {
    const [only] = drained;
    const selection = drained.length === 1 && only !== undefined ? { backend: only } : {};
    const { groups } = await node.topFlows('backend', selection, { limit: TOP_MAX, local: false });
    const counts = new Map(groups.map(({ name, flows }) => [name, flows]));
    return new Map(drained.map((key) => [key, counts.get(key) ?? 0]));
  } catch (error) {
    // A node that is no mux, or knows no version yet, cannot say.
    if (error instanceof Failure) return new Map();
    throw error;
  }
}

export function addBackendRoutes(app: OpenAPIHono<ApiEnv>, node: NodePort): void {
  app.openapi(listBackends, async (c) => {
    const { pool } = c.req.valid('query');
    const state = node.state();
    if (pool !== undefined) found(state.pools.get(pool), 'pool', pool);
    const views = viewsOf(node);
    const backends = [...state.backends.values()].filter((it) => pool === undefined || it.pool === pool);
    const left = await flowsLeft(node, backends);
    return c.json({ items: backends.sort(byPoolAndName).map((it) => views.backend(it, left)) }, 200);
  });

  app.openapi(createBackend, async (c) => {
    const backend = c.req.valid('json');
    const edits = () => [{ kind: 'putBackend', backend, expect: 'absent' }] as const;
    return c.json(await change(node, c.req.valid('query'), edits), 200);
  });

  app.openapi(getBackend, async (c) => {
    const key = backendKey(c.req.valid('param'));
    const backend = found(node.state().backends.get(key), 'backend', key);
    const left = await flowsLeft(node, [backend]);
    return c.json(viewsOf(node).backend(backend, left), 200, { ETag: etagOf(backend) });
  });

  app.openapi(patchBackend, async (c) => {
    const key = backendKey(c.req.valid('param'));
    const patch = c.req.valid('json');
    const match = c.req.valid('header')['if-match'];
    const { deadlineMs } = c.req.valid('query');
    if (deadlineMs !== undefined && patch.weight !== 0) throw noDrain();
    const edits = (state: ClusterState) => {
      const stored = found(state.backends.get(key), 'backend', key);
      checkIfMatch(match, stored, 'backend', key);
      const backend = applyPatch(stored, mergedInside(stored, patch));
      return [{ kind: 'putBackend', backend, expect: 'present' }] as const;
    };
    return c.json(await change(node, c.req.valid('query'), edits), 200);
  });

  app.openapi(deleteBackend, async (c) => {
    const { pool, name } = c.req.valid('param');
    const key = backendKey({ pool, name });
    const match = c.req.valid('header')['if-match'];
    const edits = (state: ClusterState) => {
      checkIfMatch(match, found(state.backends.get(key), 'backend', key), 'backend', key);
      return [{ kind: 'deleteBackend', pool, name }] as const;
    };
    return c.json(await change(node, c.req.valid('query'), edits), 200);
  });
}
