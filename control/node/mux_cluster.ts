// Owns the part that a mux or a filter takes in its cluster: connects what it follows in the store with its program, its membership,
// its tasks for flows, and with leading where it is this node's turn. What each does is theirs.
import { setTimeout as sleep } from 'node:timers/promises';
import { Departed } from '../cluster/departed_core.ts';
import { HEAD_KEY } from '../cluster/keys.ts';
import { lostCluster, OBJECTS_KEY } from '../cluster/layout.ts';
import { LEADER_SETTINGS_DEFAULT } from '../cluster/leader/inputs.ts';
import { LeaderDriver, type Observer } from '../cluster/leader_driver.ts';
import { type MemberProgram, MuxMember, type Wire } from '../cluster/member.ts';
import { MemberStore } from '../cluster/member_store.ts';
import { AppliedVersions } from '../cluster/member_versions.ts';
import { type Muxes, MuxesView } from '../cluster/member_view.ts';
import { partOf } from '../cluster/role_part.ts';
import { MembershipCopy, type SavedMembership } from '../cluster/saved_membership.ts';
import type { Candidate, MemberRole, Version } from '../cluster/version.ts';
import { VersionView } from '../cluster/version_view.ts';
import type { SelfAddress } from '../dataplane/desired.ts';
import type { FlowTasks } from '../flow/tasks.ts';
import type { Failure, FailureBody } from '../lib/failure.ts';
import type { Entry, Store } from '../store/contract.ts';
import { CopyPace } from './copy_pace.ts';
import { membershipProblems } from './mux_cluster_problems.ts';
import type { Problems } from './problems.ts';

const FLOW_TICK_MS = 50;
const JOIN_PAUSE_MS = 500;
/** Whoever has not registered by then leads nevertheless: edits of a cluster without muxes are published, too. */
const LEAD_AFTER_MS = 1_000;
/** Steps are 50 ms apart; a host that is busy may hold one up. */
const STEPPED_WITHIN_MS = 5_000;
const NS_PER_MS = 1e6;

export type MuxClusterOptions = {
  readonly name: string;
  /** Where other muxes reach this one; undefined: it has no address, and cannot be a member. */
  readonly address: string | undefined;
  readonly askPort: number;
  readonly api: string | undefined;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly heartbeatMisses: number;
  /** Of keys of in-band headers, where this node leads. */
  readonly keyAgeMs: number;
  readonly store: Store;
  /** Begins as the member that its program is, and asks the store for nothing. */
  readonly saved?: SavedMembership | undefined;
  /** Writes down what another daemon can begin with so. */
  readonly keep?: ((revision: number, entries: ReadonlyMap<string, Entry>) => void) | undefined;
  readonly role: MemberRole;
  readonly program: ClusterProgram;
  /** What its daemon does for flows or clients beside the program. */
  readonly tasks: (host: TaskHost) => ClusterTasks;
  readonly wire: Wire;
  /** Brings the program to a version. */
  readonly apply: (version: Version, self: SelfAddress | undefined) => Promise<void>;
  readonly isServing: () => boolean;
  /** Of each leadership of this node. */
  readonly observer?: () => Observer;
  /** Whether a member that is to leave may begin to: routers have been told. */
  readonly mayLeave?: () => boolean;
  readonly problems: Problems;
  readonly onApplied: (version: Version) => void;
  readonly onApplyFailure: (error: unknown, version: Version | undefined) => void;
  readonly tell: (message: string, detail?: object) => void;
  readonly log: (level: 'info' | 'warn', message: string, detail?: object) => void;
};

/** Of the program of a role, what taking part needs. */
export type ClusterProgram = {
  readonly member: MemberProgram;
  /** The version that a daemon before this one left in effect here, with all that its tables had then; 0: none. */
  readonly startsAt: number;
  /** That the program is at; 0: none. */
  readonly version: number;
};

/** What tasks are given. */
export type TaskHost = {
  readonly applied: () => Version | undefined;
  readonly self: () => Candidate | undefined;
  readonly send: (peer: number, message: Uint8Array) => void;
  /** Reports have changed, or are to be written again. */
  readonly onReports: () => void;
  readonly log: MuxClusterOptions['log'];
  readonly nowMs: () => number;
};

export type ClusterTasks = Pick<
  FlowTasks,
  'apply' | 'acknowledged' | 'tick' | 'tickCopies' | 'reports' | 'copying'
>;

export class MuxCluster {
  readonly #options: MuxClusterOptions;
  readonly #muxes: MuxesView;
  readonly #versions: VersionView;
  readonly #memberStore: MemberStore;
  readonly #member: MuxMember;
  readonly #applied: AppliedVersions;
  readonly #tasks: ClusterTasks;
  readonly #pace: CopyPace;
  readonly #leader: LeaderDriver;
  readonly #copy: MembershipCopy | undefined;
  readonly #departed = new Departed();
  readonly #closed = new AbortController();
  #starting: Promise<void> | undefined;
  #isLeavingHeldBack = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: MuxClusterOptions) {
    this.#options = options;
    const { store, name, program, problems, saved, keep } = options;
    const { startsAt } = program;
    this.#muxes = new MuxesView(store, (problem) => settle(problems, 'muxes', problem), saved?.entries);
    this.#versions = new VersionView(store, saved?.version);
    this.#copy = keep && new MembershipCopy({ name, versions: this.#versions, muxes: this.#muxes, keep });
    this.#memberStore = new MemberStore(store, name, options.role);
    this.#member = new MuxMember({
      ...options,
      address: options.address ?? '',
      store: this.#memberStore,
      saved: saved?.ring,
      program: program.member,
      startsAt,
      nowMs,
      isServing: () => options.address !== undefined && options.isServing(),
      reports: (version) => this.#tasks.reports(version, nowMs()),
      onFailure: (what, error) => problems.arise(what, error),
      onSuccess: (what) => problems.solve(what),
    });
    this.#applied = new AppliedVersions({
      versions: this.#versions,
      startsAt,
      apply: (version) => options.apply(this.#part(version), this.#self()),
      onApplied: (version) => this.#hasApplied(version),
      onFailure: options.onApplyFailure,
    });
    this.#tasks = options.tasks({
      applied: () => this.#applied.applied && this.#part(this.#applied.applied),
      self: () => this.#member.self,
      send: (peer, message) => this.#send(peer, message),
      onReports: () => this.#member.report(),
      log: options.log,
      nowMs,
    });
    this.#pace = new CopyPace(() => this.#withFlows(() => this.#tasks.tickCopies(nowMs())));
    this.#leader = new LeaderDriver({
      store,
      name,
      settings: LEADER_SETTINGS_DEFAULT,
      keyAgeMs: options.keyAgeMs,
      nowMs,
      knowsCluster: () => this.#knowsCluster(),
      lastVersion: () => (this.#knowsCluster() ? this.#versions.head : undefined),
      observer: options.observer,
      log: options.log,
    });
  }

  /** Resolves once it is known what the cluster's version is, and that is in effect here or could not be. */
  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async #start(): Promise<void> {
    const { signal } = this.#closed;
    await this.#join();
    this.#versions.onConnection((problem) => settle(this.#options.problems, 'versions', problem));
    const heard = (muxes: Muxes) => {
      this.#tellMember();
      this.#copy?.look();
      this.#tasks.acknowledged(muxes.acknowledgements);
    };
    this.#muxes.onChange(heard);
    // What was saved came before anybody listened.
    if (this.#options.saved !== undefined) heard(this.#muxes.muxes);
    if (signal.aborted) return;
    await Promise.all([this.#muxes.start(), this.#versions.start()]);
    if (signal.aborted) return;
    this.#versions.onChange(() => this.#look());
    this.#look();
    if (this.#versions.head !== undefined) await this.#applied.settled();
    if (signal.aborted) return;
    const startedMs = nowMs();
    this.#timer = setInterval(() => {
      this.#flowTick();
      if (this.#isLeavingHeldBack) this.#tellMember();
      this.#speakToDeparted();
      // The first version of a cluster has its first mux, where that can be.
      if (this.#member.membership?.phase !== 'outside' || nowMs() - startedMs > LEAD_AFTER_MS)
        this.#leader.start();
    }, FLOW_TICK_MS);
  }

  async close(): Promise<void> {
    this.#closed.abort();
    clearInterval(this.#timer);
    this.#pace.close();
    // Leadership is given up at once: others need not wait for its lease.
    await this.#leader.close();
    await Promise.all([this.#muxes.close(), this.#versions.close()]);
    // What has begun ends before the store and the program are closed.
    await this.#starting;
    await this.#member.close();
    await this.#applied.close();
  }

  /** What this mux's health checks found, for everybody, as long as it holds its lease. */
  tellHealth(value: string | undefined): Promise<void> {
    return this.#memberStore.tellHealth(value);
  }

  get member(): MuxMember {
    return this.#member;
  }

  get muxes(): MuxesView {
    return this.#muxes;
  }

  get versions(): VersionView {
    return this.#versions;
  }

  get leader(): LeaderDriver {
    return this.#leader;
  }

  get tasks(): ClusterTasks {
    return this.#tasks;
  }

  /** An operator has it leave; it may not have begun. */
  get isToLeave(): boolean {
    const isDraining = this.#member.membership?.isDraining ?? false;
    return isDraining || this.#muxes.muxes.drained.has(this.#options.name);
  }

  /** In effect here. */
  get applied(): Version | undefined {
    return this.#applied.applied;
  }

  /** False where this mux does not renew, ask or answer for itself any more, although its process runs. */
  get isStepped(): boolean {
    const { membership, heartbeat } = this.#member;
    return membership === undefined || nowMs() - heartbeat.tickedMs < STEPPED_WITHIN_MS;
  }

  /** Something that tables follow from beside the version has changed. */
  applyAgain(): void {
    this.#applied.again();
  }

  problems(): FailureBody[] {
    const { name, address, leaseMs } = this.#options;
    return membershipProblems(
      {
        name,
        hasAddress: address !== undefined,
        membership: this.#member.membership,
        suspects: this.#member.suspects(),
        heardAgoMs: this.#member.heartbeat.heardAgoMs(nowMs()),
        leaseMs,
        isServing: this.#options.isServing(),
      },
      nowMs(),
    );
  }

  /** However long the store is away: a program that runs goes on until its deadline. */
  async #join(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      try {
        await this.#checkKept();
        return await this.#member.start();
      } catch (error) {
        this.#options.problems.arise('membership', error);
        await sleep(JOIN_PAUSE_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /**
   * Keys and an id that an empty store would be given are nobody else's. Once people have put objects back it takes part,
   * so that there is somebody to lead: what it has in effect counts the new versions on.
   */
  async #checkKept(): Promise<void> {
    const { saved, store } = this.#options;
    if (saved !== undefined || !this.#knowsCluster()) return;
    const found = await Promise.all([store.get(HEAD_KEY), store.get(OBJECTS_KEY)]);
    if (found.every((entry) => entry === undefined)) throw lostCluster();
  }

  /**
   * A member that is to leave is not told so before routers have been. Nobody's packets depend on one that is no member,
   * and one that has begun goes through with it.
   */
  #tellMember(): void {
    const { muxes } = this.#muxes;
    const { name, mayLeave } = this.#options;
    const membership = this.#member.membership;
    const isReady = membership?.phase !== 'member' || membership.isDraining || (mayLeave?.() ?? true);
    this.#isLeavingHeldBack = muxes.drained.has(name) && !isReady;
    this.#member.muxes(this.#isLeavingHeldBack ? { ...muxes, drained: without(muxes.drained, name) } : muxes);
  }

  #speakToDeparted(): void {
    const isMember = this.#member.membership?.phase === 'member';
    const places = isMember ? this.#departed.due(nowMs()) : [];
    if (places.length === 0) return;
    const { program, wire } = this.#options;
    // What answers comes as of a probe of long ago, and counts for nothing.
    const datagram = program.member.probe({ number: 0, isPledge: false });
    for (const { address, askPort } of places) wire.send(datagram, { address, port: askPort });
  }

  #look(): void {
    this.#copy?.look();
    const { head, isLost } = this.#versions;
    // A daemon that knows too little of what the store has lost does nothing there: its program goes on until its deadline.
    if (isLost) this.#member.lost();
    else if (head !== undefined || !this.#knowsCluster()) this.#member.head(head && this.#part(head));
    this.#applied.look();
  }

  #knowsCluster(): boolean {
    return this.#applied.applied !== undefined || this.#options.program.version > 0;
  }

  #hasApplied(version: Version): void {
    const part = this.#part(version);
    this.#member.applied(part);
    this.#departed.members(part.members, nowMs());
    this.#tasks.apply(part);
    this.#options.onApplied(version);
  }

  #part(version: Version): Version {
    return partOf(version, this.#options.role);
  }

  #self(): SelfAddress | undefined {
    const id = this.#member.self?.id;
    const { address, askPort } = this.#options;
    return id === undefined || address === undefined ? undefined : { id, address, askPort };
  }

  #send(peer: number, message: Uint8Array): void {
    const member = this.applied?.members.find(({ id }) => id === peer);
    if (member !== undefined)
      this.#options.wire.send(message, { address: member.address, port: member.askPort });
  }

  #flowTick(): void {
    this.#withFlows(() => {
      this.#tasks.tick(nowMs());
      this.#options.problems.solve('flows');
    });
    this.#pace.begin();
  }

  #withFlows<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.#options.problems.arise('flows', error);
      return undefined;
    }
  }
}

function without(names: ReadonlySet<string>, name: string): ReadonlySet<string> {
  return new Set([...names].filter((it) => it !== name));
}

function nowMs(): number {
  return Number(process.hrtime.bigint()) / NS_PER_MS;
}

function settle(problems: Problems, topic: string, problem: Failure | undefined): void {
  if (problem === undefined) problems.solve(topic);
  else problems.arise(topic, problem);
}
