// Owns which function serves which procedure of NFS version 3; in the order of their numbers.
import type { Nfs3Name } from '../../codec/nfs3.ts';
import * as change from './change.ts';
import * as data from './data.ts';
import * as listing from './listing.ts';
import * as look from './look.ts';
import * as names from './names.ts';
import type { AnyServed } from './served.ts';
import * as space from './space.ts';

export const NFS3_SERVED: { readonly [Name in Nfs3Name]: AnyServed } = {
  NULL: look.NULL,
  GETATTR: look.GETATTR,
  SETATTR: change.SETATTR,
  LOOKUP: look.LOOKUP,
  ACCESS: look.ACCESS,
  READLINK: look.READLINK,
  READ: data.READ,
  WRITE: data.WRITE,
  CREATE: change.CREATE,
  MKDIR: change.MKDIR,
  SYMLINK: change.SYMLINK,
  MKNOD: change.MKNOD,
  REMOVE: names.REMOVE,
  RMDIR: names.RMDIR,
  RENAME: names.RENAME,
  LINK: names.LINK,
  READDIR: listing.READDIR,
  READDIRPLUS: listing.READDIRPLUS,
  FSSTAT: space.FSSTAT,
  FSINFO: space.FSINFO,
  PATHCONF: space.PATHCONF,
  COMMIT: data.COMMIT,
};
