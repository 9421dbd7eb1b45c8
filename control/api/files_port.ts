// Owns what the API needs of the daemon for the file service. control/node/file/role.ts implements it.
import type { FileClient, FilesStats } from './schema.ts';

/** Every method throws a Failure: `unsupported` where the node does not serve files, `unavailable` where its server is away. */
export interface FilesPort {
  stats(): Promise<FilesStats>;
  clients(): Promise<FileClient[]>;
}
