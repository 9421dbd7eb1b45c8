// Owns one server of the world that is the real program (bpf/filter.bpf.c), run by BPF_PROG_TEST_RUN: packets become frames,
// queries are the frames that it sends, and versions become what user space writes into its tables.
import { possibleCpus } from 'libbpf-ts';
import {
  bucketHoldersCodec,
  DrivenConnection,
  FlowEvent,
  Limit,
  Reason,
} from '../../../control/dataplane/generated/layout.ts';
import { hashWith, FilterServer as Program, SERVER_ADDRESS } from '../../bpf/lib/filter_server.ts';
import { frame, ip, TCP_FLAG, tcp, udp } from '../../bpf/lib/packets.ts';
import { slotOf } from '../../bpf/lib/reference.ts';
import { runOn } from '../../bpf/lib/rig.ts';
import {
  type FilterServer,
  MS,
  type Outcome,
  type Packet,
  type Peer,
  type Query,
  type Settings,
  type Sockets,
  type Version,
} from './port.ts';
import type { Scenario } from './scenario.ts';
import type { MakeServer } from './world.ts';

const ADDRESS = '203.0.113.20';
const PORT = 80;
const PROTOCOLS = { tcp: 6, udp: 17 } as const;
/** The program's time at the beginning of a history. */
const START_NS = 1_000_000n << BigInt(Limit.LIMIT_FLOW_TIME_SHIFT);
const PORTS = { first: 1_024, count: 64_000 } as const;
const CANDIDATES_MAX = 10_000;
/** Outer destination, behind the link header. */
const DESTINATION_AT = 14 + 16;
const SERVER_BASE = Number(SERVER_ADDRESS(0).split('.')[3]);
const CPU_WORDS = Limit.LIMIT_REASONS + Limit.LIMIT_FLOW_EVENTS;

type Sent = Query & { readonly frame: Uint8Array };

/** The servers of one history; to be closed after it. */
export class ProgramServers {
  readonly #scenario: Scenario;
  readonly #open: ProgramServer[] = [];
  /** By key of the world. */
  readonly #clients = new Map<number, { readonly source: string; readonly hash: bigint }>();

  constructor(scenario: Scenario) {
    if (!scenario.traffic.isAffine) throw new Error('keys are clients here');
    this.#scenario = scenario;
  }

  readonly make: MakeServer = (self, version, settings, sockets) => {
    const made = new ProgramServer(self, version, settings, sockets, this);
    this.#open.push(made);
    return made;
  };

  close(): void {
    for (const it of this.#open.splice(0)) it.close();
  }

  get site() {
    const { buckets, traffic } = this.#scenario;
    return {
      address: ADDRESS,
      port: PORT,
      protocol: PROTOCOLS[traffic.protocol],
      slotBase: 0,
      slotCount: buckets,
      pool: 5,
      affinity: { prefixLength4: 32, prefixLength6: 128 },
    };
  }

  frameOf({ key, bucket, tuple, kind }: Packet): Uint8Array {
    const { source } = this.#client(key, bucket);
    const ports = { sourcePort: PORTS.first + (tuple % PORTS.count), destinationPort: PORT };
    const data = new Uint8Array(8);
    const layer =
      kind === 'datagram'
        ? udp({ ...ports, data })
        : tcp({ ...ports, flags: kind === 'syn' ? TCP_FLAG.syn : TCP_FLAG.ack, data });
    return frame(ip({ source, destination: ADDRESS }, layer), {});
  }

  keyOf(hash: bigint): number | undefined {
    for (const [key, it] of this.#clients) if (it.hash === hash) return key;
    return undefined;
  }

  /** The world says which bucket a client has: of its addresses, one that the hash sends there. */
  #client(key: number, bucket: number): { readonly source: string; readonly hash: bigint } {
    const known = this.#clients.get(key);
    if (known !== undefined) return known;
    for (let candidate = 0; candidate < CANDIDATES_MAX; candidate++) {
      const source = `10.${key >> 8}.${key & 255}.${candidate % 254}`;
      const ports = { sourcePort: 1, destinationPort: PORT };
      const { protocol } = this.site;
      const hash = hashWith(this.site, { source, destination: ADDRESS, protocol, ...ports });
      if (slotOf(this.site, hash) !== bucket) continue;
      const found = { source, hash };
      this.#clients.set(key, found);
      return found;
    }
    throw new Error(`no address of client ${key} has bucket ${bucket}`);
  }
}

class ProgramServer implements FilterServer {
  readonly id: number;
  readonly #program: Program;
  readonly #servers: ProgramServers;
  readonly #sockets: Sockets;
  readonly #counters: BigUint64Array;
  readonly #cpuWords: number;
  #version: Version;

  constructor(self: Peer, version: Version, settings: Settings, sockets: Sockets, servers: ProgramServers) {
    this.id = self.server;
    this.#servers = servers;
    this.#sockets = sockets;
    const places = settings.affinitiesMax / Limit.LIMIT_AFFINITY_PLACES;
    this.#program = new Program({
      id: self.server,
      servers: [...Array(Limit.LIMIT_HOLDERS + 2).keys()].slice(1),
      site: { it: servers.site },
      affinityBuckets: Math.max(16, Math.ceil(places / 16) * 16),
      foreignBuckets: 256,
      slotCapacity: servers.site.slotCount,
      timeoutMs: settings.timeoutNs / MS,
      hostConnections: true,
    });
    const mapped = this.#program.map('counters').mmap();
    this.#counters = new BigUint64Array(mapped);
    this.#cpuWords = this.#counters.length / this.#program.map('counters').info.maxEntries;
    if (this.#cpuWords < CPU_WORDS) throw new Error('counters have another layout');
    this.#program.setSelf({ incarnation: self.incarnation });
    this.#version = version;
    this.apply(version);
  }

  close(): void {
    this.#program.close();
  }

  get version(): number {
    return this.#version.number;
  }

  apply(version: Version): void {
    this.#version = version;
    for (let server = 1; server <= Limit.LIMIT_HOLDERS + 1; server++) {
      const incarnation = version.members.get(server);
      this.#program.changePeer(server, { flags: incarnation === undefined ? 0 : 3 });
      if (incarnation !== undefined) this.#program.setPeerIncarnation(server, incarnation);
    }
    const slots = new BigUint64Array(this.#program.map('slots').mmap(), 0, version.slots.length);
    for (const [at, { current, base, tracked, record, holders }] of version.slots.entries()) {
      this.#glance(at, 'none');
      let word = BigInt(current) | (BigInt(base) << 16n);
      if (tracked) {
        const empty = { incarnation: 0, server: 0, reserved: 0 };
        bucketHoldersCodec.write(this.#program.view('holders'), record * bucketHoldersCodec.sizeBytes, {
          track_epoch: 5,
          count: holders.length,
          unrecorded_ns: 0n,
          holder: Array.from({ length: Limit.LIMIT_HOLDERS }, (_, i) => ({ ...empty, ...holders[i] })),
        });
        word |= (1n << 32n) | (BigInt(record) << 33n);
      }
      slots[at] = word;
      if (!tracked) this.#glance(at, current === this.id ? 'settled' : 'others');
    }
    this.#program.setSelf({ version: version.number });
  }

  setDeadline(deadlineNs: number): void {
    const deadline = (START_NS + BigInt(Math.round(deadlineNs))) >> BigInt(Limit.LIMIT_TICK_SHIFT);
    this.#program.setSelf({ deadline });
  }

  hear(packet: Packet, nowNs: number): Outcome {
    return this.#run(this.#servers.frameOf(packet), packet, nowNs);
  }

  query(query: Query, packet: Packet, nowNs: number): Outcome {
    return this.#run((query as Sent).frame, packet, nowNs);
  }

  holds(bucket: number, nowNs: number): boolean {
    this.#setTime(nowNs);
    return [...this.#program.affinities().values()].some(({ slot }) => slot === bucket);
  }

  clientsOf(bucket: number, nowNs: number): readonly number[] {
    this.#setTime(nowNs);
    return [...this.#program.affinities().values()].flatMap(({ slot, hash }) =>
      slot === bucket ? (this.#servers.keyOf(hash) ?? []) : [],
    );
  }

  learn(): void {
    throw new Error('nothing is pushed to programs');
  }

  #run(sent: Uint8Array, packet: Packet, nowNs: number): Outcome {
    this.#setTime(nowNs);
    const isHere = packet.kind !== 'datagram' && this.#sockets.has(packet.tuple);
    const driven = DrivenConnection[isHere ? 'DRIVEN_CONNECTION_HERE' : 'DRIVEN_CONNECTION_NONE'];
    this.#program.view('.data.driven_conn').setUint32(0, driven, true);
    const full = this.#count(Limit.LIMIT_REASONS + FlowEvent.AFFINITY_FULL);
    const sockets = this.#count(Reason.ACCEPT_CONNECTION);
    const { verdict, output } = runOn(this.#program.object.program('filter'), sent);
    const isFull = this.#count(Limit.LIMIT_REASONS + FlowEvent.AFFINITY_FULL) > full;
    if (verdict === 'DROP') return { kind: 'drop', reason: isFull ? 'DROP NO_PLACE' : 'DROP' };
    if (verdict === 'PASS') {
      const bySocket = this.#count(Reason.ACCEPT_CONNECTION) > sockets;
      return { kind: 'pass', reason: bySocket ? '1 SOCKET' : isFull ? 'PASS UNRECORDED' : 'PASS' };
    }
    if (verdict !== 'TX') throw new Error(`verdict ${verdict}`);
    return {
      kind: 'send',
      reason: 'SENT',
      to: output[DESTINATION_AT + 3]! - SERVER_BASE,
      query: { frame: output } as unknown as Query,
    };
  }

  #setTime(nowNs: number): void {
    this.#program.nowNs = START_NS + BigInt(Math.round(nowNs));
  }

  #count(word: number): bigint {
    let sum = 0n;
    for (let cpu = 0; cpu < possibleCpus(); cpu++) sum += this.#counters[cpu * this.#cpuWords + word]!;
    return sum;
  }

  #glance(slot: number, as: 'none' | 'others' | 'settled'): void {
    for (const bits of ['others', 'settled'] as const) {
      const view = this.#program.view(`.data.${bits}`);
      const at = Math.floor(slot / 64) * 8;
      const bit = 1n << BigInt(slot % 64);
      const word = view.getBigUint64(at, true) & ~bit;
      view.setBigUint64(at, as === bits ? word | bit : word, true);
    }
  }
}
