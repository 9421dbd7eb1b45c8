// What people read of the health of backends, of what muxes wrote.
import { describe, expect, it } from 'vitest';
import { poolSchema } from '../../../control/config/objects.ts';
import { encodeVerdicts, subjectOf, type Verdict } from '../../../control/health/verdicts_codec.ts';
import { NodeHealth } from '../../../control/node/health.ts';
import { backend, change, cluster, putBackend, putPool, SLOTS } from '../pool/lib/cluster.ts';

const POOL = poolSchema.parse({ name: 'web', slots: SLOTS, health: { type: 'tcp' } });
const UP: Verdict = { isUp: true, sinceMs: 0, reason: '' };
const DOWN: Verdict = { isUp: false, sinceMs: 0, reason: 'refused' };
const ABSTAINS: Verdict = { isUp: undefined, sinceMs: 0, reason: 'not found', isAbstaining: true };

/** Of web/b1 with this weight, where each mux wrote this and nothing is decided. */
function shown(weight: number, ...verdicts: readonly Verdict[]) {
  const state = change(cluster(2), putPool(POOL), putBackend(backend('web/b1', { weight })));
  const b1 = state.backends.get('web/b1')!;
  const entry = (verdict: Verdict, at: number) => ({
    key: `m${at + 1}`,
    value: encodeVerdicts(new Map([[subjectOf(b1), verdict]])),
    modRevision: 1,
    createRevision: 1,
  });
  const health = new Map(verdicts.map((it, at) => [`m${at + 1}`, entry(it, at)]));
  return new NodeHealth({ state: () => state, muxes: () => ({ health }), tell: () => {} }).backend(b1).health;
}

describe('a backend that is found dead', () => {
  it('is kept while it has a weight, and down where it is drained', () => {
    expect(shown(100, DOWN)).toMatchObject({ state: 'kept', reason: 'refused' });
    expect(shown(0, DOWN)).toMatchObject({ state: 'down', reason: 'refused' });
  });
});

describe('a mux that abstains', () => {
  it('has no part in the verdict, and its reason is shown', () => {
    const muxes = [
      { name: 'm1', state: 'down' },
      { name: 'm2', state: 'pending', reason: 'not found' },
    ];
    expect(shown(100, DOWN, ABSTAINS)).toMatchObject({ state: 'kept', muxes });
    expect(shown(100, UP, ABSTAINS)).toMatchObject({ state: 'up' });
    expect(shown(100, ABSTAINS)).toMatchObject({ state: 'unknown', reason: 'not found' });
  });
});
