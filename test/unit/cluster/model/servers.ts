// Owns a model of servers that hear every packet: what affinity.md says that a server does with a packet, in a few lines, for
// histories that the leader's core drives (filter_history.ts). Nothing of the data plane's code is in it.
import type {
  Acknowledgement,
  Candidate,
  PeriodReport,
  Version,
} from '../../../../control/cluster/version.ts';
import { same } from './muxes.ts';

export const SLOTS = 5;
const POOL_ID = 1;
export const TIMEOUT_MS = 900;
export const LEASE_MS = 150;
/** "Another has this client" is believed for so long: longer than a slot is acquired, and a server that lives lags behind. */
const FOREIGN_MS = 0.6 * TIMEOUT_MS;
/** Hops and deliveries take up to so long. */
const WAY_MS = 4;

type Packet = {
  readonly id: number;
  readonly client: number;
  readonly isFirst: boolean;
  readonly own: string;
};
type Query = {
  readonly asker: Server;
  readonly life: number;
  readonly version: number;
  readonly asked: readonly Candidate[];
  readonly packet: Packet;
};
type Bucket = {
  readonly isMine: boolean;
  readonly isCurrent: boolean;
  readonly isTracked: boolean;
  readonly base: Candidate | undefined;
  readonly holders: readonly Candidate[];
};

export class Server {
  readonly name: string;
  readonly id: number;
  incarnation = 1;
  version: Version;
  isUp = true;
  hungUntilMs = 0;
  slowUntilMs = 0;
  renewedMs = 0;
  isLeaving = false;
  readonly behind: Version[] = [];
  readonly affinities = new Map<number, number>();
  readonly foreign = new Map<number, { readonly server: Candidate; readonly atMs: number }>();

  constructor(id: number, version: Version) {
    this.id = id;
    this.name = `s${id}`;
    this.version = version;
  }

  get candidate(): Candidate {
    return { id: this.id, incarnation: this.incarnation };
  }

  get isMember(): boolean {
    return this.version.members.some((it) => same(it, this.candidate));
  }

  mayAnswer(nowMs: number): boolean {
    return this.isUp && this.isMember && nowMs <= this.renewedMs + LEASE_MS;
  }

  has(client: number, nowMs: number): boolean {
    const atMs = this.affinities.get(client);
    return atMs !== undefined && nowMs - atMs < TIMEOUT_MS;
  }

  isForeign(client: number, nowMs: number): boolean {
    const entry = this.foreign.get(client);
    if (entry === undefined || nowMs - entry.atMs >= FOREIGN_MS) return false;
    return this.version.members.some((it) => same(it, entry.server));
  }

  bucket(slot: number): Bucket {
    const { objects, members, placements } = this.version;
    const placement = placements.get(POOL_ID)!;
    const serverOf = (index: number): Candidate | undefined => {
      const backend = [...objects.backends.values()].find((it) => it.index === index);
      return members.find(({ address }) => address === backend?.address);
    };
    const period = placement.periods[placement.period[slot]! - 1];
    const [current, base] = [serverOf(placement.current[slot]!), serverOf(placement.base[slot]!)];
    const isCurrent = same(current, this.candidate);
    return {
      isMine: isCurrent || same(base, this.candidate),
      isCurrent,
      isTracked: period !== undefined,
      base,
      holders: (period?.candidates.flat() ?? []).filter((it) => !same(it, this.candidate)),
    };
  }

  empty(): void {
    this.affinities.clear();
    this.foreign.clear();
  }

  acknowledgement(nowMs: number): Acknowledgement {
    const { name, incarnation, version } = this;
    const { number, digest, placements } = version;
    const epochs = new Set(placements.get(POOL_ID)!.periods.map(({ trackEpoch }) => trackEpoch));
    const heldSlots = new Uint8Array(Math.ceil(SLOTS / 8));
    for (const client of this.affinities.keys()) {
      const slot = client % SLOTS;
      if (this.has(client, nowMs) && !this.bucket(slot).isCurrent) heldSlots[slot >> 3]! |= 1 << (slot & 7);
    }
    const reports = [...epochs].map(
      (trackEpoch): PeriodReport => ({
        poolId: POOL_ID,
        trackEpoch,
        copiedChainEpoch: number,
        isHandedOver: false,
        unrecordedAgoMs: -1,
        heldSlots,
        flows: this.affinities.size,
        oldFlows: 0,
      }),
    );
    return { name, incarnation, version: number, digest, reports };
  }
}

/** Servers, the segment that they are on, and who answers what. */
export class Segment {
  readonly servers: Server[] = [];
  nowMs = 0;
  requests = 0;
  queries = 0;
  /** What must not be, as sentences: a request answered twice, or a packet by a server that knows nothing of its connection. */
  readonly wrong: string[] = [];
  /** Requests that nobody answered. */
  readonly unanswered: { readonly client: number; readonly atMs: number }[] = [];
  readonly #random: () => number;
  readonly #due = new Map<number, (() => void)[]>();
  readonly #answers = new Map<number, string[]>();
  readonly #sessions = new Map<number, { readonly server: string; atMs: number }>();
  #packets = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** What comes about now. */
  run(): void {
    const due = this.#due.get(this.nowMs) ?? [];
    this.#due.delete(this.nowMs);
    for (const act of due) act();
  }

  /** A first packet; or, where the client has a session, one of that. Servers whose life ended have lost theirs. */
  send(client: number): void {
    const session = this.#sessions.get(client);
    const isLive = session !== undefined && this.#isLive(session.server);
    const ageMs = this.nowMs - (session?.atMs ?? Number.NEGATIVE_INFINITY);
    if (isLive && ageMs > 0.6 * TIMEOUT_MS && ageMs < 1.1 * TIMEOUT_MS) return;
    const isOver = !isLive || ageMs >= 1.1 * TIMEOUT_MS;
    const isFirst = isOver || this.#random() < 0.4;
    if (isOver) this.#sessions.delete(client);
    else if (session !== undefined) session.atMs = this.nowMs;
    this.#packets++;
    const packet: Packet = { id: this.#packets, client, isFirst, own: session?.server ?? '' };
    for (const server of this.servers) this.#later(() => this.#hear(server, packet));
    if (!isFirst) return;
    this.requests++;
    this.#later(() => this.#judge(packet), 12 * WAY_MS);
  }

  #isLive(name: string): boolean {
    return this.servers.some(
      (it) => lifeOf(it) === name && it.hungUntilMs <= this.nowMs && it.mayAnswer(this.nowMs),
    );
  }

  #judge({ id, client }: Packet): void {
    const answers = this.#answers.get(id) ?? [];
    this.#answers.delete(id);
    if (answers.length === 0) this.unanswered.push({ client, atMs: this.nowMs - 12 * WAY_MS });
    else this.#sessions.set(client, { server: answers[0]!, atMs: this.nowMs - 12 * WAY_MS });
    if (new Set(answers).size > 1)
      this.wrong.push(`${this.nowMs}: packet ${id} of client ${client} answered by ${answers.join(', ')}`);
  }

  /** Rules 0 to 5. */
  #hear(server: Server, packet: Packet): void {
    if (!this.#isReached(server, () => this.#hear(server, packet)) || !server.mayAnswer(this.nowMs)) return;
    const { client } = packet;
    if (server.has(client, this.nowMs)) {
      this.#answer(server, packet);
      return;
    }
    if (server.isForeign(client, this.nowMs)) return;
    const { isMine, isCurrent, isTracked, holders } = server.bucket(client % SLOTS);
    if (!isMine) return;
    if (!isTracked) {
      this.#answer(server, packet);
      return;
    }
    // Of a connection that the released server had it would know itself.
    if (!packet.isFirst && !isCurrent) return;
    const { incarnation: life, version } = server;
    this.#query({ asker: server, life, version: version.number, asked: holders, packet }, holders);
  }

  #query(query: Query, holders: readonly Candidate[]): void {
    this.queries++;
    const [next, ...rest] = holders;
    if (next === undefined) {
      this.#later(() => this.#home(query, undefined));
      return;
    }
    this.#later(() => this.#hold(query, next, rest));
  }

  #hold(query: Query, to: Candidate, rest: readonly Candidate[]): void {
    const { asker, life, version, packet } = query;
    const holder = this.servers.find((it) => same(it.candidate, to));
    const isReached =
      holder !== undefined &&
      this.#isReached(holder, () => this.#hold(query, to, rest)) &&
      holder.mayAnswer(this.nowMs) &&
      // Of an asker that it does not know (yet) it takes nothing, or it would not believe that one to have the client.
      holder.version.members.some((it) => same(it, { id: asker.id, incarnation: life }));
    if (!isReached) return;
    const { client, isFirst } = packet;
    if (holder.has(client, this.nowMs)) {
      this.#later(() => this.#home(query, to));
      return;
    }
    // The slot is its own, and the asker knows no better: it asks that one for its own copy, which settles who answers.
    const { isCurrent, base } = holder.bucket(client % SLOTS);
    const isAcquiring = isCurrent && (same(base, asker.candidate) || version <= holder.version.number);
    if (isFirst && !isAcquiring)
      holder.foreign.set(client, { server: { id: asker.id, incarnation: life }, atMs: this.nowMs });
    this.#query(query, rest);
  }

  #home(query: Query, answer: Candidate | undefined): void {
    const { asker, life, packet } = query;
    if (!this.#isReached(asker, () => this.#home(query, answer))) return;
    if (!asker.mayAnswer(this.nowMs) || asker.incarnation !== life) return;
    const { client } = packet;
    if (answer !== undefined) {
      asker.foreign.set(client, { server: answer, atMs: this.nowMs });
      return;
    }
    const { isMine, holders } = asker.bucket(client % SLOTS);
    // More may have the client by now than were asked.
    const isEveryoneAsked = holders.every((it) => query.asked.some((asked) => same(asked, it)));
    if (asker.isForeign(client, this.nowMs) || !isMine || !isEveryoneAsked) return;
    this.#answer(asker, packet);
  }

  #answer(server: Server, { id, client, isFirst, own }: Packet): void {
    if (isFirst || server.affinities.has(client)) server.affinities.set(client, this.nowMs);
    const name = lifeOf(server);
    if (isFirst) this.#answers.set(id, [...(this.#answers.get(id) ?? []), name]);
    else if (own !== name && this.#isLive(own))
      this.wrong.push(`${this.nowMs}: ${name} resets a connection of client ${client} with ${own}`);
  }

  /** A server that hangs hears it when it goes on. */
  #isReached(server: Server, again: () => void): boolean {
    if (!server.isUp) return false;
    if (server.hungUntilMs <= this.nowMs) return true;
    this.#later(again, server.hungUntilMs - this.nowMs);
    return false;
  }

  #later(act: () => void, ms = 1 + Math.floor(this.#random() * WAY_MS)): void {
    const atMs = this.nowMs + Math.max(1, ms);
    this.#due.set(atMs, [...(this.#due.get(atMs) ?? []), act]);
  }
}

const lifeOf = ({ name, incarnation }: Server): string => `${name}.${incarnation}`;
