// Owns the network of a history: servers that hear every packet, each copy at a time of its own, queries between them, versions
// that come late, and servers that crash, hang, join and drain. Clients are client.ts.
import { Agenda } from '../protocol/agenda.ts';
import { mix, unitOf } from '../protocol/mix.ts';
import { Random } from '../protocol/random.ts';
import { Client, type Connection } from './client.ts';
import { clean, Leader } from './leader.ts';
import { Oracle } from './oracle.ts';
import {
  begins,
  type FilterServer,
  MS,
  type Outcome,
  type Packet,
  type PacketKind,
  type Peer,
  type Query,
  SECOND,
  type Settings,
  type Sockets,
  type Version,
} from './port.ts';
import type { Rules } from './rules.ts';
import type { Action, Scenario, Weather } from './scenario.ts';
import { Stack } from './stack.ts';

const LEASE_NS = 600 * MS;
const RENEW_NS = 150 * MS;
/** After its deadline, until others take it for dead. */
const MARGIN_NS = 50 * MS;
const TICK_NS = 20 * MS;
const STORE_NS = 2 * MS;
/** A daemon that was taken for dead is back so long after it notices. */
const REJOIN_NS = 300 * MS;
/** Packets that wait for a server that hangs. */
const QUEUE_MAX = 64;
/** Hops that a packet makes between servers before it is answered. */
const WAYS_MAX = 12;
/** A session that is nearly over is over for some. */
const SESSION_SHARE = 0.98;

export type MakeServer = (
  self: Peer,
  version: Version,
  settings: Settings,
  sockets: Sockets,
  rules: Rules,
) => FilterServer;

/** A node, its program and its stack. */
class Host {
  readonly id: number;
  filter: FilterServer | undefined;
  stack = new Stack();
  incarnation = 1;
  /** Counts how often it was taken for dead. */
  life = 1;
  isUp = false;
  hungUntilNs = 0;
  renewedNs = 0;
  /** When it went, came back or was taken for dead. */
  troubleNs = Number.NEGATIVE_INFINITY;
  /** That it had when it was taken for dead. */
  staleVersion: Version | undefined;
  lastVersionNs = 0;
  queue: (() => void)[] = [];

  constructor(id: number) {
    this.id = id;
  }
}

/** What became of one packet that a client sent. */
type Fate = { readonly passedBy: Set<number>; isExcused: boolean };

type Session = {
  server: number;
  life: number;
  lastNs: number;
  isProven: boolean;
  isRecorded: boolean;
};

export class World {
  readonly agenda = new Agenda();
  readonly oracle = new Oracle();
  readonly scenario: Scenario;
  readonly reasons = new Map<string, number>();
  readonly counts = { requests: 0, packets: 0, queries: 0, versions: 0, moves: 0, unserved: 0, splits: 0 };
  readonly #rules: Rules;
  readonly #make: MakeServer;
  readonly #hosts: Host[] = [];
  readonly #leader: Leader;
  readonly #moves: Random;
  readonly #lags: Random;
  readonly #fates = new Map<number, Fate>();
  readonly #sessions = new Map<number, Session>();
  readonly #trace: ((line: string, key?: number, bucket?: number) => void) | undefined;
  #packets = 0;
  /** Somebody had no place for a client. */
  #fullNs = Number.NEGATIVE_INFINITY;

  constructor(
    scenario: Scenario,
    rules: Rules,
    make: MakeServer,
    trace?: (line: string, key?: number, bucket?: number) => void,
  ) {
    this.scenario = scenario;
    this.#rules = rules;
    this.#make = make;
    this.#trace = trace;
    this.#moves = new Random(scenario.seed, 'moves');
    this.#lags = new Random(scenario.seed, 'lags');
    const members = new Map(Array.from({ length: scenario.servers }, (_, at) => [at + 1, 1]));
    const slots = Array.from({ length: scenario.buckets }, () => clean(this.#moves.between(1, members.size)));
    this.#leader = new Leader({ number: 1, members, slots }, rules, {
      nowNs: () => this.nowNs,
      distribute: (version) => this.#distribute(version),
      report: (server, bucket, then) => this.#report(server, bucket, then),
      handOver: (from, to, bucket, then) => this.#handOver(from, to, bucket, then),
      pick: (servers) => this.#moves.pick(servers),
      note: (line, bucket) =>
        this.note(`leader: ${line} (v${this.#leader.head.number + 1})`, undefined, bucket),
    });
    for (const server of members.keys()) this.#boot(this.#host(server));
    for (const action of scenario.actions) this.agenda.at(action.atNs, () => this.#perform(action));
    this.agenda.at(TICK_NS, () => this.#tick());
    this.agenda.at(RENEW_NS, () => this.#renew());
    for (let key = 1; key <= scenario.traffic.clients; key++) new Client(key, this).start();
  }

  get nowNs(): number {
    return this.agenda.nowNs;
  }

  note(line: string, key?: number, bucket?: number): void {
    this.#trace?.(`${(this.nowNs / MS).toFixed(2).padStart(9)} ms  ${line}`, key, bucket);
  }

  bucketOf(key: number): number {
    return mix(key, 0xb0c) % this.scenario.buckets;
  }

  /** It serves, and has not been taken for dead since. */
  isLiving(server: number, life: number): boolean {
    const host = this.#hosts[server];
    return host?.isUp === true && host.life === life && host.hungUntilNs <= this.nowNs;
  }

  #lifeOf(server: number): number {
    return this.#host(server).life;
  }

  // --- the way of a packet ---

  send(kind: PacketKind, key: number, connection: Connection): void {
    const packet: Packet = {
      id: ++this.#packets,
      kind,
      key: this.scenario.traffic.isAffine ? key : connection.tuple,
      bucket: this.bucketOf(this.scenario.traffic.isAffine ? key : connection.tuple),
      tuple: connection.tuple,
    };
    this.counts.packets++;
    const fate: Fate = { passedBy: new Set(), isExcused: this.#isInTrouble() };
    this.#fates.set(packet.id, fate);
    if (begins(packet)) this.counts.requests++;
    this.note(
      `client ${key}: ${kind} ${packet.id} of connection ${connection.tuple}`,
      packet.key,
      packet.bucket,
    );
    for (const host of this.#hosts)
      if (host?.isUp)
        this.#carry(this.scenario.outside, mix(mix(this.scenario.seed, packet.id), host.id), fate, () =>
          this.#atHost(host, fate, (filter) =>
            this.#settle(host, packet, connection, filter.hear(packet, this.nowNs)),
          ),
        );
    const { outside, inside } = this.scenario;
    const allNs = outside.delayNs + outside.jitterNs + WAYS_MAX * (inside.delayNs + inside.jitterNs);
    this.agenda.after(2 * allNs, () => this.#judge(packet, connection, fate));
  }

  #carry(
    { loss, duplicate, delayNs, jitterNs }: Weather,
    trail: number,
    fate: Fate,
    arrive: () => void,
  ): void {
    if (duplicate > 0 && unitOf(mix(trail, 101)) < duplicate)
      this.agenda.after(delayNs + unitOf(mix(trail, 102)) * 4 * jitterNs, arrive);
    if (loss > 0 && unitOf(mix(trail, 103)) < loss) {
      fate.isExcused = true;
      return;
    }
    this.agenda.after(delayNs + unitOf(mix(trail, 104)) * jitterNs, arrive);
  }

  #atHost(host: Host, fate: Fate, happen: (filter: FilterServer) => void): void {
    const { filter } = host;
    if (!host.isUp || filter === undefined) {
      fate.isExcused = true;
    } else if (host.hungUntilNs > this.nowNs) {
      fate.isExcused = true;
      if (host.queue.length < QUEUE_MAX) host.queue.push(() => this.#atHost(host, fate, happen));
    } else happen(filter);
  }

  #settle(host: Host, packet: Packet, connection: Connection, outcome: Outcome): void {
    const { reason } = outcome;
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
    const at = `server ${host.id} v${host.filter!.version}`;
    if (outcome.kind !== 'drop' || !reason.startsWith('0'))
      this.note(
        `${at}: ${packet.kind} ${packet.id}: ${reason}${outcome.kind === 'send' ? ` → ${outcome.to}` : ''}`,
        packet.key,
        packet.bucket,
      );
    const fate = this.#fates.get(packet.id) ?? { passedBy: new Set(), isExcused: true };
    // Dropped for want of a place, where somebody who is about to know better was to answer.
    if (reason.endsWith('NO_PLACE')) fate.isExcused = true;
    if (reason.endsWith('NO_PLACE') || reason.endsWith('UNRECORDED')) this.#fullNs = this.nowNs;
    if (outcome.kind === 'pass') this.#pass(host, packet, connection, fate, reason);
    if (outcome.kind !== 'send') return;
    this.counts.queries++;
    const { to, query } = outcome;
    const trail = mix(mix(this.scenario.seed, packet.id), mix(this.counts.queries, 7));
    this.#carry(this.scenario.inside, trail, fate, () => this.#query(to, query, packet, connection, fate));
  }

  #query(to: number, query: Query, packet: Packet, connection: Connection, fate: Fate): void {
    const host = this.#host(to);
    this.#atHost(host, fate, (filter) =>
      this.#settle(host, packet, connection, filter.query(query, packet, this.nowNs)),
    );
  }

  #pass(host: Host, packet: Packet, connection: Connection, fate: Fate, reason: string): void {
    const { kind } = packet;
    const client = connection.peer;
    const isOfHere = client === undefined || (client.server === host.id && client.life === host.life);
    const reaction = host.stack.take(packet, isOfHere);
    fate.passedBy.add(host.id);
    if (connection.isOver) return;
    if (reason.endsWith('UNRECORDED') && begins(packet)) connection.isUnrecorded = true;
    if (begins(packet)) this.#judgeRequest(host, packet, connection, fate);
    if (reaction === 'resets') {
      this.#judgeReset(host, packet, connection);
      this.agenda.after(MS, () => connection.wasReset());
      return;
    }
    // What only the kernel knows ended when the client was silent for too long.
    if (reason !== '1 SOCKET') this.#holdSession(host, packet, !reason.endsWith('UNRECORDED'));
    const peer = { server: host.id, life: host.life };
    if (kind === 'syn') {
      connection.sockets.set(host.id, host.life);
      const slow = unitOf(mix(mix(this.scenario.seed, packet.id), 301)) * this.scenario.traffic.answerNs;
      this.agenda.after(MS + slow, () => connection.wasAnswered(peer));
    } else this.agenda.after(MS, () => connection.wasTaken());
  }

  /** The connection ends at the hosts that have it. */
  close(connection: Connection, afterNs: number): void {
    for (const [server, life] of connection.sockets)
      this.agenda.after(afterNs, () => {
        const host = this.#host(server);
        if (host.life === life || host.isUp) host.stack.close(connection.tuple);
      });
  }

  // --- what must hold ---

  #find(kind: 'double' | 'unanswered' | 'unserved' | 'reset' | 'moved', packet: Packet, text: string): void {
    const { key, bucket } = packet;
    this.oracle.report({ kind, atNs: this.nowNs, key, bucket, text });
    this.note(`${kind.toUpperCase()}: ${text}`, key, bucket);
  }

  #judgeRequest(host: Host, packet: Packet, connection: Connection, fate: Fate): void {
    const what = `${packet.kind} ${packet.id} of client ${connection.client}`;
    const others = packet.kind === 'syn' ? [...connection.sockets.keys()] : [...fate.passedBy];
    for (const other of others) {
      const life = packet.kind === 'syn' ? connection.sockets.get(other)! : this.#lifeOf(other);
      if (other !== host.id && this.isLiving(other, life)) {
        // No table had a place for it, and its client has begun anew with another server before it was answered.
        if (connection.isUnrecorded) this.counts.splits++;
        else this.#find('double', packet, `${what} is answered by ${other} and ${host.id}`);
        return;
      }
    }
    if (connection.isUnrecorded) return;
    const session = this.#sessions.get(packet.key);
    if (session === undefined || session.server === host.id || !this.#isAlive(session)) return;
    if (session.isProven && session.isRecorded)
      this.#find('moved', packet, `${what} is answered by ${host.id}, and ${session.server} has its session`);
  }

  #isAlive({ server, life, lastNs }: Session): boolean {
    return (
      this.isLiving(server, life) && this.nowNs - lastNs < SESSION_SHARE * this.scenario.settings.timeoutNs
    );
  }

  #holdSession(host: Host, { key, kind }: Packet, isRecorded: boolean): void {
    const before = this.#sessions.get(key);
    const isSame = before !== undefined && before.server === host.id && before.life === host.life;
    // A packet of an old connection does not take the client along.
    if (!isSame && before !== undefined && this.#isAlive(before) && before.isProven) return;
    this.#sessions.set(key, {
      server: host.id,
      life: host.life,
      lastNs: this.nowNs,
      isProven: kind !== 'syn' || (isSame && before.isProven && this.#isAlive(before)),
      isRecorded: isRecorded && (!isSame || before.isRecorded || kind !== 'data'),
    });
  }

  #judgeReset(host: Host, packet: Packet, connection: Connection): void {
    const { peer } = connection;
    if (peer === undefined || peer.server === host.id || !this.isLiving(peer.server, peer.life)) return;
    if (connection.isUnrecorded && connection.sockets.has(host.id)) {
      this.counts.splits++;
      return;
    }
    if (this.nowNs - connection.lastNs >= SESSION_SHARE * this.scenario.settings.timeoutNs) return;
    this.#find(
      'reset',
      packet,
      `data ${packet.id} of client ${connection.client} is of ${peer.server} and reset by ${host.id}`,
    );
  }

  #judge(packet: Packet, connection: Connection, fate: Fate): void {
    this.#fates.delete(packet.id);
    const { peer } = connection;
    if (!this.scenario.judgesUnanswered || fate.isExcused || this.#isInTrouble()) return;
    // Those of clients that are remembered nowhere may be left to a server that remembers them no more.
    const { timeoutNs } = this.scenario.settings;
    if (packet.kind === 'datagram' && this.nowNs - this.#fullNs < timeoutNs) return;
    const what = `${packet.kind} ${packet.id} of client ${connection.client}`;
    if (begins(packet)) {
      if (fate.passedBy.size === 0 && !connection.isOver) this.#find('unanswered', packet, `${what}`);
    } else if (peer !== undefined && !connection.isOver && !fate.passedBy.has(peer.server)) {
      if (
        this.isLiving(peer.server, peer.life) &&
        this.nowNs - connection.lastNs < this.scenario.settings.timeoutNs / 2
      )
        this.#find('unanswered', packet, `${what} is of ${peer.server}, which did not take it`);
    }
  }

  /** Was sent as often as clients send. */
  gaveUp(kind: PacketKind, key: number, connection: Connection): void {
    this.counts.unserved++;
    if (!this.scenario.judgesUnanswered) return;
    const named = this.scenario.traffic.isAffine ? key : connection.tuple;
    const packet = { id: 0, kind, key: named, bucket: this.bucketOf(named), tuple: connection.tuple };
    const { peer } = connection;
    if (kind === 'data' && (peer === undefined || !this.isLiving(peer.server, peer.life))) return;
    this.#find('unserved', packet, `${kind} of client ${key} was sent in vain`);
  }

  /** Somebody is gone, and not everybody acts on it. */
  #isInTrouble(): boolean {
    return this.#hosts.some(
      (host) =>
        host !== undefined &&
        (this.nowNs < host.hungUntilNs ||
          (!host.isUp && this.#leader.head.members.has(host.id)) ||
          this.nowNs - host.troubleNs < this.scenario.lagNs * 2 + SECOND),
    );
  }

  // --- nodes ---

  #host(server: number): Host {
    const known = this.#hosts[server];
    if (known !== undefined) return known;
    const host = new Host(server);
    this.#hosts[server] = host;
    return host;
  }

  #boot(host: Host, version: Version = this.#leader.head): void {
    host.isUp = true;
    const self = { server: host.id, incarnation: host.incarnation };
    const sockets: Sockets = {
      has: (tuple) => host.stack.has(tuple),
      clientsOf: (bucket) => host.stack.clientsOf(bucket),
    };
    host.filter = this.#make(self, version, this.scenario.settings, sockets, this.#rules);
    host.renewedNs = this.nowNs;
    host.filter.setDeadline(this.nowNs + LEASE_NS);
  }

  #perform(action: Action): void {
    switch (action.kind) {
      case 'move':
        if (this.#leader.move(action.bucket, action.to)) this.counts.moves++;
        return;
      case 'drain':
        this.#leader.drain(action.server);
        return;
      case 'crash':
        this.#crash(this.#host(action.server));
        return;
      case 'hang': {
        const host = this.#host(action.server);
        if (!host.isUp) return;
        host.hungUntilNs = this.nowNs + action.forNs;
        this.note(`server ${host.id} hangs for ${action.forNs / MS} ms`);
        this.agenda.at(host.hungUntilNs, () => this.#wake(host));
        return;
      }
      default:
        this.#join(this.#host(action.server));
    }
  }

  #crash(host: Host): void {
    if (!host.isUp) return;
    this.note(`server ${host.id} crashes`);
    host.isUp = false;
    host.filter = undefined;
    host.life++;
    host.incarnation++;
    host.stack = new Stack();
    host.troubleNs = this.nowNs;
  }

  #wake(host: Host): void {
    if (host.hungUntilNs > this.nowNs) return;
    host.troubleNs = this.nowNs;
    this.note(`server ${host.id} wakes`);
    const { queue } = host;
    host.queue = [];
    for (const happen of queue) happen();
    if (!this.#leader.head.members.has(host.id)) this.agenda.after(REJOIN_NS, () => this.#join(host));
  }

  #join(host: Host): void {
    if (this.#leader.head.members.has(host.id)) return;
    const old = host.filter;
    if (host.isUp && old !== undefined && !this.#rules.newIncarnation) {
      // Takes up where it was.
      host.renewedNs = this.nowNs;
      this.#leader.join({ server: host.id, incarnation: host.incarnation });
      return;
    }
    host.incarnation++;
    const isStale = !this.#rules.joinTables && host.staleVersion !== undefined;
    this.#leader.join({ server: host.id, incarnation: host.incarnation });
    this.#boot(host, isStale ? host.staleVersion : this.#leader.head);
  }

  #renew(): void {
    for (const host of this.#hosts) {
      if (host === undefined) continue;
      const isMember = this.#leader.head.members.has(host.id);
      if (host.isUp && host.hungUntilNs <= this.nowNs && isMember) {
        host.renewedNs = this.nowNs;
        host.filter!.setDeadline(this.nowNs + LEASE_NS);
      } else if (isMember && this.nowNs > host.renewedNs + LEASE_NS + MARGIN_NS) {
        if (host.isUp) host.life++;
        host.troubleNs = this.nowNs;
        host.staleVersion = this.#versions.get(host.filter?.version ?? 1) ?? this.#leader.head;
        this.#leader.remove(host.id);
      }
    }
    this.agenda.after(RENEW_NS, () => this.#renew());
  }

  // --- the leader's ways to servers ---

  #tick(): void {
    this.#leader.tick();
    const { moveEveryNs, seconds } = this.scenario;
    if (moveEveryNs > 0 && this.nowNs < (seconds - 5) * SECOND && this.#moves.chance(TICK_NS / moveEveryNs)) {
      const bucket = this.#moves.between(0, this.scenario.buckets - 1);
      if (this.#leader.move(bucket, this.#moves.pick(this.#leader.candidates))) this.counts.moves++;
    }
    this.agenda.after(TICK_NS, () => this.#tick());
  }

  readonly #versions = new Map<number, Version>();

  #distribute(version: Version): void {
    this.counts.versions++;
    this.#versions.set(version.number, version);
    for (const host of this.#hosts)
      if (host?.isUp && version.members.has(host.id)) this.#bring(host, version);
  }

  #bring(host: Host, version: Version): void {
    const { filter } = host;
    const atNs = this.nowNs + STORE_NS + this.#lags.unit() * this.scenario.lagNs;
    // In order.
    host.lastVersionNs = Math.max(host.lastVersionNs + 1, atNs);
    const apply = (): void => {
      if (host.filter !== filter || filter === undefined) return;
      if (host.hungUntilNs > this.nowNs) {
        this.agenda.at(host.hungUntilNs + 1, apply);
        return;
      }
      if (version.number <= filter.version) return;
      filter.apply(version);
      this.note(`server ${host.id} has v${version.number}`, -1);
      this.agenda.after(STORE_NS, () => this.#leader.acknowledged(host.id, version.number));
    };
    this.agenda.at(host.lastVersionNs, apply);
  }

  #whenAwake(host: Host, happen: (filter: FilterServer) => void): void {
    if (host.hungUntilNs > this.nowNs)
      this.agenda.at(host.hungUntilNs + 1, () => this.#whenAwake(host, happen));
    else if (host.filter !== undefined) happen(host.filter);
  }

  #report(server: number, bucket: number, then: (holds: boolean, version: number) => void): void {
    const host = this.#host(server);
    this.agenda.after(STORE_NS + this.#lags.unit() * 20 * MS, () =>
      this.#whenAwake(host, (filter) => {
        const holds = filter.holds(bucket, this.nowNs);
        const { version } = filter;
        this.agenda.after(STORE_NS, () => then(holds, version));
      }),
    );
  }

  #handOver(from: number, to: number, bucket: number, then: () => void): void {
    const host = this.#host(from);
    const target = this.#host(to);
    const peer = { server: from, incarnation: host.incarnation };
    this.agenda.after(STORE_NS, () =>
      this.#whenAwake(host, (filter) => {
        const keys = filter.clientsOf(bucket, this.nowNs);
        this.agenda.after(STORE_NS, () =>
          this.#whenAwake(target, (other) => {
            for (const key of keys) other.learn(key, peer, this.nowNs);
            this.agenda.after(STORE_NS, then);
          }),
        );
      }),
    );
  }
}
