// A mux of a cluster whose slots are clean, for what does not depend on who keeps flows: TrackedMux with what a test of
// the wire changes in it, and its counters as differences.
import {
  backendCodec,
  copiesTakenCodec,
  type FlowsPage,
  type FlowsRequest,
  flowsPageCodec,
  flowsRequestCodec,
  muxSelfCodec,
  type PeerState,
  peerStateCodec,
} from '../../../control/dataplane/generated/layout.ts';
import { ipv4, mac, type TcpFields, tcp } from './packets.ts';
import { moved } from './rig.ts';
import {
  ASK_KEY,
  ASK_PORT,
  CLIENT,
  hashOf,
  INCARNATION,
  MUX_ADDRESS,
  MUX_MACS,
  MUXES,
  SELF,
  SERVICE,
  SITE,
  TrackedMux,
} from './tracked_mux.ts';
import {
  ENTRY_BYTES,
  HEADER_BYTES,
  type Key,
  type Outer,
  signedHeader,
  type WireHeader,
} from './wire_frames.ts';
import { addressWords } from './wire_reference.ts';

/** What tests change. */
const STATE = [
  '.data.self',
  '.data.peers',
  '.data.peer_states',
  '.data.copies_taken',
  '.data.ask_keys',
  '.data.clock',
  '.data.backends',
  'slots',
  'pools',
];

export const MUX_ADDRESS6 = (mux: number): string => `2001:db8:a::${mux}`;
export const RELAYED = 3;
const XDP_PASS = 2;
const MESSAGE_BYTES = 1336;

/** A packet of the clean service, and the hash of its flow. */
export function tcpPacket(sourcePort: number, more: Partial<TcpFields> & { trafficClass?: number } = {}) {
  const { trafficClass = 0, ...fields } = more;
  const { port } = SITE.tcp;
  return {
    datagram: ipv4(
      { source: CLIENT, destination: SERVICE, trafficClass, identification: 77 },
      tcp({ sourcePort, destinationPort: port, ...fields }),
    ),
    hash: hashOf('tcp', {
      source: CLIENT,
      destination: SERVICE,
      sourcePort,
      destinationPort: port,
      protocol: 6,
    }),
  };
}

type Self = Partial<ReturnType<typeof muxSelfCodec.read>>;

export class ClusterMux extends TrackedMux {
  version: 4 | 6 = 4;
  #initial: ReadonlyMap<string, Uint8Array> = new Map();

  static make(options: ConstructorParameters<typeof TrackedMux>[0] = {}): ClusterMux {
    const mux = new ClusterMux(options);
    mux.setSlots('tcp', 1, 1);
    mux.setSlots('udp', 1, 1);
    mux.#initial = new Map(STATE.map((name) => [name, new Uint8Array(mux.map(name).mmap()).slice()]));
    return mux;
  }

  /** As make() left it: loading takes longer than most tests. */
  reset(): void {
    this.version = 4;
    for (const [name, bytes] of this.#initial) new Uint8Array(this.map(name).mmap()).set(bytes);
    this.clearTables();
  }

  addressOf(mux: number): string {
    return this.version === 4 ? MUX_ADDRESS(mux) : MUX_ADDRESS6(mux);
  }

  /** Of a frame from a peer to this mux. */
  from(mux: number, more: Partial<Outer> = {}): Outer {
    return {
      from: this.addressOf(mux),
      to: this.addressOf(SELF),
      fromMac: mac('02:00:00:00:e0:01'),
      toMac: mac('02:00:00:00:e0:02'),
      port: ASK_PORT,
      ...more,
    };
  }

  /** Of a frame from this mux to a peer, as the program writes it. */
  to(mux: number, more: Partial<Outer> = {}): Outer {
    return {
      from: this.addressOf(SELF),
      to: this.addressOf(mux),
      ...MUX_MACS(mux),
      port: ASK_PORT,
      ...more,
    };
  }

  set(self: Self): void {
    const view = this.view('.data.self');
    muxSelfCodec.write(view, 0, { ...muxSelfCodec.read(view, 0), ...self });
  }

  changePeer(mux: number, change: Partial<ReturnType<typeof backendCodec.read>>): void {
    const view = this.view('.data.peers');
    const at = mux * backendCodec.sizeBytes;
    backendCodec.write(view, at, { ...backendCodec.read(view, at), ...change });
  }

  /** All muxes, this one too, have IPv6 addresses. */
  useIpv6(): void {
    this.version = 6;
    for (const mux of MUXES)
      this.changePeer(mux, {
        address: { word: addressWords(MUX_ADDRESS6(mux)) },
        ip_version: 6,
        ether_type: 0xdd86,
      });
  }

  peerState(mux: number): PeerState {
    return peerStateCodec.read(this.view('.data.peer_states'), mux * peerStateCodec.sizeBytes);
  }

  /** Numbers of the messages of its round that a peer has taken. */
  copiesTaken(mux: number): number[] {
    const { word } = copiesTakenCodec.read(this.view('.data.copies_taken'), mux * copiesTakenCodec.sizeBytes);
    return word.flatMap((bits, at) =>
      Array.from({ length: 32 }, (_, bit) => at * 32 + bit).filter((number) => (bits >>> (number % 32)) & 1),
    );
  }

  setPeerState(mux: number, change: Partial<PeerState>): void {
    const state = { ...this.peerState(mux), ...change };
    peerStateCodec.write(this.view('.data.peer_states'), mux * peerStateCodec.sizeBytes, state);
  }

  setKey(id: number, key: Key | undefined): void {
    const view = this.view('.data.ask_keys');
    const at = (id & 3) * 24;
    view.setBigUint64(at, key?.[0] ?? 0n, true);
    view.setBigUint64(at + 8, key?.[1] ?? 0n, true);
    view.setUint8(at + 16, key === undefined ? 0 : 1);
  }

  setPool(pool: number, slotBase: number, slotCount: number): void {
    const view = this.view('pools');
    view.setUint32(pool * 8, slotBase, true);
    view.setUint32(pool * 8 + 4, slotCount, true);
  }

  /** Runs a command of the program `flows`; undefined where it refuses. */
  command(request: Partial<FlowsRequest> & Pick<FlowsRequest, 'command'>): FlowsPage | undefined {
    const data = new Uint8Array(flowsPageCodec.sizeBytes);
    const view = new DataView(data.buffer);
    flowsRequestCodec.write(view, 0, { ...flowsRequestCodec.read(view, 0), ...request });
    const { retval, dataOut } = this.object.program('flows').testRun({ data });
    this.page = dataOut!;
    const page = flowsPageCodec.read(new DataView(dataOut!.buffer, dataOut!.byteOffset), 0);
    return retval === XDP_PASS && page.request.done === 1 ? page : undefined;
  }

  /** Bytes that the last command left. */
  page: Uint8Array = new Uint8Array(0);

  /** The header and entries of a message that the last command made. */
  message(index: number, entries: number): Uint8Array {
    const at = flowsRequestCodec.sizeBytes + index * MESSAGE_BYTES;
    return this.page.slice(at, at + HEADER_BYTES + entries * ENTRY_BYTES);
  }

  /** As mux `asker` would sign it. */
  sign(header: Partial<WireHeader> & Pick<WireHeader, 'operation'>, last: bigint, key: Key = ASK_KEY) {
    const asker = header.asker ?? RELAYED;
    const carries = header.operation <= 4;
    return signedHeader(
      {
        asker,
        askerIncarnation: INCARNATION(asker),
        time: this.ticks,
        version: 9,
        ...(carries ? { hops: 1 } : {}),
        ...header,
      },
      key,
      last,
    );
  }

  /** What running a frame did: verdict, bytes, and what was counted. */
  judge(frame: Uint8Array) {
    const before = this.counts();
    const { verdict, output } = this.run(frame);
    return { verdict, output, counted: moved(before, this.counts()) };
  }

  wait(ms: number): void {
    const clock = new BigUint64Array(this.map('.data.clock').mmap(), 0, 1);
    clock[0] = clock[0]! + BigInt(ms) * 1_000_000n;
  }
}
