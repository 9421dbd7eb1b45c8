// Rules of a file node that take a rare sequence of events to be missed; the others are test/sim/namespace.test.ts.
import { describe, expect, it } from 'vitest';
import { Completions } from '../../../control/file/namespace/cluster/completion.ts';
import type { ClusterView, FileNodeEffect } from '../../../control/file/namespace/cluster/events.ts';
import { FileNodeCore } from '../../../control/file/namespace/cluster/node.ts';
import { bringOnline, drainNode, takeOffline } from '../../../control/file/namespace/cluster/operator.ts';
import { EMPTY_ROSTER, type Roster, withNodes } from '../../../control/file/namespace/cluster/roster.ts';
import { made, mkdir } from './lib.ts';

const LEASE_MS = 3_000;
const QUIET_MS = (LEASE_MS * 7) / 6;
const namespace = made(mkdir('/a'));
const nodes = ['n1', 'n2', 'n3'].map(
  (name) => ({ name, incarnation: `${name}.1`, leaseMs: LEASE_MS, state: 'online' }) as const,
);
const roster = withNodes(EMPTY_ROSTER, ...nodes);
const view: ClusterView = {
  at: 5,
  namespace,
  roster,
  acknowledgements: new Map(
    nodes.map(({ name, incarnation }) => [name, { incarnation, revision: 1, epoch: 1 }]),
  ),
};

function node(name = 'n1', incarnation = `${name}.1`) {
  const core = new FileNodeCore({
    name,
    incarnation,
    leaseMs: LEASE_MS,
    applyLimitMs: 1_500,
    silenceLimitMs: 300,
    staggerMs: 150,
    copy: { namespace, roster, isMember: true },
  });
  const all: FileNodeEffect[] = [];
  const step = (event: Parameters<typeof core.step>[0], nowMs: number) => {
    const effects = core.step(event, nowMs);
    all.push(...effects);
    return effects;
  };
  step({ kind: 'tick' }, 0);
  step({ kind: 'validated', revision: 1, problem: undefined }, 1);
  return { core, step, all };
}
const of = <K extends FileNodeEffect['kind']>(effects: readonly FileNodeEffect[], kind: K) =>
  effects.filter((it): it is Extract<FileNodeEffect, { kind: K }> => it.kind === kind);

describe('a file node', () => {
  it('acknowledges no roster after its start until pledges of the daemon before have ended', () => {
    const { step } = node('n1', 'n1.2');
    const [lease] = of(step({ kind: 'saw', view }, 10), 'lease');
    expect(lease!.acknowledgement).toEqual({ incarnation: 'n1.2', revision: 1, epoch: 0 });
    step({ kind: 'leased', acknowledgement: lease!.acknowledgement }, 20);
    expect(of(step({ kind: 'tick' }, QUIET_MS - 1), 'acknowledge')).toEqual([]);
    expect(of(step({ kind: 'tick' }, QUIET_MS), 'acknowledge')).toMatchObject([
      { acknowledgement: { epoch: 1 } },
    ]);
  });

  it('goes on from its copy by a majority, from when it asked', () => {
    const { core, step, all } = node();
    const [ask] = of(all, 'ask');
    expect(ask).toMatchObject({ peers: ['n2', 'n3'], epoch: 1, revision: 1 });
    const answer = {
      kind: 'answered',
      from: 'n2',
      round: ask!.round,
      isPledge: true,
      isNewer: false,
    } as const;
    expect(core.deadlineMs).toBe(Number.NEGATIVE_INFINITY);
    step({ ...answer, from: 'stranger' }, 40);
    step({ ...answer, round: ask!.round + 1 }, 40);
    expect(core.deadlineMs).toBe(Number.NEGATIVE_INFINITY);
    step(answer, 50);
    expect(core.deadlineMs).toBe(1 + LEASE_MS);
  });

  it('does not go on where anybody knows something newer, until the store answers', () => {
    const { core, step, all } = node();
    const [ask] = of(all, 'ask');
    step({ kind: 'answered', from: 'n3', round: ask!.round, isPledge: false, isNewer: true }, 30);
    step({ kind: 'answered', from: 'n2', round: ask!.round, isPledge: true, isNewer: false }, 50);
    expect(core.deadlineMs).toBe(Number.NEGATIVE_INFINITY);
    expect(of(step({ kind: 'tick' }, 5_000), 'ask')).toEqual([]);
    step({ kind: 'renewed', sentMs: 6_000, node: roster.nodes.get('n1') }, 6_010);
    expect(core.deadlineMs).toBe(6_000 + LEASE_MS);
  });

  it('pledges to nobody whose revision or roster is old, and says so', () => {
    const { step } = node();
    const asked = { kind: 'asked', from: 'n2', round: 1, epoch: 1, revision: 1, leaseMs: LEASE_MS } as const;
    const answers = (
      event:
        | typeof asked
        | (Omit<typeof asked, 'epoch' | 'revision' | 'from'> & {
            from: string;
            epoch: number;
            revision: number;
          }),
    ) => of(step(event, 20), 'answer').map(({ isPledge, isNewer }) => ({ isPledge, isNewer }));
    expect(answers(asked)).toEqual([{ isPledge: true, isNewer: false }]);
    expect(answers({ ...asked, revision: 0 })).toEqual([{ isPledge: false, isNewer: true }]);
    expect(answers({ ...asked, epoch: 0 })).toEqual([{ isPledge: false, isNewer: true }]);
    expect(answers({ ...asked, from: 'stranger' })).toEqual([{ isPledge: false, isNewer: false }]);
  });

  it('goes offline with the reason where it cannot apply, and is back by itself', () => {
    const { step } = node();
    const next = made(mkdir('/a'), mkdir('/b'));
    step({ kind: 'saw', view: { ...view, namespace: next } }, QUIET_MS);
    step({ kind: 'leased', acknowledgement: { incarnation: 'n1.1', revision: 1, epoch: 1 } }, QUIET_MS);
    expect(
      of(step({ kind: 'validated', revision: 2, problem: 'no storage' }, QUIET_MS + 1), 'stop'),
    ).toHaveLength(1);
    const effects = step({ kind: 'stopped' }, QUIET_MS + 2);
    const [keep] = of(effects, 'keep');
    expect(keep!.copy.isMember).toBe(false);
    const [write] = of(step({ kind: 'kept', copy: keep!.copy }, QUIET_MS + 3), 'writeRoster');
    expect(write!.roster.nodes.get('n1')).toMatchObject({
      state: 'offline',
      isStopped: true,
      reason: { code: 'invalid', text: 'no storage' },
    });
    const later = { ...view, at: 9, namespace: next, roster: write!.roster };
    step({ kind: 'rosterWritten', succeeded: true }, QUIET_MS + 4);
    const [seen] = of(step({ kind: 'saw', view: later }, QUIET_MS + 5), 'keep');
    const [told] = of(step({ kind: 'kept', copy: seen!.copy }, QUIET_MS + 6), 'acknowledge');
    step({ kind: 'acknowledged', acknowledgement: told!.acknowledgement }, QUIET_MS + 7);
    expect(of(step({ kind: 'tick' }, QUIET_MS + 1_100), 'validate')).toMatchObject([{ before: undefined }]);
    const [kept] = of(step({ kind: 'validated', revision: 2, problem: undefined }, QUIET_MS + 1_200), 'keep');
    const [said] = of(step({ kind: 'kept', copy: kept!.copy }, QUIET_MS + 1_300), 'acknowledge');
    expect(said!.acknowledgement.revision).toBe(2);
    const back = step({ kind: 'acknowledged', acknowledgement: said!.acknowledgement }, QUIET_MS + 1_400);
    expect(of(back, 'writeRoster')[0]!.roster.nodes.get('n1')).toMatchObject({ state: 'joining' });
  });
});

describe('a change', () => {
  it('is not complete by what was seen before it was committed', () => {
    const completions = new Completions();
    completions.saw({ ...view, roster: EMPTY_ROSTER });
    completions.committed('x', { revision: 2, at: 6, untilMs: 100 });
    expect(completions.step(50)).toEqual([]);
    completions.saw({ ...view, at: 6, roster: EMPTY_ROSTER });
    expect(completions.step(60)).toEqual([{ kind: 'complete', id: 'x', revision: 2 }]);
  });

  it('that is not everywhere in time says whom it waits for, in words', () => {
    const completions = new Completions();
    const away = withNodes(roster, {
      ...nodes[2]!,
      state: 'offline',
      reason: { code: 'silent', text: '' },
      isStopped: false,
    });
    completions.saw({
      ...view,
      at: 6,
      roster: away,
      acknowledgements: new Map([['n1', { incarnation: 'n1.1', revision: 1, epoch: 1 }]]),
    });
    completions.committed('x', { revision: 2, at: 6, untilMs: 100 });
    expect(completions.step(100)).toEqual([
      {
        kind: 'incomplete',
        id: 'x',
        revision: 2,
        waits: new Map([
          ['n1', 'has revision 1'],
          ['n2', 'has said nothing since its lease ended'],
          ['n3', 'is to be offline, and it is not certain yet that it has stopped'],
        ]),
      },
    ]);
  });

  it('waits until muxes send nobody to who is offline', () => {
    const completions = new Completions();
    const away = withNodes(roster, {
      ...nodes[2]!,
      state: 'offline',
      reason: { code: 'silent', text: '' },
      isStopped: true,
    });
    completions.saw({ ...view, roster: away });
    completions.pool(new Set(['n1', 'n3']));
    completions.committed('x', { revision: 1, at: 5, untilMs: 100 });
    expect(completions.step(50)).toEqual([]);
    completions.pool(new Set(['n1']));
    expect(completions.step(60)).toEqual([{ kind: 'complete', id: 'x', revision: 1 }]);
  });
});

describe('an operator', () => {
  const stateOf = (it: Roster) => it.nodes.get('n1');

  it('drains, takes offline and calls back', () => {
    const drained = drainNode(roster, 'n1');
    expect(stateOf(drained)).toMatchObject({ state: 'draining', epoch: 2 });
    expect(stateOf(bringOnline(drained, 'n1'))).toMatchObject({ state: 'online' });
    const away = takeOffline(roster, 'n1', { isCertain: false });
    expect(stateOf(away)).toMatchObject({ state: 'offline', isStopped: false, reason: { code: 'operator' } });
    expect(takeOffline(away, 'n1', { isCertain: false })).toBe(away);
    expect(stateOf(takeOffline(away, 'n1', { isCertain: true }))).toMatchObject({ isStopped: true });
    expect(stateOf(bringOnline(away, 'n1'))).toMatchObject({
      isStopped: false,
      reason: { code: 'returning' },
    });
    expect(bringOnline(roster, 'n1')).toBe(roster);
  });

  it('is told why not', () => {
    expect(() => drainNode(takeOffline(roster, 'n1', { isCertain: true }), 'n1')).toThrow(
      'file node n1 is offline',
    );
    expect(() => drainNode(roster, 'none')).toThrow('there is no file node none');
  });
});
