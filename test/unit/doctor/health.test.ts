// What the doctor says of health checks.
import { expect, it } from 'vitest';
import type { ClusterFacts, PoolHealthFacts } from '../../../control/doctor/core/facts.ts';
import { healthFindings } from '../../../control/doctor/core/health.ts';

const FINE: PoolHealthFacts = {
  pool: 'web',
  isChecked: true,
  backends: 3,
  kept: [],
  disputed: [],
  unknown: [],
};
const found = (changes: Partial<PoolHealthFacts>) =>
  healthFindings({ health: [{ ...FINE, ...changes }] } as unknown as ClusterFacts);

it.each([
  [{}, 'health', 'ok', 'muxes agree over the backends of pool web', undefined],
  [
    { isChecked: false },
    'health',
    'warning',
    'the backends of pool web are not checked: one that dies keeps its share of new connections',
    'holdfast pools set web --health tcp',
  ],
  [
    { kept: ['web/b1', 'web/b2'] },
    'health-panic',
    'error',
    'pool web keeps web/b1 and web/b2, which its health checks find dead: without, it would have too little left',
    'holdfast backends show web/b1',
  ],
  [
    { disputed: [{ backend: 'web/b1', up: ['m2', 'm3'], down: ['m1'] }] },
    'health-dispute',
    'warning',
    'muxes disagree over web/b1: m2 and m3 find it alive, m1 dead',
    'on m1: holdfast backends show web/b1',
  ],
  [
    { unknown: [{ backend: 'web/b1', reason: 'no port is known' }] },
    'health-unknown',
    'warning',
    'no mux has a result of 1 backend of pool web, such as web/b1: no port is known',
    'holdfast backends show web/b1',
  ],
] as const)('says of %o: %s', (changes, check, severity, message, cure) => {
  expect(found(changes as Partial<PoolHealthFacts>)).toEqual([
    { check, severity, message, ...(cure !== undefined && { cure }) },
  ]);
});

it('says nothing of a pool that has nobody else to give flows to', () => {
  expect(found({ isChecked: false, backends: 1 })).toEqual([]);
});
