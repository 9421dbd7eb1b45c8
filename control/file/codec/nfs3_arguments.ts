// Owns the arguments of the procedures of NFS version 3 (RFC 1813, section 3.3). Handles, names, paths and data are
// spans of the message; whether they are good ones is for whoever resolves them. What XDR does not allow (a handle over
// 64 bytes, an enum without that value) makes the reader malformed, and the call is answered GARBAGE_ARGS.
//
// Each function decodes into the one object that it always gives.
import { Sattr3 } from './nfs3_attributes.ts';
import { CREATEMODE3, FTYPE3, NFS3_FHSIZE, STABLE_HOW } from './nfs3_constants.ts';
import { emptySpan, type Span, type XdrReader } from './xdr.ts';

/** Names and paths have no limit of their own in XDR: the record's is enough, as nothing is allocated. */
const NO_LIMIT = 0x7fff_ffff;

export interface HandleArguments {
  readonly handle: Span;
}

/** diropargs3. */
export interface NameArguments {
  readonly directory: Span;
  readonly name: Span;
}

export interface SetattrArguments extends HandleArguments {
  readonly attributes: Sattr3;
  /** Only if this is the object's ctime still. */
  guarded: boolean;
  guardSeconds: number;
  guardNanoseconds: number;
}

export interface AccessArguments extends HandleArguments {
  /** Bits of ACCESS3. */
  access: number;
}

export interface ReadArguments extends HandleArguments {
  offset: number;
  count: number;
}

export interface WriteArguments extends HandleArguments {
  offset: number;
  /** A value of STABLE_HOW. */
  stable: number;
  /** As many bytes as `count` said. */
  readonly data: Span;
}

export interface CreateArguments extends NameArguments {
  /** A value of CREATEMODE3. */
  mode: number;
  /** Sets nothing if exclusive. */
  readonly attributes: Sattr3;
  /** createverf3, for exclusive ones. */
  verifierHigh: number;
  verifierLow: number;
}

export interface MkdirArguments extends NameArguments {
  readonly attributes: Sattr3;
}

export interface SymlinkArguments extends NameArguments {
  readonly attributes: Sattr3;
  readonly path: Span;
}

export interface MknodArguments extends NameArguments {
  /** A value of FTYPE3. Files, directories and links are no nodes: NFS3ERR_BADTYPE. */
  type: number;
  readonly attributes: Sattr3;
  major: number;
  minor: number;
}

export interface RenameArguments {
  readonly fromDirectory: Span;
  readonly fromName: Span;
  readonly toDirectory: Span;
  readonly toName: Span;
}

export interface LinkArguments extends HandleArguments, NameArguments {}

export interface ReaddirArguments {
  readonly directory: Span;
  cookieHigh: number;
  cookieLow: number;
  verifierHigh: number;
  verifierLow: number;
  /** Bytes of the result at most. */
  count: number;
}

export interface ReaddirplusArguments extends ReaddirArguments {
  /** Bytes of file ids, names and cookies; `count` is maxcount. */
  dircount: number;
}

function decodeHandle(reader: XdrReader, into: Span): void {
  reader.opaque(into, NFS3_FHSIZE);
}

function decodeName(reader: XdrReader, args: NameArguments): void {
  reader.opaque(args.directory, NFS3_FHSIZE);
  reader.opaque(args.name, NO_LIMIT);
}

/** GETATTR, READLINK, FSSTAT, FSINFO, PATHCONF. */
export const decodeHandleArguments = decoder<HandleArguments>({ handle: emptySpan() }, (args, reader) =>
  decodeHandle(reader, args.handle),
);

/** LOOKUP, REMOVE, RMDIR. */
export const decodeNameArguments = decoder<NameArguments>(
  { directory: emptySpan(), name: emptySpan() },
  (args, reader) => decodeName(reader, args),
);

export const decodeSetattr = decoder<SetattrArguments>(
  { handle: emptySpan(), attributes: new Sattr3(), guarded: false, guardSeconds: 0, guardNanoseconds: 0 },
  (args, reader) => {
    decodeHandle(reader, args.handle);
    args.attributes.decode(reader);
    args.guarded = reader.bool();
    if (!args.guarded) return;
    args.guardSeconds = reader.u32();
    args.guardNanoseconds = reader.u32();
  },
);

export const decodeAccess = decoder<AccessArguments>({ handle: emptySpan(), access: 0 }, (args, reader) => {
  decodeHandle(reader, args.handle);
  args.access = reader.u32();
});

export const decodeRead = decoder<ReadArguments>(
  { handle: emptySpan(), offset: 0, count: 0 },
  (args, reader) => {
    decodeHandle(reader, args.handle);
    args.offset = reader.u64();
    args.count = reader.u32();
  },
);

export const decodeWrite = decoder<WriteArguments>(
  { handle: emptySpan(), offset: 0, stable: 0, data: emptySpan() },
  (args, reader) => {
    decodeHandle(reader, args.handle);
    args.offset = reader.u64();
    const count = reader.u32();
    args.stable = reader.upTo(STABLE_HOW.FILE_SYNC);
    reader.opaque(args.data, NO_LIMIT);
    // Section 3.3.7: count is the length of data; which one is wrong cannot be known.
    if (count !== args.data.length) reader.refuse();
  },
);

export const decodeCreate = decoder<CreateArguments>(
  {
    directory: emptySpan(),
    name: emptySpan(),
    mode: 0,
    attributes: new Sattr3(),
    verifierHigh: 0,
    verifierLow: 0,
  },
  (args, reader) => {
    decodeName(reader, args);
    args.mode = reader.upTo(CREATEMODE3.EXCLUSIVE);
    if (args.mode !== CREATEMODE3.EXCLUSIVE) return args.attributes.decode(reader);
    args.attributes.clear();
    args.verifierHigh = reader.u32();
    args.verifierLow = reader.u32();
  },
);

export const decodeMkdir = decoder<MkdirArguments>(
  { directory: emptySpan(), name: emptySpan(), attributes: new Sattr3() },
  (args, reader) => {
    decodeName(reader, args);
    args.attributes.decode(reader);
  },
);

export const decodeSymlink = decoder<SymlinkArguments>(
  { directory: emptySpan(), name: emptySpan(), attributes: new Sattr3(), path: emptySpan() },
  (args, reader) => {
    decodeName(reader, args);
    args.attributes.decode(reader);
    reader.opaque(args.path, NO_LIMIT);
  },
);

export const decodeMknod = decoder<MknodArguments>(
  { directory: emptySpan(), name: emptySpan(), type: 0, attributes: new Sattr3(), major: 0, minor: 0 },
  (args, reader) => {
    decodeName(reader, args);
    args.type = reader.upTo(FTYPE3.NF3FIFO);
    args.major = 0;
    args.minor = 0;
    if (args.type === 0) reader.refuse();
    const device = args.type === FTYPE3.NF3CHR || args.type === FTYPE3.NF3BLK;
    if (!device && args.type !== FTYPE3.NF3SOCK && args.type !== FTYPE3.NF3FIFO)
      return args.attributes.clear();
    args.attributes.decode(reader);
    if (!device) return;
    args.major = reader.u32();
    args.minor = reader.u32();
  },
);

export const decodeRename = decoder<RenameArguments>(
  { fromDirectory: emptySpan(), fromName: emptySpan(), toDirectory: emptySpan(), toName: emptySpan() },
  (args, reader) => {
    reader.opaque(args.fromDirectory, NFS3_FHSIZE);
    reader.opaque(args.fromName, NO_LIMIT);
    reader.opaque(args.toDirectory, NFS3_FHSIZE);
    reader.opaque(args.toName, NO_LIMIT);
  },
);

export const decodeLink = decoder<LinkArguments>(
  { handle: emptySpan(), directory: emptySpan(), name: emptySpan() },
  (args, reader) => {
    decodeHandle(reader, args.handle);
    decodeName(reader, args);
  },
);

function decodeCookie(reader: XdrReader, args: ReaddirArguments): void {
  decodeHandle(reader, args.directory);
  args.cookieHigh = reader.u32();
  args.cookieLow = reader.u32();
  args.verifierHigh = reader.u32();
  args.verifierLow = reader.u32();
}

const noCookie = () => ({ cookieHigh: 0, cookieLow: 0, verifierHigh: 0, verifierLow: 0, count: 0 });

export const decodeReaddir = decoder<ReaddirArguments>(
  { directory: emptySpan(), ...noCookie() },
  (args, reader) => {
    decodeCookie(reader, args);
    args.count = reader.u32();
  },
);

export const decodeReaddirplus = decoder<ReaddirplusArguments>(
  { directory: emptySpan(), ...noCookie(), dircount: 0 },
  (args, reader) => {
    decodeCookie(reader, args);
    args.dircount = reader.u32();
    args.count = reader.u32();
  },
);

/** COMMIT: as READ, a range; zero bytes is all behind the offset. */
export const decodeCommit = decoder<ReadArguments>(
  { handle: emptySpan(), offset: 0, count: 0 },
  (args, reader) => {
    decodeHandle(reader, args.handle);
    args.offset = reader.u64();
    args.count = reader.u32();
  },
);

function decoder<Arguments>(
  args: Arguments,
  decode: (args: Arguments, reader: XdrReader) => void,
): (reader: XdrReader) => Arguments {
  return (reader) => {
    decode(args, reader);
    return args;
  };
}
