// Owns results of NFS version 3 as a client parses them (RFC 1813, section 3.3), apart from the product's codec. What
// is too long, left over or padded with anything but zeros is an error.
import type { Nfs3Name, Time } from './nfs3_calls.ts';
import { Parser } from './xdr.ts';

export type Attributes = {
  type: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  size: bigint;
  used: bigint;
  rdev: readonly [number, number];
  fsid: bigint;
  fileid: bigint;
  atime: Time;
  mtime: Time;
  ctime: Time;
};
export type Before = { size: bigint; mtime: Time; ctime: Time };
export type Wcc = { before: Before | undefined; after: Attributes | undefined };
export type Entry = {
  fileid: bigint;
  name: Uint8Array;
  cookie: bigint;
  attributes?: Attributes | undefined;
  handle?: Uint8Array | undefined;
};

const time = (parser: Parser): Time => ({ seconds: parser.u32(), nanoseconds: parser.u32() });

function attributes(parser: Parser): Attributes {
  return {
    type: parser.u32(),
    mode: parser.u32(),
    nlink: parser.u32(),
    uid: parser.u32(),
    gid: parser.u32(),
    size: parser.u64(),
    used: parser.u64(),
    rdev: [parser.u32(), parser.u32()],
    fsid: parser.u64(),
    fileid: parser.u64(),
    atime: time(parser),
    mtime: time(parser),
    ctime: time(parser),
  };
}

const postOp = (parser: Parser) => parser.optional(() => attributes(parser));
const handle = (parser: Parser) => parser.opaque(64);

function wcc(parser: Parser): Wcc {
  const before = parser.optional(() => ({ size: parser.u64(), mtime: time(parser), ctime: time(parser) }));
  return { before, after: postOp(parser) };
}

/** Evaluates in order, as fields are on the wire. */
const created = (parser: Parser, ok: boolean) => ({
  ...(ok ? { handle: parser.optional(() => handle(parser)), attributes: postOp(parser) } : {}),
  wcc: wcc(parser),
});

function listing(parser: Parser, ok: boolean, plus: boolean) {
  const directory = postOp(parser);
  if (!ok) return { directory };
  const verifier = parser.u64();
  const entries = parser.list((): Entry => {
    const entry = { fileid: parser.u64(), name: parser.opaque(), cookie: parser.u64() };
    if (!plus) return entry;
    return { ...entry, attributes: postOp(parser), handle: parser.optional(() => handle(parser)) };
  });
  return { directory, verifier, entries, eof: parser.bool() };
}

const PARSE = {
  GETATTR: (parser: Parser, ok: boolean) => (ok ? { attributes: attributes(parser) } : {}),
  SETATTR: (parser: Parser) => ({ wcc: wcc(parser) }),
  LOOKUP: (parser: Parser, ok: boolean) => ({
    ...(ok ? { handle: handle(parser), attributes: postOp(parser) } : {}),
    directory: postOp(parser),
  }),
  ACCESS: (parser: Parser, ok: boolean) => ({
    attributes: postOp(parser),
    ...(ok ? { access: parser.u32() } : {}),
  }),
  READLINK: (parser: Parser, ok: boolean) => ({
    attributes: postOp(parser),
    ...(ok ? { path: parser.opaque() } : {}),
  }),
  READ: (parser: Parser, ok: boolean) => ({
    attributes: postOp(parser),
    ...(ok ? { count: parser.u32(), eof: parser.bool(), data: parser.opaque() } : {}),
  }),
  WRITE: (parser: Parser, ok: boolean) => ({
    wcc: wcc(parser),
    ...(ok ? { count: parser.u32(), committed: parser.u32(), verifier: parser.u64() } : {}),
  }),
  CREATE: created,
  MKDIR: created,
  SYMLINK: created,
  MKNOD: created,
  REMOVE: (parser: Parser) => ({ wcc: wcc(parser) }),
  RMDIR: (parser: Parser) => ({ wcc: wcc(parser) }),
  RENAME: (parser: Parser) => ({ from: wcc(parser), to: wcc(parser) }),
  LINK: (parser: Parser) => ({ attributes: postOp(parser), wcc: wcc(parser) }),
  READDIR: (parser: Parser, ok: boolean) => listing(parser, ok, false),
  READDIRPLUS: (parser: Parser, ok: boolean) => listing(parser, ok, true),
  FSSTAT: (parser: Parser, ok: boolean) => ({
    attributes: postOp(parser),
    ...(ok
      ? {
          totalBytes: parser.u64(),
          freeBytes: parser.u64(),
          availableBytes: parser.u64(),
          totalFiles: parser.u64(),
          freeFiles: parser.u64(),
          availableFiles: parser.u64(),
          invarsec: parser.u32(),
        }
      : {}),
  }),
  FSINFO: (parser: Parser, ok: boolean) => ({
    attributes: postOp(parser),
    ...(ok
      ? {
          rtmax: parser.u32(),
          rtpref: parser.u32(),
          rtmult: parser.u32(),
          wtmax: parser.u32(),
          wtpref: parser.u32(),
          wtmult: parser.u32(),
          dtpref: parser.u32(),
          maxfilesize: parser.u64(),
          timeDelta: time(parser),
          properties: parser.u32(),
        }
      : {}),
  }),
  PATHCONF: (parser: Parser, ok: boolean) => ({
    attributes: postOp(parser),
    ...(ok
      ? {
          linkmax: parser.u32(),
          nameMax: parser.u32(),
          noTrunc: parser.bool(),
          chownRestricted: parser.bool(),
          caseInsensitive: parser.bool(),
          casePreserving: parser.bool(),
        }
      : {}),
  }),
  COMMIT: (parser: Parser, ok: boolean) => ({
    wcc: wcc(parser),
    ...(ok ? { verifier: parser.u64() } : {}),
  }),
} as const;

export type RepliedName = Exclude<Nfs3Name, 'NULL'>;
export type Nfs3Reply<Name extends RepliedName> = { readonly status: number } & ReturnType<
  (typeof PARSE)[Name]
>;

/** Results of a successful call, whatever their status. */
export function parseNfs3Results<Name extends RepliedName>(name: Name, results: Uint8Array): Nfs3Reply<Name> {
  const parser = new Parser(results);
  const status = parser.u32();
  const parsed = PARSE[name](parser, status === 0);
  parser.end();
  return { status, ...parsed } as Nfs3Reply<Name>;
}
