// Owns what a period waits for and what it may do next. Pure, of one step. See "A change of backends" of the design.
import { candidateKey, type Member, type Period, type Version } from '../version.ts';
import type { Barriers, Heard } from './barrier.ts';
import { type LeaderSettings, SETTLE_IDLES } from './inputs.ts';
import type { Waits } from './waits.ts';

export type Progress = {
  /** All members have the version of its step in effect. */
  readonly hasBarrier: boolean;
  /** Every owner has copied to the backups that the last change of chains brought. */
  readonly isRepaired: boolean;
  /** The step is over, for all slots (track, commit). */
  readonly isReady: boolean;
  /** Settle: slots for which this has a zero bit may become clean; undefined: nobody knows yet of any. */
  readonly held: Uint8Array | undefined;
  readonly waits: readonly string[];
  readonly earliestAtMs: number | undefined;
  readonly flows: number;
  readonly oldFlows: number;
};

export type ProgressRules = {
  readonly settings: LeaderSettings;
  readonly barriers: Barriers;
  readonly waits: Waits;
  /** Of a pool of filters: every server hears every packet, so no flow has to send one to be known of. */
  readonly allHear?: boolean;
};

export function progressOf(
  period: Period,
  { poolId, slots }: { poolId: number; slots: number },
  head: Version,
  rules: ProgressRules,
): Progress {
  const keepers = keepersOf(period, head.members);
  const heard = keepers.map((member) => rules.barriers.reportOf(member, poolId, period.trackEpoch));
  const counts = heard.filter((it) => it !== undefined).map(({ report }) => report);
  const progress = new PeriodProgress(period, poolId, slots, head, rules, keepers, heard);
  return {
    ...progress.result(),
    flows: Math.max(0, ...counts.map(({ flows }) => flows)),
    oldFlows: Math.max(0, ...counts.map(({ oldFlows }) => oldFlows)),
  };
}

/** Members that may have entries of the period. */
function keepersOf({ candidates }: Period, members: readonly Member[]): readonly Member[] {
  const keys = new Set(candidates.flat().map(candidateKey));
  return members.filter((member) => keys.has(candidateKey(member)));
}

class PeriodProgress {
  readonly #period: Period;
  readonly #name: string;
  readonly #poolId: number;
  readonly #slots: number;
  readonly #head: Version;
  readonly #rules: ProgressRules;
  readonly #keepers: readonly Member[];
  readonly #heard: readonly (Heard | undefined)[];
  readonly #waiting: string[] = [];
  #earliestAtMs: number | undefined;

  constructor(
    period: Period,
    poolId: number,
    slots: number,
    head: Version,
    rules: ProgressRules,
    keepers: readonly Member[],
    heard: readonly (Heard | undefined)[],
  ) {
    this.#period = period;
    this.#name = `${poolId}/${period.trackEpoch}`;
    this.#poolId = poolId;
    this.#slots = slots;
    this.#head = head;
    this.#rules = rules;
    this.#keepers = keepers;
    this.#heard = heard;
  }

  result(): Omit<Progress, 'flows' | 'oldFlows'> {
    const { step, stepVersion } = this.#period;
    const barrierAtMs = this.#rules.barriers.completeSince(stepVersion);
    if (barrierAtMs === undefined) {
      this.#waiting.push(this.#rules.barriers.waitFor(stepVersion, `version ${stepVersion} is`));
    }
    const repairedAtMs = this.#repairedSince();
    let isReady = false;
    let held: Uint8Array | undefined;
    if (barrierAtMs !== undefined && repairedAtMs !== undefined) {
      if (step === 'track') isReady = this.#heldLongEnough(barrierAtMs);
      if (step === 'commit')
        isReady = this.#rules.allHear === true || this.#settled(Math.max(barrierAtMs, repairedAtMs));
      if (step === 'settle' && this.#isQuiet()) held = this.#held();
    }
    return {
      hasBarrier: barrierAtMs !== undefined,
      isRepaired: repairedAtMs !== undefined,
      isReady,
      held,
      waits: this.#waiting,
      earliestAtMs: this.#earliestAtMs,
    };
  }

  /** Since when the copies of the last change of chains are done. */
  #repairedSince(): number | undefined {
    const { chainEpoch, trackEpoch } = this.#period;
    const { barriers, waits } = this.#rules;
    // The chains it began with: nobody had anything to copy.
    if (chainEpoch === trackEpoch) return Number.NEGATIVE_INFINITY;
    const owing = this.#keepers.filter(
      (_, at) => (this.#heard[at]?.report.copiedChainEpoch ?? 0) < chainEpoch,
    );
    const hasBarrier = barriers.isComplete(chainEpoch);
    if (!hasBarrier) {
      this.#waiting.push(barriers.waitFor(chainEpoch, `the chains of version ${chainEpoch} are`));
    } else if (owing.length > 0) {
      this.#waitForReports(owing, 'flows are being copied by');
    }
    return waits.since(`repaired ${this.#name} ${chainEpoch}`, hasBarrier && owing.length === 0);
  }

  #heldLongEnough(barrierAtMs: number): boolean {
    const { settings, waits } = this.#rules;
    // Slots of a dead base do not wait for it: placement.ts.
    const atMs = barrierAtMs + settings.handshakeHoldMs;
    if (waits.reached(atMs)) return true;
    this.#waitUntil(atMs, 'handshakes that began before are completed');
    return false;
  }

  /**
   * The settle window, which an answer that nobody recorded starts again. A member's silence says nothing: its report must
   * have come when the window was over.
   */
  #settled(startMs: number): boolean {
    const windowMs = this.#period.idleTimeoutMs * SETTLE_IDLES;
    let quietSinceMs = startMs;
    for (const heard of this.#everyReport()) {
      if (heard === undefined || heard.report.unrecordedAgoMs < 0) continue;
      const atMs = heard.atMs - heard.report.unrecordedAgoMs;
      if (atMs <= quietSinceMs) continue;
      quietSinceMs = atMs;
    }
    const atMs = quietSinceMs + windowMs;
    if (!this.#rules.waits.reached(atMs)) {
      const again = quietSinceMs > startMs ? ', started again by packets that no table had room for' : '';
      this.#waitUntil(atMs, `each old flow has sent a packet, or ended${again}`);
      return false;
    }
    const behind = this.#head.members.filter((_, at) => (this.#everyReport()[at]?.atMs ?? -Infinity) < atMs);
    if (behind.length === 0) return true;
    this.#waiting.push(
      `nothing was heard since the window from ${behind.map(({ name }) => name).join(', ')}`,
    );
    return false;
  }

  /** What began where no table had room ends unseen: where nobody counts it, it must have been silent for long enough. */
  #isQuiet(): boolean {
    if (this.#rules.allHear !== true) return true;
    const last = this.#heard
      .filter((it) => it !== undefined && it.report.unrecordedAgoMs >= 0)
      .map((it) => it!.atMs - it!.report.unrecordedAgoMs);
    const atMs = Math.max(Number.NEGATIVE_INFINITY, ...last) + this.#period.idleTimeoutMs;
    if (this.#rules.waits.reached(atMs)) return true;
    this.#waitUntil(atMs, 'sessions that no table had room for have ended');
    return false;
  }

  /** Of all members: askers answer without a record, too. */
  #everyReport(): readonly (Heard | undefined)[] {
    return this.#head.members.map((member) =>
      this.#rules.barriers.reportOf(member, this.#poolId, this.#period.trackEpoch),
    );
  }

  /** Where some keeper says that it has a live entry of another backend, or may have. */
  #held(): Uint8Array | undefined {
    const { stepVersion, chainEpoch } = this.#period;
    const bytes = Math.ceil(this.#slots / 8);
    const union = new Uint8Array(bytes);
    const missing: Member[] = [];
    for (const [at, member] of this.#keepers.entries()) {
      const heard = this.#heard[at];
      const bitmap = heard?.report.heldSlots;
      if (
        heard === undefined ||
        bitmap?.length !== bytes ||
        heard.version < Math.max(stepVersion, chainEpoch)
      ) {
        missing.push(member);
        continue;
      }
      for (let byte = 0; byte < bytes; byte++) union[byte]! |= bitmap[byte]!;
    }
    if (missing.length > 0) {
      this.#waitForReports(missing, 'old flows are being counted by');
      return undefined;
    }
    return union;
  }

  /** Who has reported has said that it is not done. */
  #waitForReports(members: readonly Member[], what: string): void {
    const hasReported = (member: Member) => this.#heard[this.#keepers.indexOf(member)] !== undefined;
    const names = (of: readonly Member[]) => of.map(({ name }) => name);
    const working = names(members.filter(hasReported));
    const silent = names(members.filter((member) => !hasReported(member)));
    if (working.length > 0) this.#waiting.push(`${what} ${working.join(', ')}`);
    if (silent.length > 0) this.#waiting.push(this.#rules.barriers.silenceOf(silent));
  }

  #waitUntil(atMs: number, what: string): void {
    this.#earliestAtMs = atMs;
    this.#waiting.push(`until ${what}`);
  }
}
