// Rules 0 to 4, of one server: what it passes, what it drops, and what it remembers.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { accepted, packetTo, syn } from '../lib/filter_packets.ts';
import {
  CLOSED_PORT,
  FilterServer,
  INCARNATION,
  OWN_MAC,
  type ServiceName,
  SITE,
  slotIn,
  TIMEOUT,
} from '../lib/filter_server.ts';
import { frame, ip, TCP_FLAG, tcp } from '../lib/packets.ts';
import { hex } from '../lib/rig.ts';

const SELF = 2;
const NASCENT = 250;
const SERVICES = Object.keys(SITE).filter((name) => !name.startsWith('address')) as ServiceName[];
const TCP_SERVICES = SERVICES.filter((name) => SITE[name].protocol !== 17);

describe.each([true, false])('a filter (glances: %s)', (glances) => {
  let server: FilterServer;
  beforeAll(() => {
    server = new FilterServer({ id: SELF });
    server.glances = glances;
  });
  beforeEach(() => {
    server.clear();
    server.setSelf({ id: SELF, incarnation: INCARNATION(SELF) });
    server.setDeadline(undefined);
    for (const service of Object.keys(SITE)) server.setBuckets(service, SELF);
  });
  afterAll(() => server?.close());

  describe.each(SERVICES)('of service %s', (service) => {
    it('drops what is of a clean bucket of another server, and remembers nothing (rule 0)', () => {
      server.setBuckets(service, 3);
      expect(server.judge(syn(service).frame)).toMatchObject({
        verdict: 'DROP',
        counted: { DROP_NOT_MINE: 1 },
      });
      expect(server.judge(packetTo(service).frame)).toMatchObject({ counted: { DROP_NOT_MINE: 1 } });
      expect(server.affinities().size).toBe(0);
    });

    it('drops what is of a bucket that nobody has', () => {
      server.setBuckets(service, 0);
      expect(server.judge(syn(service).frame)).toMatchObject({
        verdict: 'DROP',
        counted: { DROP_NOT_MINE: 1 },
      });
    });

    it('passes what begins a session in a bucket of its own, remembers it and gives it its own link address (rule 4)', () => {
      const sent = syn(service);
      const before = server.accepted();
      const { verdict, output, counted } = server.judge(sent.frame);
      expect({ verdict, counted }).toEqual({
        verdict: 'PASS',
        counted: { ACCEPT_OWN: 1, AFFINITY_RECORDED: 1 },
      });
      expect(hex(output)).toBe(hex(accepted(sent.frame, OWN_MAC(SELF))));
      const tcpLike = SITE[service].protocol !== 17;
      expect(server.affinities().get(sent.hash)).toMatchObject({
        slot: SITE[service].slotBase + slotIn(service, sent.hash),
        lifetime: tcpLike ? NASCENT : TIMEOUT,
        age: 0,
        is_proven: 0,
      });
      expect(server.accepted().map((now, i) => now - before[i]!)).toEqual([
        1,
        sent.datagram.length,
        tcpLike ? 1 : 0,
      ]);
    });

    it('passes and renews a client that it knows, and believes it when more than a SYN was seen (rule 1)', () => {
      server.run(syn(service).frame);
      server.advance(100);
      const sent = packetTo(service);
      const { verdict, output, counted } = server.judge(sent.frame);
      expect({ verdict, counted }).toEqual({
        verdict: 'PASS',
        counted: { ACCEPT_AFFINITY: 1, AFFINITY_PROVEN_NOW: 1 },
      });
      expect(hex(output)).toBe(hex(accepted(sent.frame, OWN_MAC(SELF))));
      expect(server.affinities().get(sent.hash)).toMatchObject({ lifetime: TIMEOUT, age: 0, is_proven: 1 });
      server.advance(TIMEOUT);
      expect(server.judge(sent.frame).counted).toEqual({ ACCEPT_AFFINITY: 1 });
      expect(server.affinities().get(sent.hash)).toMatchObject({ age: 0 });
    });

    it('forgets a client that was silent for longer than the timeout', () => {
      const sent = packetTo(service);
      server.run(syn(service).frame);
      server.run(sent.frame);
      server.advance(TIMEOUT + 1);
      expect(server.affinities().size).toBe(0);
      expect(server.judge(sent.frame).counted).toMatchObject({ ACCEPT_OWN: 1 });
    });

    it('knows a client of a tracked bucket of another server (rule 1 before 3)', () => {
      server.run(syn(service).frame);
      server.setBuckets(service, 3, 3, { servers: [SELF] });
      expect(server.judge(packetTo(service).frame)).toMatchObject({
        verdict: 'PASS',
        counted: { ACCEPT_AFFINITY: 1 },
      });
    });

    it('drops what it does not know of a tracked bucket of another server (rule 3)', () => {
      server.setBuckets(service, 3, 3, { servers: [SELF] });
      expect(server.judge(packetTo(service).frame).counted).toEqual({ DROP_NOT_MINE: 1 });
      expect(server.judge(syn(service).frame).counted).toEqual({ DROP_NOT_MINE: 1 });
    });

    it('drops what another server has, in its own clean bucket, too (rule 2)', () => {
      const sent = syn(service);
      expect(server.learn({ hash: sent.hash, server: 4, lifetime: 30 })).toBe(1);
      expect(server.judge(sent.frame)).toMatchObject({ verdict: 'DROP', counted: { DROP_FOREIGN: 1 } });
    });

    it('passes nothing past its deadline, whatever it knows', () => {
      server.run(syn(service).frame);
      server.setDeadline(-1);
      for (const sent of [syn(service), packetTo(service)])
        expect(server.judge(sent.frame)).toMatchObject({ verdict: 'DROP', counted: { DROP_FENCED: 1 } });
      server.setBuckets(service, 3, 3, { servers: [SELF] });
      expect(server.judge(packetTo(service).frame).counted).toEqual({ DROP_FENCED: 1 });
    });
  });

  it.each(TCP_SERVICES)(
    'passes what begins nothing in a clean bucket of its own, and remembers nothing: %s',
    (service) => {
      expect(server.judge(packetTo(service).frame).counted).toEqual({ ACCEPT_OWN: 1 });
      expect(server.affinities().size).toBe(0);
    },
  );

  it('forgets after 67 s who sent nothing but SYNs, the last of which counts', () => {
    server.run(syn('tcp').frame);
    server.advance(NASCENT);
    expect(server.judge(syn('tcp').frame).counted).toEqual({ ACCEPT_AFFINITY: 1 });
    server.advance(NASCENT);
    expect(server.affinities().size).toBe(1);
    server.advance(1);
    expect(server.affinities().size).toBe(0);
  });

  it('has a new beginning after a new incarnation', () => {
    server.run(syn('host').frame);
    server.run(packetTo('host').frame);
    server.setSelf({ incarnation: 4711 });
    expect(server.affinities().size).toBe(0);
    server.setBuckets('host', 3, 3, { servers: [SELF] });
    // Its connection goes on; the client is unknown.
    expect(server.judge(packetTo('host').frame).counted).toEqual({ ACCEPT_CONNECTION: 1 });
    expect(server.judge(packetTo('host', { clientPort: 9 }).frame).counted).toEqual({ DROP_NOT_MINE: 1 });
  });

  it.each([
    ['host', '198.51.100.78', false],
    ['subnet', '198.51.100.200', true],
    ['subnet', '198.51.101.77', false],
    ['host6', '2001:db8:c::78', false],
    ['subnet6', '2001:db8:c::1:2:3:4', true],
    ['subnet6', '2001:db8:c:1::77', false],
    ['group', '198.51.100.78', false],
  ] as const)('takes for the same client of %s another address: %s %s', (service, client, isSame) => {
    server.run(syn(service).frame);
    server.setBuckets(service, 3, 3, { servers: [SELF] });
    expect(server.judge(syn(service, { client }).frame).counted).toMatchObject(
      isSame ? { ACCEPT_AFFINITY: 1 } : { DROP_NOT_MINE: 1 },
    );
  });

  it.each(['host', 'subnet', 'host6', 'subnet6'] as const)(
    'knows a client of %s from any port',
    (service) => {
      server.run(syn(service).frame);
      expect(server.judge(packetTo(service, { clientPort: 1 }).frame).counted).toMatchObject({
        ACCEPT_AFFINITY: 1,
      });
    },
  );

  it.each(['tcp', 'tcp6'] as const)('knows a connection of %s by its ports', (service) => {
    server.run(syn(service).frame);
    server.setBuckets(service, 3, 3, { servers: [SELF] });
    expect(server.judge(packetTo(service, { clientPort: 1 }).frame).counted).toEqual({ DROP_NOT_MINE: 1 });
    expect(server.judge(packetTo(service).frame).counted).toMatchObject({ ACCEPT_AFFINITY: 1 });
  });

  it('keeps one client over all ports and protocols of a group', () => {
    server.run(syn('group', { port: 80 }).frame);
    server.setBuckets('group', 3, 3, { servers: [SELF] });
    for (const fields of [{ port: 443 }, { port: 53, protocol: 17 }])
      expect(server.judge(syn('group', fields).frame).counted).toMatchObject({ ACCEPT_AFFINITY: 1 });
  });

  it('answers alone what anybody would, and nothing that nobody would', () => {
    server.setSelf({ id: 0 });
    server.glances = false;
    server.setBuckets('tcp', 7);
    expect(server.judge(syn('tcp').frame).counted).toMatchObject({ ACCEPT_OWN: 1 });
    server.setBuckets('tcp', 7, 3, { servers: [1, 3] });
    expect(server.judge(syn('tcp', { clientPort: 9 }).frame).counted).toMatchObject({ ACCEPT_NOBODY: 1 });
    server.setBuckets('tcp', 0);
    expect(server.judge(syn('tcp', { clientPort: 10 }).frame).counted).toEqual({ DROP_NOT_MINE: 1 });
    server.glances = glances;
  });

  it('drops what is for a port that no server answers', () => {
    const closed = frame(
      ip(
        { source: '198.51.100.1', destination: SITE.tcp.address },
        tcp({ sourcePort: 1, destinationPort: CLOSED_PORT }),
      ),
    );
    expect(server.judge(closed)).toMatchObject({ verdict: 'DROP', counted: { DROP_NO_BUCKET: 1 } });
  });

  it('leaves other packets of the host as they are', () => {
    const other = frame(
      ip({ source: '198.51.100.1', destination: '192.0.2.77' }, tcp({ sourcePort: 1, destinationPort: 443 })),
    );
    const { verdict, output, counted } = server.judge(other);
    expect({ verdict, counted }).toEqual({ verdict: 'PASS', counted: { PASS_NOT_A_SERVICE: 1 } });
    expect(hex(output)).toBe(hex(other));
  });

  it('leaves frames addressed as they are where it does not know its own address', () => {
    server.setLinkAddress(new Uint8Array(6));
    const sent = syn('tcp');
    expect(hex(server.run(sent.frame).output)).toBe(hex(sent.frame));
    server.setLinkAddress(OWN_MAC(SELF));
  });
});

it('finds each of many services, wherever it stands in the table', () => {
  const COUNT = 1200;
  const slots = 5;
  const services = Array.from({ length: COUNT }, (_, i) => ({
    name: `service-${i}`,
    rule: {
      address: SITE.tcp.address,
      port: 1000 + i,
      protocol: 6,
      slotBase: i * slots,
      slotCount: slots,
      pool: 1,
    },
  }));
  const crowded = new FilterServer({
    id: SELF,
    slotCapacity: COUNT * slots,
    site: Object.fromEntries(services.map(({ name, rule }) => [name, rule])),
  });
  try {
    for (const [i, { name }] of services.entries()) crowded.setBuckets(name, i % 2 === 0 ? SELF : 3);
    const wrong = services.filter(({ rule }, i) => {
      const layer = tcp({ sourcePort: 1, destinationPort: rule.port, flags: TCP_FLAG.ack });
      const sent = frame(ip({ source: '198.51.100.1', destination: rule.address }, layer));
      return crowded.run(sent).verdict !== (i % 2 === 0 ? 'PASS' : 'DROP');
    });
    expect(wrong).toEqual([]);
  } finally {
    crowded.close();
  }
});
