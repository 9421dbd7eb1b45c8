// Owns the messages of ONC RPC version 2 (RFC 5531): the head of a call, and every kind of reply up to where results
// begin. Programs are procedure.ts; credentials rpc_credentials.ts; records record.ts.
import { type CredentialReader, type Credentials, NO_CREDENTIALS } from './rpc_credentials.ts';
import type { XdrReader, XdrWriter } from './xdr.ts';

export const RPC_VERSION = 2;

const MSG_TYPES = { CALL: 0, REPLY: 1 } as const;
const REPLY_STATS = { MSG_ACCEPTED: 0, MSG_DENIED: 1 } as const;
const REJECT_STATS = { RPC_MISMATCH: 0, AUTH_ERROR: 1 } as const;

export const ACCEPT_STATS = {
  SUCCESS: 0,
  PROG_UNAVAIL: 1,
  PROG_MISMATCH: 2,
  PROC_UNAVAIL: 3,
  GARBAGE_ARGS: 4,
  SYSTEM_ERR: 5,
} as const;

/** xid, type, status, verifier, status: all in front of results. */
export const REPLY_HEAD_BYTES = 24;
/** No reply without results is longer. */
export const REFUSAL_BYTES_MAX = 32;

/** What comes of reading the head of a call. */
export const CALL_VERDICTS = {
  call: 0,
  /** No xid, or no call: there is nothing to answer. */
  unanswerable: 1,
  rpcMismatch: 2,
  /** `authStat` says why. */
  authError: 3,
  /** The head ends too early. */
  garbage: 4,
} as const;

export type CallVerdict = (typeof CALL_VERDICTS)[keyof typeof CALL_VERDICTS];

/** The head of the call read last. */
export class CallHead {
  xid = 0;
  program = 0;
  version = 0;
  procedure = 0;
  credentials: Credentials = NO_CREDENTIALS;
  authStat = 0;

  /** Leaves the reader where arguments begin. */
  decode(reader: XdrReader, credentialReader: CredentialReader): CallVerdict {
    this.xid = reader.u32();
    const type = reader.u32();
    if (reader.malformed || type !== MSG_TYPES.CALL) return CALL_VERDICTS.unanswerable;
    const rpcVersion = reader.u32();
    if (reader.malformed) return CALL_VERDICTS.garbage;
    if (rpcVersion !== RPC_VERSION) return CALL_VERDICTS.rpcMismatch;
    this.program = reader.u32();
    this.version = reader.u32();
    this.procedure = reader.u32();
    const credentials = credentialReader.read(reader);
    if (credentials === undefined) {
      if (reader.malformed) return CALL_VERDICTS.garbage;
      this.authStat = credentialReader.authStat;
      return CALL_VERDICTS.authError;
    }
    this.credentials = credentials;
    return CALL_VERDICTS.call;
  }
}

/** Results follow, for SUCCESS; for other statuses this is all. */
export function encodeAccepted(writer: XdrWriter, xid: number, acceptStat: number): void {
  const { view, offset } = writer;
  view.setUint32(offset, xid);
  view.setUint32(offset + 4, MSG_TYPES.REPLY);
  view.setUint32(offset + 8, REPLY_STATS.MSG_ACCEPTED);
  // The verifier: AUTH_NONE, empty.
  view.setUint32(offset + 12, 0);
  view.setUint32(offset + 16, 0);
  view.setUint32(offset + 20, acceptStat);
  writer.offset = offset + REPLY_HEAD_BYTES;
}

export function encodeProgramMismatch(writer: XdrWriter, xid: number, low: number, high: number): void {
  encodeAccepted(writer, xid, ACCEPT_STATS.PROG_MISMATCH);
  writer.u32(low);
  writer.u32(high);
}

export function encodeRpcMismatch(writer: XdrWriter, xid: number): void {
  encodeDenied(writer, xid, REJECT_STATS.RPC_MISMATCH);
  writer.u32(RPC_VERSION);
  writer.u32(RPC_VERSION);
}

export function encodeAuthError(writer: XdrWriter, xid: number, authStat: number): void {
  encodeDenied(writer, xid, REJECT_STATS.AUTH_ERROR);
  writer.u32(authStat);
}

function encodeDenied(writer: XdrWriter, xid: number, rejectStat: number): void {
  writer.u32(xid);
  writer.u32(MSG_TYPES.REPLY);
  writer.u32(REPLY_STATS.MSG_DENIED);
  writer.u32(rejectStat);
}
