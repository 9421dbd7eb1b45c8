import { describe, expect, it } from 'vitest';
import type { BackendFacts } from '../../../control/doctor/core/facts.ts';
import { backend, type Changes, ETH0, found, known, muxFacts } from './lib/facts.ts';

const XDP = { native: true, redirect: true, takesRedirected: true };

type Row = [
  name: string,
  check: string,
  backends: BackendFacts[],
  expected: ReturnType<typeof found>,
  more?: Changes,
];

const none = (address: string, reason: string) =>
  backend(address, {}, { way: known({ kind: 'none', reason }) });

const ROWS: Row[] = [
  ['no backends', 'backend-route', [], [{ severity: 'note', message: 'the cluster has no backends yet' }]],
  [
    'no route',
    'backend-route',
    [none('10.1.0.1', 'unreachable'), backend('10.0.0.2'), none('10.1.0.2', 'unreachable')],
    [
      {
        severity: 'error',
        message: 'there is no route to 10.1.0.1 and 10.1.0.2 (unreachable)',
        cure: 'ip route add 10.1.0.1 via GATEWAY',
      },
      { severity: 'ok', message: 'there are routes to 1 backend' },
    ],
  ],
  [
    'a backend that is the mux itself',
    'backend-route',
    [backend('10.0.0.1', {}, { way: known({ kind: 'local' }) })],
    [
      {
        severity: 'error',
        message:
          '10.0.0.1 is an address of this host: a mux cannot send to itself, so backends must be other hosts',
      },
    ],
  ],
  [
    'a gateway that does not answer',
    'backend-next-hop',
    [
      backend('10.1.0.1', { resolved: known(false) }),
      backend('10.1.0.2', { resolved: known(false) }),
      backend('10.0.0.2', { nextHop: '10.0.0.2' }),
    ],
    [
      {
        severity: 'error',
        message: '10.0.0.254, the next hop of 10.1.0.1 and 10.1.0.2, does not answer on eth0',
        cure: 'ping -c 3 -I eth0 10.0.0.254',
      },
    ],
  ],
  [
    'a backend on the link that does not answer',
    'backend-next-hop',
    [backend('10.0.0.2', { nextHop: '10.0.0.2', resolved: known(false) })],
    [
      {
        severity: 'error',
        message: '10.0.0.2 does not answer on eth0',
        cure: 'ping -c 3 -I eth0 10.0.0.2',
      },
    ],
  ],
  [
    'an interface without room for tunnels: the cure is one for both',
    'backend-mtu',
    [
      backend('10.0.0.2', { mtuBytes: 1500, interfaceMtuBytes: 1500 }),
      backend('2001:db8::2', { mtuBytes: 1500, interfaceMtuBytes: 1500 }, { outerBytes: 48 }),
    ],
    [
      {
        severity: 'warning',
        message:
          'packets of clients above 1480 bytes do not fit on the way to 10.0.0.2 (1500 bytes, of which the tunnel ' +
          'takes 20) and are answered with Packet Too Big',
        cure: 'ip link set dev eth0 mtu 1548',
      },
      {
        severity: 'warning',
        message:
          'packets of clients above 1452 bytes do not fit on the way to 2001:db8::2 (1500 bytes, of which the tunnel ' +
          'takes 48) and are answered with Packet Too Big',
        cure: 'ip link set dev eth0 mtu 1548',
      },
    ],
  ],
  [
    'a route that says less than its interface',
    'backend-mtu',
    [backend('10.0.0.2', { mtuBytes: 1400 })],
    [
      {
        severity: 'warning',
        message:
          'packets of clients above 1380 bytes do not fit on the way to 10.0.0.2 (1400 bytes, of which the tunnel ' +
          'takes 20) and are answered with Packet Too Big; the route says so',
        cure: 'ip route replace 10.0.0.2 via 10.0.0.254 dev eth0 mtu 1520',
      },
    ],
  ],
  [
    'a backend that is configured so',
    'backend-mtu',
    [backend('10.0.0.2', {}, { mtuBytes: 1500 })],
    [
      {
        severity: 'warning',
        message:
          'packets of clients above 1480 bytes do not fit on the way to 10.0.0.2 (1500 bytes, of which the tunnel ' +
          "takes 20) and are answered with Packet Too Big; the backend's mtuBytes says so",
      },
    ],
  ],
  [
    'just enough room',
    'backend-mtu',
    [backend('10.0.0.2', { mtuBytes: 1520 })],
    [{ severity: 'ok', message: 'packets of up to 1500 bytes fit on the way to 1 backend' }],
  ],
  [
    'an exit that does not take redirected frames',
    'redirect',
    [backend('10.0.0.2', { interface: 'eth1' })],
    [
      {
        interface: 'eth1',
        severity: 'error',
        message:
          'frames that come in by eth0 are redirected to eth1, which does not take them; most drivers do only once a ' +
          'program is attached there too',
        cure: 'holdfast attach eth1',
      },
    ],
    { exits: new Map([['eth1', known({ ...XDP, takesRedirected: false })]]) },
  ],
  [
    'an exit that takes redirected frames',
    'redirect',
    [backend('10.0.0.2', { interface: 'eth1' })],
    [
      {
        interface: 'eth1',
        severity: 'ok',
        message: 'frames that come in by eth0 are redirected to eth1, which takes them',
      },
    ],
    { exits: new Map([['eth1', known(XDP)]]) },
  ],
  [
    'an exit of an old kernel',
    'redirect',
    [backend('10.0.0.2', { interface: 'eth1' })],
    [
      {
        interface: 'eth1',
        severity: 'note',
        message:
          'frames that come in by eth0 are redirected to eth1; this kernel does not tell whether it takes them',
      },
    ],
    { exits: new Map([['eth1', known(undefined)]]) },
  ],
  [
    'an entrance that is not there',
    'redirect',
    [backend('10.0.0.2', { interface: 'eth0' })],
    [{ interface: 'eth0', severity: 'ok', message: '1 backend reached over eth0 itself' }],
    { interfaces: [ETH0, { ...ETH0, name: 'eth9', link: known(undefined) }] },
  ],
];

describe('the ways to backends', () => {
  it.each(ROWS)('%s', (_, check, backends, expected, more = {}) => {
    expect(found(muxFacts({ backends, ...more }), check)).toEqual(expected);
  });

  it('share a finding, however many backends there are', () => {
    const many = Array.from({ length: 4_000 }, (_, n) =>
      backend(`10.2.${n >> 8}.${n & 255}`, { mtuBytes: 1500, interfaceMtuBytes: 1500 }),
    );
    const findings = found(muxFacts({ backends: many }), 'backend-mtu');
    expect(findings).toHaveLength(1);
    expect(findings[0]!.message).toContain('on the way to 10.2.0.0, 10.2.0.1, 10.2.0.2 and 3997 more');
  });
});
