// Owns running a mux's membership: steps the cores (member_core.ts, heartbeat_core.ts) by a timer and by what the store
// and the program say, and performs what they ask for. Decides nothing itself. Not here: applying versions
// (member_versions.ts), what is written where (member_store.ts), tasks for flows (control/flow).
import { isDeepStrictEqual } from 'node:util';
import { Failure } from '../lib/failure.ts';
import { Listening } from './alone_core.ts';
import { MARGIN_SHARE, type Pledge } from './deadline_core.ts';
import { ahead, Heartbeat, type HeartbeatEffect, type PeerHearing } from './heartbeat_core.ts';
import { type MemberEffect, type MemberEvent, Membership } from './member_core.ts';
import { type AskKeyRing, keyOperations } from './member_keys_core.ts';
import type { Belongings, HeadName, MemberStore, StoreOutcome } from './member_store.ts';
import { MemberTime } from './member_time.ts';
import type { Muxes } from './member_view.ts';
import {
  type Candidate,
  type Member,
  type MemberRole,
  type PeriodReport,
  type Registration,
  ROLE_IDS,
  type Version,
} from './version.ts';

/** What the program has noted of another mux. */
export type PeerNotes = PeerHearing & {
  /** Number of our last probe that it pledged to; 0: none. */
  readonly pledgeEcho: number;
  /** When we pledged to it last, on the clock of `nowMs`; undefined: never. */
  readonly pledgedMs: number | undefined;
  readonly pledgedVersion: number;
};

/** Of the data plane, what membership needs. */
export interface MemberProgram {
  /** Its flow tables are those of an incarnation that ran before this daemon. */
  readonly isAdopted: boolean;
  readonly id: number;
  readonly role: MemberRole;
  /** 0: a daemon before this one was emptying its flow tables. */
  readonly incarnation: number;
  setId(id: number): void;
  /** Becomes another incarnation, with an empty flow table and cache. */
  beginIncarnation(incarnation: number): Promise<void>;
  /** Resolves when setDeadline() may be called. */
  ready(): Promise<void>;
  /** Undefined: for ever. On the clock of `nowMs`. */
  setDeadline(atMs: number | undefined): void;
  /** That a daemon before this one has earned, on the clock of `nowMs`. */
  readonly leftDeadlineMs: number;
  /** Past its deadline: whether the program may forward by what it knows. */
  goAlone(isAlone: boolean): void;
  /** Ticks of 2^20 ns, modulo 2^32. */
  clusterTime(): number;
  advanceTime(ticks: number): void;
  peer(id: number): PeerNotes;
  /** A signed datagram for any peer's ask port. */
  probe(probe: { number: number; isPledge: boolean }): Uint8Array;
  readonly keys: {
    places(): readonly number[];
    readonly used: number;
    install(id: number, key: Uint8Array): Promise<void>;
    use(id: number): void;
    remove(id: number): Promise<void>;
  };
}

/** Sends datagrams from this mux's address. May lose them. */
export interface Wire {
  send(datagram: Uint8Array, to: { readonly address: string; readonly port: number }): void;
}

/** What may fail for a while, and is done again. */
export type MemberTask =
  | 'membership'
  | 'keys'
  | 'acknowledgement'
  | 'suspicions'
  | 'time'
  | 'put back'
  | 'probes';

export type MuxMemberOptions = {
  readonly name: string;
  readonly address: string;
  readonly askPort: number;
  readonly api: string | undefined;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly heartbeatMisses: number;
  readonly store: MemberStore;
  /** Begins with these keys, as the mux that its program is, and asks the store for nothing. */
  readonly saved?: AskKeyRing | undefined;
  readonly program: MemberProgram;
  /** Version that a daemon before this one has left in effect; 0: none. */
  readonly startsAt: number;
  readonly wire: Wire;
  /** CLOCK_MONOTONIC. */
  readonly nowMs: () => number;
  /** Whether the program is on an interface. */
  readonly isServing: () => boolean;
  /** Of the version in effect, for an acknowledgement. */
  readonly reports: (version: number) => readonly PeriodReport[];
  readonly onFailure: (what: MemberTask, error: unknown) => void;
  readonly onSuccess: (what: MemberTask) => void;
  readonly tell: (message: string) => void;
};

/** More than a daemon sends within the time that an answer can take. */
const PROBES_UNANSWERED_MAX = 65_536;
/** Of a lease: before something that failed is written again. */
const RETRY_SHARE = 1 / 10;
const NOBODY = { members: [] };

export class MuxMember {
  readonly #options: MuxMemberOptions;
  readonly #heartbeat: Heartbeat;
  readonly #listening: Listening;
  readonly #time: MemberTime;
  #membership: Membership | undefined;
  #timer: NodeJS.Timeout | undefined;
  #muxes: Muxes | undefined;
  /** By mux id, of registrations and members that there are or were: a pledge outlives those of whom it was given to. */
  readonly #leasesMs = new Map<number, number>();
  #applied: Version | undefined;
  #head: Version | undefined;
  #isServing = false;
  #ring: AskKeyRing | undefined;
  /** The store has lost the cluster; what this mux has of it is put back. */
  #isLost = false;
  #isPutBack = false;
  /** Work that an event answers. */
  readonly #following = new Set<Promise<void>>();
  /** Work with the store that nobody waits for, one of a kind at a time. */
  readonly #busy = new Map<string, Promise<void>>();
  /** Of a kind that has failed: when it may be done again. */
  readonly #restsUntilMs = new Map<string, number>();
  #unacknowledged: { version: number; digest: string } | undefined;
  #acknowledged: { version: number; digest: string; incarnation: number } | undefined;
  /** What is read of the store at this revision has the acknowledgement. */
  #acknowledgedAt = 0;
  #isClosed = false;

  constructor(options: MuxMemberOptions) {
    this.#options = options;
    const { heartbeatMs: intervalMs, heartbeatMisses: misses } = options;
    this.#listening = new Listening({ intervalMs });
    this.#time = new MemberTime(options.program, options.store);
    this.#heartbeat = new Heartbeat({ intervalMs, misses }, firstProbe(options.program));
  }

  /**
   * Takes the identity that the store has for this name, the keys and the cluster's time. Then the mux may be told of
   * versions. Throws where the store is away: call again.
   */
  async start(): Promise<void> {
    const { program, saved, leaseMs } = this.#options;
    await program.ready();
    const isKnown = saved === undefined ? await this.#identify() : true;
    if (saved !== undefined) this.#ring = saved;
    await this.#time.take(isKnown);
    const { id, incarnation } = program;
    this.#membership = new Membership(
      { id, incarnation },
      {
        leaseMs,
        marginMs: leaseMs * MARGIN_SHARE,
        isAdopted: isKnown,
        ...(saved !== undefined && { provenMs: program.leftDeadlineMs }),
      },
    );
    if (this.#isClosed) return;
    if (this.#head !== undefined) this.head(this.#head);
    this.#timer = setInterval(() => this.#tick(), this.#options.heartbeatMs);
  }

  /** True where the program is the mux that the store knows by this name. */
  async #identify(): Promise<boolean> {
    const { store, program } = this.#options;
    const { id, incarnation: known } = await store.claimId(program.isAdopted ? program.id : 0);
    const isWhole = program.isAdopted && program.incarnation > 0;
    const isKnown = isWhole && program.id === id && program.incarnation >= known;
    const incarnation = isKnown
      ? program.incarnation
      : await store.takeIncarnation(id, program.incarnation + (program.isAdopted ? 1 : 0));
    program.setId(id);
    if (incarnation !== program.incarnation) await program.beginIncarnation(incarnation);
    await this.#takeKeys(await store.ring());
    return isKnown;
  }

  /** Lets the lease be: a daemon that comes back in time is the member that it was. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await Promise.all([...this.#busy.values(), ...this.#following]);
  }

  get self(): Candidate | undefined {
    return this.#membership?.self;
  }

  /** Names of those that are not heard. */
  suspects(): string[] {
    return this.#heartbeat.suspects().map(({ peer }) => this.#nameOf(peer));
  }

  get membership(): Membership | undefined {
    return this.#membership;
  }

  get heartbeat(): Heartbeat {
    return this.#heartbeat;
  }

  /** The store's newest version; undefined: the cluster has none. */
  head(head: Version | undefined): void {
    this.#isLost = false;
    this.#head = head;
    this.#take({ kind: 'head', head });
    if (head !== undefined) this.#contradict(head);
  }

  /**
   * The store has lost the cluster: members register as in a new one, and others are to find there what this one has, how
   * far it is included, so that no version that follows has a number again.
   */
  lost(): void {
    // Before all else: the mux may register at once, and what it has is put back before that.
    this.#isLost = true;
    this.#isPutBack = false;
    this.#head = undefined;
    this.#take({ kind: 'head', head: undefined });
    this.#putBack();
    this.report();
  }

  /** In effect on each CPU. */
  applied(version: Version): void {
    this.#applied = version;
    // Of who was a member while no store was there to say so, or is none any more.
    for (const { id, leaseMs = 0 } of [...version.members, ...version.gone])
      this.#leasesMs.set(id, Math.max(leaseMs, this.#leasesMs.get(id) ?? 0));
    this.#take({ kind: 'applied', version, pledges: this.#pledges() });
    // What waits for this mux is to know why.
    if (this.#membership?.heldBack !== undefined) this.report();
    if (!this.#time.isKnown && this.#membership?.phase === 'member')
      this.#inBackground('time', () => this.#time.read());
  }

  muxes(muxes: Muxes): void {
    const { name } = this.#options;
    // A store that was put back to an earlier state counts from there.
    if (muxes.revision < (this.#muxes?.revision ?? 0)) this.#acknowledgedAt = 0;
    this.#muxes = muxes;
    for (const { id, leaseMs } of muxes.registrations.values()) this.#leasesMs.set(id, leaseMs);
    if (this.#isKnownIn(muxes)) this.#take({ kind: 'draining', isDraining: muxes.drained.has(name) });
    this.#checkAcknowledgement(muxes);
    this.#followRing();
    const self = this.#membership?.self;
    if (self !== undefined && this.#time.isAsked(muxes, this.#applied ?? NOBODY, self))
      this.#writeTime(this.#options.nowMs());
  }

  /** Reports have changed: they are written with the acknowledgement that was written last. */
  report(): void {
    this.#unacknowledged ??= this.#acknowledged;
    this.#writeAcknowledgement();
  }

  #tick(): void {
    const { program, nowMs, isServing } = this.#options;
    const atMs = nowMs();
    if (this.#isServing !== isServing()) {
      this.#isServing = !this.#isServing;
      this.#take({ kind: 'serving', isServing: this.#isServing });
    }
    const hearings = new Map(this.#peers().map(({ id }) => [id, program.peer(id)]));
    const heard = this.#heartbeat.step({ kind: 'tick', hearings, time: program.clusterTime() }, atMs);
    const pledgeEchoes = new Map([...hearings].map(([id, { pledgeEcho }]) => [id, pledgeEcho]));
    const probe = heard.find((it) => it.kind === 'probe')?.number;
    const isPledge = this.#take({ kind: 'tick', probe, pledgeEchoes }).some((it) => it.kind === 'askPledges');
    for (const effect of heard) this.#hear(effect, isPledge);
    const { phase, deadlineMs } = this.#membership!;
    program.goAlone(
      this.#listening.step(
        {
          isPastDeadline: phase === 'member' && deadlineMs <= atMs,
          heardAgoMs: this.#heartbeat.heardAgoMs(atMs).values(),
        },
        atMs,
      ),
    );
    this.#writeSuspicions();
    this.#writeAcknowledgement();
    this.#writeTime(atMs);
    this.#followRing();
    this.#putBack();
  }

  #followRing(): void {
    const muxes = this.#muxes;
    if (muxes?.ring === undefined || isDeepStrictEqual(muxes.ring, this.#ring)) return;
    const { ring } = muxes;
    if (this.#isKnownIn(muxes)) this.#inBackground('keys', () => this.#takeKeys(ring));
  }

  /** A store that does not know this mux has lost what there was: what it has instead is not the cluster's. */
  #isKnownIn({ identities }: Muxes): boolean {
    const id = this.#membership?.self.id;
    return id !== undefined && identities.get(id)?.name === this.#options.name;
  }

  #putBack(): void {
    if (this.#belongings() !== undefined) this.#inBackground('put back', () => this.#putBackNow());
  }

  /** Of a member: what the store has lost, and does not have again. */
  #belongings(): Belongings | undefined {
    const membership = this.#membership;
    const ring = this.#ring;
    if (!this.#isLost || this.#isPutBack || membership?.phase !== 'member' || ring === undefined)
      return undefined;
    const { self, isDraining } = membership;
    return { self, ring, isDrained: isDraining, ticks: this.#options.program.clusterTime() };
  }

  async #putBackNow(): Promise<void> {
    const belongings = this.#belongings();
    if (belongings === undefined) return;
    await this.#options.store.putBack(belongings);
    this.#isPutBack = true;
  }

  /** Returns what was asked for, after it was begun. */
  #take(event: MemberEvent): readonly MemberEffect[] {
    if (this.#membership === undefined || this.#isClosed) return [];
    const effects = this.#membership.step(event, this.#options.nowMs());
    for (const effect of effects) this.#perform(effect);
    return effects;
  }

  #perform(effect: MemberEffect): void {
    const { store, program } = this.#options;
    switch (effect.kind) {
      case 'register': {
        const { head, isLeaving, sentMs } = effect;
        this.#request('registered', sentMs, async () => {
          // A registration rests on the id.
          await this.#putBackNow();
          return store.register(this.#registration(isLeaving), nameOf(head));
        });
        return;
      }
      case 'renew':
        this.#request('renewed', effect.sentMs, () => store.renew(this.#registration(effect.isLeaving)));
        return;
      case 'withdraw':
        this.#options.tell('this mux gives up its membership');
        this.#follow(() => store.withdraw().catch(() => undefined));
        return;
      case 'reset':
        this.#follow(() => this.#reset());
        return;
      case 'acknowledge':
        this.#unacknowledged = { version: effect.version, digest: effect.digest };
        this.#writeAcknowledgement();
        return;
      case 'deadline':
        program.setDeadline(effect.atMs === Number.POSITIVE_INFINITY ? undefined : Math.max(0, effect.atMs));
        return;
      case 'peers':
        this.#heartbeat.step(effect, this.#options.nowMs());
        return;
      case 'askPledges':
        return;
    }
  }

  /** The core has one on its way at a time. */
  #request(kind: 'registered' | 'renewed', sentMs: number, ask: () => Promise<StoreOutcome>): void {
    this.#follow(async () => {
      try {
        const outcome = await ask();
        this.#options.onSuccess('membership');
        this.#take(outcome === 'done' ? { kind, sentMs } : { kind: 'refused' });
      } catch (error) {
        this.#options.onFailure('membership', error);
        this.#take({ kind: 'failed', code: error instanceof Failure ? error.code : undefined });
      }
    });
  }

  async #reset(): Promise<void> {
    const { store, program } = this.#options;
    const { id: former, incarnation } = this.#membership!.self;
    try {
      // While this mux was away an operator may have forgotten it, and another have taken its id.
      const { id } = await store.claimId(former);
      const gone = this.#head?.gone.find((it) => it.id === id)?.incarnation ?? 0;
      const next = await store.takeIncarnation(id, Math.max(incarnation, gone) + 1);
      if (id !== former) program.setId(id);
      // Its deadline has passed: nothing is recorded between the two.
      await program.beginIncarnation(next);
      // Which keys it has is to be said of this incarnation as well.
      this.#ring = undefined;
      this.#options.tell('this mux was removed from the cluster, and begins anew with empty flow tables');
      this.#take({ kind: 'reset', self: { id, incarnation: next } });
    } catch (error) {
      this.#options.onFailure('membership', error);
      this.#take({ kind: 'resetFailed' });
    }
  }

  #hear(effect: HeartbeatEffect, isPledge: boolean): void {
    switch (effect.kind) {
      case 'probe':
        this.#probe(effect.peers, effect.number, isPledge);
        return;
      case 'advance':
        if (this.#time.advance(effect.ticks, this.#options.leaseMs)) this.#take({ kind: 'slept' });
        return;
      case 'suspect':
        this.#options.tell(`${this.#nameOf(effect.peer)} is not heard`);
        return;
      case 'trust':
        this.#options.tell(`${this.#nameOf(effect.peer)} is heard again, or gone`);
        return;
    }
  }

  #probe(peers: readonly number[], number: number, isPledge: boolean): void {
    const { program, wire, onFailure, onSuccess } = this.#options;
    try {
      const datagram = program.probe({ number, isPledge });
      for (const { address, askPort } of this.#peers().filter(({ id }) => peers.includes(id)))
        wire.send(datagram, { address, port: askPort });
      onSuccess('probes');
    } catch (error) {
      onFailure('probes', error);
    }
  }

  #writeSuspicions(): void {
    const names = new Map(this.#peers().map(({ id, name }) => [id, name]));
    const wanted = new Map(
      this.#heartbeat.suspects().flatMap(({ peer, incarnation }): [string, number][] => {
        const name = names.get(peer);
        return name === undefined ? [] : [[name, incarnation]];
      }),
    );
    this.#inBackground('suspicions', () => this.#options.store.suspect(wanted));
  }

  #writeAcknowledgement(): void {
    const wanted = this.#unacknowledged;
    if (wanted === undefined || this.#membership === undefined) return;
    const { store, name, reports } = this.#options;
    const { incarnation } = this.#membership.self;
    this.#inBackground('acknowledgement', async () => {
      const { version, digest } = wanted;
      const heldBack = this.#membership?.heldBack?.version;
      this.#acknowledgedAt = await store.acknowledge({
        name,
        incarnation,
        version,
        digest,
        ...(heldBack !== undefined && { heldBack }),
        reports: reports(version),
      });
      this.#acknowledged = { version, digest, incarnation };
      if (this.#unacknowledged === wanted) this.#unacknowledged = undefined;
    });
  }

  /**
   * A head that is older than what is in effect here is of a store that was put back. It is not applied, and this mux may
   * not be in it: the leader is to know of it in any case, as it does by what is acknowledged.
   */
  #contradict(head: Version): void {
    // Of what a daemon before has applied only the number is known, which no head of this history has.
    const left = this.#applied === undefined ? { version: this.#options.startsAt, digest: '' } : undefined;
    const inEffect = this.#acknowledged ?? left;
    if (inEffect === undefined || inEffect.version <= head.number) return;
    this.#unacknowledged ??= inEffect;
    this.#writeAcknowledgement();
  }

  /** A store that says something else was put back: from what its muxes have in effect the leader knows it. */
  #checkAcknowledgement({ revision, acknowledgements }: Muxes): void {
    const written = this.#acknowledged;
    // Of another node with this name, which is no member, nothing is put right.
    if (written === undefined || revision < this.#acknowledgedAt || this.#membership?.phase === 'outside')
      return;
    const found = acknowledgements.get(this.#options.name);
    const { version, digest, incarnation } = written;
    if (found?.version === version && found.digest === digest && found.incarnation === incarnation) return;
    this.report();
  }

  async #takeKeys(ring: AskKeyRing): Promise<void> {
    const { program, store } = this.#options;
    const { keys, incarnation } = program;
    for (const operation of keyOperations(ring, keys.places(), keys.used)) {
      if (operation.kind === 'install')
        await keys.install(operation.id, Buffer.from(operation.secret, 'base64'));
      else if (operation.kind === 'use') keys.use(operation.id);
      else await keys.remove(operation.id);
    }
    await store.knowKeys(incarnation, ring.step);
    // It may have become another one meanwhile, of which this says nothing.
    if (program.incarnation === incarnation) this.#ring = ring;
  }

  #writeTime(atMs: number): void {
    if (this.#membership?.phase !== 'member' || !this.#time.isDue(atMs)) return;
    this.#inBackground('time', () => this.#time.write(atMs));
  }

  #registration(isLeaving: boolean): Registration {
    const { name, address, askPort, api, leaseMs } = this.#options;
    const { id, incarnation } = this.#membership!.self;
    return { name, id, incarnation, address, askPort, isLeaving, leaseMs, ...(api !== undefined && { api }) };
  }

  #peers(): readonly Member[] {
    const own = this.#membership?.self.id;
    return this.#applied?.members.filter(({ id }) => id !== own) ?? [];
  }

  #pledges(): Pledge[] {
    const { program, leaseMs } = this.#options;
    return idsOf(program).flatMap((id): Pledge[] => {
      const { pledgedMs, pledgedVersion } = program.peer(id);
      if (pledgedMs === undefined) return [];
      return [
        { atMs: pledgedMs, version: pledgedVersion, leaseMs: Math.max(leaseMs, this.#leasesMs.get(id) ?? 0) },
      ];
    });
  }

  #nameOf(id: number): string {
    return this.#peers().find((it) => it.id === id)?.name ?? `mux ${id}`;
  }

  #follow(work: () => Promise<void>): void {
    const done = work().finally(() => this.#following.delete(done));
    this.#following.add(done);
  }

  /** What fails is done again by the next tick or event that finds it undone, after a rest. */
  #inBackground(kind: MemberTask, work: () => Promise<void>): void {
    const { nowMs, leaseMs } = this.#options;
    if (this.#busy.has(kind) || this.#isClosed || nowMs() < (this.#restsUntilMs.get(kind) ?? 0)) return;
    const done = work()
      .then(
        () => this.#options.onSuccess(kind),
        (error: unknown) => {
          this.#restsUntilMs.set(kind, nowMs() + leaseMs * RETRY_SHARE);
          this.#options.onFailure(kind, error);
        },
      )
      .finally(() => this.#busy.delete(kind));
    this.#busy.set(kind, done);
  }
}

function nameOf(head: { number: number; digest: string } | undefined): HeadName | undefined {
  return head && { number: head.number, digest: head.digest };
}

/** Of all that it may have heard. */
function idsOf({ role }: MemberProgram): number[] {
  const { from, to } = ROLE_IDS[role];
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

/** Beyond all that a daemon before this one has sent, the last of which may not have been answered yet. */
function firstProbe(program: MemberProgram): number {
  let last = 0;
  for (const id of idsOf(program)) {
    const { echo } = program.peer(id);
    if (last === 0 || (echo !== 0 && ahead(echo, last) > 0)) last = echo;
  }
  return (last + PROBES_UNANSWERED_MAX) >>> 0;
}
