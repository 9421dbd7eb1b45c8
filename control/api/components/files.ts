// Owns the shapes of the file service as OpenAPI shows them: their names, and an example of each.
import { named } from '../components.ts';
import { fileClientSchema, filesStatsSchema } from '../schema/files.ts';

const figures = {
  requests: 120,
  errors: 1,
  inBytes: 14_400,
  outBytes: 491_520,
  totalUs: 6_000,
  latencies: [40, 60, 20, 0],
  p50Us: 50,
  p99Us: 100,
};

export const FileClientItem = named('FileClient', fileClientSchema, {
  address: '192.0.2.7',
  connections: 1,
  inFlight: 0,
  waiting: false,
  idleMs: 1_200,
  mounts: ['/projects/web'],
  ...figures,
});

export const FilesStatsAnswer = named('FilesStats', filesStatsSchema, {
  atMs: 1_767_225_600_000,
  startedAtMs: 1_767_222_000_000,
  connections: 1,
  clientsConnected: 1,
  slow: 0,
  latencyEndsUs: [25, 50, 100],
  procedures: [{ program: 'nfs', procedure: 'LOOKUP', statuses: { NFS3ERR_NOENT: 1 }, ...figures }],
  links: [{ path: '/projects/web', id: 3, ...figures }],
  otherLinks: {
    requests: 0,
    errors: 0,
    inBytes: 0,
    outBytes: 0,
    totalUs: 0,
    latencies: [0, 0, 0, 0],
  },
  closed: { idle: 2 },
  refused: { PROG_UNAVAIL: 1 },
  duplicates: { kept: 4, hits: 1, inProgress: 0, misses: 5, early: 0, tooLong: 0 },
  storages: [{ name: 'data', directory: '/srv/data', type: 'ext4', pending: 0, oldestMs: 0 }],
});
