// Frames between muxes, and requests of the program `flows`, to begin fuzzing with. Their tags are of no key that counts:
// the harness puts them right.
import {
  type Datagram,
  frame,
  icmp4,
  inner,
  ipv4,
  type Layer,
  mac,
  raw,
  TCP_FLAG,
  tcp,
  udp,
} from './packets.ts';
import { carrying, type Key, OP, signedHeader, type WireHeader, wireFrame } from './wire_frames.ts';

const KEY: Key = [1n, 2n];
const CLIENT = '198.51.100.77';
const SERVICE = '203.0.113.10';
const SELF = 2;
const PEERS = [1, 3, 4];
/** Ports of slots that are tracked, by their chain; 443 is clean. */
const PORTS = [443, 1101, 1102, 1103, 1104, 1105, 1106, 1107];
const REQUEST_BYTES = 72;
const PAGE_MARK = 0xf1;
const COMMANDS = 8;

const outer = (from: number, more = {}) => ({
  from: `192.0.2.${200 + from}`,
  to: `192.0.2.${200 + SELF}`,
  fromMac: mac('02:00:00:00:e0:01'),
  toMac: mac('02:00:00:00:e0:02'),
  port: 7445,
  ...more,
});

const packet = (layer: Layer, more = {}): Datagram =>
  ipv4({ source: CLIENT, destination: SERVICE, ...more }, layer);

function packetsTo(port: number): Datagram[] {
  const ports = { sourcePort: 4001, destinationPort: port };
  const reply = ipv4(
    { source: SERVICE, destination: CLIENT },
    tcp({ sourcePort: port, destinationPort: 4001 }),
  );
  return [
    packet(tcp({ ...ports, flags: TCP_FLAG.syn })),
    packet(tcp(ports)),
    packet(udp({ ...ports, data: new Uint8Array(20) })),
    packet(tcp(ports), { moreFragments: true, identification: 9 }),
    packet(raw(6, new Uint8Array(16)), { fragmentOffset: 48, identification: 9 }),
    packet(icmp4({ type: 3, code: 4, data: reply.bytes })),
  ];
}

function headerOf(operation: number, from: number, chain: number): WireHeader {
  const owner = chain & 3;
  const backup = (chain >> 1) & 3;
  return {
    operation,
    asker: operation === OP.answer ? SELF : from,
    askerIncarnation: 1000 + (operation === OP.answer ? SELF : from),
    time: 0,
    version: 9,
    owner,
    backup,
    ownerIncarnation: 1000 + owner,
    backupIncarnation: 1000 + backup,
    trackEpoch: 5,
    chainEpoch: chain,
    hops: 1,
    backend: 9,
  };
}

function carried(): Uint8Array[] {
  return PORTS.flatMap((port, chain) =>
    packetsTo(port).flatMap((datagram) =>
      [OP.ask, OP.record, OP.answer, OP.relay].map((operation) => {
        const from = PEERS[(chain + operation) % PEERS.length]!;
        const tags = chain === 2 ? [{ tci: 5 }] : [];
        return wireFrame(
          outer(from, { tags }),
          carrying(signedHeader(headerOf(operation, from, chain), KEY, 0n), datagram),
        );
      }),
    ),
  );
}

function messages(): Uint8Array[] {
  const entry = new Uint8Array(32);
  entry.set([0, 0, 0, 0, 5], 8);
  entry.set([9, 0, 0, 0, 3, 0, 9, 0, 3, 6], 22);
  return [OP.probe, OP.probeAnswer, OP.flows, OP.flowsTaken].flatMap((operation) =>
    PEERS.map((from) => {
      const count = operation === OP.flows ? from : 0;
      const header = {
        ...headerOf(operation, from, 1),
        flags: operation === OP.probe ? 8 : 0,
        backend: count,
      };
      const entries = Array.from({ length: count }, () => ({ bytes: entry }));
      const body = { bytes: Buffer.concat(entries.map((it) => it.bytes)) };
      return wireFrame(outer(from), carrying(signedHeader(header, KEY, 0n), body));
    }),
  );
}

function requests(): Uint8Array[] {
  return Array.from({ length: COMMANDS }, (_, i) => {
    const bytes = new Uint8Array(1 + REQUEST_BYTES);
    const view = new DataView(bytes.buffer, 1);
    bytes[0] = PAGE_MARK;
    view.setUint32(0, i + 1, true);
    view.setUint32(12, 16, true);
    view.setUint32(20, 64, true);
    view.setUint32(24, i & 3, true);
    view.setUint16(44, 9, true);
    return bytes;
  });
}

export const WIRE_CORPUS: readonly Uint8Array[] = [
  ...carried(),
  ...messages(),
  ...requests(),
  // Past the deadline.
  ...carried().map((frame) => Uint8Array.from(frame).fill(0x77, 11, 12)),
  ...packetsTo(443).map((datagram) => frame(datagram, { source: mac('02:00:00:00:00:77') })),
  wireFrame(outer(1), signedHeader(headerOf(OP.relay, 1, 1), KEY, 0n)),
  // A tunnel of ours is no header of ours.
  wireFrame(
    outer(1),
    inner(packetsTo(443)[0]!).build({ source: Uint8Array.of(), destination: Uint8Array.of() }),
  ),
];
