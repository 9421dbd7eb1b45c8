// Fragments, ICMP, other ports and protocols, and the kernel's sockets as the second witness.

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FilterCluster, trail } from '../lib/filter_cluster.ts';
import { accepted, packetTo, syn } from '../lib/filter_packets.ts';
import {
  CLIENT,
  CLIENT6,
  FilterServer,
  hashWith,
  INCARNATION,
  OWN_MAC,
  SERVER_ADDRESS,
  SERVICE,
  SERVICE6,
  SHARED_MAC,
  SITE,
  VERSION,
} from '../lib/filter_server.ts';
import {
  type Datagram,
  fragmentHeader,
  frame,
  icmp4,
  icmp6,
  ip,
  ipv4,
  ipv6,
  payload,
  raw,
  tcp,
  udp,
} from '../lib/packets.ts';
import { QUERY_FLAG, QUERY_OP, queryFrame, queryHeader } from '../lib/query_frames.ts';
import { hex } from '../lib/rig.ts';

const SELF = 2;
const sent = (datagram: Datagram): Uint8Array => frame(datagram, { destination: SHARED_MAC });

let server: FilterServer;
beforeAll(() => {
  server = new FilterServer({ id: SELF });
});
afterAll(() => server?.close());
beforeEach(() => {
  server.clear();
  server.setDeadline(undefined);
  for (const service of Object.keys(SITE)) server.setBuckets(service, SELF);
});

/** The fragments of a datagram, at `split` bytes behind the ports. */
function fragments(version: 4 | 6, identification: number): [Uint8Array, Uint8Array] {
  const layer = udp({ sourcePort: 40001, destinationPort: 443, data: payload(64) });
  const ends =
    version === 4 ? { source: CLIENT, destination: SERVICE } : { source: CLIENT6, destination: SERVICE6 };
  const bytes = ip(ends, layer).bytes.slice(version === 4 ? 20 : 40);
  const part = (from: number, to: number, more: boolean): Uint8Array => {
    const inner = raw(17, bytes.slice(from, to));
    if (version === 4)
      return sent(ipv4({ ...ends, identification, fragmentOffset: from, moreFragments: more }, inner));
    return sent(
      ipv6({ ...ends, extensions: [fragmentHeader({ identification, offset: from, more })] }, inner),
    );
  };
  return [part(0, 40, true), part(40, bytes.length, false)];
}

describe.each([4, 6] as const)('fragments over IPv%s', (version) => {
  const service = version === 4 ? 'udp' : 'udp6';

  it('follow the first one to the host', () => {
    const [first, later] = fragments(version, 700);
    expect(server.judge(first).counted).toMatchObject({ ACCEPT_OWN: 1 });
    const { verdict, output, counted } = server.judge(later);
    expect({ verdict, counted }).toEqual({ verdict: 'PASS', counted: { ACCEPT_FRAGMENT: 1 } });
    expect(hex(output)).toBe(hex(accepted(later, OWN_MAC(SELF))));
  });

  it('are dropped with the first one', () => {
    server.setBuckets(service, 3);
    const [first, later] = fragments(version, 701);
    expect(server.judge(first).counted).toEqual({ DROP_NOT_MINE: 1 });
    expect(server.judge(later).counted).toEqual({ DROP_NOT_MINE: 1 });
  });

  it('are dropped where the first one was not seen, is another’s, or is long ago', () => {
    const [first, later] = fragments(version, 702);
    expect(server.judge(later).counted).toEqual({ DROP_FRAGMENT_UNKNOWN: 1 });
    server.run(first);
    expect(server.judge(fragments(version, 703)[1]).counted).toEqual({ DROP_FRAGMENT_UNKNOWN: 1 });
    server.nowNs += 61_000_000_000n;
    expect(server.judge(later).counted).toEqual({ DROP_FRAGMENT_UNKNOWN: 1 });
  });

  it('are dropped past the deadline', () => {
    const [first, later] = fragments(version, 704);
    server.run(first);
    server.setDeadline(-1);
    expect(server.judge(later).counted).toEqual({ DROP_FENCED: 1 });
  });
});

describe('an ICMP error', () => {
  const about = (service: 'host' | 'host6', clientPort = 40001): Uint8Array => {
    const site = SITE[service];
    const isFour = service === 'host';
    const quoted = ip(
      { source: site.address, destination: isFour ? CLIENT : CLIENT6 },
      tcp({ sourcePort: site.port, destinationPort: clientPort }),
    ).bytes;
    return sent(
      isFour
        ? ipv4(
            { source: '192.0.2.1', destination: site.address },
            icmp4({ type: 3, code: 4, rest: 1400, data: quoted }),
          )
        : ipv6(
            { source: '2001:db8:9::1', destination: site.address },
            icmp6({ type: 2, rest: 1400, data: quoted }),
          ),
    );
  };

  it.each(['host', 'host6'] as const)(
    'goes to who has the client it is about, and is no sign of life: %s',
    (service) => {
      server.run(syn(service).frame);
      server.setBuckets(service, 3, 3, { servers: [SELF] });
      server.advance(10);
      const { verdict, counted } = server.judge(about(service));
      expect({ verdict, counted }).toEqual({ verdict: 'PASS', counted: { ACCEPT_AFFINITY: 1 } });
      expect(server.affinities().get(syn(service).hash)).toMatchObject({ age: 10, is_proven: 0 });
    },
  );

  it.each(['host', 'host6'] as const)(
    'goes by the bucket of who it is about, and leaves nothing behind: %s',
    (service) => {
      expect(server.judge(about(service)).counted).toEqual({ ACCEPT_OWN: 1 });
      expect(server.affinities().size).toBe(0);
      server.setBuckets(service, 3);
      expect(server.judge(about(service)).counted).toEqual({ DROP_NOT_MINE: 1 });
    },
  );

  it('asks the holders of a bucket that moves', () => {
    const cluster = new FilterCluster(2);
    try {
      cluster.setBuckets('host', 1);
      cluster.hear(syn('host').frame);
      cluster.setBuckets('host', 2, 2, { servers: [1] });
      expect(trail(cluster.carry(2, about('host')))).toBe('QUERY@2 QUERY_HAD@1 DROP_ANSWERED@2');
      expect(trail(cluster.carry(1, about('host')))).toBe('ACCEPT_AFFINITY@1');
    } finally {
      cluster.close();
    }
  });
});

describe('what is for no port of a service', () => {
  const echo4 = sent(ipv4({ source: CLIENT, destination: SERVICE }, icmp4({ type: 8, data: payload(16) })));
  const echo6 = sent(
    ipv6({ source: CLIENT6, destination: SERVICE6 }, icmp6({ type: 128, data: payload(16) })),
  );
  const noPort = sent(
    ipv4({ source: CLIENT, destination: SERVICE }, tcp({ sourcePort: 40001, destinationPort: 12345 })),
  );
  const other = sent(ipv4({ source: CLIENT, destination: SERVICE }, raw(132, payload(24))));

  it.each([
    ['an echo request', 'address', echo4],
    ['an echo request over IPv6', 'address6', echo6],
    ['TCP to another port', 'address', noPort],
    ['another protocol', 'address', other],
  ] as const)(
    '%s is answered by the server of the client’s bucket at the address, alone',
    (_, service, packet) => {
      const { verdict, output, counted } = server.judge(packet);
      expect({ verdict, counted }).toEqual({ verdict: 'PASS', counted: { ACCEPT_ADDRESS: 1 } });
      expect(hex(output)).toBe(hex(accepted(packet, OWN_MAC(SELF))));
      server.setBuckets(service, 3, SELF, { servers: [SELF] });
      expect(server.judge(packet).counted).toEqual({ DROP_NOT_MINE: 1 });
      server.setBuckets(service, SELF);
      server.setDeadline(-1);
      expect(server.judge(packet).counted).toEqual({ DROP_FENCED: 1 });
      expect(server.affinities().size).toBe(0);
    },
  );
});

it.each([
  ['cut short', (packet: Uint8Array) => packet.slice(0, -3), 'DROP_TRUNCATED'],
  ['with options', undefined, 'ACCEPT_OWN'],
  ['with a VLAN tag', undefined, 'ACCEPT_OWN'],
] as const)('a packet %s takes the other way: %s', (how, change, reason) => {
  const made =
    how === 'with options'
      ? packetTo('host', { ip: { options: new Uint8Array([1, 1, 1, 1]) } })
      : packetTo(
          'host',
          how === 'with a VLAN tag' ? { link: { destination: SHARED_MAC, tags: [{ tci: 5 }] } } : {},
        );
  expect(server.judge(change === undefined ? made.frame : change(made.frame)).counted).toEqual({
    [reason]: 1,
  });
});

describe('a connection that the kernel has', () => {
  const ADDRESS = '127.0.0.2';
  let listener: Server;
  let connection: Socket;
  let near: FilterCluster;
  const site = { ...SITE.host, address: ADDRESS, slotBase: 100 };

  beforeAll(async () => {
    listener = createServer();
    listener.listen(0, ADDRESS);
    await once(listener, 'listening');
    const { port } = listener.address() as { port: number };
    connection = connect(port, ADDRESS);
    await once(connection, 'connect');
    near = new FilterCluster(2, { hostConnections: true, site: { host: { ...site, port } } });
  });
  afterAll(() => {
    near?.close();
    connection?.destroy();
    listener?.close();
  });
  beforeEach(() => near.clear());

  const packet = (flags: number, sourcePort = connection.localPort!): Uint8Array =>
    sent(
      ipv4(
        { source: connection.localAddress!, destination: ADDRESS },
        tcp({ sourcePort, destinationPort: connection.remotePort!, flags }),
      ),
    );
  const ACK = 0x10;

  it('is passed in a tracked bucket of another server, and nothing is remembered of its client', () => {
    near.setBuckets('host', 1, 1, { servers: [2] });
    expect(near.at(2).judge(packet(ACK)).counted).toEqual({ ACCEPT_CONNECTION: 1 });
    expect(near.at(2).affinities().size).toBe(0);
    expect(near.at(2).judge(packet(ACK, 1)).counted).toEqual({ DROP_NOT_MINE: 1 });
  });

  const hashOfClient = (): bigint => {
    const port = connection.remotePort!;
    const flow = {
      source: connection.localAddress!,
      destination: ADDRESS,
      sourcePort: 0,
      destinationPort: port,
      protocol: 6,
    };
    return hashWith({ ...site, port }, flow);
  };

  it('is passed before what is known of another server', () => {
    near.setBuckets('host', 1, 1, { servers: [2] });
    near.at(2).learn({ hash: hashOfClient(), server: 1, lifetime: 300 });
    expect(near.at(2).judge(packet(ACK)).counted).toEqual({ ACCEPT_CONNECTION: 1 });
    expect(near.at(2).judge(packet(ACK, 1)).counted).toEqual({ DROP_FOREIGN: 1 });
  });

  it('answers a query for itself alone: the asker learns nothing of the client', () => {
    near.setBuckets('host', 1, 1, { servers: [2] });
    const hash = hashOfClient();
    const slot = Number(((hash >> 32n) * BigInt(site.slotCount)) >> 32n);
    const header = {
      operation: QUERY_OP.ask,
      asker: 1,
      sender: 1,
      askerIncarnation: INCARNATION(1),
      pool: site.pool,
      slot,
      time: near.at(2).ticks,
      version: VERSION,
      holders: [2],
    };
    const outer = {
      from: SERVER_ADDRESS(1),
      to: SERVER_ADDRESS(2),
      fromMac: OWN_MAC(1),
      toMac: OWN_MAC(2),
      port: 7445,
    };
    const query = queryFrame(outer, queryHeader(header, hash), hash, { bytes: packet(ACK).slice(14) });
    const had = near.step(2, query);
    expect(had.reason).toBe('QUERY_HAD');
    expect(had.output[14 + 20 + 8 + 3]).toBe(QUERY_FLAG.connection);
    expect(near.step(1, had.output).reason).toBe('DROP_ANSWERED');
    expect(near.at(1).foreign(hash)).toBeUndefined();
    expect(near.at(2).affinities().size).toBe(0);
  });

  it('is remembered again in a clean bucket of this server', () => {
    near.setBuckets('host', 2);
    expect(near.at(2).judge(packet(ACK)).counted).toEqual({ ACCEPT_OWN: 1, AFFINITY_RECORDED: 1 });
    expect(near.at(2).judge(packet(ACK)).counted).toEqual({ ACCEPT_AFFINITY: 1 });
    near.clear();
    expect(near.at(2).judge(packet(ACK, 1)).counted).toEqual({ ACCEPT_OWN: 1 });
  });

  it('is none that only listens', () => {
    near.setBuckets('host', 1, 1, { servers: [2] });
    expect(near.at(2).judge(packet(0x02, 1)).counted).toEqual({ DROP_NOT_MINE: 1 });
  });
});

it('says of a first fragment that asks nothing until it is home', () => {
  server.setBuckets('udp', SELF, SELF, { servers: [3] });
  const [first, later] = fragments(4, 800);
  expect(server.judge(first)).toMatchObject({ verdict: 'TX', counted: { QUERY: 1 } });
  expect(server.judge(later).counted).toEqual({ DROP_FRAGMENT_UNKNOWN: 1 });
});
