// Owns what the XDP benchmark measures of tracked slots: a mux whose slots of one pool are all tracked, with a flow table
// for a million flows; the flows that are asked about; and the judgement of what leaves. The judgement is by the models
// of test/bpf/lib.
import type { LoadedObject } from 'libbpf-ts';
import { DataplaneClock } from '../../../control/dataplane/clock.ts';
import { FlowProgram } from '../../../control/dataplane/flow_program.ts';
import type { Datagram } from '../../bpf/lib/packets.ts';
import { encapsulated, flowHash, parseHashKey, slotOf } from '../../bpf/lib/reference.ts';
import {
  ASK_KEY,
  GENERATION,
  hopFrom,
  hopTo,
  INCARNATION,
  KEY_BYTES,
  SELF,
  type SiteService,
  SOURCES,
  TrackedMux,
  wayTo,
} from '../../bpf/lib/tracked_mux.ts';
import { askFrame, FLAG, type Header } from '../../bpf/lib/wire_reference.ts';
import type { Frame } from './frames.ts';
import { frameOfRepeat } from './frames.ts';

export const SLOT_COUNT = 65537;
export const FLOWS = 65536;
const BACKENDS = Array.from({ length: 100 }, (_, index) => index + 1);
/** Of seven places each: a million flows. */
const FLOW_BUCKETS = 150_000;
/** Of four places each; half a million: of 65,536 flows hardly any five share one. */
const CACHE_BUCKETS = 131_072;
const CHAIN = { owner: SELF, backup: 3, trackEpoch: 10, chainEpoch: 10 };
const ASKER = 4;
/** What the clocks of all headers say; the mux's offset is set to it before each run. */
const TICKS = 0x40000000;
const ETHERNET_BYTES = 14;

const SERVICE: SiteService = {
  address: '198.18.0.10',
  port: 80,
  protocol: 6,
  slotBase: 0,
  slotCount: SLOT_COUNT,
  pool: 5,
};
const HASH_KEY = parseHashKey(KEY_BYTES);

/** Slots' backends: neighbours differ, and base is another than current. */
const currentOf = (slot: number): number => 1 + ((slot * 389) % BACKENDS.length);
const baseOf = (slot: number): number => 1 + ((slot * 389 + 50) % BACKENDS.length);

/** `id` 0: alone, owner and asker of all its flows. `isTracked` false: all slots are clean. */
export async function loadTrackedMux(id: number, isTracked: boolean): Promise<TrackedMux> {
  const mux = new TrackedMux({
    id,
    drivenTime: false,
    flowBuckets: FLOW_BUCKETS,
    cacheBuckets: CACHE_BUCKETS,
    slotCapacity: SLOT_COUNT,
    backends: BACKENDS,
    site: { tcp: SERVICE },
  });
  const flows = new FlowProgram(mux.object.program('flows'));
  await new DataplaneClock(() => flows.sample(), false, mux.map('.data.clock').mmap()).ready();
  const chain = mux.setChain(id === 0 ? { ...CHAIN, owner: 0, backup: 0 } : CHAIN);
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    if (isTracked) mux.setSlot(slot, currentOf(slot), baseOf(slot), chain);
    else mux.setCleanSlot(slot, currentOf(slot));
  }
  return mux;
}

/** The client's packet of a repeat. */
function packetOf(sent: Frame, repeat: number, flowMask: number) {
  const bytes = frameOfRepeat(sent, repeat, flowMask).subarray(ETHERNET_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flow = {
    source: [...bytes.subarray(12, 16)].join('.'),
    destination: SERVICE.address,
    sourcePort: view.getUint16(20),
    destinationPort: SERVICE.port,
    protocol: SERVICE.protocol,
  };
  const hash = flowHash(HASH_KEY, SERVICE, flow);
  const datagram: Datagram = { version: 4, bytes, length: bytes.length };
  return { datagram, hash, slot: slotOf(SERVICE, hash) };
}

function headerOf(slot: number, flags: number): Header {
  return {
    keyId: 0,
    asker: ASKER,
    askerIncarnation: INCARNATION(ASKER),
    slot,
    pool: SERVICE.pool,
    owner: CHAIN.owner,
    backup: CHAIN.backup,
    time: TICKS,
    version: 9,
    trackEpoch: CHAIN.trackEpoch,
    chainEpoch: CHAIN.chainEpoch,
    ownerIncarnation: INCARNATION(CHAIN.owner),
    backupIncarnation: INCARNATION(CHAIN.backup),
    operation: 'ask',
    hops: 1,
    flags,
    backend: 0,
    generation: 0,
  };
}

/** What goes out for what came in at a repeat. */
export type Exchange = { input: Uint8Array; output: Uint8Array };

/** A new flow is asked about: on to the backup, decided. */
export function askOf(sent: Frame, repeat: number): Exchange {
  const { datagram, hash, slot } = packetOf(sent, repeat, FLOWS - 1);
  const ask = headerOf(slot, FLAG.newFlow);
  const record: Header = {
    ...ask,
    operation: 'record',
    hops: 2,
    backend: currentOf(slot),
    generation: GENERATION,
  };
  return {
    input: askFrame(hopFrom(ASKER), ask, ASK_KEY, hash, datagram),
    output: askFrame(hopTo(CHAIN.backup), record, ASK_KEY, hash, datagram),
  };
}

/** A packet of a flow that was taken for one of base. */
export function cachedOf(sent: Frame, repeat: number): Exchange {
  const { datagram, hash, slot } = packetOf(sent, repeat, FLOWS - 1);
  return {
    input: frameOfRepeat(sent, repeat, FLOWS - 1),
    output: encapsulated(datagram, wayTo(baseOf(slot)), hash, SOURCES, 0),
  };
}

export function cleanOf(sent: Frame, repeat: number): Exchange {
  const { datagram, hash, slot } = packetOf(sent, repeat, FLOWS - 1);
  return {
    input: frameOfRepeat(sent, repeat, FLOWS - 1),
    output: encapsulated(datagram, wayTo(currentOf(slot)), hash, SOURCES, 0),
  };
}

/** What the harness needs to make the asks of all flows, in the order of repeats. */
export type AskFlows = { slots: Uint32Array; tags: BigUint64Array; ports: Uint8Array };
let made: AskFlows | undefined;

export function askFlows(sent: Frame): AskFlows {
  if (made !== undefined) return made;
  const slots = new Uint32Array(FLOWS);
  const tags = new BigUint64Array(FLOWS);
  const ports = new Uint8Array(FLOWS * 2);
  for (let repeat = 0; repeat < FLOWS; repeat++) {
    const { input } = askOf(sent, repeat);
    const view = new DataView(input.buffer, input.byteOffset);
    slots[repeat] = view.getUint32(42 + 8, true);
    tags[repeat] = view.getBigUint64(42 + 48, true);
    ports.set(input.subarray(34, 36), repeat * 2);
  }
  made = { slots, tags, ports };
  return made;
}

export function giveAskFlows(harness: LoadedObject, { slots, tags, ports }: AskFlows): void {
  new Uint32Array(harness.map('.data.ask_slots').mmap(), 0, FLOWS).set(slots);
  new BigUint64Array(harness.map('.data.ask_tags').mmap(), 0, FLOWS).set(tags);
  new Uint8Array(harness.map('.data.ask_ports').mmap(), 0, FLOWS * 2).set(ports);
}

/** Brings the mux's cluster time to what the headers say. */
export function synchronise(mux: TrackedMux): void {
  mux.setTimeOffset(TICKS - Number((process.hrtime.bigint() >> 20n) & 0xffffffffn));
}
