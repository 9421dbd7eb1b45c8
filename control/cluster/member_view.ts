// Owns following what muxes write about themselves: who is registered, what each has in effect, who is not heard, who is
// to leave, and the keys of in-band headers. The last good state is kept while the store is away.
import { Failure } from '../lib/failure.ts';
import type { Entry, Revision, Store } from '../store/contract.ts';
import { decodeAcknowledgement, decodeRegistration } from './ack_layout.ts';
import { Following, tell } from './following.ts';
import {
  ACKS_PREFIX,
  ASK_KEYS_KEY,
  DRAINS_PREFIX,
  HEALTH_PREFIX,
  KNOWN_KEYS_PREFIX,
  MUX_IDS_PREFIX,
  MUX_PREFIX,
  REGISTRATIONS_PREFIX,
  SUSPECTS_PREFIX,
} from './keys.ts';
import type { AskKeyRing } from './member_keys_core.ts';
import {
  decodeIdentity,
  decodeKnownKeys,
  decodeRing,
  decodeSuspicion,
  type Identity,
  type KnownKeys,
} from './member_layout.ts';
import type { Acknowledgement, Registration } from './version.ts';

/** What is written seldom, and no lease takes away. */
const LASTING = [MUX_IDS_PREFIX, DRAINS_PREFIX, ASK_KEYS_KEY];

export type Suspicion = { readonly observer: string; readonly suspect: string; readonly incarnation: number };

export type Muxes = {
  readonly revision: Revision;
  /** By name. */
  readonly registrations: ReadonlyMap<string, Registration>;
  readonly acknowledgements: ReadonlyMap<string, Acknowledgement>;
  readonly knownKeys: ReadonlyMap<string, KnownKeys>;
  readonly drained: ReadonlySet<string>;
  readonly suspicions: readonly Suspicion[];
  /** What the health checks of muxes found, as written; decoding it is control/health's. By name. */
  readonly health: ReadonlyMap<string, Entry>;
  /** By id. */
  readonly identities: ReadonlyMap<number, Identity>;
  readonly ring: AskKeyRing | undefined;
  readonly ringRevision: Revision;
};

const NO_MUXES: Muxes = {
  revision: 0,
  registrations: new Map(),
  acknowledgements: new Map(),
  knownKeys: new Map(),
  drained: new Set(),
  suspicions: [],
  health: new Map(),
  identities: new Map(),
  ring: undefined,
  ringRevision: 0,
};

export class MuxesView {
  readonly #listeners = new Set<(muxes: Muxes) => void>();
  readonly #following: Following;
  readonly #onProblem: (problem: Failure | undefined) => void;
  #entries = new Map<string, Entry>();
  /** Values that were decoded, by key: what did not change is not decoded again. */
  readonly #decoded = new Map<string, { readonly revision: Revision; readonly value: unknown }>();
  #muxes = NO_MUXES;
  #damaged: Failure | undefined;

  /**
   * `onProblem`: the store is away, or a value there is not understood; undefined where there is none any more. `saved`:
   * begins with these, until the store gives others.
   */
  constructor(
    store: Pick<Store, 'list' | 'watch'>,
    onProblem: (problem: Failure | undefined) => void,
    saved?: ReadonlyMap<string, Entry>,
  ) {
    this.#onProblem = onProblem;
    this.#following = new Following(store, {
      prefix: MUX_PREFIX,
      what: 'muxes in the store',
      whole: (entries, revision) => {
        this.#entries = new Map(entries.map((entry) => [entry.key, entry]));
        this.#become(revision);
      },
      changed: ({ revision, changes }) => {
        for (const change of changes) {
          if (change.kind === 'put') this.#entries.set(change.entry.key, change.entry);
          else this.#entries.delete(change.key);
        }
        this.#become(revision);
      },
    });
    this.#following.onConnection((problem) => onProblem(problem ?? this.#damaged));
    if (saved === undefined) return;
    this.#entries = new Map([...saved].filter(([key]) => key.startsWith(MUX_PREFIX)));
    this.#become(0);
    this.#following.begun();
  }

  /** Resolves with the first state, or where the view is closed before. */
  start(): Promise<void> {
    return this.#following.start();
  }

  get muxes(): Muxes {
    return this.#muxes;
  }

  /** Entries that are worth keeping for a time when the store is away. */
  get lasting(): ReadonlyMap<string, Entry> {
    return new Map([...this.#entries].filter(([key]) => LASTING.some((prefix) => key.startsWith(prefix))));
  }

  onChange(listener: (muxes: Muxes) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    await this.#following.close();
  }

  #become(revision: Revision): void {
    const ring = this.#entries.get(ASK_KEYS_KEY);
    let damaged: unknown;
    const under = <T>(prefix: string, decode: (entry: Entry) => T): Map<string, T> => {
      const found = new Map<string, T>();
      for (const [key, entry] of this.#entries) {
        if (!key.startsWith(prefix)) continue;
        try {
          found.set(key.slice(prefix.length), this.#decode(entry, decode));
        } catch (error) {
          // One that is damaged, or of a newer version, must not hide the others.
          damaged = error;
        }
      }
      return found;
    };
    this.#muxes = {
      revision,
      registrations: under(REGISTRATIONS_PREFIX, decodeRegistration),
      acknowledgements: under(ACKS_PREFIX, decodeAcknowledgement),
      knownKeys: under(KNOWN_KEYS_PREFIX, decodeKnownKeys),
      drained: new Set(under(DRAINS_PREFIX, () => true).keys()),
      suspicions: [...under(SUSPECTS_PREFIX, decodeSuspicion)].map(([path, { incarnation }]) => {
        const [observer = '', suspect = ''] = path.split('/');
        return { observer, suspect, incarnation };
      }),
      health: under(HEALTH_PREFIX, (entry) => entry),
      identities: new Map([...under(MUX_IDS_PREFIX, decodeIdentity)].map(([id, it]) => [Number(id), it])),
      ring: ring === undefined ? undefined : (under(ASK_KEYS_KEY, decodeRing).get('') ?? this.#muxes.ring),
      ringRevision: ring?.modRevision ?? 0,
    };
    for (const key of this.#decoded.keys()) if (!this.#entries.has(key)) this.#decoded.delete(key);
    this.#damaged = damaged === undefined ? undefined : notUnderstood(damaged);
    this.#onProblem(this.#damaged);
    tell(this.#listeners, this.#muxes);
  }

  #decode<T>(entry: Entry, decode: (entry: Entry) => T): T {
    const known = this.#decoded.get(entry.key);
    if (known?.revision === entry.modRevision) return known.value as T;
    const value = decode(entry);
    this.#decoded.set(entry.key, { revision: entry.modRevision, value });
    return value;
  }
}

function notUnderstood(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure('internal', 'a value of the store is not understood', { cause: error });
}
