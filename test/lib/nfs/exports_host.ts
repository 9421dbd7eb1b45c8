// Owns a file service without a socket: a namespace, storages, and clients that speak to it over connections in memory.

import { CALL_BYTES_MAX } from '../../../control/file/codec/nfs3_constants.ts';
import type { Programs } from '../../../control/file/codec/procedure.ts';
import { ClientBudget } from '../../../control/file/core/client_budget.ts';
import { Connection } from '../../../control/file/core/connection.ts';
import { InputBuffers } from '../../../control/file/core/record_input.ts';
import { ReplySlabs } from '../../../control/file/core/reply_output.ts';
import {
  Exports,
  type ExportsParts,
  type FinishedCall,
  type Storages,
} from '../../../control/file/exports/exports.ts';
import type { Session } from '../../../control/file/exports/session.ts';
import type { Namespace } from '../../../control/file/namespace/document.ts';
import { NamespaceView } from '../../../control/file/namespace/view.ts';
import { parseAddress } from '../../../control/lib/address.ts';
import { buildNfs3Arguments, NFS3_NUMBERS, type Nfs3Calls, type Nfs3Name } from './nfs3_calls.ts';
import { type Nfs3Reply, parseNfs3Results, type RepliedName } from './nfs3_replies.ts';
import { buildPath, parseMnt } from './other_programs.ts';
import { drain, feed, taken } from './pump.ts';
import { type AuthSys, buildCall, buildRecord, parseRecords, parseReply, type Reply } from './rpc.ts';

export const NFS = { program: 100_003, version: 3 } as const;
export const MOUNT = { program: 100_005, version: 3 } as const;
/** Of RFC 1813, by its names in the codec's table: what tests compare with. */
export const KEY = Uint8Array.from({ length: 16 }, (_, index) => index * 7);

export class ExportsHost {
  readonly view: NamespaceView;
  readonly exports: Exports;
  readonly finished: FinishedCall[] = [];
  readonly bugs: unknown[] = [];
  readonly #buffers = new InputBuffers({ recordBytesMax: CALL_BYTES_MAX, largeMax: 16 });
  readonly #slabs = new Map<Programs, ReplySlabs>();
  readonly #budgets = new Map<string, ClientBudget<Connection>>();
  #randoms = 0;

  constructor(namespace: Namespace, storages: Storages, more: Partial<ExportsParts> = {}) {
    this.view = new NamespaceView(namespace);
    this.exports = new Exports({
      view: this.view,
      storages,
      key: KEY,
      randomBytes: (count) => new Uint8Array(count).fill(++this.#randoms),
      nowMs: () => performance.now(),
      finished: (call) => this.finished.push({ ...call, client: call.client, procedure: call.procedure }),
      bug: (bug) => this.bugs.push(bug),
      ...more,
    });
  }

  client(address: string, auth?: AuthSys, programs: Programs = this.exports.programs): TestClient {
    const slabs = this.#slabs.get(programs) ?? new ReplySlabs(programs.replyBytesMax);
    this.#slabs.set(programs, slabs);
    const budget = this.#budgets.get(address) ?? new ClientBudget<Connection>(address);
    this.#budgets.set(address, budget);
    const connection = new Connection({
      programs,
      buffers: this.#buffers,
      slabs,
      client: budget,
      nowMs: 0,
    });
    return new TestClient(this.exports, connection, address, auth);
  }
}

/** What any program was answered. */
export class TestClient {
  readonly connection: Connection;
  readonly #session: Session;
  readonly #auth: AuthSys | undefined;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #xid = 1;

  constructor(exports: Exports, connection: Connection, address: string, auth: AuthSys | undefined) {
    this.connection = connection;
    this.#auth = auth;
    this.#session = exports.session(connection, {
      address: parseAddress(address),
      localAddress: '192.0.2.250',
      answered: () => this.#collect(),
    });
  }

  /** Anything, sent as it is. */
  send(record: Uint8Array): void {
    const serve = (request: Parameters<Session['serve']>[0]) => this.#session.serve(request);
    for (let at = 0; at < record.length; ) {
      const count = feed(this.connection, record.subarray(at), serve);
      at += count;
      this.#collect();
      const { client } = this.connection;
      for (let one = client.resumable(); one !== undefined; one = client.resumable()) drain(one, serve);
      if (count === 0) throw new Error(`nothing is taken: ${this.connection.closing}`);
    }
    this.#collect();
  }

  raw(
    to: { readonly program: number; readonly version: number },
    procedure: number,
    args: Uint8Array,
    more: { readonly xid?: number; readonly auth?: AuthSys | undefined } = {},
  ): Promise<Reply> {
    const { xid = this.#xid++ } = more;
    const auth = 'auth' in more ? more.auth : this.#auth;
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#waiting.set(xid, resolve);
    const head = { xid, ...to, procedure };
    this.send(buildRecord(buildCall(auth === undefined ? head : { ...head, auth }, args)));
    return promise;
  }

  async results(...call: Parameters<TestClient['raw']>): Promise<Uint8Array> {
    const reply = await this.raw(...call);
    if (reply.what !== 'SUCCESS') throw new Error(`refused: ${reply.what}`);
    return reply.results;
  }

  async nfs<Name extends RepliedName>(
    name: Name,
    args: Nfs3Calls[Name],
    more?: Parameters<TestClient['raw']>[3],
  ): Promise<Nfs3Reply<Name>> {
    const results = await this.results(
      NFS,
      NFS3_NUMBERS[name as Nfs3Name],
      buildNfs3Arguments(name, args),
      more,
    );
    return parseNfs3Results(name, results);
  }

  async mount(path: string): Promise<ReturnType<typeof parseMnt>> {
    return parseMnt(await this.results(MOUNT, 1, buildPath(path)));
  }

  /** The handle of what is mounted there; fails where it is refused. */
  async root(path: string): Promise<Uint8Array> {
    const mounted = await this.mount(path);
    if (mounted.handle === undefined) throw new Error(`mounting ${path} is refused: ${mounted.status}`);
    return mounted.handle;
  }

  #collect(): void {
    for (const message of parseRecords(taken(this.connection))) {
      const reply = parseReply(message);
      const resolve = this.#waiting.get(reply.xid);
      if (resolve === undefined) throw new Error(`a reply to nothing, xid ${reply.xid}`);
      this.#waiting.delete(reply.xid);
      resolve(reply);
    }
  }
}
