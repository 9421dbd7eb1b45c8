// Owns what the API answers instead of a result: the body, the HTTP status, and what a request that does not fit its
// schema is told. Codes and what they mean are control/lib/failure.ts.
import { randomUUID } from 'node:crypto';
import { HTTPException } from 'hono/http-exception';
import type { z } from 'zod';
import { FAILURES, Failure, type FailureBody, type FailureCode } from '../lib/failure.ts';

/** Mistakes in one request that are listed; the rest are counted. */
const ISSUES_MAX = 8;
/** Of each: users choose the names of fields, and how long they are. */
const ISSUE_CHARACTERS_MAX = 200;

/** HTTP has a status of its own for these mistakes; their code still says what a client can make of them. */
export const REQUEST_STATUSES = {
  methodNotAllowed: { status: 405, code: 'invalid', meaning: 'the path has other methods' },
  notAcceptable: { status: 406, code: 'invalid', meaning: '`Accept` names no type that can be answered' },
  requestTimeout: { status: 408, code: 'timeout', meaning: 'the request did not come in time' },
  preconditionFailed: { status: 412, code: 'conflict', meaning: '`If-Match` names another revision' },
  bodyTooLarge: { status: 413, code: 'limit', meaning: 'the body is too long' },
  unsupportedMediaType: { status: 415, code: 'invalid', meaning: 'the body is not JSON in UTF-8' },
  headersTooLarge: { status: 431, code: 'limit', meaning: 'the headers are too long' },
} as const satisfies Record<string, { status: number; code: FailureCode; meaning: string }>;

export class RequestFailure extends Failure {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    kind: keyof typeof REQUEST_STATUSES,
    message: string,
    more: { reason: string; remedy: string; headers?: Record<string, string> },
  ) {
    super(REQUEST_STATUSES[kind].code, message, more);
    this.status = REQUEST_STATUSES[kind].status;
    this.headers = more.headers ?? {};
  }
}

export function failureResponse(failure: Failure): Response {
  const own = failure instanceof RequestFailure ? failure : undefined;
  return jsonResponse(own?.status ?? FAILURES[failure.code].status, failure.body, own?.headers);
}

export function jsonResponse(
  status: number,
  body: FailureBody,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': 'application/json', ...headers },
  });
}

/** What was thrown, as the client may see it. A bug comes with the id that its log record has. */
export function failureOf(error: unknown): { failure: Failure; bugId?: string } {
  if (error instanceof Failure) return { failure: error };
  if (error instanceof HTTPException && error.status < 500) {
    return {
      failure: new Failure('invalid', 'The request cannot be understood.', { reason: error.message }),
    };
  }
  const bugId = randomUUID().slice(0, 8);
  return {
    failure: new Failure('internal', 'A bug in holdfastd stopped this request.', {
      reason: `The log has it under ${bugId}.`,
      remedy: `Report what the log says: journalctl -u holdfastd --grep ${bugId}`,
    }),
    bugId,
  };
}

const PARTS: Readonly<Record<string, string>> = {
  json: 'The body',
  query: 'The query',
  param: 'The path',
  header: 'A header',
};

/** For a part of a request, as hono names parts, that does not fit its schema. */
export function validationFailure(part: string, error: z.ZodError): Failure {
  const issues = error.issues.flatMap(leaves);
  const listed = issues.slice(0, ISSUES_MAX).map((issue) => clip(sentence(issue)));
  if (issues.length > ISSUES_MAX) listed.push(`and ${issues.length - ISSUES_MAX} more`);
  return new Failure('invalid', `${PARTS[part] ?? part} cannot be used.`, {
    reason: `${listed.join('; ')}.`,
    remedy: 'See GET /v1/openapi.json for what each request takes.',
  });
}

type Issue = z.core.$ZodIssue;

/** A union fails in each of its branches: those of the branch that came closest say what to do. */
function leaves(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
  const within = (branch: readonly Issue[]) => branch.filter((it) => it.path.length > 1).length;
  const closest = issue.errors.reduce((best, branch) => (within(branch) > within(best) ? branch : best));
  return closest.flatMap((inner) => leaves({ ...inner, path: [...issue.path, ...inner.path] }));
}

function sentence(issue: Issue): string {
  const path = issue.path.reduce<string>(
    (text, key) => text + (typeof key === 'number' ? `[${key}]` : `${text === '' ? '' : '.'}${String(key)}`),
    '',
  );
  return path === '' ? complaint(issue) : `${path}: ${complaint(issue)}`;
}

function complaint(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.message.endsWith('received undefined')
        ? 'is missing'
        : `must be ${article(issue.expected)}, not ${issue.message.split('received ').at(-1)}`;
    case 'invalid_value':
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
    case 'unrecognized_keys':
      return `there is no field ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}`;
    case 'too_small':
      return quantity(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum);
    case 'too_big':
      return quantity(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum);
    default:
      return issue.message;
  }
}

function quantity(origin: string, relation: string, limit: number | bigint): string {
  const unit = { array: 'item', string: 'character' }[origin];
  if (unit === undefined) return `must be ${relation} ${limit}`;
  return `must have ${relation} ${limit} ${unit}${Number(limit) === 1 ? '' : 's'}`;
}

function article(expected: string): string {
  const name = expected === 'int' ? 'integer' : expected;
  return `${/^[aeio]/.test(name) ? 'an' : 'a'} ${name}`;
}

function clip(text: string): string {
  return text.length <= ISSUE_CHARACTERS_MAX ? text : `${text.slice(0, ISSUE_CHARACTERS_MAX)}…`;
}
