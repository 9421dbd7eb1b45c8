// Owns the route of changes that are under way.
import type { OpenAPIHono } from '@hono/zod-openapi';
import { Changes } from '../components.ts';
import type { NodePort } from '../node_port.ts';
import { type ApiEnv, answer, createRoute, failures, noQuery, readFailures } from '../operation.ts';

const getChanges = createRoute({
  method: 'get',
  path: '/v1/changes',
  operationId: 'getChanges',
  summary: 'Changes of slots that are under way, what each waits for, and the last that have ended',
  description:
    'Any node answers, from what muxes have acknowledged and reported; times are counted from when this node saw ' +
    'a step first. GET /v1/events tells of each step as it comes.',
  tags: ['cluster'],
  request: { query: noQuery },
  responses: { 200: answer('The changes', Changes), ...failures(...readFailures) },
});

export function addChangeRoutes(app: OpenAPIHono<ApiEnv>, node: NodePort): void {
  app.openapi(getChanges, async (c) => c.json(await node.changes(), 200));
}
