// Owns an API over a FakeNode for tests. Every answer that passes through ask() is held to the OpenAPI document.
import { afterEach } from 'vitest';
import { type Api, type ApiOptions, createApi } from '../../../../control/api/server.ts';
import type { FailureBody } from '../../../../control/lib/failure.ts';
import { backend, pool, putBackend, putPool, putService, service } from '../../pool/lib/cluster.ts';
import { type Document, expectDeclared } from './conformity.ts';
import { FakeNode } from './fake_node.ts';

export type LogRecord = { level: string; record: Record<string, unknown>; message: string };

// biome-ignore lint/suspicious/noExplicitAny: tests look into what they expect, and fail where it is something else
export type Answer = { status: number; headers: Headers; text: string; json: any };

export type TestApi = {
  app: Api;
  node: FakeNode;
  logged: LogRecord[];
  stop: () => void;
  ask: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;
};

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

/** Stopped at the end of the test. */
export function testApi(options: Partial<ApiOptions> = {}): TestApi {
  const node = new FakeNode();
  const logged: LogRecord[] = [];
  const stopping = new AbortController();
  stops.push(() => stopping.abort());
  const level = (name: string) => (record: unknown, message?: string) => {
    logged.push({ level: name, record: record as Record<string, unknown>, message: message ?? '' });
  };
  const log = { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') };
  const app = createApi(node, { log: log as ApiOptions['log'], stopping: stopping.signal, ...options });
  return { app, node, logged, stop: () => stopping.abort(), ask: asker(app) };
}

/** The same with pool `web` of two backends and service `www`. */
export function testCluster(options: Partial<ApiOptions> = {}): TestApi {
  const api = testApi(options);
  api.node.change(
    putPool(pool('web')),
    putBackend(backend('web/b1')),
    putBackend(backend('web/b2', { address: '192.0.2.2' })),
    putService(service('www')),
  );
  return api;
}

function asker(app: Api): TestApi['ask'] {
  let document: Document | undefined;
  return async (method, path, body, headers) => {
    document ??= (await (await app.request('/v1/openapi.json', {}, {})).json()) as Document;
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await app.request(
      path,
      {
        method,
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        headers: headers ?? json,
      },
      {},
    );
    const text = await response.text();
    const type = response.headers.get('content-type') ?? undefined;
    const parsed = type === 'application/json' && text !== '' ? JSON.parse(text) : undefined;
    if (method !== 'HEAD') {
      expectDeclared(document, method, path, { status: response.status, type, body: parsed });
    }
    return { status: response.status, headers: response.headers, text, json: parsed };
  };
}

/** What a user reads of a failed request. */
export function told({ status, json }: Answer): { status: number } & FailureBody {
  return { status, ...json };
}
