// Owns the routes that are about this node: how it is, what it counts, what it would do with a packet, its programs.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { interfaceNameSchema } from '../../config/node.ts';
import {
  Attachments,
  AttachRequest,
  DetachRequest,
  ExplainRequest,
  Explanation,
  Findings,
  Stats,
  Status,
} from '../components.ts';
import type { NodePort } from '../node_port.ts';
import {
  type ApiEnv,
  answer,
  createRoute,
  failures,
  jsonBody,
  noQuery,
  readFailures,
  withBody,
} from '../operation.ts';

const tags = ['node'];

const getStatus = createRoute({
  method: 'get',
  path: '/v1/status',
  operationId: 'getStatus',
  summary: 'How this node is: programs, store, limits, problems',
  tags,
  request: { query: noQuery },
  responses: { 200: answer('The status', Status), ...failures(...readFailures) },
});

const getStats = createRoute({
  method: 'get',
  path: '/v1/stats',
  operationId: 'getStats',
  summary: 'What this node has counted',
  tags,
  request: { query: noQuery },
  responses: { 200: answer('The counters', Stats), ...failures(...readFailures) },
});

const explain = createRoute({
  method: 'post',
  path: '/v1/explain',
  operationId: 'explain',
  summary: 'What the program would do with a packet, and why',
  description: 'The loaded program decides; no counter and no table changes.',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(ExplainRequest) },
  responses: {
    200: answer('What would become of the packet', Explanation),
    ...failures('bodyTooLarge', 'unsupportedMediaType', 'not_found', 'unsupported', ...readFailures),
  },
});

const attach = createRoute({
  method: 'post',
  path: '/v1/attach',
  operationId: 'attach',
  summary: 'Attach the programs to an interface',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(AttachRequest) },
  responses: {
    200: answer('What is attached now', Attachments),
    ...failures(
      'bodyTooLarge',
      'unsupportedMediaType',
      'not_found',
      'conflict',
      'unsupported',
      ...readFailures,
    ),
  },
});

const detach = createRoute({
  method: 'post',
  path: '/v1/detach',
  operationId: 'detach',
  summary: 'Take the programs off an interface: this node stops handling its packets',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(DetachRequest) },
  responses: {
    200: answer('What is still attached', Attachments),
    ...failures('bodyTooLarge', 'unsupportedMediaType', 'not_found', ...readFailures),
  },
});

const doctor = createRoute({
  method: 'get',
  path: '/v1/doctor',
  operationId: 'doctor',
  summary: 'Look for what keeps this host from forwarding, or from forwarding fast',
  tags,
  request: {
    query: z.strictObject({
      interface: interfaceNameSchema.optional().describe('Absent: those that the node is configured for'),
    }),
  },
  responses: { 200: answer('What was found', Findings), ...failures('not_found', ...readFailures) },
});

export function addNodeRoutes(app: OpenAPIHono<ApiEnv>, node: NodePort): void {
  app.openapi(getStatus, (c) => c.json(node.status(), 200));

  app.openapi(getStats, (c) => c.json(node.stats(), 200));

  app.openapi(explain, async (c) => c.json(await node.explain(c.req.valid('json')), 200));

  app.openapi(attach, async (c) => {
    const { interface: name, mode } = c.req.valid('json');
    const items = await node.attach({
      ...(name === undefined ? {} : { interface: name }),
      ...(mode === undefined ? {} : { mode }),
    });
    return c.json({ items }, 200);
  });

  app.openapi(detach, async (c) => {
    const { interface: name } = c.req.valid('json');
    return c.json({ items: await node.detach(name === undefined ? {} : { interface: name }) }, 200);
  });

  app.openapi(doctor, async (c) => {
    const items = [...(await node.doctor(c.req.valid('query').interface))];
    return c.json({ items }, 200);
  });
}
