// Network namespaces of the calling thread (setns(2), network_namespaces(7)).
import { statSync } from 'node:fs';
import { types } from 'node:util';
import { binding } from './binding.ts';
import { SystemError } from './errors.ts';
import { checkFunction, checkText } from './rtnetlink/check.ts';

/** Two namespaces are the same when both numbers are. */
export interface NetnsIdentity {
  readonly device: number;
  readonly inode: number;
}

const REASON =
  'withNetns: the function is asynchronous, but only this thread and only this call is in the other namespace; ' +
  'whatever continues after an await would run in the original one. Open sockets inside, use them outside.';

/**
 * Runs `body` on this thread inside the network namespace of `path` (`/run/netns/x`, `/proc/PID/ns/net`) and comes
 * back, also when it throws. Sockets opened inside stay there for good. Work of Node's thread pool (dns.lookup,
 * asynchronous fs) is not in the namespace. If the way back fails the process aborts.
 */
export function withNetns<T>(path: string, body: () => T): T {
  checkText(path, 'path');
  checkFunction(body, 'body');
  if (types.isAsyncFunction(body)) throw new TypeError(REASON);
  // An error thrown by `body` must pass unchanged, even one that looks like a native error.
  let thrown: { readonly error: unknown } | undefined;
  let result: T | undefined;
  try {
    binding.withNetns(path, () => {
      try {
        result = body();
      } catch (error) {
        thrown = { error };
      }
    });
  } catch (cause) {
    throw failure(`withNetns ${path}`, cause);
  }
  if (thrown !== undefined) throw thrown.error;
  if (isThenable(result)) {
    // Its failure is not to be reported twice.
    result.then(undefined, () => undefined);
    throw new TypeError(REASON);
  }
  return result as T;
}

/** The namespace this thread is in. */
export function currentNetns(): NetnsIdentity {
  return netnsIdentity('/proc/thread-self/ns/net');
}

export function netnsIdentity(path: string): NetnsIdentity {
  checkText(path, 'path');
  try {
    const { dev, ino } = statSync(path);
    return { device: dev, inode: ino };
  } catch (cause) {
    throw failure(`stat ${path}`, cause);
  }
}

function failure(operation: string, cause: unknown): unknown {
  const { errno } = cause as { errno?: unknown };
  if (!(cause instanceof Error) || typeof errno !== 'number') return cause;
  return new SystemError(`${operation}: ${cause.message}`, Math.abs(errno), operation, { cause });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}
