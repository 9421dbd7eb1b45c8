// Owns the routes of pools.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { ClusterState } from '../../config/cluster_state.ts';
import { applyPatch } from '../../pool/edits.ts';
import { Pool, PoolPatch, PoolView, PoolViews } from '../components.ts';
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
  noQuery,
  readFailures,
  withBody,
  writeQuery,
} from '../operation.ts';
import { byName } from '../views.ts';
import { change, changed, checkIfMatch, etagOf, found, mergedInside, shown, viewsOf } from './objects.ts';

const params = z.strictObject({ name: nameParam });
const tags = ['pools'];

const listPools = createRoute({
  method: 'get',
  path: '/v1/pools',
  operationId: 'listPools',
  summary: 'All pools, by name',
  tags,
  request: { query: noQuery },
  responses: { 200: answer('The pools', PoolViews), ...failures(...readFailures) },
});

const createPool = createRoute({
  method: 'post',
  path: '/v1/pools',
  operationId: 'createPool',
  summary: 'Add a pool',
  description: 'Its number of slots is for good. Answers `conflict` where a pool of this name does already.',
  tags,
  middleware: withBody,
  request: { query: writeQuery, body: jsonBody(Pool) },
  responses: changed(...bodyFailures),
});

const getPool = createRoute({
  method: 'get',
  path: '/v1/pools/{name}',
  operationId: 'getPool',
  summary: 'One pool: its services, its backends and their shares',
  tags,
  request: { query: noQuery, params },
  responses: shown('The pool', PoolView),
});

const patchPool = createRoute({
  method: 'patch',
  path: '/v1/pools/{name}',
  operationId: 'patchPool',
  summary: 'Change how the backends of a pool are checked, and how they begin',
  description:
    'JSON merge patch (RFC 7396): fields that are absent stay, `null` takes a field away. `If-Match` is optional.',
  tags,
  middleware: withBody,
  request: { query: writeQuery, params, headers: ifMatch, body: jsonBody(PoolPatch) },
  responses: changed('not_found', 'preconditionFailed', ...bodyFailures),
});

const deletePool = createRoute({
  method: 'delete',
  path: '/v1/pools/{name}',
  operationId: 'deletePool',
  summary: 'Remove a pool',
  description: 'Answers `in_use` while it has backends or services.',
  tags,
  request: { query: writeQuery, params, headers: ifMatch },
  responses: changed('not_found', 'preconditionFailed'),
});

export function addPoolRoutes(app: OpenAPIHono<ApiEnv>, node: NodePort): void {
  app.openapi(listPools, (c) => {
    const views = viewsOf(node);
    return c.json({ items: [...node.state().pools.values()].sort(byName).map((it) => views.pool(it)) }, 200);
  });

  app.openapi(createPool, async (c) => {
    const pool = c.req.valid('json');
    const edits = () => [{ kind: 'putPool', pool, expect: 'absent' }] as const;
    return c.json(await change(node, c.req.valid('query'), edits), 200);
  });

  app.openapi(getPool, (c) => {
    const { name } = c.req.valid('param');
    const pool = found(node.state().pools.get(name), 'pool', name);
    return c.json(viewsOf(node).pool(pool), 200, { ETag: etagOf(pool) });
  });

  app.openapi(patchPool, async (c) => {
    const { name } = c.req.valid('param');
    const patch = c.req.valid('json');
    const match = c.req.valid('header')['if-match'];
    const edits = (state: ClusterState) => {
      const stored = found(state.pools.get(name), 'pool', name);
      checkIfMatch(match, stored, 'pool', name);
      const pool = applyPatch(stored, mergedInside(stored, patch));
      return [{ kind: 'putPool', pool, expect: 'present' }] as const;
    };
    return c.json(await change(node, c.req.valid('query'), edits), 200);
  });

  app.openapi(deletePool, async (c) => {
    const { name } = c.req.valid('param');
    const match = c.req.valid('header')['if-match'];
    const edits = (state: ClusterState) => {
      checkIfMatch(match, found(state.pools.get(name), 'pool', name), 'pool', name);
      return [{ kind: 'deletePool', name }] as const;
    };
    return c.json(await change(node, c.req.valid('query'), edits), 200);
  });
}
