// Owns what becomes of backends of a pool of filters by whether they are members: one that is none answers nobody, one that
// is to leave takes no new clients. A part of the leader, pure. Not here: what checks say (judgement_core.ts).
import type { Observed, StoredBackend } from '../config/cluster_state.ts';
import type { Pool } from '../config/objects.ts';

/** Filter nodes that are members, by the index of the backend that each is. */
export type Attendance = ReadonlyMap<number, { readonly isLeaving: boolean }>;

const ABSENT = 'no filter node at its address is a member';
const UNCHECKED = 'it is a member again, and its health check has not passed yet';

/** Writes what is new into `observations`. Returns those that are there, as they are observed then. */
export function attend(
  { health }: Pick<Pool, 'health'>,
  backends: ReadonlyMap<string, StoredBackend>,
  servers: Attendance,
  observations: Map<string, Observed | undefined>,
  wallMs: number,
): ReadonlyMap<string, StoredBackend> {
  const present = new Map<string, StoredBackend>();
  for (const [key, backend] of backends) {
    const { observed } = backend;
    const server = servers.get(backend.index);
    if (server === undefined) {
      const down = { sinceMs: wallMs, reason: ABSENT };
      if (observed?.down?.reason !== ABSENT)
        observations.set(key, { ...observed, down, rampStep: undefined });
      continue;
    }
    const isLeaving = server.isLeaving || undefined;
    const isBack = observed?.down?.reason === ABSENT;
    // Its check says when it is back, as far as there is one.
    const down = isBack && health !== undefined ? { sinceMs: wallMs, reason: UNCHECKED } : observed?.down;
    const next = { ...observed, down, isLeaving };
    if (observed?.isLeaving !== isLeaving || down !== observed?.down) observations.set(key, next);
    present.set(key, { ...backend, observed: next });
  }
  return present;
}
