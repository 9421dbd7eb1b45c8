// Owns the form of what muxes write about themselves beside registrations and acknowledgements (ack_layout.ts): who has
// which id, suspicions, and keys of in-band headers. When they are written is member_store.ts.
import { z } from 'zod';
import { LEASE_MS_MAX } from '../config/node.ts';
import { nameSchema } from '../config/objects.ts';
import type { Entry } from '../store/contract.ts';
import { parseEntry } from './entry.ts';
import { type AskKeyRing, KEY_BYTES } from './member_keys_core.ts';
import { COUNT_MAX } from './version.ts';

/** Who has an id. `incarnation` is the last that a mux of this id has taken: the next is higher. */
export type Identity = { readonly name: string; readonly incarnation: number };

/** Of the suspect. */
export type SuspicionRecord = { readonly incarnation: number };

/** Which step of the ring a mux has in its program. */
export type KnownKeys = { readonly incarnation: number; readonly step: number };

/** Of the registration that was taken away. */
export type Cut = { readonly leaseMs: number };

const incarnation = z.int().min(0).max(COUNT_MAX);
const identitySchema = z.object({ name: nameSchema, incarnation });
const suspicionSchema = z.object({ incarnation });
const knownKeysSchema = z.object({ incarnation, step: z.int().min(1) });
const secretSchema = z.base64().refine((text) => Buffer.from(text, 'base64').length === KEY_BYTES, {
  error: `must be the base64 of ${KEY_BYTES} bytes`,
});
const ringSchema = z.object({
  step: z.int().min(1),
  keys: z
    .array(z.object({ id: z.int().min(0).max(255), secret: secretSchema }))
    .min(1)
    .max(2),
  use: z.int().min(0).max(255),
  madeAtMs: z.number().exactOptional(),
});
const cutSchema = z.object({ leaseMs: z.int().min(1).max(LEASE_MS_MAX) });
const timeSchema = z.object({ ticks: z.int().min(0).max(COUNT_MAX) });

export const encodeIdentity = (it: Identity): string => JSON.stringify(it);
export const decodeIdentity = (entry: Entry): Identity => parseEntry(entry, identitySchema);
export const encodeSuspicion = (it: SuspicionRecord): string => JSON.stringify(it);
export const decodeSuspicion = (entry: Entry): SuspicionRecord => parseEntry(entry, suspicionSchema);
export const encodeKnownKeys = (it: KnownKeys): string => JSON.stringify(it);
export const decodeKnownKeys = (entry: Entry): KnownKeys => parseEntry(entry, knownKeysSchema);
export const encodeRing = (it: AskKeyRing): string => JSON.stringify(it);
export const decodeRing = (entry: Entry): AskKeyRing => parseEntry(entry, ringSchema);
export const encodeCut = (it: Cut): string => JSON.stringify(it);
export const decodeCut = (entry: Entry): Cut => parseEntry(entry, cutSchema);
export const encodeTime = (ticks: number): string => JSON.stringify({ ticks });
export const decodeTime = (entry: Entry): number => parseEntry(entry, timeSchema).ticks;
