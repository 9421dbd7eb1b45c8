// Owns leading the cluster: campaigns, hands what it follows to the core, writes what the core decides, resigns. Every step
// may be the last: what is written is whole, and holds only while this leads and the head is the one it was made from.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterState, Retired } from '../config/cluster_state.ts';
import { Failure } from '../lib/failure.ts';
import type { Comparison, Entry, Leadership, Operation, Store } from '../store/contract.ts';
import { pauseMs } from './following.ts';
import {
  ASK_KEYS_KEY,
  blobKey,
  cutKey,
  GARBAGE_KEY,
  HEAD_KEY,
  LEADER_ELECTION,
  registrationKey,
} from './keys.ts';
import { encodeChange, OBJECTS_KEY } from './layout.ts';
import type { LeaderProblem, LeaderSettings, Outcome } from './leader/inputs.ts';
import { KeyRotation } from './leader/key_rotation.ts';
import { Leader } from './leader/leader.ts';
import { serversOf } from './leader/servers.ts';
import { LeaderInputs } from './leader_inputs.ts';
import { encodeRing } from './member_layout.ts';
import { freshKey } from './member_store.ts';
import { candidateKey, type Member, type Registration, type Version } from './version.ts';
import { dueOf, type EncodedVersion, encodeGarbage, VersionEncoder } from './version_layout.ts';

/** Pauses after a term that failed grow from the one to the other. */
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 1_000;
/** Acknowledgements of one version come together: one step for all. People's edits do not, and people wait for them. */
const GATHER_MS = 5;
/** Of blobs, in one transaction: etcd takes requests of 1.5 MiB. */
const BATCH_BYTES_MAX = 1 << 20;
const BATCH_OPERATIONS_MAX = 64;
const TIMER_MS_MAX = 60_000;

export type LeaderDriverOptions = {
  readonly store: Store;
  /** Of this node: who campaigns. */
  readonly name: string;
  readonly settings: LeaderSettings;
  /** A key of in-band headers that is older is changed. */
  readonly keyAgeMs: number;
  /** Never goes back. */
  readonly nowMs: () => number;
  /** Whether there was a cluster already: then a store that has none has lost it, and nothing is led from it. */
  readonly knowsCluster?: () => boolean;
  /** The version that this node has seen last: who leads once people have put back what was lost goes on from it. */
  readonly lastVersion?: () => Version | undefined;
  /** Of one leadership: what is observed beside what users want. */
  readonly observer?: (() => Observer) | undefined;
  readonly log: (level: 'info' | 'warn', message: string, detail?: object) => void;
};

/** Makes of what muxes find out about backends what becomes of the state. It throws for nothing but bugs. */
export type Observer = {
  /** What a mux wrote; undefined: its lease ended. Throws where it is not understood. */
  heard(mux: string, entry: Entry | undefined): void;
  /** `after`: the state as it is to be; the same one where nothing is new. */
  step(
    state: ClusterState,
    now: {
      readonly nowMs: number;
      readonly wallMs: number;
      /** Of the cluster, by name. */
      readonly members: readonly string[];
      /** Filter nodes that are members, by the index of the backend that each is. */
      readonly servers: ReadonlyMap<number, Pick<Member, 'isLeaving'>>;
    },
  ): {
    readonly after: ClusterState;
    readonly wakeAtMs: number | undefined;
    readonly problems: readonly LeaderProblem[];
  };
};

export class LeaderDriver {
  readonly #options: LeaderDriverOptions;
  readonly #closed = new AbortController();
  readonly #listeners = new Set<(outcome: Outcome | undefined) => void>();
  #running: Promise<void> | undefined;
  #outcome: Outcome | undefined;
  #problem: Failure | undefined;
  /** That ended while the store was away, whose lease would keep everybody from leading after that. */
  #unresigned: Leadership | undefined;

  constructor(options: LeaderDriverOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Of the last step, with what is open and why it waits; undefined: this node does not lead. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** Why the last term ended before its time. */
  get problem(): Failure | undefined {
    return this.#problem;
  }

  /** Called after each step, and with undefined when a term ends. */
  onOutcome(listener: (outcome: Outcome | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resigns, and campaigns no more. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    const { store, name, settings, log } = this.#options;
    for (let failures = 0; !signal.aborted; failures++) {
      const startedMs = this.#options.nowMs();
      try {
        await this.#unresigned?.resign();
        this.#unresigned = undefined;
        const leadership = await store.campaign(LEADER_ELECTION, name, { ttlMs: settings.leaseMs, signal });
        log('info', 'this node leads the cluster', { epoch: leadership.epoch });
        try {
          await this.#lead(leadership);
        } finally {
          await leadership.resign().catch(() => {
            this.#unresigned = leadership;
          });
        }
      } catch (error) {
        if (!signal.aborted) this.#failed(error);
      }
      this.#tell(undefined);
      if (this.#options.nowMs() - startedMs > PAUSE_MS_MAX) failures = 0;
      const waitMs = pauseMs(failures, { minMs: PAUSE_MS_MIN, maxMs: PAUSE_MS_MAX });
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #failed(error: unknown): void {
    const failure =
      error instanceof Failure
        ? error
        : new Failure('internal', 'leading the cluster failed', { cause: error });
    this.#problem = failure;
    this.#options.log('warn', failure.message, { reason: failure.reason });
  }

  /** Until the leadership is lost, this is closed, or what it follows has ended. */
  async #lead(leadership: Leadership): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([this.#closed.signal, leadership.lost, over.signal]);
    const bell = new Bell(signal);
    const { store } = this.#options;
    const observer = this.#options.observer?.();
    const inputs = new LeaderInputs(
      store,
      (what) => bell.ring(what === 'intent'),
      (error) => this.#failed(error),
      this.#options.lastVersion,
      (mux, entry) => observer?.heard(mux, entry),
    );
    let ended: Promise<void> = Promise.resolve();
    let why: unknown;
    try {
      ({ ended } = await inputs.start(signal));
      // Ends the term, and the error with it is that of the term.
      ended = ended.then(
        () => over.abort(),
        (error) => {
          why = error;
          over.abort();
        },
      );
      const tell = (outcome: Outcome) => this.#tell(outcome);
      await new Term(this.#options, leadership, inputs, observer, bell, signal, tell).run();
    } finally {
      over.abort();
      await ended;
    }
    if (why !== undefined && !this.#closed.signal.aborted) throw why;
  }

  #tell(outcome: Outcome | undefined): void {
    if (outcome !== undefined) this.#problem = undefined;
    this.#outcome = outcome;
    for (const listener of this.#listeners) listener(outcome);
  }
}

/** One leadership. */
class Term {
  readonly #options: LeaderDriverOptions;
  readonly #leadership: Leadership;
  readonly #inputs: LeaderInputs;
  readonly #observer: Observer | undefined;
  readonly #bell: Bell;
  readonly #signal: AbortSignal;
  readonly #tell: (outcome: Outcome) => void;
  readonly #core: Leader;
  readonly #encoder = new VersionEncoder();
  readonly #keys: KeyRotation;
  /** Of the ring that was followed by another: what the store says of it is on its way. */
  #turnedRevision = 0;
  readonly #freshCluster = randomUUID();

  constructor(
    options: LeaderDriverOptions,
    leadership: Leadership,
    inputs: LeaderInputs,
    observer: Observer | undefined,
    bell: Bell,
    signal: AbortSignal,
    tell: (outcome: Outcome) => void,
  ) {
    this.#options = options;
    this.#leadership = leadership;
    this.#inputs = inputs;
    this.#observer = observer;
    this.#bell = bell;
    this.#signal = signal;
    this.#tell = tell;
    this.#core = new Leader(options.settings);
    this.#keys = new KeyRotation(options.keyAgeMs);
  }

  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      const nowMs = this.#options.nowMs();
      if (this.#isLost()) {
        await this.#bell.heard(TIMER_MS_MAX);
        continue;
      }
      this.#leaveToOthers();
      const observed = await this.#observe(nowMs);
      if (observed === 'changed') continue;
      const step = this.#core.step(this.#inputs.inputs(this.#freshCluster), nowMs);
      const outcome = { ...step, problems: [...step.problems, ...(observed?.problems ?? [])] };
      this.#tell(outcome);
      if (outcome.publish !== undefined) {
        // Whether it was or another came first: what follows from it is for the next step.
        await this.#publish(
          this.#encoder.encode(outcome.publish, this.#leadership.epoch),
          outcome.deregister,
        );
        // This node's own mux first: others wait for it as for any.
        await sleep(GATHER_MS, undefined, { signal: this.#signal }).catch(() => undefined);
        continue;
      }
      if (outcome.forget.backends.size + outcome.forget.pools.size > 0) await this.#forget(outcome.forget);
      await this.#turnKeys(nowMs);
      const wakes = [outcome.wakeAtMs, observed?.wakeAtMs, this.#keys.wakeAtMs, nowMs + TIMER_MS_MAX];
      await this.#bell.heard(Math.min(...wakes.map((it) => it ?? Infinity)) - nowMs);
    }
  }

  /** Writes what is observed where it is new: beside the intent, by the order that edits have. */
  async #observe(nowMs: number): Promise<'changed' | ReturnType<Observer['step']> | undefined> {
    const { state, revision } = this.#inputs.intent;
    // Nothing is checked before there is an object.
    if (this.#observer === undefined || revision === 0) return undefined;
    const all = this.#inputs.head.version?.members ?? [];
    const members = all.map(({ name }) => name);
    const servers = serversOf(all, state.backends.values());
    const observed = this.#observer.step(state, { nowMs, wallMs: Date.now(), members, servers });
    if (observed.after === state) return observed;
    const operations = encodeChange(state, observed.after);
    if (operations.length === 0) throw new Error('what is observed changes nothing');
    const guard = [this.#leadership.comparison, { key: OBJECTS_KEY, modRevision: revision }];
    const { succeeded } = await this.#options.store.txn(guard, operations);
    // An edit that came first is followed by another look, without waiting to be told of either.
    await this.#inputs.readIntent();
    if (!succeeded && this.#inputs.intent.revision === revision) await this.#bell.heard(PAUSE_MS_MIN);
    return 'changed';
  }

  #isLost(): boolean {
    const { head, intent } = this.#inputs;
    return head.modRevision === 0 && intent.revision === 0 && this.#options.knowsCluster?.() === true;
  }

  /** Who has a version in effect that the store has not is to lead: it knows where the slots are. */
  #leaveToOthers(): void {
    const { head } = this.#inputs;
    if (head.version !== undefined) return;
    const { registrations, acknowledgements } = this.#inputs.inputs(this.#freshCluster);
    const knows = [...acknowledgements.values()].find(
      ({ name, incarnation }) => registrations.get(name)?.incarnation === incarnation,
    );
    if (knows === undefined) return;
    throw new Failure(
      'conflict',
      `mux ${knows.name} knows a cluster that the store has lost, and this node does not`,
      {
        reason: 'It is for a mux that knows it to lead.',
        remedy: 'holdfast apply what was exported last, at a node that is a member already',
      },
    );
  }

  async #publish(
    { version, head, blobs }: EncodedVersion,
    deregister: readonly Registration[],
  ): Promise<void> {
    const { store } = this.#options;
    const before = this.#inputs.head;
    const guard = [this.#leadership.comparison, { key: HEAD_KEY, modRevision: before.modRevision }];
    // As the core saw them: one that registers meanwhile would be a member for itself, and for nobody else. One that
    // did, and was cut off, has a lease that runs.
    const removed: Comparison[] = removedMembers(before.version, version).flatMap((it) => [
      { key: registrationKey(it.name), modRevision: this.#inputs.registrationRevision(it.name) },
      { key: cutKey(candidateKey(it)), modRevision: this.#inputs.cutRevision(it) },
    ]);
    const added = [...blobs].filter(([digest]) => !before.names.has(digest));
    // First of all, and all of it: the list of what is left must not grow from version to version.
    const due = dueOf(before.garbage, version.number, blobs);
    const pending = new Map(before.garbage);
    for (const digest of due) pending.delete(digest);
    for (const [digest] of added) pending.set(digest, version.number);
    const deleted = due.map((digest) => ({ delete: blobKey(digest) }));
    const parts = added.map(([digest, value]) => ({ put: blobKey(digest), value }));
    const garbage = new Map(pending);
    for (const name of before.names) garbage.set(name, garbage.get(name) ?? version.number);
    for (const name of blobs.keys()) garbage.delete(name);
    const named: Operation[] = [
      { put: HEAD_KEY, value: head },
      { put: GARBAGE_KEY, value: encodeGarbage(garbage) },
      ...deregister.map(({ name }) => ({ delete: registrationKey(name) })),
      ...this.#inputs.cutOffFrom(version).map((it) => ({ delete: cutKey(it) })),
    ];
    const whole = [...deleted, ...parts, ...named];
    const isOne = [...batches(whole)].length === 1;
    if (!isOne) {
      const first = [...deleted, { put: GARBAGE_KEY, value: encodeGarbage(pending) }, ...parts];
      for (const batch of batches(first)) {
        if (!(await store.txn(guard, batch)).succeeded) return this.#overtaken();
      }
    }
    const { succeeded, revision } = await store.txn([...guard, ...removed], isOne ? whole : named);
    if (!succeeded) return this.#overtaken();
    this.#inputs.published({ version, modRevision: revision, names: new Set(blobs.keys()), garbage });
    this.#options.log('info', `version ${version.number} is published`, { digest: version.digest });
  }

  /** A mux registered anew, or there is another leader, which the term's signal will say. */
  async #overtaken(): Promise<void> {
    await this.#inputs.readHead();
    await this.#bell.heard(PAUSE_MS_MIN);
  }

  /** Another leader, or somebody who rotates them, may have come first: the step that follows sees it. */
  async #turnKeys(nowMs: number): Promise<void> {
    const { ringRevision: modRevision } = this.#inputs;
    const ring = this.#keys.step(this.#inputs.keys(), { nowMs, wallMs: Date.now() }, freshKey);
    if (ring === undefined || modRevision === this.#turnedRevision) return;
    this.#turnedRevision = modRevision;
    const guard = [this.#leadership.comparison, { key: ASK_KEYS_KEY, modRevision }];
    const { succeeded } = await this.#options.store.txn(guard, [
      { put: ASK_KEYS_KEY, value: encodeRing(ring) },
    ]);
    if (succeeded) {
      const { step, use, keys } = ring;
      this.#options.log('info', `keys of in-band headers are at step ${step}`, {
        known: keys.map(({ id }) => id),
        use,
      });
    }
  }

  /** Takes off what the intent has retired and no mux needs: its numbers are free. */
  async #forget(forget: Outcome['forget']): Promise<void> {
    const { state, revision } = this.#inputs.intent;
    const after = { ...state, retired: without(state.retired, forget) };
    const guard = [this.#leadership.comparison, { key: OBJECTS_KEY, modRevision: revision }];
    // An edit that came first is followed by another step.
    await this.#options.store.txn(guard, encodeChange(state, after));
  }
}

function removedMembers(before: Version | undefined, after: Version): Member[] {
  const stay = new Set(after.members.map(candidateKey));
  return (before?.members ?? []).filter((it) => !stay.has(candidateKey(it)));
}

function without({ backends, pools }: Retired, forget: Outcome['forget']): Retired {
  return {
    backends: backends.filter(({ index }) => !forget.backends.has(index)),
    pools: pools.filter(({ id }) => !forget.pools.has(id)),
  };
}

/** Operations in order, a few at a time. */
function* batches(operations: readonly Operation[]): Generator<Operation[]> {
  let batch: Operation[] = [];
  let bytes = 0;
  for (const operation of operations) {
    const size = 'value' in operation ? operation.value.length : 0;
    if (batch.length > 0 && (batch.length === BATCH_OPERATIONS_MAX || bytes + size > BATCH_BYTES_MAX)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(operation);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** Rung when something was heard: who waits goes on, shortly after, or at once. */
class Bell {
  readonly #signal: AbortSignal;
  #wake: (() => void) | undefined;
  #isRung = false;
  #isUrgent = false;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.ring(), { once: true });
  }

  /** `isUrgent`: nothing else comes together with it. */
  ring(isUrgent = false): void {
    this.#isRung = true;
    this.#isUrgent ||= isUrgent;
    this.#wake?.();
  }

  /** Until it rings, which it may have done since it was heard last, or so long. */
  async heard(waitMs: number): Promise<void> {
    if (!this.#isRung) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, Math.max(0, Math.min(waitMs, TIMER_MS_MAX)));
      await promise;
      clearTimeout(timer);
      this.#wake = undefined;
    }
    if (this.#isRung && !this.#isUrgent && !this.#signal.aborted) {
      await sleep(GATHER_MS, undefined, { signal: this.#signal }).catch(() => undefined);
    }
    this.#isRung = false;
    this.#isUrgent = false;
  }
}
