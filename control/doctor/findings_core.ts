// Owns which checks there are and their order, which is by subject: the host, each interface, the cluster's objects as
// this host sees them. The checks themselves are core/; reading the facts is facts.ts; sorting by severity is the CLI's.
import { backendFindings } from './core/backend.ts';
import { clusterFindings } from './core/cluster.ts';
import type { Facts } from './core/facts.ts';
import { filterFindings } from './core/filter.ts';
import type { Finding } from './core/finding.ts';
import { hostFindings } from './core/host.ts';
import { attachmentFindings, isCandidate, presenceFindings } from './core/interface.ts';
import { offloadFindings } from './core/offload.ts';
import { routeFindings } from './core/routes.ts';
import { roomFindings, serviceFindings } from './core/service.ts';
import { ecmpFindings, probePortFindings, settingFindings } from './core/setting.ts';

export type { Facts } from './core/facts.ts';
export type { Finding } from './core/finding.ts';

export function findings(facts: Facts): Finding[] {
  return [
    ...hostFindings(facts.host),
    ...facts.interfaces.flatMap((it) => [
      ...presenceFindings(it, facts),
      ...(isCandidate(it)
        ? [
            ...attachmentFindings(it, facts),
            ...offloadFindings(it, facts),
            ...settingFindings(it, facts),
            ...roomFindings(it, facts),
            ...filterFindings(it, facts),
          ]
        : []),
    ]),
    ...ecmpFindings(facts),
    ...probePortFindings(facts),
    ...serviceFindings(facts),
    ...backendFindings(facts),
    ...clusterFindings(facts),
    ...routeFindings(facts),
  ];
}
