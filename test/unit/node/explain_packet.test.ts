import { describe, expect, it } from 'vitest';
import { type ClusterState, EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import type { PacketExplanation } from '../../../control/dataplane/explain.ts';
import { arrivalOf, explanationInWords, frameOfRequest } from '../../../control/node/explain_packet.ts';

const state: ClusterState = {
  ...EMPTY_STATE,
  pools: new Map([['p', { name: 'p', slots: 65_537, id: 3, modRevision: 1 }]]),
  services: new Map([
    [
      'web',
      { name: 'web', addresses: ['2001:DB8::10'], protocol: 'tcp', port: 80, pool: 'p', modRevision: 1 },
    ],
  ]),
  backends: new Map([
    [
      'p/b1',
      {
        pool: 'p',
        name: 'b1',
        address: '198.18.1.1',
        weight: 1,
        encap: 'gue',
        index: 7,
        generation: 0,
        modRevision: 1,
      },
    ],
  ]),
};
const around = { state, interfaceName: (ifindex: number) => (ifindex === 2 ? 'eth0' : undefined) };
const nextHop = { ifindex: 2, destinationMac: '02:00:00:00:00:01', sourceMac: '02:00:00:00:00:02' };

const forwarded: PacketExplanation = {
  verdict: 'FORWARD',
  reason: 'FORWARD',
  meaning: 'It goes to the backend that the slot of its flow has',
  service: { address: '2001:db8::10', protocol: 'tcp', port: 80 },
  rule: 'port',
  flowKey: '5-tuple',
  hash: 0xabcn,
  poolId: 3,
  slot: 45_309,
  slotWord: 0x0007_0007n,
  backend: 7,
  backendConfig: { address: '198.18.1.1', encap: 'gue', mtuBytes: 1_500, nextHop },
  egressIfindex: 2,
  frame: Uint8Array.of(1, 0xab),
};

describe('an explanation', () => {
  it('has the names of the cluster for what the program says in numbers', () => {
    expect(explanationInWords(forwarded, around)).toMatchObject({
      verdict: 'FORWARD',
      service: 'web',
      pool: 'p',
      slot: 45_309,
      slotState: 'clean',
      hash: '0x0000000000000abc',
      backend: 'p/b1',
      backendAddress: '198.18.1.1',
      encap: 'GUE over UDP',
      nextHop: 'by eth0 to 02:00:00:00:00:01',
      frame: '01ab',
    });
  });

  it('is told step by step', () => {
    expect(explanationInWords(forwarded, around).steps).toEqual([
      '2001:db8::10 tcp 80 is service web: address, protocol and port are a service.',
      'The flow is protocol, addresses and ports; its hash is 0xabc.',
      'That is slot 45,309 of 65,537 of pool p, clean: no state is kept of it.',
      'The slot has backend p/b1.',
      'It is wrapped in GUE to 198.18.1.1 and leaves by eth0 to 02:00:00:00:00:01.',
      'FORWARD: It goes to the backend that the slot of its flow has.',
    ]);
  });

  it('says so where a slot has no backend, or one that the cluster no longer knows', () => {
    const { backendConfig: _, frame: __, ...dropped } = forwarded;
    const none = { ...dropped, verdict: 'DROP', reason: 'DROP_NO_BACKEND', backend: 0 } as const;
    expect(explanationInWords(none, around).steps).toContain('The slot has no backend.');
    expect(explanationInWords({ ...none, backend: 9 }, around).steps).toContain(
      'The slot has backend number 9.',
    );
    expect(explanationInWords(none, around)).not.toHaveProperty('backend');
  });

  it('tells an address of a service from the service', () => {
    const echo: PacketExplanation = {
      verdict: 'REPLY',
      reason: 'REPLY_ECHO',
      meaning: 'It is answered.',
      service: { address: '2001:db8::10' },
      rule: 'address',
    };
    expect(explanationInWords(echo, around).steps).toEqual([
      '2001:db8::10 is a service address: nothing balances it as a whole.',
      'REPLY_ECHO: It is answered.',
    ]);
  });

  it('tells a tracked slot', () => {
    const tracked = { ...forwarded, slotWord: 0x1_0007_0007n };
    expect(explanationInWords(tracked, around)).toMatchObject({ slotState: 'tracked' });
  });
});

it('makes the frame that is asked about', () => {
  expect(frameOfRequest({ frame: '01AB' })).toEqual(Uint8Array.of(1, 0xab));
  const flow = { protocol: 'tcp', source: '192.0.2.1', destination: '198.18.0.10', syn: true } as const;
  const frame = frameOfRequest({ flow: { ...flow, destinationPort: 80 } });
  expect(frame.length).toBe(14 + 20 + 20);
  expect([...frame.subarray(36, 38)]).toEqual([0, 80]);
});

it('has the packet arrive where it is asked to, or by the first interface that is attached', () => {
  const attached = [
    { interface: 'eth0', ifindex: 2 },
    { interface: 'eth1', ifindex: 3 },
  ];
  expect(arrivalOf({ frame: '00' }, attached)).toBe(2);
  expect(arrivalOf({ frame: '00', interface: 'eth1' }, attached)).toBe(3);
  expect(arrivalOf({ frame: '00' }, [])).toBeUndefined();
  expect(() => arrivalOf({ frame: '00', interface: 'eth2' }, attached)).toThrow('the program is not on eth2');
});
