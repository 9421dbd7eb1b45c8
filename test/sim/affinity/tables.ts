// Owns what a server remembers of clients: those that are its own, and those that are another's. No packet is here.
import { type Peer, SECOND, type Settings, type Version } from './port.ts';
import type { Rules } from './rules.ts';

/** An affinity of which only a SYN was seen. */
const NASCENT_NS = 67 * SECOND;
/** Of the places, for those. */
const NASCENT_SHARE = 4;
const FOREIGN_MAX_NS = 60 * SECOND;
const FOREIGN_SHARE = 4;

type Affinity = { readonly bucket: number; seenNs: number; isProven: boolean };

/** Nothing that lives gives way. */
export class Affinities {
  readonly #settings: Settings;
  readonly #entries = new Map<number, Affinity>();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  has(key: number, nowNs: number): boolean {
    const entry = this.#entries.get(key);
    return entry !== undefined && this.#lives(entry, nowNs);
  }

  refresh(key: number, isProof: boolean, nowNs: number): void {
    const entry = this.#entries.get(key)!;
    entry.seenNs = nowNs;
    entry.isProven ||= isProof;
  }

  /** False where there is no place. */
  record(key: number, bucket: number, isProven: boolean, nowNs: number): boolean {
    const { affinitiesMax } = this.#settings;
    // Where those that are over would be in the way.
    if (!isProven || this.#entries.size >= affinitiesMax) this.#forget(nowNs);
    if (this.#entries.size >= affinitiesMax) return false;
    const nascent = () => [...this.#entries.values()].filter((it) => !it.isProven).length;
    if (!isProven && nascent() >= affinitiesMax / NASCENT_SHARE) return false;
    this.#entries.set(key, { bucket, seenNs: nowNs, isProven });
    return true;
  }

  clientsOf(bucket: number, nowNs: number): readonly number[] {
    return [...this.#entries]
      .filter(([, entry]) => entry.bucket === bucket && this.#lives(entry, nowNs))
      .map(([key]) => key);
  }

  #lives({ seenNs, isProven }: Affinity, nowNs: number): boolean {
    const { timeoutNs } = this.#settings;
    return nowNs - seenNs < (isProven ? timeoutNs : Math.min(timeoutNs, NASCENT_NS));
  }

  #forget(nowNs: number): void {
    for (const [key, entry] of this.#entries) if (!this.#lives(entry, nowNs)) this.#entries.delete(key);
  }
}

/** `answer`: it said so. `asker`: it asked, and may have been told that nobody has the client. */
export type ForeignEntry = {
  readonly kind: 'answer' | 'asker';
  readonly peer: Peer;
  /** That the asker had. */
  readonly version: number;
  sinceNs: number;
};

export class Foreigners {
  readonly #settings: Settings;
  readonly #rules: Rules;
  readonly #entries = new Map<number, ForeignEntry>();
  /** What was handed over, until the server's tables are emptied: clients that are asked for, and dropped by no entry. */
  readonly #hints = new Map<number, readonly Peer[]>();

  constructor(settings: Settings, rules: Rules) {
    this.#settings = settings;
    this.#rules = rules;
  }

  know(key: number, peer: Peer, nowNs: number): void {
    this.#entries.set(key, { kind: 'answer', peer, version: 0, sinceNs: nowNs });
  }

  remember(key: number, peer: Peer, version: number, nowNs: number): void {
    this.#entries.set(key, { kind: 'asker', peer, version, sinceNs: nowNs });
  }

  push(key: number, peer: Peer, nowNs: number): void {
    // That it has the client still is for itself to say.
    if (!this.#rules.pushedAsks) this.know(key, peer, nowNs);
    else if (!this.#rules.pushOnlyHints)
      this.#entries.set(key, { kind: 'answer', peer, version: 0, sinceNs: nowNs });
    const known = (this.#hints.get(key) ?? []).filter((it) => it.server !== peer.server);
    this.#hints.set(key, [...known, peer]);
  }

  find(key: number, nowNs: number, version: Version): ForeignEntry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const isAhead = entry.kind === 'asker' && entry.version > version.number;
    // Whoever has a version that we do not may have joined in it.
    const isThere = (isAhead && this.#rules.incByVersion) || this.#isThere(entry.peer, version);
    const isFresh = (isAhead && this.#rules.tombOutlivesLag) || nowNs - entry.sinceNs < this.lifeNs;
    return isThere && isFresh ? entry : undefined;
  }

  /** Who may have the client, although no list of holders says so. */
  hints(key: number, version: Version): readonly number[] {
    const known = this.#rules.pushedAsks ? (this.#hints.get(key) ?? []) : [];
    return known.filter((peer) => this.#isThere(peer, version)).map(({ server }) => server);
  }

  #isThere({ server, incarnation }: Peer, { members }: Version): boolean {
    return !this.#rules.inc || members.get(server) === incarnation;
  }

  get lifeNs(): number {
    const { timeoutNs } = this.#settings;
    return this.#rules.nofrefresh ? Math.min(timeoutNs / FOREIGN_SHARE, FOREIGN_MAX_NS) : timeoutNs;
  }
}
