// Owns the records of trust in the store: keys, forms, and what may stand in them.
//
//   trust/authority       which authorities are believed, which one signs: JSON, no secret in it
//   trust/authority-keys  their private keys: sealed (sealed_store.ts)
//   trust/nodes/NAME      a node that has joined, and the certificates that count
//   trust/users/NAME      a user of the API, the role, and the certificates that count
//   trust/tokens/ID       a join token: the hash of its secret, and who has used it
//   trust/removal         the node that was removed last, until what it knows of the cluster's keys is of no use
//
// A certificate that no record has does not count, whoever signed it.
import { z } from 'zod';
import { parseEntry } from '../cluster/entry.ts';
import { API_ROLES } from '../config/api_roles.ts';
import { ROLES } from '../config/node.ts';
import { nameSchema } from '../config/objects.ts';
import type { Entry, Revision } from '../store/contract.ts';
import type { AuthorityState } from './authority_core.ts';
import type { TokenRecord } from './token_core.ts';

export const TRUST_PREFIX = 'trust/';
export const AUTHORITY_KEY = 'trust/authority';
export const AUTHORITY_KEYS_KEY = 'trust/authority-keys';
export const NODES_PREFIX = 'trust/nodes/';
export const USERS_PREFIX = 'trust/users/';
export const TOKENS_PREFIX = 'trust/tokens/';
export const nodeRecordKey = (name: string): string => NODES_PREFIX + name;
export const userRecordKey = (name: string): string => USERS_PREFIX + name;
export const REMOVAL_KEY = 'trust/removal';
export const tokenKey = (id: string): string => TOKENS_PREFIX + id;

/** The one in use, and the one that replaces it. */
export const CERTIFICATES_MAX = 2;
export const USERS_MAX = 1_024;

const milliseconds = z.number().min(0);
const pem = z.string().startsWith('-----BEGIN ').max(16_384);

const issuedSchema = z.object({
  serial: z.string().regex(/^[0-9A-F]{2,40}$/),
  authority: z.int().min(1),
  epoch: z.int().min(1),
  madeAtMs: milliseconds,
  notAfterMs: milliseconds,
});

const authoritySchema = z.object({
  cluster: z.string().regex(/^[0-9a-f]{16}$/),
  epoch: z.int().min(1),
  issuing: z.int().min(1),
  authorities: z
    .array(z.object({ id: z.int().min(1), certificate: pem }))
    .min(1)
    .max(2),
  cross: pem.exactOptional(),
});

const authorityKeysSchema = z.object({ keys: z.record(z.string(), pem) });
/** Private keys, PEM, by id. */
export type AuthorityKeys = z.infer<typeof authorityKeysSchema>;

const nodeRecordSchema = z.object({
  /** Another one for each joining: who joins under a name that was free again is another node. */
  id: z.string(),
  roles: z.array(z.string()).transform((roles) => ROLES.filter((role) => roles.includes(role))),
  joinedAtMs: milliseconds,
  certificates: z.array(issuedSchema).max(CERTIFICATES_MAX),
});
export type NodeRecord = z.infer<typeof nodeRecordSchema>;

const userRecordSchema = z.object({
  role: z.enum(API_ROLES),
  addedAtMs: milliseconds,
  certificates: z.array(issuedSchema).max(CERTIFICATES_MAX),
});
export type UserRecord = z.infer<typeof userRecordSchema>;

const tokenRecordSchema = z.object({
  hash: z.base64().length(44),
  roles: z.array(z.enum(ROLES)).min(1),
  createdAtMs: milliseconds,
  expiresAtMs: milliseconds,
  used: z.object({ node: nameSchema, atMs: milliseconds }).exactOptional(),
});

const removalSchema = z.object({ node: nameSchema });
export type Removal = z.infer<typeof removalSchema> & { readonly modRevision: Revision };

export const decodeRemoval = (entry: Entry): Removal => ({
  ...parseEntry(entry, removalSchema),
  modRevision: entry.modRevision,
});
export const encodeRemoval = (node: string): string => JSON.stringify({ node });
export const decodeAuthority = (entry: Entry): AuthorityState => parseEntry(entry, authoritySchema);
export const decodeAuthorityKeys = (entry: Entry): AuthorityKeys => parseEntry(entry, authorityKeysSchema);
export const decodeNodeRecord = (entry: Entry): NodeRecord => parseEntry(entry, nodeRecordSchema);
export const decodeUserRecord = (entry: Entry): UserRecord => parseEntry(entry, userRecordSchema);
export const decodeTokenRecord = (entry: Entry): TokenRecord => parseEntry(entry, tokenRecordSchema);

type TrustRecord = AuthorityState | AuthorityKeys | NodeRecord | UserRecord | TokenRecord;
export const encodeRecord = (record: TrustRecord): string => JSON.stringify(record);
