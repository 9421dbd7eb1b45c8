// Fragments: the first decides, later ones follow it; a later one whose first was not seen goes nowhere.
import {
  type Case,
  drops,
  ends,
  type Forwarded,
  flowOf,
  forwards,
  PROTOCOLS,
  passes,
  portOf,
  protocolName,
  segment,
  tagName,
  VERSIONS,
} from '../lib/case.ts';
import {
  address,
  be,
  concat,
  type Datagram,
  destinationOptions,
  type Extension,
  fragmentHeader,
  frame,
  hopByHop,
  ipv4,
  ipv6,
  PROTOCOL,
  payload,
  raw,
  TCP_FLAG,
} from '../lib/packets.ts';
import { laterFragmentHash } from '../lib/reference.ts';
import {
  ANY4,
  ANY6,
  clientAddress,
  hostAddress,
  KEY,
  NARROW4,
  PLAIN,
  PORT,
  REDIRECTED,
  ROTATION,
  SERVER_IDS,
  serverIdOf,
  serviceAddress,
  TAGGED,
  TCP,
  UDP,
} from '../lib/site.ts';

type Flow = Forwarded['flow'];

let lastIdentification = 0x1000;
const nextIdentification = (): number => ++lastIdentification;

interface Pieces {
  readonly identification: number;
  readonly first: Datagram;
  readonly middle: Datagram;
  readonly last: Datagram;
}

interface PieceOptions {
  /** IPv6: before the fragment header. */
  extensions?: Extension[];
  /** IPv6: in the fragmentable part. */
  inside?: Extension[];
  flags?: number;
  data?: Uint8Array;
}

/** Three fragments of one packet of a flow, cut at multiples of eight. */
function pieces(flow: Flow, version: 4 | 6, options: PieceOptions = {}): Pieces {
  const identification = nextIdentification();
  const ends_ = { source: address(flow.source), destination: address(flow.destination) };
  const layer = segment(
    flow,
    options.data ?? payload(100),
    flow.protocol === TCP ? { flags: options.flags ?? TCP_FLAG.ack } : {},
  );
  const inside = options.inside ?? [];
  const chain = inside.map(({ bytes }, i) =>
    concat(be(inside[i + 1]?.protocol ?? flow.protocol, 1), bytes.subarray(1)),
  );
  const whole = concat(...chain, layer.build(ends_));
  const protocol = inside[0]?.protocol ?? flow.protocol;
  const cut = (from: number, to: number, more: boolean): Datagram => {
    const part = raw(protocol, whole.slice(from, to));
    if (version === 4)
      return ipv4({ ...ends(flow), identification, moreFragments: more, fragmentOffset: from }, part);
    const extensions = [
      ...(options.extensions ?? []),
      fragmentHeader({ identification, offset: from, more }),
    ];
    return ipv6({ ...ends(flow), extensions }, part);
  };
  const at = 48;
  return {
    identification,
    first: cut(0, at, true),
    middle: cut(at, at + 24, true),
    last: cut(at + 24, whole.length, false),
  };
}

const stored = (version: 4 | 6, identification: number): Uint8Array =>
  be(identification, version === 4 ? 2 : 4);

/** The rows of a packet in three pieces: the first alone, the others behind it. */
function rowsOf(
  name: string,
  flow: Flow,
  version: 4 | 6,
  more: Partial<Forwarded> = {},
  options: PieceOptions = {},
): Case[] {
  const { first, middle, last, identification } = pieces(flow, version, options);
  const { newFlow = false, ...shape } = more;
  const hash = laterFragmentHash(KEY, stored(version, identification), flow.source);
  const before = [frame(first)];
  const later = { ...shape, flow, hash, before, reason: 'FORWARD_LATER_FRAGMENT' };
  return [
    forwards({ ...shape, newFlow, name: `${name}: first`, flow, reason: 'FORWARD_FIRST_FRAGMENT' }, first),
    forwards({ ...later, name: `${name}: middle` }, middle),
    forwards({ ...later, name: `${name}: last` }, last),
  ];
}

function followed(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const protocol of PROTOCOLS) {
      const proto = `${protocolName(protocol)} over IPv${version}`;
      for (const tags of [[], [{ tci: 55 }], [{ tci: 1 }, { tci: 55 }]]) {
        const flow = flowOf({ version, protocol, port: PORT.pool, clientPort: 3000 + tags.length });
        rows.push(...rowsOf(`${proto}, ${tagName(tags)}`, flow, version, { link: { tags } }));
      }
      for (const backend of [...Object.values(PLAIN), ...Object.values(TAGGED), REDIRECTED]) {
        const flow = flowOf({ version, protocol, port: portOf(backend) });
        rows.push(...rowsOf(`${proto} to backend ${backend}`, flow, version));
      }
      for (const [what, port, destination] of [
        ['by client address', PORT.byAddress, serviceAddress(version)],
        ['by client subnet', PORT.bySubnet, serviceAddress(version)],
        ['without source port', PORT.noSourcePort, serviceAddress(version)],
        ['at any port', 6543, version === 4 ? ANY4 : ANY6],
      ] as const) {
        const flow = flowOf({ version, protocol, port, destination, clientPort: 6001 });
        rows.push(...rowsOf(`${proto} balanced ${what}`, flow, version));
      }
    }
  const syn = flowOf({ version: 4, protocol: TCP, port: PORT.pool, clientPort: 9 });
  rows.push(...rowsOf('a SYN in pieces', syn, 4, { newFlow: true }, { flags: TCP_FLAG.syn }));
  return rows;
}

function behindExtensions(): Case[] {
  return PROTOCOLS.flatMap((protocol) => {
    const flow = flowOf({ version: 6, protocol, port: PORT.pool, clientPort: 7001 });
    return rowsOf(
      `${protocolName(protocol)} behind hop-by-hop options`,
      flow,
      6,
      {},
      { extensions: [hopByHop(2)] },
    );
  });
}

/** RFC 8200 section 4.5: extension headers may be in the fragmentable part; all pieces then name the first of them. */
function extensionsInside(): Case[] {
  return PROTOCOLS.flatMap((protocol) => {
    const flow = flowOf({ version: 6, protocol, port: PORT.pool, clientPort: 7002 });
    return rowsOf(
      `${protocolName(protocol)} with destination options inside`,
      flow,
      6,
      {},
      { inside: [destinationOptions(2)] },
    );
  });
}

/** The server ID stands in the first piece; the others follow it, not their hash. */
function quic(): Case[] {
  return VERSIONS.flatMap((version) => {
    const bytes = 2;
    const { id, backend } = SERVER_IDS[2]!;
    const dcid = concat(be(ROTATION[bytes]! * 32 + 7, 1), be(serverIdOf(id, bytes), bytes), payload(4));
    const data = concat(be(0x41, 1), dcid, payload(90));
    const flow = flowOf({ version, protocol: UDP, port: PORT.quic(bytes), clientPort: 8001 });
    return rowsOf(`QUIC over IPv${version}`, flow, version, { backend }, { data });
  });
}

function unknown(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const protocol of PROTOCOLS) {
      const proto = `${protocolName(protocol)} over IPv${version}`;
      const flow = flowOf({ version, protocol, port: PORT.pool });
      const { middle, last } = pieces(flow, version);
      rows.push(drops({ name: `${proto}: middle` }, middle, 'DROP_FRAGMENT_UNKNOWN'));
      rows.push(
        drops({ name: `${proto}: last`, link: { tags: [{ tci: 5 }] } }, last, 'DROP_FRAGMENT_UNKNOWN'),
      );
      const seen = pieces(flow, version);
      const before = [frame(seen.first)];
      const otherClient = { ...flow, source: version === 4 ? '198.51.100.78' : '2001:db8:c:1::78' };
      lastIdentification--;
      const foreign = pieces(otherClient, version);
      rows.push({
        ...drops({ name: `${proto}: of another client` }, foreign.last, 'DROP_FRAGMENT_UNKNOWN'),
        before,
      });
      const other = pieces(flow, version);
      rows.push({
        ...drops({ name: `${proto}: of another packet` }, other.last, 'DROP_FRAGMENT_UNKNOWN'),
        before,
      });
    }
  return rows;
}

function leftAlone(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS) {
    const toHost = flowOf({ version, protocol: UDP, port: PORT.pool, destination: hostAddress(version) });
    const { first, last } = pieces(toHost, version);
    rows.push(passes({ name: `first to the host, IPv${version}` }, first, 'PASS_NOT_A_SERVICE'));
    rows.push(passes({ name: `last to the host, IPv${version}` }, last, 'PASS_NOT_A_SERVICE'));
    const noPort = pieces(flowOf({ version, protocol: UDP, port: 997 }), version);
    rows.push(passes({ name: `first to an unknown port, IPv${version}` }, noPort.first, 'PASS_NO_SUCH_PORT'));
    const where = { source: clientAddress(version), destination: serviceAddress(version) };
    const icmp = raw(version === 4 ? PROTOCOL.icmp : PROTOCOL.icmp6, payload(64));
    const extensions = [fragmentHeader({ identification: 77, offset: 64 })];
    const later =
      version === 4 ? ipv4({ ...where, fragmentOffset: 64 }, icmp) : ipv6({ ...where, extensions }, icmp);
    rows.push(passes({ name: `a later one of ICMP, IPv${version}` }, later, 'PASS_NO_SUCH_PORT'));
  }
  return rows;
}

function malformed(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS) {
    const flow = flowOf({ version, protocol: UDP, port: PORT.pool, clientPort: 91 });
    const { first, last, identification } = pieces(flow, version);
    const before = [frame(first)];
    const short: Datagram = { ...last, bytes: last.bytes.slice(0, -1) };
    rows.push({ ...drops({ name: `a last one cut short, IPv${version}` }, short, 'DROP_TRUNCATED'), before });
    const part = raw(UDP, payload(64));
    const extensions = [fragmentHeader({ identification, offset: 48 })];
    const claims = (length: number): Datagram =>
      version === 4
        ? ipv4({ ...ends(flow), identification, fragmentOffset: 48, totalLength: length }, part)
        : ipv6({ ...ends(flow), extensions, payloadLength: length - 40 }, part);
    for (const length of version === 4 ? [0, 10, 19] : [40, 47])
      rows.push({
        ...drops(
          { name: `a last one that says ${length} bytes, IPv${version}` },
          claims(length),
          'DROP_BAD_HEADER',
        ),
        before,
      });
    rows.push({
      ...drops({ name: `a last one that says 65535 bytes, IPv${version}` }, claims(65535), 'DROP_TRUNCATED'),
      before,
    });
  }
  // RFC 1858: a first piece that does not hold the whole TCP header.
  const tiny = flowOf({ version: 4, protocol: TCP, port: PORT.pool });
  const start = segment(tiny, payload(0)).build({
    source: address(tiny.source),
    destination: address(tiny.destination),
  });
  const piece = ipv4({ ...ends(tiny), identification: 5, moreFragments: true }, raw(TCP, start.slice(0, 16)));
  rows.push(drops({ name: 'a first one of 16 bytes of TCP' }, piece, 'DROP_TRUNCATED'));
  rows.push(
    drops(
      { name: 'a first one of 16 bytes of TCP, padded', padding: new Uint8Array(10) },
      piece,
      'DROP_BAD_HEADER',
    ),
  );
  return rows;
}

/** RFC 1122 section 3.2.2: an error is about the first fragment only. */
function tooBig(): Case[] {
  const flow = flowOf({ version: 4, protocol: UDP, port: portOf(NARROW4), clientPort: 92 });
  const { first, identification } = pieces(flow, 4);
  const later = ipv4({ ...ends(flow), identification, fragmentOffset: 48 }, raw(UDP, payload(1400)));
  return [
    { ...drops({ name: 'a later one that does not fit' }, later, 'DROP_TOO_BIG'), before: [frame(first)] },
  ];
}

export const FRAGMENT: Readonly<Record<string, readonly Case[]>> = {
  'followed by the rest': followed(),
  'behind extension headers': behindExtensions(),
  'extension headers inside': extensionsInside(),
  QUIC: quic(),
  'unknown first': unknown(),
  'left alone': leftAlone(),
  malformed: malformed(),
  'too big': tooBig(),
};
