// Owns APIs that listen in tests: temporary directories, and an end for whatever was begun.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { ServerLimits } from '../../../../control/api/http_server.ts';
import { type Listener, type ListenPlace, listen } from '../../../../control/api/listen.ts';
import type { ApiOptions } from '../../../../control/api/server.ts';
import { type TestApi, testCluster } from './api.ts';

const listeners: Listener[] = [];
const directories: string[] = [];
afterEach(async () => {
  await Promise.all(listeners.splice(0).map((it) => it.close()));
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-api-'));
  chmodSync(directory, 0o755);
  directories.push(directory);
  return directory;
}

export type ListeningApi = TestApi & { listener: Listener; path: string };

/** Closed at the end of the test. */
export async function listening(
  options: { place?: ListenPlace; limits?: Partial<ServerLimits>; api?: Partial<ApiOptions> } = {},
): Promise<ListeningApi> {
  const api = testCluster(options.api);
  const place = options.place ?? { socket: join(temporaryDirectory(), 'h.sock') };
  const log = { debug() {}, info() {}, warn() {} };
  const limits = { closeWaitMs: 500, ...options.limits };
  const listener = await listen(api.app, place, { log, limits });
  listeners.push(listener);
  return { ...api, listener, path: 'socket' in place ? place.socket : '' };
}
