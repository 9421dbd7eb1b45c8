// What tests of the procedures share: a storage in a temporary directory, links to it, and clients of several kinds.
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LinkForm } from '../../../control/config/namespace.ts';
import type { ExportsParts } from '../../../control/file/exports/exports.ts';
import { openLocalFileSystem } from '../../../control/file/filesystem/local/filesystem.ts';
import type { FileSystem } from '../../../control/file/filesystem/port.ts';
import { ExportsHost } from '../../lib/nfs/exports_host.ts';
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
  readonly path = mkdtempSync(join(tmpdir(), 'holdfast-exports-'));
  readonly shared = join(this.path, 'shared');
  readonly fs: FileSystem;
  readonly host: ExportsHost;

  constructor(options: Partial<LinkForm> = {}, parts: Partial<ExportsParts> = {}) {
    mkdirSync(this.shared);
    mkdirSync(join(this.path, 'secret'));
    chmodSync(this.shared, 0o777);
    chmodSync(this.path, 0o755);
    this.fs = openLocalFileSystem(this.path);
    const namespace = made(
      storage('data', 7),
      mkdir('/projects'),
      mkdir('/projects/deep'),
      link('/data', { target: 'shared', clients: [...EVERYTHING], ...options }),
      link('/projects/deep/again', { target: 'shared', clients: [...EVERYTHING] }),
      link('/closed', { target: 'secret' }),
    );
    this.host = new ExportsHost(namespace, new Map([['data', this.fs]]), parts);
  }

  remove(): void {
    this.fs.close();
    rmSync(this.path, { recursive: true });
  }
}
