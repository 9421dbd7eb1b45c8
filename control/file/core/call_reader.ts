// Owns what becomes of the bytes of one call: a procedure with its arguments, or the refusal that RFC 5531 asks for.
// The same for streams and datagrams: it knows neither.
import type { AnyProcedure, Programs } from '../codec/procedure.ts';
import {
  ACCEPT_STATS,
  CALL_VERDICTS,
  CallHead,
  encodeAccepted,
  encodeAuthError,
  encodeProgramMismatch,
  encodeRpcMismatch,
} from '../codec/rpc.ts';
import { CredentialReader } from '../codec/rpc_credentials.ts';
import { XdrReader, type XdrWriter } from '../codec/xdr.ts';

/** What calls are refused for, by the names of RFC 5531; `not a call` has no answer. */
export const REFUSALS = [
  'not a call',
  'RPC_MISMATCH',
  'AUTH_ERROR',
  'PROG_UNAVAIL',
  'PROG_MISMATCH',
  'PROC_UNAVAIL',
  'GARBAGE_ARGS',
] as const;

export type Refusal = (typeof REFUSALS)[number];

const UNAVAILABLE = {
  program: 'PROG_UNAVAIL',
  version: 'PROG_MISMATCH',
  procedure: 'PROC_UNAVAIL',
} as const;

/** One a connection: it remembers credentials. */
export class CallReader {
  readonly head = new CallHead();
  /** Of the call read last, unless it was refused. */
  procedure: AnyProcedure | undefined;
  arguments: unknown;
  /** Where the arguments begin in the bytes of the call. */
  argumentsStart = 0;
  readonly #reader = new XdrReader();
  readonly #credentials = new CredentialReader();
  readonly #programs: Programs;
  #versions = { low: 0, high: 0 };

  constructor(programs: Programs) {
    this.#programs = programs;
  }

  /** Undefined: a call. */
  read(bytes: Uint8Array, start: number, end: number): Refusal | undefined {
    const reader = this.#reader;
    const { head } = this;
    reader.read(bytes, start, end);
    this.procedure = undefined;
    const verdict = head.decode(reader, this.#credentials);
    if (verdict !== CALL_VERDICTS.call) return refusalOf(verdict);
    const found = this.#programs.find(head.program, head.version, head.procedure);
    if ('what' in found) {
      if (found.what === 'version') this.#versions = found;
      return UNAVAILABLE[found.what];
    }
    this.argumentsStart = reader.offset;
    this.arguments = found.decode(reader);
    // Bytes behind the arguments are nobody's, and do no harm.
    if (reader.malformed) return 'GARBAGE_ARGS';
    this.procedure = found;
    return undefined;
  }

  /** The answer to the call that was refused. */
  encodeRefusal(writer: XdrWriter, refusal: Exclude<Refusal, 'not a call'>): void {
    const { xid, authStat } = this.head;
    if (refusal === 'RPC_MISMATCH') encodeRpcMismatch(writer, xid);
    else if (refusal === 'AUTH_ERROR') encodeAuthError(writer, xid, authStat);
    else if (refusal === 'PROG_MISMATCH')
      encodeProgramMismatch(writer, xid, this.#versions.low, this.#versions.high);
    else encodeAccepted(writer, xid, ACCEPT_STATS[refusal]);
  }
}

function refusalOf(verdict: number): Refusal {
  if (verdict === CALL_VERDICTS.unanswerable) return 'not a call';
  if (verdict === CALL_VERDICTS.rpcMismatch) return 'RPC_MISMATCH';
  return verdict === CALL_VERDICTS.authError ? 'AUTH_ERROR' : 'GARBAGE_ARGS';
}
