// Owns the routes of the namespace of the file service.
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { NamespaceCommand as Command } from '../../config/namespace_commands.ts';
import { diff } from '../../file/namespace/diff.ts';
import type { Namespace } from '../../file/namespace/document.ts';
import { compare, documentOf, everyEntry, folderForm, linkForm } from '../../file/namespace/forms.ts';
import { entryAt } from '../../file/namespace/lookup.ts';
import { Failure } from '../../lib/failure.ts';
import { bodyOf } from '../body.ts';
import {
  NamespaceAnswer,
  NamespaceChange,
  NamespaceCommand,
  NamespaceDocument,
} from '../components/namespace.ts';
import type { NamespacePort } from '../namespace_port.ts';
import type { NodePort } from '../node_port.ts';
import {
  type ApiEnv,
  answer,
  bodyFailures,
  createRoute,
  ETAG,
  failures,
  flag,
  ifMatch,
  jsonBody,
  noQuery,
  readFailures,
  withBody,
  writeFailures,
} from '../operation.ts';
import { needRole } from '../permission.ts';
import {
  type NamespaceChange as Change,
  NAMESPACE_CHANGES_MAX,
  type NamespaceState,
  namespaceQuerySchema,
} from '../schema/namespace.ts';
import { checkTag } from './objects.ts';

/** A document of 65,536 links with names and targets of usual length has some 20 MB. */
const IMPORT_BYTES_MAX = 48 << 20;

const tags = ['namespace'];
const query = z.strictObject({ dryRun: flag('Answer what would change, and change nothing') });
const changed = {
  200: answer('What changed', NamespaceChange),
  ...failures(...bodyFailures, 'not_found', 'preconditionFailed', 'unsupported', ...writeFailures),
};

const getNamespace = createRoute({
  method: 'get',
  path: '/v1/namespace',
  operationId: 'getNamespace',
  summary: 'The tree that clients of the file service see',
  tags,
  request: { query: namespaceQuerySchema },
  responses: {
    200: { ...answer('Folders and links, and the storages they lead into', NamespaceAnswer), headers: ETAG },
    ...failures('not_found', ...readFailures),
  },
});

const changeNamespace = createRoute({
  method: 'post',
  path: '/v1/namespace',
  operationId: 'changeNamespace',
  summary: 'One command that changes the namespace: make, remove, move, set',
  description:
    'What moves keeps its id, so clients that have it mounted do not notice. Storages are added, changed and removed by ' +
    'admins alone. `If-Match` is optional.',
  tags,
  middleware: withBody,
  request: { query, headers: ifMatch, body: jsonBody(NamespaceCommand) },
  responses: { ...changed, ...failures('forbidden') },
});

const exportNamespace = createRoute({
  method: 'get',
  path: '/v1/namespace/export',
  operationId: 'exportNamespace',
  summary: 'All of it as a document that can be imported',
  tags,
  request: { query: noQuery },
  responses: { 200: answer('The document', NamespaceDocument), ...failures(...readFailures) },
});

const importNamespace = createRoute({
  method: 'post',
  path: '/v1/namespace/import',
  operationId: 'importNamespace',
  summary: 'Make the namespace be what a document says',
  description:
    'What is not in it goes. What is at its path as before, and leads where it did, keeps its id. Folders above what is ' +
    'named need not be named.',
  tags,
  middleware: [bodyOf(IMPORT_BYTES_MAX)],
  request: { query, headers: ifMatch, body: jsonBody(NamespaceDocument) },
  responses: changed,
});

export function addNamespaceRoutes(app: OpenAPIHono<ApiEnv>, { namespace }: NodePort): void {
  app.openapi(getNamespace, (c) => {
    const current = namespace.current();
    const state = stateOf(current, c.req.valid('query').path, namespace.service());
    return c.json(state, 200, { ETag: etagOf(current) });
  });

  app.openapi(exportNamespace, (c) => c.json(documentOf(namespace.current()), 200));

  app.openapi(changeNamespace, async (c) => {
    const command = c.req.valid('json');
    if (command.op.endsWith('Storage')) needRole(c.get('caller'), 'admin', 'storages are of the nodes');
    const match = c.req.valid('header')['if-match'];
    return c.json(await change(namespace, command, c.req.valid('query').dryRun, match), 200);
  });

  app.openapi(importNamespace, async (c) => {
    const command: Command = { op: 'import', document: c.req.valid('json') };
    const match = c.req.valid('header')['if-match'];
    return c.json(await change(namespace, command, c.req.valid('query').dryRun, match), 200);
  });
}

async function change(
  port: NamespacePort,
  command: Command,
  dryRun: boolean,
  match: string | undefined,
): Promise<Change> {
  const check = (it: Namespace) => checkTag(match, etagOf(it), 'namespace', `at revision ${it.revision}`);
  const { before, after } = await port.commit(command, { dryRun, check });
  const changes = diff(before, after);
  const amounts = { add: 0, change: 0, move: 0, remove: 0 };
  for (const { action } of changes) amounts[action]++;
  const { revision } = dryRun ? before : after;
  return { dryRun, revision, amounts, changes: changes.slice(0, NAMESPACE_CHANGES_MAX) };
}

function etagOf({ revision }: Namespace): string {
  return `"${revision}"`;
}

function stateOf(
  namespace: Namespace,
  path: string,
  service: ReturnType<NamespacePort['service']>,
): NamespaceState {
  const entry = entryAt(namespace, path);
  if (entry === undefined) {
    throw new Failure('not_found', `There is no ${path} in the namespace.`, {
      remedy: 'See those there are: holdfast namespace tree',
    });
  }
  const links = new Map<string, number>();
  for (const it of namespace.entries.values()) {
    if (it.kind === 'link') links.set(it.storage, (links.get(it.storage) ?? 0) + 1);
  }
  return {
    revision: namespace.revision,
    storages: [...namespace.storages.values()]
      .sort((a, b) => compare(a.name, b.name))
      .map((it) => ({ ...it, links: links.get(it.name) ?? 0 })),
    entries: [...everyEntry(namespace, { path, entry })].map(({ path, entry }) =>
      entry.kind === 'folder'
        ? {
            kind: entry.kind,
            id: entry.id,
            ...folderForm(path, entry),
            modifiedAtMs: entry.modifiedAtMs,
          }
        : { kind: entry.kind, id: entry.id, ...linkForm(path, entry) },
    ),
    ...(service !== undefined && { service }),
  };
}
