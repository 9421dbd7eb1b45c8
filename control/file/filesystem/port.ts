// Owns the contract of a file system as the file service and the disks use it: operations relative to handles, with the
// rights of a caller. It knows no file protocol, no socket and no namespace; test/contract/filesystem.ts holds every
// implementation to it.
//
// What is expected to go wrong is an answer with `ok: false` and the name of the errno value, as the storage gave it. What
// is thrown is a bug. An operation answers at once where it can, and with a promise where it must wait: look with
// `instanceof Promise`, or just `await`.

/**
 * A file for as long as it exists, whatever it is called: opaque bytes that stay the same over rename, restart and on other
 * nodes that have the same storage. They say nothing about who may use them: whoever hands them out must sign them.
 */
export type FileHandle = Uint8Array;
/** No handle is longer. Those of ext4 and XFS have 12 to 20 bytes, those of Btrfs 24 to 44. */
export const HANDLE_BYTES_MAX = 132;

/** One component of a path, as bytes: the storage does not know their encoding. */
export type FileName = Uint8Array;
export const NAME_BYTES_MAX = 255;
export const LINK_TARGET_BYTES_MAX = 4095;
/** One read or write; more is for several. */
export const TRANSFER_BYTES_MAX = 4 * 1024 * 1024;
export const GROUPS_MAX = 1024;

/**
 * In whose name an operation is done, after squashing. The storage itself decides what the caller may; user 0 is root with
 * all its rights over files, but not over quotas and reserved space. Keep one object for a caller that comes back: it is
 * recognised faster. It must not change.
 */
export type Caller = {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
};

/** Names of errno values that have a meaning here; others pass as they are. */
export type Errno =
  | 'EPERM'
  | 'ENOENT'
  | 'EIO'
  | 'EACCES'
  | 'EEXIST'
  | 'EXDEV'
  | 'ENODEV'
  | 'ENOTDIR'
  | 'EISDIR'
  | 'EINVAL'
  | 'EFBIG'
  | 'ENOSPC'
  | 'EROFS'
  | 'EMLINK'
  | 'ENAMETOOLONG'
  | 'ENOTEMPTY'
  | 'EDQUOT'
  | 'ESTALE'
  | 'EOPNOTSUPP'
  /** Names of directory `.` and `..`, `/` or NUL in a name. */
  | 'EBADNAME'
  /** The guard of a change is not what the file has. */
  | 'EGUARD'
  /** A cookie of a directory that is not to be used any more: begin anew. */
  | 'EBADCOOKIE'
  /** Try again later: everything is in use, or the storage has not answered in time and may still do what it was told. */
  | 'EBUSYNOW'
  | (string & {});

export type Failed = { readonly ok: false; readonly errno: Errno };
export type Done<T> = { readonly ok: true } & Readonly<T>;
/** At once, or later. */
export type Answer<T> = T | Promise<T>;

/** Nanoseconds are from 0 to 999,999,999; seconds may be negative. */
export type FileTime = { readonly seconds: number; readonly nanoseconds: number };

export const FILE_KINDS = [
  'regular',
  'directory',
  'symlink',
  'block',
  'character',
  'fifo',
  'socket',
] as const;
export type FileKind = (typeof FILE_KINDS)[number];

export type Attributes = {
  readonly kind: FileKind;
  /** Permissions, set-ID bits and sticky bit: 0 to 0o7777. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: bigint;
  readonly usedBytes: bigint;
  /** Of a device. */
  readonly device: { readonly major: number; readonly minor: number };
  /** Unique in the storage while the file exists. */
  readonly fileId: bigint;
  readonly accessed: FileTime;
  readonly modified: FileTime;
  /** Of attributes or data; goes by the storage's clock and cannot be set. */
  readonly changed: FileTime;
  /** Zero where the storage does not know. */
  readonly born: FileTime;
};

/** Enough of what was before a change to tell whether a cached copy was current. */
export type Before = Pick<Attributes, 'sizeBytes' | 'modified' | 'changed'>;

/**
 * What a change did to one file: no other change through this process lies between the two. Either is missing where it
 * could not be told.
 */
export type Change = { readonly before: Before | undefined; readonly after: Attributes | undefined };
export const NO_CHANGE: Change = { before: undefined, after: undefined };

/** An answer that says, also when it failed, what happened to the file or directory. */
export type Changed<T = unknown> =
  | (Done<T> & { readonly change: Change })
  | (Failed & { readonly change: Change });

/** `now` is the storage's clock: the caller needs the right to write only, not to own the file. */
export type SetTime = FileTime | 'now';

/** What is to be set; the rest stays. */
export type NewAttributes = {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: bigint;
  readonly accessed?: SetTime;
  readonly modified?: SetTime;
};

export const VERIFIER_BYTES = 8;

/**
 * `unchecked`: a regular file that exists is opened instead, and of the attributes only the size is set. `guarded`: it must
 * not exist. `exclusive`: it must not exist, unless the very same request made it: the verifier tells. It is kept in the
 * file's times, which are to be set afterwards.
 */
export type HowToCreate =
  | { readonly how: 'unchecked' | 'guarded'; readonly attributes: NewAttributes }
  | { readonly how: 'exclusive'; readonly verifier: Uint8Array };

export type Made = { readonly handle: FileHandle; readonly attributes: Attributes };

/** What can be made beside files and directories. They are never opened by the file system. */
export type Node =
  | { readonly kind: 'fifo' | 'socket' }
  | {
      readonly kind: 'block' | 'character';
      readonly device: { readonly major: number; readonly minor: number };
    };

/** When data must be on stable storage: not before `commit`, or before the answer; `all` includes every attribute. */
export type Stability = 'unstable' | 'data' | 'all';

/** Rights are asked one by one; `execute` is to search, for a directory. */
export type Rights = { readonly read: boolean; readonly write: boolean; readonly execute: boolean };

export type Entry = {
  readonly name: FileName;
  readonly fileId: bigint;
  /** Continue after this entry. */
  readonly cookie: bigint;
  /** Missing without `plus`; for `..`; and where the caller may not search, or the entry has just gone. */
  readonly file: Made | undefined;
};

export type Listing = {
  /** With `.` and `..`. */
  readonly entries: readonly Entry[];
  readonly atEnd: boolean;
  /** To be given with every cookie of this directory. */
  readonly verifier: Uint8Array;
  readonly directory: Attributes;
};

export type WhatToList = {
  /** 0n from the beginning. */
  readonly cookie: bigint;
  /** Of the listing that the cookie is of; ignored with cookie 0n. */
  readonly verifier: Uint8Array;
  /** At most, and at least 1. Fewer may come before the end. */
  readonly entriesMax: number;
  /** With attributes and handles. */
  readonly plus: boolean;
};
export const LIST_ENTRIES_MAX = 4096;

export type SpaceState = {
  readonly totalBytes: bigint;
  readonly freeBytes: bigint;
  /** For callers that are not root. */
  readonly availableBytes: bigint;
  readonly totalFiles: bigint;
  readonly freeFiles: bigint;
  readonly nameBytesMax: number;
  readonly blockBytes: number;
};

export type FileSystem = {
  /** The directory that all is below of. */
  readonly root: FileHandle;
  /** What kind of storage it is, for people: ext4, xfs, … */
  readonly type: string;

  attributesOf(file: FileHandle): Answer<Done<{ attributes: Attributes }> | Failed>;
  /**
   * In this order: size, owner, mode, times; what came before a failure is done. `guard`: the `changed` that the file must
   * still have. The owner of a file may change its size whatever the mode says.
   */
  setAttributes(caller: Caller, file: FileHandle, set: NewAttributes, guard?: FileTime): Answer<Changed>;

  /** Follows no symbolic link, enters no other file system (EXDEV), takes neither `.` nor `..` (EBADNAME). */
  lookUp(
    caller: Caller,
    directory: FileHandle,
    name: FileName,
  ): Answer<(Done<Made> | Failed) & { readonly directory: Attributes | undefined }>;
  /** The directory above, if it is `root` or below it; EXDEV otherwise, and at `root` itself. */
  lookUpParent(caller: Caller, directory: FileHandle, root: FileHandle): Answer<Done<Made> | Failed>;
  /** What the storage says that the caller may. */
  rightsOf(
    caller: Caller,
    file: FileHandle,
  ): Answer<Done<{ rights: Rights; attributes: Attributes }> | Failed>;
  readLink(
    caller: Caller,
    link: FileHandle,
  ): Answer<Done<{ target: Uint8Array; attributes: Attributes }> | Failed>;

  /**
   * Into `into`, from its beginning; the memory is the file system's until the answer, and for good after EBUSYNOW: a storage
   * that answers later may still write to it. The owner of a file may read and
   * write it whatever the mode says, and who may execute it may read it: they may have opened it before, elsewhere.
   * Only regular files: EISDIR, EINVAL.
   */
  read(
    caller: Caller,
    file: FileHandle,
    offset: bigint,
    into: Uint8Array,
  ): Answer<Done<{ readBytes: number; atEnd: boolean; attributes: Attributes }> | Failed>;
  /** May write less than all, if the rest fails: the next write says why. `data` must not change until the answer, as above. */
  write(
    caller: Caller,
    file: FileHandle,
    offset: bigint,
    data: Uint8Array,
    stability: Stability,
  ): Answer<Changed<{ writtenBytes: number }>>;
  /** All unstable data of the file. After a failure data that was acknowledged as unstable may be lost. */
  commit(caller: Caller, file: FileHandle): Answer<Changed>;

  /**
   * Of `set` and `attributes`, owner and group count only for root and only for regular files: anything else belongs to the
   * caller, as does what was made without a mode, with the rights of its owner alone.
   */
  create(caller: Caller, directory: FileHandle, name: FileName, how: HowToCreate): Answer<Changed<Made>>;
  makeDirectory(
    caller: Caller,
    directory: FileHandle,
    name: FileName,
    set: NewAttributes,
  ): Answer<Changed<Made>>;
  makeLink(
    caller: Caller,
    directory: FileHandle,
    name: FileName,
    target: Uint8Array,
    set: NewAttributes,
  ): Answer<Changed<Made>>;
  makeNode(
    caller: Caller,
    directory: FileHandle,
    name: FileName,
    node: Node,
    set: NewAttributes,
  ): Answer<Changed<Made>>;
  /** Anything but a directory. */
  remove(caller: Caller, directory: FileHandle, name: FileName): Answer<Changed>;
  removeDirectory(caller: Caller, directory: FileHandle, name: FileName): Answer<Changed>;
  /** Replaces what `to` names, if that is of the same kind. `change` is of the directory that loses the name. */
  rename(
    caller: Caller,
    from: { readonly directory: FileHandle; readonly name: FileName },
    to: { readonly directory: FileHandle; readonly name: FileName },
  ): Answer<Changed & { readonly toChange: Change }>;
  /** Another name for a file; not for a directory. `change` is of the directory. */
  link(
    caller: Caller,
    file: FileHandle,
    directory: FileHandle,
    name: FileName,
  ): Answer<Changed & { readonly file: Attributes | undefined }>;

  /**
   * Entries that were there all the time come exactly once, however many change meanwhile; cookies stay good, on all nodes,
   * as long as the directory exists.
   */
  list(caller: Caller, directory: FileHandle, what: WhatToList): Answer<Done<Listing> | Failed>;

  spaceOf(file: FileHandle): Answer<Done<{ space: SpaceState; attributes: Attributes }> | Failed>;

  /** Reserves space, or gives it back: then it reads as zeros. The size stays what it is, unless it `grows`. */
  allocate(
    caller: Caller,
    file: FileHandle,
    offset: bigint,
    sizeBytes: bigint,
    what: 'reserve' | 'grow' | 'punch' | 'zero',
  ): Answer<Changed>;
  /** At most 1 GiB at a time. Shares blocks where the storage can. */
  copy(
    caller: Caller,
    from: { readonly file: FileHandle; readonly offset: bigint },
    to: { readonly file: FileHandle; readonly offset: bigint },
    sizeBytes: bigint,
  ): Answer<Changed<{ copiedBytes: number }>>;
  /** The next byte, from `offset`, that is data or in a hole; ENXIO where there is none. */
  seek(
    caller: Caller,
    file: FileHandle,
    offset: bigint,
    what: 'data' | 'hole',
  ): Answer<Done<{ offset: bigint }> | Failed>;

  /** For metrics. */
  state(): FileSystemState;
  /** Waits for what is under way. Nothing can be asked afterwards. */
  close(): void;
};

export type FileSystemState = {
  /** Operations that were begun and not answered by the storage. */
  readonly pending: number;
  /** How long the oldest of them has taken; 0 without any. */
  readonly oldestMs: number;
  /** Operations that can be pending; those beyond are answered EBUSYNOW. */
  readonly pendingMax: number;
  readonly descriptors: number;
};
