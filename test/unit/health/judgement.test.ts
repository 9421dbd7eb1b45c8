// What the opinions of muxes come to: quorum, panic, return, slow start, the end of a drain.
import { describe, expect, it } from 'vitest';
import type { ClusterState } from '../../../control/config/cluster_state.ts';
import { poolSchema } from '../../../control/config/objects.ts';
import { ballotOf, Judgement } from '../../../control/health/judgement_core.ts';
import {
  decodeVerdicts,
  encodeVerdicts,
  subjectOf,
  type Verdict,
} from '../../../control/health/verdicts_codec.ts';
import { documentOf, editsTowards, planEdits } from '../../../control/pool/edits.ts';
import {
  backend,
  change,
  cluster,
  committed,
  deleteBackend,
  expectConsistent,
  indexOf,
  plan,
  putBackend,
  putPool,
  SLOTS,
  slotsOf,
} from '../pool/lib/cluster.ts';

type Health = { quorum?: number; panicPercent?: number };
const checked = (health: Health = {}, slowStartMs?: number) =>
  poolSchema.parse({ name: 'web', slots: SLOTS, health: { type: 'tcp', ...health }, slowStartMs });

/** Pool web with backends b1, b2 … that are checked. */
function site(backends = 4, health: Health = {}, slowStartMs?: number): ClusterState {
  return change(cluster(backends), putPool(checked(health, slowStartMs)));
}

/** Of backends by name: what a mux thinks. */
type Thoughts = Readonly<Record<string, 'up' | 'down' | 'pending' | 'abstaining'>>;

function verdicts(state: ClusterState, thoughts: Thoughts, sinceMs = 5) {
  return new Map(
    Object.entries(thoughts).map(([name, thought]): [number, Verdict] => [
      subjectOf(state.backends.get(`web/${name}`)!),
      {
        isUp: thought === 'up' ? true : thought === 'down' ? false : undefined,
        sinceMs,
        reason: thought === 'down' ? 'refused' : '',
        isAbstaining: thought === 'abstaining',
      },
    ]),
  );
}

const NOW = { nowMs: 0, wallMs: 1_000_000, members: [] };
const GRACE_MS = 6_000;

/** The state once everything follows from what muxes think, and what is said of it. */
function judged(
  state: ClusterState,
  muxes: Readonly<Record<string, Thoughts>>,
  judgement = new Judgement(GRACE_MS),
  now = NOW,
) {
  for (const [mux, thoughts] of Object.entries(muxes)) judgement.heard(mux, verdicts(state, thoughts));
  const first = judgement.step(state, now);
  const after = first.after === state ? state : { ...first.after, revision: state.revision + 1 };
  const again = judgement.step(after, now);
  // What is written once is all there is to write.
  expect(again.after).toBe(after);
  return { state: after, problems: again.problems, wakeAtMs: again.wakeAtMs, judgement };
}

const down = (state: ClusterState) =>
  [...state.backends.values()].filter(({ observed }) => observed?.down !== undefined).map(({ name }) => name);

const ALL_UP: Thoughts = { b1: 'up', b2: 'up', b3: 'up', b4: 'up' };

describe('the quorum', () => {
  it.each([
    ['one of one', { m1: { b1: 'down' } }, undefined, ['b1']],
    ['one of two', { m1: { b1: 'down' }, m2: { b1: 'up' } }, undefined, []],
    ['one of three', { m1: { b1: 'down' }, m2: { b1: 'up' }, m3: { b1: 'up' } }, undefined, []],
    ['two of three', { m1: { b1: 'down' }, m2: { b1: 'down' }, m3: { b1: 'up' } }, undefined, ['b1']],
    [
      'two of four',
      { m1: { b1: 'down' }, m2: { b1: 'down' }, m3: { b1: 'up' }, m4: { b1: 'up' } },
      undefined,
      [],
    ],
    ['one, with one that has no result yet', { m1: { b1: 'down' }, m2: { b1: 'pending' } }, undefined, []],
    [
      'one of three, where one is asked for',
      { m1: { b1: 'down' }, m2: { b1: 'up' }, m3: { b1: 'up' } },
      1,
      ['b1'],
    ],
    ['two of three, where three are', { m1: { b1: 'down' }, m2: { b1: 'down' }, m3: { b1: 'up' } }, 3, []],
    ['the only one, where three are', { m1: { b1: 'down' } }, 3, ['b1']],
    ['one, with one that abstains', { m1: { b1: 'down' }, m2: { b1: 'abstaining' } }, undefined, ['b1']],
    ['none, where all abstain', { m1: { b1: 'abstaining' }, m2: { b1: 'abstaining' } }, 1, []],
    ['one, and one that does not check it', { m1: { b1: 'down' }, m2: { b2: 'up' } }, undefined, ['b1']],
  ] as const)('is asked: %s', (_, muxes, quorum, expected) => {
    const state = site(4, quorum === undefined ? {} : { quorum });
    expect(down(judged(state, muxes as Record<string, Thoughts>).state)).toEqual(expected);
  });

  it('leaves a backend as it was while there is none', () => {
    const dead = judged(site(), { m1: { b1: 'down' } }).state;
    expect(down(judged(dead, { m1: { b1: 'up' }, m2: { b1: 'down' } }).state)).toEqual(['b1']);
    expect(down(judged(dead, {}).state)).toEqual(['b1']);
    expect(down(judged(dead, { m1: { b1: 'up' }, m2: { b1: 'up' }, m3: { b1: 'down' } }).state)).toEqual([]);
  });

  it('is not about another server of the name', () => {
    const state = site();
    const other = change(state, putBackend(backend('web/b1', { address: '192.0.2.99' })));
    const judgement = new Judgement(GRACE_MS);
    judgement.heard('m1', verdicts(state, { b1: 'down' }));
    expect(judgement.step(other, NOW).after).toBe(other);
  });
});

describe('a mux that falls silent', () => {
  const DISPUTED = { m1: { b1: 'down' }, m2: { b1: 'up' } } as const;
  const at = (nowMs: number, members: readonly string[] = []) => ({ ...NOW, nowMs, members });

  it('leaves nothing to a minority for a while, then others do without it', () => {
    const { state, judgement } = judged(site(), DISPUTED);
    judgement.heard('m2', undefined);
    const waiting = judgement.step(state, at(10));
    expect([waiting.after, waiting.wakeAtMs]).toEqual([state, 10 + GRACE_MS]);
    expect(judgement.step(state, at(9 + GRACE_MS)).after).toBe(state);
    expect(down(judgement.step(state, at(10 + GRACE_MS)).after)).toEqual(['b1']);
  });

  it('is waited for anew each time, and counts at once when it is back', () => {
    const { state, judgement } = judged(site(), DISPUTED);
    judgement.heard('m2', undefined);
    expect(judgement.step(state, at(10)).after).toBe(state);
    judgement.heard('m2', verdicts(state, { b1: 'up' }));
    expect(judgement.step(state, at(20))).toMatchObject({ after: state, wakeAtMs: undefined });
    judgement.heard('m2', undefined);
    expect(judgement.step(state, at(30 + GRACE_MS)).after).toBe(state);
    judgement.heard('m2', verdicts(state, { b1: 'down' }));
    expect(down(judgement.step(state, at(31 + GRACE_MS)).after)).toEqual(['b1']);
  });

  it('about one backend only is so about that one', () => {
    const { state, judgement } = judged(site(), {
      m1: { b1: 'down', b2: 'down' },
      m2: { b1: 'up', b2: 'up' },
    });
    judgement.heard('m2', verdicts(state, { b2: 'down' }));
    expect(down(judgement.step(state, at(10)).after)).toEqual(['b2']);
    expect(down(judgement.step(state, at(10 + GRACE_MS)).after)).toEqual(['b1', 'b2']);
  });

  it('and abstained before is not waited for', () => {
    const { state, judgement } = judged(site(), { m1: { b1: 'up' }, m2: { b1: 'abstaining' } });
    judgement.heard('m2', undefined);
    judgement.heard('m1', verdicts(state, { b1: 'down' }));
    expect(down(judgement.step(state, at(10)).after)).toEqual(['b1']);
  });

  it('does not keep a majority from deciding', () => {
    const three = { m1: { b1: 'down' }, m2: { b1: 'up' }, m3: { b1: 'up' } } as const;
    const { state, judgement } = judged(site(), three);
    judgement.heard('m3', undefined);
    judgement.heard('m2', verdicts(state, { b1: 'down' }));
    expect(down(judgement.step(state, at(10)).after)).toEqual(['b1']);
  });

  it('is waited for by a leader who never heard it, where it is a member when the term begins', () => {
    const state = site();
    const judgement = new Judgement(GRACE_MS);
    judgement.heard('m1', verdicts(state, { b1: 'down' }));
    const first = judgement.step(state, at(10, ['m1', 'm2']));
    expect([first.after, first.wakeAtMs]).toEqual([state, 10 + GRACE_MS]);
    expect(down(judgement.step(state, at(10 + GRACE_MS, ['m1', 'm2'])).after)).toEqual(['b1']);
  });
});

describe('a backend that is found dead', () => {
  it('takes no slots, is given up, and leaves the others theirs', () => {
    const before = site();
    const { state } = judged(before, { m1: { ...ALL_UP, b2: 'down' } });
    expect(state.backends.get('web/b2')).toMatchObject({
      isDead: true,
      weight: 100,
      observed: { down: { sinceMs: NOW.wallMs, reason: 'refused' } },
    });
    expect(slotsOf(state, 'web/b2')).toEqual([]);
    for (const name of ['b1', 'b3', 'b4']) {
      expect(slotsOf(state, `web/${name}`)).toEqual(expect.arrayContaining(slotsOf(before, `web/${name}`)));
    }
  });

  it('comes back with a new generation and its share', () => {
    const before = site();
    const dead = judged(before, { m1: { ...ALL_UP, b2: 'down' } }).state;
    const { state } = judged(dead, { m1: ALL_UP });
    const back = state.backends.get('web/b2')!;
    expect(back).not.toHaveProperty('isDead');
    expect(back).not.toHaveProperty('observed');
    expect(back.index).toBe(indexOf(before, 'web/b2'));
    expect(back.generation).toBe(dead.revision + 1);
    expect(slotsOf(state, 'web/b2').length).toBeGreaterThanOrEqual(Math.floor(SLOTS / 4));
    expectConsistent(state);
  });

  it('is back when its pool is checked no more', () => {
    const dead = judged(site(), { m1: { ...ALL_UP, b2: 'down' } }).state;
    const { state } = judged(change(dead, putPool(poolSchema.parse({ name: 'web', slots: SLOTS }))), {});
    expect(down(state)).toEqual([]);
    expect(state.backends.get('web/b2')).not.toHaveProperty('isDead');
  });

  it('is in no document, and an edit of it does not bring it back', () => {
    const dead = judged(site(), { m1: { ...ALL_UP, b2: 'down' } }).state;
    const document = documentOf(dead);
    expect(document).toEqual(documentOf(site()));
    expect(editsTowards(dead, document)).toEqual([]);
    const edited = change(dead, putBackend(backend('web/b2', { address: '192.0.2.2', weight: 50 })));
    expect(down(edited)).toEqual(['b2']);
    expect(edited.backends.get('web/b2')?.isDead).toBe(true);
    expect(slotsOf(edited, 'web/b2')).toEqual([]);
  });

  it('is another one at another address', () => {
    const dead = judged(site(), { m1: { ...ALL_UP, b2: 'down' } }).state;
    const moved = change(dead, putBackend(backend('web/b2', { address: '192.0.2.99' })));
    expect(down(moved)).toEqual([]);
    expect(slotsOf(moved, 'web/b2').length).toBeGreaterThan(0);
  });

  it('does not count where an edit would leave no other', () => {
    const dead = judged(site(2), { m1: { b1: 'up', b2: 'down' } }).state;
    expect(() => plan(dead, deleteBackend('web/b1'))).toThrow(
      'Service www would have no backend: pool web has none with a weight that its health checks find alive.',
    );
    expect(
      planEdits(dead, [{ kind: 'deleteBackend', pool: 'web', name: 'b1' }], { force: true }).changes,
    ).toHaveLength(1);
  });
});

describe('panic', () => {
  it('keeps the last backend, whatever the threshold', () => {
    const { state, problems } = judged(site(2, { panicPercent: 0 }), { m1: { b1: 'down', b2: 'down' } });
    expect(down(state)).toHaveLength(1);
    expect(problems).toMatchObject([{ code: 'panic', subject: 'web' }]);
    expect(problems[0]?.message).toContain('web/b2');
  });

  it('takes nothing more away where too little would be left, the first that died before the others', () => {
    const before = site(4, { panicPercent: 50 });
    const one = judged(before, { m1: { ...ALL_UP, b3: 'down' } }).state;
    const { state, problems } = judged(one, { m1: { b1: 'down', b2: 'down', b3: 'down', b4: 'down' } });
    expect(down(state)).toEqual(['b1', 'b3']);
    expect(problems[0]?.message).toContain('web/b2, web/b4');
  });

  it('counts weights, and what is drained for nothing', () => {
    const heavy = change(site(3, { panicPercent: 50 }), putBackend(backend('web/b1', { weight: 1_000 })));
    expect(down(judged(heavy, { m1: { b1: 'down', b2: 'up', b3: 'up' } }).state)).toEqual([]);
    const drained = change(site(3, { panicPercent: 50 }), putBackend(backend('web/b1', { weight: 0 })));
    const { state, problems } = judged(drained, { m1: { b1: 'down', b2: 'down', b3: 'up' } });
    expect([down(state), problems]).toEqual([['b2'], []]);
  });

  it('ends when others are back: then who was kept goes', () => {
    const panicking = judged(site(2), { m1: { b1: 'down', b2: 'down' } }).state;
    expect(down(panicking)).toEqual(['b1']);
    const { state, problems } = judged(panicking, { m1: { b1: 'up', b2: 'down' } });
    expect([down(state), problems]).toEqual([['b2'], []]);
  });
});

describe('slow start', () => {
  const SLOW_MS = 3_000;

  it('gives a backend that is back its share in four steps', () => {
    const dead = judged(site(4, {}, SLOW_MS), { m1: { ...ALL_UP, b2: 'down' } });
    let { state, wakeAtMs, judgement } = judged(dead.state, { m1: ALL_UP }, dead.judgement);
    const shares = [slotsOf(state, 'web/b2').length];
    const times: number[] = [];
    while (wakeAtMs !== undefined) {
      times.push(wakeAtMs);
      ({ state, wakeAtMs, judgement } = judged(state, {}, judgement, { ...NOW, nowMs: wakeAtMs, wallMs: 0 }));
      shares.push(slotsOf(state, 'web/b2').length);
    }
    expect(times).toEqual([1_000, 2_000, 3_000]);
    // Of weights 25, 50, 75 and 100 beside three of 100.
    expect(
      shares.map((it, at) => Math.abs(it - (SLOTS * 25 * (at + 1)) / (300 + 25 * (at + 1))) < 1),
    ).toEqual([true, true, true, true]);
    expect(state.backends.get('web/b2')).not.toHaveProperty('observed');
  });

  it('is for one that is added as well, unless it is alone', () => {
    const state = change(site(4, {}, SLOW_MS), putBackend(backend('web/b5', { address: '192.0.2.5' })));
    expect(state.backends.get('web/b5')?.observed).toEqual({ rampStep: 1 });
    const { state: begun } = {
      state: change(cluster(0), putPool(checked({}, SLOW_MS)), putBackend(backend('web/b1'))),
    };
    expect(begun.backends.get('web/b1')).not.toHaveProperty('observed');
  });

  it('ends at once where the pool has none any more', () => {
    const state = change(site(4, {}, SLOW_MS), putBackend(backend('web/b5', { address: '192.0.2.5' })));
    const ended = judged(change(state, putPool(checked())), {}).state;
    expect(ended.backends.get('web/b5')).not.toHaveProperty('observed');
  });
});

describe('a drained backend', () => {
  const drained = () => change(site(), putBackend(backend('web/b1', { weight: 0 })));

  it('keeps the flows it has where checks find it dead, and is taken away once it has a weight again', () => {
    const { state, judgement } = judged(drained(), { m1: { ...ALL_UP, b1: 'down' } });
    expect(state.backends.get('web/b1')).not.toHaveProperty('isDead');
    const back = change(state, putBackend(backend('web/b1')));
    expect(down(judged(back, {}, judgement).state)).toEqual(['b1']);
  });

  it('that was dead before is back when it is alive', () => {
    const dead = judged(site(), { m1: { ...ALL_UP, b1: 'down' } });
    const state = change(dead.state, putBackend(backend('web/b1', { weight: 0 })));
    expect(down(state)).toEqual(['b1']);
    expect(down(judged(state, { m1: ALL_UP }, dead.judgement).state)).toEqual([]);
  });
});

describe('a drain with a deadline', () => {
  const drain = (state: ClusterState) =>
    committed(
      planEdits(state, [putBackend(backend('web/b1', { weight: 0 }))], {
        force: false,
        giveUpAtMs: NOW.wallMs + 500,
      }),
    );

  it('gives up what is left then, and not before', () => {
    const drained = drain(site());
    const { state, wakeAtMs, judgement } = judged(drained, { m1: ALL_UP });
    expect([state.backends.get('web/b1')?.isDead, wakeAtMs]).toEqual([undefined, 500]);
    const after = judged(state, {}, judgement, { ...NOW, nowMs: 500, wallMs: NOW.wallMs + 500 }).state;
    expect(after.backends.get('web/b1')).toMatchObject({ isDead: true, weight: 0 });
  });

  it.each([-3_600_000, 3_600_000])('lasts as long where the clock jumps by %i ms meanwhile', (jumpMs) => {
    const { state, judgement } = judged(drain(site()), { m1: ALL_UP });
    const at = (nowMs: number) => ({ ...NOW, nowMs, wallMs: NOW.wallMs + nowMs + jumpMs });
    const before = judged(state, {}, judgement, at(499));
    expect([before.state, before.wakeAtMs]).toEqual([state, 500]);
    expect(judged(state, {}, judgement, at(500)).state.backends.get('web/b1')).toMatchObject({
      isDead: true,
    });
  });

  it('is forgotten where the weight comes back', () => {
    const back = change(drain(site()), putBackend(backend('web/b1')));
    expect(back.backends.get('web/b1')).not.toHaveProperty('observed');
    expect(judged(back, {}, new Judgement(GRACE_MS), { ...NOW, wallMs: NOW.wallMs * 2 }).state).toBe(back);
  });
});

describe('verdicts in the store', () => {
  it('are read as they were written', () => {
    const state = site();
    const written = verdicts(state, { b1: 'up', b2: 'down', b3: 'pending', b4: 'abstaining' });
    const read = decodeVerdicts({ value: encodeVerdicts(written) });
    expect(ballotOf(state.backends.get('web/b2')!, new Map([['m1', read]]), undefined)).toMatchObject({
      result: 'down',
      reason: 'refused',
    });
    const told = (it: ReadonlyMap<number, Verdict>) =>
      [...it].map(([about, { isUp, isAbstaining = false }]) => [about, isUp, isAbstaining]).sort();
    expect(told(read)).toEqual(told(written));
  });

  it('are read as older muxes wrote them, which never abstained', () => {
    const read = decodeVerdicts({ value: '{"pending":[[1,"no result yet"]],"up":[[2,5]],"down":[]}' });
    expect([...read]).toEqual([
      [1, { isUp: undefined, sinceMs: 0, reason: 'no result yet' }],
      [2, { isUp: true, sinceMs: 5, reason: '' }],
    ]);
  });

  it('of as many backends as there can be fit into a value, with reasons', () => {
    const all = new Map(
      Array.from({ length: 4_095 }, (_, at): [number, Verdict] => [
        Number.MAX_SAFE_INTEGER - at,
        { isUp: false, sinceMs: 1_795_000_000_000, reason: 'x'.repeat(500) },
      ]),
    );
    expect(Buffer.byteLength(encodeVerdicts(all))).toBeLessThan(1 << 20);
  });

  it.each(['{}', '[]', 'null', '{"pending":[],"up":[[1]],"down":[]}', 'x'])('are refused as %s', (value) => {
    expect(() => decodeVerdicts({ value })).toThrow();
  });
});
