// Owns reading the cluster's versions in a lab: from its store, beside its daemons.
import { join } from 'node:path';
import { MuxesView } from '../../control/cluster/member_view.ts';
import type { Version } from '../../control/cluster/version.ts';
import { VersionView } from '../../control/cluster/version_view.ts';
import { hostClock } from '../../control/io/host_clock.ts';
import { openStore } from '../../control/store/open.ts';
import { labDirectory } from './state.ts';

/** Waits until the newest version is as `condition` wants it, and every member has it in effect. */
export async function versionBecomes(
  labName: string,
  condition: (version: Version) => boolean,
  limitMs = 30_000,
): Promise<Version> {
  const store = await openStore(`sqlite=${join(labDirectory(labName), 'store.db')}`, { clock: hostClock() });
  const view = new VersionView(store);
  const muxes = new MuxesView(store, () => undefined);
  const found = Promise.withResolvers<Version>();
  const look = () => {
    const { head } = view;
    if (head === undefined || !condition(head)) return;
    const { acknowledgements } = muxes.muxes;
    if (head.members.every(({ name }) => (acknowledgements.get(name)?.version ?? 0) >= head.number))
      found.resolve(head);
  };
  const timer = setTimeout(
    () => found.reject(new Error(`no version is as expected after ${limitMs} ms`)),
    limitMs,
  );
  view.onChange(look);
  muxes.onChange(look);
  try {
    await Promise.all([view.start(), muxes.start()]);
    look();
    return await found.promise;
  } finally {
    clearTimeout(timer);
    await Promise.all([view.close(), muxes.close()]);
    await store.close();
  }
}

/** New flows go where the edits up to now say: nothing waits for its commit. */
export function isCommitted({ placements }: Version): boolean {
  return [...placements.values()].every(({ periods }) => periods.every(({ step }) => step !== 'track'));
}
