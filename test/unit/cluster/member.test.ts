import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type MemberEffect,
  type MemberEvent,
  Membership,
  type Roll,
} from '../../../control/cluster/member_core.ts';

const SELF = { id: 1, incarnation: 10 };
const TIMES = { leaseMs: 3_000, marginMs: 300, isAdopted: false };
const ME = { name: 'a', ...SELF };
const PEERS = [
  { name: 'b', id: 2, incarnation: 20 },
  { name: 'c', id: 3, incarnation: 30 },
];

const roll = (number: number, members: Roll['members'], gone: Roll['gone'] = []): Roll => ({
  number,
  digest: `d${number}`,
  members,
  gone,
});
const head = (number: number, members: Roll['members']): MemberEvent => ({
  kind: 'head',
  head: roll(number, members),
});
const applied = (number: number, members: Roll['members'], pledges: never[] = []): MemberEvent => ({
  kind: 'applied',
  version: roll(number, members),
  pledges,
});
const tick = (probe = 1, pledgeEchoes: [number, number][] = []): MemberEvent => ({
  kind: 'tick',
  probe,
  pledgeEchoes: new Map(pledgeEchoes),
});
const SERVING: MemberEvent = { kind: 'serving', isServing: true };

function play(...events: [MemberEvent, number][]) {
  const membership = new Membership(SELF, TIMES);
  const seen: MemberEffect[][] = events.map(([event, nowMs]) => membership.step(event, nowMs));
  return { membership, last: seen.at(-1)!, all: seen.flat() };
}
const kinds = (effects: readonly MemberEffect[]) => effects.map(({ kind }) => kind);

/** A member of three at version 5, renewed at 1,000. */
function member() {
  const all = [ME, ...PEERS];
  const it = play(
    [SERVING, 0],
    [head(4, PEERS), 0],
    [applied(4, PEERS), 0],
    [{ kind: 'registered', sentMs: 0 }, 10],
    [head(5, all), 20],
    [applied(5, all), 30],
    [tick(), 1_010],
    [{ kind: 'renewed', sentMs: 1_010 }, 1_020],
  );
  return it.membership;
}

describe('joining', () => {
  it('waits until the store has said what the head is, and the program can be heard', () => {
    expect(play([tick(), 0]).all).toEqual([{ kind: 'deadline', atMs: Number.NEGATIVE_INFINITY }]);
    expect(kinds(play([SERVING, 0]).all)).not.toContain('register');
    expect(kinds(play([{ kind: 'head', head: undefined }, 0]).all)).not.toContain('register');
  });

  it('registers at once where the cluster has no version yet', () => {
    const { last } = play([SERVING, 0], [{ kind: 'head', head: undefined }, 5]);
    expect(last).toEqual([{ kind: 'register', head: undefined, isLeaving: false, sentMs: 5 }]);
  });

  it('acknowledges nothing under its name before it has that', () => {
    const waiting = play([SERVING, 0], [head(4, PEERS), 0], [applied(4, PEERS), 7], [tick(), 50]);
    expect(kinds(waiting.all)).not.toContain('acknowledge');
    const { last } = play(
      [SERVING, 0],
      [head(4, PEERS), 0],
      [applied(4, PEERS), 7],
      [{ kind: 'registered', sentMs: 7 }, 20],
    );
    expect(last).toContainEqual({ kind: 'acknowledge', version: 4, digest: 'd4' });
  });

  it('registers only once the head is in effect here, and compares it', () => {
    expect(kinds(play([SERVING, 0], [head(4, PEERS), 0], [applied(3, PEERS), 0]).all)).not.toContain(
      'register',
    );
    const { last } = play([SERVING, 0], [head(4, PEERS), 0], [applied(4, PEERS), 7]);
    expect(last).toContainEqual({ kind: 'register', head: roll(4, PEERS), isLeaving: false, sentMs: 7 });
  });

  it('applies the newer head and tries again where one came first', () => {
    const { membership } = play(
      [SERVING, 0],
      [head(4, PEERS), 0],
      [applied(4, PEERS), 0],
      [{ kind: 'refused' }, 5],
    );
    expect(membership.step(head(5, PEERS), 10)).toEqual([]);
    expect(kinds(membership.step(applied(5, PEERS), 20))).toEqual(['peers']);
    expect(membership.step(tick(), 400)).toEqual([
      { kind: 'register', head: roll(5, PEERS), isLeaving: false, sentMs: 400 },
    ]);
  });

  it('decides nothing before a version with it is in effect, and by its lease then', () => {
    const { membership } = play(
      [SERVING, 0],
      [head(4, PEERS), 0],
      [applied(4, PEERS), 0],
      [{ kind: 'registered', sentMs: 0 }, 10],
      [head(5, [ME, ...PEERS]), 20],
    );
    expect(membership.phase).toBe('registered');
    expect(membership.deadlineMs).toBe(Number.NEGATIVE_INFINITY);
    const effects = membership.step(applied(5, [ME, ...PEERS]), 30);
    expect(effects).toEqual([
      {
        kind: 'peers',
        incarnations: new Map([
          [2, 20],
          [3, 30],
        ]),
      },
      { kind: 'deadline', atMs: 3_000 },
      { kind: 'acknowledge', version: 5, digest: 'd5' },
    ]);
  });

  it('is no member by the place of an incarnation before', () => {
    const { membership } = play([applied(5, [{ ...ME, incarnation: 9 }, ...PEERS]), 0]);
    expect(membership.phase).toBe('outside');
  });

  it('decides for ever where it is alone, and by its lease before it acknowledges another', () => {
    const { membership } = play(
      [SERVING, 0],
      [{ kind: 'head', head: undefined }, 0],
      [{ kind: 'registered', sentMs: 0 }, 1],
      [head(1, [ME]), 2],
      [applied(1, [ME]), 3],
    );
    expect(membership.deadlineMs).toBe(Number.POSITIVE_INFINITY);
    expect(kinds(membership.step(applied(2, [ME, PEERS[0]!]), 50))).toEqual([
      'peers',
      'deadline',
      'acknowledge',
    ]);
    expect(membership.deadlineMs).toBe(3_000);
  });
});

describe('a member', () => {
  it('renews each third of its lease, one request at a time', () => {
    const membership = member();
    expect(membership.deadlineMs).toBe(4_010);
    expect(membership.step(tick(), 2_000)).toEqual([]);
    expect(membership.step(tick(), 2_050)).toEqual([{ kind: 'renew', isLeaving: false, sentMs: 2_050 }]);
    expect(membership.step(tick(), 2_500)).toEqual([]);
    expect(membership.step({ kind: 'renewed', sentMs: 2_050 }, 2_600)).toEqual([
      { kind: 'deadline', atMs: 5_050 },
    ]);
  });

  it('tries again soon where the store does not answer, and says since when', () => {
    const membership = member();
    membership.step(tick(), 2_050);
    membership.step({ kind: 'failed', code: 'unavailable' }, 2_100);
    expect(membership.storeAwaySinceMs).toBe(2_100);
    expect(membership.step(tick(), 2_399)).toEqual([]);
    expect(membership.step(tick(), 2_400)).toEqual([{ kind: 'renew', isLeaving: false, sentMs: 2_400 }]);
    membership.step({ kind: 'renewed', sentMs: 2_400 }, 2_410);
    expect(membership.storeAwaySinceMs).toBeUndefined();
  });

  it('goes on by pledges of a majority while the store is away, and stops without', () => {
    const membership = member();
    membership.step(tick(), 2_050);
    membership.step({ kind: 'failed', code: 'unavailable' }, 2_100);
    expect(kinds(membership.step(tick(40), 2_550))).toContain('askPledges');
    expect(membership.step(tick(41, [[3, 40]]), 2_600)).toContainEqual({ kind: 'deadline', atMs: 5_550 });
    expect(kinds(membership.step(tick(90), 5_500))).toContain('askPledges');
    expect(kinds(membership.step(tick(99), 5_600))).not.toContain('askPledges');
    expect(membership.deadlineMs).toBe(5_550);
  });

  it('asks for no pledges where no probe goes out: what others pledged to was sent before', () => {
    const membership = member();
    membership.step(tick(), 2_050);
    membership.step({ kind: 'failed', code: 'unavailable' }, 2_100);
    expect(kinds(membership.step(tick(40), 2_550))).toContain('askPledges');
    const late: MemberEvent = { kind: 'tick', probe: undefined, pledgeEchoes: new Map() };
    expect(kinds(membership.step(late, 3_550))).not.toContain('askPledges');
    membership.step(tick(41, [[3, 40]]), 3_600);
    expect(membership.deadlineMs).toBe(5_550);
  });

  it('registers again where its lease has ended, and is the member that it was', () => {
    const membership = member();
    membership.step(tick(), 5_000);
    expect(membership.step({ kind: 'refused' }, 5_010)).toEqual([
      { kind: 'register', head: roll(5, [ME, ...PEERS]), isLeaving: false, sentMs: 5_010 },
    ]);
    membership.step({ kind: 'registered', sentMs: 5_010 }, 5_020);
    expect(membership.phase).toBe('member');
    expect(membership.deadlineMs).toBe(8_010);
  });

  it('stops at once where a head is without it, and does not come back by an old proof', () => {
    const membership = member();
    expect(membership.step(head(6, PEERS), 1_100)).toEqual([
      { kind: 'deadline', atMs: Number.NEGATIVE_INFINITY },
    ]);
    membership.step(applied(6, PEERS), 1_150);
    membership.step(head(7, [ME, ...PEERS]), 1_200);
    membership.step(applied(7, [ME, ...PEERS]), 1_250);
    expect(membership.deadlineMs).toBe(Number.NEGATIVE_INFINITY);
  });

  it('does not decide after a sleep before a fresh renewal', () => {
    const membership = member();
    expect(membership.step({ kind: 'slept' }, 1_500)).toEqual([
      { kind: 'renew', isLeaving: false, sentMs: 1_500 },
      { kind: 'deadline', atMs: Number.NEGATIVE_INFINITY },
    ]);
    expect(membership.step({ kind: 'renewed', sentMs: 1_500 }, 1_510)).toEqual([
      { kind: 'deadline', atMs: 4_500 },
    ]);
  });

  it('acknowledges a version late where it has pledged that there is none', () => {
    const membership = member();
    const six = roll(6, [ME, ...PEERS]);
    membership.step({ kind: 'renewed', sentMs: 1_900 }, 1_900);
    const effects = membership.step(
      { kind: 'applied', version: six, pledges: [{ atMs: 1_950, version: 5, leaseMs: 3_000 }] },
      2_000,
    );
    expect(kinds(effects)).toEqual(['peers']);
    expect(membership.heldBack).toEqual({ version: 6, digest: 'd6', atMs: 5_250 });
    expect(kinds(membership.step(tick(), 5_249))).not.toContain('acknowledge');
    expect(membership.step(tick(), 5_250)).toContainEqual({ kind: 'acknowledge', version: 6, digest: 'd6' });
  });

  it('becomes another incarnation where it was removed, and only then registers again', () => {
    const membership = member();
    const gone = [{ id: 1, incarnation: 10 }];
    const effects = membership.step({ kind: 'head', head: roll(6, PEERS, gone) }, 1_100);
    expect(kinds(effects)).toEqual(['reset', 'deadline']);
    membership.step(applied(6, PEERS), 1_150);
    membership.step(tick(), 2_050);
    expect(membership.step({ kind: 'refused' }, 2_100)).toEqual([]);
    expect(membership.step({ kind: 'reset', self: { id: 1, incarnation: 11 } }, 2_200)).toEqual([
      { kind: 'peers', incarnations: new Map() },
      { kind: 'register', head: roll(6, PEERS, gone), isLeaving: false, sentMs: 2_200 },
    ]);
    expect(membership.self).toEqual({ id: 1, incarnation: 11 });
  });

  it('leaves the deadline of a program that runs as it is, until it has another proof', () => {
    const all = [ME, ...PEERS];
    const membership = new Membership(SELF, { ...TIMES, isAdopted: true });
    const before = [head(5, all), applied(5, all), tick(), SERVING].flatMap((it) => membership.step(it, 0));
    expect(kinds(before)).toEqual(['peers', 'acknowledge', 'register']);
    expect(membership.step({ kind: 'registered', sentMs: 0 }, 10)).toEqual([
      { kind: 'deadline', atMs: 3_000 },
    ]);
  });

  it('leaves it also where it has registered, until a version is in effect by this daemon', () => {
    const all = [ME, ...PEERS];
    const membership = new Membership(SELF, { ...TIMES, isAdopted: true });
    const before = [head(5, all), SERVING].flatMap((it) => membership.step(it, 0));
    before.push(...membership.step({ kind: 'registered', sentMs: 0 }, 10));
    expect(kinds(before)).toEqual(['register']);
    expect(membership.step(applied(5, all), 20)).toContainEqual({ kind: 'deadline', atMs: 3_000 });
  });

  it.each<[string, MemberEvent[]]>([
    ['was removed', [head(5, PEERS)]],
    ['was removed while it had no daemon', [head(5, PEERS), applied(5, PEERS)]],
    ['has slept before a version was in effect', [head(5, [ME, ...PEERS]), { kind: 'slept' }]],
    ['has slept', [head(5, [ME, ...PEERS]), applied(5, [ME, ...PEERS]), { kind: 'slept' }]],
  ])('ends the deadline of a program that runs where it %s', (_, events) => {
    const membership = new Membership(SELF, { ...TIMES, isAdopted: true });
    const effects = events.flatMap((it) => membership.step(it, 0));
    expect(effects).toContainEqual({ kind: 'deadline', atMs: Number.NEGATIVE_INFINITY });
  });

  it('gives itself up where its program is off all interfaces', () => {
    const membership = member();
    const effects = membership.step({ kind: 'serving', isServing: false }, 1_100);
    // Without the lease it is fenced for others: it must not decide by what it proved before when it is back.
    expect(effects).toEqual([{ kind: 'withdraw' }, { kind: 'deadline', atMs: Number.NEGATIVE_INFINITY }]);
    expect(kinds(membership.step(tick(), 5_000))).not.toContain('register');
  });

  it('does not believe an answer to what it asked before it slept', () => {
    const membership = member();
    expect(membership.step(tick(), 2_050)).toEqual([{ kind: 'renew', isLeaving: false, sentMs: 2_050 }]);
    membership.step({ kind: 'slept' }, 2_100);
    // It asks again at once: others decide for it meanwhile.
    expect(membership.step({ kind: 'renewed', sentMs: 2_050 }, 2_110)).toEqual([
      { kind: 'renew', isLeaving: false, sentMs: 2_110 },
    ]);
    expect(membership.deadlineMs).toBe(Number.NEGATIVE_INFINITY);
    membership.step({ kind: 'renewed', sentMs: 2_110 }, 2_130);
    expect(membership.deadlineMs).toBe(5_110);
  });

  it('stays while it is drained until a head is without it, and does not return', () => {
    const membership = member();
    expect(membership.step({ kind: 'draining', isDraining: true }, 1_100)).toEqual([
      { kind: 'renew', isLeaving: true, sentMs: 1_100 },
    ]);
    membership.step({ kind: 'renewed', sentMs: 1_100 }, 1_110);
    expect(kinds(membership.step(head(6, PEERS), 1_200))).toEqual(['deadline']);
    expect(kinds(membership.step(applied(6, PEERS), 1_250))).toEqual(['peers', 'acknowledge']);
    expect(kinds(membership.step(tick(), 1_300))).toEqual(['withdraw']);
    expect(kinds(membership.step(tick(), 5_000))).not.toContain('register');
    expect(kinds(membership.step({ kind: 'draining', isDraining: false }, 5_050))).toContain('register');
  });
});

it('never decides longer than a lease after the last request that was answered, whatever happens', () => {
  const event = fc.oneof(
    fc.constant(tick()),
    fc.constant<MemberEvent>({ kind: 'refused' }),
    fc.constant<MemberEvent>({ kind: 'failed', code: 'unavailable' }),
    fc.constant<MemberEvent>({ kind: 'slept' }),
    fc.nat(1).map((on): MemberEvent => ({ kind: 'serving', isServing: on === 1 })),
    fc.constant<MemberEvent>({ kind: 'renewed', sentMs: -1 }),
    fc.integer({ min: 5, max: 9 }).map((number) => head(number, [ME, ...PEERS])),
    fc.integer({ min: 5, max: 9 }).map((number) => head(number, PEERS)),
    fc.integer({ min: 5, max: 9 }).map((number) => applied(number, [ME, ...PEERS])),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(event, fc.nat(1_500)), { maxLength: 60 }), (steps) => {
      const membership = member();
      let nowMs = 1_020;
      let asked: number | undefined;
      let proofMs = 1_010;
      for (const [given, afterMs] of steps) {
        nowMs += afterMs;
        const answers = given.kind === 'renewed' || given.kind === 'refused' || given.kind === 'failed';
        if (answers && asked === undefined) continue;
        const sentMs = asked ?? 0;
        if (given.kind === 'renewed') proofMs = Math.max(proofMs, sentMs);
        if (answers) asked = undefined;
        const effects = membership.step(
          given.kind === 'renewed' ? { kind: 'renewed', sentMs } : given,
          nowMs,
        );
        for (const effect of effects) {
          if (effect.kind === 'renew' || effect.kind === 'register') {
            expect(asked).toBeUndefined();
            asked = effect.sentMs;
          }
        }
        expect(membership.deadlineMs).toBeLessThanOrEqual(proofMs + TIMES.leaseMs);
      }
    }),
  );
});
