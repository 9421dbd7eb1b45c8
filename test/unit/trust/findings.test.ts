// What holdfast doctor says of trust.
import { describe, expect, it } from 'vitest';
import type { Members } from '../../../control/api/schema.ts';
import { trustFindings } from '../../../control/node/trust/findings.ts';
import { MEMBERS } from '../api/lib/fake_trust.ts';

const NOW_MS = 1_767_225_600_000;
const DAY_MS = 86_400_000;
const found = (
  members: Partial<Members>,
  more: { api?: 'cluster' | 'own certificates'; madeMs?: number } = {},
) =>
  trustFindings({
    members: { ...MEMBERS, ...members },
    api: more.api ?? 'cluster',
    newestMadeAtMs: more.madeMs,
    nowMs: NOW_MS,
  }).map(({ check, severity }) => `${check} ${severity}`);
const node = MEMBERS.nodes[0]!;
const user = MEMBERS.users[0]!;
const token = {
  id: '00',
  state: 'open' as const,
  roles: ['mux'],
  createdAtMs: NOW_MS,
  expiresAtMs: NOW_MS + DAY_MS,
};

describe('findings of trust', () => {
  it('are none where all is well', () => expect(found({})).toEqual(['trust ok']));

  it.each<[string, string[], Parameters<typeof found>]>([
    [
      'a certificate that was not renewed',
      ['trust-certificate warning'],
      [{ nodes: [{ ...node, expiresAtMs: NOW_MS + DAY_MS }] }],
    ],
    ['one that has ended', ['trust-certificate error'], [{ nodes: [{ ...node, expiresAtMs: NOW_MS }] }]],
    [
      'a user whose certificate ends',
      ['trust-user note'],
      [{ users: [{ ...user, expiresAtMs: NOW_MS + DAY_MS }] }],
    ],
    [
      'a token that lies around',
      ['trust-token warning'],
      [{ tokens: [{ ...token, createdAtMs: NOW_MS - DAY_MS / 2 }] }],
    ],
    ['one that was used', ['trust ok'], [{ tokens: [{ ...token, createdAtMs: 0, state: 'used' }] }]],
    ['a fresh one', ['trust ok'], [{ tokens: [token] }]],
    [
      'two authorities',
      ['trust-authority warning'],
      [{ authority: { ...MEMBERS.authority!, isReplacing: true, waitsFor: ['user alice'] } }],
    ],
    [
      'an authority that ends',
      ['trust-authority warning'],
      [{ authority: { ...MEMBERS.authority!, expiresAtMs: NOW_MS + 100 * DAY_MS } }],
    ],
    ['a clock that is behind', ['trust-clock warning'], [{}, { madeMs: NOW_MS + 90_000 }]],
    ['clocks that are nearly alike', ['trust ok'], [{}, { madeMs: NOW_MS + 1_000 }]],
    ['other certificates on the network', ['trust-api note'], [{}, { api: 'own certificates' }]],
    ['a node that has not joined', ['trust-member warning'], [{ standing: 'alone' }]],
  ])('tell of %s', (_, expected, given) => expect(found(...given)).toEqual(expected));

  it('are none of a cluster without an authority', () => {
    const { authority: _, ...members } = MEMBERS;
    const question = { api: 'no', newestMadeAtMs: undefined, nowMs: NOW_MS } as const;
    expect(trustFindings({ ...question, members: { ...members, standing: 'alone' } })).toEqual([]);
  });
});
