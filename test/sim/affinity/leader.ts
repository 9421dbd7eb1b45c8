// Owns who has which bucket, in versions: acquire, barrier, release, clean; who dies, joins and drains. Sans IO: what it wants
// of servers it asks its ports for.
import { HOLDERS_MAX, MS, NOBODY, type Peer, type Slot, type Version } from './port.ts';
import type { Rules } from './rules.ts';

/** A packet's copies and what is asked about it have arrived so long after the first. */
const RELEASE_HOLD_NS = 100 * MS;

export type LeaderPorts = {
  nowNs(): number;
  distribute(version: Version): void;
  /** Whether it holds a live affinity, and the version it had when it looked. */
  report(server: number, bucket: number, then: (holds: boolean, version: number) => void): void;
  /** All that `from` has of the bucket becomes known to `to`. */
  handOver(from: number, to: number, bucket: number, then: () => void): void;
  pick(servers: readonly number[]): number;
  note(line: string, bucket?: number): void;
};

type Open =
  | { readonly step: 'acquired' | 'released'; passedNs?: number }
  | { readonly step: 'handingOver'; readonly to: number; readonly turn: number };

type Reports = { readonly record: number; readonly empty: Set<number>; isOver: boolean };

export class Leader {
  readonly #ports: LeaderPorts;
  readonly #rules: Rules;
  #head: Version;
  readonly #acked = new Map<number, number>();
  readonly #open = new Map<number, Open>();
  /** Version that changed a bucket last. */
  readonly #changedBy = new Map<number, number>();
  readonly #reports = new Map<number, Reports>();
  /** Holders for which the list had no place. */
  readonly #beyond = new Map<number, Set<number>>();
  readonly #draining = new Set<number>();
  #record = 0;
  #turns = 0;

  constructor(version: Version, rules: Rules, ports: LeaderPorts) {
    this.#head = version;
    this.#rules = rules;
    this.#ports = ports;
    for (const server of version.members.keys()) this.#acked.set(server, version.number);
  }

  get head(): Version {
    return this.#head;
  }

  isMember({ server, incarnation }: Peer): boolean {
    return this.#head.members.get(server) === incarnation;
  }

  get isClean(): boolean {
    return this.#open.size === 0;
  }

  acknowledged(server: number, version: number): void {
    if (this.#head.members.has(server)) this.#acked.set(server, version);
  }

  /** Whatever can go on does. */
  tick(): void {
    for (const bucket of this.#head.slots.keys()) this.#advance(bucket);
    for (const server of this.#draining) this.#moveAway(server);
  }

  /** False where the bucket is on its way already, or there. */
  move(bucket: number, to: number): boolean {
    const slot = this.#head.slots[bucket]!;
    const step = this.#open.get(bucket)?.step;
    if (step === 'acquired' || step === 'handingOver' || slot.current === to) return false;
    if (!this.#head.members.has(to)) return false;
    if (this.#rules.releaseBarrier && !this.#isEverywhere(bucket)) return false;
    const beyond = this.#beyondOf(bucket);
    const all = this.#holdersWithCurrent(bucket);
    if (this.#rules.push) for (const server of all.slice(0, -HOLDERS_MAX)) beyond.add(server);
    for (const server of all.slice(-HOLDERS_MAX)) beyond.delete(server);
    this.#give(bucket, to);
    return true;
  }

  remove(server: number): void {
    const members = new Map(this.#head.members);
    members.delete(server);
    this.#acked.delete(server);
    this.#draining.delete(server);
    this.#ports.note(`server ${server} is out`);
    const changes: [number, Slot][] = [];
    const given: [number, number][] = [];
    for (const [bucket, slot] of this.#head.slots.entries()) {
      const beyond = this.#beyondOf(bucket);
      const wasBeyond = beyond.delete(server);
      const holders = slot.holders.filter((it) => it.server !== server);
      const open = this.#open.get(bucket);
      // What was handed over to somebody who is gone is void, and who is gone hands nothing over.
      if (open?.step === 'handingOver') given.push([bucket, open.to === server ? NOBODY : open.to]);
      const isHolder = holders.length < slot.holders.length;
      if (slot.current !== server && slot.base !== server && !isHolder && !wasBeyond) continue;
      if (slot.current === server && slot.base === server && beyond.size > 0) {
        changes.push([bucket, this.#slot(NOBODY, NOBODY, holders)]);
        if (open?.step !== 'handingOver') given.push([bucket, NOBODY]);
        continue;
      }
      const base = slot.base === server ? slot.current : slot.base;
      const left = slot.current === server ? base : slot.current;
      const current = left === server ? this.#ports.pick(this.#candidates([...members.keys()])) : left;
      const isOpen = current !== base && base !== server;
      const isTracked = isOpen || holders.some((it) => it.server !== current) || beyond.size > 0;
      changes.push([
        bucket,
        isTracked ? this.#slot(current, isOpen ? base : current, holders) : clean(current),
      ]);
      if (open?.step !== 'handingOver')
        this.#setOpen(bucket, isTracked ? (isOpen ? 'acquired' : 'released') : undefined);
    }
    this.#publish(changes, members);
    for (const [bucket, to] of given) {
      const target = members.has(to) ? to : this.#ports.pick(this.candidates);
      this.#give(bucket, target);
    }
  }

  join({ server, incarnation }: Peer): void {
    this.#publish([], new Map(this.#head.members).set(server, incarnation));
    this.#acked.set(server, this.#head.number);
    this.#ports.note(`server ${server} joins`);
  }

  drain(server: number): void {
    this.#draining.add(server);
    this.#ports.note(`server ${server} drains`);
  }

  /** Nothing is left there that anybody could ask for. */
  isDrained(server: number): boolean {
    return (
      this.#draining.has(server) &&
      this.#head.slots.every(
        ({ current, base, holders }, bucket) =>
          current !== server &&
          base !== server &&
          holders.every((it) => it.server !== server) &&
          !this.#beyondOf(bucket).has(server),
      )
    );
  }

  get candidates(): readonly number[] {
    return this.#candidates([...this.#head.members.keys()]);
  }

  #candidates(members: readonly number[]): readonly number[] {
    const staying = members.filter((it) => !this.#draining.has(it));
    return staying.length > 0 ? staying : members;
  }

  #moveAway(server: number): void {
    const others = this.candidates.filter((it) => it !== server);
    if (others.length === 0) return;
    for (const [bucket, { current }] of this.#head.slots.entries())
      if (current === server) this.move(bucket, this.#ports.pick(others));
  }

  #advance(bucket: number): void {
    const open = this.#open.get(bucket);
    if (open === undefined || open.step === 'handingOver') return;
    const slot = this.#head.slots[bucket]!;
    const version = this.#changedBy.get(bucket) ?? 0;
    const isPassed = this.#isEverywhere(bucket);
    if (open.step === 'acquired') {
      if (this.#rules.barrier && !isPassed) return;
      open.passedNs ??= this.#ports.nowNs();
      if (this.#rules.releaseHold && this.#ports.nowNs() < open.passedNs + RELEASE_HOLD_NS) return;
      this.#publish([[bucket, { ...slot, base: slot.current }]]);
      this.#setOpen(bucket, 'released');
      return;
    }
    if (this.#rules.reportsVersion && !isPassed) return;
    const reports = this.#reports.get(bucket);
    const holders = [
      ...new Set([...slot.holders.map(({ server }) => server), ...this.#beyondOf(bucket)]),
    ].filter((it) => it !== slot.current);
    if (
      !this.#rules.cleanReport ||
      (reports?.record === slot.record && reports.empty.size === holders.length)
    ) {
      this.#ports.note(`bucket ${bucket} is clean`, bucket);
      this.#publish([[bucket, clean(slot.current)]]);
      this.#open.delete(bucket);
      return;
    }
    if (reports?.record === slot.record && !reports.isOver) return;
    this.#askFor(bucket, slot.record, holders, version);
  }

  /** Every member has the bucket as it was changed last. */
  #isEverywhere(bucket: number): boolean {
    const version = this.#changedBy.get(bucket) ?? 0;
    return [...this.#acked.values()].every((it) => it >= version);
  }

  #askFor(bucket: number, record: number, holders: readonly number[], from: number): void {
    const reports: Reports = { record, empty: new Set(), isOver: false };
    this.#reports.set(bucket, reports);
    for (const server of holders)
      this.#ports.report(server, bucket, (holds, version) => {
        if (!holds && (version >= from || !this.#rules.reportsVersion)) reports.empty.add(server);
        else reports.isOver = true;
      });
  }

  /** What nobody will be asked for is known to who may answer before it may answer. */
  #give(bucket: number, to: number): void {
    const { current } = this.#head.slots[bucket]!;
    const from = [...this.#beyondOf(bucket)];
    const targets = [...new Set(current === NOBODY ? [to] : [to, current])];
    const ways = from.flatMap((one) =>
      targets.filter((it) => it !== one).map((other) => [one, other] as const),
    );
    if (ways.length === 0) {
      this.#acquire(bucket, to);
      return;
    }
    const turn = ++this.#turns;
    this.#open.set(bucket, { step: 'handingOver', to, turn });
    this.#ports.note(`bucket ${bucket}: ${from} hand over to ${targets}`, bucket);
    let left = ways.length;
    for (const [one, other] of ways)
      this.#ports.handOver(one, other, bucket, () => {
        const open = this.#open.get(bucket);
        if (--left === 0 && open?.step === 'handingOver' && open.turn === turn) this.#acquire(bucket, to);
      });
  }

  #acquire(bucket: number, to: number): void {
    const { current } = this.#head.slots[bucket]!;
    const holders = this.#holdersWithCurrent(bucket).slice(-HOLDERS_MAX);
    const base = this.#rules.twostep && current !== NOBODY ? current : to;
    this.#ports.note(`bucket ${bucket}: ${current} → ${to}, holders ${holders}`, bucket);
    this.#publish([
      [
        bucket,
        this.#slot(
          to,
          base,
          holders.map((it) => this.#peer(it)),
        ),
      ],
    ]);
    this.#setOpen(bucket, base === to ? 'released' : 'acquired');
  }

  #setOpen(bucket: number, step: 'acquired' | 'released' | undefined): void {
    this.#reports.delete(bucket);
    if (step === undefined) this.#open.delete(bucket);
    else this.#open.set(bucket, { step });
  }

  #holdersWithCurrent(bucket: number): readonly number[] {
    const { current, holders } = this.#head.slots[bucket]!;
    const former = holders.map(({ server }) => server).filter((it) => it !== current);
    return [...former, current].filter((it) => this.#head.members.has(it));
  }

  #beyondOf(bucket: number): Set<number> {
    let beyond = this.#beyond.get(bucket);
    if (beyond === undefined) {
      beyond = new Set();
      this.#beyond.set(bucket, beyond);
    }
    return beyond;
  }

  #peer(server: number): Peer {
    return { server, incarnation: this.#head.members.get(server)! };
  }

  #nextRecord(): number {
    return ++this.#record;
  }

  #slot(current: number, base: number, holders: readonly Peer[]): Slot {
    return { current, base, tracked: true, record: this.#nextRecord(), holders };
  }

  #publish(changes: readonly (readonly [number, Slot])[], members = this.#head.members): void {
    const slots = [...this.#head.slots];
    for (const [bucket, slot] of changes) {
      slots[bucket] = slot;
      this.#changedBy.set(bucket, this.#head.number + 1);
    }
    this.#head = { number: this.#head.number + 1, members, slots };
    this.#ports.distribute(this.#head);
  }
}

export function clean(current: number): Slot {
  return { current, base: current, tracked: false, record: 0, holders: [] };
}
