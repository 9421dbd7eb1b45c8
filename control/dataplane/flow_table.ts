// Owns what user space does with the flows that a mux keeps: looking, counting, sweeping, and having messages for other
// muxes made. Everything goes through the program `flows`, piece by piece: a piece is one test run of some hundred
// microseconds at most, and where the next begins is a cursor. When what is done is control/flow's.
import type { ChainTable } from './chain_table.ts';
import { entryOffset, type FlowProgram, headerOf, messagesOf } from './flow_program.ts';
import {
  AskFlag,
  type FlowEntry,
  FlowEvent,
  FlowState,
  FlowsCommand,
  type FlowsRequest,
  flowMessageEntryCodec,
  Limit,
} from './generated/layout.ts';
import type { PoolTable } from './pool_table.ts';
import type { SelfRecord } from './self.ts';
import { flowTime } from './service_record.ts';
import type { SlotTable } from './slot_table.ts';

/** Where a pass goes on; undefined begins one, or tells that it has ended. */
export type FlowCursor = number | undefined;

export type FlowStateName = 'nascent' | 'unproven' | 'trusted';

/** What is remembered of a flow. */
export type FlowRecord = {
  readonly fingerprint: bigint;
  /** undefined: no pool has the slot any more. */
  readonly poolId: number | undefined;
  /** Within its pool. */
  readonly slot: number;
  readonly trackEpoch: number;
  /** Of the chain that it was recorded under; the low 16 bits. */
  readonly chainEpoch: number;
  readonly backend: number;
  readonly generation: number;
  /** Since the last sign of life. */
  readonly silentMs: number;
  readonly idleTimeoutMs: number;
  readonly state: FlowStateName;
  readonly protocol: 'tcp' | 'udp' | number;
  /** The client, of IPv6 the first 32 bits; all zero where it is not known. */
  readonly client: Uint8Array;
  readonly ipVersion: 4 | 6;
  /** Its key is a client with affinity, whatever its connections are. */
  readonly isOfClient: boolean;
};

export type FlowKnowledge = {
  readonly fingerprint: bigint;
  readonly poolId: number;
  readonly slot: number;
  /** As owner or backup. */
  readonly table: FlowRecord | undefined;
  /** As asker. */
  readonly cache: CacheRecord | undefined;
};

/** A flow that is let go, and what to remember of it where it is not known. */
export type ReleaseRequest = {
  readonly poolId: number;
  readonly fingerprint: bigint;
  readonly protocol: 'tcp' | 'udp' | undefined;
  readonly ipVersion: 4 | 6;
  /** As in FlowRecord. */
  readonly client: Uint8Array;
  readonly idleTimeoutMs: number;
};

/** `released`: it goes to its slot's current backend now, as new ones do; `there`: it did before; `nothing`: its slot is clean. */
export type ReleaseOutcome = 'released' | 'there' | 'nothing' | 'full';

/** What a mux was answered about a flow. */
export type CacheRecord = {
  readonly backend: number;
  readonly generation: number;
  readonly silentMs: number;
  /** Learnt from a SYN: it serves SYNs only, and what comes after asks again. */
  readonly isFromSyn: boolean;
};

/** What a census has found of one tracking. */
export type PeriodCount = {
  readonly flows: number;
  /** Those of another backend than their slot's current one. */
  readonly oldFlows: number;
  /** Slots that have such flows: bit `slot & 7` of byte `slot >> 3`. */
  readonly heldSlots: Uint8Array;
};

export type FlowMessages = {
  /** Payloads of UDP, signed. */
  readonly messages: readonly Uint8Array<ArrayBuffer>[];
  readonly entries: number;
  readonly cursor: FlowCursor;
};

const NO_MESSAGES: FlowMessages = { messages: [], entries: 0, cursor: undefined };

export type CopyRequest = {
  readonly poolId: number;
  /** The backup that shall know them. */
  readonly peer: number;
  /** Of chains that became what they are at this version or later; `ahead`: of slots that chooseAhead() has chosen. */
  readonly chainEpoch: number | 'ahead';
  /** peerStates.beginCopyRound() has begun it. */
  readonly round: number;
  /** Of the first message in the round, 0-63: as many as there were before. */
  readonly message: number;
  readonly cursor?: FlowCursor;
};

export type RefreshRequest = {
  readonly poolId: number;
  /** Owner or backup of what is refreshed; this mux itself: done at once, and no message is made. */
  readonly peer: number;
  /** Flows that were seen here no longer ago. */
  readonly seenWithinMs: number;
  /** Of entries that the peer does not have. */
  readonly idleTimeoutMs: number;
  readonly cursor?: FlowCursor;
};

/** Messages of one round: peer_states has a bit for each. */
export const MESSAGES_PER_ROUND = 1 << Limit.LIMIT_MESSAGE_NUMBER_BITS;
/** Messages that one call of copy() or refresh() makes, at most. */
export const MESSAGES_PER_CALL = Limit.LIMIT_FLOWS_MESSAGES;

const MS_PER_FLOW_TIME = 2 ** Limit.LIMIT_FLOW_TIME_SHIFT / 1e6;
const FLOW_TIME_MAX = 0xffff;
const STATE_NAMES: Readonly<Record<number, FlowStateName>> = {
  [FlowState.FLOW_STATE_NASCENT]: 'nascent',
  [FlowState.FLOW_STATE_UNPROVEN]: 'unproven',
  [FlowState.FLOW_STATE_TRUSTED]: 'trusted',
};
const PROTOCOL_NUMBERS = { tcp: 6, udp: 17 } as const;
const PROTOCOL_NAMES: Readonly<Record<number, 'tcp' | 'udp'>> = { 6: 'tcp', 17: 'udp' };

const RELEASE_OUTCOMES: Readonly<Record<number, ReleaseOutcome>> = {
  [FlowEvent.FLOW_KNOWN]: 'there',
  [FlowEvent.FLOW_REDECIDED]: 'released',
  [FlowEvent.FLOW_NEW]: 'released',
  [FlowEvent.FLOW_TABLE_FULL]: 'full',
};

export type FlowTableParts = {
  readonly program: FlowProgram;
  readonly pools: PoolTable;
  readonly slots: SlotTable;
  readonly chains: ChainTable;
  readonly self: SelfRecord;
  /** Buckets of the table and of the cache. */
  readonly buckets: number;
  readonly cacheBuckets: number;
  /** Mapped; of the census. */
  readonly chainFlows: Uint32Array;
  readonly heldSlots: BigUint64Array;
  /** Mapped; of what is copied ahead. */
  readonly aheadSlots: BigUint64Array;
};

export class FlowTable {
  readonly #parts: FlowTableParts;
  #liveFlows = 0;

  constructor(parts: FlowTableParts) {
    this.#parts = parts;
  }

  /** Flows of open changes that the last whole pass of sweep() has counted, and room for how many. */
  get fill(): { used: number; max: number } {
    return { used: this.#liveFlows, max: this.#parts.buckets * Limit.LIMIT_FLOW_PLACES };
  }

  /** A heartbeat to any peer: payload of UDP, signed. `number` comes back as `echo`. */
  composeProbe({ number, pledge = false }: { number: number; pledge?: boolean }): Uint8Array<ArrayBuffer> {
    const flags = pledge ? AskFlag.ASK_PLEDGE : 0;
    return headerOf(this.#run({ command: FlowsCommand.FLOWS_COMMAND_PROBE, number: number >>> 0, flags }));
  }

  /** Takes out what is no more, and counts what is into the census that beginCensus() has begun. */
  sweep(cursor?: FlowCursor): { removed: number; cursor: FlowCursor } {
    const { request } = this.#pass(FlowsCommand.FLOWS_COMMAND_SWEEP, cursor, {});
    const next = this.#next(request, this.#parts.buckets);
    if (next === undefined) this.#liveFlows = this.#countLive();
    return { removed: request.entries, cursor: next };
  }

  /** Takes out of the cache what has been silent for the longest idle timeout that there is. */
  sweepCache(idleTimeoutMs: number, cursor?: FlowCursor): { removed: number; cursor: FlowCursor } {
    const { request } = this.#pass(FlowsCommand.FLOWS_COMMAND_SWEEP_CACHE, cursor, {
      idle_time: boundedTime(idleTimeoutMs),
    });
    return { removed: request.entries, cursor: this.#next(request, this.#parts.cacheBuckets) };
  }

  /** Forgets what the census before has counted. A whole pass of sweep() follows. */
  beginCensus(): void {
    this.#parts.chainFlows.fill(0);
    this.#parts.heldSlots.fill(0n);
  }

  /** What the pass has counted; to be thrown away where a version was applied in the meantime. */
  census(poolId: number, trackEpoch: number): PeriodCount {
    const { chains, pools, slots, chainFlows, heldSlots } = this.#parts;
    const { base, count } = this.#rangeOf(poolId);
    const ours = new Set<number>();
    let [flows, oldFlows] = [0, 0];
    for (const { index, ...key } of chains.entries()) {
      if (key.poolId !== poolId || key.trackEpoch !== trackEpoch) continue;
      ours.add(index);
      flows += chainFlows[index * 2]!;
      oldFlows += chainFlows[index * 2 + 1]!;
    }
    const bitmap = new Uint8Array(Math.ceil(count / 8));
    if (pools.get(poolId) === undefined || oldFlows === 0) return { flows, oldFlows, heldSlots: bitmap };
    for (let slot = 0; slot < count; slot++) {
      const place = base + slot;
      const isHeld = ((heldSlots[place >> 6]! >> BigInt(place & 63)) & 1n) !== 0n;
      if (isHeld && ours.has(slots.at(place).chain)) bitmap[slot >> 3]! |= 1 << (slot & 7);
    }
    return { flows, oldFlows, heldSlots: bitmap };
  }

  /** Flows of the table from a cursor on, of one pool or of all; some, or none though there are more. */
  list({ poolId, cursor }: { poolId?: number; cursor?: FlowCursor } = {}): {
    items: FlowRecord[];
    cursor: FlowCursor;
  } {
    const range = poolId === undefined ? {} : this.#slotsOf(poolId);
    const { request, page } = this.#pass(FlowsCommand.FLOWS_COMMAND_LIST, cursor, range);
    const items = Array.from({ length: request.entries }, (_, index) => {
      const { fingerprint, entry } = flowMessageEntryCodec.read(page, entryOffset(index));
      return this.#recordOf(fingerprint, entry, this.#parts.pools.poolOf(entry.slot));
    });
    return { items, cursor: this.#next(request, this.#parts.buckets) };
  }

  /** What is known here of the flow of a service of `poolId` whose keyed hash is `fingerprint`. */
  lookUp(poolId: number, fingerprint: bigint): FlowKnowledge {
    const { base, count } = this.#rangeOf(poolId);
    const slot = slotOf(fingerprint, count);
    const { page } = this.#run({
      command: FlowsCommand.FLOWS_COMMAND_LOOK_UP,
      fingerprint,
      slot_base: base + slot,
    });
    return this.#knowledgeOf(page, poolId, fingerprint);
  }

  #knowledgeOf(page: DataView<ArrayBuffer>, poolId: number, fingerprint: bigint): FlowKnowledge {
    const { base, count } = this.#rangeOf(poolId);
    const [known, cached] = [0, 1].map(
      (index) => flowMessageEntryCodec.read(page, entryOffset(index)).entry,
    ) as [FlowEntry, FlowEntry];
    const isThere = ({ state }: FlowEntry): boolean => state !== FlowState.FLOW_STATE_NONE;
    return {
      fingerprint,
      poolId,
      slot: slotOf(fingerprint, count),
      table: isThere(known) ? this.#recordOf(fingerprint, known, { id: poolId, base, count }) : undefined,
      cache: isThere(cached) ? cacheRecordOf(cached) : undefined,
    };
  }

  /**
   * Has a flow whose key is a client go to its slot's current backend from now on: in the table, where this mux keeps flows of
   * the slot or knows it, and out of the cache. `known` is what there was before.
   */
  release(request: ReleaseRequest): { readonly outcome: ReleaseOutcome; readonly known: FlowKnowledge } {
    const { poolId, fingerprint, protocol, ipVersion, client, idleTimeoutMs } = request;
    const { base, count } = this.#rangeOf(poolId);
    const slot = slotOf(fingerprint, count);
    const answer = this.#run({
      command: FlowsCommand.FLOWS_COMMAND_RELEASE,
      fingerprint,
      slot_base: base + slot,
      number: new DataView(client.buffer, client.byteOffset).getUint32(0, IS_LITTLE_ENDIAN),
      flags:
        (PROTOCOL_NUMBERS[protocol ?? 'tcp'] & Limit.LIMIT_FLOW_PROTOCOL_MASK) |
        Limit.LIMIT_FLOW_KEY_CLIENT |
        (ipVersion === 6 ? Limit.LIMIT_FLOW_IS_IPV6 : 0),
      idle_time: boundedTime(idleTimeoutMs),
    });
    return {
      outcome: RELEASE_OUTCOMES[answer.request.number] ?? 'nothing',
      known: this.#knowledgeOf(answer.page, poolId, fingerprint),
    };
  }

  /** Slots of the pool, of `slots` those that are not zero, whose flows a peer is to know before it keeps them. */
  chooseAhead(poolId: number, slots: Uint8Array): void {
    const { aheadSlots } = this.#parts;
    const { base, count } = this.#rangeOf(poolId);
    aheadSlots.fill(0n);
    for (let slot = 0; slot < count; slot++) {
      const place = base + slot;
      if (slots[slot] !== 0) aheadSlots[place >> 6]! |= 1n << BigInt(place & 63);
    }
  }

  /** Messages that make a new backup know flows that this mux owns, or one that will be one those that this mux keeps. */
  copy({ poolId, peer, chainEpoch, round, message, cursor }: CopyRequest): FlowMessages {
    if (message + MESSAGES_PER_CALL > MESSAGES_PER_ROUND)
      throw new RangeError(`a round has ${MESSAGES_PER_ROUND} messages: begin another one`);
    if (!this.#isHere(poolId)) return NO_MESSAGES;
    const isAhead = chainEpoch === 'ahead';
    const command = isAhead ? FlowsCommand.FLOWS_COMMAND_COPY_AHEAD : FlowsCommand.FLOWS_COMMAND_COPY;
    const answer = this.#pass(command, cursor, {
      ...this.#slotsOf(poolId),
      pool: poolId,
      peer,
      chain_epoch: isAhead ? 0 : chainEpoch,
      number: ((round << Limit.LIMIT_MESSAGE_NUMBER_BITS) | message) >>> 0,
    });
    return {
      messages: messagesOf(answer),
      entries: answer.request.entries,
      cursor: this.#next(answer.request, this.#parts.buckets),
    };
  }

  /** Messages that tell owner or backup that flows live which packets come to this mux of. */
  refresh({ poolId, peer, seenWithinMs, idleTimeoutMs, cursor }: RefreshRequest): FlowMessages {
    if (!this.#isHere(poolId)) return NO_MESSAGES;
    const answer = this.#pass(FlowsCommand.FLOWS_COMMAND_REFRESH, cursor, {
      ...this.#slotsOf(poolId),
      pool: poolId,
      peer,
      age_max: boundedTime(seenWithinMs),
      idle_time: boundedTime(idleTimeoutMs),
    });
    return {
      messages: peer === this.#parts.self.id ? [] : messagesOf(answer),
      entries: answer.request.entries,
      cursor: this.#next(answer.request, this.#parts.cacheBuckets),
    };
  }

  #countLive(): number {
    const { chains, chainFlows } = this.#parts;
    let flows = 0;
    for (const { index } of chains.entries()) flows += chainFlows[index * 2]!;
    return flows;
  }

  #pass(command: FlowsCommand, cursor: FlowCursor, request: Partial<FlowsRequest>) {
    return this.#run({ command, bucket: cursor ?? 0, buckets: Limit.LIMIT_FLOWS_BUCKETS, ...request });
  }

  #run(request: Partial<FlowsRequest>) {
    return this.#parts.program.run(request);
  }

  #next({ bucket }: FlowsRequest, buckets: number): FlowCursor {
    return bucket < buckets ? bucket : undefined;
  }

  /** A pool whose last service has gone has no slots here, and no flows; its changes may be open still. */
  #isHere(poolId: number): boolean {
    return this.#parts.pools.get(poolId) !== undefined;
  }

  #rangeOf(poolId: number): { base: number; count: number } {
    return this.#parts.pools.get(poolId) ?? { base: 0, count: 0 };
  }

  #slotsOf(poolId: number): Partial<FlowsRequest> {
    const range = this.#parts.pools.get(poolId);
    if (range === undefined) throw new RangeError(`pool ${poolId} has no slots on this mux`);
    return { slot_base: range.base, slot_count: range.count };
  }

  #recordOf(
    fingerprint: bigint,
    entry: FlowEntry,
    pool: { id: number; base: number; count: number } | undefined,
  ): FlowRecord {
    const protocol = entry.protocol & Limit.LIMIT_FLOW_PROTOCOL_MASK;
    const client = new Uint8Array(4);
    new DataView(client.buffer).setUint32(0, entry.client, IS_LITTLE_ENDIAN);
    return {
      fingerprint,
      poolId: pool?.id,
      slot: entry.slot - (pool?.base ?? 0),
      trackEpoch: entry.track_epoch,
      chainEpoch: entry.chain_epoch,
      backend: entry.backend,
      generation: entry.generation,
      silentMs: Math.round(entry.seen * MS_PER_FLOW_TIME),
      idleTimeoutMs: Math.round(entry.idle_time * MS_PER_FLOW_TIME),
      state: STATE_NAMES[entry.state] ?? 'unproven',
      protocol: PROTOCOL_NAMES[protocol] ?? protocol,
      client,
      ipVersion: entry.protocol & Limit.LIMIT_FLOW_IS_IPV6 ? 6 : 4,
      isOfClient: (entry.protocol & Limit.LIMIT_FLOW_KEY_CLIENT) !== 0,
    };
  }
}

function cacheRecordOf({ backend, generation, seen, state }: FlowEntry): CacheRecord {
  const isFromSyn = state === FlowState.FLOW_STATE_NASCENT;
  return { backend, generation, silentMs: Math.round(seen * MS_PER_FLOW_TIME), isFromSyn };
}

const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** reduce() of bpf/hash.h: the slot of a flow, which its hash decides. */
export function slotOf(hash: bigint, count: number): number {
  return Number(((hash >> 32n) * BigInt(count)) >> 32n);
}

function boundedTime(durationMs: number): number {
  return Math.min(FLOW_TIME_MAX, flowTime(durationMs));
}
