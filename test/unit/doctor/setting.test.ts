import { describe, expect, it } from 'vitest';
import type { DefaultRoute, InterfaceFacts, SettingName } from '../../../control/doctor/core/facts.ts';
import { backend, backendFacts, type Changes, ETH0, found, known, muxFacts, settings } from './lib/facts.ts';

const withSettings = (changes: Partial<Record<SettingName, number>>, name = 'eth0'): InterfaceFacts => ({
  ...ETH0,
  name,
  settings: settings(changes),
});

const route = (changes: Partial<DefaultRoute> = {}): DefaultRoute => ({
  version: 4,
  interface: 'eth0',
  gateway: '10.0.0.254',
  mtuBytes: undefined,
  metric: undefined,
  advertised: false,
  multipath: false,
  ...changes,
});

type Row = [
  name: string,
  check: string,
  it: InterfaceFacts,
  expected: { severity: string; message: string; cure?: string }[],
  more?: Changes,
];

const OFF4 = 'IPv4 forwarding is off, so packets for backends whose next hop is not known are dropped';
const OFF6 = 'IPv6 forwarding is off, so packets for backends whose next hop is not known are dropped';
const SIX = [backend('2001:db8::2', { nextHop: '2001:db8::2', resolved: known(false) })];
const IGNORED = 'router advertisements are ignored because IPv6 forwarding is on (accept_ra = 1)';

const MUX_ROWS: Row[] = [
  [
    'forwarding off, next hops known',
    'forwarding4',
    withSettings({ forwarding4: 0 }),
    [
      {
        severity: 'note',
        message: `${OFF4}; the next hops of 1 backend are known now`,
        cure: 'sysctl -w net.ipv4.conf.eth0.forwarding=1',
      },
    ],
  ],
  [
    'forwarding off, a next hop unknown',
    'forwarding4',
    withSettings({ forwarding4: 0 }),
    [
      {
        severity: 'warning',
        message: `${OFF4}; now 10.0.0.3`,
        cure: 'sysctl -w net.ipv4.conf.eth0.forwarding=1',
      },
    ],
    { backends: [backend('10.0.0.2'), backend('10.0.0.3', { resolved: known(false) })] },
  ],
  ['forwarding of a version that no backend has', 'forwarding6', withSettings({ forwarding6: 0 }), []],
  [
    'IPv6 forwarding off where advertisements are used',
    'forwarding6',
    withSettings({ forwarding6: 0, acceptRa: 1 }),
    [
      {
        severity: 'warning',
        message: `${OFF6}; now 2001:db8::2`,
        cure: 'sysctl -w net.ipv6.conf.eth0.accept_ra=2 net.ipv6.conf.eth0.forwarding=1',
      },
    ],
    { backends: SIX },
  ],
  [
    'a setting of an interface with a dot in its name',
    'forwarding4',
    withSettings({ forwarding4: 0 }, 'eth0.5'),
    [
      {
        severity: 'note',
        message: `${OFF4}; the next hops of 1 backend are known now`,
        cure: 'sysctl -w net/ipv4/conf/eth0.5/forwarding=1',
      },
    ],
  ],
  [
    'advertisements ignored, and the default route from one',
    'accept-ra',
    withSettings({ acceptRa: 1 }),
    [
      {
        severity: 'warning',
        message: `${IGNORED}: the default route came from one and will expire`,
        cure: 'sysctl -w net.ipv6.conf.eth0.accept_ra=2',
      },
    ],
    { host: { defaultRoutes: known([route({ version: 6, gateway: 'fe80::1', advertised: true })]) } },
  ],
  [
    'advertisements ignored',
    'accept-ra',
    withSettings({ acceptRa: 1 }),
    [{ severity: 'note', message: IGNORED, cure: 'sysctl -w net.ipv6.conf.eth0.accept_ra=2' }],
  ],
  [
    'advertisements used although forwarding',
    'accept-ra',
    withSettings({ acceptRa: 2 }),
    [{ severity: 'ok', message: 'router advertisements are used, forwarding or not' }],
  ],
  [
    'advertisements used while not forwarding',
    'accept-ra',
    withSettings({ acceptRa: 1, forwarding6: 0 }),
    [{ severity: 'ok', message: 'router advertisements are used while IPv6 forwarding is off' }],
  ],
  [
    'IPv6 off where a backend has it',
    'ipv6',
    withSettings({ disableIpv6: 1 }),
    [
      {
        severity: 'error',
        message: 'IPv6 is off on the interface, and services or backends have IPv6 addresses',
        cure: 'sysctl -w net.ipv6.conf.eth0.disable_ipv6=0',
      },
    ],
    { backends: SIX },
  ],
  ['IPv6 off where nobody has it', 'ipv6', withSettings({ disableIpv6: 1 }), []],
];

const SEGMENT = {
  services: [
    {
      address: '10.0.0.80',
      version: 4,
      local: known(true),
      on: known([{ interface: 'lo', prefixLength: 32 }]),
    } as const,
  ],
};
const elsewhere = { host: { defaultRoutes: known([route({ interface: 'eth1' })]) } };

const BACKEND_ROWS: Row[] = [
  [
    'strict, and the way back is another',
    'rp-filter',
    withSettings({ rpFilter: 1 }),
    [
      {
        severity: 'error',
        message:
          'unwrapped packets arrive on eth0 from clients to whom the way goes out of eth1: the strict check drops ' +
          'them (rp_filter: all 0, eth0 1)',
        cure: 'sysctl -w net.ipv4.conf.eth0.rp_filter=2',
      },
    ],
    elsewhere,
  ],
  [
    'strict by `all` alone',
    'rp-filter',
    withSettings({ rpFilterAll: 1 }),
    [
      {
        severity: 'note',
        message:
          'unwrapped packets are dropped where the way back to the client does not go out of eth0 ' +
          '(rp_filter: all 1, eth0 0); the default route does',
        cure: 'sysctl -w net.ipv4.conf.eth0.rp_filter=2',
      },
    ],
  ],
  [
    'loose, which is more than the strict of `all`',
    'rp-filter',
    withSettings({ rpFilterAll: 1, rpFilter: 2 }),
    [{ severity: 'ok', message: 'the reverse path is checked loosely (rp_filter: all 1, eth0 2)' }],
    elsewhere,
  ],
  [
    'loose without a default route',
    'rp-filter',
    withSettings({ rpFilter: 2 }),
    [
      {
        severity: 'warning',
        message:
          'packets of clients to whom there is no route are dropped (rp_filter: all 0, eth0 2), and there is no ' +
          'default route',
      },
    ],
    { host: { defaultRoutes: known([route({ version: 6 })]) } },
  ],
  [
    'a service address of the segment',
    'arp',
    withSettings({ arpIgnoreAll: 1 }),
    [
      {
        severity: 'warning',
        message:
          '10.0.0.80 is of the segment that eth0 is on, and this host answers for it or shows it ' +
          '(arp_ignore 1, arp_announce 0): neighbours then pass by the muxes',
        cure: 'sysctl -w net.ipv4.conf.eth0.arp_ignore=1 net.ipv4.conf.eth0.arp_announce=2',
      },
    ],
    SEGMENT,
  ],
  [
    'a service address of the segment that is kept quiet',
    'arp',
    withSettings({ arpIgnore: 1, arpAnnounceAll: 2 }),
    [{ severity: 'ok', message: '10.0.0.80 is of the segment, and this host does not answer for it' }],
    SEGMENT,
  ],
];

const judged = (rows: Row[], facts: typeof muxFacts) =>
  it.each(rows)('%s', (_, check, eth0, expected, more = {}) => {
    expect(found(facts({ interfaces: [eth0], ...more }), check)).toEqual(
      expected.map((it) => ({ interface: eth0.name, ...it })),
    );
  });

describe('settings of a mux', () => {
  judged(MUX_ROWS, muxFacts);

  it('leaves the choice among muxes to whoever runs the routers', () => {
    expect(found(muxFacts({ host: { multipathHash: { 4: known(0), 6: known(1) } } }), 'ecmp-hash')).toEqual([
      {
        severity: 'note',
        message:
          'net.ipv4.fib_multipath_hash_policy is 0 here, net.ipv6.fib_multipath_hash_policy 1: not this host but ' +
          'the routers choose among muxes, and Linux routers with 0 there send all connections of a client to one; ' +
          'on them it should be 1',
      },
    ]);
  });

  it('keep the ports of health checks free, with what is reserved already', () => {
    const probePorts = known({
      ports: { from: 61_000, to: 65_534 },
      mayBeOwn: true,
      local: { from: 1_024, to: 65_535 },
      reserved: [{ from: 8_080, to: 8_080 }],
    });
    expect(found(muxFacts({ host: { probePorts } }), 'health-ports')).toEqual([
      {
        severity: 'warning',
        message:
          'pools cannot be checked through the tunnel: connections of this host may have the ports 61000-65534 of ' +
          'checks (net.ipv4.ip_local_port_range = 1024 65535)',
        cure: 'sysctl -w net.ipv4.ip_local_reserved_ports=8080-8080,61000-65534',
      },
    ]);
    expect(found(backendFacts({ host: { probePorts } }), 'health-ports')).toEqual([]);
  });
});

describe('settings of a backend', () => {
  judged(BACKEND_ROWS, backendFacts);
});
