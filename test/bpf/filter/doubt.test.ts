// Packets of clients that two servers have, as tables that were full and silence leave them: a server passes what is of
// connections of its own, and asks about others before its stack would reset them.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FilterRule } from '../../../control/dataplane/generated/layout.ts';
import { FilterCluster, trail } from '../lib/filter_cluster.ts';
import { packetTo, syn } from '../lib/filter_packets.ts';
import { FilterServer, OBSERVER_EXPLAIN, TIMEOUT } from '../lib/filter_server.ts';
import { payload, TCP_FLAG } from '../lib/packets.ts';
import { QUERY_FLAG } from '../lib/query_frames.ts';

const [AT_1, AT_2, AT_NEITHER] = [50001, 50002, 50003];
const ACCEPTED = /^ACCEPT_AFFINITY@/;
/** Where flags stand in a query over IPv4. */
const FLAGS = 14 + 20 + 8 + 3;

let cluster: FilterCluster;
beforeAll(() => {
  cluster = new FilterCluster(3);
});
afterAll(() => cluster?.close());
beforeEach(() => cluster.clear());

const dataOf = (clientPort: number, more = {}) => packetTo('host', { clientPort, ...more });

/** A client of 1 and of 2, with a connection at each. */
function split(): void {
  cluster.setBuckets('host', 1);
  cluster.hear(syn('host', { clientPort: AT_1 }).frame);
  cluster.hear(dataOf(AT_1).frame);
  cluster.setBuckets('host', 2);
  cluster.hear(syn('host', { clientPort: AT_2 }).frame);
  cluster.hear(dataOf(AT_2).frame);
}

describe('in a bucket of 2 that is tracked, a client of 1 and of 2', () => {
  beforeEach(() => {
    split();
    cluster.setBuckets('host', 2, 2, { servers: [1] });
  });

  it('is answered by the one that has the connection, and by no other', () => {
    expect(cluster.hear(dataOf(AT_1).frame)).toEqual([1]);
    expect(cluster.hear(dataOf(AT_2).frame)).toEqual([2]);
    expect(trail(cluster.carry(1, dataOf(AT_1).frame))).toMatch(ACCEPTED);
    expect(trail(cluster.carry(2, dataOf(AT_1).frame))).toBe('QUERY@2 QUERY_HAD@1 DROP_ANSWERED@2');
    expect(trail(cluster.carry(2, dataOf(AT_2).frame))).toMatch(ACCEPTED);
    expect(trail(cluster.carry(1, dataOf(AT_2).frame))).toBe('QUERY@1 QUERY_HAD@2 DROP_ANSWERED@1');
  });

  it('is asked about by connection: who else has the client is neither asked nor learnt', () => {
    const [asked, had] = cluster.carry(2, dataOf(AT_1).frame);
    expect(asked!.output[FLAGS]).toBe(QUERY_FLAG.connection);
    expect(had!.output[FLAGS]).toBe(QUERY_FLAG.connection);
    for (const id of [1, 2, 3]) expect(cluster.at(id).foreign(dataOf(AT_1).hash)).toBeUndefined();
  });

  it('is left to the stack of the current server where nobody has the connection', () => {
    const sent = dataOf(AT_NEITHER);
    expect(trail(cluster.carry(2, sent.frame))).toBe('QUERY@2 QUERY_RETURNED@1 ACCEPT_AFFINITY@2');
    expect(trail(cluster.carry(1, sent.frame))).toBe('QUERY@1 QUERY_RETURNED@2 DROP_NOT_MINE@1');
  });

  it('is not renewed by what may be of another’s connection', () => {
    cluster.advance(10);
    cluster.carry(2, dataOf(AT_1).frame);
    expect(cluster.at(2).affinities().get(dataOf(AT_1).hash)).toMatchObject({ age: 10 });
    expect(cluster.at(1).affinities().get(dataOf(AT_1).hash)).toMatchObject({ age: 10 });
    cluster.carry(2, dataOf(AT_2).frame);
    expect(cluster.at(2).affinities().get(dataOf(AT_1).hash)).toMatchObject({ age: 0 });
  });

  it('is explained as asked about, and nothing is written', () => {
    const explaining = new FilterServer({ id: 2, servers: [1, 2, 3], observer: OBSERVER_EXPLAIN });
    try {
      const bytesOf = (server: FilterServer) => new Uint8Array(server.map('affinities').mmap());
      bytesOf(explaining).set(bytesOf(cluster.at(2)));
      explaining.setBuckets('host', 2, 2, { servers: [1] });
      const before = explaining.tables();
      explaining.run(dataOf(AT_1).frame);
      expect(explaining.explanation()).toMatchObject({ rule: FilterRule.FILTER_RULE_QUERY, asked: 1 });
      expect(explaining.tables()).toBe(before);
    } finally {
      explaining.close();
    }
  });

  it('begins new connections at each server that has it, as any client does (rule 1)', () => {
    const sent = syn('host', { clientPort: AT_NEITHER });
    for (const id of [1, 2]) expect(trail(cluster.carry(id, sent.frame))).toBe(`ACCEPT_AFFINITY@${id}`);
  });

  it('is asked about by the beginning of what is too big, which is lost', () => {
    cluster.at(2).changePeer(1, { inner_mtu: 700 });
    cluster.at(1).changePeer(2, { inner_mtu: 700 });
    const big = (port: number) => dataOf(port, { data: payload(1200) }).frame;
    expect(trail(cluster.carry(2, big(AT_1)))).toBe('QUERY@2 QUERY_HAD@1 DROP_ANSWERED@2');
    expect(trail(cluster.carry(2, big(AT_NEITHER)))).toBe('QUERY@2 QUERY_RETURNED@1 DROP_CUT@2');
    for (const id of [1, 2]) cluster.at(id).changePeer(3 - id, { inner_mtu: 1400 });
  });
});

it('a holder asks the current server, though it is in no list, about a connection of neither', () => {
  split();
  cluster.setBuckets('host', 3, 3, { servers: [1, 2] });
  expect(trail(cluster.carry(2, dataOf(AT_1).frame))).toBe(
    'QUERY@2 QUERY_PASSED_ON@3 QUERY_HAD@1 DROP_ANSWERED@2',
  );
  expect(trail(cluster.carry(2, dataOf(AT_NEITHER).frame))).toBe(
    'QUERY@2 QUERY_PASSED_ON@3 QUERY_RETURNED@1 DROP_NOT_MINE@2',
  );
});

it('the current server passes at once where nobody is left to ask', () => {
  split();
  cluster.setBuckets('host', 2, 2, { servers: [2] });
  expect(trail(cluster.carry(2, dataOf(AT_1).frame))).toBe('ACCEPT_AFFINITY@2');
});

it('in a clean bucket nobody is asked, whether that is known at a glance or not', () => {
  for (const glances of [true, false]) {
    cluster.at(2).glances = glances;
    split();
    expect(trail(cluster.carry(2, dataOf(AT_1).frame))).toBe('ACCEPT_AFFINITY@2');
  }
  cluster.at(2).glances = true;
});

it('datagrams have no connection to be asked about', () => {
  cluster.setBuckets('hostUdp', 2);
  cluster.hear(packetTo('hostUdp').frame);
  cluster.setBuckets('hostUdp', 2, 2, { servers: [1] });
  expect(trail(cluster.carry(2, packetTo('hostUdp').frame))).toBe('ACCEPT_AFFINITY@2');
});

it('a query that comes home to a client recorded meanwhile asks about its connection', () => {
  cluster.setBuckets('host', 2, 2, { servers: [1] });
  const home = cluster.step(1, cluster.step(2, dataOf(AT_1).frame).output);
  cluster.carry(2, syn('host', { clientPort: AT_2 }).frame);
  const again = cluster.step(2, home.output);
  expect(again.reason).toBe('QUERY');
  expect(again.output[FLAGS]).toBe(QUERY_FLAG.connection);
});

it('a connection of this server is passed before what is known of its client, in a clean bucket, too', () => {
  cluster.setBuckets('host', 2);
  cluster.hear(syn('host', { clientPort: AT_2 }).frame);
  cluster.hear(dataOf(AT_2).frame);
  cluster.advance(TIMEOUT + 1);
  cluster.at(2).learn({ hash: dataOf(AT_2).hash, server: 1, lifetime: 30 });
  expect(trail(cluster.carry(2, dataOf(AT_2).frame))).toBe('ACCEPT_CONNECTION@2');
  expect(trail(cluster.carry(2, dataOf(AT_1, { flags: TCP_FLAG.ack }).frame))).toBe('DROP_FOREIGN@2');
});
