// Owns what the next version does with the slots of a pool of filters: acquired by another server, released, clean. Pure.
// Not here: whether a step's waits are over (progress.ts), who may have affinities (holders.ts), who is to have which slot
// (control/pool).
//
//   clean ──▶ commit: the new server asks and answers, the old one answers still ──barrier──▶ settle: the new one alone
//     ▲                                                                                         │
//     └──────────────────── no holder has an affinity of the slot but its own server ───────────┘
//
// Released first, clients would be answered by nobody: a server that is behind drops what the other one does not yet take.
// Of a server that is gone nothing is waited for: it answers nobody, and its affinities are gone with it.
import { type Candidate, candidateKey, type Period, type Placement, type Step } from '../version.ts';
import { cleanWhole, Drawing, isFree, type Slot } from './drawing.ts';
import { holderSets, isHolder, nameOfSet, withHolder } from './holders.ts';
import { atOnce, drawnWithRoom, type PlacementChange, type PlacementInputs } from './placement.ts';
import type { Progress } from './progress.ts';

export function nextOfServers(inputs: PlacementInputs): PlacementChange {
  const { before, target, isUnused } = inputs;
  if (isUnused) return { placement: atOnce(before, target), isFull: false };
  let crowded = 0;
  const change = drawnWithRoom(before, (follows) => {
    const moves = new Moves(inputs, follows);
    const placement = moves.draw();
    crowded = moves.crowded;
    return placement;
  });
  return { ...change, crowded };
}

class Moves {
  readonly #inputs: PlacementInputs;
  /** Whether the intent is followed; otherwise only what is open goes on. */
  readonly #follows: boolean;
  readonly #drawing: Drawing;
  readonly #some: readonly boolean[];
  readonly #setOf: (server: Candidate) => readonly Candidate[];
  /** Slots that stay where they are because too many servers may have affinities of them. */
  crowded = 0;

  constructor(inputs: PlacementInputs, follows: boolean) {
    this.#inputs = inputs;
    this.#follows = follows;
    this.#drawing = new Drawing(inputs.before);
    this.#some = cleanWhole(inputs.before, inputs.progress, inputs.mayCleanSome);
    this.#setOf = holderSets(inputs.members);
  }

  draw(): Placement {
    return this.#drawing.draw((slot, at) => this.#decide(slot, at));
  }

  #decide(slot: Slot, at: number): void {
    const { before, progress, target, servers } = this.#inputs;
    // Where the intent has nobody, or one that is no member (yet), the slot stays where it is.
    const wanted = servers.has(target[at]!) ? target[at]! : slot.current;
    if (slot.period === 0) {
      this.#decideClean(slot, wanted);
      return;
    }
    const index = slot.period - 1;
    const period = before.periods[index]!;
    if (period.step === 'commit') this.#stepAcquired(slot, period, progress[index]!, wanted);
    else this.#stepReleased(slot, period, progress[index]!, wanted, at);
  }

  #decideClean(slot: Slot, wanted: number): void {
    if (wanted === slot.current) return;
    const { servers } = this.#inputs;
    const old = servers.get(slot.current);
    const isOther = old !== undefined && candidateKey(old) !== candidateKey(servers.get(wanted)!);
    // Nobody answers there; or the same server does under another number.
    if (!isOther) take(slot, wanted);
    else if (this.#follows) {
      slot.current = wanted;
      slot.period = this.#beginning(this.#setOf(old));
    }
  }

  #stepAcquired(slot: Slot, period: Period, { hasBarrier }: Progress, wanted: number): void {
    const { servers } = this.#inputs;
    const old = servers.get(slot.base);
    // One that has begun anew is no holder: it must not take clients of which nobody asks it.
    const isBaseAlive = old !== undefined && isHolder(period, old);
    const isCurrentAlive = servers.has(slot.current);
    if (isBaseAlive && isCurrentAlive) {
      if (hasBarrier) this.#release(slot, period, slot.current);
    } else if (isCurrentAlive) this.#release(slot, period, slot.current);
    else if (!isBaseAlive) this.#release(slot, period, wanted);
    else if (wanted === slot.current || wanted === slot.base) this.#release(slot, period, slot.base);
    else {
      slot.current = wanted;
      slot.period = this.#moved(period, 'commit', period.candidates.flat());
    }
  }

  #stepReleased(slot: Slot, period: Period, state: Progress, wanted: number, at: number): void {
    const { servers } = this.#inputs;
    const own = servers.get(slot.current);
    if (own === undefined) {
      if (wanted !== slot.current) this.#release(slot, period, wanted);
      return;
    }
    const mayMove = wanted !== slot.current && this.#follows && state.hasBarrier;
    if (mayMove && this.#acquireAgain(slot, period, own, wanted)) return;
    if (isAlone(period, own) || (isFree(state, at) && this.#some[slot.period - 1])) slot.period = 0;
  }

  /** It moves again, and those who may have affinities of it are one more; not where they would be too many. */
  #acquireAgain(slot: Slot, period: Period, own: Candidate, wanted: number): boolean {
    const holders = withHolder(period, own);
    if (holders === undefined) {
      this.crowded++;
      return false;
    }
    slot.current = wanted;
    slot.period = this.#moved(period, 'commit', holders);
    return true;
  }

  /** One server takes new clients from now on; others may have some that came before. */
  #release(slot: Slot, period: Period, to: number): void {
    take(slot, to);
    const own = this.#inputs.servers.get(to);
    slot.period = isAlone(period, own) ? 0 : this.#moved(period, 'settle', period.candidates.flat());
  }

  #beginning(holders: readonly Candidate[]): number {
    const { number, idleTimeoutMs, reason } = this.#inputs;
    return this.#drawing.numberOf(`begin ${nameOfSet(holders)}`, () => ({
      trackEpoch: number,
      chainEpoch: number,
      candidates: [holders],
      step: 'commit',
      stepVersion: number,
      idleTimeoutMs,
      isUrgent: false,
      lostSlots: 0,
      reason: reason(),
    }));
  }

  /** The number of the period for slots of `from` that take this step with this version. */
  #moved(from: Period, step: Step, holders: readonly Candidate[]): number {
    const { number, before, reason } = this.#inputs;
    const set = nameOfSet(holders);
    const key = `${from.trackEpoch} ${step} ${set}`;
    const known = this.#drawing.known(key);
    if (known !== undefined) return known;
    const made = this.#drawing.numberOf(key, () => ({
      ...from,
      candidates: [holders],
      step,
      stepVersion: number,
      reason: step === 'commit' ? reason() : from.reason,
    }));
    if (step !== 'settle') return made;
    // What was at this step before joins: it waits a little longer, and periods do not pile up.
    for (const [index, period] of before.periods.entries()) {
      const isAlike = period.step === 'settle' && period.trackEpoch === from.trackEpoch;
      if (isAlike && nameOfSet(period.candidates.flat()) === set) this.#drawing.join(index + 1, made);
    }
    return made;
  }
}

function take(slot: Slot, backend: number): void {
  slot.current = backend;
  slot.base = backend;
}

/** Nobody but the slot's own server may have affinities of it. */
function isAlone({ candidates }: Period, own: Candidate | undefined): boolean {
  return candidates.flat().every((it) => own !== undefined && candidateKey(it) === candidateKey(own));
}
