// Owns what the product's codec decoded, said in the words of nfs3_calls.ts, so that both can be compared.
import type { Nfs3Arguments } from '../../../control/file/codec/nfs3.ts';
import type { Sattr3 } from '../../../control/file/codec/nfs3_attributes.ts';
import type { Span } from '../../../control/file/codec/xdr.ts';
import type { Nfs3Calls, Nfs3Name, SetAttributes, SetTime } from './nfs3_calls.ts';

type Bytes = (span: Span) => Uint8Array;

const halves = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low);

function setTime(how: number, seconds: number, nanoseconds: number): SetTime | undefined {
  return how === 0 ? undefined : how === 1 ? 'server' : { seconds, nanoseconds };
}

function set(attributes: Sattr3): SetAttributes {
  return {
    mode: attributes.setMode ? attributes.mode : undefined,
    uid: attributes.setUid ? attributes.uid : undefined,
    gid: attributes.setGid ? attributes.gid : undefined,
    size: attributes.setSize ? BigInt(attributes.size) : undefined,
    atime: setTime(attributes.atimeHow, attributes.atimeSeconds, attributes.atimeNanoseconds),
    mtime: setTime(attributes.mtimeHow, attributes.mtimeSeconds, attributes.mtimeNanoseconds),
  };
}

const where = (args: { directory: Span; name: Span }, bytes: Bytes) => ({
  directory: bytes(args.directory),
  name: bytes(args.name),
});
const handleOnly = (args: { handle: Span }, bytes: Bytes) => ({ handle: bytes(args.handle) });
const range = (args: { handle: Span; offset: number; count: number }, bytes: Bytes) => ({
  handle: bytes(args.handle),
  offset: BigInt(args.offset),
  count: args.count,
});
const place = (
  args: {
    directory: Span;
    cookieHigh: number;
    cookieLow: number;
    verifierHigh: number;
    verifierLow: number;
  },
  bytes: Bytes,
) => ({
  directory: bytes(args.directory),
  cookie: halves(args.cookieHigh, args.cookieLow),
  verifier: halves(args.verifierHigh, args.verifierLow),
});

const SEEN: { [Name in Nfs3Name]: (args: Nfs3Arguments<Name>, bytes: Bytes) => Nfs3Calls[Name] } = {
  NULL: () => ({}),
  GETATTR: handleOnly,
  SETATTR: (args, bytes) => ({
    handle: bytes(args.handle),
    attributes: set(args.attributes),
    guard: args.guarded ? { seconds: args.guardSeconds, nanoseconds: args.guardNanoseconds } : undefined,
  }),
  LOOKUP: where,
  ACCESS: (args, bytes) => ({ handle: bytes(args.handle), access: args.access }),
  READLINK: handleOnly,
  READ: range,
  WRITE: (args, bytes) => ({
    handle: bytes(args.handle),
    offset: BigInt(args.offset),
    stable: args.stable,
    data: bytes(args.data),
  }),
  CREATE: (args, bytes) =>
    args.mode === 2
      ? { ...where(args, bytes), mode: 2, verifier: halves(args.verifierHigh, args.verifierLow) }
      : { ...where(args, bytes), mode: args.mode as 0 | 1, attributes: set(args.attributes) },
  MKDIR: (args, bytes) => ({ ...where(args, bytes), attributes: set(args.attributes) }),
  SYMLINK: (args, bytes) => ({
    ...where(args, bytes),
    attributes: set(args.attributes),
    path: bytes(args.path),
  }),
  MKNOD: (args, bytes) => {
    const { type, attributes, major, minor } = args;
    if (type === 3 || type === 4)
      return { ...where(args, bytes), type, attributes: set(attributes), major, minor };
    if (type === 6 || type === 7) return { ...where(args, bytes), type, attributes: set(attributes) };
    return { ...where(args, bytes), type: type as 1 | 2 | 5 };
  },
  REMOVE: where,
  RMDIR: where,
  RENAME: (args, bytes) => ({
    from: { directory: bytes(args.fromDirectory), name: bytes(args.fromName) },
    to: { directory: bytes(args.toDirectory), name: bytes(args.toName) },
  }),
  LINK: (args, bytes) => ({ handle: bytes(args.handle), ...where(args, bytes) }),
  READDIR: (args, bytes) => ({ ...place(args, bytes), count: args.count }),
  READDIRPLUS: (args, bytes) => ({
    ...place(args, bytes),
    dircount: args.dircount,
    maxcount: args.count,
  }),
  FSSTAT: handleOnly,
  FSINFO: handleOnly,
  PATHCONF: handleOnly,
  COMMIT: range,
};

export function seenCall<Name extends Nfs3Name>(
  name: Name,
  args: Nfs3Arguments<Name>,
  message: Uint8Array,
): Nfs3Calls[Name] {
  return SEEN[name](args, ({ offset, length }) => message.slice(offset, offset + length));
}
