// What tests of the procedures share: a storage in a temporary directory, links to it, and clients of several kinds.
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LinkForm } from '../../../control/config/namespace.ts';
import { NFSSTAT3 } from '../../../control/file/codec/nfs3_constants.ts';
import type { ExportsParts } from '../../../control/file/exports/exports.ts';
import { openLocalFileSystem } from '../../../control/file/filesystem/local/filesystem.ts';
import type { FileSystem } from '../../../control/file/filesystem/port.ts';
import { ExportsHost, type TestClient } from '../../lib/nfs/exports_host.ts';
import type { Entry } from '../../lib/nfs/nfs3_replies.ts';
import type { AuthSys } from '../../lib/nfs/rpc.ts';
import { link, made, mkdir, storage } from '../../unit/file/lib.ts';

export const bytes = (text: string): Uint8Array => Buffer.from(text);
export const text = (of: Uint8Array): string => Buffer.from(of).toString();

export const ALICE = { uid: 61_001, gid: 62_001 };
export const BOB = { uid: 61_002, gid: 62_002 };
export const ROOT = { uid: 0, gid: 0 };
/** Who may write, as itself. */
export const TRUSTED = '192.0.2.1';
/** May read, is nobody's root. */
export const READER = '192.0.2.66';
export const STRANGER = '203.0.113.9';

const EVERYTHING = [
  { address: `${TRUSTED}/32`, access: 'rw', squash: 'none' },
  { address: '192.0.2.2', access: 'rw', squash: 'root' },
  { address: '192.0.2.3', access: 'rw', squash: 'all' },
  { address: '192.0.2.64/26', access: 'ro', squash: 'root' },
] as const;

/** `/data` is a link to `shared` of the storage, where everybody may write; beside it is `secret`, which no link has. */
export class Site {
  readonly path: string;
  readonly shared: string;
  readonly fs: FileSystem;
  readonly storages = new Map<string, FileSystem>();
  readonly host: ExportsHost;

  /** `path`: the storage of a site that is there already; it removes it. */
  constructor(options: Partial<LinkForm> = {}, parts: Partial<ExportsParts> = {}, path?: string) {
    this.path = path ?? mkdtempSync(join(tmpdir(), 'holdfast-exports-'));
    this.shared = join(this.path, 'shared');
    if (path === undefined) {
      mkdirSync(this.shared);
      mkdirSync(join(this.path, 'secret'));
      chmodSync(this.shared, 0o777);
      chmodSync(this.path, 0o755);
    }
    this.fs = openLocalFileSystem(this.path);
    const namespace = made(
      storage('data', 7),
      mkdir('/projects'),
      mkdir('/projects/deep'),
      link('/data', { target: 'shared', clients: [...EVERYTHING], ...options }),
      link('/projects/deep/again', { target: 'shared', clients: [...EVERYTHING] }),
      link('/closed', { target: 'secret' }),
    );
    this.storages.set('data', this.fs);
    this.host = new ExportsHost(namespace, this.storages, parts);
  }

  files(address: string, auth: AuthSys | undefined): Files {
    return new Files(this.host.client(address, auth));
  }

  /** From now on the storage does so instead. */
  replace(operations: Partial<FileSystem>): void {
    this.storages.set('data', { ...this.fs, ...operations });
  }

  remove(): void {
    this.fs.close();
    rmSync(this.path, { recursive: true });
  }
}

const NAMES: readonly (readonly [number, string])[] = Object.entries(NFSSTAT3).map(([name, number]) => [
  number,
  name.replace(/^NFS3(ERR)?_?/, ''),
]);
const STATUS_NAMES = new Map(NAMES);

/** OK, NOENT, …: as RFC 1813 has it, without what all have. */
export function status(of: { readonly status: number }): string {
  return STATUS_NAMES.get(of.status) ?? `unknown ${of.status}`;
}

/** The handle of what a reply has found or made; fails the test where it was refused. */
export function handleIn(reply: {
  readonly status: number;
  readonly handle?: Uint8Array | undefined;
}): Uint8Array {
  if (reply.handle === undefined) throw new Error(`no handle: ${status(reply)}`);
  return reply.handle;
}

/** What tests do again and again, as one client. */
export class Files {
  readonly client: TestClient;

  constructor(client: TestClient) {
    this.client = client;
  }

  async find(directory: Uint8Array, ...names: string[]): Promise<Uint8Array> {
    let at = directory;
    for (const name of names)
      at = handleIn(await this.client.nfs('LOOKUP', { directory: at, name: bytes(name) }));
    return at;
  }

  async make(directory: Uint8Array, name: string, content = '', mode = 0o644): Promise<Uint8Array> {
    const how = { mode: 1, attributes: { mode } } as const;
    const handle = handleIn(await this.client.nfs('CREATE', { directory, name: bytes(name), ...how }));
    if (content !== '') {
      const written = await this.client.nfs('WRITE', { handle, offset: 0n, stable: 0, data: bytes(content) });
      if (written.status !== 0) throw new Error(`not written: ${status(written)}`);
    }
    return handle;
  }

  async makeDirectory(directory: Uint8Array, name: string, mode = 0o755): Promise<Uint8Array> {
    return handleIn(await this.client.nfs('MKDIR', { directory, name: bytes(name), attributes: { mode } }));
  }

  async content(handle: Uint8Array, count = 65_536): Promise<string> {
    const read = await this.client.nfs('READ', { handle, offset: 0n, count });
    return read.status === 0 ? text(read.data!) : status(read);
  }

  /** All names, in pages of so many bytes; with what READDIRPLUS says of each. */
  async list(directory: Uint8Array, pageBytes = 4096): Promise<Entry[]> {
    const all: Entry[] = [];
    for (let cookie = 0n, verifier = 0n; ; ) {
      const where = { directory, cookie, verifier, dircount: pageBytes, maxcount: pageBytes };
      const page = await this.client.nfs('READDIRPLUS', where);
      if (page.status !== 0) throw new Error(`no listing: ${status(page)}`);
      all.push(...page.entries!);
      if (page.eof) return all;
      if (page.entries!.length === 0) throw new Error('a page without an entry, and not the last');
      cookie = page.entries!.at(-1)!.cookie;
      verifier = page.verifier!;
    }
  }

  async names(directory: Uint8Array, pageBytes?: number): Promise<string[]> {
    return (await this.list(directory, pageBytes)).map(({ name }) => text(name));
  }
}
