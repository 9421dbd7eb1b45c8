// What Rtnetlink reads and writes, compared with iproute2 in real namespaces.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ClosedError,
  formatPrefix,
  NetlinkError,
  parsePrefix,
  type Route,
  RouteTable,
  Rtnetlink,
  SystemError,
} from '@holdfast/linux';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Lab, run } from './lab.ts';

const lab = new Lab();
let here: string;
let there: string;
let rtnetlink: Rtnetlink;

beforeAll(() => {
  here = lab.netns('a');
  there = lab.netns('b');
  rtnetlink = new Rtnetlink({ netns: here });
  rtnetlink.createVeth({ name: 'v0', peer: 'v1', mac: '02:00:00:00:00:01', peerNetns: there });
  rtnetlink.createVeth({ name: 'w0', peer: 'w1' });
  for (const name of ['v0', 'w0', 'w1']) rtnetlink.setLinkUp(index(name));
  lab.ip(there, 'link set v1 up');
  rtnetlink.addAddress({ ifindex: index('v0'), address: '198.18.0.1', prefixLength: 24 });
  rtnetlink.addAddress({ ifindex: index('v0'), address: '2001:db8::1', prefixLength: 64, flags: 0x02 });
});
afterAll(() => {
  rtnetlink?.close();
  lab.remove();
});

const index = (name: string): number => {
  const link = rtnetlink.link(name);
  if (link === undefined) throw new Error(`no link ${name}`);
  return link.ifindex;
};
const prefix = (text: string) => {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};

/** The fields of `ip -j -d link` in our terms. */
const linkOfIp = (json: Record<string, unknown>) => ({
  ifindex: json.ifindex,
  name: json.ifname,
  mtuBytes: json.mtu,
  mac: json.address,
  up: (json.flags as string[]).includes('UP'),
  operationalState: (json.operstate as string).toLowerCase(),
  kind: (json.linkinfo as { info_kind?: string } | undefined)?.info_kind,
  promiscuityCount: json.promiscuity,
  rxQueueCount: json.num_rx_queues,
  txQueueCount: json.num_tx_queues,
  peerNetnsId: json.link_netnsid,
  alternativeNames: json.altnames ?? [],
});

describe('links', () => {
  test('are what ip shows', () => {
    const expected = lab.ipJson(here, 'link show').map(linkOfIp);
    expect(expected).toHaveLength(4);
    expect(rtnetlink.links()).toMatchObject(expected);
  });

  test('in the own namespace are what ip shows', () => {
    using own = new Rtnetlink();
    const expected = (JSON.parse(run('ip', '-j', '-d', 'link', 'show')) as Record<string, unknown>[]).map(
      linkOfIp,
    );
    expect(own.links()).toMatchObject(expected);
  });

  test('are found by name and by index, and undefined where there is none', () => {
    expect(rtnetlink.link('v0')).toEqual(rtnetlink.link(index('v0')));
    expect(rtnetlink.link('v0')?.mac).toBe('02:00:00:00:00:01');
    expect(rtnetlink.link('nosuch')).toBeUndefined();
    expect(rtnetlink.link(99_999)).toBeUndefined();
  });

  test('name the peer and its namespace', () => {
    const pair = rtnetlink.link('w0');
    expect(pair?.peerIfindex).toBe(index('w1'));
    expect(pair?.peerNetnsId).toBeUndefined();
    expect(rtnetlink.link('v0')?.peerNetnsId).toBeTypeOf('number');
  });

  test('name their master, alternative names and promiscuity', () => {
    lab.ip(here, 'link add name br0 type bridge');
    lab.ip(here, 'link property add dev w1 altname a-rather-long-alternative-name');
    lab.ip(here, 'link set w1 master br0');
    const port = rtnetlink.link('w1');
    expect(port?.masterIfindex).toBe(index('br0'));
    expect(port?.promiscuityCount).toBe(1);
    expect(port?.alternativeNames).toEqual(['a-rather-long-alternative-name']);
    rtnetlink.deleteLink(index('br0'));
    expect(rtnetlink.link('w1')?.masterIfindex).toBeUndefined();
  });

  test('go up and down and take an MTU', () => {
    rtnetlink.setLinkDown(index('w0'));
    expect(lab.ipJson(here, 'link show w0')[0]?.flags).not.toContain('UP');
    expect(rtnetlink.link('w0')?.operationalState).toBe('down');
    rtnetlink.setMtu(index('w0'), 1400);
    expect(lab.ipJson(here, 'link show w0')[0]?.mtu).toBe(1400);
    rtnetlink.setLinkUp(index('w0'));
    expect(lab.ipJson(here, 'link show w0')[0]?.flags).toContain('UP');
  });

  test('show the XDP program and its mode', () => {
    const directory = mkdtempSync(join(tmpdir(), 'hf-test-xdp-'));
    try {
      writeFileSync(
        join(directory, 'pass.c'),
        '__attribute__((section("xdp"), used)) int pass(void *c) { return 2; }\nchar l[] __attribute__((section("license"))) = "GPL";\n',
      );
      run('clang', '-O2', '-target', 'bpf', '-c', join(directory, 'pass.c'), '-o', join(directory, 'pass.o'));
      for (const [keyword, mode] of [
        ['xdpgeneric', 'generic'],
        ['xdpdrv', 'driver'],
      ]) {
        lab.ip(here, `link set dev w0 ${keyword} obj ${join(directory, 'pass.o')} sec xdp`);
        const shown = lab.ipJson(here, 'link show w0')[0]?.xdp as { prog: { id: number } };
        expect(rtnetlink.link('w0')?.xdp).toMatchObject({ mode, programId: shown.prog.id });
        lab.ip(here, `link set dev w0 ${keyword} off`);
      }
      expect(rtnetlink.link('w0')?.xdp).toMatchObject({ mode: 'none', programId: undefined });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('are refused with the reason of the kernel', () => {
    expect(() => rtnetlink.setMtu(index('w0'), 10)).toThrow(
      expect.objectContaining({
        name: 'NetlinkError',
        errno: 22,
        code: 'EINVAL',
        operation: 'set MTU',
        extack: 'mtu less than device minimum',
      }),
    );
    expect(() => rtnetlink.createVeth({ name: 'w0', peer: 'w9' })).toThrow(/create veth w0: EEXIST/);
    expect(() => rtnetlink.deleteLink(99_999)).toThrow(NetlinkError);
  });

  test('take a MAC at both ends of a pair', () => {
    rtnetlink.createVeth({ name: 'm0', peer: 'm1', mac: '02:00:00:00:01:00', peerMac: '02:00:00:00:01:01' });
    expect(lab.ipJson(here, 'link show m0')[0]?.address).toBe('02:00:00:00:01:00');
    expect(lab.ipJson(here, 'link show m1')[0]?.address).toBe('02:00:00:00:01:01');
    rtnetlink.deleteLink(index('m0'));
    expect(rtnetlink.link('m1')).toBeUndefined();
  });
});

describe('addresses', () => {
  test('are what ip shows', () => {
    const expected = lab.ipJson(here, 'addr show').flatMap((link) =>
      (link.addr_info as Record<string, unknown>[]).map((info) => ({
        ifindex: link.ifindex,
        family: info.family === 'inet' ? 4 : 6,
        address: info.local,
        prefixLength: info.prefixlen,
        broadcast: info.broadcast,
        label: info.label,
      })),
    );
    const byText = (a: object, b: object): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
    const ours = rtnetlink.addresses().map(({ scope: _, flags: __, peer: ___, ...rest }) => rest);
    expect(ours.sort(byText)).toEqual(expected.sort(byText));
    expect(ours.length).toBeGreaterThanOrEqual(4);
  });

  test('are filtered, added once, replaced and deleted', () => {
    const ifindex = index('w0');
    const spec = { ifindex, address: '198.18.9.1', prefixLength: 28, broadcast: '198.18.9.15' };
    rtnetlink.addAddress(spec);
    expect(rtnetlink.addresses({ ifindex, family: 4 })).toMatchObject([spec]);
    expect(() => rtnetlink.addAddress(spec)).toThrow(/EEXIST/);
    rtnetlink.addAddress({ ...spec, replace: true });
    rtnetlink.deleteAddress(spec);
    expect(rtnetlink.addresses({ ifindex, family: 4 })).toEqual([]);
    expect(() => rtnetlink.deleteAddress(spec)).toThrow(/EADDRNOTAVAIL/);
  });
});

const routeOfIp = (json: Record<string, unknown>) => {
  const via = json.via as { host: string } | undefined;
  const hops = (json.nexthops ?? []) as Record<string, unknown>[];
  const dst = json.dst as string;
  return {
    type: json.type,
    dst: dst === 'default' ? 'default' : formatPrefix(prefix(dst)),
    gateway: json.gateway ?? via?.host,
    prefsrc: json.prefsrc,
    priority: json.metric,
    mtuBytes: (json.metrics as { mtu?: number }[] | undefined)?.[0]?.mtu,
    nextHops: hops.map((hop) => ({
      gateway: hop.gateway,
      oif: index(hop.dev as string),
      weight: hop.weight,
    })),
    oif: json.dev === undefined ? undefined : index(json.dev as string),
  };
};
const comparable = (route: Route) => ({
  type: route.type,
  dst: route.dst.prefixLength === 0 ? 'default' : formatPrefix(route.dst),
  gateway: route.gateway,
  prefsrc: route.prefsrc,
  priority: route.priority,
  mtuBytes: route.mtuBytes,
  nextHops: route.nextHops.map(({ gateway, oif, weight }) => ({ gateway, oif, weight })),
  oif: route.oif,
});

describe('routes', () => {
  const added: Parameters<Rtnetlink['addRoute']>[0][] = [];
  const add = (spec: (typeof added)[number]): void => {
    rtnetlink.addRoute(spec);
    added.push(spec);
  };
  afterEach(() => {
    for (const spec of added.splice(0)) rtnetlink.deleteRoute(spec);
  });

  test('are what ip shows, in every table and family', () => {
    const oif = index('v0');
    add({ dst: prefix('0.0.0.0/0'), gateway: '198.18.0.254' });
    add({
      dst: prefix('198.19.0.0/16'),
      gateway: '198.18.0.2',
      mtuBytes: 1400,
      prefsrc: '198.18.0.1',
      priority: 7,
    });
    add({ dst: prefix('198.19.1.0/24'), gateway: 'fe80::1', oif });
    add({ dst: prefix('198.19.2.0/24'), oif });
    add({ dst: prefix('198.19.3.0/24'), type: 'blackhole' });
    add({ dst: prefix('198.19.4.0/24'), gateway: '198.18.0.3', table: 1000 });
    const twoWays = [
      { gateway: '198.18.0.2', weight: 3 },
      { gateway: '198.18.0.3', oif },
    ];
    add({ dst: prefix('198.19.5.0/24'), nextHops: twoWays });
    add({ dst: prefix('2001:db8:1::/48'), gateway: '2001:db8::2', priority: 5 });
    const sixWays = [
      { gateway: '2001:db8::2', oif },
      { gateway: 'fe80::2', oif, weight: 256 },
    ];
    add({ dst: prefix('2001:db8:2::/48'), nextHops: sixWays, mtuBytes: 1300 });
    add({ dst: prefix('2001:db8:3::/48'), type: 'unreachable' });
    for (const family of [4, 6] as const) {
      const expected = lab.ipJson(here, `-${family} route show table all`).map(routeOfIp);
      const ours = rtnetlink.routes(family).map(comparable);
      expect(expected.length).toBeGreaterThan(6);
      const byText = (a: object, b: object): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
      const normal = (list: object[]) => JSON.parse(JSON.stringify(list)) as object[];
      expect(normal(ours).sort(byText)).toEqual(normal(expected.map((entry) => ({ ...entry }))).sort(byText));
    }
    expect(rtnetlink.routes(4, 1000)).toMatchObject([{ table: 1000, dst: prefix('198.19.4.0/24') }]);
    expect(rtnetlink.routes(4, 1001)).toEqual([]);
    expect(rtnetlink.routes(4, RouteTable.LOCAL).every((route) => route.table === RouteTable.LOCAL)).toBe(
      true,
    );
  });

  test('looked up give device, gateway, source and MTU', () => {
    add({ dst: prefix('198.19.0.0/16'), gateway: '198.18.0.2', mtuBytes: 1400 });
    const shown = lab.ipJson(here, 'route get 198.19.0.7')[0];
    const answer = rtnetlink.routeGet('198.19.0.7');
    expect(answer).toMatchObject({ oif: index('v0'), gateway: shown?.gateway, prefsrc: shown?.prefsrc });
    expect(answer.effectiveMtuBytes).toBe(1400);
    expect(rtnetlink.routeGet('198.18.0.9')).toMatchObject({ gateway: undefined, effectiveMtuBytes: 1500 });
    expect(rtnetlink.routeGet('2001:db8::9')).toMatchObject({ oif: index('v0'), prefsrc: '2001:db8::1' });
    expect(rtnetlink.routeGet('198.18.0.1')).toMatchObject({ type: 'local', oif: index('lo') });
    expect(rtnetlink.routeGet('198.18.0.9', { from: '198.18.0.1', oif: index('v0') }).oif).toBe(index('v0'));
    expect(() => rtnetlink.routeGet('198.51.100.1')).toThrow(
      expect.objectContaining({ name: 'NetlinkError', code: 'ENETUNREACH' }),
    );
  });

  test('are replaced only when asked, and deleted', () => {
    const dst = prefix('198.19.8.0/24');
    add({ dst, gateway: '198.18.0.2' });
    expect(() => rtnetlink.addRoute({ dst, gateway: '198.18.0.3' })).toThrow(/EEXIST/);
    rtnetlink.addRoute({ dst, gateway: '198.18.0.3', replace: true });
    added.pop();
    expect(lab.ipJson(here, 'route show 198.19.8.0/24')[0]?.gateway).toBe('198.18.0.3');
    rtnetlink.deleteRoute({ dst });
    expect(lab.ipJson(here, 'route show 198.19.8.0/24')).toEqual([]);
    expect(() => rtnetlink.deleteRoute({ dst })).toThrow(/ESRCH/);
    expect(() => rtnetlink.addRoute({ dst, gateway: '198.51.100.1' })).toThrow(
      expect.objectContaining({ code: 'ENETUNREACH', extack: 'Nexthop has invalid gateway' }),
    );
  });
});

describe('neighbours', () => {
  test('are what ip shows, filtered, overwritten and deleted', () => {
    const ifindex = index('v0');
    rtnetlink.addNeighbour({ ifindex, address: '198.18.0.50', lladdr: '02:00:00:00:00:50' });
    rtnetlink.addNeighbour({ ifindex, address: '2001:db8::50', lladdr: '02:00:00:00:00:51', state: 'stale' });
    const shown = lab.ipJson(here, 'neigh show nud all dev v0').map((entry) => ({
      address: entry.dst,
      lladdr: entry.lladdr,
      state: (entry.state as string[])[0]?.toLowerCase(),
    }));
    const ours = rtnetlink
      .neighbours({ ifindex })
      .map(({ address, lladdr, state }) => ({ address, lladdr, state }));
    const byText = (a: object, b: object): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
    expect(ours.sort(byText)).toEqual(shown.sort(byText));
    expect(rtnetlink.neighbours({ family: 6 }).every((entry) => entry.family === 6)).toBe(true);
    const again = { ifindex, address: '198.18.0.50', lladdr: '02:00:00:00:00:52' };
    expect(() => rtnetlink.addNeighbour(again)).toThrow(/EEXIST/);
    rtnetlink.addNeighbour({ ...again, replace: true });
    expect(rtnetlink.neighbours({ ifindex, family: 4 })).toContainEqual(
      expect.objectContaining({ address: '198.18.0.50', lladdr: '02:00:00:00:00:52', state: 'permanent' }),
    );
    rtnetlink.deleteNeighbour(again);
    rtnetlink.deleteNeighbour({ ifindex, address: '2001:db8::50' });
    expect(lab.ip(here, 'neigh show dev v0 198.18.0.50')).toBe('');
  });
});

test('a namespace that does not exist is a typed error with its cause', () => {
  expect(() => new Rtnetlink({ netns: '/run/netns/hf-test-none' })).toThrow(
    expect.objectContaining({ name: 'SystemError', code: 'ENOENT', cause: expect.any(Error) }),
  );
  expect(() => new Rtnetlink({ netns: '/etc/hostname' })).toThrow(SystemError);
  expect(() =>
    rtnetlink.createVeth({ name: 'q0', peer: 'q1', peerNetns: '/run/netns/hf-test-none' }),
  ).toThrow(/ENOENT/);
});

test('a reply larger than its limit is refused and the next request works', () => {
  // A dump of several datagrams: one that is left half read keeps its socket busy.
  rtnetlink.createVeth({ name: 'x0', peer: 'x1' });
  const ifindex = index('x0');
  for (let i = 0; i < 2000; i += 1) {
    rtnetlink.addAddress({ ifindex, address: `198.18.${64 + (i >> 8)}.${i & 255}`, prefixLength: 32 });
  }
  using small = new Rtnetlink({ netns: here, replyLimitBytes: 8000 });
  for (let i = 0; i < 10; i += 1) {
    // Twice: a request that is no dump would read the rest of the first one.
    for (let dump = 0; dump < 2; dump += 1) {
      expect(() => small.addresses()).toThrow(
        expect.objectContaining({ name: 'NetlinkError', code: 'EMSGSIZE' }),
      );
    }
    expect(small.routeGet('198.18.0.9').oif).toBe(index('v0'));
  }
  expect(rtnetlink.addresses({ ifindex, family: 4 })).toHaveLength(2000);
  rtnetlink.deleteLink(ifindex);
});

test('a closed object refuses everything and closes again', () => {
  const closed = new Rtnetlink({ netns: here });
  closed.close();
  closed.close();
  expect(() => closed.links()).toThrow(ClosedError);
  expect(() => closed.setLinkUp(1)).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }));
  expect(() => closed.watch({ links: true }, () => undefined)).toThrow(ClosedError);
});
