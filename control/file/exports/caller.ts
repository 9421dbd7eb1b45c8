// Owns whom the storage takes a client's user for: what a call says of its caller, after the squashing of the link. The
// storage's kernel decides what that caller may.
import { AUTH_FLAVORS, type Credentials } from '../codec/rpc_credentials.ts';
import type { Caller } from '../filesystem/port.ts';
import type { Access } from '../namespace/access.ts';

/** To system calls: leave the id as it is. Nobody is called that. */
const NO_ID = 0xffff_ffff;

export type Squashing = Pick<Access, 'squash' | 'anonymousUid' | 'anonymousGid'>;

export function callerOf(credentials: Credentials, squashing: Squashing): Caller {
  const { squash, anonymousUid, anonymousGid } = squashing;
  const { flavor, uid, gid, gids } = credentials;
  const anonymous = { uid: anonymousUid, gid: anonymousGid, groups: [] };
  if (flavor !== AUTH_FLAVORS.AUTH_SYS || squash === 'all' || uid === NO_ID) return anonymous;
  if (squash === 'root' && uid === 0) return anonymous;
  // Group 0 is root's as much as user 0 is.
  const mapped = (id: number): number =>
    id === NO_ID || (squash === 'root' && id === 0) ? anonymousGid : id;
  return { uid, gid: mapped(gid), groups: gids.map(mapped) };
}
