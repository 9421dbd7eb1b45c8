// Owns arbitrary calls and attributes of NFS version 3 for property tests.
import fc from 'fast-check';
import type { Fattr3, WccData } from '../../../control/file/codec/nfs3_attributes.ts';
import type { Nfs3Calls, Nfs3Name, SetAttributes, Where } from './nfs3_calls.ts';

const u32 = fc.oneof(fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff), fc.nat(0xffff_ffff));
const u64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 2n ** 32n, 2n ** 63n));
/** Within what numbers hold. */
const size = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }),
  fc.constantFrom(0n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n),
);

/** Short ones of any bytes, and any length up to `max`: fast-check by itself makes short arrays only. */
function bytes(max: number): fc.Arbitrary<Uint8Array> {
  const long = fc.tuple(fc.nat(max), fc.nat(255));
  return fc.oneof(
    fc.uint8Array({ maxLength: Math.min(max, 10) }),
    long.map(([length, seed]) => Uint8Array.from({ length }, (_, i) => (i * 13 + seed) & 255)),
  );
}

export const handle = bytes(64);
export const name = bytes(300);
const time = fc.record({ seconds: u32, nanoseconds: u32 });
const setTime = fc.oneof(fc.constant(undefined), fc.constant('server' as const), time);
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const attributes: fc.Arbitrary<SetAttributes> = fc.record({
  mode: optional(u32),
  uid: optional(u32),
  gid: optional(u32),
  size: optional(size),
  atime: setTime,
  mtime: setTime,
});
const where: fc.Arbitrary<Where> = fc.record({ directory: handle, name });
const handleOnly = fc.record({ handle });
const range = fc.record({ handle, offset: size, count: u32 });

export const CALLS: { readonly [Name in Nfs3Name]: fc.Arbitrary<Nfs3Calls[Name]> } = {
  NULL: fc.constant({}),
  GETATTR: handleOnly,
  SETATTR: fc.record({ handle, attributes, guard: optional(time) }),
  LOOKUP: where,
  ACCESS: fc.record({ handle, access: u32 }),
  READLINK: handleOnly,
  READ: range,
  WRITE: fc.record({ handle, offset: size, stable: fc.nat(2), data: bytes(2000) }),
  CREATE: fc.oneof(
    fc.record({ directory: handle, name, mode: fc.constantFrom(0 as const, 1 as const), attributes }),
    fc.record({ directory: handle, name, mode: fc.constant(2 as const), verifier: u64 }),
  ),
  MKDIR: fc.record({ directory: handle, name, attributes }),
  SYMLINK: fc.record({ directory: handle, name, attributes, path: bytes(5000) }),
  MKNOD: fc.oneof(
    fc.record({
      directory: handle,
      name,
      type: fc.constantFrom(3 as const, 4 as const),
      attributes,
      major: u32,
      minor: u32,
    }),
    fc.record({ directory: handle, name, type: fc.constantFrom(6 as const, 7 as const), attributes }),
    fc.record({ directory: handle, name, type: fc.constantFrom(1 as const, 2 as const, 5 as const) }),
  ),
  REMOVE: where,
  RMDIR: where,
  RENAME: fc.record({ from: where, to: where }),
  LINK: fc.record({ handle, directory: handle, name }),
  READDIR: fc.record({ directory: handle, cookie: u64, verifier: u64, count: u32 }),
  READDIRPLUS: fc.record({ directory: handle, cookie: u64, verifier: u64, dircount: u32, maxcount: u32 }),
  FSSTAT: handleOnly,
  FSINFO: handleOnly,
  PATHCONF: handleOnly,
  COMMIT: range,
};

const number53 = size.map(Number);

export const fattr3: fc.Arbitrary<Fattr3> = fc.record({
  type: fc.integer({ min: 1, max: 7 }),
  mode: u32,
  nlink: u32,
  uid: u32,
  gid: u32,
  size: number53,
  used: number53,
  rdevMajor: u32,
  rdevMinor: u32,
  fsidHigh: u32,
  fsidLow: u32,
  fileidHigh: u32,
  fileidLow: u32,
  atimeSeconds: u32,
  atimeNanoseconds: u32,
  mtimeSeconds: u32,
  mtimeNanoseconds: u32,
  ctimeSeconds: u32,
  ctimeNanoseconds: u32,
});
export const postOpAttr = optional(fattr3);
export const wccData: fc.Arbitrary<WccData> = fc.record({ before: postOpAttr, after: postOpAttr });
