// Which service a packet is for, which flow it belongs to, and what is none of the mux's business.
import {
  type Case,
  drops,
  ends,
  flowOf,
  forwards,
  PROTOCOLS,
  passes,
  passesFrame,
  plain,
  portOf,
  protocolName,
  tagName,
  VERSIONS,
} from '../lib/case.ts';
import {
  be,
  concat,
  ETHER_TYPE,
  fragmentHeader,
  frame,
  hopByHop,
  ip,
  ipv6,
  link,
  PROTOCOL,
  payload,
  raw,
  tcp,
} from '../lib/packets.ts';
import {
  ABSENT,
  ANY4,
  ANY6,
  clientAddress,
  EMPTY_SLOT,
  hostAddress,
  PLAIN,
  PORT,
  STICKY4,
  STICKY6,
  serviceAddress,
  TCP,
  UDP,
} from '../lib/site.ts';

const client = (version: 4 | 6, host: number, subnet = 0): string =>
  version === 4 ? `198.51.${100 + subnet}.${host}` : `2001:db8:c:${subnet}::${host.toString(16)}`;

/** Flows that differ in one thing each, over a pool of eight. */
function pools(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const protocol of PROTOCOLS)
      for (let i = 0; i < 12; i++) {
        const flow = flowOf({
          version,
          protocol,
          port: PORT.pool,
          clientPort: 1024 + i * 4093,
          source: client(version, i + 1),
        });
        rows.push(
          forwards(
            { name: `flow ${i} of ${protocolName(protocol)} over IPv${version}`, flow },
            plain(flow, payload(5)),
          ),
        );
      }
  return rows;
}

function anyPort(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const protocol of PROTOCOLS)
      for (const port of [1, 80, 443, 65535, 0])
        for (const tags of [[], [{ tci: 77 }]]) {
          const flow = flowOf({ version, protocol, port, destination: version === 4 ? ANY4 : ANY6 });
          const name = `${protocolName(protocol)} port ${port} of an IPv${version} address, ${tagName(tags)}`;
          rows.push(forwards({ name, flow, link: { tags } }, plain(flow, payload(5))));
        }
  return rows;
}

/** The ports of one client, the clients of one subnet. */
function affinity(): Case[] {
  const rows: Case[] = [];
  const targets = [
    { what: 'by address', port: PORT.byAddress, address: serviceAddress },
    { what: 'by subnet', port: PORT.bySubnet, address: serviceAddress },
    { what: 'without source port', port: PORT.noSourcePort, address: serviceAddress },
    { what: 'by subnet at any port', port: 7777, address: (v: 4 | 6) => (v === 4 ? STICKY4 : STICKY6) },
    { what: 'by subnet at any other port', port: 7778, address: (v: 4 | 6) => (v === 4 ? STICKY4 : STICKY6) },
  ];
  for (const version of VERSIONS)
    for (const protocol of PROTOCOLS)
      for (const { what, port, address } of targets)
        for (const [host, subnet, clientPort] of [
          [1, 0, 1000],
          [1, 0, 2000],
          [254, 0, 1000],
          [1, 1, 1000],
        ] as const) {
          const source = client(version, host, subnet);
          const flow = flowOf({ version, protocol, port, clientPort, source, destination: address(version) });
          const name = `${what}, ${protocolName(protocol)} from ${source} port ${clientPort}`;
          rows.push(forwards({ name, flow }, plain(flow, payload(5))));
        }
  return rows;
}

function notServices(): Case[] {
  const rows: Case[] = [];
  const tagSets = [[], [{ tci: 9 }], [{ tpid: ETHER_TYPE.qinq, tci: 8 }, { tci: 9 }]];
  for (const version of VERSIONS)
    for (const tags of tagSets) {
      const shape = (what: string) => ({ name: `${what}, IPv${version}, ${tagName(tags)}`, link: { tags } });
      for (const protocol of PROTOCOLS) {
        const name = protocolName(protocol);
        const unknownPort = flowOf({ version, protocol, port: 999 });
        rows.push(
          passes(shape(`${name} to an unknown port`), plain(unknownPort, payload(30)), 'PASS_NO_SUCH_PORT'),
        );
        const zero = flowOf({ version, protocol, port: 0 });
        rows.push(passes(shape(`${name} to port 0`), plain(zero, payload(30)), 'PASS_NO_SUCH_PORT'));
        const host = flowOf({ version, protocol, port: PORT.pool, destination: hostAddress(version) });
        rows.push(passes(shape(`${name} to the host`), plain(host, payload(30)), 'PASS_NOT_A_SERVICE'));
        const from = flowOf({
          version,
          protocol,
          port: 50000,
          source: serviceAddress(version),
          destination: clientAddress(version),
        });
        rows.push(passes(shape(`${name} from a service`), plain(from, payload(30)), 'PASS_NOT_A_SERVICE'));
      }
      const otherProtocol = flowOf({ version, protocol: TCP, port: PORT.quic(1) });
      rows.push(
        passes(shape('TCP to a port of UDP only'), plain(otherProtocol, payload(30)), 'PASS_NO_SUCH_PORT'),
      );
      for (const protocol of [
        2,
        47,
        PROTOCOL.esp,
        PROTOCOL.none,
        89,
        132,
        PROTOCOL.ipip,
        PROTOCOL.ipv6,
        255,
      ]) {
        const fields = { source: clientAddress(version), destination: serviceAddress(version) };
        const packet = ip(fields, raw(protocol, payload(40)));
        rows.push(passes(shape(`protocol ${protocol} to a service address`), packet, 'PASS_NOT_A_SERVICE'));
      }
      const other = { source: clientAddress(version), destination: serviceAddress(version) };
      const wrongIcmp = raw(version === 4 ? PROTOCOL.icmp6 : PROTOCOL.icmp, payload(40));
      rows.push(passes(shape('the other ICMP'), ip(other, wrongIcmp), 'PASS_NOT_A_SERVICE'));
    }
  const hostFragment = ipv6(
    {
      source: clientAddress(6),
      destination: hostAddress(6),
      extensions: [hopByHop(), fragmentHeader({ identification: 5, more: true })],
    },
    tcp({ sourcePort: 1, destinationPort: PORT.pool, data: payload(20) }),
  );
  rows.push(passes({ name: 'a first fragment to the host' }, hostFragment, 'PASS_NOT_A_SERVICE'));
  return rows;
}

function notIp(): Case[] {
  const arp = concat(be(1, 2), be(0x0800, 2), be(0x0604, 2), be(1, 2), payload(20));
  const service = plain(flowOf({ version: 4, protocol: TCP, port: PORT.pool }), payload(20));
  const three = [{ tci: 1 }, { tci: 2 }, { tci: 3 }];
  return [
    passesFrame('ARP', link({}, ETHER_TYPE.arp, arp), 'PASS_NOT_IP'),
    passesFrame('ARP, tagged', link({ tags: [{ tci: 1 }] }, ETHER_TYPE.arp, arp), 'PASS_NOT_IP'),
    passesFrame('LLDP', link({}, 0x88cc, payload(60)), 'PASS_NOT_IP'),
    passesFrame(
      'MPLS over a service packet',
      link({}, 0x8847, concat(be(0x10140, 4), service.bytes)),
      'PASS_NOT_IP',
    ),
    passesFrame('an 802.3 length', link({}, 46, payload(46)), 'PASS_NOT_IP'),
    passesFrame('three tags', frame(service, { tags: three }), 'PASS_NOT_IP'),
    passesFrame('nothing but Ethernet', link({}, ETHER_TYPE.arp, payload(0)), 'PASS_NOT_IP'),
    passesFrame('a tag that is cut off', link({}, ETHER_TYPE.vlan, be(1, 2)), 'PASS_NOT_IP'),
    passesFrame(
      'a second tag that is cut off',
      link({ tags: [{ tci: 1 }] }, ETHER_TYPE.vlan, be(1, 2)),
      'PASS_NOT_IP',
    ),
    passesFrame('zeros', new Uint8Array(60), 'PASS_NOT_IP'),
    passesFrame('ones', new Uint8Array(60).fill(0xff), 'PASS_NOT_IP'),
  ];
}

function nowhereToGo(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const protocol of PROTOCOLS)
      for (const tags of [[], [{ tci: 4 }]])
        for (const [what, backend] of [
          ['an empty slot', EMPTY_SLOT],
          ['an absent backend', ABSENT],
        ] as const) {
          const flow = flowOf({ version, protocol, port: portOf(backend) });
          const name = `${what}, ${protocolName(protocol)} over IPv${version}, ${tagName(tags)}`;
          rows.push(drops({ name, link: { tags } }, plain(flow, payload(20)), 'DROP_NO_BACKEND'));
        }
  return rows;
}

/** An IPv4 service is not reached by its address written as IPv6. */
function mappedAddresses(): Case[] {
  const flow = flowOf({ version: 6, protocol: UDP, port: portOf(PLAIN.v4), destination: '::ffff:cb00:710a' });
  return [
    passes(
      { name: 'an IPv4-mapped destination' },
      ip(ends(flow), tcp({ sourcePort: 1, destinationPort: portOf(PLAIN.v4) })),
      'PASS_NOT_A_SERVICE',
    ),
  ];
}

export const SERVICE: Readonly<Record<string, readonly Case[]>> = {
  'a pool of backends': pools(),
  'any port': anyPort(),
  affinity: affinity(),
  'not a service': notServices(),
  'not IP': notIp(),
  'nowhere to go': nowhereToGo(),
  'mapped addresses': mappedAddresses(),
};
