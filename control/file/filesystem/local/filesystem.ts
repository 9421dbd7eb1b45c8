// A local directory as the file system of the port: kernel handles, the kernel's verdict on every right, nothing kept
// beside the kernel but descriptors. The operations are in look.ts, change.ts and names.ts.

import { fileProgram } from '@holdfast/linux';
import { Failure } from '../../../lib/failure.ts';
import type { FileHandle, FileSystem } from '../port.ts';
import { errnoName, handleAt } from './attributes.ts';
import * as change from './change.ts';
import { Engine, type EngineOptions, ROOT_CALLER } from './engine.ts';
import * as look from './look.ts';
import * as names from './names.ts';
import { describe } from './steps.ts';

export type LocalFileSystemOptions = EngineOptions;

const TYPES: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'],
  [0x5846_5342, 'xfs'],
  [0x9123_683e, 'btrfs'],
  [0x0102_1994, 'tmpfs'],
  [0xf2f5_2010, 'f2fs'],
  [0x00c3_6400, 'ceph'],
  [0x6969, 'nfs'],
  [0x0116_1970, 'gfs2'],
  [0x7461_636f, 'ocfs2'],
]);

/** @throws Failure where the directory cannot be served, with the reason. */
export function openLocalFileSystem(path: string, options: LocalFileSystemOptions = {}): FileSystem {
  const engine = openEngine(path, options);
  const { type } = engine.storage;
  let root: FileHandle;
  try {
    root = rootOf(engine, path);
  } catch (refused) {
    engine.close();
    throw refused;
  }
  return {
    root,
    type: TYPES.get(type) ?? `type 0x${type.toString(16)}`,
    attributesOf: (file) => look.attributesOf(engine, file),
    setAttributes: (caller, file, set, guard) => change.setAttributes(engine, caller, file, set, guard),
    lookUp: (caller, directory, name) => look.lookUp(engine, caller, directory, name),
    lookUpParent: (caller, directory, top) => look.lookUpParent(engine, caller, directory, top),
    rightsOf: (caller, file) => look.rightsOf(engine, caller, file),
    readLink: (caller, link) => look.readLink(engine, caller, link),
    read: (caller, file, offset, into) => look.read(engine, caller, file, offset, into),
    write: (caller, file, offset, data, stability) =>
      change.write(engine, caller, file, offset, data, stability),
    commit: (caller, file) => change.commit(engine, caller, file),
    create: (caller, directory, name, how) => names.create(engine, caller, directory, name, how),
    makeDirectory: (caller, directory, name, set) =>
      names.makeDirectory(engine, caller, directory, name, set),
    makeLink: (caller, directory, name, target, set) =>
      names.makeLink(engine, caller, directory, name, target, set),
    makeNode: (caller, directory, name, node, set) =>
      names.makeNode(engine, caller, directory, name, node, set),
    remove: (caller, directory, name) => names.remove(engine, caller, directory, name, 'file'),
    removeDirectory: (caller, directory, name) => names.remove(engine, caller, directory, name, 'directory'),
    rename: (caller, from, to) => names.rename(engine, caller, from, to),
    link: (caller, file, directory, name) => names.link(engine, caller, file, directory, name),
    list: (caller, directory, what) => look.list(engine, caller, directory, what),
    spaceOf: (file) => look.spaceOf(engine, file),
    allocate: (caller, file, offset, sizeBytes, what) =>
      change.allocate(engine, caller, file, offset, sizeBytes, what),
    copy: (caller, from, to, sizeBytes) => change.copy(engine, caller, from, to, sizeBytes),
    seek: (caller, file, offset, what) => look.seek(engine, caller, file, offset, what),
    state: () => engine.state(),
    close: () => engine.close(),
  };
}

function openEngine(path: string, options: LocalFileSystemOptions): Engine {
  try {
    return new Engine(path, options);
  } catch (cause) {
    const code = (cause as { code?: unknown }).code;
    if (typeof code !== 'string') throw cause;
    throw new Failure(
      code === 'EOPNOTSUPP' ? 'unsupported' : 'unavailable',
      `cannot serve files of ${path}`,
      {
        cause,
        remedy: REMEDIES[code] ?? 'see that the directory exists and that its file system is mounted',
      },
    );
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  EOPNOTSUPP:
    'use a file system that can be exported: ext4, XFS, Btrfs, CephFS; overlayfs needs nfs_export=on',
  EPERM:
    'run it as root, or with CAP_DAC_READ_SEARCH, CAP_SETUID, CAP_SETGID, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_CHOWN',
};

/** Its handle, which must lead back to it: a handle that does not work would fail every client later. */
function rootOf(engine: Engine, path: string): FileHandle {
  const { storage } = engine;
  const number = storage.addCredentials(ROOT_CALLER.uid, ROOT_CALLER.gid, []);
  const program = storage.take()!;
  try {
    program.add(fileProgram.OPERATION.ROOT, { a: 0 });
    const { handle } = describe(program, 0, false);
    storage.runHere(program, number);
    if (program.failedAt >= 0) throw unusable(path, program.error);
    const root = handleAt(program, handle);
    program.begin();
    program.add(fileProgram.OPERATION.HANDLE, { a: 0, ...program.put(root) });
    storage.runHere(program, number);
    if (program.failedAt >= 0) throw unusable(path, program.error);
    return root;
  } finally {
    storage.release(program);
    storage.removeCredentials(number);
  }
}

function unusable(path: string, error: number): Failure {
  return new Failure('unsupported', `cannot serve files of ${path}`, {
    reason: `file handles do not work there: ${errnoName(error)}`,
    remedy: REMEDIES.EOPNOTSUPP!,
  });
}
