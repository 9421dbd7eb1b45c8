// What is said of nodes, changes and plans, of a cluster in memory.

import { describe, expect, it } from 'vitest';
import { PERIODS_RESERVED } from '../../../../control/cluster/leader/inputs.ts';
import {
  type Acknowledgement,
  PERIODS_MAX,
  type Placement,
  type Version,
} from '../../../../control/cluster/version.ts';
import { changesOf } from '../../../../control/node/tracking/change_views.ts';
import { ChangeHistory } from '../../../../control/node/tracking/history.ts';
import { nodeViews } from '../../../../control/node/tracking/node_views.ts';
import { keepingOf } from '../../../../control/node/tracking/picture.ts';
import { poolPlansOf } from '../../../../control/node/tracking/pool_plans.ts';
import { planEdits } from '../../../../control/pool/edits.ts';
import {
  acknowledgement,
  MUXES,
  member,
  OWN,
  PERIOD,
  picture,
  placement,
  STATE,
  version,
} from './support.ts';

const TIMES = { handshakeHoldMs: 3_000, settleIdles: 1.1 };
const of = (name: string, changes: Parameters<typeof picture>[0] = {}) =>
  nodeViews(picture(changes), new Map([['mux3', 5_000]])).find((it) => it.name === name)!;

describe('a node', () => {
  it('that takes part is a member, with what it keeps', () => {
    const keeping = keepingOf(version(6));
    expect([...keeping.values()].reduce((sum, { owned }) => sum + owned, 0)).toBe(16);
    expect([...keeping.values()].reduce((sum, { backed }) => sum + backed, 0)).toBe(16);
    expect(of('mux2')).toMatchObject({
      state: 'member',
      version: 6,
      behind: 0,
      heard: [
        { by: 'mux1', agoMs: 40, suspects: false },
        { by: 'mux3', suspects: false },
      ],
      flows: { kept: 4, old: 2 },
      problems: [],
    });
    expect(of('mux1')).toMatchObject({ self: true, leaseLeftMs: 2_400 });
  });

  it('that is behind, silent or suspected has that among its problems', () => {
    expect(of('mux3').problems).toEqual(['It has not acknowledged 1 version of 6.']);
    const hearings = new Map([[2, { agoMs: 2_500, isPastDeadline: true, timeAheadMs: 0 }]]);
    const suspicions = [{ observer: 'mux3', suspect: 'mux2' }];
    expect(of('mux2', { own: { ...OWN, hearings }, muxes: { ...MUXES, suspicions } })).toMatchObject({
      pastDeadline: true,
      problems: [
        'mux3 does not hear it.',
        'mux1 has not heard it for 2.5 s.',
        'Its lease has run out: it decides nothing, and relays to others.',
      ],
    });
    expect(of('mux2', { own: { ...OWN, hearings: new Map() } }).problems).toEqual([
      'mux1 has never heard it: UDP port 7445 of 192.0.2.2 may be blocked.',
    ]);
  });

  it('whose lease is gone is gone, since this node saw it', () => {
    const registrations = new Map([...MUXES.registrations].filter(([name]) => name !== 'mux3'));
    expect(of('mux3', { muxes: { ...MUXES, registrations } })).toMatchObject({
      state: 'gone',
      goneSinceMs: 5_000,
      problems: [expect.stringContaining('the leader takes it out'), expect.anything()],
    });
  });

  it('joins, drains, or has drained', () => {
    const head = version(7, { members: [1, 2].map(member) });
    expect(of('mux3', { head })).toMatchObject({
      state: 'joining',
      problems: ['The next version takes it in.'],
    });
    const drains = new Set(['mux3']);
    expect(of('mux3', { muxes: { ...MUXES, drains } }).state).toBe('draining');
    expect(of('mux3', { head, muxes: { ...MUXES, drains } }).state).toBe('drained');
  });
});

describe('a node that leaves', () => {
  const leaving = (...ids: number[]) =>
    version(6, { members: [1, 2, 3].map((id) => ({ ...member(id), isLeaving: ids.includes(id) })) });
  const said = (id: number, isHandedOver: boolean, number = 6): [string, Acknowledgement] => {
    const { reports, ...rest } = acknowledgement(id, number);
    return [`mux${id}`, { ...rest, reports: reports.map((it) => ({ ...it, isHandedOver })) }];
  };
  const problems = (head: Version, ...said: [string, Acknowledgement][]) =>
    of('mux2', { head, muxes: { ...MUXES, acknowledgements: new Map(said) } }).problems;

  it('says who has to copy first', () => {
    expect(problems(leaving(2), said(1, false), said(2, false), said(3, true))).toEqual([
      'It leaves once mux1 has copied what it keeps to others.',
    ]);
    expect(problems(leaving(2), said(1, true, 5), said(2, true), said(3, false))).toEqual([
      'It leaves once mux1 and mux3 have copied what it keeps to others.',
    ]);
    expect(problems(leaving(2), said(1, true), said(2, false), said(3, true))).toEqual([]);
  });

  it('says whom it waits for', () => {
    expect(problems(leaving(1, 2), said(2, true))).toEqual(['It leaves after mux1: one at a time.']);
  });
});

describe('changes', () => {
  const progress = {
    open: [
      {
        poolId: 7,
        trackEpoch: 5,
        step: 'commit' as const,
        stepVersion: 6,
        waits: ['until then'],
        leftMs: 4_000,
      },
    ],
    more: 0,
    problems: ['a pool has too many periods'],
  };

  it('have slots by state, moves, flows counted once, and who lags', () => {
    const { open, pools } = changesOf(picture(), new ChangeHistory(), undefined, TIMES);
    expect(pools).toEqual([{ pool: 'web', of: 64, clean: 48, track: 0, commit: 16, settle: 0 }]);
    expect(open).toMatchObject([
      {
        id: 'web@5',
        step: 'commit',
        slots: { of: 64, tracked: 16, moved: 16 },
        moves: [{ from: 'web/b1', to: 'web/b2', slots: 16 }],
        flows: { known: 5, old: 2 },
        waitsFor: ['mux3 has not acknowledged version 6.'],
        nodes: [{ acknowledged: true }, { acknowledged: true }, { node: 'mux3', acknowledged: false }],
      },
    ]);
  });

  it('wait in the words of the leader, where it says them', () => {
    const found = changesOf(picture(), new ChangeHistory(), progress, TIMES);
    expect(found.waitsFor).toEqual(['a pool has too many periods']);
    expect(found.open[0]).toMatchObject({ waitsFor: ['until then'], nextStepInMs: 4_000 });
  });

  it('that overlap are one, at the step of the part that is least advanced', () => {
    const both = placement(
      { ...PERIOD, step: 'settle' },
      { ...PERIOD, step: 'track', stepVersion: 8, reason: 'more' },
    );
    const head = version(8, { placements: new Map([[7, both]]) });
    expect(changesOf(picture({ head }), new ChangeHistory(), undefined, TIMES).open).toMatchObject([
      {
        id: 'web@5',
        step: 'track',
        version: 8,
        parts: [
          { step: 'settle', slots: 8 },
          { step: 'track', slots: 8 },
        ],
      },
    ]);
  });

  it('without a leader say so', () => {
    const muxes = { ...MUXES, leader: undefined };
    expect(changesOf(picture({ muxes }), new ChangeHistory(), undefined, TIMES).waitsFor).toEqual([
      'No node makes versions now: edits are saved and wait, and nothing takes its next step.',
    ]);
  });
});

describe('the history of changes', () => {
  const clean = (number: number) => version(number, { placements: new Map([[7, placement()]]) });
  const at = (step: 'track' | 'commit', number: number) =>
    version(number, { placements: new Map([[7, placement({ ...PERIOD, step })]]) });

  it('tells of each step, and remembers how long it took', () => {
    const history = new ChangeHistory();
    expect(history.observe(clean(4), { nowMs: 0, wallMs: 0 })).toEqual([]);
    const told = [
      ...history.observe(at('track', 5), { nowMs: 1_000, wallMs: 1_000 }),
      ...history.observe(at('commit', 6), { nowMs: 4_000, wallMs: 4_000 }),
      ...history.observe(at('commit', 6), { nowMs: 4_500, wallMs: 4_500 }),
      ...history.observe(clean(7), { nowMs: 9_000, wallMs: 9_000 }),
    ];
    expect(told.filter(({ kind }) => kind === 'step').map(({ message }) => message)).toEqual([
      'change web@5 is at step track: 16 of 64 slots of pool web are tracked (web/b1 has weight 0, not 100)',
      'change web@5 is at step commit: 16 of 64 slots of pool web are tracked (web/b1 has weight 0, not 100)',
      'change web@5 has ended: all slots of it are clean (web/b1 has weight 0, not 100)',
    ]);
    expect(history.finished).toMatchObject([
      {
        id: 'web@5',
        tookMs: 8_000,
        seenWhole: true,
        steps: [
          { step: 'track', tookMs: 3_000 },
          { step: 'commit', tookMs: 5_000 },
        ],
      },
    ]);
  });

  it('knows that it has not seen the beginning of what was open before', () => {
    const history = new ChangeHistory();
    expect(history.observe(at('commit', 6), { nowMs: 1_000, wallMs: 1_000 })).toEqual([]);
    history.observe(clean(7), { nowMs: 2_000, wallMs: 2_000 });
    expect(history.finished).toMatchObject([{ seenWhole: false, tookMs: 1_000 }]);
  });

  it('tells who has come and who was removed', () => {
    const history = new ChangeHistory();
    history.observe(version(6), { nowMs: 0, wallMs: 0 });
    const messages = (head: ReturnType<typeof version>) =>
      history
        .observe(head, { nowMs: 0, wallMs: 0 })
        .filter(({ kind }) => kind === 'member')
        .map(({ message }) => message);
    expect(messages(version(7, { members: [1, 2].map(member) }))).toEqual([
      'mux mux3 (3) was removed with version 7: its slots have another owner',
    ]);
    expect(messages(version(8))).toEqual(['mux mux3 (3) is a member as of version 8']);
  });
});

describe('a plan', () => {
  const drain = () =>
    planEdits(
      STATE,
      [
        {
          kind: 'putBackend',
          backend: { pool: 'web', name: 'b1', address: '10.0.0.1', weight: 0, encap: 'ip' },
        },
      ],
      { force: true },
    );
  const planned = (changes: Parameters<typeof picture>[0] = {}) =>
    poolPlansOf(drain(), picture(changes), TIMES);
  const clean = version(6, { placements: new Map([[7, placement()]]) });

  it('has the moves and the steps with their times', () => {
    expect(planned({ head: clean })).toMatchObject([
      {
        pool: 'web',
        slots: 64,
        moves: [{ from: 'web/b1', to: 'web/b2', slots: 64 }],
        way: 'tracked',
        flows: { atRisk: 0 },
        steps: [
          { step: 'track', leastMs: 3_000 },
          { step: 'commit', leastMs: 5_500 },
          { step: 'settle', leastMs: 0 },
        ],
        leastMs: 8_500,
      },
    ]);
  });

  it('joins a change that is open where it moves slots of it again', () => {
    const back = placement(PERIOD);
    const [plan] = planned({
      head: version(6, { placements: new Map([[7, { ...back, current: back.base }]]) }),
    });
    expect(plan).toMatchObject({ way: 'joins', steps: [{ state: 'skipped' }, {}, {}], leastMs: 5_500 });
    expect(plan!.why).toBe('Slots of change web@5 move again: their flows are recorded already.');
  });

  it('waits where the leader keeps the room for open changes, as one that would join them does', () => {
    const room = PERIODS_MAX - PERIODS_RESERVED;
    const open = (count: number) =>
      placement(
        ...Array.from({ length: count }, (_, at) => ({ ...PERIOD, trackEpoch: 5 + at, chainEpoch: 5 + at })),
      );
    const wayIn = (its: Placement) => planned({ head: version(6, { placements: new Map([[7, its]]) }) })[0]!;
    // One more for the clean slots.
    expect(wayIn(open(room - 1)).way).toBe('tracked');
    expect(wayIn(open(room))).toMatchObject({
      way: 'waits',
      why: `${room} changes of the pool are open; some of them have to end first.`,
    });
    const back = open(room);
    expect(wayIn({ ...back, current: back.base }).way).toBe('waits');
    // Its slots are all of those changes: they go on as one each.
    const all = { ...back, current: back.base, period: back.period.map((it) => it || 1) };
    expect(wayIn(all).way).toBe('joins');
  });

  it('is done at once where no flow can be', () => {
    expect(planned({ head: undefined })).toMatchObject([
      { way: 'direct', why: 'No mux has the pool yet.', steps: [] },
    ]);
    const unused = { ...clean, objects: { ...clean.objects, services: new Map() } };
    expect(planned({ head: unused })).toMatchObject([{ way: 'direct', leastMs: 0 }]);
  });

  it('says that one mux alone has no second copy', () => {
    const [plan] = planned({ head: { ...clean, members: [member(1)] } });
    expect(plan!.why).toMatch(/^There is one mux/);
    expect(plan!.risks).toMatchObject([{ kind: 'one-copy', slots: 64, known: 0 }]);
    expect(plan!.risks[0]!.why).toBe(
      'Flows of 64 slots are at mux1 alone while the change lasts, and lost if it dies.',
    );
  });

  it('has no waits for what is given up, and says whose flows end', () => {
    const before = { ...STATE, tables: new Map([['web', { slots: placement().current, modRevision: 1 }]]) };
    const plan = planEdits(before, [{ kind: 'deleteBackend', pool: 'web', name: 'b1' }], {
      force: true,
      now: true,
    });
    expect(poolPlansOf(plan, picture({ intent: before, head: clean }), TIMES)).toMatchObject([
      {
        way: 'urgent',
        slots: 64,
        risks: [{ kind: 'given-up', slots: 64, known: 0, why: 'Flows of 64 slots end: web/b1 is given up.' }],
        steps: [
          { step: 'track', leastMs: 0 },
          { step: 'commit', state: 'skipped' },
          { step: 'settle', leastMs: 0 },
        ],
        leastMs: 0,
      },
    ]);
  });

  it('counts the recorded flows that one mux alone has, until its copy is done', () => {
    // b2 goes again: the 16 slots that it has got, of 5 flows by two reports of 6 and 4.
    const state = {
      ...STATE,
      tables: new Map([['web', { slots: placement(PERIOD).current, modRevision: 1 }]]),
    };
    const plan = planEdits(state, [{ kind: 'deleteBackend', pool: 'web', name: 'b2' }], { force: true });
    const planOf = (period: typeof PERIOD, members = [1, 2, 3]) =>
      poolPlansOf(
        plan,
        picture({
          intent: state,
          head: version(6, {
            members: members.map(member),
            placements: new Map([[7, placement(period)]]),
          }),
        }),
        TIMES,
      )[0]!;
    expect(planOf(PERIOD)).toMatchObject({ slots: 16, flows: { known: 5, atRisk: 0 }, risks: [] });
    expect(planOf({ ...PERIOD, chainEpoch: 6 })).toMatchObject({
      flows: { known: 5, atRisk: 5 },
      risks: [{ kind: 'copying', slots: 16, known: 5 }],
    });
    // A mux has left, and who keeps its slots now knew of their flows before.
    expect(planOf({ ...PERIOD, chainEpoch: 6, isCopiedAhead: true }).risks).toEqual([
      {
        kind: 'copying',
        slots: 16,
        known: 5,
        why: expect.stringMatching(
          /^A mux has left: what was recorded meanwhile of 16 slots is being copied/,
        ),
      },
    ]);
    expect(planOf(PERIOD, [1])).toMatchObject({
      flows: { known: 6, atRisk: 6 },
      risks: [{ kind: 'one-copy', slots: 16, known: 6 }],
    });
  });

  it('leaves slots where they are that nobody would take', () => {
    const plan = planEdits(
      STATE,
      ['b1', 'b2'].map((name) => ({ kind: 'deleteBackend' as const, pool: 'web', name })),
      { force: true },
    );
    expect(poolPlansOf(plan, picture({ head: clean }), TIMES)).toMatchObject([
      { way: 'stays', slots: 0, moves: [], steps: [], risks: [] },
    ]);
  });
});
