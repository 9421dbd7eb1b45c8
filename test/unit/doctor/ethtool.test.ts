// Text as ethtool 6.1 prints it.
import { expect, it } from 'vitest';
import { parseOffloads, parseQueues, parseRings } from '../../../control/doctor/core/ethtool.ts';

it('reads offloads, indented ones and those that are fixed as well', () => {
  const text = `Features for eth0:
rx-checksumming: on [fixed]
tx-checksumming: on
\ttx-checksum-ipv4: off [fixed]
\ttx-checksum-ip-generic: on
large-receive-offload: on
rx-vlan-offload: off [requested on]
`;
  expect([...parseOffloads(text)]).toEqual([
    ['rx-checksumming', { on: true, fixed: true }],
    ['tx-checksumming', { on: true, fixed: false }],
    ['tx-checksum-ipv4', { on: false, fixed: true }],
    ['tx-checksum-ip-generic', { on: true, fixed: false }],
    ['large-receive-offload', { on: true, fixed: false }],
    ['rx-vlan-offload', { on: false, fixed: false }],
  ]);
});

it('tells the limits of queues from what is set', () => {
  const text = `Channel parameters for eth0:
Pre-set maximums:
RX:\t\tn/a
TX:\t\tn/a
Other:\t\t1
Combined:\t63
Current hardware settings:
RX:\t\tn/a
TX:\t\tn/a
Other:\t\t1
Combined:\t8
`;
  expect(parseQueues(text)).toEqual({ rx: 0, tx: 0, combined: 8, rxMax: 0, txMax: 0, combinedMax: 63 });
});

it('does not take mini and jumbo rings for the rings', () => {
  const text = `Ring parameters for eth0:
Pre-set maximums:
RX:\t\t4096
RX Mini:\t7
RX Jumbo:\t9
TX:\t\t2048
Current hardware settings:
RX:\t\t512
RX Mini:\t7
RX Jumbo:\t9
TX:\t\t256
RX Buf Len:\t\tn/a
TX Push:\toff
`;
  expect(parseRings(text)).toEqual({ rx: 512, rxMax: 4096, tx: 256, txMax: 2048 });
});

it('makes nothing of what it does not know', () => {
  expect(parseQueues('Channel parameters for eth0:\n')).toBeUndefined();
  expect(parseRings('')).toBeUndefined();
  expect(parseOffloads('no such device\n').size).toBe(0);
});
