// Owns the API as a function from requests to answers: which routes there are, what every request passes through, and
// what becomes of errors. Listening for requests is listen.ts; what a route does is in routes/.
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { routePath } from 'hono/route';
import type { Logger } from 'pino';
import { Failure } from '../lib/failure.ts';
import { EventLog, followEvents, KEEP_ALIVE_MS } from './events.ts';
import { failureOf, failureResponse, RequestFailure, validationFailure } from './failures.ts';
import { Metrics } from './metrics.ts';
import type { NodePort } from './node_port.ts';
import { type OpenApiDocument, openApiDocument } from './openapi.ts';
import type { ApiEnv } from './operation.ts';
import { callerOf, checkPermission, type Recognize, recognized } from './permission.ts';
import { addAffinityRoutes } from './routes/affinity.ts';
import { addBackendRoutes } from './routes/backends.ts';
import { addChangeRoutes } from './routes/changes.ts';
import { addClusterRoutes } from './routes/cluster.ts';
import { addDescriptionRoutes } from './routes/description.ts';
import { addFileRoutes } from './routes/files.ts';
import { addFlowRoutes } from './routes/flows.ts';
import { addNamespaceRoutes } from './routes/namespace.ts';
import { addNodeRoutes } from './routes/node.ts';
import { addNodesRoutes } from './routes/nodes.ts';
import { addPoolRoutes } from './routes/pools.ts';
import { addServiceRoutes } from './routes/services.ts';
import { addStreamRoutes } from './routes/streams.ts';
import { addTrustRoutes } from './routes/trust.ts';
import { STALL_MS } from './stream.ts';

/** Of path and query, in the log. */
const LOGGED_TARGET_CHARACTERS_MAX = 300;

export type ApiOptions = {
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  /** Aborted when the daemon stops: streams end then. */
  readonly stopping: AbortSignal;
  readonly nowMs?: () => number;
  /** Who that is, where connections are of the cluster's own certificates. @throws Failure where it is nobody. */
  readonly recognize?: Recognize | undefined;
  readonly keepAliveMs?: number;
  readonly stallMs?: number;
};

export type Api = OpenAPIHono<ApiEnv>;

export function createApi(node: NodePort, options: ApiOptions): Api {
  const {
    log,
    stopping,
    recognize,
    nowMs = Date.now,
    keepAliveMs = KEEP_ALIVE_MS,
    stallMs = STALL_MS,
  } = options;
  const app: Api = new OpenAPIHono<ApiEnv>({
    defaultHook: (result) => {
      if (!result.success) throw validationFailure(result.target, result.error);
    },
  });
  const metrics = new Metrics(node);
  const operations = new Map<string, string>();
  const report = reporter(log);
  const events = new EventLog(nowMs().toString(36));
  void followEvents(node, events, stopping, (error) => report(error, 'followEvents'));

  app.use(async (c, next) => {
    const startedAtMs = nowMs();
    c.set(
      'operation',
      operations.get(`${c.req.method === 'HEAD' ? 'GET' : c.req.method} ${lastRoute(c)}`) ?? 'none',
    );
    c.set('caller', callerOf(c));
    try {
      c.set('caller', await recognized(c, recognize));
      checkPermission(c.get('caller'), c.get('operation'));
      await next();
    } catch (thrown) {
      // hono hands only Errors to onError().
      c.res = failureResponse(report(thrown, c.get('operation')));
    }
    c.header('cache-control', 'no-store');
    c.header('x-content-type-options', 'nosniff');
    metrics.countRequest(c.get('operation'), c.res.status);
    logRequest(log, c, nowMs() - startedAtMs);
  });

  addNodeRoutes(app, node);
  addServiceRoutes(app, node);
  addPoolRoutes(app, node);
  addBackendRoutes(app, node);
  addClusterRoutes(app, node);
  addNodesRoutes(app, node);
  addChangeRoutes(app, node);
  addFlowRoutes(app, node);
  addAffinityRoutes(app, node);
  addTrustRoutes(app, node);
  addNamespaceRoutes(app, node);
  addFileRoutes(app, node);
  addStreamRoutes(app, node, { events, stopping, keepAliveMs, stallMs, nowMs, report });
  let document: OpenApiDocument | undefined;
  addDescriptionRoutes(app, metrics, () => {
    document ??= openApiDocument(app);
    return document;
  });
  nameOperations(app, operations);
  refuseOtherMethods(app);

  app.notFound((c) => failureResponse(noSuchRoute(c)));
  app.onError((error, c) => failureResponse(report(error, c.get('operation'))));
  return app;
}

/** Bugs are logged with the id that the client gets; failures of the node, without which it would seem idle, too. */
function reporter(log: ApiOptions['log']): (error: unknown, operation: string) => Failure {
  return (error, operation) => {
    const { failure, bugId } = failureOf(error);
    if (bugId !== undefined) log.error({ bugId, operation, err: error }, 'a bug stopped a request');
    else if (failure.code === 'unavailable' || failure.code === 'timeout' || failure.code === 'internal') {
      log.warn({ operation, code: failure.code, cause: failure.reason }, failure.message);
    }
    return failure;
  };
}

function logRequest(log: ApiOptions['log'], c: Context<ApiEnv>, ms: number): void {
  const record = {
    operation: c.get('operation'),
    method: c.req.method,
    target: targetOf(c),
    status: c.res.status,
    ms,
    caller: c.get('caller'),
  };
  const reads = c.req.method === 'GET' || c.req.method === 'HEAD';
  log[reads ? 'debug' : 'info'](record, 'request');
}

/** Path and query, without the host, which a client may make up. */
function targetOf(c: Context): string {
  const { url } = c.req;
  return url.slice(url.indexOf('/', url.indexOf('://') + 3)).slice(0, LOGGED_TARGET_CHARACTERS_MAX);
}

/** The path, with its parameters, of the route that will answer. */
function lastRoute(c: Context): string {
  return routePath(c, -1);
}

function nameOperations(app: Api, operations: Map<string, string>): void {
  for (const definition of app.openAPIRegistry.definitions) {
    if (definition.type !== 'route') continue;
    const { method, path, operationId } = definition.route;
    operations.set(`${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`, operationId!);
  }
}

function refuseOtherMethods(app: Api): void {
  const methods = Map.groupBy(
    app.routes.filter(({ method }) => method !== 'ALL'),
    ({ path }) => path,
  );
  for (const [path, routes] of methods) {
    const allowed = [...new Set(routes.map(({ method }) => method))];
    if (allowed.includes('GET')) allowed.push('HEAD');
    const allow = allowed.join(', ');
    app.all(path, (c) => {
      throw new RequestFailure('methodNotAllowed', `${c.req.method} cannot be done here.`, {
        reason: `This path has ${allow}.`,
        remedy: 'See GET /v1/openapi.json.',
        headers: { allow },
      });
    });
  }
}

function noSuchRoute(c: Context): Failure {
  return new Failure('not_found', 'There is nothing at this path.', {
    reason: `It is ${JSON.stringify(c.req.path.slice(0, LOGGED_TARGET_CHARACTERS_MAX))}.`,
    remedy: 'See GET /v1/openapi.json.',
  });
}
