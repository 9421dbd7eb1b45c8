import { describe, expect, it } from 'vitest';
import type { InterfaceFacts } from '../../../control/doctor/core/facts.ts';
import { findings } from '../../../control/doctor/findings_core.ts';
import { type Changes, ETH0, found, known, muxFacts, withLink } from './lib/facts.ts';

type Row = [
  name: string,
  check: string,
  it: InterfaceFacts,
  expected: { severity: string; message: string; cure?: string }[],
  more?: Changes,
];

const GENERIC = [{ mode: 'generic', programId: 9, name: 'mux', own: true }] as const;
const NO_XDP = { native: false, redirect: false, takesRedirected: false };

const ROWS: Row[] = [
  [
    'an interface that is not there',
    'interface',
    { ...ETH0, link: known(undefined) },
    [{ severity: 'error', message: 'there is no interface eth0; there are lo, eth0, eth1' }],
  ],
  [
    'loopback',
    'interface',
    withLink({ loopback: true, ethernet: false }),
    [{ severity: 'error', message: "eth0 is the loopback interface, which no client's packet enters" }],
  ],
  [
    'a tunnel device',
    'interface',
    withLink({ ethernet: false }),
    [{ severity: 'error', message: 'eth0 does not carry Ethernet frames, which the programs read' }],
  ],
  [
    'down',
    'interface',
    withLink({ up: false, carrier: false }),
    [{ severity: 'error', message: 'eth0 is down', cure: 'ip link set dev eth0 up' }],
  ],
  [
    'no cable',
    'interface',
    withLink({ carrier: false }),
    [{ severity: 'error', message: 'eth0 is up but has no carrier: cable, switch port or peer' }],
  ],
  [
    'a veth whose peer is elsewhere and down',
    'interface',
    withLink({ carrier: false, kind: 'veth' }),
    [{ severity: 'error', message: 'eth0 is up but has no carrier: its peer is down' }],
  ],
  [
    'a veth whose peer is here and down',
    'interface',
    withLink({ carrier: false, kind: 'veth', lower: 'veth1' }),
    [
      {
        severity: 'error',
        message: 'eth0 is up but has no carrier: is veth1 down?',
        cure: 'ip link set dev veth1 up',
      },
    ],
  ],
  [
    'a VLAN',
    'stacking',
    withLink({ kind: 'vlan', lower: 'eth1' }),
    [
      {
        severity: 'warning',
        message: 'eth0 is a vlan: programs run on it in generic mode only, so attach to eth1 instead',
        cure: 'holdfast attach eth1',
      },
    ],
  ],
  [
    'a bridge',
    'stacking',
    withLink({ kind: 'bridge', members: ['eth1', 'eth2'] }),
    [
      {
        severity: 'warning',
        message:
          'eth0 is a bridge: programs run on it in generic mode only, so attach to eth1 and eth2 instead',
        cure: 'holdfast attach eth1 && holdfast attach eth2',
      },
    ],
  ],
  [
    'a bridge without ports',
    'stacking',
    withLink({ kind: 'bridge' }),
    [
      {
        severity: 'warning',
        message:
          'eth0 is a bridge: programs run on it in generic mode only, so attach to the interface below instead',
      },
    ],
  ],
  [
    'a bond',
    'stacking',
    withLink({ kind: 'bond', members: ['eth1', 'eth2'] }),
    [
      {
        severity: 'note',
        message:
          'eth0 is a bond: the program runs natively if it does on every member (eth1 and eth2) and the mode ' +
          'allows it: not broadcast, balance-tlb or balance-alb, nor a hash by VLAN and source MAC address',
      },
    ],
  ],
  [
    'a member of a bond',
    'stacking',
    withLink({ master: { name: 'bond0', kind: 'bond' } }),
    [
      {
        severity: 'warning',
        message: 'eth0 is a member of the bond bond0: packets of the other members are not seen',
        cure: 'holdfast attach bond0',
      },
    ],
  ],
  [
    'a port of a bridge',
    'stacking',
    withLink({ master: { name: 'br0', kind: 'bridge' } }),
    [
      {
        severity: 'warning',
        message:
          'eth0 is a port of br0 (bridge): addresses and routes are those of br0, to which frames cannot be redirected',
        cure: 'ip link set dev eth0 nomaster',
      },
    ],
  ],
  [
    'a driver without native XDP',
    'xdp-driver',
    { ...withLink({ driver: 'e1000e' }), xdp: known(NO_XDP) },
    [
      {
        severity: 'warning',
        message:
          'the driver e1000e does not run XDP programs natively: only the generic mode is left, which is slow',
      },
    ],
  ],
  [
    'a driver without native XDP where it is asked for',
    'xdp-driver',
    { ...withLink({ driver: 'e1000e' }), xdp: known(NO_XDP) },
    [
      {
        severity: 'error',
        message: 'the driver e1000e does not run XDP programs natively, and xdpMode is native',
        cure: 'holdfast attach eth0 --mode generic',
      },
    ],
    { xdpMode: 'native' },
  ],
  [
    'a driver without native XDP where nobody wants it',
    'xdp-driver',
    { ...withLink({ driver: 'e1000e' }), xdp: known(NO_XDP) },
    [
      {
        severity: 'note',
        message: 'the driver e1000e does not run XDP programs natively; xdpMode is generic anyway',
      },
    ],
    { xdpMode: 'generic' },
  ],
  [
    'a driver that does not redirect',
    'xdp-driver',
    { ...ETH0, xdp: known({ ...NO_XDP, native: true }) },
    [
      {
        severity: 'warning',
        message:
          'the driver ice runs XDP programs natively, but does not redirect: backends must be reached over eth0 itself',
      },
    ],
  ],
  [
    'an old kernel and a driver of the table',
    'xdp-driver',
    { ...ETH0, xdp: known(undefined) },
    [{ severity: 'ok', message: 'the driver ice is known to run XDP programs natively' }],
  ],
  [
    'an old kernel and another driver',
    'xdp-driver',
    { ...withLink({ driver: 'e1000e' }), xdp: known(undefined) },
    [
      {
        severity: 'warning',
        message:
          'the driver e1000e is not among those known to run XDP programs natively: only the generic mode is left, ' +
          'which is slow',
      },
    ],
  ],
  [
    'nothing attached',
    'xdp-attached',
    { ...ETH0, programs: known([]) },
    [
      {
        severity: 'note',
        message: 'no XDP program is attached to eth0',
        cure: 'holdfast attach eth0',
      },
    ],
  ],
  [
    'ours in native mode',
    'xdp-attached',
    ETH0,
    [{ severity: 'ok', message: "Holdfast's program (id 7) is attached in native mode" }],
  ],
  [
    'ours in generic mode by choice',
    'xdp-attached',
    { ...ETH0, programs: known(GENERIC) },
    [
      {
        severity: 'note',
        message: "Holdfast's program (id 9) is attached in generic mode, as xdpMode says, and is slow",
      },
    ],
    { xdpMode: 'generic' },
  ],
  [
    'ours in generic mode although the driver could',
    'xdp-attached',
    { ...ETH0, programs: known(GENERIC) },
    [
      {
        severity: 'warning',
        message:
          "Holdfast's program (id 9) is attached in generic mode, which is slow, although the driver has the native one",
        cure: 'holdfast detach eth0 --yes && holdfast attach eth0 --mode native',
      },
    ],
  ],
  [
    'ours in generic mode because the driver cannot',
    'xdp-attached',
    { ...ETH0, programs: known(GENERIC), xdp: known(NO_XDP) },
    [
      {
        severity: 'warning',
        message: "Holdfast's program (id 9) is attached in generic mode, the only one that the driver allows",
      },
    ],
  ],
  [
    "somebody else's in generic mode",
    'xdp-attached',
    { ...ETH0, programs: known([{ mode: 'generic', programId: 31, name: 'xdp_filter', own: false }]) },
    [
      {
        severity: 'error',
        message:
          'another XDP program xdp_filter (id 31) is attached in generic mode and in the way; where it comes back ' +
          'or cannot be taken off, `bpftool link` and `bpftool prog show id 31` say whose it is',
        cure: 'ip link set dev eth0 xdpgeneric off',
      },
    ],
  ],
  [
    "somebody else's in native mode, without a name",
    'xdp-attached',
    { ...ETH0, programs: known([{ mode: 'native', programId: 31, name: '', own: false }]) },
    [
      {
        severity: 'error',
        message:
          'another XDP program (id 31) is attached in native mode and in the way; where it comes back or cannot be ' +
          'taken off, `bpftool link` and `bpftool prog show id 31` say whose it is',
        cure: 'ip link set dev eth0 xdpdrv off',
      },
    ],
  ],
  [
    'the largest MTU of one buffer',
    'mtu',
    { ...withLink({ mtuBytes: 3498 }), programs: known([]) },
    [{ severity: 'ok', message: 'frames of 3498 bytes fit one buffer (up to 3498)' }],
  ],
  [
    'jumbo frames',
    'mtu',
    { ...withLink({ mtuBytes: 9000 }), programs: known([]) },
    [
      {
        severity: 'error',
        message:
          'the MTU of 9000 is more than one XDP buffer holds (3498 bytes with pages of 4 KiB): drivers refuse the ' +
          'native mode',
        cure: 'ip link set dev eth0 mtu 3498',
      },
    ],
  ],
  [
    'jumbo frames in generic mode',
    'mtu',
    { ...withLink({ mtuBytes: 9000 }), programs: known([]) },
    [
      {
        severity: 'note',
        message:
          'the MTU of 9000 is more than one XDP buffer holds (3498 bytes with pages of 4 KiB); only the native mode minds',
      },
    ],
    { xdpMode: 'generic' },
  ],
  [
    'jumbo frames that the driver has accepted',
    'mtu',
    withLink({ mtuBytes: 9000 }),
    [
      {
        severity: 'ok',
        message:
          'the MTU of 9000 is more than one XDP buffer holds (3498 bytes with pages of 4 KiB), but the driver has ' +
          'accepted the program natively',
      },
    ],
  ],
];

describe('an interface', () => {
  it.each(ROWS)('%s', (_, check, eth0, expected, more = {}) => {
    expect(found(muxFacts({ interfaces: [eth0], ...more }), check)).toEqual(
      expected.map((it) => ({ interface: 'eth0', ...it })),
    );
  });

  it.each([
    ['is not there', { ...ETH0, link: known(undefined) }],
    ['is the loopback interface', withLink({ loopback: true, ethernet: false })],
    ['carries no Ethernet', withLink({ ethernet: false })],
  ])('that %s is not checked further', (_, eth0) => {
    const about = findings(muxFacts({ interfaces: [eth0], backends: [] })).filter((it) => it.interface);
    expect(about.map(({ check }) => check)).toEqual(['interface']);
  });
});
