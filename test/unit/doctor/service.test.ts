import { describe, expect, it } from 'vitest';
import type { DefaultRoute, ServiceFacts } from '../../../control/doctor/core/facts.ts';
import { backendFacts, found, known, withLink } from './lib/facts.ts';

const service = (address: string, isLocal: boolean, prefixLength?: number): ServiceFacts => ({
  address,
  version: address.includes(':') ? 6 : 4,
  local: known(isLocal),
  on: known(prefixLength === undefined ? [] : [{ interface: 'lo', prefixLength }]),
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

describe('service addresses', () => {
  const addresses = (...services: ServiceFacts[]) => found(backendFacts({ services }), 'service-address');

  it('must be addresses of a backend', () => {
    expect(addresses(service('203.0.113.1', false), service('2001:db8::80', false))).toEqual([
      {
        severity: 'error',
        message:
          'the service address 203.0.113.1 is not an address of this host: what is unwrapped is dropped or sent on',
        cure: 'ip addr add 203.0.113.1/32 dev lo',
      },
      {
        severity: 'error',
        message:
          'the service address 2001:db8::80 is not an address of this host: what is unwrapped is dropped or sent on',
        cure: 'ip addr add 2001:db8::80/128 dev lo',
      },
    ]);
  });

  it('that are there are counted', () => {
    expect(addresses(service('203.0.113.1', true, 32))).toEqual([
      { severity: 'ok', message: '1 service address of this host: 203.0.113.1' },
    ]);
    expect(addresses(...[1, 2, 3, 4, 5].map((n) => service(`203.0.113.${n}`, true, 32)))).toEqual([
      {
        severity: 'ok',
        message: '5 service addresses of this host: 203.0.113.1, 203.0.113.2, 203.0.113.3 and 2 more',
      },
    ]);
  });

  it('bring their whole prefix with them on the loopback interface', () => {
    expect(addresses(service('203.0.113.1', true, 24))).toContainEqual({
      severity: 'warning',
      message: "203.0.113.1/24 on lo makes every address of that prefix this host's own",
      cure: 'ip addr add 203.0.113.1/32 dev lo && ip addr del 203.0.113.1/24 dev lo',
    });
  });

  it('need not be there yet', () => {
    expect(addresses()).toEqual([{ severity: 'note', message: 'the cluster has no service addresses yet' }]);
  });
});

it('needs no tunnel device', () => {
  expect(found(backendFacts({ host: { tunnels: known(['tunl0']) } }), 'tunnel-device')).toEqual([
    { severity: 'note', message: 'no tunnel device is needed, XDP unwraps before tunl0 could' },
  ]);
});

describe('room for the tunnel', () => {
  const room = (mtuBytes: number, routes: DefaultRoute[], check = 'tunnel-room') =>
    found(
      backendFacts({ interfaces: [withLink({ mtuBytes })], host: { defaultRoutes: known(routes) } }),
      check,
    );
  const FIGURES = 'packets of 1500 bytes take 1520 to 1548 in a tunnel, and the MTU is';

  it('is missing at 1500, and the cure leaves answers at that', () => {
    const routes = [route({ metric: 100 }), route({ version: 6, gateway: 'fe80::1', advertised: true })];
    expect(room(1500, routes)).toEqual([
      {
        interface: 'eth0',
        severity: 'warning',
        message: `${FIGURES} 1500: large packets of clients may not arrive`,
        cure:
          'ip link set dev eth0 mtu 1548 && ' +
          'ip -4 route replace default via 10.0.0.254 dev eth0 metric 100 mtu 1500',
      },
    ]);
  });

  it('may be enough for one kind of tunnel', () => {
    expect(room(1520, [route({ mtuBytes: 1500 }), route({ interface: 'eth1' })])).toEqual([
      {
        interface: 'eth0',
        severity: 'note',
        message: `${FIGURES} 1520: enough for IP in IPv4 alone`,
        cure: 'ip link set dev eth0 mtu 1548',
      },
    ]);
  });

  it('is not for answers', () => {
    expect(room(1548, [route()], 'answer-mtu')).toEqual([
      {
        interface: 'eth0',
        severity: 'note',
        message: 'IPv4 answers to clients may have 1548 bytes, which their networks may not take',
        cure: 'ip -4 route replace default via 10.0.0.254 dev eth0 mtu 1500',
      },
    ]);
    expect(room(1548, [route({ mtuBytes: 1500 })], 'answer-mtu')).toEqual([
      { interface: 'eth0', severity: 'ok', message: 'answers to clients are at most 1500 bytes' },
    ]);
  });

  it('is no reason to undo a route of several paths, or one that is advertised', () => {
    const routes = [route({ multipath: true }), route({ version: 6, advertised: true })];
    expect(room(1548, routes, 'answer-mtu').map(({ cure }) => cure)).toEqual([undefined, undefined]);
  });
});
