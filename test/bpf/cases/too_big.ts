// Packets that do not fit once encapsulated: the sender is told what fits, where it may be told.
import {
  type Case,
  drops,
  ends,
  flowOf,
  PROTOCOLS,
  plain,
  portOf,
  protocolName,
  replies,
  segment,
  tagName,
  VERSIONS,
} from '../lib/case.ts';
import {
  CLIENT_MAC,
  type Datagram,
  ETHER_TYPE,
  frame,
  hopByHop,
  icmp4,
  icmp6,
  ipv4,
  ipv6,
  MUX_MAC,
  payload,
  type Tag,
} from '../lib/packets.ts';
import {
  BELOW_IPV6_MINIMUM,
  innerMtu,
  NARROW_GUE4,
  NARROW_TAGGED,
  NARROW4,
  NARROW6,
  TCP,
  TINY,
  UDP,
} from '../lib/site.ts';

const TAG_SETS: readonly (readonly Tag[])[] = [
  [],
  [{ tci: 0x4010 }],
  [{ tpid: ETHER_TYPE.qinq, tci: 9 }, { tci: 10 }],
];

/** RFC 1812 section 4.3.2.3: as much as fits 576 bytes; RFC 4443 section 2.4 (c): 1280. */
function answer(packet: Datagram, where: { source: string; destination: string }, mtu: number): Datagram {
  const back = { source: where.destination, destination: where.source, ttl: 64 };
  if (packet.version === 4) {
    const quote = packet.bytes.slice(0, 576 - 20 - 8);
    return ipv4({ ...back, identification: 0 }, icmp4({ type: 3, code: 4, rest: mtu, data: quote }));
  }
  const quote = packet.bytes.slice(0, 1280 - 40 - 8);
  return ipv6({ ...back, flowLabel: 0 }, icmp6({ type: 2, rest: Math.max(mtu, 1280), data: quote }));
}

function tooBig(
  name: string,
  packet: Datagram,
  flow: { source: string; destination: string },
  backend: number,
  tags: readonly Tag[] = [],
  padding: Uint8Array = payload(0),
): Case {
  const reply = frame(answer(packet, ends(flow), innerMtu(backend)), {
    tags,
    destination: CLIENT_MAC,
    source: MUX_MAC,
  });
  return replies({ name, link: { tags }, padding }, packet, 'REPLY_TOO_BIG', reply);
}

function answered(tagSets: readonly (readonly Tag[])[]): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const protocol of PROTOCOLS)
      for (const backend of [NARROW4, NARROW6, NARROW_GUE4, NARROW_TAGGED])
        for (const tags of tagSets)
          for (const bytes of [innerMtu(backend) + 1, 1500]) {
            const flow = flowOf({ version, protocol, port: portOf(backend) });
            const headers = (version === 4 ? 20 : 40) + (protocol === TCP ? 20 : 8);
            const name = `${protocolName(protocol)} of ${bytes} bytes over IPv${version} to backend ${backend}, ${tagName(tags)}`;
            rows.push(tooBig(name, plain(flow, payload(bytes - headers)), flow, backend, tags));
          }
  return rows;
}

function untagged(): Case[] {
  const rows = answered([[]]);
  const flow4 = flowOf({ version: 4, protocol: UDP, port: portOf(NARROW4) });
  const flow6 = flowOf({ version: 6, protocol: UDP, port: portOf(NARROW6) });
  for (const dontFragment of [true, false]) {
    const packet = ipv4({ ...ends(flow4), dontFragment }, segment(flow4, payload(1400)));
    rows.push(tooBig(`DF ${dontFragment ? 'set' : 'clear'}`, packet, flow4, NARROW4));
  }
  const options = new Uint8Array(24).fill(1);
  rows.push(
    tooBig('IPv4 options', ipv4({ ...ends(flow4), options }, segment(flow4, payload(1400))), flow4, NARROW4),
  );
  const first = ipv4({ ...ends(flow4), moreFragments: true }, segment(flow4, payload(1472)));
  rows.push(tooBig('a first fragment', first, flow4, NARROW4));
  const extensions = [hopByHop(3)];
  rows.push(
    tooBig(
      'IPv6 extension headers',
      ipv6({ ...ends(flow6), extensions }, segment(flow6, payload(1440))),
      flow6,
      NARROW6,
    ),
  );
  rows.push(
    tooBig('a frame longer than the packet', plain(flow4, payload(1400)), flow4, NARROW4, [], payload(9)),
  );
  for (const data of [0x00, 0xff])
    for (const [flow, backend] of [
      [flow4, NARROW4],
      [flow6, NARROW6],
    ] as const)
      rows.push(
        tooBig(`bytes of ${data} to ${backend}`, plain(flow, new Uint8Array(1452).fill(data)), flow, backend),
      );
  const below = flowOf({ version: 6, protocol: UDP, port: portOf(BELOW_IPV6_MINIMUM) });
  for (const bytes of [1261, 1280, 1400])
    rows.push(
      tooBig(
        `${bytes} bytes to a path below the minimum of IPv6`,
        plain(below, payload(bytes - 48)),
        below,
        BELOW_IPV6_MINIMUM,
      ),
    );
  return rows;
}

/** RFC 1122 section 3.2.2; RFC 4443 section 2.4 (e). */
function notAnswered(): Case[] {
  const rows: Case[] = [];
  const sources4 = ['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255'];
  const sources6 = ['::', 'ff02::1'];
  for (const source of [...sources4, ...sources6]) {
    const version = source.includes(':') ? 6 : 4;
    const flow = flowOf({ version, protocol: UDP, port: portOf(NARROW4), source });
    rows.push(drops({ name: `from ${source}` }, plain(flow, payload(1440)), 'DROP_TOO_BIG'));
  }
  return rows;
}

/** Too short to fill an error, and yet too long for the path. */
function tiny(): Case[] {
  const flow = flowOf({ version: 4, protocol: UDP, port: portOf(TINY) });
  const row = (bytes: number): Case => {
    const packet = plain(flow, payload(bytes - 28));
    const fits = bytes < 548;
    const name = `${bytes} bytes to a path of ${innerMtu(TINY)}`;
    return fits ? drops({ name }, packet, 'DROP_TOO_BIG') : tooBig(name, packet, flow, TINY);
  };
  return [501, 547, 548, 549].map(row);
}

export const TOO_BIG: Readonly<Record<string, readonly Case[]>> = {
  answered: untagged(),
  'answered behind tags': answered(TAG_SETS.slice(1)),
  'not answered': notAnswered(),
  'shorter than an error': tiny(),
};
