// Owns what all routes of the API have in common: how they are described, and the parts of requests that many take.

import type { HttpBindings } from '@hono/node-server';
import { createRoute, z } from '@hono/zod-openapi';
import type { CallerRole } from '../config/api_roles.ts';
import { nameSchema } from '../config/objects.ts';
import { FAILURES, type FailureCode } from '../lib/failure.ts';
import { readBody } from './body.ts';
import * as components from './components.ts';
import { REQUEST_STATUSES } from './failures.ts';

/** Who asks, and what: known before the route runs. */
export type Caller = {
  readonly via: 'unix' | 'tls' | 'test';
  /** Whom a certificate names. */
  readonly subject?: string;
  /** Of the certificate, where it is one of the cluster's own. */
  readonly serial?: string;
  readonly role: CallerRole;
  readonly address?: string;
};

export type ApiEnv = {
  /** Empty where a test calls the app without a connection. */
  Bindings: Partial<HttpBindings>;
  Variables: { operation: string; caller: Caller };
};

export { createRoute };

/** A query parameter with another name or value would be ignored otherwise, and `?dryrun=true` change the cluster. */
export const noQuery = z.strictObject({});

export const flag = (meaning: string) =>
  z
    .enum(['true', 'false'])
    .default('false')
    .transform((text) => text === 'true')
    .describe(meaning);

export const writeQuery = z.strictObject({
  dryRun: flag('Answer what would change, and change nothing'),
  force: flag('Do also what would stop traffic'),
});

export const nameParam = nameSchema.describe('Name of the object');

export const ifMatch = z.object({
  'if-match': z
    .string()
    .max(200)
    .optional()
    .describe('Entity tags, as GET answers them: only change the object where it is one of these still'),
});

export const readFailures = ['internal', 'unavailable'] as const satisfies readonly FailureCode[];
export const writeFailures = [
  'conflict',
  'in_use',
  'unsafe',
  'limit',
  'internal',
  'unavailable',
  'timeout',
] as const satisfies readonly FailureCode[];

export type FailureName = FailureCode | keyof typeof REQUEST_STATUSES;

/** Of whatever takes a body. */
export const bodyFailures = ['bodyTooLarge', 'unsupportedMediaType'] as const;

export function jsonBody<T extends z.ZodType>(schema: T) {
  return { required: true, content: { 'application/json': { schema } } };
}

export const withBody = [readBody];

export function answer<T extends z.ZodType>(description: string, schema: T) {
  return { description, content: { 'application/json': { schema } } };
}

export const ETAG = {
  ETag: {
    description: 'Revision of the object as it is stored; what is counted and measured has none',
    schema: { type: 'string' as const, examples: ['"17"'] },
  },
};

/**
 * Responses for the failures that an operation may have; those of any request are among them. Handlers throw them, so
 * their types, which hono would want handlers to answer, are left out.
 */
export function failures(...codes: readonly FailureName[]): Record<never, never> {
  const byStatus = new Map<number, string[]>();
  for (const code of ['invalid', ...codes] as const) {
    const own =
      code in REQUEST_STATUSES ? REQUEST_STATUSES[code as keyof typeof REQUEST_STATUSES] : undefined;
    const status = own?.status ?? FAILURES[code as FailureCode].status;
    const name = own?.code ?? (code as FailureCode);
    byStatus.set(status, [
      ...(byStatus.get(status) ?? []),
      `\`${name}\`: ${own?.meaning ?? FAILURES[name].meaning}`,
    ]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, meanings]) => [
      status,
      {
        description: [...new Set(meanings)].join('; '),
        content: { 'application/json': { schema: components.Failure } },
      },
    ]),
  );
}
