// Owns a FilesPort without a server: answers that a test sets.
import type { FilesPort } from '../../../../control/api/files_port.ts';
import type { FileClient, FileFigures, FilesStats } from '../../../../control/api/schema.ts';

export const FIGURES: FileFigures = {
  requests: 120,
  errors: 2,
  inBytes: 14_400,
  outBytes: 491_520,
  totalUs: 6_000,
  latencies: [40, 60, 20, 0],
  p50Us: 50,
  p99Us: 100,
};

export const NO_FIGURES: FileFigures = {
  requests: 0,
  errors: 0,
  inBytes: 0,
  outBytes: 0,
  totalUs: 0,
  latencies: [0, 0, 0, 0],
};

export const FILES_STATS: FilesStats = {
  atMs: 1_767_225_600_000,
  startedAtMs: 1_767_222_000_000,
  connections: 1,
  clientsConnected: 1,
  slow: 3,
  latencyEndsUs: [25, 50, 100],
  procedures: [
    { program: 'nfs', procedure: 'LOOKUP', statuses: { NFS3ERR_NOENT: 2 }, ...FIGURES },
    { program: 'mount', procedure: 'MNT', statuses: {}, ...FIGURES, requests: 1, errors: 0 },
  ],
  links: [{ path: '/projects/web', id: 3, ...FIGURES }],
  otherLinks: NO_FIGURES,
  closed: { idle: 2 },
  refused: { PROG_UNAVAIL: 1 },
  duplicates: { kept: 4, hits: 1, inProgress: 0, misses: 5, early: 0, tooLong: 0 },
  storages: [{ name: 'data', directory: '/srv/data', type: 'ext4', pending: 0, oldestMs: 0 }],
};

export const FILE_CLIENT: FileClient = {
  address: '192.0.2.7',
  connections: 1,
  inFlight: 0,
  waiting: false,
  idleMs: 1_200,
  mounts: ['/projects/web'],
  ...FIGURES,
};

export class FakeFiles implements FilesPort {
  filesStats: FilesStats = FILES_STATS;
  fileClients: FileClient[] = [FILE_CLIENT];
  readonly #called: (method: string, argument?: unknown) => void;

  constructor(called: (method: string, argument?: unknown) => void) {
    this.#called = called;
  }

  async stats(): Promise<FilesStats> {
    this.#called('files.stats');
    return this.filesStats;
  }

  async clients(): Promise<FileClient[]> {
    this.#called('files.clients');
    return this.fileClients;
  }
}
