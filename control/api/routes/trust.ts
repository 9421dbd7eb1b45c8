// Owns the routes of trust: the cluster's authority, join tokens, users, and certificates.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { Failure } from '../../lib/failure.ts';
import {
  AddUserRequest,
  CreateTokenRequest,
  InitRequest,
  JoinClusterRequest,
  LeaveRequest,
  Members,
  NewToken,
  NewUser,
  Renewed,
  RenewRequest,
  RotateRequest,
  SetUserRequest,
} from '../components/trust.ts';
import type { NodePort } from '../node_port.ts';
import {
  type ApiEnv,
  answer,
  bodyFailures,
  createRoute,
  failures,
  jsonBody,
  nameParam,
  noQuery,
  readFailures,
  withBody,
} from '../operation.ts';

const tags = ['trust'];
const members = answer('Who is trusted now', Members);
const own = [...bodyFailures, 'conflict', 'unsupported', 'configuration', ...readFailures] as const;

const getMembers = createRoute({
  method: 'get',
  path: '/v1/cluster/members',
  operationId: 'getMembers',
  summary: 'Who has a certificate of the cluster: nodes, users; and join tokens',
  tags,
  request: { query: noQuery },
  responses: { 200: members, ...failures(...readFailures) },
});

const initCluster = createRoute({
  method: 'post',
  path: '/v1/cluster/init',
  operationId: 'initCluster',
  summary: "Make the cluster's authority, with this node as its first member",
  description: '`conflict` where there is one in the store already.',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(InitRequest) },
  responses: { 200: members, ...failures(...own) },
});

const joinCluster = createRoute({
  method: 'post',
  path: '/v1/cluster/join',
  operationId: 'joinCluster',
  summary: 'Have this node join the cluster of a join token',
  description:
    'Nothing is sent to who does not show the authority that the token is of. `forbidden` where the token was used or has ' +
    'expired, `conflict` where another node has joined under the name of this one.',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(JoinClusterRequest) },
  responses: { 200: members, ...failures('forbidden', ...own) },
});

const leaveCluster = createRoute({
  method: 'post',
  path: '/v1/cluster/leave',
  operationId: 'leaveCluster',
  summary: 'Give the certificate of this node back: it does not count any more',
  description:
    '`unsafe` while this mux keeps flows (drain it first), or where no other node makes certificates.',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(LeaveRequest) },
  responses: { 200: members, ...failures('unsafe', ...own) },
});

const rotateCluster = createRoute({
  method: 'post',
  path: '/v1/cluster/rotate',
  operationId: 'rotateCluster',
  summary: 'Have all nodes take new certificates, or replace the authority as well',
  description:
    'Answers at once; GET /v1/cluster/members says how far it is. Both authorities are believed until nobody has a ' +
    'certificate of the one before. The key between muxes is POST /v1/keys/rotate.',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(RotateRequest) },
  responses: { 200: members, ...failures('not_found', ...own) },
});

const createToken = createRoute({
  method: 'post',
  path: '/v1/cluster/tokens',
  operationId: 'createToken',
  summary: 'Make a token with which one node can join, once',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(CreateTokenRequest) },
  responses: { 200: answer('The token', NewToken), ...failures('not_found', 'limit', ...own) },
});

const removeToken = createRoute({
  method: 'delete',
  path: '/v1/cluster/tokens/{id}',
  operationId: 'removeToken',
  summary: 'Take a join token back',
  tags,
  request: {
    query: noQuery,
    params: z.strictObject({ id: z.string().max(64).describe('Id of the token, as members show it') }),
  },
  responses: { 200: members, ...failures('not_found', 'unsupported', ...readFailures) },
});

const addUser = createRoute({
  method: 'post',
  path: '/v1/cluster/users',
  operationId: 'addUser',
  summary: 'Make a certificate for a user of the API',
  description: 'Of a user that there is already it replaces the certificate and the role.',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(AddUserRequest) },
  responses: { 200: answer('The certificate', NewUser), ...failures('not_found', 'limit', ...own) },
});

const userParams = z.strictObject({ name: nameParam.describe('Name of the user') });

const setUser = createRoute({
  method: 'patch',
  path: '/v1/cluster/users/{name}',
  operationId: 'setUser',
  summary: 'Give a user another role',
  tags,
  middleware: withBody,
  request: { query: noQuery, params: userParams, body: jsonBody(SetUserRequest) },
  responses: { 200: members, ...failures('not_found', ...own) },
});

const removeUser = createRoute({
  method: 'delete',
  path: '/v1/cluster/users/{name}',
  operationId: 'removeUser',
  summary: 'Remove a user: the certificate does not count any more',
  tags,
  request: { query: noQuery, params: userParams },
  responses: { 200: members, ...failures('not_found', 'unsupported', ...readFailures) },
});

const renewCertificate = createRoute({
  method: 'post',
  path: '/v1/cluster/renew',
  operationId: 'renewCertificate',
  summary: 'Make another certificate for the node that asks',
  description: 'For nodes that make none themselves; who asks is who its certificate says.',
  tags,
  middleware: withBody,
  request: { query: noQuery, body: jsonBody(RenewRequest) },
  responses: { 200: answer('The certificate', Renewed), ...failures('forbidden', 'not_found', ...own) },
});

export function addTrustRoutes(app: OpenAPIHono<ApiEnv>, { trust }: NodePort): void {
  app.openapi(getMembers, async (c) => c.json(await trust.members(), 200));
  app.openapi(initCluster, async (c) => c.json(await trust.init(), 200));
  app.openapi(joinCluster, async (c) => c.json(await trust.join(c.req.valid('json').token), 200));
  app.openapi(leaveCluster, async (c) => c.json(await trust.leave(c.req.valid('json')), 200));
  app.openapi(rotateCluster, async (c) => c.json(await trust.rotate(c.req.valid('json').what), 200));
  app.openapi(createToken, async (c) => c.json(await trust.createToken(c.req.valid('json')), 200));
  app.openapi(removeToken, async (c) => c.json(await trust.removeToken(c.req.valid('param').id), 200));
  app.openapi(addUser, async (c) => c.json(await trust.addUser(c.req.valid('json')), 200));
  app.openapi(setUser, async (c) => {
    const { role } = c.req.valid('json');
    return c.json(await trust.setUser(c.req.valid('param').name, role), 200);
  });
  app.openapi(removeUser, async (c) => c.json(await trust.removeUser(c.req.valid('param').name), 200));
  app.openapi(renewCertificate, async (c) => {
    const { role, subject, serial } = c.get('caller');
    const { publicKey, addresses } = c.req.valid('json');
    if (role !== 'peer' || subject === undefined) {
      throw new Failure('forbidden', 'Only a node renews its certificate.', {
        remedy: 'For a user: holdfast users add NAME',
      });
    }
    return c.json(await trust.renew(subject, publicKey, addresses, serial), 200);
  });
}
