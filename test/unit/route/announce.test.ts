import { describe, expect, it } from 'vitest';
import {
  Announce,
  LEAVE_LIMIT_MS,
  MOVE_MS,
  RETURN_MS,
  type Standing,
} from '../../../control/route/announce_core.ts';

const ADDRESSES = ['192.0.2.1', '2001:db8::1'];
const LEAVE_MS = 2_000;

/** A member among others that may decide for a while. */
const MEMBER: Standing = {
  isMember: true,
  deadlineMs: 100_000,
  isAlone: false,
  isOnly: false,
  leaseEndsMs: Number.POSITIVE_INFINITY,
  isLeaving: false,
  isServing: true,
  addresses: ADDRESSES,
};

const announcing = (more: Partial<Standing> = {}): Announce => {
  const announce = new Announce({ leaveMs: LEAVE_MS });
  announce.step({ ...MEMBER, ...more }, 0);
  return announce;
};
const levelAt = (announce: Announce, more: Partial<Standing>, nowMs: number) =>
  announce.step({ ...MEMBER, ...more }, nowMs).level;

describe('a mux announces', () => {
  it('the addresses that it serves, sorted, while it is a member that may decide', () => {
    const announce = announcing({ addresses: [...ADDRESSES].reverse() });
    expect(announce.current).toEqual({ level: 'normal', addresses: ADDRESSES });
    expect(announce.step({ ...MEMBER, addresses: ['192.0.2.2'] }, 10).addresses).toEqual(['192.0.2.2']);
  });

  it.each<[string, Partial<Standing>]>([
    ['it is no member', { isMember: false }],
    ['its program is on no interface', { isServing: false }],
    ['it is past its deadline', { deadlineMs: 10 }],
    ['it is no member, though it hears nobody', { isMember: false, isAlone: true }],
  ])('nothing where %s', (_, more) => {
    expect(levelAt(new Announce({ leaveMs: 0 }), more, 10)).toBe('withdrawn');
    const announce = announcing();
    expect(levelAt(announce, more, 10)).toBe('withdrawn');
    expect(announce.current.addresses).toEqual([]);
  });

  it('as the last resort past its deadline where nobody is heard', () => {
    expect(levelAt(announcing(), { deadlineMs: 10, isAlone: true }, 10)).toBe('lastResort');
  });

  it('as the last resort where it is the only mux and the store is away for longer than a lease', () => {
    const only = { isOnly: true, deadlineMs: Number.POSITIVE_INFINITY, leaseEndsMs: 3_000 };
    const announce = announcing(only);
    expect(levelAt(announce, only, 2_999)).toBe('normal');
    expect(levelAt(announce, only, 3_000)).toBe('lastResort');
    expect(levelAt(announce, { ...only, isOnly: false }, 3_000)).toBe('normal');
  });

  it('again after a while only: what comes and goes is not to move flows each time', () => {
    const announce = announcing();
    expect(levelAt(announce, { isMember: false }, 10)).toBe('withdrawn');
    expect(levelAt(announce, {}, 10 + RETURN_MS - 1)).toBe('withdrawn');
    expect(levelAt(announce, {}, 10 + RETURN_MS)).toBe('normal');
  });
});

describe('a mux that leaves', () => {
  it('is the last resort first, then withdraws, and goes when routers have heard it', () => {
    const announce = announcing();
    const leaving = { isLeaving: true };
    expect(levelAt(announce, leaving, 1_000)).toBe('lastResort');
    expect(announce.mayLeave(true, 1_000)).toBe(false);
    expect(levelAt(announce, leaving, 1_000 + LEAVE_MS - 1)).toBe('lastResort');
    expect(levelAt(announce, leaving, 1_000 + LEAVE_MS)).toBe('withdrawn');
    expect(announce.mayLeave(false, 4_000)).toBe(false);
    expect(announce.mayLeave(true, 4_000)).toBe(false);
    expect(announce.mayLeave(true, 4_000 + MOVE_MS - 1)).toBe(false);
    expect(announce.mayLeave(true, 4_000 + MOVE_MS)).toBe(true);
  });

  it('goes nevertheless where its routes cannot be withdrawn: what comes, it relays', () => {
    const announce = announcing();
    const untilMs = LEAVE_MS + LEAVE_LIMIT_MS;
    expect(levelAt(announce, { isLeaving: true, deadlineMs: 1e9 }, 0)).toBe('lastResort');
    expect(announce.mayLeave(false, untilMs - 1)).toBe(false);
    expect(announce.mayLeave(false, untilMs)).toBe(true);
  });

  it('is no last resort where it announced nothing before', () => {
    expect(levelAt(new Announce({ leaveMs: LEAVE_MS }), { isLeaving: true }, 0)).toBe('withdrawn');
  });

  it('announces as before where that is taken back', () => {
    const announce = announcing();
    levelAt(announce, { isLeaving: true }, 0);
    expect(levelAt(announce, {}, 10)).toBe('normal');
    expect(announce.mayLeave(true, 1e6)).toBe(false);
    // The next time begins anew.
    expect(levelAt(announce, { isLeaving: true }, 50_000)).toBe('lastResort');
  });
});

describe('a daemon that starts', () => {
  const kept = { announcement: { level: 'normal', addresses: ADDRESSES }, untilMs: 5_000 } as const;

  it('announces nothing before it knows what it stands on', () => {
    expect(new Announce({ leaveMs: 0 }).step(undefined, 0).level).toBe('withdrawn');
  });

  it('leaves what the one before has announced, until the deadline of that one', () => {
    const announce = new Announce({ leaveMs: 0 }, kept);
    expect(announce.step(undefined, 4_999)).toEqual(kept.announcement);
    expect(announce.step(undefined, 5_000).level).toBe('withdrawn');
    expect(announce.step(undefined, 5_001).level).toBe('withdrawn');
  });

  it('goes by what it stands on as soon as it knows', () => {
    const announce = new Announce({ leaveMs: 0 }, kept);
    expect(levelAt(announce, { isMember: false }, 1)).toBe('withdrawn');
    const other = new Announce({ leaveMs: 0 }, kept);
    expect(levelAt(other, {}, 6_000)).toBe('normal');
  });
});
