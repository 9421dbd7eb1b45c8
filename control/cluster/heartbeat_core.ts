// Owns judging who of the muxes is heard: when probes are sent, what counts as a miss, who is suspected. Also the
// cluster's time, which probes' answers carry. Pure. Not here: composing and sending probes (member.ts), answering them
// (the program), the decision to remove (leader/membership.ts).

export type HeartbeatTimes = {
  readonly intervalMs: number;
  /** Probes in a row without an answer, after which a peer is suspected. */
  readonly misses: number;
};

/** A tick that comes later than this many intervals after the one before is our own trouble: it counts nobody's miss. */
export const LATE_INTERVALS = 1.6;
/** Probes to a peer that is silent for long: one in so many ticks. It costs a neighbour's resolution each. */
const SILENT_EVERY_TICKS = 4;
const SILENT_MISSES = 30;
/** Of a peer that was never heard: longer than any member may take to come to a version. */
const UNHEARD_MISSES = 300;

/** What a peer's program last said, as the own program noted it. */
export type PeerHearing = {
  /** Number of our probe that it answered last. */
  readonly echo: number;
  readonly incarnation: number;
  /** Its cluster time, ticks of 2^20 ns, when it answered. */
  readonly time: number;
};

export type HeartbeatEvent =
  /** `incarnations` by mux id: the members of the version in effect, without this mux. */
  | { readonly kind: 'peers'; readonly incarnations: ReadonlyMap<number, number> }
  /** A timer of `intervalMs` came; `hearings` by mux id; `time` is this mux's own cluster time. */
  | { readonly kind: 'tick'; readonly hearings: ReadonlyMap<number, PeerHearing>; readonly time: number };

export type HeartbeatEffect =
  /** One to each, with this number. */
  | { readonly kind: 'probe'; readonly number: number; readonly peers: readonly number[] }
  | { readonly kind: 'suspect'; readonly peer: number; readonly incarnation: number }
  | { readonly kind: 'trust'; readonly peer: number }
  /** The cluster's time is ahead of this mux's by so much: it is to be added to its offset. */
  | { readonly kind: 'advance'; readonly ticks: number };

type Peer = {
  readonly incarnation: number;
  /** Of the last probe before it was a peer: answers to those are in the program's notes still. */
  readonly afterNumber: number;
  /** Of its last answer; undefined: there was none. */
  echo: number | undefined;
  /** A probe is on its way, or was. */
  isAsked: boolean;
  misses: number;
  isSuspect: boolean;
  /** When it was heard last; undefined: never. */
  heardMs: number | undefined;
};

/** Comparison of numbers that wrap at 2^32: how much `a` is ahead of `b`. */
export function ahead(a: number, b: number): number {
  return (a - b) | 0;
}

export class Heartbeat {
  readonly #times: HeartbeatTimes;
  #peers = new Map<number, Peer>();
  #number: number;
  #tickedMs = Number.NEGATIVE_INFINITY;
  #ticks = 0;

  /** `firstNumber`: beyond those of daemons before this one, whose answers are in the program's notes still. */
  constructor(times: HeartbeatTimes, firstNumber: number) {
    this.#times = times;
    this.#number = firstNumber >>> 0;
  }

  step(event: HeartbeatEvent, nowMs: number): HeartbeatEffect[] {
    return event.kind === 'peers' ? this.#become(event.incarnations) : this.#tick(event, nowMs);
  }

  /** Those that are suspected now. */
  suspects(): { readonly peer: number; readonly incarnation: number }[] {
    return [...this.#peers]
      .filter(([, { isSuspect }]) => isSuspect)
      .map(([peer, { incarnation }]) => ({ peer, incarnation }));
  }

  /** When it was stepped by a timer last. */
  get tickedMs(): number {
    return this.#tickedMs;
  }

  /** How long ago each peer was heard; undefined: never. */
  heardAgoMs(nowMs: number): Map<number, number | undefined> {
    return new Map(
      [...this.#peers].map(([id, { heardMs }]) => [id, heardMs === undefined ? undefined : nowMs - heardMs]),
    );
  }

  #become(incarnations: ReadonlyMap<number, number>): HeartbeatEffect[] {
    const gone = this.suspects().filter(({ peer, incarnation }) => incarnations.get(peer) !== incarnation);
    const before = this.#peers;
    this.#peers = new Map(
      [...incarnations].map(([id, incarnation]) => {
        const known = before.get(id);
        return [id, known?.incarnation === incarnation ? known : unheard(incarnation, this.#number)];
      }),
    );
    return gone.map(({ peer }) => ({ kind: 'trust', peer }));
  }

  #tick({ hearings, time }: HeartbeatEvent & { kind: 'tick' }, nowMs: number): HeartbeatEffect[] {
    const isLate = nowMs - this.#tickedMs > LATE_INTERVALS * this.#times.intervalMs;
    this.#tickedMs = nowMs;
    this.#ticks++;
    const effects: HeartbeatEffect[] = [];
    let advance = 0;
    for (const [id, peer] of this.#peers) {
      const hearing = hearings.get(id);
      if (hearing !== undefined && this.#isNews(hearing, peer)) {
        advance = Math.max(advance, ahead(hearing.time, time));
        effects.push(...this.#heard(id, peer, hearing.echo, nowMs));
      } else if (!isLate && peer.isAsked) effects.push(...this.#missed(id, peer));
    }
    if (advance > 0) effects.unshift({ kind: 'advance', ticks: advance });
    const peers = [...this.#peers].filter(([, it]) => this.#isProbed(it)).map(([id]) => id);
    if (peers.length > 0) {
      for (const id of peers) this.#peers.get(id)!.isAsked = true;
      this.#number = (this.#number + 1) >>> 0;
      effects.push({ kind: 'probe', number: this.#number, peers });
    }
    return effects;
  }

  /** An answer of another incarnation is of a mux that has lost its tables: not of this member. */
  #isNews({ echo, incarnation }: PeerHearing, peer: Peer): boolean {
    return incarnation === peer.incarnation && echo !== peer.echo && ahead(echo, peer.afterNumber) > 0;
  }

  #heard(id: number, peer: Peer, echo: number, nowMs: number): HeartbeatEffect[] {
    peer.echo = echo;
    peer.misses = 0;
    peer.heardMs = nowMs;
    if (!peer.isSuspect) return [];
    peer.isSuspect = false;
    return [{ kind: 'trust', peer: id }];
  }

  #missed(id: number, peer: Peer): HeartbeatEffect[] {
    peer.misses++;
    // Who was never heard may not have the version yet that has this mux among its peers.
    const misses = peer.heardMs === undefined ? UNHEARD_MISSES : this.#times.misses;
    if (peer.isSuspect || peer.misses < misses) return [];
    peer.isSuspect = true;
    return [{ kind: 'suspect', peer: id, incarnation: peer.incarnation }];
  }

  #isProbed({ isSuspect, misses }: Peer): boolean {
    return !isSuspect || misses < SILENT_MISSES || this.#ticks % SILENT_EVERY_TICKS === 0;
  }
}

function unheard(incarnation: number, afterNumber: number): Peer {
  const nothing = { echo: undefined, isAsked: false, misses: 0, isSuspect: false, heardMs: undefined };
  return { incarnation, afterNumber, ...nothing };
}
