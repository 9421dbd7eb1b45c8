// Owns one server as the protocol wants it: what it does with a packet, with a query and with what comes home. Its tables
// are tables.ts; versions come from the leader. Each rule that may be missing is asked for by name.
import {
  type Answer,
  begins,
  type FilterServer,
  HOLDERS_MAX,
  HOPS_MAX,
  type Outcome,
  type Packet,
  type Peer,
  type Query,
  type Settings,
  type Slot,
  type Sockets,
  type Version,
} from './port.ts';
import type { Rules } from './rules.ts';
import { Affinities, type ForeignEntry, Foreigners } from './tables.ts';

/** A query that is older than this is nobody's any more. */
export const QUERY_TIME_NS = 2_000_000_000;

const drop = (reason: string): Outcome => ({ kind: 'drop', reason });
const pass = (reason: string): Outcome => ({ kind: 'pass', reason });

export class ModelServer implements FilterServer {
  readonly id: number;
  readonly incarnation: number;
  readonly #rules: Rules;
  readonly #sockets: Sockets;
  readonly #affinities: Affinities;
  readonly #foreigners: Foreigners;
  #version: Version;
  #deadlineNs = 0;

  constructor(self: Peer, version: Version, settings: Settings, sockets: Sockets, rules: Rules) {
    this.id = self.server;
    this.incarnation = self.incarnation;
    this.#version = version;
    this.#rules = rules;
    this.#sockets = sockets;
    this.#affinities = new Affinities(settings);
    this.#foreigners = new Foreigners(settings, rules);
  }

  get version(): number {
    return this.#version.number;
  }

  apply(version: Version): void {
    this.#version = version;
  }

  setDeadline(deadlineNs: number): void {
    this.#deadlineNs = deadlineNs;
  }

  hear(packet: Packet, nowNs: number): Outcome {
    if (this.#isFenced(nowNs)) return drop('FENCED');
    return this.#decide(packet, nowNs, 1);
  }

  query(query: Query, packet: Packet, nowNs: number): Outcome {
    if (this.#isFenced(nowNs)) return drop('QUERY_FENCED');
    if (nowNs - query.sentNs > this.#queryTimeNs) return drop('QUERY_TIME');
    if (query.hops > HOPS_MAX) return drop('QUERY_HOPS');
    if (query.asker.server !== this.id) return this.#answer(query, packet, nowNs);
    if (query.asker.incarnation !== this.incarnation) return drop('QUERY_INCARNATION');
    return this.#home(query, packet, nowNs);
  }

  holds(bucket: number, nowNs: number): boolean {
    return this.clientsOf(bucket, nowNs).length > 0;
  }

  clientsOf(bucket: number, nowNs: number): readonly number[] {
    const known = this.#affinities.clientsOf(bucket, nowNs);
    return this.#rules.reportsSockets ? [...new Set([...known, ...this.#sockets.clientsOf(bucket)])] : known;
  }

  learn(key: number, from: Peer, nowNs: number): void {
    this.#foreigners.push(key, from, nowNs);
  }

  // --- the rules of a packet ---

  /** `round`: 1 as it was heard; 2 where those have been asked that were named when clients were handed over. */
  #decide(packet: Packet, nowNs: number, round: number): Outcome {
    const slot = this.#slotOf(packet);
    const isCurrent = slot.current === this.id;
    if (!slot.tracked && !isCurrent) return drop('0 NOT_MINE');
    const isHere = this.#affinities.has(packet.key, nowNs);
    if (isHere && !this.#isSplit(slot, packet)) {
      this.#affinities.refresh(packet.key, !begins(packet), nowNs);
      return pass('1 HERE');
    }
    if (isHere) return this.#ask(slot, packet, nowNs, true, round);
    const foreign = this.#foreignOf(slot, packet, nowNs);
    const isSocket = (slot.tracked || foreign !== undefined) && this.#isWitnessed(packet);
    if (isSocket && this.#rules.witnessFirst) return this.#witnessed(packet, nowNs);
    if (foreign !== undefined) {
      if (!this.#rules.nofrefresh && round === 1) foreign.sinceNs = nowNs;
      return drop('2 FOREIGN');
    }
    if (isSocket) return this.#witnessed(packet, nowNs);
    if (!this.#isMine(slot)) return drop('3 NOT_MINE');
    if (!slot.tracked) return this.#accept(packet, nowNs, '4 CLEAN', true);
    if (!begins(packet) && !this.#rules.q5) return pass('5 UNASKED');
    // Who is current hears it, too, and asks.
    if (!begins(packet) && !isCurrent) return drop('5 RELEASING');
    return this.#ask(slot, packet, nowNs, false, round);
  }

  #witnessed(packet: Packet, nowNs: number): Outcome {
    if (!this.#rules.witnessOnlyPasses) this.#affinities.record(packet.key, packet.bucket, true, nowNs);
    return pass('1 SOCKET');
  }

  #accept(packet: Packet, nowNs: number, reason: string, isClean: boolean): Outcome {
    const { key, bucket, kind } = packet;
    // Its affinity ended while the connection was silent, or had found no place; nobody else has the client.
    const isBack = this.#rules.cleanRecords && isClean && kind === 'data' && this.#isWitnessed(packet);
    if (!begins(packet) && !isBack) return pass(reason);
    const isRecorded = this.#affinities.record(key, bucket, kind !== 'syn', nowNs);
    if (isRecorded) return pass(reason);
    const { current } = this.#slotOf(packet);
    // Who acquires the bucket hears it, too, and asks us; what we do not remember it would answer a second time.
    if (current === this.id) return pass(`${reason} UNRECORDED`);
    return this.#rules.releasingRecords ? drop(`${reason} NO_PLACE`) : pass(`${reason} UNPLACED`);
  }

  /** Of a client of ours, and perhaps of a connection that another server has. */
  #isSplit(slot: Slot, packet: Packet): boolean {
    const { ownSocket, witness } = this.#rules;
    return ownSocket && witness && slot.tracked && packet.kind === 'data' && !this.#isWitnessed(packet);
  }

  #isWitnessed({ kind, tuple }: Packet): boolean {
    return this.#rules.witness && kind !== 'datagram' && this.#sockets.has(tuple);
  }

  #foreignOf(slot: Slot, packet: Packet, nowNs: number): ForeignEntry | undefined {
    const entry = this.#foreigners.find(packet.key, nowNs, this.#version);
    if (entry === undefined || entry.kind !== 'asker' || !this.#rules.tombNotMine) return entry;
    // It asked, and may not have been told to answer: who has to answer now, and knows of its asking, asks.
    return slot.current === this.id && this.version >= entry.version ? undefined : entry;
  }

  #ask(slot: Slot, packet: Packet, nowNs: number, isOfConnection: boolean, round: number): Outcome {
    const holders = slot.holders.map(({ server }) => server);
    // The acquiring server has clients of its own by now; what it asked us about may be long ago.
    const asksCurrent = isOfConnection || this.#rules.releasingAsks;
    if (asksCurrent && !holders.includes(slot.current)) holders.push(slot.current);
    const others = holders.filter((it) => it !== this.id).slice(-HOLDERS_MAX);
    const hints = round > 1 ? [] : this.#foreigners.hints(packet.key, this.#version);
    const isHint = hints.length > 0;
    const list = isHint ? hints.slice(-HOLDERS_MAX) : others;
    const query: Query = {
      asker: { server: this.id, incarnation: this.incarnation },
      version: this.version,
      record: slot.record,
      sentNs: nowNs,
      hops: 1,
      ahead: list.slice(1),
      isOfConnection,
      isHint,
      answer: undefined,
    };
    if (list.length === 0) return this.#home(query, packet, nowNs);
    return { kind: 'send', reason: '5 QUERY', to: list[0]!, query };
  }

  // --- at a holder ---

  #answer(query: Query, packet: Packet, nowNs: number): Outcome {
    const slot = this.#slotOf(packet);
    const hops = query.hops + 1;
    const known = this.#knows(query, packet, nowNs);
    if (known !== undefined) {
      const answer = { server: this.id, incarnation: this.incarnation, of: known };
      const home = { ...query, hops, ahead: [], answer };
      return { kind: 'send', reason: 'QUERY_MINE', to: query.asker.server, query: home };
    }
    if (begins(packet) && this.#remembersAsker(query, slot))
      this.#foreigners.remember(packet.key, query.asker, query.version, nowNs);
    const [next = query.asker.server, ...ahead] = query.ahead;
    return { kind: 'send', reason: 'QUERY_UNKNOWN', to: next, query: { ...query, hops, ahead } };
  }

  #knows(query: Query, packet: Packet, nowNs: number): Answer['of'] | undefined {
    const isHere = this.#affinities.has(packet.key, nowNs);
    if (isHere && !query.isOfConnection) {
      if (this.#rules.queryRefreshes) this.#affinities.refresh(packet.key, !begins(packet), nowNs);
      return 'client';
    }
    if (!this.#isWitnessed(packet)) return undefined;
    if (this.#rules.witnessOnlyPasses) return 'connection';
    if (!isHere) this.#affinities.record(packet.key, packet.bucket, true, nowNs);
    return 'client';
  }

  /** So that its own copy of the packet, which may come later, is not answered a second time. */
  #remembersAsker(query: Query, slot: Slot): boolean {
    if (!this.#rules.tomb) return false;
    if (this.#rules.tombOfMine && !this.#isMine(slot)) return false;
    if (!this.#rules.norel || slot.current !== this.id) return true;
    // Both ask each other; one of them must go on to answer.
    return slot.base !== query.asker.server;
  }

  // --- home again ---

  #home(query: Query, packet: Packet, nowNs: number): Outcome {
    const slot = this.#slotOf(packet);
    if (query.answer !== undefined) {
      // A client of ours stays ours; this connection is another's.
      const isOfClient = query.answer.of === 'client' || !this.#rules.connectionIsNotClient;
      if (isOfClient && !this.#affinities.has(packet.key, nowNs))
        this.#foreigners.know(packet.key, query.answer, nowNs);
      return drop('HOME_FOREIGN');
    }
    if (query.isHint) return this.#decide(packet, nowNs, 2);
    // Who is current knows all that may have it; for others silence harms less than a reset.
    if (query.isOfConnection)
      return slot.current === this.id ? pass('HOME_NO_CONNECTION') : drop('HOME_UNSURE');
    if (this.#rules.sameRecord && slot.record !== query.record) return this.#decide(packet, nowNs, 1);
    if (this.#rules.rehome) {
      if (this.#affinities.has(packet.key, nowNs)) return this.#decide(packet, nowNs, 2);
      if (this.#foreignOf(slot, packet, nowNs) !== undefined) return drop('HOME_LEARNT');
      if (!this.#isMine(slot)) return drop('HOME_NOT_MINE');
    }
    return this.#accept(packet, nowNs, 'HOME_NOBODY', false);
  }

  /** What was remembered on the query's way lives on when it comes home. */
  get #queryTimeNs(): number {
    return this.#rules.queryEnds ? Math.min(QUERY_TIME_NS, this.#foreigners.lifeNs) : QUERY_TIME_NS;
  }

  #isFenced(nowNs: number): boolean {
    return this.#rules.deadline && nowNs > this.#deadlineNs;
  }

  #isMine(slot: Slot): boolean {
    return slot.current === this.id || slot.base === this.id;
  }

  #slotOf({ bucket }: Packet): Slot {
    return this.#version.slots[bucket]!;
  }
}
