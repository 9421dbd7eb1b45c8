// How routers know a mux, and what is said where that is not as it should be.
import { describe, expect, it } from 'vitest';
import type { RouteFacts } from '../../../control/doctor/core/facts.ts';
import { found, muxFacts } from './lib/facts.ts';

const UP = { name: 'router4', state: 'Established', exported: 2 };
const BFD = { peer: '10.0.0.1', interface: 'eth0', state: 'Up', timeoutMs: 300 };
const BIRD = { state: 'up', sessions: [UP], bfd: [BFD] } as const;
const ANNOUNCED: RouteFacts = {
  mode: 'bird',
  announced: 'normal',
  addresses: ['192.0.2.1', '2001:db8::1'],
  inEffect: true,
  supervised: true,
  bird: BIRD,
};

const about = (check: string, changes: Partial<RouteFacts> = {}) =>
  found(muxFacts({ routes: { ...ANNOUNCED, ...changes } }), check).map(({ severity, message }) => [
    severity,
    message,
  ]);

describe('routes with which nothing is wrong', () => {
  it('are said to be fine', () => {
    expect(about('routes')).toEqual([['ok', '2 service addresses are announced']]);
    expect(about('bgp')).toEqual([['ok', '1 BGP sessions are established']]);
    expect(about('bfd')).toEqual([['ok', '1 BFD sessions are up']]);
    expect(about('supervisor')).toEqual([
      ['ok', 'holdfast-supervisor would withdraw the routes of a dead daemon'],
    ]);
  });

  it('are no subject on a backend, or while no daemon runs', () => {
    expect(found(muxFacts({ roles: ['backend'], routes: ANNOUNCED }), 'routes')).toEqual([]);
    expect(found(muxFacts({}), 'routes')).toEqual([]);
  });
});

describe('static routes', () => {
  it('are noted with what is lost', () => {
    expect(about('routes', { mode: 'static' })).toEqual([
      [
        'note',
        'routers have static routes to this mux: they send to it whether or not it is there, and nothing withdraws it when it fails, hangs or is drained',
      ],
    ]);
    expect(about('bgp', { mode: 'static' })).toEqual([]);
  });
});

describe('routes by BIRD', () => {
  it.each<[string, Partial<RouteFacts>, string, string[]]>([
    [
      'bird',
      { bird: { ...BIRD, state: 'failed', error: 'BIRD does not run' } },
      'BIRD does not answer',
      ['error', 'BIRD cannot be asked: BIRD does not run'],
    ],
    [
      'routes',
      { inEffect: false },
      'BIRD has others',
      ['error', 'BIRD does not have the routes that it is to have'],
    ],
    [
      'routes',
      { announced: 'withdrawn' },
      'they are withdrawn',
      ['warning', 'this mux announces nothing: it is no member, or drained'],
    ],
    [
      'routes',
      { announced: 'lastResort' },
      'they are the last resort',
      [
        'warning',
        'this mux announces as the last resort: it leaves, or it hears neither the store nor another mux',
      ],
    ],
    [
      'bgp',
      { bird: { ...BIRD, sessions: [] } },
      'there is no session',
      ['error', 'BIRD has no BGP session, so no router hears of this mux'],
    ],
    [
      'bgp',
      { bird: { ...BIRD, sessions: [UP, { name: 'b', state: 'Active', detail: 'Connection refused' }] } },
      'one of two sessions is down',
      ['warning', 'BGP session b is Active: Connection refused'],
    ],
    [
      'bgp',
      { bird: { ...BIRD, sessions: [{ name: 'b', state: 'Idle' }] } },
      'all are down',
      ['error', 'BGP session b is Idle'],
    ],
    [
      'bgp',
      { bird: { ...BIRD, sessions: [{ ...UP, exported: 0 }] } },
      'a session sends nothing',
      ['warning', 'BGP session router4 sends no route: its export filter lets none of Holdfast through'],
    ],
    [
      'bfd',
      { bird: { ...BIRD, bfd: [] } },
      'there is no BFD',
      [
        'warning',
        'BIRD has no BFD session: routers send to a mux that hangs until the hold time of BGP has passed',
      ],
    ],
    [
      'bfd',
      { bird: { ...BIRD, bfd: [{ ...BFD, state: 'Down' }] } },
      'BFD is down',
      [
        'warning',
        'BFD to 10.0.0.1 on eth0 is Down: the router finds a mux that hangs by the hold time of BGP alone',
      ],
    ],
    [
      'bfd',
      { bird: { ...BIRD, bfd: [{ ...BFD, timeoutMs: 900 }] } },
      'BFD is slow',
      ['note', 'BFD to 10.0.0.1 takes 900 ms to find a mux that hangs'],
    ],
    [
      'supervisor',
      { supervised: false },
      'nobody watches',
      ['error', 'nobody would withdraw the routes of this mux if its daemon died'],
    ],
  ])('%s: where %j', (check, changes, _, expected) => {
    expect(about(check, changes)).toEqual([expected]);
  });
});
