// Errors of this package. Wrong arguments are TypeError and RangeError; malformed messages are
// `MalformedMessageError` of the codecs; everything the system refuses is below.
import { binding } from './binding.ts';

/** A system call failed. `errno` is positive, `code` its symbolic name. */
export class SystemError extends Error {
  override readonly name: string = 'SystemError';
  readonly errno: number;
  readonly code: string;
  readonly operation: string;

  constructor(message: string, errno: number, operation: string, options?: ErrorOptions) {
    super(message, options);
    this.errno = errno;
    this.code = binding.errnoName(errno);
    this.operation = operation;
  }
}

/** The kernel refused a netlink request, or the exchange with it failed (ETIMEDOUT, EMSGSIZE, ENOBUFS). */
export class NetlinkError extends SystemError {
  override readonly name = 'NetlinkError';
  /** The kernel's own words (NETLINK_EXT_ACK), where it gave any. */
  readonly extack: string | undefined;

  constructor(errno: number, operation: string, extack: string | undefined, options?: ErrorOptions) {
    const said = extack === undefined || extack === '' ? '' : `: ${extack}`;
    super(`${operation}: ${binding.errnoName(errno)}${said}`, errno, operation, options);
    this.extack = extack;
  }
}

/** The object was closed before the call. */
export class ClosedError extends Error {
  override readonly name = 'ClosedError';
  readonly code = 'ERR_CLOSED';
}

/** Runs a native call; its plain errors become this package's, with the original as `cause`. */
export function native<T>(operation: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw typed(operation, cause, (errno) => {
      return new SystemError(`${operation}: ${(cause as Error).message}`, errno, operation, { cause });
    });
  }
}

/** As `native`, for exchanges with the kernel over netlink. */
export function netlink<T>(operation: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw typed(operation, cause, (errno) => new NetlinkError(errno, operation, undefined, { cause }));
  }
}

function typed(operation: string, cause: unknown, make: (errno: number) => Error): unknown {
  if (!(cause instanceof Error) || cause instanceof SystemError) return cause;
  const { errno, code } = cause as { errno?: unknown; code?: unknown };
  if (code === 'ERR_CLOSED') return new ClosedError(`${operation}: closed`, { cause });
  return typeof errno === 'number' && 'syscall' in cause ? make(errno) : cause;
}
