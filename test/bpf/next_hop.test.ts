// Backends whose next hop is unknown: the kernel's FIB is asked, in a network namespace of the test.
import { withNetns } from '@holdfast/linux';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, run } from '../native/linux/lab.ts';
import { flowOf, plain } from './lib/case.ts';
import { frame, mac, payload } from './lib/packets.ts';
import { encapsulated, type FlowRule, flowHash } from './lib/reference.ts';
import { hex, loadMux, moved, runOn } from './lib/rig.ts';
import { KEY, SERVICE4, SERVICE6, SOURCES, TCP } from './lib/site.ts';

const NEIGHBOUR = '02:00:00:00:00:99';
const NEAR = '02:00:00:00:00:11';
const LOOPBACK = 1;
const BACKENDS = {
  unrouted4: { address: '192.0.2.200', port: 1 },
  unrouted6: { address: '2001:db8:dead::1', port: 2 },
  silent4: { address: '198.18.1.3', port: 3 },
  silent6: { address: '2001:db8:1::3', port: 4 },
  near4: { address: '198.18.1.2', port: 5 },
  near6: { address: '2001:db8:1::2', port: 6 },
  far4: { address: '198.18.2.9', port: 7 },
  prohibited4: { address: '198.18.3.9', port: 8 },
  narrow4: { address: '198.18.4.9', port: 9 },
} as const;

describe('a backend without a known next hop', () => {
  const lab = new Lab();
  let mux: ReturnType<typeof loadMux>;
  let netns: string;
  let ifindex: number;

  beforeAll(async () => {
    netns = lab.netns('nexthop');
    lab.ip(netns, `link add near address ${NEAR} type veth peer name far`);
    for (const name of ['near', 'far']) lab.ip(netns, `link set ${name} up`);
    lab.ip(netns, 'addr add 198.18.1.1/24 dev near');
    lab.ip(netns, 'addr add 2001:db8:1::1/64 dev near nodad');
    lab.ip(netns, `neigh add 198.18.1.2 lladdr ${NEIGHBOUR} dev near nud permanent`);
    lab.ip(netns, `neigh add 2001:db8:1::2 lladdr ${NEIGHBOUR} dev near nud permanent`);
    lab.ip(netns, 'route add 198.18.2.0/24 via 198.18.1.2');
    lab.ip(netns, 'route add prohibit 198.18.3.0/24');
    lab.ip(netns, 'route add 198.18.4.0/24 via 198.18.1.2 mtu lock 800');
    ifindex = Number(lab.ipJson(netns, 'link show near')[0]!.ifindex);
    mux = loadMux();
    for (const { address, port } of Object.values(BACKENDS)) {
      await mux.setBackend(port, { address, encap: 'ip', mtuBytes: 1500 });
      mux.setSlots(port, Uint16Array.of(port));
      for (const service of [SERVICE4, SERVICE6])
        await mux.setService({ address: service, protocol: 'tcp', port, slotBase: port, slotCount: 1 });
    }
    // A test run can come in by an interface only once its queues are ready for XDP.
    mux.attach({ interface: 'near', mode: 'native', netns });
    forwarding(true);
  });

  afterAll(() => {
    mux?.close();
    lab.remove();
  });

  function forwarding(on: boolean): void {
    const value = on ? 1 : 0;
    for (const name of ['net.ipv4.conf.all.forwarding', 'net.ipv6.conf.all.forwarding'])
      run('ip', 'netns', 'exec', netns.replace('/run/netns/', ''), 'sysctl', '-qw', `${name}=${value}`);
  }

  function send(backend: keyof typeof BACKENDS, arrival: number, version: 4 | 6 = 4, bytes = 20) {
    const { address, port } = BACKENDS[backend];
    const flow = flowOf({ version, protocol: TCP, port });
    const packet = plain(flow, payload(bytes));
    const before = mux.counters().reasons;
    const run = withNetns(netns, () => {
      const { program } = mux;
      return runOn(
        { testRun: ({ data }) => program.testRun({ data, ctx: { ingressIfindex: arrival } }) },
        frame(packet),
      );
    });
    const rule: FlowRule = { address: flow.destination, port, protocol: TCP, slotBase: port, slotCount: 1 };
    const way = { address, encap: 'ip' as const, destinationMac: mac(NEIGHBOUR), sourceMac: mac(NEAR) };
    const wanted = encapsulated(packet, way, flowHash(KEY, rule, flow), SOURCES, 0);
    return {
      verdict: run.verdict,
      // The program is attached as well, and hears what its neighbour says about itself.
      reasons: withoutPasses(moved(before, mux.counters().reasons)),
      bytes: hex(run.output),
      wanted: hex(wanted),
    };
  }

  const dropped = (reason: string) => ({ verdict: 'DROP', reasons: { [reason]: 1 } });

  it.each(['unrouted4', 'unrouted6', 'prohibited4'] as const)('drops what has no route (%s)', (backend) => {
    expect(send(backend, ifindex)).toMatchObject(dropped('DROP_NO_ROUTE'));
  });

  it.each(['silent4', 'silent6'] as const)('drops what has a route but no neighbour (%s)', (backend) => {
    expect(send(backend, ifindex)).toMatchObject(dropped('DROP_NO_NEIGHBOUR'));
  });

  it.each(['near4', 'near6', 'far4'] as const)(
    'goes back out of the interface of arrival (%s)',
    (backend) => {
      for (const version of [4, 6] as const) {
        const { verdict, reasons, bytes, wanted } = send(backend, ifindex, version);
        expect({ verdict, reasons }).toEqual({ verdict: 'TX', reasons: { FORWARD: 1 } });
        expect(bytes).toBe(wanted);
      }
    },
  );

  it.each(['near4', 'near6', 'far4'] as const)(
    'is redirected to another interface than that of arrival (%s)',
    (backend) => {
      const { verdict, reasons, bytes, wanted } = send(backend, LOOPBACK);
      expect({ verdict, reasons }).toEqual({ verdict: 'REDIRECT', reasons: { FORWARD: 1 } });
      expect(bytes).toBe(wanted);
    },
  );

  it('drops what does not fit the route', () => {
    expect(send('narrow4', ifindex, 4, 700)).toMatchObject({ verdict: 'TX' });
    expect(send('narrow4', ifindex, 4, 760)).toMatchObject(dropped('DROP_TOO_BIG'));
  });

  it('says so where the host does not forward: the kernel’s FIB answers only then', () => {
    forwarding(false);
    try {
      expect(send('near4', ifindex)).toMatchObject(dropped('DROP_FORWARDING_OFF'));
      expect(send('near6', ifindex)).toMatchObject(dropped('DROP_FORWARDING_OFF'));
    } finally {
      forwarding(true);
    }
  });
});

function withoutPasses(reasons: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(reasons).filter(([name]) => !name.startsWith('PASS_')));
}
