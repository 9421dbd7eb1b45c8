// Rule 5: servers of a cluster, each with the program loaded, and queries carried between them.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FilterCluster, trail } from '../lib/filter_cluster.ts';
import { accepted, packetTo, syn } from '../lib/filter_packets.ts';
import {
  hashOf,
  INCARNATION,
  OWN_MAC,
  SERVER_ADDRESS,
  type ServiceName,
  SITE,
  slotIn,
  TIMEOUT,
  VERSION,
} from '../lib/filter_server.ts';
import { payload } from '../lib/packets.ts';
import { QUERY_FLAG, QUERY_OP, queryFrame, queryHeader } from '../lib/query_frames.ts';
import { hex } from '../lib/rig.ts';

const COUNT = 10;
const EPOCH = 5;
/** A quarter of the timeout, and never more than 60 s. */
const FOREIGN_LIFETIME = TIMEOUT / 4;
const SERVICES = [
  'tcp',
  'udp',
  'subnet',
  'host',
  'hostUdp',
  'group',
  'tcp6',
  'udp6',
  'subnet6',
  'host6',
] as const;

let cluster: FilterCluster;
beforeAll(() => {
  cluster = new FilterCluster(COUNT);
});
afterAll(() => cluster?.close());
beforeEach(() => {
  cluster.clear();
  for (const id of cluster.ids) {
    const server = cluster.at(id);
    server.setSelf({ incarnation: INCARNATION(id), version: VERSION, deadline: (1n << 64n) - 1n });
    for (const peer of cluster.ids) {
      server.setPeerIncarnation(peer, INCARNATION(peer));
      server.changePeer(peer, { flags: 3, inner_mtu: 1400 });
    }
  }
});

/** A bucket on its way from one server to another: taken over by `to`, not yet released by `from`. */
const acquire = (service: ServiceName, from: number, to: number, holders = [from]): void =>
  cluster.setBuckets(service, to, from, { trackEpoch: EPOCH, servers: holders });
const release = (service: ServiceName, to: number, holders: readonly number[]): void =>
  cluster.setBuckets(service, to, to, { trackEpoch: EPOCH, servers: holders });

describe.each(SERVICES)('a client of %s whose bucket moves', (service) => {
  it('is taken by the new server where nobody has it', () => {
    acquire(service, 1, 2);
    const sent = syn(service);
    const steps = cluster.carry(2, sent.frame);
    expect(trail(steps)).toBe('QUERY@2 QUERY_RETURNED@1 ACCEPT_NOBODY@2');
    expect(cluster.at(2).affinities().has(sent.hash)).toBe(true);
    expect(cluster.at(1).foreign(sent.hash)).toMatchObject({ server: 2, lifetime: FOREIGN_LIFETIME });
    expect(trail(cluster.carry(1, sent.frame))).toBe('DROP_FOREIGN@1');
    expect(cluster.hear(packetTo(service).frame)).toEqual([2]);
  });

  it('stays with the old server where that has it', () => {
    cluster.setBuckets(service, 1);
    expect(cluster.hear(syn(service).frame)).toEqual([1]);
    acquire(service, 1, 2);
    const sent = packetTo(service);
    expect(trail(cluster.carry(2, sent.frame))).toBe('QUERY@2 QUERY_HAD@1 DROP_ANSWERED@2');
    expect(cluster.at(2).foreign(sent.hash)).toMatchObject({ server: 1, lifetime: FOREIGN_LIFETIME });
    expect(trail(cluster.carry(2, sent.frame))).toBe('DROP_FOREIGN@2');
    expect(cluster.hear(sent.frame)).toEqual([1]);
    release(service, 2, [1]);
    expect(cluster.hear(sent.frame)).toEqual([1]);
    expect(cluster.hear(syn(service).frame)).toEqual([1]);
  });
});

describe('a query', () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8])('goes through %s holders and home', (count) => {
    const holders = [1, 3, 4, 5, 6, 7, 8, 9].slice(0, count);
    release('host', 2, holders);
    const sent = syn('host', { client: '198.51.100.9' });
    const asked = holders.map((id, i) =>
      i === count - 1 ? `QUERY_RETURNED@${id}` : `QUERY_PASSED_ON@${id}`,
    );
    const steps = cluster.carry(2, sent.frame);
    expect(trail(steps)).toBe([...(count > 0 ? ['QUERY@2'] : []), ...asked, 'ACCEPT_NOBODY@2'].join(' '));
    const home = steps.at(-1)!.output;
    // Behind the link header it is the client's packet again, byte by byte.
    expect(hex(home.slice(14))).toBe(hex(sent.frame.slice(14)));
    expect(hex(home.slice(0, 6))).toBe(hex(OWN_MAC(2)));
    for (const id of holders) expect(cluster.at(id).foreign(sent.hash)).toBeUndefined();
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('ends at the holder that has the client: number %s of eight', (place) => {
    const holders = [1, 3, 4, 5, 6, 7, 8, 9];
    const owner = holders[place - 1]!;
    cluster.setBuckets('host', owner);
    cluster.hear(syn('host').frame);
    release('host', 2, holders);
    const steps = cluster.carry(2, packetTo('host').frame);
    const before = holders.slice(0, place - 1).map((id) => `QUERY_PASSED_ON@${id}`);
    expect(trail(steps)).toBe(['QUERY@2', ...before, `QUERY_HAD@${owner}`, 'DROP_ANSWERED@2'].join(' '));
  });

  it('is the packet behind the header that the design says', () => {
    acquire('subnet', 1, 2, [3, 1]);
    const sent = syn('subnet');
    const server = cluster.at(2);
    const header = {
      operation: QUERY_OP.ask,
      flags: QUERY_FLAG.begins,
      asker: 2,
      sender: 2,
      askerIncarnation: INCARNATION(2),
      pool: SITE.subnet.pool,
      slot: slotIn('subnet', sent.hash),
      time: server.ticks,
      version: VERSION,
      record: server.setBuckets('subnet', 2, 1, { servers: [3, 1] }),
      holders: [3, 1],
    };
    const outer = (from: number, to: number) => ({
      from: SERVER_ADDRESS(from),
      to: SERVER_ADDRESS(to),
      fromMac: OWN_MAC(from),
      toMac: OWN_MAC(to),
      port: 7445,
    });
    const [first, second, third] = cluster.carry(2, sent.frame);
    const frameOf = (from: number, to: number, more: object) =>
      hex(
        queryFrame(
          outer(from, to),
          queryHeader({ ...header, sender: from, ...more }, sent.hash),
          sent.hash,
          sent.datagram,
        ),
      );
    expect(hex(first!.output)).toBe(frameOf(2, 3, {}));
    expect(hex(second!.output)).toBe(frameOf(3, 1, { position: 1, hops: 2 }));
    expect(hex(third!.output)).toBe(frameOf(1, 2, { operation: QUERY_OP.home, position: 1, hops: 3 }));
    cluster.clear();
    cluster.setBuckets('subnet', 3);
    cluster.hear(sent.frame);
    acquire('subnet', 1, 2, [3, 1]);
    const record = server.setBuckets('subnet', 2, 1, { servers: [3, 1] });
    const had = cluster.carry(2, sent.frame)[1]!;
    const answer = {
      record,
      operation: QUERY_OP.home,
      hops: 2,
      answer: 3,
      answerIncarnation: INCARNATION(3),
    };
    expect(hex(had.output)).toBe(frameOf(3, 2, answer));
  });

  it('skips holders that are gone, the asker and itself', () => {
    release('host', 2, [2, 1, 3, 4]);
    for (const id of [1, 2, 4]) cluster.at(id).changePeer(3, { flags: 0 });
    expect(trail(cluster.carry(2, syn('host').frame))).toBe(
      'QUERY@2 QUERY_PASSED_ON@1 QUERY_RETURNED@4 ACCEPT_NOBODY@2',
    );
  });

  it('is answered by a holder that believes the bucket its own and clean', () => {
    release('host', 2, [1]);
    cluster.at(1).setBuckets('host', 1);
    cluster.at(1).setSelf({ version: VERSION - 1 });
    const sent = syn('host');
    expect(trail(cluster.carry(2, sent.frame))).toBe('QUERY@2 QUERY_RETURNED@1 ACCEPT_NOBODY@2');
    expect(cluster.hear(sent.frame, [1, 2])).toEqual([2]);
  });

  it('of what begins nothing leaves nothing behind, and passes where nobody has the client', () => {
    release('host', 2, [1]);
    const sent = packetTo('host');
    expect(trail(cluster.carry(2, sent.frame))).toBe('QUERY@2 QUERY_RETURNED@1 ACCEPT_NOBODY@2');
    expect(cluster.at(1).foreign(sent.hash)).toBeUndefined();
    expect(cluster.at(2).affinities().size).toBe(0);
  });

  it('is sent by the old server for what begins a session, as long as it has not released', () => {
    acquire('host', 1, 2, [3, 1]);
    expect(trail(cluster.carry(1, syn('host').frame))).toBe(
      'QUERY@1 QUERY_PASSED_ON@2 QUERY_RETURNED@3 ACCEPT_NOBODY@1',
    );
    expect(trail(cluster.carry(1, packetTo('host', { client: '198.51.100.5' }).frame))).toBe(
      'DROP_NOT_MINE@1',
    );
    release('host', 2, [3, 1]);
    expect(trail(cluster.carry(1, syn('host', { client: '198.51.100.6' }).frame))).toBe('DROP_NOT_MINE@1');
  });

  it.each([
    ['the new server', [2, 1]],
    ['the old server', [1, 2]],
  ] as const)('has one answer where both ask and %s hears first', (_, order) => {
    acquire('host', 1, 2);
    expect(cluster.hear(syn('host').frame, order)).toHaveLength(1);
  });

  it('is remembered by neither the new server where the old one asks it, nor twice', () => {
    // Back again: the new server is among those that held before.
    acquire('host', 1, 2, [2, 1]);
    const sent = syn('host');
    // Both hear it before either query arrives.
    const fromNew = cluster.step(2, sent.frame);
    const fromOld = cluster.step(1, sent.frame);
    expect([fromNew.reason, fromOld.reason]).toEqual(['QUERY', 'QUERY']);
    const atNew = cluster.step(2, fromOld.output);
    expect(atNew.reason).toBe('QUERY_RETURNED');
    expect(cluster.at(2).foreign(sent.hash)).toBeUndefined();
    const atOld = cluster.step(1, fromNew.output);
    expect(cluster.at(1).foreign(sent.hash)).toMatchObject({ server: 2 });
    expect(cluster.step(1, atNew.output).reason).toBe('DROP_FOREIGN');
    expect(cluster.step(2, atOld.output).reason).toBe('ACCEPT_NOBODY');
  });

  it('comes home to a server that has learnt of the client meanwhile, and is dropped', () => {
    release('host', 2, [1]);
    const sent = syn('host');
    const home = cluster.step(1, cluster.step(2, sent.frame).output);
    cluster.at(2).learn({ hash: sent.hash, server: 4, lifetime: 20 });
    expect(cluster.step(2, home.output).reason).toBe('DROP_FOREIGN');
  });

  it('comes home to a server that has recorded the client meanwhile, and renews it', () => {
    release('host', 2, [1]);
    const first = cluster.step(1, cluster.step(2, syn('host').frame).output);
    cluster.carry(2, syn('host').frame);
    expect(cluster.step(2, first.output).reason).toBe('ACCEPT_AFFINITY');
    expect(cluster.at(2).affinities().size).toBe(1);
  });

  it('comes home to a bucket that is another server’s by now, and is dropped', () => {
    release('host', 2, [1]);
    const home = cluster.step(1, cluster.step(2, syn('host').frame).output);
    release('host', 3, [1, 2]);
    expect(cluster.step(2, home.output).reason).toBe('DROP_NOT_MINE');
    acquire('host', 2, 3, [1, 2]);
    expect(cluster.step(2, home.output).reason).toBe('QUERY');
  });

  it('comes home to a bucket that is clean by now, and passes', () => {
    release('host', 2, [1]);
    const home = cluster.step(1, cluster.step(2, syn('host').frame).output);
    cluster.setBuckets('host', 2);
    expect(cluster.step(2, home.output).reason).toBe('ACCEPT_OWN');
  });

  it('comes home without having asked one that holds by now, and asks again', () => {
    release('host', 2, [1]);
    const home = cluster.step(1, cluster.step(2, syn('host').frame).output);
    release('host', 2, [1, 4]);
    expect(trail(cluster.carry(2, home.output))).toBe(
      'QUERY@2 QUERY_PASSED_ON@1 QUERY_RETURNED@4 ACCEPT_NOBODY@2',
    );
  });

  it('comes home to another incarnation, and is dropped', () => {
    release('host', 2, [1]);
    const home = cluster.step(1, cluster.step(2, syn('host').frame).output);
    cluster.at(2).setSelf({ incarnation: 4711 });
    expect(cluster.step(2, home.output).reason).toBe('DROP_ASK_INCARNATION');
  });

  it('is dropped by holders and askers past their deadline', () => {
    release('host', 2, [1]);
    const asked = cluster.step(2, syn('host').frame);
    const home = cluster.step(1, asked.output);
    cluster.at(1).setDeadline(-1);
    cluster.at(2).setDeadline(-1);
    expect(cluster.step(1, asked.output).reason).toBe('DROP_ASK_FENCED');
    expect(cluster.step(2, home.output).reason).toBe('DROP_ASK_FENCED');
  });
});

describe('that a server asked about a client', () => {
  /** Server 1 still has the bucket in its own view, and is asked by the new one. */
  const ask = (version: number) => {
    cluster.at(2).setSelf({ version });
    release('host', 2, [1]);
    cluster.at(1).setBuckets('host', 1);
    const sent = syn('host');
    cluster.carry(2, sent.frame);
    return sent;
  };

  it('counts at one that lags, until it has come as far, however long that takes', () => {
    const sent = ask(VERSION + 1);
    for (const units of [FOREIGN_LIFETIME + 1, 1000]) {
      cluster.advance(units);
      expect(trail(cluster.carry(1, sent.frame))).toBe('DROP_FOREIGN@1');
      expect(trail(cluster.carry(1, packetTo('host').frame))).toBe('DROP_FOREIGN@1');
    }
    cluster.at(1).setSelf({ version: VERSION + 1 });
    expect(cluster.at(1).foreign(sent.hash)).toBeUndefined();
  });

  it('counts at one that lags and does not know that incarnation of the asker yet', () => {
    cluster.at(1).setPeerIncarnation(2, 4711);
    const sent = ask(VERSION + 1);
    expect(trail(cluster.carry(1, sent.frame))).toBe('DROP_FOREIGN@1');
    cluster.at(1).setSelf({ version: VERSION + 1 });
    release('host', 3, [1]);
    expect(cluster.at(1).foreign(sent.hash)).toBeUndefined();
  });

  it('does not count where the bucket has come to the server since', () => {
    const sent = ask(VERSION + 1);
    cluster.at(1).setSelf({ version: VERSION + 2 });
    cluster.at(2).clear();
    release('host', 1, [2]);
    expect(cluster.at(1).foreign(sent.hash)).toMatchObject({ server: 2 });
    expect(trail(cluster.carry(1, sent.frame))).toBe('QUERY@1 QUERY_RETURNED@2 ACCEPT_NOBODY@1');
  });
});

it('a server that is being released asks the current one, in the list or not', () => {
  acquire('host', 1, 2, [3, 1]);
  cluster.carry(2, syn('host').frame);
  cluster.at(1).clear();
  expect(trail(cluster.carry(1, syn('host').frame))).toBe('QUERY@1 QUERY_HAD@2 DROP_ANSWERED@1');
});

it('a server that is being released leaves to the current one what it cannot ask all about', () => {
  acquire('host', 1, 2, [3, 4, 5, 6, 7, 8, 9, 10]);
  expect(trail(cluster.carry(1, syn('host').frame))).toBe('DROP_NOT_MINE@1');
  expect(cluster.carry(2, syn('host').frame)).toHaveLength(10);
});

it('a holder that has the client renews it by the query, for its own copy may be lost', () => {
  cluster.setBuckets('host', 1);
  cluster.hear(syn('host').frame);
  cluster.hear(packetTo('host').frame);
  release('host', 2, [1]);
  cluster.advance(TIMEOUT);
  expect(trail(cluster.carry(2, packetTo('host').frame))).toBe('QUERY@2 QUERY_HAD@1 DROP_ANSWERED@2');
  expect(cluster.at(1).affinities().get(packetTo('host').hash)).toMatchObject({ age: 0, is_proven: 1 });
});

describe('what is known of a client that another server has', () => {
  const learn = (): bigint => {
    cluster.setBuckets('host', 1);
    cluster.hear(syn('host').frame);
    release('host', 2, [1]);
    cluster.carry(2, packetTo('host').frame);
    return packetTo('host').hash;
  };

  it('is not prolonged by its packets', () => {
    const hash = learn();
    cluster.advance(FOREIGN_LIFETIME);
    expect(cluster.hear(packetTo('host').frame)).toEqual([1]);
    expect(cluster.at(2).foreign(hash)).toMatchObject({ server: 1, age: FOREIGN_LIFETIME });
    cluster.advance(1);
    expect(cluster.at(2).foreign(hash)).toBeUndefined();
    expect(trail(cluster.carry(2, packetTo('host').frame))).toBe('QUERY@2 QUERY_HAD@1 DROP_ANSWERED@2');
  });

  it('is void when that server has another incarnation', () => {
    const hash = learn();
    cluster.at(2).setPeerIncarnation(1, 4711);
    expect(cluster.at(2).foreign(hash)).toBeUndefined();
  });

  it('is void when that server is gone', () => {
    const hash = learn();
    cluster.at(2).changePeer(1, { flags: 0 });
    expect(cluster.at(2).foreign(hash)).toBeUndefined();
    expect(trail(cluster.carry(2, syn('host').frame))).toBe('ACCEPT_NOBODY@2');
  });

  it('pushed, lives as long as it is said to, and packets do not take its place', () => {
    const server = cluster.at(2);
    const hash = packetTo('host').hash;
    server.learn({ hash, server: 1, lifetime: 5000, age: 100 });
    for (let i = 0; i < 200; i++) {
      const sent = syn('host', { client: `198.51.101.${i}` });
      server.learn({ hash: sent.hash, server: 3, lifetime: 1 });
    }
    cluster.advance(2);
    cluster.setBuckets('host', 3, 3, { servers: [2] });
    for (let i = 0; i < 200; i++) cluster.carry(3, syn('host', { client: `198.51.${i}.9` }).frame);
    expect(server.foreign(hash)).toMatchObject({ server: 1, lifetime: 5120, age: 102 });
  });

  it('is not believed of this server itself, of nobody, or of a number that no server has', () => {
    const hash = packetTo('host').hash;
    for (const id of [0, 2, 1024]) expect(cluster.at(2).learn({ hash, server: id, lifetime: 9 })).toBe(0);
    expect(cluster.at(2).learn({ hash, server: 1, lifetime: 9, age: 10 })).toBe(0);
  });
});

describe('a packet that is too big to be asked about', () => {
  const big = () => packetTo('host', { data: payload(1200) });
  beforeEach(() => {
    for (const id of cluster.ids)
      for (const peer of cluster.ids) cluster.at(id).changePeer(peer, { inner_mtu: 700 });
  });

  it('asks by its beginning, and is lost; the next one is dropped where another has the client', () => {
    cluster.setBuckets('host', 1);
    cluster.hear(syn('host').frame);
    release('host', 2, [1]);
    const steps = cluster.carry(2, big().frame);
    expect(trail(steps)).toBe('QUERY@2 QUERY_HAD@1 DROP_ANSWERED@2');
    expect(steps[0]!.output.length).toBe(14 + 20 + 8 + 64 + 256);
    expect(trail(cluster.carry(2, big().frame))).toBe('DROP_FOREIGN@2');
  });

  it('is lost where nobody has the client, and what begins a session is remembered', () => {
    release('hostUdp', 2, [1]);
    const sent = packetTo('hostUdp', { data: payload(1200) });
    expect(trail(cluster.carry(2, sent.frame))).toBe('QUERY@2 QUERY_RETURNED@1 DROP_CUT@2');
    expect(trail(cluster.carry(2, sent.frame))).toBe('ACCEPT_AFFINITY@2');
    release('host', 2, [1]);
    expect(trail(cluster.carry(2, big().frame))).toBe('QUERY@2 QUERY_RETURNED@1 DROP_CUT@2');
    expect(cluster.at(2).affinities().has(big().hash)).toBe(false);
  });
});

it('carries queries over IPv6 between servers', () => {
  const six = new FilterCluster(3, { version: 6 });
  try {
    six.setBuckets('subnet6', 2, 1, { servers: [3, 1] });
    const sent = syn('subnet6');
    const steps = six.carry(2, sent.frame);
    expect(trail(steps)).toBe('QUERY@2 QUERY_PASSED_ON@3 QUERY_RETURNED@1 ACCEPT_NOBODY@2');
    expect(hex(steps.at(-1)!.output)).toBe(
      hex(accepted(sent.frame, OWN_MAC(2)).map((byte, i) => (i >= 6 && i < 12 ? OWN_MAC(1)[i - 6]! : byte))),
    );
    six.setBuckets('subnet', 2, 1, { servers: [3, 1] });
    expect(trail(six.carry(2, syn('subnet').frame))).toBe(
      'QUERY@2 QUERY_PASSED_ON@3 QUERY_RETURNED@1 ACCEPT_NOBODY@2',
    );
  } finally {
    six.close();
  }
});

it('keys and buckets are alike at all servers', () => {
  const sent = packetTo('host');
  expect(sent.hash).toBe(
    hashOf('host', {
      source: '198.51.100.77',
      destination: SITE.host.address,
      sourcePort: 9,
      destinationPort: 8081,
      protocol: 6,
    }),
  );
});
