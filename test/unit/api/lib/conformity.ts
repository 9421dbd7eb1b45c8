// Owns whether an answer is one that the OpenAPI document declares: its status, its media type, and its shape, no field
// more. Read from the document alone, not from the schemas that it was made from.
import { expect } from 'vitest';
import { z } from 'zod';

type Json = Record<string, unknown>;
type Operation = {
  operationId: string;
  responses: Record<string, { content?: Record<string, { schema: Json }> }>;
};
export type Document = { paths: Record<string, Record<string, Operation>>; components: { schemas: Json } };

export function operationOf(document: Document, method: string, path: string): Operation | undefined {
  // As the client that sends it resolves `..`, however it is written (WHATWG URL, section 4.4).
  const parts = new URL(`http://api${path}`).pathname.split('/');
  const found = Object.entries(document.paths).find(([template]) => {
    const wanted = template.split('/');
    return (
      wanted.length === parts.length && wanted.every((part, at) => part.startsWith('{') || part === parts[at])
    );
  });
  return found?.[1][method === 'HEAD' ? 'get' : method.toLowerCase()];
}

/** For routes that there are; others can only answer a failure. */
export function expectDeclared(
  document: Document,
  method: string,
  path: string,
  answer: { status: number; type: string | undefined; body: unknown },
): void {
  const what = `${method} ${path} ${answer.status}`;
  const operation = operationOf(document, method, path);
  if (operation === undefined) {
    expect([404, 405], what).toContain(answer.status);
    expectShape(document, { $ref: '#/components/schemas/Failure' }, answer.body, what);
    return;
  }
  const declared = operation.responses[answer.status];
  expect(declared, `${what} is declared`).toBeDefined();
  const type = answer.type?.split(';', 1)[0] ?? '';
  expect(Object.keys(declared!.content ?? {}), what).toContain(type);
  if (type === 'application/json') expectShape(document, declared!.content![type]!.schema, answer.body, what);
}

export function expectShape(document: Document, schema: Json, value: unknown, what: string): void {
  const whole = { ...(closed(schema) as Json), $defs: closed(document.components.schemas) };
  const { error } = z.fromJSONSchema(whole as Parameters<typeof z.fromJSONSchema>[0]).safeParse(value);
  expect(error?.issues ?? [], `${what} has the declared shape`).toEqual([]);
}

/** Answers may get more fields one day; today's have no more than today's document says. */
function closed(schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map(closed);
  const { examples: _, ...rest } = schema as Json;
  const inner = Object.entries(rest).map(([key, value]) => [
    key,
    key === '$ref' ? (value as string).replace('#/components/schemas/', '#/$defs/') : closed(value),
  ]);
  const object = 'properties' in rest && !('additionalProperties' in rest);
  return { ...Object.fromEntries(inner), ...(object ? { additionalProperties: false } : {}) };
}
