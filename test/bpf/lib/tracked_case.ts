// One row of the table of tracked slots: what a mux knows, what comes, and everything that must follow: verdict, bytes,
// counters, entries.
import { expect } from 'vitest';
import type { FlowEntry } from '../../../control/dataplane/generated/layout.ts';
import { type Datagram, frame, ip, TCP_FLAG, tcp, udp } from './packets.ts';
import { encapsulated, type Flow, slotOf } from './reference.ts';
import { hex, moved } from './rig.ts';
import {
  ASK_KEY,
  BACKENDS,
  type Chain,
  CLIENT,
  CLIENT6,
  GENERATION,
  hashOf,
  hopFrom,
  hopTo,
  IDLE,
  INCARNATION,
  MUXES,
  SELF,
  SERVICE6,
  type ServiceName,
  SITE,
  SOURCES,
  slotInPool,
  type TrackedMux,
  wayTo,
} from './tracked_mux.ts';
import type { WireHeader } from './wire_frames.ts';
import { askFrame, FLAG, type Header, type Operation } from './wire_reference.ts';

export type { ServiceName };

export const CURRENT = 1;
export const BASE = 2;
export const OTHER = 3;
export const EPOCH = 10;

/** By who keeps the flows, as seen from the mux under test. */
export const CHAIN = {
  owner: { owner: SELF, backup: 3, trackEpoch: EPOCH, chainEpoch: EPOCH },
  lonely: { owner: SELF, backup: 0, trackEpoch: EPOCH, chainEpoch: EPOCH },
  backup: { owner: 1, backup: SELF, trackEpoch: EPOCH, chainEpoch: EPOCH },
  others: { owner: 1, backup: 3, trackEpoch: EPOCH, chainEpoch: EPOCH },
  nobody: { owner: 0, backup: 0, trackEpoch: EPOCH, chainEpoch: EPOCH },
} as const satisfies Record<string, Chain>;

export const newer = (chain: Chain): Chain => ({ ...chain, chainEpoch: chain.chainEpoch + 5 });

export const PACKETS = {
  syn: { flags: TCP_FLAG.syn },
  data: { flags: TCP_FLAG.ack },
  synAck: { flags: TCP_FLAG.syn | TCP_FLAG.ack },
} as const;

export type Known = {
  backend: number;
  state?: 'nascent' | 'unproven' | 'trusted';
  generation?: number;
  age?: number;
  trackEpoch?: number;
  chainEpoch?: number;
  idle?: number;
};
export const STATES = { nascent: 1, unproven: 2, trusted: 3 } as const;

export type Row = {
  readonly name: string;
  readonly service?: ServiceName;
  readonly packet?: keyof typeof PACKETS | { readonly data: Uint8Array };
  readonly trafficClass?: number;
  readonly datagram?: (flow: Flow) => Datagram;
  /** Of the slot here; 'none': tracked without a chain; absent: the slot is clean. */
  readonly chain?: Chain | 'none';
  readonly current?: number;
  readonly base?: number;
  readonly known?: Known;
  /** The cache has the flow's backend. */
  readonly cached?: { backend: number; syn?: boolean; generation?: number; age?: number };
  readonly before?: (mux: TrackedMux, flow: Flow) => void;
  /** Absent: the client's packet itself. */
  readonly comes?: {
    operation: Operation;
    by: Chain;
    asker?: number;
    from?: number;
    /** How old the header is, in cluster time. */
    ageTicks?: number;
    header?: Partial<Header>;
  };
  readonly reason: string;
  readonly events?: readonly string[];
  /** What leaves: to a mux, behind a header, or to a backend. Absent: dropped. */
  readonly leaves?:
    | { mux: number; operation: Operation; by: Chain; header?: Partial<Header> }
    | { backend: number };
  /** The flow's entry afterwards; null: none, or another period's. */
  readonly entry?: (Partial<FlowEntry> & { backend: number; age?: number }) | null;
  /** What the cache has of the flow afterwards. */
  readonly caches?: { backend: number; syn: boolean; age?: number } | null;
  readonly unrecorded?: boolean;
  /** How long ago a new flow found no place in the flow's bucket, before and after; null: never. */
  readonly refusedAgo?: number;
  readonly refused?: number | null;
};

export function flowOf(service: ServiceName, sourcePort = 40_001): Flow {
  const { address: destination, port, protocol } = SITE[service];
  const source = destination === SERVICE6 ? CLIENT6 : CLIENT;
  return { source, destination, sourcePort, destinationPort: port, protocol };
}

export function packetOf(row: Row, flow: Flow): Datagram {
  if (row.datagram !== undefined) return row.datagram(flow);
  const ports = { sourcePort: flow.sourcePort, destinationPort: flow.destinationPort };
  const packet = row.packet ?? 'data';
  const layer =
    flow.protocol === 6
      ? tcp({ ...ports, ...(typeof packet === 'string' ? PACKETS[packet] : packet) })
      : udp({ ...ports, data: typeof packet === 'string' ? new Uint8Array(30) : packet.data });
  return ip(
    { source: flow.source, destination: flow.destination, trafficClass: row.trafficClass ?? 0x28 },
    layer,
  );
}

export const chainFields = (chain: Chain) => ({
  owner: chain.owner,
  backup: chain.backup,
  trackEpoch: chain.trackEpoch,
  chainEpoch: chain.chainEpoch,
  ownerIncarnation: chain.ownerIncarnation ?? (chain.owner === 0 ? 0 : INCARNATION(chain.owner)),
  backupIncarnation: chain.backupIncarnation ?? (chain.backup === 0 ? 0 : INCARNATION(chain.backup)),
});

/** What a header says of a flow: its slot, and the chain of that. */
export const says = (
  service: ServiceName,
  hash: bigint,
  chain: Chain,
  more: Partial<WireHeader> = {},
): Partial<WireHeader> => ({
  slot: slotInPool(service, hash),
  pool: SITE[service].pool,
  ...chainFields(chain),
  ...more,
});

/** Everything as it is before a row. */
function reset(mux: TrackedMux): void {
  mux.clearTables();
  mux.setDeadline(undefined);
  for (const index of BACKENDS) mux.setBackend(index, { present: true, generation: GENERATION });
  for (const peer of MUXES) mux.setPeer(peer, { present: true, innerMtu: 1500 });
}

function remember(mux: TrackedMux, row: Row, hash: bigint, slot: number): void {
  if (row.known === undefined) return;
  const { backend, state = 'trusted', generation = GENERATION, age = 0 } = row.known;
  mux.putEntry(hash, {
    slot,
    track_epoch: row.known.trackEpoch ?? EPOCH,
    chain_epoch: row.known.chainEpoch ?? EPOCH,
    backend,
    generation,
    seen: (mux.now - age) & 0xffff,
    state: STATES[state],
    idle_time: row.known.idle ?? IDLE,
  });
}

export function judgeTracked(mux: TrackedMux, row: Row): void {
  reset(mux);
  const service = row.service ?? 'tcp';
  const flow = flowOf(service);
  const hash = hashOf(service, flow);
  const slot = slotOf(SITE[service], hash);
  const { slotBase, pool } = SITE[service];
  const { current = CURRENT, base = BASE } = row;
  const chain = mux.setSlots(service, current, base, row.chain);
  remember(mux, row, hash, slot);
  if (row.cached !== undefined) {
    const { backend, syn = false, generation = GENERATION, age = 0 } = row.cached;
    mux.putCached(hash, {
      backend,
      syn,
      generation,
      slot,
      trackEpoch: EPOCH,
      seen: (mux.now - age) & 0xffff,
    });
  }
  if (row.refusedAgo !== undefined) mux.setRefusedAt(hash, (mux.now - row.refusedAgo) & 0xffff);
  row.before?.(mux, flow);
  const packet = packetOf(row, flow);
  const isNew =
    row.packet === 'syn' || (typeof row.packet === 'object' && row.comes?.header?.flags === FLAG.newFlow);
  const first = { slot: slot - slotBase, pool, flags: isNew ? FLAG.newFlow : 0 };
  let header = mux.header({ operation: 'ask', ...first, hops: 0 });
  let input = frame(packet);
  if (row.comes !== undefined) {
    const { operation, by, asker = 4, from = 4, ageTicks = 0, header: more = {} } = row.comes;
    const hops = operation === 'ask' ? 1 : operation === 'record' ? 2 : 3;
    const asking = { asker, askerIncarnation: INCARNATION(asker) };
    const time = mux.ticks - ageTicks;
    header = mux.header({ operation, time, ...first, ...chainFields(by), ...asking, hops, ...more });
    input = askFrame(hopFrom(from), header, ASK_KEY, hash, packet);
  }
  const before = mux.counts();
  const { verdict, output } = mux.run(input);
  const once = [row.reason, ...(row.events ?? [])].map((name) => [name, 1] as const);
  expect(moved(before, mux.counts()), 'counted').toEqual(Object.fromEntries(once));
  expect(verdict, 'verdict').toBe(row.leaves === undefined ? 'DROP' : 'TX');
  if (row.leaves !== undefined) {
    if ('backend' in row.leaves) {
      const wanted = encapsulated(packet, wayTo(row.leaves.backend), hash, SOURCES, trafficClassOf(packet));
      expect(hex(output), 'frame').toBe(hex(wanted));
    } else {
      const { mux: to, operation, by, header: more = {} } = row.leaves;
      const said = { ...header, ...chainFields(by), operation, hops: header.hops + 1, ...more };
      expect(hex(output), 'frame').toBe(hex(askFrame(hopTo(to), said, ASK_KEY, hash, packet)));
    }
  }
  const entry = mux.entries().get(hash);
  if (row.entry === null) expect(entry, 'entry').toBeUndefined();
  else if (row.entry !== undefined) {
    const { age, ...wanted } = row.entry;
    expect(entry, 'entry').toMatchObject(wanted);
    if (age !== undefined) expect((mux.now - entry!.seen) & 0xffff, 'entry silent for').toBe(age);
  }
  if (row.caches !== undefined) {
    const found = mux.findCached(hash, EPOCH);
    const { age, ...wanted } = row.caches ?? { age: undefined };
    expect(found && { backend: found.backend, syn: found.syn }, 'cache').toEqual(
      row.caches ? wanted : undefined,
    );
    if (age !== undefined) expect((mux.now - found!.seen) & 0xffff, 'silent for').toBe(age);
  }
  if (row.refused !== undefined) {
    const at = mux.refusedAt(hash);
    expect(at === 0 ? null : (mux.now - at) & 0xffff, 'refused').toBe(row.refused);
  }
  if (chain !== 0) expect(mux.unrecordedNs(chain), 'unrecorded').toBe(row.unrecorded ? mux.nowNs : 0n);
}

function trafficClassOf(packet: Datagram): number {
  return packet.bytes[1]!;
}
