// Owns what a file that cannot be read or written means to a user.
import { Failure, type FailureCode } from '../lib/failure.ts';

const MEANINGS: Readonly<Record<string, readonly [FailureCode, string]>> = {
  ENOENT: ['not_found', 'There is no such file or directory.'],
  ENOTDIR: ['not_found', 'A part of the path is no directory.'],
  EISDIR: ['invalid', 'It is a directory.'],
  EACCES: ['forbidden', 'You may not.'],
  EPERM: ['forbidden', 'You may not.'],
  EROFS: ['forbidden', 'The file system is read-only.'],
  ENOSPC: ['limit', 'The file system is full.'],
};

/** `what`: read FILE */
export function fileFailure(what: string, cause: unknown): Failure {
  const [code, reason] = MEANINGS[(cause as NodeJS.ErrnoException).code ?? ''] ?? ['invalid'];
  return new Failure(code, `Cannot ${what}.`, { cause, ...(reason === undefined ? {} : { reason }) });
}
