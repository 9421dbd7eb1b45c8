import { expect, it } from 'vitest';
import { EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import { sumStats } from '../../../control/node/stats.ts';

const web = {
  name: 'web',
  addresses: ['198.18.0.10', '2001:DB8::0:10'],
  protocol: 'tcp' as const,
  port: 80,
  pool: 'p',
  modRevision: 3,
};
const b1 = {
  pool: 'p',
  name: 'b1',
  address: '198.18.1.1',
  weight: 1,
  encap: 'ip' as const,
  index: 7,
  generation: 0,
  modRevision: 3,
};
const state = {
  ...EMPTY_STATE,
  services: new Map([['web', web]]),
  backends: new Map([['p/b1', b1]]),
};
const traffic = (packets: number) => ({ packets, bytes: packets * 100, newFlows: 1 });

it('adds up reasons of all programs, and verdicts', () => {
  const stats = sumStats(
    5,
    [
      { FORWARD: 2n, DROP_NO_ROUTE: 1n },
      { DECAP: 4n, DROP_NO_ROUTE: 1n },
    ],
    state,
    undefined,
  );
  expect(stats.reasons).toEqual({ FORWARD: 2, DROP_NO_ROUTE: 2, DECAP: 4 });
  expect(stats.packets).toEqual({ FORWARD: 2, DROP: 2, DECAP: 4 });
  expect(stats.services).toEqual([]);
});

it('adds up the addresses of a service, however they are written', () => {
  const stats = sumStats(5, [], state, {
    services: [
      { address: '198.18.0.10', protocol: 'tcp', port: 80, traffic: traffic(3) },
      { address: '2001:db8::10', protocol: 'tcp', port: 80, traffic: traffic(4) },
      { address: '198.18.0.10', protocol: 'tcp', port: 81, traffic: traffic(100) },
    ],
    backends: new Map([[7, traffic(9)]]),
    flowEvents: { FLOW_NEW: 3n },
    muxes: [],
  });
  expect(stats.flowEvents).toEqual({ FLOW_NEW: 3 });
  expect(stats.services).toEqual([{ name: 'web', packets: 7, bytes: 700, newFlows: 2 }]);
  expect(stats.backends).toEqual([{ pool: 'p', name: 'b1', packets: 9, bytes: 900, newFlows: 1 }]);
});

it('has a line also for what has no traffic', () => {
  const stats = sumStats(5, [], state, { services: [], backends: new Map(), flowEvents: {}, muxes: [] });
  expect(stats.services).toEqual([{ name: 'web', packets: 0, bytes: 0, newFlows: 0 }]);
  expect(stats.backends).toEqual([{ pool: 'p', name: 'b1', packets: 0, bytes: 0, newFlows: 0 }]);
});
