// Owns arguments of NFS version 3 as a client builds them (RFC 1813, section 3.3), apart from the product's codec.
import { Builder } from './xdr.ts';

export type Time = { readonly seconds: number; readonly nanoseconds: number };
export type SetTime = 'server' | Time;
export type SetAttributes = {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly size?: bigint | undefined;
  readonly atime?: SetTime | undefined;
  readonly mtime?: SetTime | undefined;
};
export type Where = { readonly directory: Uint8Array; readonly name: Uint8Array };

export type Nfs3Calls = {
  NULL: Record<never, never>;
  GETATTR: { readonly handle: Uint8Array };
  SETATTR: {
    readonly handle: Uint8Array;
    readonly attributes: SetAttributes;
    readonly guard?: Time | undefined;
  };
  LOOKUP: Where;
  ACCESS: { readonly handle: Uint8Array; readonly access: number };
  READLINK: { readonly handle: Uint8Array };
  READ: { readonly handle: Uint8Array; readonly offset: bigint; readonly count: number };
  WRITE: {
    readonly handle: Uint8Array;
    readonly offset: bigint;
    readonly stable: number;
    readonly data: Uint8Array;
  };
  CREATE: Where &
    (
      | { readonly mode: 0 | 1; readonly attributes: SetAttributes }
      | { readonly mode: 2; readonly verifier: bigint }
    );
  MKDIR: Where & { readonly attributes: SetAttributes };
  SYMLINK: Where & { readonly attributes: SetAttributes; readonly path: Uint8Array };
  MKNOD: Where &
    (
      | {
          readonly type: 3 | 4;
          readonly attributes: SetAttributes;
          readonly major: number;
          readonly minor: number;
        }
      | { readonly type: 6 | 7; readonly attributes: SetAttributes }
      | { readonly type: 1 | 2 | 5 }
    );
  REMOVE: Where;
  RMDIR: Where;
  RENAME: { readonly from: Where; readonly to: Where };
  LINK: Where & { readonly handle: Uint8Array };
  READDIR: Where0 & { readonly count: number };
  READDIRPLUS: Where0 & { readonly dircount: number; readonly maxcount: number };
  FSSTAT: { readonly handle: Uint8Array };
  FSINFO: { readonly handle: Uint8Array };
  PATHCONF: { readonly handle: Uint8Array };
  COMMIT: { readonly handle: Uint8Array; readonly offset: bigint; readonly count: number };
};
type Where0 = { readonly directory: Uint8Array; readonly cookie: bigint; readonly verifier: bigint };
export type Nfs3Name = keyof Nfs3Calls;

export const NFS3_NUMBERS: Readonly<Record<Nfs3Name, number>> = {
  NULL: 0,
  GETATTR: 1,
  SETATTR: 2,
  LOOKUP: 3,
  ACCESS: 4,
  READLINK: 5,
  READ: 6,
  WRITE: 7,
  CREATE: 8,
  MKDIR: 9,
  SYMLINK: 10,
  MKNOD: 11,
  REMOVE: 12,
  RMDIR: 13,
  RENAME: 14,
  LINK: 15,
  READDIR: 16,
  READDIRPLUS: 17,
  FSSTAT: 18,
  FSINFO: 19,
  PATHCONF: 20,
  COMMIT: 21,
};

const handleOnly = (builder: Builder, { handle }: { readonly handle: Uint8Array }) => builder.opaque(handle);
const where = (builder: Builder, { directory, name }: Where) => builder.opaque(directory).opaque(name);

function setAttributes(builder: Builder, set: SetAttributes): Builder {
  for (const value of [set.mode, set.uid, set.gid]) builder.optional(value, (one) => builder.u32(one));
  builder.optional(set.size, (size) => builder.u64(size));
  for (const time of [set.atime, set.mtime]) {
    if (time === undefined) builder.u32(0);
    else if (time === 'server') builder.u32(1);
    else builder.u32(2).u32(time.seconds).u32(time.nanoseconds);
  }
  return builder;
}

const BUILD: { readonly [Name in Nfs3Name]: (builder: Builder, call: Nfs3Calls[Name]) => unknown } = {
  NULL: () => undefined,
  GETATTR: handleOnly,
  SETATTR: (builder, { handle, attributes, guard }) =>
    setAttributes(builder.opaque(handle), attributes).optional(guard, (time) =>
      builder.u32(time.seconds).u32(time.nanoseconds),
    ),
  LOOKUP: where,
  ACCESS: (builder, { handle, access }) => builder.opaque(handle).u32(access),
  READLINK: handleOnly,
  READ: (builder, { handle, offset, count }) => builder.opaque(handle).u64(offset).u32(count),
  WRITE: (builder, { handle, offset, stable, data }) =>
    builder.opaque(handle).u64(offset).u32(data.length).u32(stable).opaque(data),
  CREATE: (builder, call) => {
    where(builder, call).u32(call.mode);
    if (call.mode === 2) builder.u64(call.verifier);
    else setAttributes(builder, call.attributes);
  },
  MKDIR: (builder, call) => setAttributes(where(builder, call), call.attributes),
  SYMLINK: (builder, call) => setAttributes(where(builder, call), call.attributes).opaque(call.path),
  MKNOD: (builder, call) => {
    where(builder, call).u32(call.type);
    if ('attributes' in call) setAttributes(builder, call.attributes);
    if ('major' in call) builder.u32(call.major).u32(call.minor);
  },
  REMOVE: where,
  RMDIR: where,
  RENAME: (builder, { from, to }) => where(where(builder, from), to),
  LINK: (builder, call) => where(builder.opaque(call.handle), call),
  READDIR: (builder, { directory, cookie, verifier, count }) =>
    builder.opaque(directory).u64(cookie).u64(verifier).u32(count),
  READDIRPLUS: (builder, { directory, cookie, verifier, dircount, maxcount }) =>
    builder.opaque(directory).u64(cookie).u64(verifier).u32(dircount).u32(maxcount),
  FSSTAT: handleOnly,
  FSINFO: handleOnly,
  PATHCONF: handleOnly,
  COMMIT: (builder, { handle, offset, count }) => builder.opaque(handle).u64(offset).u32(count),
};

export function buildNfs3Arguments<Name extends Nfs3Name>(name: Name, call: Nfs3Calls[Name]): Uint8Array {
  const builder = new Builder();
  BUILD[name](builder, call);
  return builder.done();
}
