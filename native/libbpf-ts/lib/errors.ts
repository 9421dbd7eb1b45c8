// Owns the errors that leave this package: what failed, on what, with which errno, and what libbpf said about it.
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** A failed system or libbpf call. */
export class BpfError extends Error {
  override readonly name = 'BpfError';
  /** Positive errno. */
  readonly errno: number;
  /** Symbolic errno: 'EPERM', 'ENOENT', 'LIBBPF_ERRNO__FORMAT'… */
  readonly code: string;
  /** What was attempted, as a verb: 'load', 'update', 'attach XDP'… */
  readonly operation: string;
  /** The object, map, program, link or path it was attempted on. */
  readonly subject: string;
  /** What the verifier printed, when a program was refused. */
  readonly verifierLog?: string;

  constructor(operation: string, subject: string, errno: number, detail: BpfErrorDetail = {}) {
    const { code, meaning } = describeErrno(errno);
    const because = detail.reason === undefined ? '' : `: ${detail.reason}`;
    super(`cannot ${operation} ${subject}: ${meaning} (${code})${because}`, { cause: detail.cause });
    this.errno = errno;
    this.code = code;
    this.operation = operation;
    this.subject = subject;
    if (detail.verifierLog !== undefined) this.verifierLog = detail.verifierLog;
  }
}

export interface BpfErrorDetail {
  reason?: string | undefined;
  verifierLog?: string | undefined;
  cause?: unknown;
}

/** A handle was used after its close(). */
export class ClosedError extends Error {
  override readonly name = 'ClosedError';
  readonly code = 'ERR_BPF_CLOSED';
}

/** Throws unless `status` is a success (0 or positive), and returns it. */
export function must(status: number, operation: string, subject: string, reason?: string): number {
  if (status >= 0) return status;
  throw new BpfError(operation, subject, -status, { reason });
}

/** Runs a native call and gives its error the operation and subject that only the caller knows. */
export function during<T>(operation: string, subject: string, call: () => T, place = ''): T {
  try {
    return call();
  } catch (error) {
    if (!isNativeError(error)) throw error;
    const { verifierLog, lines } = splitLog(error.log);
    const step = error.stage === operation ? '' : `failed to ${error.stage}`;
    const reason = [place, step, verdictOf(verifierLog), lines].filter((part) => part !== '').join('; ');
    throw new BpfError(operation, subject, error.errno, {
      reason: reason === '' ? undefined : reason,
      verifierLog,
    });
  }
}

interface NativeError extends Error {
  errno: number;
  stage: string;
  log: string;
}

function isNativeError(error: unknown): error is NativeError {
  return error instanceof Error && 'stage' in error && 'errno' in error && typeof error.errno === 'number';
}

/** The verifier's complaint is its last line before the statistics. */
function verdictOf(log: string | undefined): string {
  const lines = log?.split('\n').filter((line) => line !== '' && !line.startsWith('processed ')) ?? [];
  return lines.at(-1) ?? '';
}

const LOG_BEGIN = /-- BEGIN (?:PROG|BTF) LOAD LOG --\n/;
const LOG_END = /-- END (?:PROG|BTF) LOAD LOG --/;

/** libbpf prints the verifier's log between markers, among its own one-line complaints. */
function splitLog(log: string): { verifierLog: string | undefined; lines: string } {
  const begin = LOG_BEGIN.exec(log);
  let verifierLog: string | undefined;
  let rest = log;
  if (begin !== null) {
    const from = begin.index + begin[0].length;
    const end = LOG_END.exec(log.slice(from));
    verifierLog = end === null ? log.slice(from) : log.slice(from, from + end.index);
    rest = log.slice(0, begin.index) + (end === null ? '' : log.slice(from + end.index + end[0].length));
  }
  const lines = rest
    .split('\n')
    .map((line) => line.replace(/^libbpf: /, '').trim())
    .filter((line) => line !== '' && !/^prog '.*':$/.test(line))
    .join('; ');
  return { verifierLog, lines };
}

// Errnos that Node words for sockets, that only the kernel uses, and libbpf's own range.
const OWN_WORDS: Readonly<Record<number, { code: string; meaning: string }>> = {
  95: { code: 'EOPNOTSUPP', meaning: 'operation not supported' },
  524: { code: 'ENOTSUPP', meaning: 'operation not supported by this kernel' },
  4000: { code: 'LIBBPF_ERRNO__LIBELF', meaning: 'libelf refused the file' },
  4001: { code: 'LIBBPF_ERRNO__FORMAT', meaning: 'invalid BPF object file' },
  4002: { code: 'LIBBPF_ERRNO__KVERSION', meaning: 'incorrect version section' },
  4003: { code: 'LIBBPF_ERRNO__ENDIAN', meaning: 'object of the other byte order' },
  4004: { code: 'LIBBPF_ERRNO__INTERNAL', meaning: 'internal error in libbpf' },
  4005: { code: 'LIBBPF_ERRNO__RELOC', meaning: 'relocation failed' },
  4006: { code: 'LIBBPF_ERRNO__LOAD', meaning: 'loading a program failed' },
  4007: { code: 'LIBBPF_ERRNO__VERIFY', meaning: 'rejected by the verifier' },
  4008: { code: 'LIBBPF_ERRNO__PROG2BIG', meaning: 'program too big' },
  4009: { code: 'LIBBPF_ERRNO__KVER', meaning: 'incorrect kernel version' },
  4010: { code: 'LIBBPF_ERRNO__PROGTYPE', meaning: 'kernel does not support this program type' },
  4011: { code: 'LIBBPF_ERRNO__WRNGPID', meaning: 'wrong process id in netlink message' },
  4012: { code: 'LIBBPF_ERRNO__INVSEQ', meaning: 'invalid netlink sequence' },
  4013: { code: 'LIBBPF_ERRNO__NLPARSE', meaning: 'netlink parsing error' },
};

function describeErrno(errno: number): { code: string; meaning: string } {
  const own = OWN_WORDS[errno];
  if (own !== undefined) return own;
  const known = getSystemErrorMap().get(-errno);
  if (known !== undefined) return { code: known[0], meaning: known[1] };
  const code = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0];
  return code === undefined ? { code: `E${errno}`, meaning: `error ${errno}` } : { code, meaning: code };
}

export const ENOENT = 2;
export const EINVAL = 22;
export const ENOSPC = 28;
export const EOPNOTSUPP = 95;
export const EMEDIUMTYPE = 124;
export const ENOTSUPP = 524;
