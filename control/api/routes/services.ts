// Owns the routes of services.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { ClusterState } from '../../config/cluster_state.ts';
import { applyPatch } from '../../pool/edits.ts';
import { Service, ServicePatch, ServiceView, ServiceViews } from '../components.ts';
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
const tags = ['services'];

const listServices = createRoute({
  method: 'get',
  path: '/v1/services',
  operationId: 'listServices',
  summary: 'All services, by name',
  tags,
  request: { query: noQuery },
  responses: { 200: answer('The services', ServiceViews), ...failures(...readFailures) },
});

const createService = createRoute({
  method: 'post',
  path: '/v1/services',
  operationId: 'createService',
  summary: 'Add a service',
  description: 'Its pool must exist. Answers `conflict` where a service of this name does already.',
  tags,
  middleware: withBody,
  request: { query: writeQuery, body: jsonBody(Service) },
  responses: changed(...bodyFailures),
});

const getService = createRoute({
  method: 'get',
  path: '/v1/services/{name}',
  operationId: 'getService',
  summary: 'One service',
  tags,
  request: { query: noQuery, params },
  responses: shown('The service', ServiceView),
});

const patchService = createRoute({
  method: 'patch',
  path: '/v1/services/{name}',
  operationId: 'patchService',
  summary: 'Change fields of a service',
  description:
    'JSON merge patch (RFC 7396): fields that are absent stay, `null` takes a field away. `If-Match` is optional.',
  tags,
  middleware: withBody,
  request: { query: writeQuery, params, headers: ifMatch, body: jsonBody(ServicePatch) },
  responses: changed('not_found', 'preconditionFailed', ...bodyFailures),
});

const deleteService = createRoute({
  method: 'delete',
  path: '/v1/services/{name}',
  operationId: 'deleteService',
  summary: 'Remove a service',
  tags,
  request: { query: writeQuery, params, headers: ifMatch },
  responses: changed('not_found', 'preconditionFailed'),
});

export function addServiceRoutes(app: OpenAPIHono<ApiEnv>, node: NodePort): void {
  app.openapi(listServices, (c) => {
    const views = viewsOf(node);
    const items = [...node.state().services.values()].sort(byName).map((it) => views.service(it));
    return c.json({ items }, 200);
  });

  app.openapi(createService, async (c) => {
    const service = c.req.valid('json');
    const edits = () => [{ kind: 'putService', service, expect: 'absent' }] as const;
    return c.json(await change(node, c.req.valid('query'), edits), 200);
  });

  app.openapi(getService, (c) => {
    const { name } = c.req.valid('param');
    const service = found(node.state().services.get(name), 'service', name);
    return c.json(viewsOf(node).service(service), 200, { ETag: etagOf(service) });
  });

  app.openapi(patchService, async (c) => {
    const { name } = c.req.valid('param');
    const patch = c.req.valid('json');
    const match = c.req.valid('header')['if-match'];
    const edits = (state: ClusterState) => {
      const stored = found(state.services.get(name), 'service', name);
      checkIfMatch(match, stored, 'service', name);
      const service = applyPatch(stored, mergedInside(stored, patch));
      return [{ kind: 'putService', service, expect: 'present' }] as const;
    };
    return c.json(await change(node, c.req.valid('query'), edits), 200);
  });

  app.openapi(deleteService, async (c) => {
    const { name } = c.req.valid('param');
    const match = c.req.valid('header')['if-match'];
    const edits = (state: ClusterState) => {
      checkIfMatch(match, found(state.services.get(name), 'service', name), 'service', name);
      return [{ kind: 'deleteService', name }] as const;
    };
    return c.json(await change(node, c.req.valid('query'), edits), 200);
  });
}
