// Owns how what muxes say of themselves is laid out in the store: registrations, acknowledgements with their reports.
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { z } from 'zod';
import { LEASE_MS_MAX } from '../config/node.ts';
import { nameSchema } from '../config/objects.ts';
import { isAddress } from '../lib/address.ts';
import type { Entry } from '../store/contract.ts';
import { parseEntry } from './entry.ts';
import { damaged } from './layout.ts';
import { type Acknowledgement, COUNT_MAX, type Registration, SERVER_ID_MAX } from './version.ts';

/** Of one pool's slots: a value of the store cannot make the leader take more memory than this. */
const BITMAP_BYTES_MAX = 8_193;

const count = z.int().min(0);
const count32 = count.max(COUNT_MAX);

const registrationSchema = z.object({
  name: nameSchema,
  id: z.int().min(1).max(SERVER_ID_MAX),
  incarnation: count32,
  // Anything else would be looked up as a name, twenty times a second.
  address: z.string().refine(isAddress),
  askPort: z.int().min(1).max(65_535),
  isLeaving: z.boolean(),
  leaseMs: z.int().min(1).max(LEASE_MS_MAX),
  api: z.string().exactOptional(),
});

const acknowledgementSchema = z.object({
  name: nameSchema,
  incarnation: count32,
  // The leader begins a new count after the highest that it hears of.
  version: count.max(COUNT_MAX - 1),
  digest: z.string(),
  heldBack: count.exactOptional(),
  reports: z.array(
    z.object({
      poolId: count,
      trackEpoch: count32,
      copiedChainEpoch: count32,
      isHandedOver: z.boolean(),
      unrecordedAgoMs: z.number().min(-1),
      heldSlots: z.base64().optional(),
      flows: count,
      oldFlows: count,
    }),
  ),
});

export function encodeRegistration(registration: Registration): string {
  return JSON.stringify(registration);
}

/** Fields of newer versions are left out: a mux of another version must not keep the leader from reading. */
export function decodeRegistration(entry: Entry): Registration {
  return parseEntry(entry, registrationSchema);
}

export function encodeAcknowledgement(acknowledgement: Acknowledgement): string {
  const reports = acknowledgement.reports.map(({ heldSlots, ...report }) => ({
    ...report,
    ...(heldSlots && { heldSlots: deflateRawSync(heldSlots).toString('base64') }),
  }));
  return JSON.stringify({ ...acknowledgement, reports });
}

export function decodeAcknowledgement(entry: Entry): Acknowledgement {
  const { reports, ...rest } = parseEntry(entry, acknowledgementSchema);
  return {
    ...rest,
    reports: reports.map(({ heldSlots, ...report }) => ({
      ...report,
      ...(heldSlots !== undefined && { heldSlots: bitmapOf(entry, heldSlots) }),
    })),
  };
}

function bitmapOf(entry: Entry, text: string): Uint8Array {
  try {
    return new Uint8Array(inflateRawSync(Buffer.from(text, 'base64'), { maxOutputLength: BITMAP_BYTES_MAX }));
  } catch (error) {
    throw damaged(entry.key, (error as Error).message, error);
  }
}
