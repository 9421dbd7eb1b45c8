import { describe, expect, it } from 'vitest';
import type { InterfaceFacts, Offload } from '../../../control/doctor/core/facts.ts';
import { ETH0, FIXED_ON, found, known, muxFacts, ON, withLink } from './lib/facts.ts';

const withOffload = (name: string, offload: Offload, base: InterfaceFacts = ETH0): InterfaceFacts => ({
  ...base,
  programs: known([]),
  offloads: known(new Map([[name, offload]])),
});

const QUEUES = { rx: 0, tx: 0, combined: 8, rxMax: 0, txMax: 0, combinedMax: 16 };
const withQueues = (changes: Partial<typeof QUEUES>, base: InterfaceFacts = ETH0): InterfaceFacts => ({
  ...base,
  queues: known({ ...QUEUES, ...changes }),
});

const RINGS = { rx: 512, rxMax: 8160, tx: 512, txMax: 8160 };

type Row = [
  name: string,
  check: string,
  it: InterfaceFacts,
  expected: { severity: string; message: string; cure?: string },
];

const LRO = 'large receive offload joins packets before XDP sees them: what comes out is too big to forward';

const ROWS: Row[] = [
  [
    'LRO on',
    'lro',
    withOffload('large-receive-offload', ON),
    { severity: 'error', message: LRO, cure: 'ethtool -K eth0 lro off' },
  ],
  [
    'LRO that cannot be switched off',
    'lro',
    withOffload('large-receive-offload', FIXED_ON),
    { severity: 'error', message: LRO },
  ],
  [
    'hardware GRO',
    'gro-hw',
    withOffload('rx-gro-hw', ON),
    {
      severity: 'warning',
      message:
        'hardware GRO joins packets before XDP sees them; some drivers refuse the native mode because of it',
      cure: 'ethtool -K eth0 rx-gro-hw off',
    },
  ],
  [
    'hardware GRO of a virtual machine',
    'gro-hw',
    withOffload('rx-gro-hw', FIXED_ON, withLink({ driver: 'virtio_net' })),
    {
      severity: 'warning',
      message:
        'hardware GRO is on and cannot be switched off here; the native mode may be refused: the hypervisor must let ' +
        'the guest switch it off (VIRTIO_NET_F_CTRL_GUEST_OFFLOADS), or off itself',
    },
  ],
  [
    'hardware GRO with the program running',
    'gro-hw',
    { ...withOffload('rx-gro-hw', FIXED_ON), programs: ETH0.programs },
    { severity: 'ok', message: 'hardware GRO is on, but the driver has accepted the program natively' },
  ],
  [
    'VLAN tags taken off, and no VLANs',
    'vlan-offload',
    withOffload('rx-vlan-offload', ON),
    {
      severity: 'note',
      message: 'VLAN tags are taken off before XDP sees them, which matters where there are any',
      cure: 'ethtool -K eth0 rx-vlan-offload off',
    },
  ],
  [
    'VLAN tags taken off of VLANs',
    'vlan-offload',
    withOffload(
      'rx-vlan-offload',
      ON,
      withLink({ vlans: ['eth0.5', 'eth0.6', 'eth0.7', 'eth0.8', 'eth0.9'] }),
    ),
    {
      severity: 'warning',
      message:
        'VLAN tags are taken off before XDP sees them, and eth0 has VLANs (eth0.5, eth0.6, eth0.7 and 2 more): frames ' +
        'leave without the tag that they came with',
      cure: 'ethtool -K eth0 rx-vlan-offload off',
    },
  ],
  [
    'a veth whose peer is elsewhere',
    'checksums',
    withLink({ kind: 'veth' }),
    {
      severity: 'note',
      message:
        'over a veth, packets of local senders arrive with checksums unfinished, and XDP forwards them so; the ' +
        "peer's transmit checksums must be off",
      cure: 'ethtool -K PEER tx off',
    },
  ],
  ['enough queues', 'queues', withQueues({}), { severity: 'ok', message: '8 receive queues for 8 CPUs' }],
  [
    'fewer queues than CPUs',
    'queues',
    withQueues({ combined: 4 }),
    {
      severity: 'note',
      message: '4 receive queues for 8 CPUs, of 16 possible: the other CPUs forward nothing',
      cure: 'ethtool -L eth0 combined 8',
    },
  ],
  [
    'one queue where there could be more',
    'queues',
    withQueues({ combined: 0, rx: 1, rxMax: 4, combinedMax: 0 }),
    {
      severity: 'warning',
      message: '1 receive queue for 8 CPUs, of 4 possible: the other CPUs forward nothing',
      cure: 'ethtool -L eth0 rx 4',
    },
  ],
  [
    'as many queues as there can be',
    'queues',
    withQueues({ combined: 2, combinedMax: 2 }),
    {
      severity: 'note',
      message: '2 receive queues for 8 CPUs, the most that the driver has: the other CPUs forward nothing',
    },
  ],
  [
    'ena with every channel in use',
    'queues',
    withQueues({ combined: 16 }, withLink({ driver: 'ena' })),
    {
      severity: 'error',
      message: '16 queues of 16: ena refuses the native mode above half of them',
      cure: 'ethtool -L eth0 combined 8',
    },
  ],
  [
    'ena with half of its channels',
    'queues',
    withQueues({ combined: 4, combinedMax: 8 }, withLink({ driver: 'ena' })),
    {
      severity: 'note',
      message: '4 receive queues for 8 CPUs, the most that the driver has: the other CPUs forward nothing',
    },
  ],
  [
    'a driver without queues',
    'queues',
    { ...ETH0, queues: known(undefined) },
    { severity: 'note', message: 'the driver does not tell its number of queues' },
  ],
  [
    'small rings',
    'rings',
    { ...ETH0, rings: known(RINGS) },
    {
      severity: 'note',
      message:
        'the receive rings hold 512 frames, the transmit rings 512; bursts may be lost (up to 8160 are possible)',
      cure: 'ethtool -G eth0 rx 1024',
    },
  ],
  [
    'small rings that cannot be larger',
    'rings',
    { ...ETH0, rings: known({ rx: 256, rxMax: 256, tx: 256, txMax: 256 }) },
    {
      severity: 'ok',
      message: 'the receive rings hold 256 frames, the transmit rings 256, the most that the driver has',
    },
  ],
  [
    'a driver without rings',
    'rings',
    { ...ETH0, rings: known(undefined) },
    { severity: 'note', message: 'the driver does not tell the sizes of its rings' },
  ],
];

describe('offloads, queues and rings', () => {
  it.each(ROWS)('%s', (_, check, eth0, expected) => {
    expect(found(muxFacts({ interfaces: [eth0] }), check)).toEqual([{ interface: 'eth0', ...expected }]);
  });
});
