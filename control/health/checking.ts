// Owns the health checks of a running mux: has the core say what is due, asks, and has everybody told what was found. Not
// here: counting (checks_core.ts), asking (probe/), who decides (judgement_core.ts).
import type { ClusterState } from '../config/cluster_state.ts';
import type { HealthCommands } from '../config/health.ts';
import { Checks, type Effect, type Opinion, type Result } from './checks_core.ts';
import { type Question, unable } from './probe/probe.ts';
import { type HealthTarget, isSameQuestion, targetsOf } from './targets_core.ts';
import { encodeVerdicts, type Verdict } from './verdicts_codec.ts';

/** Opinions that come together are told together. */
const GATHER_MS = 5;
/** After the store did not take what was told. */
const RETRY_MS = 200;
const TIMER_MS_MAX = 60_000;
/** Times `rise` or `fall`: after so many results without an opinion a mux abstains, or it would keep others from deciding. */
const PATIENCE = 2;
const NS_PER_MS = 1e6;

/** Has questions go through the tunnel, each from a port of its own for as long as it is asked. */
export type TunnelPort = {
  /** Versions of IP that answers can come back by. */
  readonly versions: ReadonlySet<4 | 6>;
  /** The cluster is so now: whether there has to be one follows from it. */
  want(state: Pick<ClusterState, 'pools'>): void;
  close(): void;
  /**
   * `onTrouble` is told where a packet of the question does not leave this host.
   * @throws where there is no port left, or no tunnel on this node.
   */
  open(
    target: Pick<HealthTarget, 'backend'>,
    to: { readonly address: string },
    protocol: 'tcp' | 'udp',
    onTrouble: (reason: string) => void,
  ): { readonly address: string; readonly port: number; close(): void };
};

export type CheckOutcome = {
  readonly target: HealthTarget;
  readonly result: Result;
  readonly isTimeout: boolean;
  readonly durationMs: number;
};

export type CheckingOptions = {
  readonly probe: (question: Question, signal: AbortSignal) => Promise<Result>;
  readonly tunnel: TunnelPort;
  /** Of a filter node: its own address; it checks itself and nobody else. */
  readonly server?: string | undefined;
  readonly commands: HealthCommands | undefined;
  /** Tells everybody; undefined: this mux checks nothing. */
  readonly publish: (verdicts: string | undefined) => Promise<void>;
  readonly onOutcome: (outcome: CheckOutcome) => void;
  readonly onOpinion: (target: HealthTarget, opinion: Opinion) => void;
  readonly onFailure: (error: unknown) => void;
  readonly onSuccess: () => void;
};

export class Checking {
  readonly #options: CheckingOptions;
  readonly #checks = new Checks();
  #targets = new Map<string, HealthTarget>();
  readonly #running = new Map<number, AbortController>();
  #timer: NodeJS.Timeout | undefined;
  #telling: NodeJS.Timeout | undefined;
  #isTelling = false;
  /** By pool: what was asked when one of its backends last passed. */
  readonly #passed = new Map<string, string>();
  /** Results since there was an opinion to tell, by target; none: there is one. */
  readonly #resultsWithout = new Map<string, number>();
  /** What everybody was told last; what is not known to be written is told again. */
  #told: string | undefined;
  #isClosed = false;

  constructor(options: CheckingOptions) {
    this.#options = options;
  }

  /** What there is to be checked, from now on. */
  follow(state: Pick<ClusterState, 'pools' | 'backends' | 'services'>): void {
    if (this.#isClosed) return;
    this.#options.tunnel.want(state);
    const before = this.#targets;
    const targets = targetsOf(state, {
      versions: this.#options.tunnel.versions,
      runsCommands: this.#options.commands !== undefined,
      server: this.#options.server,
    });
    this.#targets = new Map(targets.map((it) => [String(it.subject), it]));
    for (const key of this.#resultsWithout.keys())
      if (!this.#targets.has(key)) this.#resultsWithout.delete(key);
    const nowMs = monotonicMs();
    const checked = targets.filter(({ place }) => place !== undefined);
    const aims = checked.map(({ subject, health }) => ({ key: String(subject), timing: health }));
    this.#perform(this.#checks.aim(aims, nowMs, Math.random));
    for (const target of checked) {
      const last = before.get(String(target.subject));
      if (last !== undefined && !isSameQuestion(last, target)) {
        this.#resultsWithout.delete(String(target.subject));
        this.#perform(this.#checks.restart(String(target.subject), nowMs));
      }
    }
    this.#tick();
    this.#tellSoon();
  }

  /** What is checked here, with what this mux thinks of it. */
  targets(): { readonly target: HealthTarget; readonly opinion: Opinion | undefined }[] {
    return [...this.#targets].map(([key, target]) => ({ target, opinion: this.#checks.opinion(key) }));
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#telling);
    for (const running of this.#running.values()) running.abort();
    this.#running.clear();
    this.#options.tunnel.close();
  }

  #tick(): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    const nowMs = monotonicMs();
    this.#perform(this.#checks.tick(nowMs, Date.now()));
    const wakeAtMs = this.#checks.wakeAtMs();
    if (wakeAtMs === undefined) return;
    const waitMs = Math.min(TIMER_MS_MAX, Math.max(0, wakeAtMs - monotonicMs()));
    this.#timer = setTimeout(() => this.#tick(), Math.ceil(waitMs));
  }

  #perform(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'start':
          this.#start(effect.key, effect.run);
          break;
        case 'abort':
          this.#running.get(effect.run)?.abort();
          this.#running.delete(effect.run);
          break;
        case 'ended': {
          this.#checks.schedule(effect.key, Math.random());
          const target = this.#targets.get(effect.key);
          if (target === undefined) break;
          if (effect.result.isGood === true && !this.#isPassable(target)) {
            this.#passed.set(target.backend.pool, questionOf(target));
            this.#tellSoon();
          }
          this.#countWithout(target);
          this.#options.onOutcome({ ...effect, target });
          break;
        }
        case 'opinion': {
          const target = this.#targets.get(effect.key);
          if (target !== undefined) this.#options.onOpinion(target, effect.opinion);
          this.#tellSoon();
          break;
        }
      }
    }
  }

  #start(key: string, run: number): void {
    const running = new AbortController();
    this.#running.set(run, running);
    void this.#ask(this.#targets.get(key)!, running.signal).then((result) => {
      // Aborted: what it comes to counts for nothing.
      if (!this.#running.delete(run)) return;
      this.#perform(this.#checks.ended(key, run, result, monotonicMs(), Date.now()));
      this.#tick();
    });
  }

  async #ask(target: HealthTarget, aborted: AbortSignal): Promise<Result> {
    const { health, backend } = target;
    const { probe, tunnel, commands } = this.#options;
    const place = target.place!;
    const isTunnelled = health.via === 'tunnel' && health.type !== 'command' && !target.isOwn;
    const trouble = Promise.withResolvers<Result>();
    const unasked = new AbortController();
    const signal = AbortSignal.any([aborted, unasked.signal]);
    const onTrouble = (reason: string) => {
      trouble.resolve(unable(`the check did not leave this host: ${reason}`));
      unasked.abort();
    };
    let from: ReturnType<TunnelPort['open']> | undefined;
    try {
      if (isTunnelled) from = tunnel.open(target, place, health.type === 'udp' ? 'udp' : 'tcp', onTrouble);
      const { pool, name, address } = backend;
      // The port is free for another question once this one has ended, however it did.
      signal.addEventListener('abort', () => from?.close(), { once: true });
      const question = { health, ...place, from, backend: { pool, name, address }, commands };
      return await Promise.race([probe(question, signal), trouble.promise]);
    } catch (error) {
      return unable(error instanceof Error ? error.message : String(error));
    } finally {
      from?.close();
    }
  }

  #tellSoon(): void {
    if (this.#telling !== undefined || this.#isClosed) return;
    this.#telling = setTimeout(() => {
      this.#telling = undefined;
      void this.#tell();
    }, GATHER_MS);
  }

  /** One write at a time, of the newest. */
  async #tell(): Promise<void> {
    if (this.#isTelling) return;
    this.#isTelling = true;
    let waitMs: number | undefined;
    try {
      const value = this.#verdicts();
      if (value !== this.#told) {
        await this.#options.publish(value);
        this.#told = value;
      }
      this.#options.onSuccess();
    } catch (error) {
      this.#options.onFailure(error);
      waitMs = RETRY_MS;
    }
    this.#isTelling = false;
    if (this.#isClosed || (waitMs === undefined && this.#verdicts() === this.#told)) return;
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      void this.#tell();
    }, waitMs ?? 0);
  }

  /**
   * Whether one backend of the pool has passed what is asked. A check that none has may be a mistake, such as a wrong port,
   * and says nothing about backends.
   */
  #isPassable(target: HealthTarget): boolean {
    // Of its own host it knows no other backend: what all of them find is judged where it is known (judgement_core.ts).
    return target.isOwn || this.#passed.get(target.backend.pool) === questionOf(target);
  }

  #countWithout(target: HealthTarget): void {
    const key = String(target.subject);
    const opinion = this.#checks.opinion(key);
    if (opinion !== undefined && this.#hasVerdict(target, opinion)) this.#resultsWithout.delete(key);
    else {
      this.#resultsWithout.set(key, (this.#resultsWithout.get(key) ?? 0) + 1);
      if (this.#isAbstaining(target)) this.#tellSoon();
    }
  }

  #hasVerdict(target: HealthTarget, { isUp }: Opinion): boolean {
    return isUp !== undefined && (isUp || this.#isPassable(target));
  }

  #isAbstaining({ subject, health }: HealthTarget): boolean {
    const results = this.#resultsWithout.get(String(subject)) ?? 0;
    return results >= PATIENCE * Math.max(health.rise, health.fall);
  }

  #verdict(target: HealthTarget, opinion: Opinion): Verdict {
    const { isUp, sinceMs = 0, reason } = opinion;
    if (this.#hasVerdict(target, opinion)) return { isUp, sinceMs, reason };
    const words = isUp === undefined ? reason : `no backend of the pool has passed this check yet: ${reason}`;
    return { isUp: undefined, sinceMs: 0, reason: words, isAbstaining: this.#isAbstaining(target) };
  }

  #verdicts(): string | undefined {
    const verdicts = [...this.#checks.opinions()].flatMap(([key, opinion]): [number, Verdict][] => {
      const target = this.#targets.get(key);
      if (opinion.isUnable === true || target === undefined) return [];
      return [[Number(key), this.#verdict(target, opinion)]];
    });
    return verdicts.length === 0 ? undefined : encodeVerdicts(new Map(verdicts));
  }
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / NS_PER_MS;
}

/** Of all backends of a pool alike. */
function questionOf({ health, place }: HealthTarget): string {
  return JSON.stringify([health, place?.port]);
}
