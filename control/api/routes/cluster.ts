// Owns the routes that are about all objects at once.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { ClusterState } from '../../config/cluster_state.ts';
import type { Document as DocumentOf } from '../../config/objects.ts';
import { documentOf, editsTowards } from '../../pool/edits.ts';
import { checkDocumentHasServices } from '../../pool/rules.ts';
import { Change, Document } from '../components.ts';
import type { NodePort } from '../node_port.ts';
import {
  type ApiEnv,
  answer,
  bodyFailures,
  createRoute,
  failures,
  jsonBody,
  noQuery,
  readFailures,
  withBody,
  writeFailures,
  writeQuery,
} from '../operation.ts';
import { change, changed, type WriteOptions } from './objects.ts';

const tags = ['cluster'];

const applyDocument = createRoute({
  method: 'post',
  path: '/v1/apply',
  operationId: 'applyDocument',
  summary: 'Make the cluster be what the document says',
  description:
    'What is not in the document goes; one without services is `unsafe` where there are some. All of it happens at once, ' +
    'or nothing does.',
  tags,
  middleware: withBody,
  request: { query: writeQuery, body: jsonBody(Document) },
  responses: changed(...bodyFailures),
});

const planDocument = createRoute({
  method: 'post',
  path: '/v1/plan',
  operationId: 'planDocument',
  summary: 'What applying a document would do, and how slots would move',
  description:
    'As `POST /v1/apply?dryRun=true`, for whoever may not change anything. What edits that are made already still ' +
    'have to do is `GET /v1/changes`.',
  tags,
  middleware: withBody,
  request: {
    query: z.strictObject({ force: writeQuery.shape.force }),
    body: jsonBody(Document),
  },
  responses: {
    200: answer('What would change', Change),
    ...failures(...bodyFailures, ...writeFailures),
  },
});

const exportDocument = createRoute({
  method: 'get',
  path: '/v1/export',
  operationId: 'exportDocument',
  summary: 'The cluster as a document that apply takes',
  tags,
  request: { query: noQuery },
  responses: { 200: answer('The document', Document), ...failures(...readFailures) },
});

export function addClusterRoutes(app: OpenAPIHono<ApiEnv>, node: NodePort): void {
  const apply = (document: DocumentOf, options: WriteOptions) =>
    change(node, { ...options, isWhole: true }, (state: ClusterState) => {
      if (!options.force) checkDocumentHasServices(state, document);
      return editsTowards(state, document);
    });

  app.openapi(applyDocument, async (c) =>
    c.json(await apply(c.req.valid('json'), c.req.valid('query')), 200),
  );

  app.openapi(planDocument, async (c) =>
    c.json(await apply(c.req.valid('json'), { ...c.req.valid('query'), dryRun: true }), 200),
  );

  app.openapi(exportDocument, (c) => c.json(documentOf(node.state()), 200));
}
