// Owns a simulated file node: the real core, its disk, its clock and the requests it makes. A node that hangs does nothing,
// but its server goes on answering until the deadline that it was given last.
import type { Copy, FileNodeEffect, FileNodeEvent } from '../../../control/file/namespace/cluster/events.ts';
import type { Namespace } from '../../../control/file/namespace/document.ts';
import { Random } from '../protocol/random.ts';
import type { Cores, World } from './world.ts';

export const LEASE_MS = 3_000;
export const TICK_MS = 50;
const TIMES = { applyLimitMs: 1_500, silenceLimitMs: 300, staggerMs: 150 };
/** The driver waits so long for an answer of the store. */
const ANSWER_LIMIT_MS = 1_500;

/** What a driver could do wrong. */
export type NodeFaults = {
  /** The server answers until it is told to stop. */
  readonly ignoresDeadline: boolean;
  /** What is on the disk is said to be there before it is. */
  readonly keepsLater: boolean;
  /** A renewal counts from its answer. */
  readonly countsFromAnswer: boolean;
  /** A lease is renewed without looking at the roster. */
  readonly readsNoRoster: boolean;
};

export class SimNode {
  readonly name: string;
  readonly #world: World;
  readonly #cores: Cores;
  readonly #faults: NodeFaults;
  readonly random: Random;
  readonly #rate: number;
  readonly #offsetMs: number;
  wallSkewMs = 0;
  /** Grows with each start; what belongs to a life before is dropped. */
  life = 0;
  isUp = false;
  hangsUntilMs = 0;
  slowUntilMs = 0;
  lagsUntilMs = 0;
  isStorageGone = false;
  core: InstanceType<Cores['FileNodeCore']> | undefined;
  completions: InstanceType<Cores['Completions']> | undefined;
  shown: Namespace | undefined;
  #disk: Copy | undefined;
  #deadlineMs = Number.NEGATIVE_INFINITY;
  #lease: number | undefined;
  #waiting: FileNodeEvent[] = [];
  readonly open = new Map<string, (outcome: { kind: 'complete' | 'incomplete'; revision: number }) => void>();

  constructor(world: World, name: string, cores: Cores, faults: NodeFaults) {
    this.name = name;
    this.#world = world;
    this.#cores = cores;
    this.#faults = faults;
    this.random = new Random(world.scenario.seed, name);
    this.#rate = 1 + (this.random.unit() * 2 - 1) * world.scenario.drift;
    this.#offsetMs = this.random.between(0, 1_000_000);
  }

  /** Of its own clock, which no one can turn. */
  get nowMs(): number {
    return this.#offsetMs + this.#world.nowMs * this.#rate;
  }

  get wallMs(): number {
    return 1_767_225_600_000 + this.nowMs + this.wallSkewMs;
  }

  get hangs(): boolean {
    return this.#world.nowMs < this.hangsUntilMs;
  }

  /** A client that asks is answered now. */
  get answers(): boolean {
    if (!this.isUp || this.shown === undefined) return false;
    if (this.#faults.ignoresDeadline && this.#deadlineMs > Number.NEGATIVE_INFINITY) return true;
    return this.nowMs < this.#deadlineMs;
  }

  start(): void {
    this.life++;
    this.isUp = true;
    this.#lease = undefined;
    this.#waiting = [];
    this.#deadlineMs = Number.NEGATIVE_INFINITY;
    this.shown = undefined;
    this.core = new this.#cores.FileNodeCore({
      ...TIMES,
      name: this.name,
      incarnation: `${this.name}.${this.life}`,
      leaseMs: LEASE_MS,
      copy: this.#disk,
    });
    this.completions = new this.#cores.Completions();
    this.#tick(this.life);
    this.#world.watch(this);
  }

  crash(): void {
    this.isUp = false;
    this.life++;
    for (const over of this.open.values()) over({ kind: 'incomplete', revision: 0 });
    this.open.clear();
  }

  hang(forMs: number): void {
    this.hangsUntilMs = this.#world.nowMs + forMs;
    const { life } = this;
    this.#world.after(forMs + 1, () => {
      if (this.life !== life || this.hangs) return;
      for (const event of this.#waiting.splice(0)) this.tell(event);
    });
  }

  tell(event: FileNodeEvent): void {
    if (!this.isUp) return;
    if (this.hangs) {
      if (event.kind !== 'tick') this.#waiting.push(event);
      return;
    }
    if (event.kind === 'saw') this.completions!.saw(event.view);
    for (const effect of this.core!.step(event, this.nowMs)) this.#perform(effect);
    this.#world.trace(this, event);
    this.complete();
    this.#world.look(this);
  }

  complete(): void {
    for (const outcome of this.completions!.step(this.nowMs)) {
      const over = this.open.get(outcome.id);
      this.open.delete(outcome.id);
      over?.(outcome);
    }
  }

  /** Asks the store; `then` with undefined: it did not answer. `at` happens there. */
  ask<T>(at: () => T, then: (answer: T | undefined) => void): void {
    const { life } = this;
    let isOver = false;
    const end = (answer: T | undefined): void => {
      if (isOver || this.life !== life) return;
      if (this.hangs) {
        this.#world.after(this.hangsUntilMs - this.#world.nowMs + 1, () => end(answer));
        return;
      }
      isOver = true;
      then(answer);
    };
    this.#world.after(ANSWER_LIMIT_MS, () => end(undefined));
    this.#world.send(this.name, 'store', () => {
      if (this.#world.store.isAway) return;
      const answer = at();
      this.#world.send('store', this.name, () => end(answer));
    });
  }

  #perform(effect: FileNodeEffect): void {
    const { store } = this.#world;
    switch (effect.kind) {
      case 'validate':
        this.#validate(effect.before, effect.after);
        return;
      case 'apply':
        this.shown = effect.namespace;
        return;
      case 'keep':
        this.#keep(effect.copy);
        return;
      case 'lease': {
        const { acknowledgement } = effect;
        this.ask(
          () => store.grant(this.name, acknowledgement),
          (id) => {
            this.#lease = id;
            this.tell(id === undefined ? { kind: 'leaseFailed' } : { kind: 'leased', acknowledgement });
          },
        );
        return;
      }
      case 'renew':
        this.#renew(effect.sentMs);
        return;
      case 'acknowledge': {
        const { acknowledgement } = effect;
        const lease = this.#lease!;
        this.ask(
          () => store.acknowledge(lease, acknowledgement),
          (is) => this.tell(is ? { kind: 'acknowledged', acknowledgement } : { kind: 'acknowledgeFailed' }),
        );
        return;
      }
      case 'writeRoster':
        this.ask(
          () => store.writeRoster(effect),
          (is) => this.tell({ kind: 'rosterWritten', succeeded: is ?? false }),
        );
        return;
      case 'deadline':
        this.#deadlineMs = effect.atMs;
        return;
      case 'stop':
        this.#later(this.random.between(1, 30), { kind: 'stopped' });
        return;
      case 'drain':
        this.#later(this.random.between(100, 3_000), { kind: 'drained' });
        return;
      case 'ask': {
        const { kind: _, peers, ...rest } = effect;
        const event: FileNodeEvent = { kind: 'asked', from: this.name, ...rest };
        for (const peer of peers)
          this.#world.send(this.name, peer, () => this.#world.nodes.get(peer)?.tell(event));
        return;
      }
      case 'answer': {
        const { kind: _, to, ...rest } = effect;
        if (rest.isPledge) this.#world.counts.peerPledges++;
        const event: FileNodeEvent = { kind: 'answered', from: this.name, ...rest };
        this.#world.send(this.name, to, () => this.#world.nodes.get(to)?.tell(event));
        return;
      }
    }
  }

  /** What this node cannot reach: all of its storage, or what was made to be out of its reach. */
  problemOf(namespace: Namespace): string | undefined {
    if (this.isStorageGone) return 'storage data does not answer';
    for (const entry of namespace.entries.values()) {
      if (entry.kind === 'link' && entry.target === `not-at-${this.name}`)
        return `there is no ${entry.target} here`;
    }
    return undefined;
  }

  #validate(_before: Namespace | undefined, after: Namespace): void {
    const isSlow = this.#world.nowMs < this.slowUntilMs;
    const { life } = this;
    this.#world.after(isSlow ? this.random.between(500, 12_000) : this.random.between(0, 4), () => {
      if (this.life === life)
        this.tell({ kind: 'validated', revision: after.revision, problem: this.problemOf(after) });
    });
  }

  #keep(copy: Copy): void {
    const { life } = this;
    const isSlow = this.#world.scenario.slowDisks || this.#world.nowMs < this.slowUntilMs;
    const forMs = isSlow ? this.random.between(200, 1_500) : this.random.between(1, 6);
    if (this.#faults.keepsLater) this.#later(0, { kind: 'kept', copy });
    this.#world.after(forMs, () => {
      if (this.life !== life) return;
      this.#disk = copy;
      if (!this.#faults.keepsLater) this.tell({ kind: 'kept', copy });
    });
  }

  #renew(sentMs: number): void {
    const { store } = this.#world;
    const lease = this.#lease!;
    this.ask(
      () => (store.renew(lease) ? { node: store.roster.nodes.get(this.name) } : 'lost'),
      (answer) => {
        if (answer === undefined) return this.tell({ kind: 'leaseFailed' });
        if (answer === 'lost') return this.tell({ kind: 'leaseLost' });
        const own = {
          name: this.name,
          incarnation: `${this.name}.${this.life}`,
          leaseMs: LEASE_MS,
          epoch: 0,
        };
        this.tell({
          kind: 'renewed',
          sentMs: this.#faults.countsFromAnswer ? this.nowMs : sentMs,
          node: this.#faults.readsNoRoster ? { ...own, state: 'online' } : answer.node,
        });
      },
    );
  }

  #later(forMs: number, event: FileNodeEvent): void {
    const { life } = this;
    this.#world.after(forMs, () => {
      if (this.life === life) this.tell(event);
    });
  }

  #tick(life: number): void {
    if (this.life !== life) return;
    this.tell({ kind: 'tick' });
    this.#world.after(TICK_MS, () => this.#tick(life));
  }
}
