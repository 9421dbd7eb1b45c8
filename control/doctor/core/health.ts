// Owns the checks of health checks: whether there are any, whether they can be made, whether muxes agree, whether a pool is
// in panic.
import type { ClusterFacts, PoolHealthFacts } from './facts.ts';
import { counted, type Finding, listed, subject } from './finding.ts';

export function healthFindings({ health }: ClusterFacts): Finding[] {
  return health.flatMap((it) => [...absent(it), ...panic(it), ...disputes(it), ...unknown(it), ...fine(it)]);
}

function absent({ pool, isChecked, backends }: PoolHealthFacts): Finding[] {
  if (isChecked || backends < 2) return [];
  return [
    subject('health').warning(
      `the backends of pool ${pool} are not checked: one that dies keeps its share of new connections`,
      `holdfast pools set ${pool} --health tcp`,
    ),
  ];
}

function panic({ pool, kept }: PoolHealthFacts): Finding[] {
  if (kept.length === 0) return [];
  return [
    subject('health-panic').error(
      `pool ${pool} keeps ${listed(kept)}, which its health checks find dead: without, it would have too little left`,
      `holdfast backends show ${kept[0]}`,
    ),
  ];
}

function disputes({ disputed }: PoolHealthFacts): Finding[] {
  return disputed.map(({ backend, up, down }) =>
    subject('health-dispute').warning(
      `muxes disagree over ${backend}: ${listed(up)} ${up.length === 1 ? 'finds' : 'find'} it alive, ${listed(down)} dead`,
      `on ${down[0]}: holdfast backends show ${backend}`,
    ),
  );
}

function unknown({ pool, unknown: without }: PoolHealthFacts): Finding[] {
  const [first] = without;
  if (first === undefined) return [];
  const why = first.reason === undefined ? '' : `: ${first.reason}`;
  return [
    subject('health-unknown').warning(
      `no mux has a result of ${counted(without.length, 'backend')} of pool ${pool}, such as ${first.backend}${why}`,
      `holdfast backends show ${first.backend}`,
    ),
  ];
}

function fine({ pool, isChecked, kept, disputed, unknown: without }: PoolHealthFacts): Finding[] {
  if (!isChecked || kept.length + disputed.length + without.length > 0) return [];
  return [subject('health').ok(`muxes agree over the backends of pool ${pool}`)];
}
