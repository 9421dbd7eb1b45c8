// Owns what the routes of services, pools and backends share: finding an object, the revision that a change is meant
// for, and making the change. Planning it is control/pool's, storing it the daemon's.
import type { z } from '@hono/zod-openapi';
import type { ClusterState, Edit } from '../../config/cluster_state.ts';
import { Failure } from '../../lib/failure.ts';
import { Change as ChangeAnswer } from '../components.ts';
import { RequestFailure } from '../failures.ts';
import type { NodePort } from '../node_port.ts';
import { answer, ETAG, type FailureName, failures, readFailures, writeFailures } from '../operation.ts';
import type { Change } from '../schema.ts';
import { changeOf, Views } from '../views.ts';

/** What a change of objects answers, with failures of its own besides. */
export const changed = (...codes: readonly FailureName[]) => ({
  200: answer('What changed', ChangeAnswer),
  ...failures(...codes, ...writeFailures),
});

/** What reading one object answers. */
export const shown = <T extends z.ZodType>(description: string, view: T) => ({
  200: { ...answer(description, view), headers: ETAG },
  ...failures('not_found', ...readFailures),
});

export type WriteOptions = {
  readonly dryRun: boolean;
  readonly force: boolean;
  /** The edits say all that the cluster is to be. */
  readonly isWhole?: boolean;
  /** Of backends that are drained. */
  readonly deadlineMs?: number | undefined;
};

type Kind = 'service' | 'pool' | 'backend';
type Stored = { readonly modRevision: number };

export async function change(
  node: NodePort,
  options: WriteOptions,
  edits: (state: ClusterState) => readonly Edit[],
): Promise<Change> {
  const { plan, revision } = await node.commit(edits, options);
  const change = changeOf(plan, revision, options.dryRun);
  return options.dryRun ? { ...change, plan: [...node.poolPlans(plan)] } : change;
}

export function viewsOf(node: NodePort): Views {
  const { health } = node;
  return new Views(
    node.state(),
    node.stats(),
    (index) => node.backendPath(index),
    (it) => health.backend(it),
  );
}

export function found<T>(object: T | undefined, kind: Kind, key: string): T {
  if (object !== undefined) return object;
  throw new Failure('not_found', `There is no ${kind} ${key}.`, {
    remedy: `See those there are: holdfast ${kind}s list`,
  });
}

export function etagOf({ modRevision }: Stored): string {
  return `"${modRevision}"`;
}

const ETAGS = /^\s*(?:W\/)?"[^"]*"(?:\s*,\s*(?:W\/)?"[^"]*")*\s*$/;

/**
 * Called with the state that a change is planned against, each time it is planned, so nothing can come in between.
 * @throws RequestFailure where the object has changed since its entity tag was read (RFC 9110 section 13.1.1).
 */
export function checkIfMatch(header: string | undefined, stored: Stored, kind: Kind, key: string): void {
  checkTag(header, etagOf(stored), `${kind} ${key}`, `at revision ${stored.modRevision}`);
}

/** The same of what has another entity tag; `is` says how it is now. */
export function checkTag(header: string | undefined, etag: string, what: string, is: string): void {
  if (header === undefined || header.trim() === '*') return;
  if (!ETAGS.test(header)) {
    throw new Failure('invalid', 'A header cannot be used.', {
      reason: 'if-match: must be * or entity tags, such as "17".',
      remedy: `Send the ETag that GET answered for the ${what.split(' ', 1)[0]}.`,
    });
  }
  // Comparison is strong: a weak tag, which still has its W/ here, is never equal.
  const tags = header.split(',').map((tag) => tag.trim());
  if (tags.includes(etag)) return;
  throw new RequestFailure('preconditionFailed', `The ${what} has changed since it was read.`, {
    reason: `It is ${is}, and If-Match says ${header.trim()}.`,
    remedy: 'Read it again, and repeat the change.',
  });
}

/**
 * The patch with its inner objects merged with the stored ones: RFC 7396 goes on inside of objects. No field of a
 * cluster's object nests deeper.
 */
export function mergedInside(
  stored: object,
  patch: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(patch).map(([name, value]) => {
      const old = (stored as Record<string, unknown>)[name];
      if (!isObject(value)) return [name, value];
      const fields = Object.entries({ ...(isObject(old) ? old : {}), ...value });
      return [name, Object.fromEntries(fields.filter(([, field]) => field !== null))];
    }),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
