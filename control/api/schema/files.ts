// Owns what the API says of the file service on a node: its clients, and what was counted of their requests.
import { z } from 'zod';
import { count } from './common.ts';

const amounts = {
  requests: count,
  errors: count.describe('Answers other than OK; a name that is not there is one'),
  inBytes: count.describe('Of requests, as they came'),
  outBytes: count.describe('Of replies'),
  totalUs: count.describe('Microseconds from request to reply, summed'),
  latencies: z
    .array(count)
    .describe('Requests by time: up to each of latencyEndsUs and longer than the one before; last: longer'),
  p50Us: z.number().optional().describe('Half of the requests took no longer: the upper end of a bucket'),
  p99Us: z.number().optional(),
};

export const fileFiguresSchema = z.object(amounts);
export type FileFigures = z.infer<typeof fileFiguresSchema>;

export const fileProcedureSchema = z.object({
  program: z.string().describe('nfs, mount or portmap'),
  procedure: z.string(),
  statuses: z.record(z.string(), count).describe('Errors by status'),
  ...amounts,
});

export const fileLinkSchema = z.object({ path: z.string(), id: count, ...amounts });

export const fileStorageSchema = z.object({
  name: z.string(),
  directory: z.string(),
  type: z.string().optional().describe('Of its file system; absent: it is not served now'),
  pending: count.optional().describe('Operations that it has not answered'),
  oldestMs: count.optional().describe('How long the oldest of them has waited'),
});

export const filesStatsSchema = z.object({
  atMs: z.number().describe('Milliseconds since the epoch'),
  startedAtMs: z.number().describe('Of the server: counts begin there'),
  connections: count,
  clientsConnected: count,
  slow: count.describe('Requests that took longer than file.slowRequestMs'),
  latencyEndsUs: z.array(count),
  procedures: z.array(fileProcedureSchema),
  links: z.array(fileLinkSchema).describe('Those that were used'),
  otherLinks: fileFiguresSchema.describe('Of links beyond those that are counted one by one'),
  closed: z.record(z.string(), count).describe('Connections that the server closed, by reason'),
  refused: z.record(z.string(), count).describe('Calls that name nothing that it has, by reason'),
  duplicates: z.object({
    kept: count,
    hits: count.describe('Repeated calls that got the first answer'),
    inProgress: count,
    misses: count,
    early: count.describe('Answers that were forgotten for want of room'),
    tooLong: count,
  }),
  storages: z.array(fileStorageSchema),
});
export type FilesStats = z.infer<typeof filesStatsSchema>;

export const fileClientSchema = z.object({
  address: z.string(),
  connections: count,
  inFlight: count.describe('Requests that are not answered'),
  waiting: z.boolean().describe('It has as much in flight as it may: no more is read from it'),
  idleMs: count.describe('Since its last request'),
  mounts: z.array(z.string()).describe('What it said that it has mounted'),
  ...amounts,
});
export type FileClient = z.infer<typeof fileClientSchema>;

export const fileStatusSchema = z.object({
  pid: count.optional().describe('Of the server; absent: it does not run'),
  listening: z.array(z.string()),
  revision: count.describe('Of the namespace that it serves'),
  storages: z.array(fileStorageSchema),
});
