// Owns what the API needs of the daemon for trust: certificates, join tokens, users. control/node/trust implements it.
import type { ApiRole } from '../config/api_roles.ts';
import type { Role } from '../config/node.ts';
import type { Members, NewToken, NewUser, Renewed } from './schema/trust.ts';
import type { Finding } from './schema.ts';

/** Every method throws a Failure for what a user can do something about. */
export interface TrustPort {
  /** Of this node, for its status. */
  summary(): { standing: Members['standing']; expiresAtMs?: number };
  findings(): Promise<Finding[]>;
  members(): Promise<Members>;
  /** Makes the cluster's authority, with this node as the first member. */
  init(): Promise<Members>;
  /** This node joins the cluster of the token. */
  join(token: string): Promise<Members>;
  leave(options: { force: boolean }): Promise<Members>;
  rotate(what: 'certificates' | 'authority' | 'finish'): Promise<Members>;
  createToken(given: { roles: readonly Role[]; ttlMs: number }): Promise<NewToken>;
  removeToken(id: string): Promise<Members>;
  addUser(given: { name: string; role: ApiRole; publicKey: string; days: number }): Promise<NewUser>;
  setUser(name: string, role: ApiRole): Promise<Members>;
  removeUser(name: string): Promise<Members>;
  /** For another node, which is who it says by its certificate; `shown`: the serial of that. */
  renew(
    node: string,
    publicKey: string,
    addresses: readonly string[],
    shown: string | undefined,
  ): Promise<Renewed>;
}
