// Owns the failures that users see: one table of codes with their meaning, HTTP status and exit code, and the error
// that carries a code with its cause and the way out. Bugs are other errors.

/** Exit codes of `holdfast` and `holdfastd` follow sysexits where one fits. */
export const FAILURES = {
  invalid: { status: 400, exit: 65, meaning: 'the input does not say anything that can be done' },
  unauthorized: { status: 401, exit: 77, meaning: 'the caller did not say who it is' },
  forbidden: { status: 403, exit: 77, meaning: 'the caller may not do this' },
  not_found: { status: 404, exit: 66, meaning: 'no such object' },
  conflict: { status: 409, exit: 73, meaning: 'another change came first, or the object exists' },
  in_use: { status: 409, exit: 73, meaning: 'something else still needs the object' },
  unsafe: { status: 409, exit: 73, meaning: 'this would stop traffic; force does it nevertheless' },
  limit: { status: 422, exit: 74, meaning: 'a named limit is reached' },
  unsupported: { status: 422, exit: 69, meaning: 'this host or its kernel cannot do it' },
  configuration: { status: 500, exit: 78, meaning: 'the node configuration is not usable' },
  unavailable: { status: 503, exit: 69, meaning: 'something that is needed does not answer' },
  timeout: { status: 504, exit: 75, meaning: 'it took too long' },
  internal: { status: 500, exit: 70, meaning: 'a bug' },
} as const;

export type FailureCode = keyof typeof FAILURES;

/** What an API answers instead of a result. */
export type FailureBody = {
  code: FailureCode;
  /** What did not work, one sentence. */
  message: string;
  /** Why. */
  cause?: string;
  /** What to do about it. */
  remedy?: string;
};

export class Failure extends Error {
  override readonly name = 'Failure';
  readonly code: FailureCode;
  readonly reason: string | undefined;
  readonly remedy: string | undefined;

  /** `reason` is the cause in words; without it the message of `cause`, if that is an error. */
  constructor(
    code: FailureCode,
    message: string,
    more: { reason?: string; remedy?: string; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.reason = more.reason ?? (more.cause instanceof Error ? more.cause.message : undefined);
    this.remedy = more.remedy;
  }

  /** The message as a sentence, however it was written; the cause may be anybody's words. */
  get body(): FailureBody {
    const body: FailureBody = { code: this.code, message: ended(begun(this.message)) };
    if (this.reason !== undefined) body.cause = this.reason;
    // A remedy may end in a command, which a full stop would become a part of.
    if (this.remedy !== undefined) body.remedy = begun(this.remedy);
    return body;
  }
}

/** Words of ours that are names, and are written small everywhere. */
const NAMES = new Set(['etcd', 'holdfast', 'holdfastd']);

/** As a sentence begins, unless with a name or a path. */
function begun(text: string): string {
  const word = /^[a-z]+(?=[ ,;:])/.exec(text)?.[0];
  if (word === undefined || NAMES.has(word)) return text;
  return text[0]!.toUpperCase() + text.slice(1);
}

/** As a sentence ends; what has several lines is a list. */
function ended(text: string): string {
  return /[.!?:"')]$/.test(text) || text.includes('\n') ? text : `${text}.`;
}
