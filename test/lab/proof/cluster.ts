// Owns waiting for what a cluster of the lab has to become, between one change and the next.
import type { Status } from '../../../control/api/schema.ts';
import { routed } from '../bird.ts';
import type { Lab, LabMux } from '../lab.ts';
import { eventually } from '../support.ts';

const ROUTE_LIMIT_MS = 30_000;
/** A removed mux is counted out after its lease and a margin; then its chains are repaired and flows copied. */
const REPAIR_LIMIT_MS = 45_000;

export function othersThan(lab: Lab, mux: LabMux): LabMux[] {
  return lab.muxes.filter((it) => it !== mux);
}

/** All muxes are members, hear each other, announce, and have nothing to complain of. */
export async function healthy(lab: Lab): Promise<void> {
  const isHealthy = ({ cluster, routes, problems, store }: Status): boolean =>
    store.connected &&
    cluster?.state === 'member' &&
    !cluster.pastDeadline &&
    cluster.members === lab.muxes.length &&
    cluster.heard === lab.muxes.length - 1 &&
    routes?.supervised === true &&
    routes.announced === 'normal' &&
    routes.inEffect === true &&
    problems.length === 0;
  await Promise.all(lab.muxes.map(({ daemon }) => daemon.answers(isHealthy)));
  await routedTo(lab, lab.muxes);
  await repaired(lab, lab.muxes);
}

export function routedTo(lab: Lab, muxes: readonly LabMux[]): Promise<number> {
  return routed(
    lab.plan,
    muxes.map(({ node }) => node.name),
    ROUTE_LIMIT_MS,
  );
}

/** These are the members, each has the newest version, and every open change has its flows at owner and backup. */
export async function repaired(lab: Lab, muxes: readonly LabMux[]): Promise<void> {
  await Promise.all(
    muxes.map(async ({ node, daemon }) => {
      let last: unknown;
      await eventually(
        async () => {
          const [{ cluster }, { applied, version, open }] = await Promise.all([
            daemon.client.status(),
            daemon.client.changes(),
          ]);
          const missing = open.flatMap(({ nodes }) => nodes.filter((it) => !it.copied || !it.acknowledged));
          last = { members: cluster?.members, applied, version, missing };
          const isWhole = cluster?.members === muxes.length && applied === version && missing.length === 0;
          return isWhole ? true : undefined;
        },
        `repair, as ${node.name} sees it,`,
        REPAIR_LIMIT_MS,
      ).catch((error: Error) => {
        throw new Error(`${error.message}: ${JSON.stringify(last)} of ${lab.plan.name}`, { cause: error });
      });
    }),
  );
}
