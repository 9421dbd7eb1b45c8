// Whole TCP and UDP packets to services whose backend is known: every tunnel, every form of the frame they come in.
import {
  type Case,
  ends,
  flowOf,
  forwards,
  PROTOCOLS,
  plain,
  portOf,
  protocolName,
  segment,
  VERSIONS,
} from '../lib/case.ts';
import {
  authentication,
  concat,
  destinationOptions,
  ETHER_TYPE,
  type Extension,
  fragmentHeader,
  hopByHop,
  ip,
  ipv4,
  ipv6,
  payload,
  routing,
  type Tag,
  TCP_FLAG,
  udp,
} from '../lib/packets.ts';
import {
  CARRYING,
  innerMtu,
  NARROW_GUE4,
  NARROW4,
  NARROW6,
  PLAIN,
  REDIRECTED,
  TAGGED,
  TCP,
  UDP,
} from '../lib/site.ts';

const TAGS: readonly { name: string; tags: readonly Tag[] }[] = [
  { name: 'untagged', tags: [] },
  { name: '802.1Q', tags: [{ tci: 0x0064 }] },
  { name: '802.1ad', tags: [{ tpid: ETHER_TYPE.qinq, tci: 0x2065 }] },
  { name: '802.1ad and 802.1Q', tags: [{ tpid: ETHER_TYPE.qinq, tci: 0x00c8 }, { tci: 0x6066 }] },
  { name: 'two 802.1Q', tags: [{ tci: 0x00c8 }, { tci: 0x0066 }] },
];

const TUNNELS: readonly { name: string; backend: number }[] = [
  ...Object.entries(PLAIN).map(([name, backend]) => ({ name: `in ${name}`, backend })),
  ...Object.entries(TAGGED).map(([name, backend]) => ({ name: `in ${name} behind a VLAN`, backend })),
  { name: 'redirected', backend: REDIRECTED },
];

function everyTunnel(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const protocol of PROTOCOLS)
      for (const { name, backend } of TUNNELS)
        for (const { name: tagName, tags } of TAGS) {
          const flow = flowOf({ version, protocol, port: portOf(backend), clientPort: 30000 + backend });
          const shape = {
            name: `${protocolName(protocol)} over IPv${version}, ${tagName}, ${name}`,
            flow,
            link: { tags },
          };
          rows.push(forwards(shape, plain(flow, payload(33))));
        }
  return rows;
}

/** Traffic class octets with every ECN codepoint: the octet goes outside as it is. */
function trafficClasses(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const [name, backend] of Object.entries(PLAIN))
      for (const trafficClass of [0x01, 0x02, 0x03, 0xb8, 0xff]) {
        const flow = flowOf({ version, protocol: TCP, port: portOf(backend) });
        rows.push(
          forwards(
            { name: `traffic class ${trafficClass} of IPv${version} copied to ${name}`, flow, trafficClass },
            plain(flow, payload(8), { trafficClass }),
          ),
        );
      }
  return rows;
}

/** The outer length follows the inner IP length; what the frame has beyond stays behind it. */
function framesLongerThanPackets(): Case[] {
  const rows: Case[] = [];
  for (const backend of [...Object.values(PLAIN), ...Object.values(TAGGED)])
    for (const [version, protocol, data, padding] of [
      [4, TCP, 0, 6],
      [4, UDP, 1, 17],
      [4, UDP, 0, 18],
      [4, TCP, 40, 4],
      [6, UDP, 4, 8],
      [6, TCP, 0, 13],
    ] as const) {
      const flow = flowOf({ version, protocol, port: portOf(backend) });
      const name = `padding of ${padding} bytes behind ${protocolName(protocol)} of IPv${version} to backend ${backend}`;
      rows.push(forwards({ name, flow, padding: new Uint8Array(padding) }, plain(flow, payload(data))));
    }
  return rows;
}

function smallest(): Case[] {
  return VERSIONS.flatMap((version) =>
    [PLAIN.v4, PLAIN.gue6, TAGGED.v6].map((backend) => {
      const flow = flowOf({ version, protocol: UDP, port: portOf(backend) });
      return forwards(
        { name: `empty UDP of IPv${version} without padding to ${backend}`, flow },
        plain(flow, payload(0)),
      );
    }),
  );
}

function newFlows(): Case[] {
  const flagSets = [
    ['SYN', TCP_FLAG.syn, true],
    ['SYN ECE CWR', TCP_FLAG.syn | 0xc0, true],
    ['SYN ACK', TCP_FLAG.syn | TCP_FLAG.ack, false],
    ['ACK', TCP_FLAG.ack, false],
    ['FIN ACK', TCP_FLAG.fin | TCP_FLAG.ack, false],
    ['RST', TCP_FLAG.rst, false],
    ['no flags', 0, false],
  ] as const;
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const [name, flags, newFlow] of flagSets)
      for (const tags of [[], [{ tci: 5 }]]) {
        const flow = flowOf({ version, protocol: TCP, port: portOf(PLAIN.v4) });
        const options = Uint8Array.of(2, 4, 5, 180);
        const packet = ip(ends(flow), segment(flow, payload(0), { flags, options }));
        rows.push(
          forwards(
            { name: `TCP ${name} of IPv${version}, ${tags.length} tags`, flow, newFlow, link: { tags } },
            packet,
          ),
        );
      }
  // A UDP byte where TCP has its flags is no SYN.
  const flow = flowOf({ version: 4, protocol: UDP, port: portOf(PLAIN.v4) });
  const data = payload(16).fill(TCP_FLAG.syn);
  rows.push(forwards({ name: 'UDP with the SYN bit in its payload', flow }, plain(flow, data)));
  return rows;
}

function ipv4Options(): Case[] {
  const rows: Case[] = [];
  for (const words of [1, 5, 10])
    for (const protocol of PROTOCOLS)
      for (const backend of [PLAIN.v4, PLAIN.gue6, TAGGED.v4]) {
        const flow = flowOf({ version: 4, protocol, port: portOf(backend) });
        const options = new Uint8Array(words * 4).fill(1);
        rows.push(
          forwards(
            { name: `${words} words of IPv4 options before ${protocolName(protocol)} to ${backend}`, flow },
            ipv4({ ...ends(flow), options, dontFragment: true }, segment(flow, payload(12))),
          ),
        );
      }
  return rows;
}

const CHAINS: readonly { name: string; extensions: readonly Extension[] }[] = [
  { name: 'hop-by-hop', extensions: [hopByHop()] },
  { name: 'long hop-by-hop', extensions: [hopByHop(5)] },
  { name: 'routing', extensions: [routing()] },
  { name: 'destination options', extensions: [destinationOptions(2)] },
  { name: 'AH of 24 bytes', extensions: [authentication(24)] },
  { name: 'AH of 12 bytes', extensions: [authentication(12)] },
  { name: 'an atomic fragment', extensions: [fragmentHeader({ identification: 0x01020304 })] },
  {
    name: 'one of each',
    extensions: [
      hopByHop(),
      destinationOptions(),
      routing(1),
      fragmentHeader({ identification: 9 }),
      authentication(16),
      destinationOptions(3),
    ],
  },
  {
    name: 'eight headers',
    extensions: [hopByHop(), ...Array.from({ length: 7 }, () => destinationOptions())],
  },
  { name: 'a header of 256 bytes', extensions: [destinationOptions(32)] },
];

function ipv6Extensions(): Case[] {
  const rows: Case[] = [];
  for (const { name, extensions } of CHAINS)
    for (const protocol of PROTOCOLS)
      for (const [backend, tags] of [
        [PLAIN.v6, []],
        [PLAIN.gue4, [{ tci: 0x0123 }]],
      ] as const) {
        const flow = flowOf({ version: 6, protocol, port: portOf(backend) });
        rows.push(
          forwards(
            { name: `${name} before ${protocolName(protocol)}, ${tags.length} tags`, flow, link: { tags } },
            ipv6({ ...ends(flow), extensions }, segment(flow, payload(9))),
          ),
        );
      }
  return rows;
}

/** Packets of exactly the size that still fits. */
function exactlyFitting(): Case[] {
  return VERSIONS.flatMap((version) =>
    [NARROW4, NARROW6, NARROW_GUE4].flatMap((backend) =>
      [[], [{ tci: 3 }]].map((tags) => {
        const flow = flowOf({ version, protocol: UDP, port: portOf(backend) });
        const data = payload(innerMtu(backend) - (version === 4 ? 28 : 48));
        const name = `IPv${version} of ${innerMtu(backend)} bytes just fits backend ${backend}, ${tags.length} tags`;
        return forwards({ name, flow, link: { tags } }, plain(flow, data));
      }),
    ),
  );
}

/** Fields of the inner packet that nobody may touch or stumble over. */
function untouched(): Case[] {
  const flow4 = flowOf({ version: 4, protocol: UDP, port: portOf(PLAIN.v4) });
  const flow6 = flowOf({ version: 6, protocol: UDP, port: portOf(PLAIN.v6) });
  const rows: Case[] = [];
  for (const ttl of [0, 1, 255]) {
    rows.push(forwards({ name: `TTL ${ttl} of IPv4`, flow: flow4 }, plain(flow4, payload(20), { ttl })));
    rows.push(
      forwards({ name: `hop limit ${ttl} of IPv6`, flow: flow6 }, plain(flow6, payload(20), { ttl })),
    );
  }
  const reserved = ipv4(
    { ...ends(flow4), identification: 0xbeef, dontFragment: true },
    segment(flow4, payload(20)),
  );
  rows.push(forwards({ name: 'DF and identification of IPv4', flow: flow4 }, reserved));
  const evil = concat(reserved.bytes);
  evil[6] = 0x80;
  rows.push(forwards({ name: 'the reserved flag of IPv4', flow: flow4 }, { ...reserved, bytes: evil }));
  const bare = ip(
    ends(flow4),
    udp({ sourcePort: 40001, destinationPort: flow4.destinationPort, zeroChecksum: true }),
  );
  rows.push(forwards({ name: 'UDP without a checksum', flow: flow4 }, bare));
  return rows;
}

/** Lengths that take the outer checksum through the values where a carry of its sum carries again. */
function outerChecksums(): Case[] {
  const rows: Case[] = [];
  for (const backend of CARRYING) {
    const sized = (clientPort: number, bytes: number): Case => {
      const flow = flowOf({ version: 4, protocol: UDP, port: portOf(backend), clientPort });
      return forwards(
        { name: `port ${clientPort}, ${bytes} bytes to backend ${backend}`, flow },
        plain(flow, payload(bytes)),
      );
    };
    const at = 14 + 10;
    const checksumOf = ({ output }: Case): number => output![at]! * 256 + output![at + 1]!;
    // One byte more is one less: look for a flow that is a few hundred above zero, and step over it.
    let port = 1024;
    for (; port < 65536; port++) {
      const checksum = checksumOf(sized(port, 0));
      if (checksum >= 16 && checksum <= 600) break;
    }
    const zero = checksumOf(sized(port, 0));
    for (let bytes = zero - 4; bytes <= zero + 4; bytes++) rows.push(sized(port, bytes));
    // The same in the other byte order, which a little-endian machine adds in: there one less is 256 bytes more.
    for (let step = 1; step <= 5; step++)
      for (let bytes = zero + step * 256 - 2; bytes <= zero + step * 256 + 2; bytes++)
        rows.push(sized(port, bytes));
  }
  return rows;
}

export const FORWARD: Readonly<Record<string, readonly Case[]>> = {
  'every tunnel': everyTunnel(),
  'traffic class': trafficClasses(),
  'frames longer than packets': framesLongerThanPackets(),
  'smallest packets': smallest(),
  'new flows': newFlows(),
  'IPv4 options': ipv4Options(),
  'IPv6 extension headers': ipv6Extensions(),
  'packets that just fit': exactlyFitting(),
  'inner headers': untouched(),
  'outer checksums': outerChecksums(),
};
