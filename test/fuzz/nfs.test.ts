// Whatever the bytes on a connection of the file service: requests, refusals as RFC 5531 has them, or the connection's
// end, and never more memory than its limits say. Start points are calls of every procedure; what is decoded lies
// within the call.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MOUNT3 } from '../../control/file/codec/mount.ts';
import { NFS3 } from '../../control/file/codec/nfs3.ts';
import { CALL_BYTES_MAX } from '../../control/file/codec/nfs3_constants.ts';
import { PORTMAP2, RPCBIND3, RPCBIND4 } from '../../control/file/codec/portmap.ts';
import { type AnyProcedure, Programs } from '../../control/file/codec/procedure.ts';
import { XdrReader } from '../../control/file/codec/xdr.ts';
import { ClientBudget } from '../../control/file/core/client_budget.ts';
import { Connection, type Request } from '../../control/file/core/connection.ts';
import { InputBuffers } from '../../control/file/core/record_input.ts';
import { ReplySlabs } from '../../control/file/core/reply_output.ts';
import { CALLS } from '../lib/nfs/arbitraries.ts';
import { buildNfs3Arguments, NFS3_NUMBERS, type Nfs3Name } from '../lib/nfs/nfs3_calls.ts';
import { buildMapping, buildPath, buildRpcb } from '../lib/nfs/other_programs.ts';
import { drain, feed, taken } from '../lib/nfs/pump.ts';
import { buildCall, buildRecord, concatenated, parseRecords, parseReply } from '../lib/nfs/rpc.ts';

const numRuns = process.argv.includes('--long') ? 200_000 : 20_000;
const PROGRAM_LIST = [NFS3, MOUNT3, PORTMAP2, RPCBIND3, RPCBIND4];
const PROGRAMS = new Programs(PROGRAM_LIST);
const LIMITS = { requestsMax: 8, bytesMax: 8 << 20 };
const LARGE_MAX = 2;

/** Beyond its limit, a client has at most what was let pass with nothing in flight, and a slab begun for it. */
const BYTES_MAX = LIMITS.bytesMax + 2 * (CALL_BYTES_MAX + PROGRAMS.replyBytesMax);

function argumentsOfProcedure(program: number, procedure: AnyProcedure): fc.Arbitrary<Uint8Array> {
  const { name } = procedure;
  if (program === NFS3.number)
    return (CALLS[name as Nfs3Name] as fc.Arbitrary<never>).map((call) =>
      buildNfs3Arguments(name as Nfs3Name, call),
    );
  if (program === MOUNT3.number) return fc.string({ maxLength: 40 }).map(buildPath);
  const one = { program: 100_003, version: 3, protocol: 6, port: 2049 };
  const rpcb = { ...one, netid: 'tcp', address: '', owner: '' };
  return fc.constantFrom(buildMapping(one), buildRpcb(rpcb), new Uint8Array(0));
}

/** A procedure of any program with its arguments. */
const sound = fc
  .constantFrom(
    ...PROGRAM_LIST.flatMap(({ number, version, procedures }) =>
      procedures.flatMap((procedure) => (procedure === undefined ? [] : [{ number, version, procedure }])),
    ),
  )
  .chain(({ number, version, procedure }) =>
    argumentsOfProcedure(number, procedure).map((args) => ({ number, version, procedure, args })),
  );

const auth = fc.option(
  fc.record({ uid: fc.nat(), gid: fc.nat(), gids: fc.array(fc.nat(), { maxLength: 17, size: 'max' }) }),
  { nil: undefined },
);

/** A call, and how it is cut into fragments. */
const record = fc
  .record({ call: sound, auth, xid: fc.nat(), fragments: fc.array(fc.nat(60), { maxLength: 4 }) })
  .map(({ call: { number, version, procedure, args }, auth, xid, fragments }) => {
    const head = { xid, program: number, version, procedure: procedure.number };
    return buildRecord(buildCall(auth === undefined ? head : { ...head, auth }, args), fragments);
  });

const mutation = fc.tuple(
  fc.nat(),
  fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 0x40, 0x41, 0x7f, 0x80, 0xff), fc.nat(255)),
);

/** Every span of decoded arguments lies within the call. */
function expectWithin(value: unknown, start: number, end: number): void {
  if (typeof value !== 'object' || value === null) return;
  const { offset, length } = value as { offset?: unknown; length?: unknown };
  if (typeof offset === 'number' && typeof length === 'number') {
    expect(offset).toBeGreaterThanOrEqual(start);
    expect(length).toBeGreaterThanOrEqual(0);
    expect(offset + length).toBeLessThanOrEqual(end);
    return;
  }
  for (const inner of Object.values(value)) expectWithin(inner, start, end);
}

class Host {
  readonly buffers = new InputBuffers({ recordBytesMax: CALL_BYTES_MAX, largeMax: LARGE_MAX });
  readonly slabs = new ReplySlabs(PROGRAMS.replyBytesMax);
  readonly client = new ClientBudget<Connection>('198.51.100.7', LIMITS);
  readonly seen = { requests: 0, refusals: 0, closings: 0 };
  #waiting: Request[] = [];

  /** Feeds a new connection with all of it, leaves some requests unanswered for a while, and closes it. */
  run(stream: Uint8Array, chunkBytes: number, answerEach: number): void {
    const connection = new Connection({
      programs: PROGRAMS,
      buffers: this.buffers,
      slabs: this.slabs,
      client: this.client,
      nowMs: 0,
      refused: () => {
        this.seen.refusals += 1;
      },
    });
    const handle = (request: Request) => this.#take(connection, request, answerEach);
    for (let at = 0; at < stream.length && connection.closing === undefined; ) {
      const taken = feed(connection, stream.subarray(at), handle, { chunkBytes });
      at += taken;
      this.#settle(connection);
      for (let one = this.client.resumable(); one !== undefined; one = this.client.resumable()) {
        drain(one, handle);
        this.#settle(connection);
      }
      if (taken === 0 && connection.closing === undefined)
        throw new Error('nothing is taken, and nothing said');
    }
    this.#settle(connection);
    if (connection.closing !== undefined) this.seen.closings += 1;
    connection.close();
    expect([this.client.requests, this.client.bytes, this.buffers.largeInUse]).toEqual([0, 0, 0]);
  }

  #take(connection: Connection, request: Request, answerEach: number): void {
    this.seen.requests += 1;
    expectWithin(request.arguments, request.start, request.end);
    expect(this.client.requests).toBeLessThanOrEqual(LIMITS.requestsMax);
    expect(this.client.bytes).toBeLessThanOrEqual(BYTES_MAX);
    this.#waiting.push(request);
    if (this.#waiting.length % answerEach === 0) this.#answerAll(connection);
  }

  #answerAll(connection: Connection): void {
    for (const request of this.#waiting.splice(0).reverse()) {
      connection.begin(request);
      connection.end(request);
    }
  }

  /** All that goes out is replies that a client can read. */
  #settle(connection: Connection): void {
    this.#answerAll(connection);
    for (const message of parseRecords(taken(connection))) parseReply(message);
  }
}

const chunkBytes = fc.oneof(fc.integer({ min: 1, max: 64 }), fc.constant(65_536));
const answerEach = fc.integer({ min: 1, max: 9 });

test('calls of every procedure are requests, or refused for their credentials', () => {
  const host = new Host();
  fc.assert(
    fc.property(fc.array(record, { maxLength: 5 }), chunkBytes, answerEach, (records, chunk, each) =>
      host.run(concatenated(records), chunk, each),
    ),
    { numRuns: numRuns / 10 },
  );
  expect(host.seen.closings).toBe(0);
  expect(host.seen.requests).toBeGreaterThan(numRuns / 20);
});

test('any change of them is a request, a refusal or the end of the connection', () => {
  const host = new Host();
  fc.assert(
    fc.property(
      fc.array(record, { minLength: 1, maxLength: 3 }),
      fc.array(mutation, { minLength: 1, maxLength: 6 }),
      chunkBytes,
      answerEach,
      (records, mutations, chunk, each) => {
        const stream = concatenated(records);
        for (const [at, value] of mutations) stream[at % stream.length] = value;
        host.run(stream, chunk, each);
      },
    ),
    { numRuns: numRuns / 2 },
  );
  for (const count of Object.values(host.seen)) expect(count).toBeGreaterThan(numRuns / 40);
});

test('any bytes are', () => {
  const host = new Host();
  // A mark of a short last fragment comes by chance hardly ever.
  const framed = fc.uint8Array({ maxLength: 200, size: 'max' }).map((bytes) => buildRecord(bytes));
  const piece = fc.oneof(framed, fc.uint8Array({ maxLength: 200, size: 'max' }));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), chunkBytes, (pieces, chunk) =>
      host.run(concatenated(pieces), chunk, 1),
    ),
    { numRuns },
  );
  expect(host.seen.closings).toBeGreaterThan(numRuns / 4);
});

test.each(Object.keys(NFS3_NUMBERS) as Nfs3Name[])('any words are arguments of %s or none', (name) => {
  const { decode } = NFS3.procedures[NFS3_NUMBERS[name]]!;
  const reader = new XdrReader();
  const word = fc.oneof(
    fc.constantFrom(0, 1, 2, 3, 4, 8, 64, 65, 0x7fff_ffff, 0xffff_ffff),
    fc.nat(0xffff_ffff),
  );
  const words = fc.array(word, { maxLength: 60, size: 'max' }).map((values) =>
    changed(
      new Uint8Array(4 * values.length),
      values.map((value, i) => [i, value]),
    ),
  );
  const call = (CALLS[name] as fc.Arbitrary<never>).map((one) => buildNfs3Arguments(name, one));
  const changes = fc.array(fc.tuple(fc.nat(), word), { maxLength: 3 });
  const counts = { sound: 0, malformed: 0 };
  fc.assert(
    fc.property(fc.oneof(words, call), changes, fc.nat(5), (from, changes, cut) => {
      // In front of and behind the arguments are bytes of others.
      const whole = new Uint8Array(4 + from.length + 8).fill(0xff);
      whole.set(changed(from, changes), 4);
      const end = Math.max(4, whole.length - 8 - (cut > 3 ? 0 : cut));
      reader.read(whole, 4, end);
      const args = decode(reader);
      counts[reader.malformed ? 'malformed' : 'sound'] += 1;
      if (reader.malformed) return;
      expect(reader.offset).toBeLessThanOrEqual(end);
      expectWithin(args, 4, end);
    }),
    { numRuns: numRuns / 10 },
  );
  expect(counts.sound).toBeGreaterThan(numRuns / 200);
  if (name !== 'NULL') expect(counts.malformed).toBeGreaterThan(numRuns / 200);
});

/** With other words at some places. */
function changed(from: Uint8Array, changes: readonly (readonly [at: number, word: number])[]): Uint8Array {
  const bytes = from.slice();
  for (const [at, word] of changes)
    if (bytes.length >= 4) new DataView(bytes.buffer).setUint32((at % (bytes.length >> 2)) * 4, word);
  return bytes;
}

test('what a client announces and does not send takes no memory', () => {
  globalThis.gc?.();
  const before = process.memoryUsage().arrayBuffers;
  const host = new Host();
  const connections = Array.from({ length: 100 }, () => {
    const { buffers, slabs, client } = host;
    const connection = new Connection({ programs: PROGRAMS, buffers, slabs, client, nowMs: 0 });
    // A record of a megabyte, of which 60,000 bytes come.
    const announced = new Uint8Array(60_000);
    announced.set([0x80, 0x10, 0, 0]);
    feed(connection, announced, () => expect.unreachable());
    expect(connection.closing).toBeUndefined();
    return connection;
  });
  globalThis.gc?.();
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * (64 << 10) + (4 << 20));
  for (const connection of connections) connection.close();
});
