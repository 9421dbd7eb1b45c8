// The ways to the backends, followed in a mux's namespace while routes, neighbours and links change.
import { Rtnetlink } from '@holdfast/linux';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { NextHops, type Path } from '../../control/route/next_hop.ts';
import { netnsPath, planLab } from './plan.ts';
import { ip, ipBatch, setSysctls } from './shell.ts';
import { eventually, TEST_LAB } from './support.ts';
import { raiseTopology, removeTopology } from './topology.ts';

const plan = planLab({ name: TEST_LAB, clients: 1, muxes: 1, backends: 2 });
const mux = plan.muxes[0]!;
const backend = plan.backends[0]!;
const addresses = [backend.address4, backend.address6];

let rtnetlink: Rtnetlink;
let nextHops: NextHops;
let told: { address: string; path: Path }[];

beforeAll(() => {
  removeTopology(TEST_LAB);
  raiseTopology(plan);
});
afterAll(() => removeTopology(TEST_LAB));

beforeEach(() => {
  told = [];
  rtnetlink = new Rtnetlink({ netns: netnsPath(mux.netns) });
  nextHops = new NextHops({
    rtnetlink,
    onChange: (address, path) => told.push({ address, path }),
    onFailure: (error) => expect.fail(error.message),
    retryMs: 50,
  });
});
afterEach(() => {
  nextHops.close();
  rtnetlink.close();
});

const resolved = (address: string, destinationMac: string, mtuBytes = mux.mtuBytes) =>
  eventually(() => {
    const path = nextHops.path(address);
    const matches = path?.nextHop?.destinationMac === destinationMac && path.mtuBytes === mtuBytes;
    return matches ? path : undefined;
  }, `a next hop of ${destinationMac}`);

const unresolved = (address: string) =>
  eventually(() => (nextHops.path(address)?.nextHop === undefined ? true : undefined), 'losing the next hop');

describe.each(addresses)('the next hop to %s', (address) => {
  const six = address.includes(':') ? '-6 ' : '';
  const gateway = six === '' ? mux.gateway4 : mux.gateway6;

  it('is told, with interface, MAC addresses and path MTU', async () => {
    nextHops.follow(address);
    expect(told[0]?.address).toBe(address);
    const path = await resolved(address, mux.gatewayMac);
    const ifindex = rtnetlink.link('eth0')!.ifindex;
    expect(path).toEqual({
      mtuBytes: mux.mtuBytes,
      nextHop: { ifindex, destinationMac: mux.gatewayMac, sourceMac: mux.mac },
    });
  });

  it('is undefined at first where the kernel does not know the neighbour, then told', async () => {
    ip(mux.netns, `${six}neigh flush dev eth0`);
    nextHops.follow(address);
    expect(told).toEqual([{ address, path: { mtuBytes: mux.mtuBytes } }]);
    await resolved(address, mux.gatewayMac);
  });

  it('has the kernel find out that a stale entry is wrong', async () => {
    nextHops.close();
    nextHops = new NextHops({
      rtnetlink,
      onChange: (at, path) => told.push({ address: at, path }),
      onFailure: (error) => expect.fail(error.message),
      confirmMs: 100,
    });
    const family = six === '' ? 'ipv4' : 'ipv6';
    setSysctls(mux.netns, { [`${family}/neigh/eth0/delay_first_probe_time`]: 1 });
    const wrong = '02:48:46:00:ff:02';
    ipBatch(mux.netns, [`${six}neigh replace ${gateway} dev eth0 lladdr ${wrong} nud stale`]);
    nextHops.follow(address);
    await resolved(address, wrong);
    await resolved(address, mux.gatewayMac);
  });

  it('follows the gateway to another MAC address', async () => {
    nextHops.follow(address);
    await resolved(address, mux.gatewayMac);
    const other = '02:48:46:00:ff:01';
    try {
      ipBatch(mux.netns, [`${six}neigh replace ${gateway} dev eth0 lladdr ${other} nud permanent`]);
      await resolved(address, other);
    } finally {
      ipBatch(mux.netns, [`${six}neigh del ${gateway} dev eth0`]);
    }
    // Deleted: the kernel is asked, and the true one answers.
    await resolved(address, mux.gatewayMac);
  });

  it('goes with the route and returns with it', async () => {
    nextHops.follow(address);
    await resolved(address, mux.gatewayMac);
    ipBatch(mux.netns, [`${six}route del default via ${gateway}`]);
    await unresolved(address);
    expect(nextHops.path(address)).toEqual({});
    ipBatch(mux.netns, [`${six}route add default via ${gateway}`]);
    await resolved(address, mux.gatewayMac);
  });

  it('has the MTU of the route', async () => {
    nextHops.follow(address);
    await resolved(address, mux.gatewayMac);
    ipBatch(mux.netns, [`${six}route replace default via ${gateway} mtu 1450`]);
    await resolved(address, mux.gatewayMac, 1_450);
    ipBatch(mux.netns, [`${six}route replace default via ${gateway}`]);
    await resolved(address, mux.gatewayMac);
  });

  it('is asked for again and again where nobody answers', async () => {
    const silent = six === '' ? '198.18.33.77' : '2001:db8:1:21::77';
    nextHops.follow(silent);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(told.filter(({ path }) => path.nextHop !== undefined)).toEqual([]);
    ipBatch(plan.router.netns, [`${six}addr add ${silent}/${six === '' ? 32 : 128} dev ${mux.name}`]);
    await resolved(silent, mux.gatewayMac);
  });

  it('is not told once it is forgotten', async () => {
    nextHops.follow(address);
    await resolved(address, mux.gatewayMac);
    nextHops.forget(address);
    told = [];
    ipBatch(mux.netns, [`${six}route replace default via ${gateway} mtu 1440`]);
    ipBatch(mux.netns, [`${six}route replace default via ${gateway}`]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(told).toEqual([]);
  });
});

it('tells nothing twice', async () => {
  for (const address of [...addresses, plan.backends[1]!.address4]) nextHops.follow(address);
  await resolved(backend.address4, mux.gatewayMac);
  await resolved(backend.address6, mux.gatewayMac);
  told = [];
  // Events that change no path: an address of another interface, a route to elsewhere.
  ipBatch(mux.netns, ['addr add 198.18.200.1/32 dev lo', `route add 198.18.201.0/24 via ${mux.gateway4}`]);
  ipBatch(mux.netns, ['addr del 198.18.200.1/32 dev lo', 'route del 198.18.201.0/24']);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(told).toEqual([]);
});
