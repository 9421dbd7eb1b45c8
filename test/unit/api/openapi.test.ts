// The OpenAPI document: complete, consistent, current.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { API_DOCUMENTS } from '../../../scripts/lib/api_documents.ts';
import { testApi } from './lib/api.ts';
import { type Document, expectShape } from './lib/conformity.ts';

type Operation = {
  operationId: string;
  summary: string;
  tags: string[];
  parameters?: { name: string; in: string; required: boolean; schema: object; description?: string }[];
  requestBody?: { required: boolean; content: Record<string, { schema: Record<string, unknown> }> };
  responses: Record<
    string,
    { description: string; content: Record<string, { schema: Record<string, unknown> }> }
  >;
};

const { app, ask } = testApi();
const document = (await ask('GET', '/v1/openapi.json')).json;
const operations = Object.entries(document.paths as Record<string, Record<string, Operation>>).flatMap(
  ([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
);

describe('the OpenAPI document', () => {
  it.each(API_DOCUMENTS.map(({ path, text }) => [path, text] as const))(
    'is current where it is committed: %s (npm run generate)',
    async (path, text) => {
      expect(readFileSync(path, 'utf8')).toBe(await text());
    },
  );

  it('has every route, and no other', () => {
    const routes = app.routes
      .filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    const described = operations.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    expect(described.sort()).toEqual([...new Set(routes)].sort());
  });

  it('has the operations that clients know by name', () => {
    expect(operations.map(({ operationId }) => operationId).sort()).toEqual([
      'addUser',
      'applyDocument',
      'attach',
      'capture',
      'changeNamespace',
      'createBackend',
      'createPool',
      'createService',
      'createToken',
      'deleteBackend',
      'deletePool',
      'deleteService',
      'detach',
      'doctor',
      'drainNode',
      'explain',
      'exportDocument',
      'exportNamespace',
      'getAffinity',
      'getBackend',
      'getChanges',
      'getFilesStats',
      'getFlow',
      'getKeys',
      'getMembers',
      'getMetrics',
      'getNamespace',
      'getNode',
      'getOpenApi',
      'getPool',
      'getService',
      'getStats',
      'getStatus',
      'importNamespace',
      'initCluster',
      'joinCluster',
      'leaveCluster',
      'listAffinities',
      'listBackends',
      'listFileClients',
      'listFlows',
      'listNodes',
      'listPools',
      'listServices',
      'patchBackend',
      'patchPool',
      'patchService',
      'planDocument',
      'releaseAffinity',
      'removeNode',
      'removeToken',
      'removeUser',
      'renewCertificate',
      'rotateCluster',
      'rotateKeys',
      'setUser',
      'streamEvents',
      'topFlows',
    ]);
  });

  it('is OpenAPI 3.1 with nothing that is not used', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(Object.keys(document).sort()).toEqual([
      'components',
      'info',
      'openapi',
      'paths',
      'servers',
      'tags',
    ]);
    const text = JSON.stringify(document);
    for (const name of Object.keys(document.components.schemas)) {
      expect(text).toContain(`"#/components/schemas/${name}"`);
    }
  });

  it('refers only to what there is', () => {
    const references = JSON.stringify(document).matchAll(/"\$ref":"([^"]*)"/g);
    for (const [, reference] of references) {
      const name = /^#\/components\/schemas\/(\w+)$/.exec(reference!)?.[1];
      expect(document.components.schemas, reference).toHaveProperty(name!);
    }
  });

  it.each(operations.map((it) => [it.operationId, it] as const))('describes %s', (_, operation) => {
    const { path, method, summary, tags, parameters = [], requestBody, responses } = operation;
    expect(summary).toMatch(/^[A-Z].*[^.]$/);
    expect(document.tags.map(({ name }: { name: string }) => name)).toEqual(expect.arrayContaining(tags));
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(parameters.filter((it) => it.in === 'path').map(({ name }) => name)).toEqual(inPath);
    for (const parameter of parameters) expect(parameter.description, parameter.name).toBeTruthy();
    expect(requestBody?.required ?? false).toBe(method === 'post' || method === 'patch');
    expect(Object.keys(responses)).toEqual(expect.arrayContaining(['200', '400', '500']));
    for (const [status, { description, content }] of Object.entries(responses)) {
      expect(description).toBeTruthy();
      if (status === '200') continue;
      expect(content).toEqual({ 'application/json': { schema: { $ref: '#/components/schemas/Failure' } } });
    }
    const body = requestBody?.content['application/json']?.schema;
    if (requestBody !== undefined) {
      expect(body).toHaveProperty('$ref');
      for (const status of ['413', '415']) expect(responses).toHaveProperty(status);
    }
    const writes = parameters.some(({ name }) => name === 'dryRun');
    // There is nothing to plan about a certificate or a token.
    const isTrust = tags.includes('trust');
    const changes =
      method === 'delete' ||
      method === 'patch' ||
      /create|apply|drain|changeN|import/.test(operation.operationId);
    expect(writes).toBe(changes && !isTrust);
  });

  it.each(Object.entries(document.components.schemas as Record<string, { examples?: unknown[] }>))(
    'has an example of %s that is one',
    (name, { examples = [] }) => {
      expect(examples).toHaveLength(1);
      expectShape(document as Document, { $ref: `#/components/schemas/${name}` }, examples[0], name);
    },
  );
});
