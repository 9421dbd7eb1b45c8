// Owns what the API says of trust: who has which certificate of the cluster, join tokens, users and their roles.
import { z } from 'zod';
import { API_ROLES } from '../../config/api_roles.ts';
import { ROLES } from '../../config/node.ts';
import { nameSchema } from '../../config/objects.ts';
import { count } from './common.ts';

const DAY_MS = 86_400_000;
const atMs = z.number().describe('Milliseconds since the epoch');
const publicKey = z
  .string()
  .max(1_024)
  .describe('PEM, on the curve P-256; the private key stays where it is');

const certificateFields = {
  serial: z.string().optional().describe('Of the newest certificate, hexadecimal'),
  expiresAtMs: atMs.optional().describe('When it ends, in milliseconds since the epoch'),
  isFormer: z.boolean().describe('It is of the authority that is being replaced'),
};

const memberNodeSchema = z.object({
  name: z.string(),
  roles: z.array(z.string()),
  self: z.boolean().describe('The node that answers this request'),
  joinedAtMs: atMs,
  ...certificateFields,
  state: z.string().optional().describe('As GET /v1/nodes says it; absent: it is not known there'),
  seenAgoMs: z.number().optional().describe('Since its program was last heard by the node that answers'),
});

const memberUserSchema = z.object({ name: z.string(), role: z.enum(API_ROLES), ...certificateFields });

const tokenViewSchema = z.object({
  id: z.string(),
  state: z.enum(['open', 'used', 'expired']),
  roles: z.array(z.string()),
  createdAtMs: atMs,
  expiresAtMs: atMs,
  usedBy: z.string().optional().describe('The node that joined with it'),
});

export const membersSchema = z.object({
  standing: z
    .enum(['alone', 'member', 'removed'])
    .describe('Of this node. alone: it has joined nothing; removed: its certificate does not count any more'),
  cluster: z.string().optional().describe('Id of the cluster; absent where it has no authority'),
  authority: z
    .object({
      number: count.describe('1 for the first'),
      epoch: count.describe('Grows with each rotation'),
      expiresAtMs: atMs,
      isReplacing: z.boolean().describe('The one before is believed still'),
      waitsFor: z
        .array(z.string())
        .describe('Who has a certificate of the one before, until it is forgotten'),
    })
    .optional(),
  nodes: z.array(memberNodeSchema),
  users: z.array(memberUserSchema),
  tokens: z.array(tokenViewSchema).describe('Also those that were used or have expired, for a week'),
});
export type Members = z.infer<typeof membersSchema>;

/** Nothing can be chosen. */
export const initRequestSchema = z.strictObject({});

export const joinClusterRequestSchema = z.strictObject({
  token: z.string().min(1).max(2_048).describe('As holdfast cluster token has printed it'),
});

export const leaveRequestSchema = z.strictObject({
  force: z
    .boolean()
    .default(false)
    .describe('Also where this mux keeps flows, or is the last that makes certificates'),
});

export const rotateRequestSchema = z.strictObject({
  what: z
    .enum(['certificates', 'authority', 'finish'])
    .default('certificates')
    .describe(
      'certificates: of all nodes; authority: also who signs them; finish: forget the authority before, whoever has ' +
        'a certificate of it still',
    ),
});

export const createTokenRequestSchema = z.strictObject({
  roles: z.array(z.enum(ROLES)).min(1).max(ROLES.length).default(['mux']).describe('What the node may be'),
  ttlMs: z
    .int()
    .min(10_000)
    .max(7 * DAY_MS)
    .default(3_600_000)
    .describe('How long it can be used'),
});

export const newTokenSchema = z.object({
  id: z.string(),
  token: z.string().describe('A secret: it lets one node join'),
  expiresAtMs: atMs,
});
export type NewToken = z.infer<typeof newTokenSchema>;

export const addUserRequestSchema = z.strictObject({
  name: nameSchema,
  role: z.enum(API_ROLES),
  publicKey,
  days: z.int().min(1).max(3_650).default(365).describe('How long the certificate counts'),
});
export type AddUserRequest = z.input<typeof addUserRequestSchema>;

export const setUserRequestSchema = z.strictObject({ role: z.enum(API_ROLES) });

export const newUserSchema = z.object({
  name: z.string(),
  role: z.enum(API_ROLES),
  certificate: z.string().describe('PEM'),
  serial: z.string(),
  expiresAtMs: atMs,
  authority: z.string().describe('PEM: who signs the certificates of nodes'),
  urls: z.array(z.string()).describe('Where nodes listen'),
});
export type NewUser = z.infer<typeof newUserSchema>;

export const renewRequestSchema = z.strictObject({
  publicKey,
  addresses: z.array(z.string().max(64)).max(8).describe('That the node is reached at'),
});

export const renewedSchema = z.object({
  certificate: z.string(),
  authority: count,
  epoch: count,
  authorities: z.array(z.object({ id: count, certificate: z.string() })).min(1),
  cross: z.string().optional(),
});
export type Renewed = z.infer<typeof renewedSchema>;
