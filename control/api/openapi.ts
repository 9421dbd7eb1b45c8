// Owns the OpenAPI document: what it says beside the routes, and that shapes that have a name are named wherever they
// are used. Routes describe themselves; components.ts has the shapes.
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { ApiEnv } from './operation.ts';

/** Grows when clients could notice; what is in /v1 stays. */
const API_VERSION = '1.0';

const DESCRIPTION = `The API of holdfastd, on a Unix socket that only root may open, and over TLS for clients with a certificate.

\`curl --unix-socket /run/holdfast/holdfast.sock http://localhost/v1/status\`

Every error is a Failure; its code decides what a client can make of it, the HTTP status says the same to others.
Answers may get more fields; requests with fields or query parameters that do not exist are refused.
POST and PATCH take a body of \`application/json\`, \`{}\` where there is nothing to say.`;

export type OpenApiDocument = ReturnType<OpenAPIHono['getOpenAPI31Document']>;

export function openApiDocument(app: OpenAPIHono<ApiEnv>): OpenApiDocument {
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Holdfast',
      version: API_VERSION,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: 'http://localhost', description: 'Unix socket; the name of the host does not matter' }],
    tags: [
      { name: 'services', description: 'What clients talk to' },
      { name: 'pools', description: 'Backends that share the flows of services' },
      { name: 'backends', description: 'Where flows end' },
      { name: 'cluster', description: 'All objects at once, and changes that are under way' },
      { name: 'nodes', description: 'Who takes part in the cluster' },
      { name: 'trust', description: 'Who may ask what: certificates, join tokens, users' },
      { name: 'flows', description: 'What owners and backups of tracked slots keep' },
      { name: 'namespace', description: 'Folders and links that clients of the file service see' },
      { name: 'files', description: 'Serving files: clients and requests' },
      { name: 'affinity', description: 'Who answers a client, and why' },
      { name: 'node', description: 'This node' },
      { name: 'observation', description: 'What happens on this node' },
    ],
  });
  return withReferences(document);
}

/** Shapes inside of others have no name for the generator; those that are written the same get their reference. */
function withReferences(document: OpenApiDocument): OpenApiDocument {
  const schemas: Record<string, object> = document.components?.schemas ?? {};
  const names = new Map(
    Object.entries(schemas).map(([name, schema]) => [
      JSON.stringify({ ...schema, examples: undefined }),
      name,
    ]),
  );
  const visit = (value: unknown, isNamed: boolean): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map((item) => visit(item, false));
    const name = isNamed ? undefined : names.get(JSON.stringify(value));
    if (name !== undefined) return { $ref: `#/components/schemas/${name}` };
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, visit(inner, false)]));
  };
  const named = Object.entries(schemas).map(([name, schema]) => [name, visit(schema, true)]);
  const { webhooks: _, ...rest } = document;
  return { ...rest, components: { schemas: Object.fromEntries(named) } } as OpenApiDocument;
}
