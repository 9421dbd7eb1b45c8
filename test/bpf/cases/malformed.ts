// Packets that contradict themselves or the frame they are in.
import {
  type Case,
  drops,
  ends,
  flowOf,
  PROTOCOLS,
  passes,
  passesFrame,
  plain,
  portOf,
  protocolName,
  segment,
  tagName,
  VERSIONS,
} from '../lib/case.ts';
import {
  authentication,
  type Datagram,
  destinationOptions,
  ETHER_TYPE,
  fragmentHeader,
  frame,
  hopByHop,
  icmp4,
  icmp6,
  ipv4,
  ipv6,
  link,
  payload,
  routing,
} from '../lib/packets.ts';
import { hostAddress, PLAIN, TCP, UDP } from '../lib/site.ts';

const TAG_SETS = [[], [{ tci: 6 }]];

const echo = (version: 4 | 6) =>
  version === 4
    ? icmp4({ type: 8, rest: 7, data: payload(40) })
    : icmp6({ type: 128, rest: 7, data: payload(40) });

/** A packet whose length field says `length` bytes of IP, whatever there is. */
function claiming(version: 4 | 6, protocol: number | 'ICMP', length: number, destination?: string): Datagram {
  const flow = flowOf({
    version,
    protocol: protocol === 'ICMP' ? TCP : protocol,
    port: portOf(PLAIN.v4),
    ...(destination ? { destination } : {}),
  });
  const layer = protocol === 'ICMP' ? echo(version) : segment(flow, payload(40));
  return version === 4
    ? ipv4({ ...ends(flow), totalLength: length }, layer)
    : ipv6({ ...ends(flow), payloadLength: length - 40 }, layer);
}

const headerBytes = (version: 4 | 6): number => (version === 4 ? 20 : 40);

function longerThanTheFrame(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const protocol of [...PROTOCOLS, 'ICMP'] as const)
      for (const tags of TAG_SETS) {
        const whole = headerBytes(version) + (protocol === TCP ? 60 : 48);
        const largest = version === 4 ? 65535 : 65575;
        for (const length of [whole + 1, whole + 1000, largest]) {
          const what = typeof protocol === 'string' ? protocol : protocolName(protocol);
          const name = `${what} over IPv${version} says ${length} of ${whole} bytes, ${tagName(tags)}`;
          rows.push(drops({ name, link: { tags } }, claiming(version, protocol, length), 'DROP_TRUNCATED'));
        }
      }
  return rows;
}

function shorterThanTheHeaders(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const protocol of PROTOCOLS)
      for (const tags of TAG_SETS) {
        const header = headerBytes(version);
        const transport = protocol === TCP ? 20 : 8;
        const lengths = version === 4 ? [0, 1, 19, 20, 24] : [40, 44];
        for (const length of [...lengths, header + transport - 1]) {
          const name = `${protocolName(protocol)} over IPv${version} says ${length} bytes, ${tagName(tags)}`;
          rows.push(drops({ name, link: { tags } }, claiming(version, protocol, length), 'DROP_BAD_HEADER'));
        }
      }
  return rows;
}

function icmpShorterThanItsHeader(): Case[] {
  return VERSIONS.flatMap((version) =>
    (version === 4 ? [0, 19, 20, 27] : [40, 47]).map((length) =>
      drops(
        { name: `an echo request of IPv${version} says ${length} bytes` },
        claiming(version, 'ICMP', length),
        'DROP_BAD_HEADER',
      ),
    ),
  );
}

function hostsOwn(): Case[] {
  return VERSIONS.flatMap((version) =>
    PROTOCOLS.flatMap((protocol) =>
      [headerBytes(version), 5000].map((length) =>
        passes(
          { name: `${protocolName(protocol)} to the host over IPv${version} says ${length} bytes` },
          claiming(version, protocol, length, hostAddress(version)),
          'PASS_NOT_A_SERVICE',
        ),
      ),
    ),
  );
}

function brokenHeaders(): Case[] {
  const flow4 = flowOf({ version: 4, protocol: UDP, port: portOf(PLAIN.v4) });
  const flow6 = flowOf({ version: 6, protocol: UDP, port: portOf(PLAIN.v4) });
  const v4 = (fields: object): Uint8Array =>
    frame(ipv4({ ...ends(flow4), ...fields }, segment(flow4, payload(40))));
  const v6 = (fields: object): Uint8Array =>
    frame(ipv6({ ...ends(flow6), ...fields }, segment(flow6, payload(40))));
  const rows = [
    ...[0, 1, 4].map((headerWords) =>
      passesFrame(`IPv4 header of ${headerWords} words`, v4({ headerWords }), 'PASS_MALFORMED'),
    ),
    ...[0, 5, 6, 15].map((versionField) =>
      passesFrame(`version ${versionField} in IPv4`, v4({ versionField }), 'PASS_MALFORMED'),
    ),
    ...[0, 4, 5, 15].map((versionField) =>
      passesFrame(`version ${versionField} in IPv6`, v6({ versionField }), 'PASS_MALFORMED'),
    ),
    passesFrame(
      'IPv4 in a frame of IPv6',
      link({}, ETHER_TYPE.ipv6, plain(flow4, payload(40)).bytes),
      'PASS_MALFORMED',
    ),
    passesFrame(
      'IPv6 in a frame of IPv4',
      link({}, ETHER_TYPE.ipv4, plain(flow6, payload(40)).bytes),
      'PASS_MALFORMED',
    ),
    passesFrame(
      'an IPv4 header longer than the frame',
      v4({ headerWords: 15 }).slice(0, 14 + 40),
      'PASS_MALFORMED',
    ),
  ];
  return rows;
}

function tooManyExtensions(): Case[] {
  const rows: Case[] = [];
  const nine = [hopByHop(), ...Array.from({ length: 8 }, () => destinationOptions())];
  const mixed = [
    hopByHop(),
    destinationOptions(),
    routing(1),
    ...Array.from({ length: 6 }, () => authentication(12)),
  ];
  for (const [name, extensions] of [
    ['nine headers', nine],
    ['nine of several kinds', mixed],
    ['twelve headers', [...nine, ...nine.slice(6)]],
  ] as const)
    for (const tags of TAG_SETS) {
      const flow = flowOf({ version: 6, protocol: TCP, port: portOf(PLAIN.v6) });
      const shape = { name: `${name}, ${tagName(tags)}`, link: { tags } };
      rows.push(
        drops(
          shape,
          ipv6({ ...ends(flow), extensions }, segment(flow, payload(10))),
          'DROP_EXTENSION_HEADERS',
        ),
      );
      const toHost = { ...ends(flow), destination: hostAddress(6), extensions };
      rows.push(
        passes(
          { ...shape, name: `${shape.name}, to the host` },
          ipv6(toHost, segment(flow, payload(10))),
          'PASS_NOT_A_SERVICE',
        ),
      );
    }
  return rows;
}

/** The transport header is not where the packet ends. */
function endsInExtensions(): Case[] {
  const flow = flowOf({ version: 6, protocol: UDP, port: portOf(PLAIN.v6) });
  return [
    ['hop-by-hop', [hopByHop(4)]],
    ['fragment', [fragmentHeader({ identification: 1 })]],
  ].map(([name, extensions]) => {
    const packet = ipv6({ ...ends(flow), extensions: extensions as [] }, segment(flow, payload(0)));
    const input = frame(packet);
    return passesFrame(`ends within ${name}`, input.slice(0, 14 + 40 + 7), 'PASS_MALFORMED');
  });
}

/** A length that ends between an extension header and the transport header behind it. */
function lengthEndsBeforeTransport(): Case[] {
  const flow = flowOf({ version: 6, protocol: UDP, port: portOf(PLAIN.v6) });
  return [0, 7, 8, 15].map((payloadLength) =>
    drops(
      { name: `a payload length of ${payloadLength} with eight bytes of options` },
      ipv6({ ...ends(flow), extensions: [hopByHop()], payloadLength }, segment(flow, payload(10))),
      'DROP_BAD_HEADER',
    ),
  );
}

export const MALFORMED: Readonly<Record<string, readonly Case[]>> = {
  'longer than the frame': longerThanTheFrame(),
  'shorter than the headers': shorterThanTheHeaders(),
  'ICMP shorter than its header': icmpShorterThanItsHeader(),
  "the host's own": hostsOwn(),
  'broken IP headers': brokenHeaders(),
  'too many extension headers': tooManyExtensions(),
  'ends in an extension header': endsInExtensions(),
  'length ends before the transport': lengthEndsBeforeTransport(),
};
