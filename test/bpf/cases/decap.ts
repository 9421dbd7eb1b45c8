// The other end of the tunnel: what is unwrapped and how, what is dropped, what is left to the host.
import {
  type Case,
  drops,
  ends,
  flowOf,
  PROTOCOLS,
  passes,
  passesFrame,
  plain,
  type Shape,
  segment,
  tagName,
  VERSIONS,
} from '../lib/case.ts';
import {
  type Datagram,
  destinationOptions,
  ETHER_TYPE,
  fragmentHeader,
  frame,
  gue,
  hopByHop,
  type IpFields,
  icmp4,
  inner,
  ip,
  ipv4,
  ipv6,
  type Layer,
  link,
  payload,
  raw,
  type Tag,
  udp,
} from '../lib/packets.ts';
import { ECN_AFTER_DECAPSULATION } from '../lib/reference.ts';
import { hostAddress, TCP, UDP } from '../lib/site.ts';

export const MUX_PREFIXES = ['198.18.64.0/18', '2001:db8:100::/100'];
export const GUE_PORT = 6080;

const MUX = { 4: '198.18.127.255', 6: '2001:db8:100::fff:ffff' } as const;
const FOREIGN = { 4: '198.18.128.0', 6: '2001:db8:100::1000:0' } as const;
const BACKEND = { 4: '192.0.2.1', 6: '2001:db8:b::2' } as const;

const TAG_SETS: readonly (readonly Tag[])[] = [
  [],
  [{ tci: 0x2123 }],
  [{ tpid: ETHER_TYPE.qinq, tci: 4 }, { tci: 5 }],
];
const KINDS = ['ip', 'gue'] as const;
type Kind = (typeof KINDS)[number];

interface OuterOptions {
  source?: string;
  trafficClass?: number;
  port?: number;
}

const layerOf = (kind: Kind, packet: Datagram, port = GUE_PORT): Layer =>
  kind === 'ip' ? inner(packet) : gue({ sourcePort: 0xc123, destinationPort: port }, packet);

function outer(
  version: 4 | 6,
  kind: Kind,
  packet: Datagram,
  { source = MUX[version], port, ...more }: OuterOptions = {},
): Datagram {
  const fields: IpFields = { source, destination: BACKEND[version], ttl: 63, ...more };
  return ip(fields, layerOf(kind, packet, port));
}

/** `rest`: what the frame holds behind the inner packet. */
function unwraps(shape: Shape, wrapped: Datagram, packet: Datagram): Case {
  const input = frame(wrapped, shape.link, shape.padding);
  const output = frame(packet, shape.link, shape.padding);
  const end = 14 + 4 * (shape.link?.tags?.length ?? 0) + wrapped.length;
  return { name: shape.name, input, end, verdict: 'PASS', reason: 'DECAP', output };
}

const innerPacket = (version: 4 | 6, protocol: number, more: Partial<IpFields> = {}): Datagram =>
  plain(flowOf({ version, protocol, port: 80 }), payload(31), more);

function everyTunnel(): Case[] {
  const rows: Case[] = [];
  for (const outside of VERSIONS)
    for (const kind of KINDS)
      for (const inside of VERSIONS)
        for (const protocol of PROTOCOLS)
          for (const tags of TAG_SETS) {
            const packet = innerPacket(inside, protocol);
            const name = `IPv${inside} protocol ${protocol} in IPv${outside} ${kind}, ${tagName(tags)}`;
            rows.push(unwraps({ name, link: { tags } }, outer(outside, kind, packet), packet));
          }
  return rows;
}

/** Inner packets of any form reach the host as they are. */
function innerForms(): Case[] {
  const rows: Case[] = [];
  const flow4 = flowOf({ version: 4, protocol: TCP, port: 80 });
  const flow6 = flowOf({ version: 6, protocol: TCP, port: 80 });
  const extensions = [hopByHop(), destinationOptions(4)];
  const forms: [string, Datagram][] = [
    [
      'IPv4 options',
      ipv4({ ...ends(flow4), options: new Uint8Array(40).fill(1) }, segment(flow4, payload(4))),
    ],
    [
      'an IPv4 fragment',
      ipv4({ ...ends(flow4), fragmentOffset: 800, moreFragments: true }, raw(UDP, payload(64))),
    ],
    ['IPv6 extension headers', ipv6({ ...ends(flow6), extensions }, segment(flow6, payload(4)))],
    [
      'an IPv6 fragment',
      ipv6(
        { ...ends(flow6), extensions: [fragmentHeader({ identification: 8, offset: 80 })] },
        raw(UDP, payload(64)),
      ),
    ],
    ['an ICMP error', ipv4(ends(flow4), icmp4({ type: 3, code: 4, rest: 1300, data: payload(64) }))],
    ['any protocol', ipv4(ends(flow4), raw(132, payload(30)))],
    ['no payload', ipv4(ends(flow4), raw(UDP, payload(0)))],
    ['TTL 1', ipv4({ ...ends(flow4), ttl: 1 }, segment(flow4, payload(4)))],
    ['1460 bytes', ipv4(ends(flow4), segment(flow4, payload(1420)))],
  ];
  for (const outside of VERSIONS)
    for (const kind of KINDS)
      for (const [name, packet] of forms)
        rows.push(
          unwraps({ name: `${name} in IPv${outside} ${kind}` }, outer(outside, kind, packet), packet),
        );
  const packet = innerPacket(4, UDP);
  rows.push(
    unwraps(
      { name: 'padding behind the packet', padding: new Uint8Array(11) },
      outer(4, 'ip', packet),
      packet,
    ),
  );
  const options = new Uint8Array(12).fill(1);
  for (const kind of KINDS) {
    const fields = { source: MUX[4], destination: BACKEND[4], options };
    rows.push(unwraps({ name: `outer IPv4 options, ${kind}` }, ipv4(fields, layerOf(kind, packet)), packet));
  }
  return rows;
}

/** RFC 6040 section 4.2, figure 4; the DSCP stays the inner one. */
function ecn(): Case[] {
  const rows: Case[] = [];
  for (const outside of VERSIONS)
    for (const kind of KINDS)
      for (const inside of VERSIONS)
        for (let innerEcn = 0; innerEcn < 4; innerEcn++)
          for (let outerEcn = 0; outerEcn < 4; outerEcn++)
            for (const dscp of [0, 0xb8, 0xfc]) {
              const packet = innerPacket(inside, TCP, { trafficClass: dscp | innerEcn });
              const wrapped = outer(outside, kind, packet, { trafficClass: 0x48 | outerEcn });
              const name = `outer ${outerEcn}, inner ${innerEcn} with DSCP ${dscp >> 2}: IPv${inside} in IPv${outside} ${kind}`;
              const after = ECN_AFTER_DECAPSULATION[innerEcn]![outerEcn];
              rows.push(
                after === undefined
                  ? drops({ name }, wrapped, 'DROP_ECN')
                  : unwraps({ name }, wrapped, innerPacket(inside, TCP, { trafficClass: dscp | after })),
              );
            }
  // Carries of the checksum update, at every value of the sum's low half near its ends.
  for (let identification = 0; identification < 16; identification++) {
    const flow = flowOf({ version: 4, protocol: UDP, port: 80 });
    const at = (trafficClass: number, id: number): Datagram =>
      ipv4({ ...ends(flow), identification: id, trafficClass }, segment(flow, payload(4)));
    const sum = at(2, 0).bytes;
    // Chosen so that the checksum runs through 0xfff8 … 0x0007.
    const id = (sum[10]! * 256 + sum[11]! + 0xffff - 0xfff8 + identification) % 0xffff;
    rows.push(
      unwraps(
        { name: `checksum near its wrap, ${identification}` },
        outer(4, 'ip', at(2, id), { trafficClass: 3 }),
        at(3, id),
      ),
    );
  }
  return rows;
}

function refused(): Case[] {
  const rows: Case[] = [];
  for (const outside of VERSIONS)
    for (const kind of KINDS)
      for (const inside of VERSIONS)
        for (const tags of TAG_SETS) {
          const shape = (name: string): Shape => ({
            name: `${name}, IPv${inside} in IPv${outside} ${kind}, ${tagName(tags)}`,
            link: { tags },
          });
          const packet = innerPacket(inside, TCP);
          const flow = flowOf({ version: inside, protocol: TCP, port: 80, destination: hostAddress(inside) });
          const toHost = plain(flow, payload(20));
          const foreign = { source: FOREIGN[outside] };
          rows.push(
            drops(shape('from a stranger'), outer(outside, kind, packet, foreign), 'DROP_FOREIGN_TUNNEL'),
          );
          rows.push(
            drops(shape('from a mux to the host'), outer(outside, kind, toHost), 'DROP_NOT_FOR_SERVICE'),
          );
          rows.push(
            passes(
              shape("the host's own tunnel"),
              outer(outside, kind, toHost, foreign),
              'PASS_NOT_TUNNELLED',
            ),
          );
        }
  return rows;
}

function notTunnelled(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS) {
    const packet = innerPacket(version, TCP);
    const shape = (name: string): Shape => ({ name: `${name}, IPv${version}` });
    rows.push(passes(shape('TCP to a service'), packet, 'PASS_NOT_TUNNELLED'));
    rows.push(passes(shape('UDP to a service'), innerPacket(version, UDP), 'PASS_NOT_TUNNELLED'));
    for (const port of [GUE_PORT - 1, GUE_PORT + 1, 4754, 0xc017])
      rows.push(
        passes(shape(`GUE to port ${port}`), outer(version, 'gue', packet, { port }), 'PASS_NOT_TUNNELLED'),
      );
    const other = { source: FOREIGN[version], destination: BACKEND[version] };
    const plainUdp = udp({ sourcePort: 1, destinationPort: GUE_PORT, data: payload(40, 0xf0) });
    rows.push(passes(shape("a stranger's UDP to the GUE port"), ip(other, plainUdp), 'PASS_NOT_TUNNELLED'));
    rows.push(
      passes(
        shape("a stranger's GUE control message"),
        ip(other, udp({ sourcePort: 1, destinationPort: GUE_PORT, data: Uint8Array.of(0x20, 0, 0, 0) })),
        'PASS_NOT_TUNNELLED',
      ),
    );
  }
  const packet = innerPacket(4, TCP);
  const fields4 = { source: MUX[4], destination: BACKEND[4] };
  const fields6 = { source: MUX[6], destination: BACKEND[6] };
  for (const kind of KINDS) {
    const layer = layerOf(kind, packet);
    rows.push(
      passes(
        { name: `a first fragment of IPv4 ${kind}` },
        ipv4({ ...fields4, moreFragments: true }, layer),
        'PASS_NOT_TUNNELLED',
      ),
    );
    rows.push(
      passes(
        { name: `a later fragment of IPv4 ${kind}` },
        ipv4({ ...fields4, fragmentOffset: 8 }, layer),
        'PASS_NOT_TUNNELLED',
      ),
    );
    const extensions = [fragmentHeader({ identification: 1, more: true })];
    rows.push(
      passes(
        { name: `a first fragment of IPv6 ${kind}` },
        ipv6({ ...fields6, extensions }, layer),
        'PASS_NOT_TUNNELLED',
      ),
    );
  }
  rows.push(passesFrame('ARP', link({}, ETHER_TYPE.arp, payload(46)), 'PASS_NOT_IP'));
  rows.push(
    passesFrame(
      'three tags',
      frame(outer(4, 'ip', packet), { tags: [{ tci: 1 }, { tci: 1 }, { tci: 1 }] }),
      'PASS_NOT_IP',
    ),
  );
  rows.push(
    passes(
      { name: 'IPv4 of no version' },
      ipv4({ ...fields4, versionField: 0 }, inner(packet)),
      'PASS_MALFORMED',
    ),
  );
  return rows;
}

function damaged(): Case[] {
  const rows: Case[] = [];
  for (const outside of VERSIONS)
    for (const kind of KINDS)
      for (const inside of VERSIONS) {
        const shape = (name: string): Shape => ({ name: `${name}, IPv${inside} in IPv${outside} ${kind}` });
        const packet = innerPacket(inside, TCP);
        const wrap = (bytes: Uint8Array): Datagram => outer(outside, kind, { ...packet, bytes });
        rows.push(
          drops(shape('the inner packet cut by a byte'), wrap(packet.bytes.slice(0, -1)), 'DROP_TRUNCATED'),
        );
        rows.push(
          drops(
            shape('the inner header cut'),
            wrap(packet.bytes.slice(0, inside === 4 ? 19 : 39)),
            'DROP_TRUNCATED',
          ),
        );
        rows.push(drops(shape('no inner packet'), wrap(payload(0)), 'DROP_TRUNCATED'));
        const noVersion = Uint8Array.from(packet.bytes);
        noVersion[0]! &= 0x0f;
        rows.push(drops(shape('an inner packet of no version'), wrap(noVersion), 'DROP_TRUNCATED'));
      }
  const packet4 = innerPacket(4, TCP);
  const fields = { source: MUX[4], destination: BACKEND[4] };
  rows.push(drops({ name: 'IPv4 said to be IPv6' }, ipv4(fields, raw(41, packet4.bytes)), 'DROP_TRUNCATED'));
  rows.push(
    drops(
      { name: 'IPv6 said to be IPv4' },
      ipv4(fields, raw(4, innerPacket(6, TCP).bytes)),
      'DROP_TRUNCATED',
    ),
  );
  return rows;
}

/** What lies behind the end of the outer packet is not the inner packet's. */
function outerTooShort(): Case[] {
  const packet = innerPacket(4, TCP);
  const inside = ipv4(
    { source: MUX[4], destination: BACKEND[4], totalLength: 20 + packet.length - 1 },
    inner(packet),
  );
  const layer = inner(packet);
  const inside6 = ipv6({ source: MUX[6], destination: BACKEND[6], payloadLength: packet.length - 1 }, layer);
  return [
    drops({ name: 'an outer IPv4 packet that ends before the inner' }, inside, 'DROP_TRUNCATED'),
    drops({ name: 'an outer IPv6 packet that ends before the inner' }, inside6, 'DROP_TRUNCATED'),
  ];
}

export const DECAP: Readonly<Record<string, readonly Case[]>> = {
  'every tunnel': everyTunnel(),
  'inner packets': innerForms(),
  ECN: ecn(),
  refused: refused(),
  'not tunnelled': notTunnelled(),
  damaged: damaged(),
  'outer too short': outerTooShort(),
};
