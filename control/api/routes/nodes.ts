// Owns the routes of nodes: who takes part in the cluster, draining and forgetting.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { Failure } from '../../lib/failure.ts';
import { DrainRequest, Keys, NodeChange, NodeView, NodeViews, RotateKeysRequest } from '../components.ts';
import type { NodeCheck, NodePort } from '../node_port.ts';
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
  writeFailures,
  writeQuery,
} from '../operation.ts';
import type { NodeView as View } from '../schema.ts';
import { checkTag, shown } from './objects.ts';

const params = z.strictObject({ name: nameParam });
const tags = ['nodes'];

const listNodes = createRoute({
  method: 'get',
  path: '/v1/nodes',
  operationId: 'listNodes',
  summary: 'All nodes, by name: who takes part, how far each is, who hears whom',
  description: 'What this node measures, such as when it last heard another, is of this node alone.',
  tags,
  request: { query: noQuery },
  responses: { 200: answer('The nodes', NodeViews), ...failures(...readFailures) },
});

const getNode = createRoute({
  method: 'get',
  path: '/v1/nodes/{name}',
  operationId: 'getNode',
  summary: 'One node',
  tags,
  request: { query: noQuery, params },
  responses: shown('The node', NodeView),
});

const drainNode = createRoute({
  method: 'post',
  path: '/v1/nodes/{name}/drain',
  operationId: 'drainNode',
  summary: 'Let a mux hand over what it keeps, and leave',
  description:
    'Answers at once; GET /v1/nodes says how far it is. `unsafe` where it is the last member, `unsupported` where it is ' +
    'no mux. It stays away, also after it begins again, until `undo`.',
  tags,
  middleware: withBody,
  request: { query: writeQuery, params, headers: ifMatch, body: jsonBody(DrainRequest) },
  responses: {
    200: answer('What follows', NodeChange),
    ...failures(...bodyFailures, 'not_found', 'unsupported', 'preconditionFailed', ...writeFailures),
  },
});

const removeNode = createRoute({
  method: 'delete',
  path: '/v1/nodes/{name}',
  operationId: 'removeNode',
  summary: 'Forget a node that is gone',
  description:
    'Its id and its name become free. `unsafe` where the node is alive: it would come back under another id.',
  tags,
  request: { query: writeQuery, params, headers: ifMatch },
  responses: {
    200: answer('What follows', NodeChange),
    ...failures('not_found', 'preconditionFailed', ...writeFailures),
  },
});

const getKeys = createRoute({
  method: 'get',
  path: '/v1/keys',
  operationId: 'getKeys',
  summary: 'How far a change of the key is that headers between muxes are signed with',
  tags,
  request: { query: noQuery },
  responses: { 200: answer('The state, without secrets', Keys), ...failures(...readFailures) },
});

const rotateKeys = createRoute({
  method: 'post',
  path: '/v1/keys/rotate',
  operationId: 'rotateKeys',
  summary: 'Change the key that headers between muxes are signed with',
  description:
    'Answers at once. The leader does the rest: every mux learns the new key, then signs with it, then forgets the old ' +
    'one, each once all have done what comes before. `conflict` while a change is under way.',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(RotateKeysRequest) },
  responses: {
    200: answer('The state it begins with', Keys),
    ...failures(...bodyFailures, 'conflict', ...readFailures),
  },
});

export function addNodesRoutes(app: OpenAPIHono<ApiEnv>, node: NodePort): void {
  app.openapi(getKeys, async (c) => c.json(await node.keys(), 200));
  app.openapi(rotateKeys, async (c) => c.json(await node.rotateKeys(), 200));

  app.openapi(listNodes, async (c) => c.json({ items: [...(await node.nodes())] }, 200));

  app.openapi(getNode, async (c) => {
    const { name } = c.req.valid('param');
    const found = (await node.nodes()).find((it) => it.name === name);
    if (found === undefined) throw noSuchNode(name);
    return c.json(found, 200, { ETag: etagOf(found) });
  });

  app.openapi(drainNode, async (c) => {
    const { undo } = c.req.valid('json');
    const check = checkOf(c.req.valid('header')['if-match']);
    return c.json(
      await node.drainNode(c.req.valid('param').name, { undo, check, ...c.req.valid('query') }),
      200,
    );
  });

  app.openapi(removeNode, async (c) => {
    const check = checkOf(c.req.valid('header')['if-match']);
    return c.json(await node.removeNode(c.req.valid('param').name, { check, ...c.req.valid('query') }), 200);
  });
}

function noSuchNode(name: string): Failure {
  return new Failure('not_found', `There is no node ${name}.`, {
    remedy: 'See those there are: holdfast nodes list',
  });
}

function checkOf(header: string | undefined): NodeCheck {
  return (view) => checkTag(header, etagOf(view), `node ${view.name}`, stateOf(view));
}

/** What somebody who drains or forgets a node has seen of it; what is measured has no part in it. */
function etagOf({ id = 0, incarnation = 0, state }: View): string {
  return `"${id}-${incarnation}-${state}"`;
}

function stateOf({ state, incarnation }: View): string {
  return incarnation === undefined ? state : `${state}, incarnation ${incarnation}`;
}
