// What a mux needs of the others, and what is said where it is not there.
import { describe, expect, it } from 'vitest';
import type { ChangeFacts, ClusterFacts, PeerFacts } from '../../../control/doctor/core/facts.ts';
import { found, known, muxFacts, PATH, unread } from './lib/facts.ts';

const MUX2: PeerFacts = {
  name: 'mux2',
  address: '10.0.0.12',
  version: 4,
  askPort: 7445,
  heardAgoMs: 40,
  timeAheadMs: 0.5,
  isPastDeadline: false,
  way: known({ ...PATH, mtuBytes: 1600 }),
};

const cluster = (changes: Partial<ClusterFacts> = {}): ClusterFacts => ({
  node: 'mux1',
  isMember: true,
  members: 2,
  leader: 'mux1',
  hasDeadlinePassed: false,
  askPort: 7445,
  tables: { flows: { used: 100, max: 65_536 } },
  peers: [MUX2],
  keys: { step: 4, lacking: [] },
  health: [],
  changes: [],
  ...changes,
});

const about = (check: string, changes: Partial<ClusterFacts> = {}) =>
  found(muxFacts({ cluster: cluster(changes) }), check);

describe('a cluster with which nothing is wrong', () => {
  it('is said to be fine', () => {
    for (const check of [
      'mux-members',
      'leader',
      'mux-heard',
      'mux-room',
      'flow-table',
      'mux-keys',
      'change',
    ]) {
      expect(about(check), check).toMatchObject([{ severity: 'ok' }]);
    }
    for (const check of ['mux-deadline', 'mux-time']) expect(about(check), check).toEqual([]);
  });

  it('is nothing where there is none', () => {
    expect(found(muxFacts(), 'leader')).toEqual([]);
  });
});

describe('members', () => {
  it('are more than one, or flows have no second copy', () => {
    expect(about('mux-members', { members: 1, peers: [] })).toEqual([
      {
        severity: 'warning',
        message:
          'this is the only mux: what is recorded of flows has no second copy, and no other mux takes over where it fails',
      },
    ]);
  });

  it('are told from those that are none', () => {
    expect(about('mux-members', { isMember: false })).toMatchObject([
      { severity: 'warning', message: 'mux1 is no member of the cluster: it decides about no flow' },
    ]);
  });

  it('have a leader', () => {
    expect(about('leader', { leader: undefined })).toMatchObject([{ severity: 'error' }]);
  });

  it('decide only before their deadline', () => {
    expect(about('mux-deadline', { hasDeadlinePassed: true })).toMatchObject([{ severity: 'error' }]);
  });
});

describe('other muxes', () => {
  it.each([
    [undefined, 'has never answered'],
    [2_500, 'has not answered for 2.5 s'],
  ])('that are silent (%s) are an error with what to look at', (heardAgoMs, words) => {
    expect(about('mux-heard', { peers: [{ ...MUX2, heardAgoMs }] })).toEqual([
      {
        severity: 'error',
        message: `mux2 (10.0.0.12) ${words}: it is down, or UDP port 7445 is blocked on the way there or back (here: 7445)`,
        cure: 'ping -c 3 10.0.0.12; tcpdump -ni any udp port 7445 or udp port 7445; nft list ruleset',
      },
    ]);
  });

  it('are reached over paths that take an ask: 84 bytes more than a packet over IPv4, 104 over IPv6', () => {
    const at = (mtuBytes: number, version: 4 | 6) =>
      about('mux-room', { peers: [{ ...MUX2, version, way: known({ ...PATH, mtuBytes }) }] })[0]?.severity;
    expect([at(1_584, 4), at(1_583, 4), at(1_604, 6), at(1_603, 6)]).toEqual([
      'ok',
      'warning',
      'ok',
      'warning',
    ]);
    expect(about('mux-room', { peers: [{ ...MUX2, way: known({ ...PATH, mtuBytes: 1_500 }) }] })).toEqual([
      {
        severity: 'warning',
        message:
          'packets of 1500 bytes need 1584 to be asked about at mux2, and the path takes 1500: large packets of slots that ' +
          'move go unrecorded, and hold their change',
        cure: 'ip link set dev eth0 mtu 1584',
      },
    ]);
  });

  it('have a route', () => {
    const way = known({ kind: 'none' as const, reason: 'ENETUNREACH' });
    expect(about('mux-room', { peers: [{ ...MUX2, way }] })).toEqual([
      { severity: 'error', message: 'there is no route to mux2: ENETUNREACH' },
    ]);
    expect(about('mux-room', { peers: [{ ...MUX2, way: unread }] })).toEqual([
      { severity: 'note', message: 'the path to mux2 cannot be read: the disk is on fire' },
    ]);
  });

  it('have the same time, or refuse each other', () => {
    const at = (timeAheadMs: number) => about('mux-time', { peers: [{ ...MUX2, timeAheadMs }] });
    expect(at(900)).toEqual([]);
    expect(at(-1_500)).toMatchObject([{ severity: 'warning' }]);
    expect(at(4_100)).toMatchObject([
      {
        severity: 'error',
        message:
          "the cluster's time at mux2 is 4.1 s ahead of that of this mux: they refuse each other's asks",
      },
    ]);
  });
});

describe('tables of flows', () => {
  it('have room', () => {
    const at = (used: number) => about('flow-table', { tables: { flows: { used, max: 1_000 } } })[0];
    expect(at(749)).toEqual({ severity: 'ok', message: 'flows: 75 % of 1000 entries are used' });
    expect(at(750)).toMatchObject({
      severity: 'warning',
      cure: expect.stringContaining('flowTable.entries'),
    });
    expect(at(950)).toMatchObject({ severity: 'error' });
  });
});

describe('a change under way', () => {
  const CHANGE: ChangeFacts = {
    id: 'web@5',
    step: 'commit',
    forMs: 60_000,
    lastsMs: 66_000,
    windowMs: 66_000,
    slots: 16,
    withoutBackup: 0,
    copying: [],
    unrecorded: [],
    oldFlows: 0,
    waitsFor: ['until each old flow has sent a packet, or ended'],
  };
  const of = (check: string, changes: Partial<ChangeFacts> = {}) =>
    about(check, { changes: [{ ...CHANGE, ...changes }] });

  it('is fine as long as it takes what it should', () => {
    expect(of('change')).toEqual([
      { severity: 'ok', message: '16 slots of change web@5 are at step commit' },
    ]);
    expect(of('change', { forMs: 132_000 })).toMatchObject([{ severity: 'ok' }]);
    for (const check of ['chain-backup', 'flow-copy', 'change-held']) expect(of(check), check).toEqual([]);
  });

  it('that lasts twice as long is said to, with what it waits for', () => {
    expect(of('change', { forMs: 132_001 })).toEqual([
      {
        severity: 'warning',
        message:
          '16 slots of change web@5 have been at step commit for 132.0 s, where it takes 66.0 s; it waits until each old flow has sent a packet, or ended',
        cure: 'holdfast changes --watch; holdfast nodes list',
      },
    ]);
    // A hold of nothing still needs barriers.
    expect(of('change', { step: 'track', lastsMs: 0, forMs: 9_000 })).toMatchObject([{ severity: 'ok' }]);
  });

  it('whose old flows have not ended is worth knowing', () => {
    expect(of('change', { step: 'settle', forMs: 900_000, oldFlows: 2 })).toMatchObject([
      {
        severity: 'note',
        message: '16 slots of change web@5 are tracked until 2 old flows on former backends have ended',
      },
    ]);
    expect(of('change', { step: 'settle', forMs: 900_000 })).toMatchObject([{ severity: 'warning' }]);
  });

  it('needs a backup of each slot', () => {
    expect(of('chain-backup', { withoutBackup: 3 })).toMatchObject([
      { severity: 'error', message: expect.stringMatching(/^3 of 16 slots of change web@5 have no backup/) },
    ]);
    expect(about('chain-backup', { members: 1, changes: [{ ...CHANGE, withoutBackup: 3 }] })).toEqual([]);
  });

  it('needs its copies to end', () => {
    const at = (forMs: number) => of('flow-copy', { copying: [{ name: 'mux2', forMs }] });
    expect(at(30_000)).toEqual([]);
    expect(at(31_000)).toMatchObject([
      { severity: 'error', message: expect.stringContaining('mux2 has been copying flows of change web@5') },
    ]);
  });

  it('is held by packets that nobody recorded, while its window lasts', () => {
    const at = (agoMs: number, step: ChangeFacts['step'] = 'commit') =>
      of('change-held', { step, unrecorded: [{ name: 'mux2', agoMs }] });
    expect(at(2_000)).toMatchObject([
      { severity: 'warning', message: expect.stringContaining('the last 2.0 s ago') },
    ]);
    expect(at(66_000)).toEqual([]);
    expect(at(2_000, 'settle')).toEqual([]);
  });

  it('goes without a mux that is past its deadline', () => {
    expect(about('mux-deadline', { peers: [{ ...MUX2, isPastDeadline: true }] })).toMatchObject([
      { severity: 'error', message: expect.stringMatching(/^mux2 is past its deadline/) },
    ]);
  });
});

describe('keys', () => {
  it('are the same at all muxes, or soon will be', () => {
    const at = (forMs: number) =>
      about('mux-keys', { keys: { step: 5, lacking: [{ name: 'mux2', forMs }] } });
    expect(at(10_000)).toMatchObject([{ severity: 'ok' }]);
    expect(at(11_000)).toEqual([
      {
        severity: 'error',
        message: 'mux2 has older keys than the others (step 5) for 11.0 s: the change of keys waits',
        cure: 'on mux2: holdfast status; journalctl -u holdfastd',
      },
    ]);
  });
});
