// ICMP: echo requests answered, errors sent where the flow they are about goes, the rest left to the host.
import {
  type Case,
  drops,
  type Forwarded,
  flowOf,
  forwards,
  PROTOCOLS,
  passes,
  portOf,
  protocolName,
  replies,
  type Shape,
  segment,
  tagName,
  VERSIONS,
} from '../lib/case.ts';
import {
  CLIENT_MAC,
  type Datagram,
  destinationOptions,
  ETHER_TYPE,
  type Extension,
  fragmentHeader,
  frame,
  hopByHop,
  type IcmpFields,
  icmp4,
  icmp6,
  ip,
  ipv4,
  ipv6,
  type Layer,
  MUX_MAC,
  payload,
  raw,
} from '../lib/packets.ts';
import {
  ABSENT,
  ANY4,
  ANY6,
  clientAddress,
  hostAddress,
  NARROW4,
  PLAIN,
  PORT,
  STICKY4,
  STICKY6,
  serviceAddress,
  TAGGED,
  TCP,
  UDP,
} from '../lib/site.ts';

const TAG_SETS = [[], [{ tci: 0x0a0b }], [{ tpid: ETHER_TYPE.qinq, tci: 1 }, { tci: 2 }]];
const message = (version: 4 | 6, fields: IcmpFields): Layer =>
  version === 4 ? icmp4(fields) : icmp6(fields);
const pair = (version: 4 | 6, destination = serviceAddress(version)) => ({
  source: clientAddress(version),
  destination,
});

/** What comes back: addresses swapped, everything else as it was but type and TTL. */
function echo(
  shape: Shape,
  version: 4 | 6,
  data: Uint8Array,
  rest: number,
  more: { options?: Uint8Array; extensions?: Extension[]; trafficClass?: number; destination?: string } = {},
): Case {
  const { destination = serviceAddress(version), ...fields } = more;
  const there = pair(version, destination);
  const back = { source: there.destination, destination: there.source };
  const build = (where: typeof there, type: number, ttl: number): Datagram => {
    const layer = message(version, { type, rest, data });
    return version === 4
      ? ipv4({ ...where, ttl, ...fields }, layer)
      : ipv6({ ...where, ttl, ...fields }, layer);
  };
  const reply = build(back, version === 4 ? 0 : 129, 64);
  const link = { ...shape.link, destination: CLIENT_MAC, source: MUX_MAC };
  return replies(
    shape,
    build(there, version === 4 ? 8 : 128, 57),
    'REPLY_ECHO',
    frame(reply, link, shape.padding),
  );
}

function echoes(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS) {
    for (const tags of TAG_SETS)
      for (const bytes of [0, 1, 56, 57, 1000])
        rows.push(
          echo(
            { name: `${bytes} bytes over IPv${version}, ${tagName(tags)}`, link: { tags } },
            version,
            payload(bytes),
            0x12340001,
          ),
        );
    rows.push(
      echo({ name: `padding, IPv${version}`, padding: payload(18) }, version, payload(3), 0x00010002),
    );
    rows.push(
      echo({ name: `traffic class, IPv${version}` }, version, payload(3), 0x00010002, { trafficClass: 0xb9 }),
    );
    const any = version === 4 ? ANY4 : ANY6;
    rows.push(
      echo({ name: `an address that balances any port, IPv${version}` }, version, payload(3), 1, {
        destination: any,
      }),
    );
    // Every position of the carry: identifiers that take the checksum once through the values around zero.
    for (const rest of [0, 0xf7ff0000, 0xf7fe0000, 0xf7ff0001, 0xffff0000, 0x08000000, 0xffffffff])
      rows.push(echo({ name: `identifier ${rest.toString(16)}, IPv${version}` }, version, payload(0), rest));
  }
  for (const words of [1, 10])
    for (const tags of TAG_SETS)
      rows.push(
        echo({ name: `${words} words of options, ${tagName(tags)}`, link: { tags } }, 4, payload(20), 9, {
          options: new Uint8Array(words * 4).fill(1),
        }),
      );
  rows.push(echo({ name: 'behind hop-by-hop options' }, 6, payload(20), 9, { extensions: [hopByHop(2)] }));
  rows.push(
    echo({ name: 'behind several headers' }, 6, payload(20), 9, {
      extensions: [hopByHop(), destinationOptions(3)],
    }),
  );
  return rows;
}

function leftToTheHost(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const tags of TAG_SETS) {
      const shape = (name: string): Shape => ({
        name: `${name}, IPv${version}, ${tagName(tags)}`,
        link: { tags },
      });
      const to = (destination: string, fields: IcmpFields): Datagram =>
        ip(pair(version, destination), message(version, fields));
      const service = serviceAddress(version);
      const request = version === 4 ? 8 : 128;
      rows.push(
        passes(
          shape('echo to the host'),
          to(hostAddress(version), { type: request, data: payload(20) }),
          'PASS_NOT_A_SERVICE',
        ),
      );
      rows.push(
        passes(
          shape('echo with a code'),
          to(service, { type: request, code: 1, data: payload(20) }),
          'PASS_ICMP_OTHER',
        ),
      );
      for (const type of version === 4
        ? [0, 4, 5, 9, 10, 13, 14, 17, 255]
        : [129, 130, 133, 134, 135, 136, 137, 160, 255])
        rows.push(passes(shape(`type ${type}`), to(service, { type, data: payload(64) }), 'PASS_ICMP_OTHER'));
    }
  const echo4 = icmp4({ type: 8, data: payload(64) });
  rows.push(
    passes(
      { name: 'a first fragment of IPv4' },
      ipv4({ ...pair(4), moreFragments: true }, echo4),
      'PASS_ICMP_OTHER',
    ),
  );
  const extensions = [fragmentHeader({ identification: 3, more: true })];
  rows.push(
    passes(
      { name: 'a first fragment of IPv6' },
      ipv6({ ...pair(6), extensions }, icmp6({ type: 128, data: payload(64) })),
      'PASS_ICMP_OTHER',
    ),
  );
  return rows;
}

type Flow = Forwarded['flow'];

/** What the backend of a flow once sent to the client. */
function answerOf(flow: Flow): { source: string; destination: string; layer: Layer } {
  const turned = { ...flow, sourcePort: flow.destinationPort, destinationPort: flow.sourcePort };
  return { source: flow.destination, destination: flow.source, layer: segment(turned, payload(40)) };
}

const ROUTER = { 4: '198.51.100.1', 6: '2001:db8:c:ff::1' } as const;

const ERRORS: Readonly<Record<4 | 6, readonly (readonly [string, IcmpFields])[]>> = {
  4: [
    ['network unreachable', { type: 3, code: 0 }],
    ['port unreachable', { type: 3, code: 3 }],
    ['fragmentation needed', { type: 3, code: 4, rest: 1300 }],
    ['prohibited', { type: 3, code: 13 }],
    ['time exceeded', { type: 11 }],
    ['parameter problem', { type: 12, rest: 0x14000000 }],
  ],
  6: [
    ['unreachable', { type: 1, code: 0 }],
    ['port unreachable', { type: 1, code: 4 }],
    ['packet too big', { type: 2, rest: 1300 }],
    ['time exceeded', { type: 3 }],
    ['parameter problem', { type: 4, code: 1, rest: 40 }],
  ],
};

function errorAbout(
  flow: Flow,
  version: 4 | 6,
  fields: IcmpFields,
  quote: Uint8Array,
  outer: { options?: Uint8Array; extensions?: Extension[] } = {},
): Datagram {
  const where = { source: ROUTER[version], destination: flow.destination };
  const layer = message(version, { ...fields, data: quote });
  return version === 4 ? ipv4({ ...where, ...outer }, layer) : ipv6({ ...where, ...outer }, layer);
}

function quoteOf(flow: Flow): Uint8Array {
  const { layer, ...where } = answerOf(flow);
  return ip(where, layer).bytes;
}

function follows(name: string, flow: Flow, packet: Datagram, shape: Partial<Shape> = {}): Case {
  return forwards({ ...shape, name, flow, reason: 'FORWARD_ICMP_ERROR' }, packet);
}

function errorsFollowFlows(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS)
    for (const protocol of PROTOCOLS) {
      const proto = protocolName(protocol);
      for (const [what, fields] of ERRORS[version])
        for (const tags of TAG_SETS) {
          const flow = flowOf({ version, protocol, port: PORT.pool, clientPort: 20000 + fields.type });
          const name = `${what} about ${proto} of IPv${version}, ${tagName(tags)}`;
          rows.push(
            follows(name, flow, errorAbout(flow, version, fields, quoteOf(flow)), { link: { tags } }),
          );
        }
      const [, unreachable] = ERRORS[version][0]!;
      for (const backend of [...Object.values(PLAIN), ...Object.values(TAGGED)]) {
        const flow = flowOf({ version, protocol, port: portOf(backend) });
        rows.push(
          follows(
            `about ${proto} of IPv${version}, to backend ${backend}`,
            flow,
            errorAbout(flow, version, unreachable, quoteOf(flow)),
          ),
        );
      }
      for (const [what, port, destination] of [
        ['by client address', PORT.byAddress, serviceAddress(version)],
        ['by client subnet', PORT.bySubnet, serviceAddress(version)],
        ['without source port', PORT.noSourcePort, serviceAddress(version)],
        ['at any port', 4242, version === 4 ? ANY4 : ANY6],
        ['by client subnet at any port', 4242, version === 4 ? STICKY4 : STICKY6],
      ] as const) {
        const flow = flowOf({ version, protocol, port, destination, clientPort: 12345 });
        rows.push(
          follows(
            `about ${proto} of IPv${version} balanced ${what}`,
            flow,
            errorAbout(flow, version, unreachable, quoteOf(flow)),
          ),
        );
      }
      // RFC 792: the quote may be the header and eight bytes; four of them are the ports.
      const flow = flowOf({ version, protocol, port: PORT.pool, clientPort: 33333 });
      for (const transport of [8, 4]) {
        const quote = quoteOf(flow).slice(0, (version === 4 ? 20 : 40) + transport);
        rows.push(
          follows(
            `a quote of ${transport} bytes of ${proto} over IPv${version}`,
            flow,
            errorAbout(flow, version, unreachable, quote),
          ),
        );
      }
    }
  return rows;
}

function unusualQuotes(): Case[] {
  const rows: Case[] = [];
  const flow4 = flowOf({ version: 4, protocol: UDP, port: PORT.pool });
  const flow6 = flowOf({ version: 6, protocol: TCP, port: PORT.pool });
  const { layer: layer4, ...where4 } = answerOf(flow4);
  const { layer: layer6, ...where6 } = answerOf(flow6);
  const options = new Uint8Array(12).fill(1);
  const about4 = (quote: Datagram, outer = {}): Datagram =>
    errorAbout(flow4, 4, { type: 11 }, quote.bytes, outer);
  const about6 = (quote: Datagram, outer = {}): Datagram =>
    errorAbout(flow6, 6, { type: 3 }, quote.bytes, outer);
  rows.push(follows('a quote with IPv4 options', flow4, about4(ipv4({ ...where4, options }, layer4))));
  rows.push(follows('an error with IPv4 options', flow4, about4(ipv4(where4, layer4), { options })));
  rows.push(
    follows('a quote of a first fragment', flow4, about4(ipv4({ ...where4, moreFragments: true }, layer4))),
  );
  const inside = [hopByHop(), destinationOptions(2), fragmentHeader({ identification: 1, more: true })];
  rows.push(
    follows(
      'a quote with IPv6 extension headers',
      flow6,
      about6(ipv6({ ...where6, extensions: inside }, layer6)),
    ),
  );
  rows.push(
    follows(
      'an error with IPv6 extension headers',
      flow6,
      about6(ipv6(where6, layer6), { extensions: [hopByHop(3)] }),
    ),
  );
  rows.push(
    follows(
      'a quote of a packet longer than the quote',
      flow4,
      about4(ipv4({ ...where4, totalLength: 1500 }, layer4)),
    ),
  );
  return rows;
}

function errorsAboutNoFlow(): Case[] {
  const rows: Case[] = [];
  for (const version of VERSIONS) {
    const [, fields] = ERRORS[version][0]!;
    const flow = flowOf({ version, protocol: UDP, port: PORT.pool });
    const header = version === 4 ? 20 : 40;
    const quote = quoteOf(flow);
    const { layer, ...where } = answerOf(flow);
    const other = (name: string, bytes: Uint8Array): void => {
      rows.push(
        passes(
          { name: `${name}, IPv${version}` },
          errorAbout(flow, version, fields, bytes),
          'PASS_ICMP_OTHER',
        ),
      );
    };
    other('an empty quote', payload(0));
    other('a quote cut within its ports', quote.slice(0, header + 3));
    other('a quote cut within its header', quote.slice(0, header - 1));
    other(
      'a quote of ICMP',
      ip(where, message(version, { type: version === 4 ? 0 : 129, data: payload(8) })).bytes,
    );
    other('a quote of ESP', ip(where, raw(50, payload(20))).bytes);
    other('a quote from another address', ip({ ...where, source: hostAddress(version) }, layer).bytes);
    other(
      'a quote of the request',
      ip({ source: where.destination, destination: where.source }, layer).bytes,
    );
    other('a quote of an unknown port', quoteOf(flowOf({ version, protocol: UDP, port: 998 })));
    other(
      'a quote of a protocol without a service there',
      quoteOf(flowOf({ version, protocol: TCP, port: PORT.quic(1) })),
    );
    other(
      'a quote of the other IP version',
      quoteOf(flowOf({ version: version === 4 ? 6 : 4, protocol: UDP, port: PORT.pool })),
    );
    other('a quote of zeros', new Uint8Array(60));
    const toHost = errorAbout({ ...flow, destination: hostAddress(version) }, version, fields, quote);
    rows.push(passes({ name: `an error to the host, IPv${version}` }, toHost, 'PASS_NOT_A_SERVICE'));
    const gone = flowOf({ version, protocol: UDP, port: portOf(ABSENT) });
    rows.push(
      drops(
        { name: `about a flow without a backend, IPv${version}` },
        errorAbout(gone, version, fields, quoteOf(gone)),
        'DROP_NO_BACKEND',
      ),
    );
  }
  const flow4 = flowOf({ version: 4, protocol: UDP, port: PORT.pool });
  const { layer, ...where } = answerOf(flow4);
  const later = ipv4({ ...where, fragmentOffset: 1480 }, layer);
  rows.push(
    passes(
      { name: 'a quote of a later fragment, IPv4' },
      errorAbout(flow4, 4, { type: 11 }, later.bytes),
      'PASS_ICMP_OTHER',
    ),
  );
  const flow6 = flowOf({ version: 6, protocol: UDP, port: PORT.pool });
  const turned = answerOf(flow6);
  const extensions = [fragmentHeader({ identification: 1, offset: 1232 })];
  const later6 = ipv6({ source: turned.source, destination: turned.destination, extensions }, turned.layer);
  rows.push(
    passes(
      { name: 'a quote of a later fragment, IPv6' },
      errorAbout(flow6, 6, { type: 3 }, later6.bytes),
      'PASS_ICMP_OTHER',
    ),
  );
  return rows;
}

/** RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e): never an error about an error. */
function errorsTooBig(): Case[] {
  return VERSIONS.map((version) => {
    const flow = flowOf({ version, protocol: UDP, port: portOf(NARROW4) });
    const quote = new Uint8Array([...quoteOf(flow), ...payload(1400)]);
    return drops(
      { name: `an error that does not fit, IPv${version}` },
      errorAbout(flow, version, ERRORS[version][0]![1], quote),
      'DROP_TOO_BIG',
    );
  });
}

export const ICMP: Readonly<Record<string, readonly Case[]>> = {
  'echo requests': echoes(),
  'left to the host': leftToTheHost(),
  'errors follow flows': errorsFollowFlows(),
  'unusual quotes': unusualQuotes(),
  'errors about no flow': errorsAboutNoFlow(),
  'errors that do not fit': errorsTooBig(),
};
