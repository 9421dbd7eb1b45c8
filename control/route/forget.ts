// Owns taking away routes that nobody looks after any more: of a mux that was configured otherwise since, or whose
// programs are taken off while no daemon runs.
import type { RoutesConfig } from '../config/routes.ts';
import { WITHDRAWN } from './announce_core.ts';
import { configure, disable } from './bird/announcing.ts';
import { BirdAbsent } from './bird/client.ts';
import { composeInclude, parseInclude } from './bird/include_codec.ts';
import { RoutesDirectory } from './routes_directory.ts';

/** True where something was announced. @throws Failure where BIRD does not withdraw it. */
export async function forgetRoutes({ directory: path, birdSocket }: RoutesConfig): Promise<boolean> {
  const directory = new RoutesDirectory(path);
  const include = await directory.readInclude();
  const left = include === undefined ? undefined : parseInclude(include);
  if (left === undefined || left.level === 'withdrawn') return false;
  await directory.writeInclude(composeInclude(WITHDRAWN, []));
  await directory.writeWill({ deadlineMs: undefined, socket: birdSocket, send: [] });
  try {
    await disable(birdSocket);
    await configure(birdSocket);
  } catch (error) {
    // One that starts reads the file.
    if (!(error instanceof BirdAbsent)) throw error;
  }
  return true;
}
