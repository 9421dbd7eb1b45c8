// Owns the routes of the file service of this node: who is served, and what was counted.
import type { OpenAPIHono } from '@hono/zod-openapi';
import { FileClientItem, FilesStatsAnswer } from '../components/files.ts';
import type { NodePort } from '../node_port.ts';
import { type ApiEnv, answer, createRoute, failures, noQuery, readFailures } from '../operation.ts';
import { itemsSchema } from '../schema.ts';

const tags = ['files'];

const getFilesStats = createRoute({
  method: 'get',
  path: '/v1/files/stats',
  operationId: 'getFilesStats',
  summary: 'What the file service of this node has counted, by procedure and by link',
  tags,
  request: { query: noQuery },
  responses: {
    200: answer('The counters, since its server began', FilesStatsAnswer),
    ...failures('unsupported', ...readFailures),
  },
});

const listFileClients = createRoute({
  method: 'get',
  path: '/v1/files/clients',
  operationId: 'listFileClients',
  summary: 'Clients of the file service of this node: those that are connected, and those that were',
  tags,
  request: { query: noQuery },
  responses: {
    200: answer('The clients', itemsSchema(FileClientItem)),
    ...failures('unsupported', ...readFailures),
  },
});

export function addFileRoutes(app: OpenAPIHono<ApiEnv>, { files }: NodePort): void {
  app.openapi(getFilesStats, async (c) => c.json(await files.stats(), 200));

  app.openapi(listFileClients, async (c) => c.json({ items: await files.clients() }, 200));
}
