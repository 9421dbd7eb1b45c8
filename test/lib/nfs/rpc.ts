// Owns ONC RPC as a client speaks it: calls built, records of any fragments, replies parsed. For tests and benchmarks.
import { Builder, Parser } from './xdr.ts';

export type AuthSys = {
  readonly stamp?: number;
  readonly machine?: string;
  readonly uid: number;
  readonly gid: number;
  readonly gids?: readonly number[];
};

export type CallOptions = {
  readonly xid: number;
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  /** None: AUTH_NONE. */
  readonly auth?: AuthSys;
};

export function buildCall(
  { xid, program, version, procedure, auth }: CallOptions,
  args: Uint8Array,
): Uint8Array {
  const call = new Builder().u32(xid).u32(0).u32(2).u32(program).u32(version).u32(procedure);
  if (auth === undefined) call.u32(0).u32(0);
  else call.u32(1).opaque(buildAuthSys(auth));
  return call.u32(0).u32(0).fixed(args).done();
}

export function buildAuthSys({ stamp = 0, machine = 'client', uid, gid, gids = [] }: AuthSys): Uint8Array {
  const body = new Builder().u32(stamp).opaque(new TextEncoder().encode(machine)).u32(uid).u32(gid);
  body.u32(gids.length);
  for (const one of gids) body.u32(one);
  return body.done();
}

/** The record of a message, as fragments of these lengths and a last one with the rest. */
export function buildRecord(message: Uint8Array, fragments: readonly number[] = []): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const length of fragments) {
    const part = message.subarray(at, at + length);
    parts.push(new Builder().u32(part.length).done(), part);
    at += part.length;
  }
  const last = message.subarray(at);
  parts.push(new Builder().u32((0x8000_0000 | last.length) >>> 0).done(), last);
  return concatenated(parts);
}

/** Messages of a stream of whole records. */
export function parseRecords(stream: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = [];
  let fragments: Uint8Array[] = [];
  for (let at = 0; at < stream.length; ) {
    const mark = new Parser(stream.subarray(at, at + 4)).u32();
    const length = mark % 0x8000_0000;
    if (at + 4 + length > stream.length) throw new Error('a record is cut');
    fragments.push(stream.slice(at + 4, at + 4 + length));
    if (mark >= 0x8000_0000) {
      messages.push(concatenated(fragments));
      fragments = [];
    }
    at += 4 + length;
  }
  if (fragments.length > 0) throw new Error('a record has no last fragment');
  return messages;
}

export type Reply =
  | { readonly xid: number; readonly what: 'SUCCESS'; readonly results: Uint8Array }
  | { readonly xid: number; readonly what: 'PROG_MISMATCH'; readonly low: number; readonly high: number }
  | { readonly xid: number; readonly what: 'PROG_UNAVAIL' | 'PROC_UNAVAIL' | 'GARBAGE_ARGS' | 'SYSTEM_ERR' }
  | { readonly xid: number; readonly what: 'RPC_MISMATCH'; readonly low: number; readonly high: number }
  | { readonly xid: number; readonly what: 'AUTH_ERROR'; readonly authStat: number };

const ACCEPTED = [
  'SUCCESS',
  'PROG_UNAVAIL',
  'PROG_MISMATCH',
  'PROC_UNAVAIL',
  'GARBAGE_ARGS',
  'SYSTEM_ERR',
] as const;

export function parseReply(message: Uint8Array): Reply {
  const parser = new Parser(message);
  const xid = parser.u32();
  if (parser.u32() !== 1) throw new Error('no reply');
  const reply = parser.u32() === 0 ? parseAccepted(xid, parser) : parseDenied(xid, parser);
  parser.end();
  return reply;
}

function parseAccepted(xid: number, parser: Parser): Reply {
  if (parser.u32() !== 0 || parser.opaque(400).length !== 0) throw new Error('the verifier is not AUTH_NONE');
  const what = ACCEPTED[parser.u32()];
  if (what === undefined) throw new Error('no such status of an accepted call');
  if (what === 'SUCCESS') return { xid, what, results: parser.rest() };
  if (what === 'PROG_MISMATCH') return { xid, what, low: parser.u32(), high: parser.u32() };
  return { xid, what };
}

function parseDenied(xid: number, parser: Parser): Reply {
  if (parser.u32() === 0) return { xid, what: 'RPC_MISMATCH', low: parser.u32(), high: parser.u32() };
  return { xid, what: 'AUTH_ERROR', authStat: parser.u32() };
}

export function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
