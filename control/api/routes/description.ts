// Owns the routes by which the API describes itself: its metrics and its OpenAPI document.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Metrics } from '../metrics.ts';
import type { OpenApiDocument } from '../openapi.ts';
import { type ApiEnv, answer, createRoute, failures, noQuery, readFailures } from '../operation.ts';

const tags = ['observation'];

const getMetrics = createRoute({
  method: 'get',
  path: '/metrics',
  operationId: 'getMetrics',
  summary: 'Metrics in the text format of Prometheus',
  tags,
  request: { query: noQuery },
  responses: {
    200: { description: 'The metrics', content: { 'text/plain': { schema: z.string() } } },
    ...failures(...readFailures),
  },
});

const getOpenApi = createRoute({
  method: 'get',
  path: '/v1/openapi.json',
  operationId: 'getOpenApi',
  summary: 'This document',
  tags,
  request: { query: noQuery },
  responses: {
    200: answer('OpenAPI 3.1', z.record(z.string(), z.unknown())),
    ...failures('internal'),
  },
});

export function addDescriptionRoutes(
  app: OpenAPIHono<ApiEnv>,
  metrics: Metrics,
  document: () => OpenApiDocument,
): void {
  app.openapi(getMetrics, async (c) =>
    c.text(await metrics.text(), 200, { 'content-type': metrics.contentType }),
  );

  app.openapi(getOpenApi, (c) => c.json(document() as unknown as Record<string, never>, 200));
}
