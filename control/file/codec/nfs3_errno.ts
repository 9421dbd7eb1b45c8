// Owns what a client is told of an error of the host's system calls: errno of Linux → nfsstat3. What depends on the
// procedure (a handle that does not resolve) is said by the procedure.
import { NFSSTAT3, type Nfsstat3 } from './nfs3_constants.ts';

const S = NFSSTAT3;

/** Name, number of Linux (asm-generic), status. */
export const ERRNO_STATUSES: readonly (readonly [name: string, errno: number, status: Nfsstat3])[] = [
  ['EPERM', 1, S.NFS3ERR_PERM],
  ['ENOENT', 2, S.NFS3ERR_NOENT],
  // The call was interrupted, nothing is wrong with the file: the client is to ask again.
  ['EINTR', 4, S.NFS3ERR_JUKEBOX],
  ['EIO', 5, S.NFS3ERR_IO],
  ['ENXIO', 6, S.NFS3ERR_NXIO],
  ['E2BIG', 7, S.NFS3ERR_INVAL],
  ['EBADF', 9, S.NFS3ERR_SERVERFAULT],
  ['EAGAIN', 11, S.NFS3ERR_JUKEBOX],
  // Of this host, and it passes: not of the file.
  ['ENOMEM', 12, S.NFS3ERR_JUKEBOX],
  ['EACCES', 13, S.NFS3ERR_ACCES],
  ['EFAULT', 14, S.NFS3ERR_SERVERFAULT],
  // A mount point or a device in use: asking again would wait for ever.
  ['EBUSY', 16, S.NFS3ERR_ACCES],
  ['EEXIST', 17, S.NFS3ERR_EXIST],
  ['EXDEV', 18, S.NFS3ERR_XDEV],
  ['ENODEV', 19, S.NFS3ERR_NODEV],
  ['ENOTDIR', 20, S.NFS3ERR_NOTDIR],
  ['EISDIR', 21, S.NFS3ERR_ISDIR],
  ['EINVAL', 22, S.NFS3ERR_INVAL],
  ['ENFILE', 23, S.NFS3ERR_JUKEBOX],
  ['EMFILE', 24, S.NFS3ERR_JUKEBOX],
  ['ETXTBSY', 26, S.NFS3ERR_ACCES],
  ['EFBIG', 27, S.NFS3ERR_FBIG],
  ['ENOSPC', 28, S.NFS3ERR_NOSPC],
  ['ESPIPE', 29, S.NFS3ERR_INVAL],
  ['EROFS', 30, S.NFS3ERR_ROFS],
  ['EMLINK', 31, S.NFS3ERR_MLINK],
  ['ERANGE', 34, S.NFS3ERR_INVAL],
  ['ENAMETOOLONG', 36, S.NFS3ERR_NAMETOOLONG],
  ['ENOSYS', 38, S.NFS3ERR_NOTSUPP],
  ['ENOTEMPTY', 39, S.NFS3ERR_NOTEMPTY],
  // A link where O_NOFOLLOW met none before: somebody changed the name meanwhile.
  ['ELOOP', 40, S.NFS3ERR_INVAL],
  ['EOVERFLOW', 75, S.NFS3ERR_FBIG],
  // A directory that folds case takes only valid UTF-8.
  ['EILSEQ', 84, S.NFS3ERR_INVAL],
  ['EOPNOTSUPP', 95, S.NFS3ERR_NOTSUPP],
  ['ESHUTDOWN', 108, S.NFS3ERR_IO],
  ['ETIMEDOUT', 110, S.NFS3ERR_JUKEBOX],
  ['ESTALE', 116, S.NFS3ERR_STALE],
  ['EUCLEAN', 117, S.NFS3ERR_IO],
  ['EREMOTEIO', 121, S.NFS3ERR_IO],
  ['EDQUOT', 122, S.NFS3ERR_DQUOT],
];

const STATUS_OF = new Map(ERRNO_STATUSES.map(([, errno, status]) => [errno, status]));

/** `errno` as a positive number. What has no row is an error of input or output: never success. */
export function statusOfErrno(errno: number): Nfsstat3 {
  return STATUS_OF.get(errno) ?? S.NFS3ERR_IO;
}
