// What the file service costs between the socket and its procedures: bytes of calls in, bytes of replies out, and the
// pieces of that. Nothing here touches a file.
import { NFS3, NFS3_PROCEDURES } from '../../control/file/codec/nfs3.ts';
import { encodeFattr3, type Fattr3 } from '../../control/file/codec/nfs3_attributes.ts';
import { CALL_BYTES_MAX } from '../../control/file/codec/nfs3_constants.ts';
import { Entries } from '../../control/file/codec/nfs3_listing.ts';
import { Programs } from '../../control/file/codec/procedure.ts';
import { XdrReader, XdrWriter } from '../../control/file/codec/xdr.ts';
import { ClientBudget } from '../../control/file/core/client_budget.ts';
import { Connection } from '../../control/file/core/connection.ts';
import { Duplicates, duplicateKey } from '../../control/file/core/duplicates.ts';
import { InputBuffers } from '../../control/file/core/record_input.ts';
import { ReplySlabs } from '../../control/file/core/reply_output.ts';
import { buildNfs3Arguments, NFS3_NUMBERS, type Nfs3Calls, type Nfs3Name } from '../lib/nfs/nfs3_calls.ts';
import { parseNfs3Results } from '../lib/nfs/nfs3_replies.ts';
import { buildCall, buildRecord, concatenated, parseRecords, parseReply } from '../lib/nfs/rpc.ts';
import type { Report } from './lib/report.ts';

export const description = 'codecs and connection core of the file service, without sockets and files';

const ROUNDS = 15;
const DEPTH = 16;

const FILE: Fattr3 = {
  type: 1,
  mode: 0o644,
  nlink: 1,
  uid: 1000,
  gid: 1000,
  size: 5_000_000_000,
  used: 4_999_999_488,
  rdevMajor: 0,
  rdevMinor: 0,
  fsidHigh: 0x1234_5678,
  fsidLow: 0x9abc_def0,
  fileidHigh: 0,
  fileidLow: 0x8000_0001,
  atimeSeconds: 0x6500_0000,
  atimeNanoseconds: 999_999_999,
  mtimeSeconds: 0x6500_0001,
  mtimeNanoseconds: 999_999_998,
  ctimeSeconds: 0x6500_0002,
  ctimeNanoseconds: 999_999_997,
};

const HANDLE = Uint8Array.from({ length: 40 }, (_, i) => i);
const AUTH = { uid: 1000, gid: 1000, machine: 'client.example.net', gids: [4, 24, 27, 30, 46, 1000] };

function call<Name extends Nfs3Name>(xid: number, name: Name, args: Nfs3Calls[Name]): Uint8Array {
  const head = { xid, program: 100_003, version: 3, procedure: NFS3_NUMBERS[name], auth: AUTH };
  return buildRecord(buildCall(head, buildNfs3Arguments(name, args)));
}

/** Nanoseconds an item, in rounds; the first ones warm up. */
function timed(items: number, work: () => void): number[] {
  const samples: number[] = [];
  const repeats = Math.max(1, Math.round(200_000 / items));
  for (let round = 0; round < ROUNDS + 5; round++) {
    const started = performance.now();
    for (let i = 0; i < repeats; i++) work();
    if (round >= 5) samples.push(((performance.now() - started) * 1e6) / (items * repeats));
  }
  return samples;
}

function connection(): Connection {
  const programs = new Programs([NFS3]);
  return new Connection({
    programs,
    buffers: new InputBuffers({ recordBytesMax: CALL_BYTES_MAX, largeMax: 4 }),
    slabs: new ReplySlabs(programs.replyBytesMax),
    client: new ClientBudget('198.51.100.7'),
    nowMs: 0,
  });
}

/** Calls in chunks as a socket gives them, answered and written; gives the bytes of the answers. */
function exchange(one: Connection, calls: Uint8Array, result: unknown): number {
  let bytes = 0;
  for (let at = 0; at < calls.length; ) {
    const space = one.space();
    const chunk = calls.subarray(at, at + space.length);
    space.set(chunk);
    one.received(chunk.length, 0);
    at += chunk.length;
    for (let request = one.next(0); request !== undefined; request = one.next(0)) {
      request.procedure.encode(one.begin(request), result);
      one.end(request);
    }
    for (const flush of one.flush(0)) {
      bytes += flush.bytes.length;
      one.sent(flush, 0);
    }
  }
  return bytes;
}

function whole(report: Report, name: Nfs3Name, args: Nfs3Calls[Nfs3Name], result: unknown): void {
  const one = connection();
  const calls = concatenated(Array.from({ length: DEPTH }, (_, xid) => call(xid, name, args as never)));
  const bytes = exchange(one, calls, result);
  const samples = timed(DEPTH, () => {
    if (exchange(one, calls, result) !== bytes) throw new Error('answers differ');
  });
  report.add({ case: `${name.toLowerCase()}-qd${DEPTH}`, unit: 'ns', samples });
}

export function run(report: Report): void {
  check();
  const empty = {};
  whole(report, 'NULL', empty, undefined);
  whole(report, 'GETATTR', { handle: HANDLE }, { status: 0, attributes: FILE });
  whole(
    report,
    'LOOKUP',
    { directory: HANDLE, name: new TextEncoder().encode('a-name.txt') },
    { status: 0, handle: HANDLE, attributes: FILE, directory: FILE },
  );
  whole(
    report,
    'READ',
    { handle: HANDLE, offset: 8192n, count: 4096 },
    { status: 0, attributes: FILE, count: 4096, eof: false },
  );
  whole(
    report,
    'WRITE',
    { handle: HANDLE, offset: 8192n, stable: 0, data: new Uint8Array(4096) },
    { status: 0, wcc: { before: FILE, after: FILE }, count: 4096, committed: 0, verifier: new Uint8Array(8) },
  );
  pieces(report);
}

function pieces(report: Report): void {
  const writer = new XdrWriter();
  writer.write(new Uint8Array(1 << 20));
  const attributes = timed(1, () => {
    writer.offset = 0;
    encodeFattr3(writer, FILE);
  });
  report.add({ case: 'encode-attributes', unit: 'ns', samples: attributes });

  const reader = new XdrReader();
  reader.read(
    buildNfs3Arguments('READDIRPLUS', {
      directory: HANDLE,
      cookie: 0n,
      verifier: 0n,
      dircount: 1 << 20,
      maxcount: 1 << 20,
    }),
  );
  const args = NFS3_PROCEDURES.READDIRPLUS.decode(reader);
  const name = new TextEncoder().encode('a-name-of-24-characters.');
  const entries = new Entries();
  const listed = timed(1000, () => {
    writer.offset = 0;
    entries.begin(writer, args);
    for (let i = 0; i < 1000; i++)
      if (!entries.add(0, i, name, 0, name.length, 0, i, FILE, HANDLE)) throw new Error('there is no room');
  });
  report.add({ case: 'readdirplus-entry', unit: 'ns', samples: listed });

  const duplicates = new Duplicates();
  const bytes = buildNfs3Arguments('REMOVE', { directory: HANDLE, name });
  const record = new Uint8Array(150);
  let xid = 0;
  const cached = timed(1, () => {
    const request = {
      xid: xid++,
      program: 100_003,
      procedure: NFS3_PROCEDURES.REMOVE,
      credentials: AUTH,
      bytes,
      start: 0,
      end: bytes.length,
    };
    const key = duplicateKey('198.51.100.7', request);
    if (duplicates.begin(key, 0) !== 'new') throw new Error('a call was taken for another');
    duplicates.answer(key, record, 0);
  });
  report.add({ case: 'duplicate-cache', unit: 'ns', samples: cached });
}

/** What is timed is what a client reads. */
function check(): void {
  const one = connection();
  const calls = call(77, 'GETATTR', { handle: HANDLE });
  one.space().set(calls);
  one.received(calls.length, 0);
  const request = one.next(0)!;
  request.procedure.encode(one.begin(request), { status: 0, attributes: FILE });
  one.end(request);
  const [message] = parseRecords(one.flush(0)[0]!.bytes);
  const reply = parseReply(message!);
  if (reply.xid !== 77 || reply.what !== 'SUCCESS') throw new Error(`the reply is ${reply.what}`);
  const { attributes } = parseNfs3Results('GETATTR', reply.results);
  if (attributes?.size !== BigInt(FILE.size)) throw new Error('the attributes are others');
}
