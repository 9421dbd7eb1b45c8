// What the file service costs without sockets: records of calls in, procedures on a storage in memory, records of replies
// out. One client keeps a number of calls under way, as one connection does.
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CALL_BYTES_MAX } from '../../control/file/codec/nfs3_constants.ts';
import { ClientBudget } from '../../control/file/core/client_budget.ts';
import { Connection } from '../../control/file/core/connection.ts';
import { InputBuffers } from '../../control/file/core/record_input.ts';
import { ReplySlabs } from '../../control/file/core/reply_output.ts';
import { Exports } from '../../control/file/exports/exports.ts';
import { openLocalFileSystem } from '../../control/file/filesystem/local/filesystem.ts';
import { NamespaceView } from '../../control/file/namespace/view.ts';
import { parseAddress } from '../../control/lib/address.ts';
import { ExportsHost, KEY, NFS } from '../lib/nfs/exports_host.ts';
import { buildNfs3Arguments, NFS3_NUMBERS, type Nfs3Calls, type Nfs3Name } from '../lib/nfs/nfs3_calls.ts';
import { buildCall, buildRecord } from '../lib/nfs/rpc.ts';
import { link, made, storage } from '../unit/file/lib.ts';
import type { Report } from './lib/report.ts';

export const description = 'procedures of the file service on a storage in memory, without sockets';

const STORAGE = process.env.HF_STORAGE ?? '/dev/shm';
const CLIENT = '192.0.2.1';
const AUTH = { uid: 1000, gid: 1000, machine: 'client.example.net', gids: [4, 24, 27, 30, 46, 1000] };
const FILE_BYTES = 64 << 20;
const BLOCK = 4096;
const MIB = 1 << 20;
const ROUNDS = 5;
const MEASURE_MS = 400;
const FILES = 10_000;
const NAME_BYTES = 10;
const encoder = new TextEncoder();

type Bytes = Uint8Array<ArrayBuffer>;

function record<Name extends Nfs3Name>(name: Name, args: Nfs3Calls[Name]): Bytes {
  const head = { xid: 0, ...NFS, procedure: NFS3_NUMBERS[name], auth: AUTH };
  return Uint8Array.from(buildRecord(buildCall(head, buildNfs3Arguments(name, args))));
}

/** One connection, and what is under way on it. */
class Load {
  readonly #connection: Connection;
  readonly #session: ReturnType<Exports['session']>;
  done = 0;
  #underWay = 0;
  #scheduled = false;
  #next: (() => Bytes | undefined) | undefined;
  #ended: (() => void) | undefined;
  #depth = 0;
  #xid = 1;

  constructor(exports: Exports) {
    const buffers = new InputBuffers({ recordBytesMax: CALL_BYTES_MAX, largeMax: 16 });
    const slabs = new ReplySlabs(exports.programs.replyBytesMax);
    const client = new ClientBudget<Connection>(CLIENT);
    this.#connection = new Connection({ programs: exports.programs, buffers, slabs, client, nowMs: 0 });
    const answered = () => {
      if (this.#scheduled) return;
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#collect();
        this.#fill();
      });
    };
    this.#session = exports.session(this.#connection, { address: parseAddress(CLIENT), answered });
  }

  /** `next` gives calls until there are no more. */
  run(depth: number, next: () => Bytes | undefined): Promise<void> {
    this.#depth = depth;
    this.#next = next;
    return new Promise((resolve) => {
      this.#ended = resolve;
      this.#fill();
    });
  }

  /** Whoever answers at once is asked again in the next turn, as a socket would. */
  #fill(): void {
    const calls: Bytes[] = [];
    while (this.#underWay < this.#depth) {
      const call = this.#next?.();
      if (call === undefined) {
        this.#next = undefined;
        break;
      }
      this.#underWay += 1;
      new DataView(call.buffer).setUint32(4, this.#xid++);
      calls.push(call);
      if (call.length > 65_536) this.#feed([calls.pop()!]);
    }
    this.#feed(calls);
    const before = this.done;
    this.#collect();
    if (this.#next === undefined && this.#underWay === 0) this.#ended!();
    else if (this.done > before) setImmediate(() => this.#fill());
  }

  #feed(calls: readonly Bytes[]): void {
    for (const call of calls) {
      for (let at = 0; at < call.length; ) {
        const space = this.#connection.space();
        const count = Math.min(space.length, call.length - at);
        space.set(call.subarray(at, at + count));
        at += count;
        this.#connection.received(count, 0);
        for (let one = this.#connection.next(0); one !== undefined; one = this.#connection.next(0))
          this.#session.serve(one);
      }
    }
  }

  #collect(): void {
    for (const flush of this.#connection.flush(0)) {
      const view = new DataView(flush.bytes.buffer, flush.bytes.byteOffset, flush.bytes.length);
      for (let at = 0; at < view.byteLength; ) {
        const length = view.getUint32(at) & 0x7fff_ffff;
        // NULL has no status.
        if (length > 24 && view.getUint32(at + 28) !== 0)
          throw new Error(`status ${view.getUint32(at + 28)}`);
        at += 4 + length;
        this.#underWay -= 1;
        this.done += 1;
      }
      this.#connection.sent(flush, 0);
    }
  }
}

/** Calls are built once, and told apart by numbers written into them. */
function numbered(
  template: Bytes,
  depth: number,
  place: (view: DataView, number: number) => void,
): () => Bytes {
  const ring = Array.from({ length: depth }, () => template.slice());
  const views = ring.map((one) => new DataView(one.buffer));
  let number = 0;
  return () => {
    const index = number % depth;
    place(views[index]!, number++);
    return ring[index]!;
  };
}

function forAWhile(load: Load, depth: number, next: () => Bytes): Promise<number> {
  const started = performance.now();
  const before = load.done;
  const until = started + MEASURE_MS;
  return load
    .run(depth, () => (performance.now() < until ? next() : undefined))
    .then(() => ((load.done - before) / (performance.now() - started)) * 1000);
}

async function forAll(load: Load, depth: number, next: () => Bytes): Promise<number> {
  const started = performance.now();
  let left = FILES;
  await load.run(depth, () => (left-- > 0 ? next() : undefined));
  return (FILES / (performance.now() - started)) * 1000;
}

export async function run(report: Report): Promise<void> {
  const path = mkdtempSync(join(STORAGE, 'holdfast-procedures-'));
  const fs = openLocalFileSystem(path);
  try {
    mkdirSync(join(path, 'shared'));
    chmodSync(join(path, 'shared'), 0o777);
    const clients = [{ address: CLIENT, access: 'rw', squash: 'root' } as const];
    const namespace = made(storage('data', 7), link('/data', { target: 'shared', clients }));
    const storages = new Map([['data', fs]]);
    const exports = new Exports({
      view: new NamespaceView(namespace),
      storages,
      key: KEY,
      randomBytes: (count) => new Uint8Array(count).fill(1),
      nowMs: () => performance.now(),
      finished: () => {},
      bug: (bug) => {
        throw bug;
      },
    });
    await measureAll(report, exports, await prepare(new ExportsHost(namespace, storages)));
  } finally {
    fs.close();
    rmSync(path, { recursive: true });
  }
}

type Handles = { readonly directory: Uint8Array; readonly file: Uint8Array };

async function prepare(host: ExportsHost): Promise<Handles> {
  const client = host.client(CLIENT, AUTH);
  const directory = await client.root('/data');
  const name = encoder.encode('data');
  const { handle } = await client.nfs('CREATE', { directory, name, mode: 1, attributes: { mode: 0o644 } });
  const data = new Uint8Array(65_536).fill(7);
  for (let offset = 0; offset < FILE_BYTES; offset += data.length)
    await client.nfs('WRITE', { handle: handle!, offset: BigInt(offset), stable: 0, data });
  return { directory, file: handle! };
}

async function measureAll(report: Report, exports: Exports, { directory, file }: Handles): Promise<void> {
  const load = new Load(exports);
  const block = (number: number, size: number): number =>
    ((Math.imul(number, 2_654_435_761) >>> 0) % (FILE_BYTES / size)) * size;
  /** Where the offset is: before the count, and what follows it. */
  const at = (template: Bytes, behind: number) => template.length - behind - 8;
  const transfers = (name: 'READ' | 'WRITE', size: number, depth: number) => {
    const data = new Uint8Array(size).fill(3);
    const template =
      name === 'READ'
        ? record('READ', { handle: file, offset: 0n, count: size })
        : record('WRITE', { handle: file, offset: 0n, stable: 0, data });
    const place = at(template, name === 'READ' ? 4 : 12 + size);
    return numbered(template, depth, (view, number) => view.setUint32(place + 4, block(number, size)));
  };
  const names = (name: 'CREATE' | 'REMOVE') => {
    const text = encoder.encode('f'.repeat(NAME_BYTES));
    const template =
      name === 'CREATE'
        ? record('CREATE', { directory, name: text, mode: 1, attributes: { mode: 0o644 } })
        : record('REMOVE', { directory, name: text });
    const place = Buffer.from(template.buffer).indexOf(text);
    return numbered(template, 64, (view, number) => {
      const digits = String(number % FILES).padStart(NAME_BYTES, '0');
      for (let i = 0; i < NAME_BYTES; i++) view.setUint8(place + i, digits.charCodeAt(i));
    });
  };
  const same = (template: Bytes, depth: number) => numbered(template, depth, () => {});
  const cases: [string, () => Promise<number>, string][] = [
    ['null-qd16', () => forAWhile(load, 16, same(record('NULL', {}), 16)), 'op/s'],
    ['getattr-qd16', () => forAWhile(load, 16, same(record('GETATTR', { handle: file }), 16)), 'op/s'],
    ...[1, 16, 64].map((depth): [string, () => Promise<number>, string] => [
      `read-4k-qd${depth}`,
      () => forAWhile(load, depth, transfers('READ', BLOCK, depth)),
      'op/s',
    ]),
    ['write-4k-unstable-qd16', () => forAWhile(load, 16, transfers('WRITE', BLOCK, 16)), 'op/s'],
    ['read-1m-qd4', () => forAWhile(load, 4, transfers('READ', MIB, 4)).then((n) => (n * MIB) / 1e6), 'MB/s'],
    [
      'write-1m-qd4',
      () => forAWhile(load, 4, transfers('WRITE', MIB, 4)).then((n) => (n * MIB) / 1e6),
      'MB/s',
    ],
    ['create-qd16', () => forAll(load, 16, names('CREATE')), 'op/s'],
    ['remove-qd16', () => forAll(load, 16, names('REMOVE')), 'op/s'],
  ];
  const only = process.env.HF_CASE;
  const samples = cases.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++)
    for (const [index, [name, measure]] of cases.entries())
      if (only === undefined || name.startsWith(only)) samples[index]!.push(await measure());
  for (const [index, [name, , unit]] of cases.entries())
    if (samples[index]!.length > 0) report.add({ case: name, unit, samples: samples[index]! });
}
