// Owns the error of a command line that says nothing that can be done: exit code 2.

export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly reason: string | undefined;
  readonly remedy: string | undefined;

  constructor(message: string, more: { reason?: string | undefined; remedy?: string | undefined } = {}) {
    super(message);
    this.reason = more.reason;
    this.remedy = more.remedy;
  }
}
