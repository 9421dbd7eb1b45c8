// Owns a model of muxes, flows and the packets between them: what the design says that a mux does with a tracked slot, in
// a few lines, for histories that the leader's core drives (history.ts). Nothing of the data plane's code is in it.
import { chainOf } from '../../../../control/cluster/chain.ts';
import type {
  Acknowledgement,
  Candidate,
  Period,
  PeriodReport,
  Version,
} from '../../../../control/cluster/version.ts';

export const SLOTS = 5;
export const POOL_ID = 1;
export const IDLE_MS = 400;
const EXPIRY_MS = 4 * IDLE_MS;
export const LEASE_MS = 120;
export const HOLD_MS = 60;
const RESEND_MS = 20;
const HOPS_MAX = 4;

export type Kind = 'tcp' | 'quic' | 'udp';

export type Flow = {
  readonly key: number;
  readonly slot: number;
  readonly kind: Kind;
  readonly bornMs: number;
  /** Address and generation of the server that has it. */
  server: string | undefined;
  lastMs: number;
  isEstablished: boolean;
  /** When its first packet is sent again; 0: no more. */
  againMs: number;
  isClosed: boolean;
};

type Entry = {
  backend: number;
  generation: number;
  readonly slot: number;
  readonly trackEpoch: number;
  chainEpoch: number;
  seenMs: number;
  isNascent: boolean;
};

type Cached = {
  readonly backend: number;
  readonly generation: number;
  readonly trackEpoch: number;
  readonly isOfSyn: boolean;
  readonly slot: number;
  usedMs: number;
  refreshedMs: number;
};

type View = {
  current: number;
  base: number;
  trackEpoch: number;
  chainEpoch: number;
  owner: Candidate | undefined;
  backup: Candidate | undefined;
};

type Message = {
  readonly flow: Flow;
  readonly isNew: boolean;
  readonly asker: Candidate;
  to: Candidate;
  operation: 'ask' | 'record' | 'answer';
  chain: Pick<View, 'owner' | 'backup' | 'chainEpoch' | 'trackEpoch'>;
  backend: number;
  generation: number;
  isUnrecorded: boolean;
  hops: number;
};

export class Mux {
  readonly name: string;
  readonly id: number;
  incarnation = 1;
  version: Version;
  isUp = true;
  /** Its daemon runs: applies, acknowledges, renews. */
  isLed = true;
  renewedMs = 0;
  mayRenew = true;
  slowUntilMs = 0;
  isLeaving = false;
  /** Versions that it has yet to apply. */
  readonly behind: Version[] = [];
  readonly table = new Map<number, Entry>();
  readonly cache = new Map<number, Cached>();
  readonly unrecordedMs = new Map<number, number>();
  readonly copied = new Map<number, number>();
  readonly handedOver = new Set<number>();
  readonly #views = new Map<number, View>();

  constructor(id: number, version: Version) {
    this.id = id;
    this.name = `m${id}`;
    this.version = version;
  }

  get candidate(): Candidate {
    return { id: this.id, incarnation: this.incarnation };
  }

  get isMember(): boolean {
    return this.version.members.some((it) => same(it, this.candidate));
  }

  mayDecide(nowMs: number): boolean {
    return this.isUp && this.isMember && nowMs <= this.renewedMs + LEASE_MS;
  }

  apply(version: Version): void {
    this.version = version;
    this.handedOver.clear();
    this.#views.clear();
  }

  empty(): void {
    this.table.clear();
    this.cache.clear();
    this.unrecordedMs.clear();
    this.copied.clear();
    this.handedOver.clear();
  }

  view(slot: number): View {
    let view = this.#views.get(slot);
    if (view === undefined) {
      const placement = this.version.placements.get(POOL_ID)!;
      const period = placement.periods[placement.period[slot]! - 1];
      const chain = period && chainOf(period, this.version.members, slot);
      view = {
        current: placement.current[slot]!,
        base: placement.base[slot]!,
        trackEpoch: period?.trackEpoch ?? 0,
        chainEpoch: period?.chainEpoch ?? 0,
        owner: chain?.owner,
        backup: chain?.backup,
      };
      this.#views.set(slot, view);
    }
    return view;
  }

  /** Of a backend here; undefined: it is absent. */
  generationOf(backend: number): number | undefined {
    return backendOf(this.version, backend)?.generation;
  }

  isAlive(entry: Entry, trackEpoch: number, nowMs: number): boolean {
    return (
      entry.trackEpoch === trackEpoch &&
      nowMs - entry.seenMs <= EXPIRY_MS &&
      this.generationOf(entry.backend) === entry.generation
    );
  }

  acknowledgement(nowMs: number): Acknowledgement {
    const epochs = new Set(this.version.placements.get(POOL_ID)!.periods.map((it) => it.trackEpoch));
    const { name, incarnation, version } = this;
    return {
      name,
      incarnation,
      version: version.number,
      digest: version.digest,
      reports: [...epochs].map((trackEpoch) => this.#report(trackEpoch, nowMs)),
    };
  }

  #report(trackEpoch: number, nowMs: number): PeriodReport {
    const heldSlots = new Uint8Array(Math.ceil(SLOTS / 8));
    let flows = 0;
    let oldFlows = 0;
    for (const entry of this.table.values()) {
      if (!this.isAlive(entry, trackEpoch, nowMs)) continue;
      flows++;
      if (entry.backend === this.view(entry.slot).current) continue;
      oldFlows++;
      heldSlots[entry.slot >> 3]! |= 1 << (entry.slot & 7);
    }
    const unrecordedMs = this.unrecordedMs.get(trackEpoch);
    return {
      poolId: POOL_ID,
      trackEpoch,
      copiedChainEpoch: this.copied.get(trackEpoch) ?? 0,
      isHandedOver: this.handedOver.has(trackEpoch),
      unrecordedAgoMs: unrecordedMs === undefined ? -1 : nowMs - unrecordedMs,
      heldSlots,
      flows,
      oldFlows,
    };
  }
}

export function same(a: Candidate | undefined, b: Candidate | undefined): boolean {
  return a !== undefined && a.id === b?.id && a.incarnation === b.incarnation;
}

const indexes = new WeakMap<Version, Map<number, { address: string; generation: number }>>();
export function backendOf(version: Version, index: number) {
  let byIndex = indexes.get(version);
  if (byIndex === undefined) {
    byIndex = new Map([...version.objects.backends.values()].map((it) => [it.index, it]));
    indexes.set(version, byIndex);
  }
  return byIndex.get(index);
}

export type Faults = {
  /** A copy for a new backup overwrites what it has, or is not made. */
  readonly noCopy?: boolean;
};

/** Muxes and the wire between them. */
export class Network {
  readonly muxes: Mux[] = [];
  readonly wire: Message[] = [];
  readonly resend: { readonly atMs: number; readonly flow: Flow; readonly isNew: boolean }[] = [];
  nowMs = 0;
  /** What happens to each flow, for who looks at a seed. */
  readonly trace = new Map<number, string[]>();
  delivered = 0;
  /** SYN-only entries of one mux. */
  nascentMax = Number.POSITIVE_INFINITY;
  asked = 0;
  unrecorded = 0;
  readonly misdirected: string[] = [];
  /** Servers that were given up: flows to them have ended. */
  readonly givenUp = new Set<string>();

  receive(mux: Mux, flow: Flow, isNew: boolean): void {
    const view = mux.view(flow.slot);
    if (view.trackEpoch === 0) {
      this.#deliver(mux, flow, isNew, view.current, 'clean');
      return;
    }
    const cached = mux.cache.get(flow.key);
    if (cached !== undefined && this.#serves(mux, cached, view, isNew)) {
      cached.usedMs = this.nowMs;
      this.#deliver(mux, flow, isNew, cached.backend, 'cached');
      return;
    }
    this.asked++;
    const { owner } = view;
    if (owner === undefined) {
      this.#unrecorded(mux, flow, isNew, view);
      return;
    }
    this.wire.push({
      flow,
      isNew,
      asker: mux.candidate,
      to: owner,
      operation: 'ask',
      chain: view,
      backend: 0,
      generation: 0,
      isUnrecorded: false,
      hops: 0,
    });
  }

  #serves(mux: Mux, cached: Cached, view: View, isNew: boolean): boolean {
    return (
      cached.trackEpoch === view.trackEpoch &&
      this.nowMs - cached.usedMs < IDLE_MS &&
      mux.generationOf(cached.backend) === cached.generation &&
      (isNew || !cached.isOfSyn)
    );
  }

  #unrecorded(mux: Mux, flow: Flow, isNew: boolean, view: View): void {
    this.unrecorded++;
    mux.unrecordedMs.set(view.trackEpoch, this.nowMs);
    this.#deliver(mux, flow, isNew, view.base, 'unrecorded');
  }

  carry(message: Message): void {
    const at = this.muxes.find((it) => same(it.candidate, message.to));
    const isLost =
      at === undefined ||
      !at.isUp ||
      message.hops > HOPS_MAX ||
      (message.operation !== 'answer' && !at.mayDecide(this.nowMs));
    if (isLost) {
      this.lose(message);
      return;
    }
    message.hops++;
    if (message.operation === 'answer') {
      this.#answer(at, message);
      return;
    }
    const own = at.view(message.flow.slot);
    if (own.trackEpoch > message.chain.trackEpoch) {
      this.lose(message);
      return;
    }
    const isNewerHere =
      own.trackEpoch === message.chain.trackEpoch && own.chainEpoch > message.chain.chainEpoch;
    const wasRecord = message.operation === 'record';
    const recordedUnder = message.chain.chainEpoch;
    if (isNewerHere) message.chain = own;
    const { chain } = message;
    const isOwner = same(chain.owner, at.candidate);
    if (wasRecord && !(isNewerHere && isOwner)) {
      this.#record(at, message, isNewerHere, recordedUnder);
      return;
    }
    if (!isOwner) {
      this.#pass(message, chain.owner);
      return;
    }
    this.#decide(at, message, own, wasRecord);
  }

  #note(flow: Flow, mux: Mux, text: string): void {
    const lines = this.trace.get(flow.key) ?? [];
    lines.push(`${this.nowMs} ${mux.name}@${mux.version.number} ${text}`);
    this.trace.set(flow.key, lines);
  }

  lose({ flow, isNew }: Pick<Message, 'flow' | 'isNew'>): void {
    this.resend.push({ atMs: this.nowMs + RESEND_MS, flow, isNew });
  }

  #pass(message: Message, owner: Candidate | undefined): void {
    if (owner === undefined) {
      this.lose(message);
      return;
    }
    this.wire.push({ ...message, to: owner, operation: 'ask' });
  }

  #decide(at: Mux, message: Message, own: View, wasRecord: boolean): void {
    const { flow, isNew, chain } = message;
    const entry = at.table.get(flow.key);
    if (entry !== undefined && at.isAlive(entry, chain.trackEpoch, this.nowMs)) {
      entry.seenMs = this.nowMs;
      entry.chainEpoch = Math.max(entry.chainEpoch, chain.chainEpoch);
      if (!isNew) entry.isNascent = false;
      message.backend = entry.backend;
      message.generation = entry.generation;
    } else {
      if (!wasRecord || at.generationOf(message.backend) !== message.generation) {
        message.backend = isNew && flow.kind !== 'udp' ? own.current : own.base;
        message.generation = at.generationOf(message.backend) ?? -1;
      }
      if (!this.#insert(at, message)) {
        at.unrecordedMs.set(chain.trackEpoch, this.nowMs);
        this.unrecorded++;
        const base = at.generationOf(own.base) ?? -1;
        this.wire.push({
          ...message,
          to: message.asker,
          operation: 'answer',
          backend: own.base,
          generation: base,
          isUnrecorded: true,
        });
        return;
      }
    }
    if (chain.backup === undefined) this.wire.push({ ...message, to: message.asker, operation: 'answer' });
    else this.wire.push({ ...message, to: chain.backup, operation: 'record' });
  }

  #record(at: Mux, message: Message, isNewerHere: boolean, recordedUnder: number): void {
    const { flow, chain } = message;
    const entry = at.table.get(flow.key);
    const isHeld = entry !== undefined && at.isAlive(entry, chain.trackEpoch, this.nowMs);
    if (isHeld && entry.chainEpoch > recordedUnder) {
      entry.seenMs = this.nowMs;
      message.backend = entry.backend;
      message.generation = entry.generation;
    } else if (isNewerHere && !same(chain.backup, at.candidate)) {
      this.#pass(message, chain.owner);
      return;
    } else if (!this.#insert(at, message)) {
      at.unrecordedMs.set(chain.trackEpoch, this.nowMs);
      message.isUnrecorded = true;
    }
    this.wire.push({ ...message, to: message.asker, operation: 'answer' });
  }

  #insert(at: Mux, { flow, isNew, backend, generation, chain, operation }: Message): boolean {
    this.#note(flow, at, `${operation} ${backend} epochs ${chain.trackEpoch} ${chain.chainEpoch}`);
    const known = at.table.get(flow.key);
    if (isNew && known === undefined) {
      let nascent = 0;
      for (const entry of at.table.values()) {
        if (entry.isNascent && this.nowMs - entry.seenMs <= IDLE_MS / 8) nascent++;
      }
      if (nascent >= this.nascentMax) return false;
    }
    at.table.set(flow.key, {
      backend,
      generation,
      slot: flow.slot,
      trackEpoch: chain.trackEpoch,
      chainEpoch: chain.chainEpoch,
      seenMs: this.nowMs,
      isNascent: isNew && known?.isNascent !== false,
    });
    return true;
  }

  #answer(at: Mux, message: Message): void {
    const { flow, isNew, backend, generation, chain, isUnrecorded } = message;
    if (at.generationOf(backend) !== generation) {
      this.lose(message);
      return;
    }
    const view = at.view(flow.slot);
    if (!isUnrecorded && view.trackEpoch === chain.trackEpoch && at.mayDecide(this.nowMs)) {
      at.cache.set(flow.key, {
        backend,
        generation,
        trackEpoch: chain.trackEpoch,
        isOfSyn: isNew,
        slot: flow.slot,
        usedMs: this.nowMs,
        refreshedMs: this.nowMs,
      });
    }
    this.#deliver(at, flow, isNew, backend, isUnrecorded ? 'unrecorded' : 'asked');
  }

  #deliver(mux: Mux, flow: Flow, isNew: boolean, backend: number, why: string): void {
    if (flow.isClosed) return;
    const server = backendOf(mux.version, backend);
    if (server === undefined) {
      this.lose({ flow, isNew });
      return;
    }
    this.delivered++;
    this.#note(flow, mux, `${isNew ? 'first packet' : 'packet'} to ${backend}, ${why}`);
    // One that came back is another than it was.
    const address = `${server.address}#${server.generation}`;
    if (flow.server === address) return;
    if (flow.server === undefined) {
      // Nobody answers there.
      if (this.givenUp.has(address)) {
        this.lose({ flow, isNew });
        return;
      }
      flow.server = address;
      return;
    }
    // A server that hears a SYN again somewhere else answers it, and the client, which has an answer, does not mind.
    if (isNew && flow.kind === 'tcp') return;
    // Packets on their way to a server that was given up meanwhile: nobody answers them.
    if (this.givenUp.has(address)) return;
    this.misdirected.push(
      `at ${this.nowMs}: flow ${flow.key} (${flow.kind}, slot ${flow.slot}, born ${flow.bornMs}) of ${flow.server} reached ${address} by ${mux.name} at version ${mux.version.number}, ${why}`,
    );
  }

  /** What daemons do in bulk: cached flows that live are refreshed at owner and backup. */
  refresh(mux: Mux): void {
    for (const [key, cached] of mux.cache) {
      if (cached.usedMs <= cached.refreshedMs) continue;
      const view = mux.view(cached.slot);
      if (view.trackEpoch !== cached.trackEpoch) continue;
      cached.refreshedMs = this.nowMs;
      for (const keeper of [view.owner, view.backup]) {
        const at = this.muxes.find((it) => it.isUp && same(it.candidate, keeper));
        const entry = at?.table.get(key);
        if (at === undefined) continue;
        if (entry?.trackEpoch === cached.trackEpoch) {
          if (entry.backend === cached.backend) entry.seenMs = Math.max(entry.seenMs, cached.usedMs);
        } else {
          const { backend, generation, slot, trackEpoch, usedMs } = cached;
          const { chainEpoch } = view;
          at.table.set(key, {
            backend,
            generation,
            slot,
            trackEpoch,
            chainEpoch,
            seenMs: usedMs,
            isNascent: false,
          });
        }
      }
    }
  }

  /** What an owner has, to its backups; true: all have taken it. */
  copy(mux: Mux, trackEpoch: number): boolean {
    let isDone = true;
    for (const [key, entry] of mux.table) {
      if (!mux.isAlive(entry, trackEpoch, this.nowMs)) continue;
      const { owner, backup } = mux.view(entry.slot);
      if (!same(owner, mux.candidate) || backup === undefined) continue;
      isDone = this.#hand(mux, key, entry, backup) && isDone;
    }
    return isDone;
  }

  /** What it will own once another one has left, to who will keep it beside it then. */
  copyAhead(mux: Mux, period: Period, leaver: Candidate): boolean {
    const others = mux.version.members.filter((it) => !same(it, leaver));
    let isDone = true;
    for (const [key, entry] of mux.table) {
      if (!mux.isAlive(entry, period.trackEpoch, this.nowMs)) continue;
      const next = chainOf(period, others, entry.slot);
      const now = mux.view(entry.slot);
      const isKept = [now.owner, now.backup].some((it) => same(it, next?.backup));
      if (!same(next?.owner, mux.candidate) || next?.backup === undefined || isKept) continue;
      isDone = this.#hand(mux, key, entry, next.backup) && isDone;
    }
    return isDone;
  }

  #hand(mux: Mux, key: number, entry: Entry, keeper: Candidate): boolean {
    const at = this.muxes.find((it) => it.isUp && same(it.candidate, keeper));
    if (at === undefined) return false;
    const known = at.table.get(key);
    const { chainEpoch } = mux.view(entry.slot);
    const isOlder =
      known === undefined ||
      known.trackEpoch < entry.trackEpoch ||
      (known.trackEpoch === entry.trackEpoch && known.chainEpoch < chainEpoch);
    if (isOlder) at.table.set(key, { ...entry, chainEpoch });
    return true;
  }
}
