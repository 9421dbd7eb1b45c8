// Change events, overruns and neighbour resolution in real namespaces.
import { NetlinkSocket, Rtnetlink, type WatchEvent, withNetns } from '@holdfast/linux';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, Lab, run } from './lab.ts';

const lab = new Lab();
let here: string;
let there: string;
let rtnetlink: Rtnetlink;
let ifindex: number;

beforeAll(() => {
  here = lab.netns('a');
  there = lab.netns('b');
  rtnetlink = new Rtnetlink({ netns: here });
  rtnetlink.createVeth({ name: 'v0', peer: 'v1', peerNetns: there });
  ifindex = rtnetlink.link('v0')!.ifindex;
  rtnetlink.setLinkUp(ifindex);
  lab.ip(there, 'link set v1 address 02:00:00:00:00:02');
  lab.ip(there, 'link set v1 up');
  lab.ip(there, 'addr add 198.18.0.2/24 dev v1');
  lab.ip(there, 'addr add 2001:db8::2/64 dev v1 nodad');
  rtnetlink.addAddress({ ifindex, address: '198.18.0.1', prefixLength: 24 });
  rtnetlink.addAddress({ ifindex, address: '2001:db8::1', prefixLength: 64, flags: 0x02 });
});
afterAll(() => {
  rtnetlink?.close();
  lab.remove();
});

describe('events', () => {
  test('of links, addresses, routes and neighbours arrive', async () => {
    const events: WatchEvent[] = [];
    const all = { links: true, addresses: true, routes: true, neighbours: true };
    using subscription = rtnetlink.watch(all, (event) => events.push(event));
    subscription.unref().ref();
    const arrives = (what: string, matches: (event: WatchEvent) => boolean) =>
      eventually(() => events.find(matches), what);

    rtnetlink.setMtu(ifindex, 1480);
    await arrives('MTU', (e) => e.kind === 'link' && e.change === 'new' && e.link.mtuBytes === 1480);
    lab.ip(here, 'link add name w0 type veth peer name w1');
    lab.ip(here, 'link del w0');
    await arrives('deletion', (e) => e.kind === 'link' && e.change === 'deleted' && e.link.name === 'w0');
    lab.ip(here, 'addr add 198.18.7.1/32 dev v0');
    lab.ip(here, 'addr del 198.18.7.1/32 dev v0');
    for (const change of ['new', 'deleted']) {
      await arrives(
        `address ${change}`,
        (e) => e.kind === 'address' && e.change === change && e.address.address === '198.18.7.1',
      );
    }
    lab.ip(here, 'route add 198.19.0.0/16 via 198.18.0.2');
    lab.ip(here, 'route del 198.19.0.0/16');
    for (const change of ['new', 'deleted']) {
      await arrives(
        `route ${change}`,
        (e) => e.kind === 'route' && e.change === change && e.route.dst.address === '198.19.0.0',
      );
    }
    lab.ip(here, 'neigh add 198.18.0.77 lladdr 02:00:00:00:00:77 dev v0');
    lab.ip(here, 'neigh del 198.18.0.77 dev v0');
    await arrives(
      'neighbour',
      (e) => e.kind === 'neighbour' && e.change === 'new' && e.neighbour.address === '198.18.0.77',
    );
    expect(events.some((event) => event.kind === 'overrun' || event.kind === 'failed')).toBe(false);
  });

  test('come only for the topics asked for, and none after close but the last', async () => {
    const events: WatchEvent[] = [];
    const subscription = rtnetlink.watch({ addresses: true }, (event) => events.push(event));
    lab.ip(here, 'route add 198.19.9.0/24 via 198.18.0.2');
    lab.ip(here, 'addr add 198.18.8.1/32 dev v0');
    await eventually(() => events[0], 'the address');
    expect(events.every((event) => event.kind === 'address')).toBe(true);
    subscription.close();
    subscription.close();
    const count = events.length;
    expect(events.at(-1)).toEqual({ kind: 'closed' });
    lab.ip(here, 'addr del 198.18.8.1/32 dev v0');
    lab.ip(here, 'route del 198.19.9.0/24');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(events).toHaveLength(count);
  });

  test('do not arrive twice where the handler closes in the middle', async () => {
    let calls = 0;
    const subscription = rtnetlink.watch({ addresses: true }, (event) => {
      if (event.kind === 'closed') return;
      calls += 1;
      subscription.close();
    });
    for (let i = 1; i < 20; i += 1) {
      rtnetlink.addAddress({ ifindex, address: `198.18.20.${i}`, prefixLength: 32 });
      rtnetlink.deleteAddress({ ifindex, address: `198.18.20.${i}`, prefixLength: 32 });
    }
    await eventually(() => (calls > 0 ? calls : undefined), 'an event');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(calls).toBe(1);
  });

  test('that the kernel dropped are reported as an overrun, after which events go on', async () => {
    const kinds: string[] = [];
    const options = { receiveBufferBytes: 4096 };
    using _ = rtnetlink.watch({ addresses: true, routes: true }, (event) => kinds.push(event.kind), options);
    // Nothing is read while this thread is busy.
    for (let i = 0; i < 500; i += 1) {
      const spec = { ifindex, address: `198.18.${100 + (i >> 8)}.${i & 255}`, prefixLength: 32 };
      rtnetlink.addAddress(spec);
      rtnetlink.deleteAddress(spec);
    }
    await eventually(() => (kinds.includes('overrun') ? true : undefined), 'the overrun');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const before = kinds.length;
    rtnetlink.addAddress({ ifindex, address: '198.18.99.1', prefixLength: 32 });
    await eventually(() => (kinds.length > before ? true : undefined), 'an event after the overrun');
    rtnetlink.deleteAddress({ ifindex, address: '198.18.99.1', prefixLength: 32 });
  });

  test('of an object opened inside withNetns come from that namespace', async () => {
    using inside = withNetns(here, () => new Rtnetlink());
    expect(inside.link('v0')?.ifindex).toBe(ifindex);
    const kinds: string[] = [];
    using _ = inside.watch({ addresses: true }, (event) => kinds.push(event.kind));
    rtnetlink.addAddress({ ifindex, address: '198.18.98.1', prefixLength: 32 });
    await eventually(() => (kinds.includes('address') ? true : undefined), 'the event');
    rtnetlink.deleteAddress({ ifindex, address: '198.18.98.1', prefixLength: 32 });
  });

  test('follow the namespace although its path names another one by now', async () => {
    const path = lab.netns('gone');
    using old = new Rtnetlink({ netns: path });
    const name = path.replace('/run/netns/', '');
    run('ip', 'netns', 'del', name);
    run('ip', 'netns', 'add', name);
    const seen: WatchEvent[] = [];
    using _ = old.watch({ addresses: true }, (event) => seen.push(event));
    lab.ip(path, 'addr add 198.18.50.1/32 dev lo');
    old.addAddress({ ifindex: 1, address: '198.18.50.2', prefixLength: 32 });
    const first = await eventually(() => seen[0], 'the event');
    expect(first).toMatchObject({ kind: 'address', address: { address: '198.18.50.2' } });
  });

  test('stop when the object is closed', async () => {
    const other = new Rtnetlink({ netns: here });
    const kinds: string[] = [];
    other.watch({ links: true }, (event) => kinds.push(event.kind));
    other.close();
    expect(kinds).toEqual(['closed']);
  });

  test('are not taken by a socket for requests, nor requests by one for events', () => {
    using requests = new NetlinkSocket();
    using events = new NetlinkSocket({ groups: [1] });
    expect(() => requests.onMessage(() => undefined)).toThrow(TypeError);
    events.onMessage(() => undefined);
    expect(() => events.onMessage(() => undefined)).toThrow(expect.objectContaining({ code: 'EALREADY' }));
  });
});

describe('a neighbour', () => {
  test.each(['198.18.0.2', '2001:db8::2', '2001:DB8:0::2'])('at %s is resolved', async (address) => {
    lab.ip(here, 'neigh flush dev v0');
    const resolution = await rtnetlink.resolveNeighbour(ifindex, address, { timeoutMs: 5_000 });
    expect(resolution).toMatchObject({ resolved: true, neighbour: { lladdr: '02:00:00:00:00:02', ifindex } });
    // Known by now: no waiting.
    const start = performance.now();
    await rtnetlink.resolveNeighbour(ifindex, address, { timeoutMs: 5_000 });
    expect(performance.now() - start).toBeLessThan(100);
  });

  test('that nobody is fails when the kernel gives up, and again at the second attempt', async () => {
    lab.ip(here, 'ntable change name arp_cache dev v0 retrans 20');
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const resolution = await rtnetlink.resolveNeighbour(ifindex, '198.18.0.222', { timeoutMs: 10_000 });
      expect(resolution).toEqual({ resolved: false, reason: 'failed' });
    }
  });

  test('that does not answer in time is a timeout', async () => {
    const resolution = await rtnetlink.resolveNeighbour(ifindex, '2001:db8::dead', { timeoutMs: 50 });
    expect(resolution).toEqual({ resolved: false, reason: 'timeout' });
  });

  test('being resolved by an object that is closed is reported so', async () => {
    const other = new Rtnetlink({ netns: here });
    const resolution = other.resolveNeighbour(ifindex, '2001:db8::beef', { timeoutMs: 10_000 });
    other.close();
    expect(await resolution).toEqual({ resolved: false, reason: 'closed' });
  });

  test('on a link that does not exist is an error', async () => {
    await expect(rtnetlink.resolveNeighbour(9999, '198.18.0.2', { timeoutMs: 100 })).rejects.toThrow(
      /ENODEV/,
    );
  });
});
