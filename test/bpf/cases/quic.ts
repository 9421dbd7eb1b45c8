// QUIC connection IDs: which server ID is read from where, and when the flow's hash decides after all.
// The wire format is that of RFC 8999 and of the plaintext algorithm of draft-ietf-quic-load-balancers.
import { type Case, drops, ends, flowOf, forwards, passes, plain, tagName, VERSIONS } from '../lib/case.ts';
import { be, concat, hopByHop, ip, ipv6, payload, tcp, udp } from '../lib/packets.ts';
import { PORT, ROTATION, SERVER_IDS, serverIdOf, TCP, UDP } from '../lib/site.ts';

const LENGTHS = [1, 2, 3, 4] as const;
const V1 = 0x00000001;
const V2 = 0x6b3343cf;
const NONCE = Uint8Array.of(0x91, 0x82, 0x73, 0x64);

interface ConnectionId {
  rotation: number;
  id: number;
  idBytes: number;
  lowBits?: number;
  nonce?: Uint8Array;
}

function connectionId(fields: ConnectionId): Uint8Array {
  const first = fields.rotation * 32 + (fields.lowBits ?? 0x15);
  return concat(be(first, 1), be(fields.id, fields.idBytes), fields.nonce ?? NONCE);
}

/** A packet of an established connection (1-RTT). */
const shortHeader = (dcid: Uint8Array, rest = 24, first = 0x5a): Uint8Array =>
  concat(be(first, 1), dcid, payload(rest));

/** `type`: the two bits of the version's long packet type. */
function longHeader(version: number, type: number, dcid: Uint8Array, rest = 40): Uint8Array {
  const scid = payload(8, 3);
  return concat(
    be(0xc3 | (type << 4), 1),
    be(version, 4),
    be(dcid.length, 1),
    dcid,
    be(scid.length, 1),
    scid,
    payload(rest),
  );
}

interface Row {
  name: string;
  data: Uint8Array;
  /** Undefined: by the flow's hash. */
  backend?: number;
  newFlow?: boolean;
}

function row(idBytes: number, version: 4 | 6, fields: Row, tags: { tci: number }[] = []): Case {
  const flow = flowOf({ version, protocol: UDP, port: PORT.quic(idBytes), clientPort: 5000 + idBytes });
  return forwards(
    {
      name: `${fields.name}, ${idBytes} bytes of server ID, IPv${version}, ${tagName(tags)}`,
      flow,
      link: { tags },
      reason: fields.backend === undefined ? 'FORWARD' : 'FORWARD_QUIC',
      ...(fields.backend === undefined ? {} : { backend: fields.backend }),
      newFlow: fields.newFlow ?? false,
    },
    plain(flow, fields.data),
  );
}

/** For every length of server ID, over both IP versions. */
function everyLength(make: (idBytes: 1 | 2 | 3 | 4, rotation: number) => Row[]): Case[] {
  return LENGTHS.flatMap((idBytes) =>
    VERSIONS.flatMap((version) =>
      make(idBytes, ROTATION[idBytes]!).map((fields) => row(idBytes, version, fields)),
    ),
  );
}

const known = (idBytes: number, at = 0) => ({
  id: serverIdOf(SERVER_IDS[at]!.id, idBytes),
  backend: SERVER_IDS[at]!.backend,
});

function shortHeaders(): Case[] {
  return everyLength((idBytes, rotation) => [
    ...SERVER_IDS.map((_, at) => {
      const { id, backend } = known(idBytes, at);
      return { name: `server ID ${id}`, data: shortHeader(connectionId({ rotation, id, idBytes })), backend };
    }),
    ...[0, 31].map((lowBits) => {
      const { id, backend } = known(idBytes);
      return {
        name: `low bits ${lowBits}`,
        data: shortHeader(connectionId({ rotation, id, idBytes, lowBits })),
        backend,
      };
    }),
    {
      name: 'a cleared fixed bit',
      data: shortHeader(connectionId({ rotation, ...known(idBytes), idBytes }), 24, 0x1a),
      backend: known(idBytes).backend,
    },
    {
      name: 'a long nonce',
      data: shortHeader(connectionId({ rotation, ...known(idBytes), idBytes, nonce: payload(14) })),
      backend: known(idBytes).backend,
    },
  ]);
}

function longHeaders(): Case[] {
  const kinds = [
    { name: 'Initial v1', version: V1, type: 0, newFlow: true },
    { name: '0-RTT v1', version: V1, type: 1 },
    { name: 'Handshake v1', version: V1, type: 2 },
    { name: 'Retry v1', version: V1, type: 3 },
    { name: 'Initial v2', version: V2, type: 1, newFlow: true },
    { name: '0-RTT v2', version: V2, type: 2 },
    { name: 'Handshake v2', version: V2, type: 3 },
    { name: 'Retry v2', version: V2, type: 0 },
    { name: 'unknown version', version: 0x1a2a3a4a, type: 0 },
    { name: 'version negotiation', version: 0, type: 0 },
  ];
  return everyLength((idBytes, rotation) =>
    kinds.flatMap(({ name, version, type, newFlow = false }) => {
      const { id, backend } = known(idBytes);
      const unknown = connectionId({ rotation: (rotation + 1) % 7, id, idBytes });
      return [
        {
          name: `${name} with a server ID`,
          data: longHeader(version, type, connectionId({ rotation, id, idBytes })),
          backend,
          newFlow,
        },
        { name: `${name} with another rotation`, data: longHeader(version, type, unknown), newFlow },
      ];
    }),
  );
}

function byHash(): Case[] {
  return everyLength((idBytes, rotation) => {
    const { id } = known(idBytes);
    const rotations = [0, 1, 2, 3, 4, 5, 6, 7].filter((it) => it !== rotation);
    const long = (dcid: Uint8Array): Uint8Array => longHeader(V1, 2, dcid);
    const good = connectionId({ rotation, id, idBytes });
    return [
      ...rotations.map((wrong) => ({
        name: `rotation ${wrong}`,
        data: shortHeader(connectionId({ rotation: wrong, id, idBytes })),
      })),
      { name: 'an unknown server ID', data: shortHeader(connectionId({ rotation, id: id ^ 1, idBytes })) },
      {
        name: 'an unknown server ID, first byte',
        data: shortHeader(
          connectionId({ rotation, id: (id + 2 ** (8 * idBytes - 2)) % 2 ** (8 * idBytes), idBytes }),
        ),
      },
      {
        name: 'an unknown server ID in a long header',
        data: long(connectionId({ rotation, id: id ^ 2, idBytes })),
      },
      { name: 'a connection ID without its whole nonce', data: long(good.slice(0, -1)) },
      { name: 'a connection ID of nothing', data: long(payload(0)) },
      { name: 'no payload', data: payload(0) },
      { name: 'one byte', data: Uint8Array.of(0x40) },
      { name: 'a long header cut off after its first byte', data: Uint8Array.of(0xc0) },
      { name: 'a long header cut off before its connection ID', data: longHeader(V1, 2, good).slice(0, 5) },
      { name: 'a connection ID cut off', data: shortHeader(good, 0).slice(0, 1 + idBytes) },
    ];
  });
}

/** A client's first connection ID may look like a server's; the version of the long header does not matter for that. */
function otherForms(): Case[] {
  const rows: Case[] = [];
  for (const idBytes of LENGTHS) {
    const rotation = ROTATION[idBytes]!;
    const { id, backend } = known(idBytes);
    const dcid = connectionId({ rotation, id, idBytes });
    rows.push(row(idBytes, 4, { name: 'short header', data: shortHeader(dcid), backend }, [{ tci: 12 }]));
    rows.push(
      row(idBytes, 6, { name: 'long header', data: longHeader(V1, 2, dcid), backend }, [
        { tci: 12 },
        { tci: 13 },
      ]),
    );
    const flow = flowOf({ version: 6, protocol: UDP, port: PORT.quic(idBytes) });
    const layer = udp({
      sourcePort: flow.sourcePort,
      destinationPort: flow.destinationPort,
      data: shortHeader(dcid),
    });
    rows.push(
      forwards(
        { name: `behind hop-by-hop options, ${idBytes} bytes`, flow, backend, reason: 'FORWARD_QUIC' },
        ipv6({ ...ends(flow), extensions: [hopByHop(2)] }, layer),
      ),
    );
    const overTcp = flowOf({ version: 4, protocol: TCP, port: PORT.quic(idBytes) });
    const wrong = ip(
      ends(overTcp),
      tcp({ sourcePort: 1, destinationPort: PORT.quic(idBytes), data: shortHeader(dcid) }),
    );
    rows.push(passes({ name: `TCP to a QUIC port, ${idBytes} bytes` }, wrong, 'PASS_NO_SUCH_PORT'));
    const short = plain(flow, shortHeader(dcid));
    rows.push(
      drops(
        { name: `longer than its frame, ${idBytes} bytes` },
        { ...short, bytes: short.bytes.slice(0, -1) },
        'DROP_TRUNCATED',
      ),
    );
  }
  return rows;
}

export const QUIC: Readonly<Record<string, readonly Case[]>> = {
  'short headers': shortHeaders(),
  'long headers': longHeaders(),
  'by hash': byHash(),
  'other forms': otherForms(),
};
