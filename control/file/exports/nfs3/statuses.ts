// Owns what a client of NFS version 3 is told of refusals: of the filesystem port, of names, of links.
import { NFSSTAT3, type Nfsstat3 } from '../../codec/nfs3_constants.ts';
import { ERRNO_STATUSES } from '../../codec/nfs3_errno.ts';
import type { Errno } from '../../filesystem/port.ts';
import type { NoGrant } from '../grants.ts';

const S = NFSSTAT3;

/** With what only the port says. */
const STATUSES = new Map<string, Nfsstat3>([
  ...ERRNO_STATUSES.map(([name, , status]): [string, Nfsstat3] => [name, status]),
  // RFC 1813, section 3.2: a name that the server cannot handle.
  ['EBADNAME', S.NFS3ERR_ACCES],
  ['EGUARD', S.NFS3ERR_NOT_SYNC],
  ['EBADCOOKIE', S.NFS3ERR_BAD_COOKIE],
  ['EBUSYNOW', S.NFS3ERR_JUKEBOX],
]);

export type Refusal = Exclude<Nfsstat3, typeof S.NFS3_OK>;

/** What has no row is an error of input or output: never success. */
export function statusOf(errno: Errno): Refusal {
  return (STATUSES.get(errno) ?? S.NFS3ERR_IO) as Refusal;
}

export const NO_GRANT_STATUSES: Readonly<Record<NoGrant, Refusal>> = {
  'no link': S.NFS3ERR_STALE,
  'no access': S.NFS3ERR_ACCES,
  // The client tries again: the file is there when the storage is.
  'no storage': S.NFS3ERR_JUKEBOX,
};
