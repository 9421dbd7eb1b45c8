// One connection without a socket: requests in, replies in any order out, limits and times.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NFS3 } from '../../../control/file/codec/nfs3.ts';
import { CALL_BYTES_MAX } from '../../../control/file/codec/nfs3_constants.ts';
import { readDataOffset } from '../../../control/file/codec/nfs3_results.ts';
import { Programs } from '../../../control/file/codec/procedure.ts';
import { ClientBudget, type ClientLimits } from '../../../control/file/core/client_budget.ts';
import { Connection, type Request } from '../../../control/file/core/connection.ts';
import { InputBuffers } from '../../../control/file/core/record_input.ts';
import { ReplySlabs, SMALL_SLAB_BYTES } from '../../../control/file/core/reply_output.ts';
import { buildNfs3Arguments, NFS3_NUMBERS, type Nfs3Calls, type Nfs3Name } from '../../lib/nfs/nfs3_calls.ts';
import { parseNfs3Results } from '../../lib/nfs/nfs3_replies.ts';
import { drain, feed, taken } from '../../lib/nfs/pump.ts';
import { buildCall, buildRecord, concatenated, parseRecords, parseReply } from '../../lib/nfs/rpc.ts';
import { FILE } from './fixtures/nfs3_results.ts';

const PROGRAMS = new Programs([NFS3]);
const TIMES = { idleMs: 1000, recordMs: 100, sendMs: 200 };

function host(limits?: ClientLimits) {
  const buffers = new InputBuffers({ recordBytesMax: CALL_BYTES_MAX, largeMax: 4 });
  const slabs = new ReplySlabs(PROGRAMS.replyBytesMax);
  const client = new ClientBudget<Connection>('198.51.100.7', limits);
  const refusals: string[] = [];
  const connect = (nowMs = 0) =>
    new Connection({
      programs: PROGRAMS,
      buffers,
      slabs,
      client,
      times: TIMES,
      nowMs,
      refused: (refusal) => refusals.push(refusal),
    });
  return { buffers, slabs, client, refusals, connect };
}

function call<Name extends Nfs3Name>(xid: number, name: Name, args: Nfs3Calls[Name], fragments?: number[]) {
  const head = { xid, program: 100_003, version: 3, procedure: NFS3_NUMBERS[name], auth: { uid: 1, gid: 1 } };
  return buildRecord(buildCall(head, buildNfs3Arguments(name, args)), fragments);
}

const HANDLE = Uint8Array.of(1, 2, 3, 4);
const getattr = (xid: number) => call(xid, 'GETATTR', { handle: HANDLE });

function answer(connection: Connection, request: Request): void {
  const writer = connection.begin(request);
  request.procedure.encode(writer, { status: 0, attributes: FILE });
  connection.end(request);
}

const xids = (bytes: Uint8Array) => parseRecords(bytes).map((message) => parseReply(message).xid);

describe('a connection', () => {
  it('gives requests with their arguments, and answers them in one write', () => {
    const connection = host().connect();
    const seen: unknown[] = [];
    const stream = concatenated([getattr(1), getattr(2), call(3, 'NULL', {})]);
    feed(connection, stream, (request) => {
      const { start, end, bytes } = request;
      seen.push([request.xid, request.procedure.name, request.credentials.uid, bytes.slice(start, end)]);
      answer(connection, request);
    });
    const wire = buildNfs3Arguments('GETATTR', { handle: HANDLE });
    expect(seen).toEqual([
      [1, 'GETATTR', 1, wire],
      [2, 'GETATTR', 1, wire],
      [3, 'NULL', 1, new Uint8Array(0)],
    ]);
    const flushes = connection.flush(0);
    expect(flushes).toHaveLength(1);
    const replies = parseRecords(flushes[0]!.bytes).map(parseReply);
    expect(replies.map(({ xid, what }) => [xid, what])).toEqual([
      [1, 'SUCCESS'],
      [2, 'SUCCESS'],
      [3, 'SUCCESS'],
    ]);
    const [first] = replies;
    expect(first!.what === 'SUCCESS' && parseNfs3Results('GETATTR', first!.results).status).toBe(0);
  });

  it('answers in any order, in any chunking, each once', () => {
    const calls = fc.array(fc.array(fc.nat(30), { maxLength: 3 }), {
      minLength: 1,
      maxLength: 20,
      size: 'max',
    });
    fc.assert(
      fc.property(
        calls,
        fc.integer({ min: 1, max: 300 }),
        fc.infiniteStream(fc.nat()),
        (all, chunkBytes, draws) => {
          const { client, connect } = host();
          const connection = connect();
          const stream = concatenated(
            all.map((fragments, i) => call(i, 'GETATTR', { handle: HANDLE }, fragments)),
          );
          const waiting: Request[] = [];
          const out: Uint8Array[] = [];
          const some = () => {
            const which = draws.next().value as number;
            if (which % 3 === 0 || waiting.length === 0) return;
            answer(connection, waiting.splice(which % waiting.length, 1)[0]!);
            if (which % 5 === 0) out.push(taken(connection));
          };
          feed(
            connection,
            stream,
            (request) => {
              waiting.push(request);
              some();
            },
            { chunkBytes },
          );
          expect(client.requests).toBe(waiting.length);
          for (const request of waiting.splice(0)) answer(connection, request);
          out.push(taken(connection));
          expect(xids(concatenated(out)).sort((a, b) => a - b)).toEqual(all.map((_, i) => i));
          expect([client.requests, client.bytes, connection.inFlight]).toEqual([0, 0, 0]);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('answers itself what names no procedure, and says so', () => {
    const { refusals, connect } = host();
    const connection = connect();
    const head = { xid: 9, program: 100_227, version: 3, procedure: 0 };
    const stream = concatenated([
      buildRecord(buildCall(head, new Uint8Array(0))),
      buildRecord(buildCall({ ...head, program: 100_003, version: 4 }, new Uint8Array(0))),
      buildRecord(buildCall({ ...head, program: 100_003, procedure: 1 }, new Uint8Array(0))),
    ]);
    expect(feed(connection, stream, () => expect.unreachable())).toBe(stream.length);
    expect(parseRecords(taken(connection)).map(parseReply)).toEqual([
      { xid: 9, what: 'PROG_UNAVAIL' },
      { xid: 9, what: 'PROG_MISMATCH', low: 3, high: 3 },
      { xid: 9, what: 'GARBAGE_ARGS' },
    ]);
    expect(refusals).toEqual(['PROG_UNAVAIL', 'PROG_MISMATCH', 'GARBAGE_ARGS']);
    expect(connection.closing).toBeUndefined();
  });

  it('is closed at what is no call, with what came before answered', () => {
    const connection = host().connect();
    const stream = concatenated([getattr(1), buildRecord(Uint8Array.of(1, 2)), getattr(3)]);
    feed(connection, stream, (request) => answer(connection, request));
    expect(connection.closing).toBe('not a call');
    expect(connection.space()).toHaveLength(0);
    expect(connection.next(0)).toBeUndefined();
    expect(xids(taken(connection))).toEqual([1]);
  });

  it('is closed at a record that is too long', () => {
    const connection = host().connect();
    feed(connection, concatenated([getattr(1), Uint8Array.of(0xff, 0xff, 0xff, 0xff)]), (request) =>
      answer(connection, request),
    );
    expect(connection.closing).toBe('record too long');
    expect(xids(taken(connection))).toEqual([1]);
  });

  it('has room for data of READ in place, a megabyte and a few bytes', () => {
    const connection = host().connect();
    const data = Uint8Array.from({ length: 1 << 20 }, (_, i) => i >> 8);
    const stream = concatenated(
      [5, 1 << 20, 1 << 20, 70_000].map((count, xid) =>
        call(xid, 'READ', { handle: HANDLE, offset: 0n, count }),
      ),
    );
    feed(connection, stream, (request) => {
      const { count } = request.arguments as { count: number };
      const writer = connection.begin(request);
      writer.bytes.set(data.subarray(0, count), readDataOffset(writer));
      request.procedure.encode(writer, { status: 0, attributes: FILE, count, eof: false });
      connection.end(request);
    });
    const replies = parseRecords(taken(connection)).map(parseReply);
    expect(replies.map(({ xid }) => xid)).toEqual([0, 1, 2, 3]);
    for (const [i, reply] of replies.entries()) {
      if (reply.what !== 'SUCCESS') return expect.unreachable();
      const { data: read } = parseNfs3Results('READ', reply.results);
      expect(Buffer.compare(read!, data.subarray(0, [5, 1 << 20, 1 << 20, 70_000][i]))).toBe(0);
    }
  });

  it('answers with a record kept before, a refusal, a denial, or not at all', () => {
    const { client, connect } = host();
    const connection = connect();
    let kept = new Uint8Array(0);
    feed(connection, concatenated([1, 2, 3, 4, 5].map(getattr)), (request) => {
      if (request.xid === 1) {
        request.procedure.encode(connection.begin(request), { status: 70 });
        connection.end(request);
        kept = connection.lastReply.slice();
      } else if (request.xid === 2) connection.replay(request, kept);
      else if (request.xid === 3) {
        // A procedure that failed half way through its result.
        connection.begin(request).u32(0);
        connection.refuse(request);
      } else if (request.xid === 4) connection.deny(request, 5);
      else connection.drop(request);
    });
    expect(client.requests).toBe(0);
    expect(parseRecords(taken(connection)).map(parseReply)).toEqual([
      { xid: 1, what: 'SUCCESS', results: Uint8Array.of(0, 0, 0, 70) },
      { xid: 1, what: 'SUCCESS', results: Uint8Array.of(0, 0, 0, 70) },
      { xid: 3, what: 'SYSTEM_ERR' },
      { xid: 4, what: 'AUTH_ERROR', authStat: 5 },
    ]);
    expect(client.bytes).toBe(0);
  });
});

describe('limits of a client', () => {
  it('stop reading at so many requests, and go on after an answer', () => {
    const { client, connect } = host({ requestsMax: 2, bytesMax: 1 << 20 });
    const connection = connect();
    const waiting: Request[] = [];
    feed(connection, concatenated([1, 2, 3, 4].map(getattr)), (request) => waiting.push(request));
    expect(waiting.map(({ xid }) => xid)).toEqual([1, 2]);
    expect(connection.paused).toBe(true);
    expect(connection.space()).toHaveLength(0);
    expect(client.resumable()).toBeUndefined();
    answer(connection, waiting[1]!);
    expect(client.resumable()).toBe(connection);
    expect(client.resumable()).toBeUndefined();
    drain(connection, (request) => waiting.push(request));
    expect(waiting.map(({ xid }) => xid)).toEqual([1, 2, 3]);
  });

  it('count all connections of a client, and let the one go on that waits longest', () => {
    const { client, connect } = host({ requestsMax: 1, bytesMax: 1 << 20 });
    const [a, b, c] = [connect(), connect(), connect()];
    const waiting: Request[] = [];
    for (const connection of [a, b, c]) feed(connection, getattr(1), (request) => waiting.push(request));
    expect([a.inFlight, b.inFlight, c.inFlight]).toEqual([1, 0, 0]);
    // a is at the limit, too: it waits with nothing to do.
    answer(a, waiting[0]!);
    const order = [];
    for (let one = client.resumable(); one !== undefined; one = client.resumable()) {
      order.push(one);
      drain(one, (request) => answer(one!, request));
    }
    expect(order).toEqual([a, b, c]);
    for (const connection of [a, b, c]) expect(xids(taken(connection))).toEqual([1]);
  });

  it('stop at so many bytes, of results to come and of replies that are not sent', () => {
    const { client, connect } = host({ requestsMax: 100, bytesMax: 3 << 20 });
    const connection = connect();
    const reads = [1, 2, 3, 4].map((xid) =>
      call(xid, 'READ', { handle: HANDLE, offset: 0n, count: 1 << 20 }),
    );
    const waiting: Request[] = [];
    feed(connection, concatenated(reads), (request) => waiting.push(request));
    expect(waiting.map(({ xid }) => xid)).toEqual([1, 2]);
    const done = waiting.splice(0);
    for (const request of done) {
      request.procedure.encode(connection.begin(request), {
        status: 0,
        attributes: FILE,
        count: 9,
        eof: true,
      });
      connection.end(request);
    }
    // Two slabs are to be sent: there is room for none, then for one more.
    expect(client.resumable()).toBeUndefined();
    const flushes = connection.flush(0);
    expect(flushes).toHaveLength(2);
    connection.sent(flushes[0]!, 0);
    expect(client.resumable()).toBe(connection);
    drain(connection, (request) => waiting.push(request));
    expect(waiting.map(({ xid }) => xid)).toEqual([3]);
    connection.sent(flushes[1]!, 0);
    connection.drop(waiting[0]!);
    expect(client.resumable()).toBe(connection);
  });

  it('let a request pass that alone is over them', () => {
    const connection = host({ requestsMax: 2, bytesMax: 1000 }).connect();
    const waiting: Request[] = [];
    feed(
      connection,
      concatenated([getattr(1), call(2, 'READ', { handle: HANDLE, offset: 0n, count: 1 << 20 })]),
      (one) => waiting.push(one),
    );
    expect(waiting.map(({ xid }) => xid)).toEqual([1]);
    connection.drop(waiting[0]!);
    drain(connection, (one) => waiting.push(one));
    expect(waiting.map(({ xid }) => xid)).toEqual([1, 2]);
  });

  it('are given back when the connection goes, and answers to it go nowhere', () => {
    const { client, buffers, connect } = host({ requestsMax: 2, bytesMax: 1 << 20 });
    const connection = connect();
    const waiting: Request[] = [];
    feed(connection, concatenated([1, 2, 3].map(getattr)), (request) => waiting.push(request));
    answer(connection, waiting[0]!);
    const [unsent] = connection.flush(0);
    connection.close();
    connection.close();
    answer(connection, waiting[1]!);
    connection.sent(unsent!, 0);
    connection.close();
    expect(connection.flush(0)).toEqual([]);
    expect([client.requests, client.bytes, buffers.largeInUse]).toEqual([0, 0, 0]);
    expect(client.resumable()).toBeUndefined();
    expect(connection.next(0)).toBeUndefined();
    expect(connection.space()).toHaveLength(0);
  });
});

describe('times', () => {
  it('end a connection on which nothing happens', () => {
    const connection = host().connect(500);
    expect(connection.deadlineMs).toBe(1500);
    feed(connection, getattr(1), (request) => answer(connection, request), { nowMs: 600 });
    taken(connection, 700);
    expect(connection.deadlineMs).toBe(1700);
    expect(connection.expire(1699)).toBeUndefined();
    expect(connection.expire(1700)).toBe('idle');
    expect(connection.closing).toBe('idle');
  });

  it('do not end one whose request takes long', () => {
    const connection = host().connect();
    feed(connection, getattr(1), () => undefined);
    expect(connection.deadlineMs).toBe(Infinity);
    expect(connection.expire(1e9)).toBeUndefined();
  });

  it('end one whose record does not end, however its bytes trickle', () => {
    const connection = host().connect();
    const record = getattr(1);
    for (let at = 0; at < 10; at++)
      feed(connection, record.subarray(at, at + 1), () => undefined, { nowMs: 10 * at });
    expect(connection.deadlineMs).toBe(100);
    expect(connection.expire(100)).toBe('record too slow');
  });

  it('count a record from its own first byte', () => {
    const connection = host().connect();
    const records = concatenated([1, 2, 3].map(getattr));
    const bytes = getattr(1).length;
    const some = (from: number, to: number, nowMs: number) => {
      feed(connection, records.subarray(from, to), (request) => answer(connection, request), { nowMs });
      taken(connection, nowMs);
      return connection.deadlineMs;
    };
    expect(some(0, bytes + 10, 50)).toBe(150);
    expect(some(bytes + 10, bytes + 20, 80)).toBe(150);
    expect(some(bytes + 20, 2 * bytes + 10, 90)).toBe(190);
    expect(some(2 * bytes + 10, 3 * bytes, 100)).toBe(1100);
  });

  it('end one whose client takes no replies', () => {
    const connection = host().connect();
    feed(connection, concatenated([1, 2].map(getattr)), (request) => {
      answer(connection, request);
      if (request.xid === 1) connection.flush(10);
    });
    const [second] = connection.flush(50);
    expect(connection.deadlineMs).toBe(210);
    connection.sent(second!, 100);
    expect(connection.deadlineMs).toBe(300);
    expect(connection.expire(300)).toBe('replies not taken');
  });

  it('do not blame the client for a pause', () => {
    const { client, connect } = host({ requestsMax: 1, bytesMax: 1 << 20 });
    const connection = connect();
    const waiting: Request[] = [];
    const stream = concatenated([getattr(1), getattr(2)]);
    feed(connection, stream.subarray(0, stream.length - 4), (request) => waiting.push(request));
    const other = connect();
    feed(other, getattr(3), () => expect.unreachable());
    for (const one of [connection, other]) expect([one.paused, one.deadlineMs]).toEqual([true, Infinity]);
    connection.drop(waiting[0]!);
    expect(client.resumable()).toBe(connection);
    drain(connection, () => undefined, 5000);
    expect(connection.deadlineMs).toBe(5100);
  });

  it('do not count a pause in the middle of a record', () => {
    const { connect } = host({ requestsMax: 1, bytesMax: 1 << 20 });
    const [connection, other] = [connect(), connect()];
    const record = getattr(1);
    feed(connection, record.subarray(0, 20), () => expect.unreachable());
    expect(connection.deadlineMs).toBe(100);
    feed(other, getattr(2), () => undefined);
    feed(connection, record.subarray(20, 40), () => expect.unreachable(), { nowMs: 50 });
    expect([connection.paused, connection.deadlineMs]).toEqual([true, Infinity]);
  });
});

describe('slabs', () => {
  it('are used again once they are sent', () => {
    const { connect } = host();
    const connection = connect();
    feed(connection, getattr(1), (request) => answer(connection, request));
    const [first] = connection.flush(0);
    connection.sent(first!, 0);
    feed(connection, getattr(2), (request) => answer(connection, request));
    const [second] = connection.flush(0);
    expect(second!.slab).toBe(first!.slab);
    expect(second!.slab).toHaveLength(SMALL_SLAB_BYTES);
  });
});
