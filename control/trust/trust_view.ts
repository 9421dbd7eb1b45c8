// Owns following what the store says of trust: the authorities, and which certificates of whom count. Where a certificate is
// not known here it asks the store once more, for it may be newer than what was heard; where the store is away then, nobody
// is let in whom it did not know.
import { Following, tell } from '../cluster/following.ts';
import type { CallerRole } from '../config/api_roles.ts';
import { Failure } from '../lib/failure.ts';
import type { Entry, Revision, Store } from '../store/contract.ts';
import type { AuthorityState } from './authority_core.ts';
import { type CertificateName, counts, parseAltNames } from './identity_core.ts';
import {
  AUTHORITY_KEY,
  decodeAuthority,
  decodeNodeRecord,
  decodeRemoval,
  decodeTokenRecord,
  decodeUserRecord,
  NODES_PREFIX,
  type NodeRecord,
  nodeRecordKey,
  REMOVAL_KEY,
  type Removal,
  TOKENS_PREFIX,
  TRUST_PREFIX,
  USERS_PREFIX,
  type UserRecord,
  userRecordKey,
} from './layout.ts';
import type { TokenRecord } from './token_core.ts';

/** A certificate that a connection has shown, and that an authority of ours signed. */
export type ShownCertificate = { readonly altNames: string | undefined; readonly serial: string };

export type Known = {
  readonly kind: CertificateName['kind'];
  readonly name: string;
  readonly role: CallerRole;
};

/** The same certificate is asked for again no sooner, however often it is shown. */
const ASK_AGAIN_MS = 1_000;
const ASKED_MAX = 1_024;

export type TrustState = {
  readonly authority: AuthorityState | undefined;
  readonly nodes: ReadonlyMap<string, NodeRecord>;
  readonly users: ReadonlyMap<string, UserRecord>;
  readonly tokens: ReadonlyMap<string, TokenRecord>;
  readonly removal: Removal | undefined;
};

export class TrustView {
  readonly #store: Pick<Store, 'get' | 'list' | 'watch'>;
  readonly #following: Following;
  readonly #listeners = new Set<(state: TrustState) => void>();
  readonly #nowMs: () => number;
  /** By serial. */
  readonly #asked = new Map<string, { readonly atMs: number; readonly done: Promise<void> }>();
  #entries = new Map<string, Entry>();
  /** All that was written until then is known: an older entry that is not here was replaced or deleted. */
  #completeTo: Revision = 0;
  #state: TrustState = {
    authority: undefined,
    nodes: new Map(),
    users: new Map(),
    tokens: new Map(),
    removal: undefined,
  };

  constructor(
    store: Pick<Store, 'get' | 'list' | 'watch'>,
    { nowMs, onProblem }: { nowMs: () => number; onProblem: (problem: Failure | undefined) => void },
  ) {
    this.#store = store;
    this.#nowMs = nowMs;
    this.#following = new Following(store, {
      prefix: TRUST_PREFIX,
      what: 'trust in the store',
      whole: (entries, revision) => {
        // A store that was put back counts from there.
        this.#completeTo = revision;
        this.#entries = new Map(entries.map((entry) => [entry.key, entry]));
        this.#become();
      },
      changed: ({ revision, changes }) => {
        // What was read since is newer.
        if (revision <= this.#completeTo) return;
        this.#completeTo = revision;
        let isNew = false;
        for (const change of changes) {
          const key = change.kind === 'put' ? change.entry.key : change.key;
          const modRevision = change.kind === 'put' ? change.entry.modRevision : change.modRevision;
          const known = this.#entries.get(key)?.modRevision ?? 0;
          if (change.kind === 'put' ? known >= modRevision : known === 0 || known > modRevision) continue;
          isNew = true;
          if (change.kind === 'put') this.#entries.set(key, change.entry);
          else this.#entries.delete(key);
        }
        if (isNew) this.#become();
      },
    });
    this.#following.onConnection(onProblem);
  }

  /** Resolves with the first state, or where the view is closed before. */
  start(): Promise<void> {
    return this.#following.start();
  }

  close(): Promise<void> {
    return this.#following.close();
  }

  get state(): TrustState {
    return this.#state;
  }

  get connected(): boolean {
    return this.#following.connected;
  }

  onChange(listener: (state: TrustState) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Who that is, as far as it is known here. */
  known({ altNames, serial }: ShownCertificate): Known | undefined {
    const name = parseAltNames(altNames);
    if (name === undefined || name.cluster !== this.#state.authority?.cluster) return undefined;
    const { kind } = name;
    const found = kind === 'node' ? this.#state.nodes.get(name.name) : this.#state.users.get(name.name);
    if (found === undefined || !counts(found.certificates, serial, this.#nowMs())) return undefined;
    return { kind, name: name.name, role: 'role' in found ? found.role : 'peer' };
  }

  /** @throws Failure `unauthorized` for a certificate that does not count, `unavailable` where that cannot be known. */
  async recognize(shown: ShownCertificate): Promise<Known> {
    const known = this.known(shown) ?? (await this.#askStore(shown));
    if (known !== undefined) return known;
    const name = parseAltNames(shown.altNames);
    throw new Failure('unauthorized', 'This certificate does not count in the cluster.', {
      reason:
        name === undefined
          ? 'It names neither a node nor a user.'
          : `${name.kind} ${name.name} was removed, or has another certificate since.`,
      remedy:
        name?.kind === 'node'
          ? 'Have the node join again: holdfast cluster join TOKEN'
          : 'Ask an admin for another one: holdfast users add NAME',
    });
  }

  /** Once for all who show it at about the same time. */
  async #askStore(shown: ShownCertificate): Promise<Known | undefined> {
    const name = parseAltNames(shown.altNames);
    if (name === undefined) return undefined;
    const nowMs = this.#nowMs();
    let asked = this.#asked.get(shown.serial);
    if (asked === undefined || nowMs - asked.atMs > ASK_AGAIN_MS) {
      if (this.#asked.size >= ASKED_MAX) this.#asked.clear();
      asked = { atMs: nowMs, done: this.read(name) };
      asked.done.catch(() => this.#asked.delete(shown.serial));
      this.#asked.set(shown.serial, asked);
    }
    await asked.done;
    return this.known(shown);
  }

  /** Asks the store for the authority and one record, rather than to wait until they are told. */
  async read({ kind, name }: Pick<CertificateName, 'kind' | 'name'>): Promise<void> {
    const keys = [AUTHORITY_KEY, kind === 'node' ? nodeRecordKey(name) : userRecordKey(name)];
    const found = await Promise.all(keys.map((key) => this.#store.get(key)));
    if (this.#learn(found.filter((it) => it !== undefined))) this.#become();
  }

  /** As it is now, rather than to wait until it is told. */
  async refresh(): Promise<void> {
    const { entries, revision } = await this.#store.list(TRUST_PREFIX);
    // What was heard meanwhile is newer.
    if (revision < this.#completeTo) return;
    const keys = new Set(entries.map(({ key }) => key));
    const gone = [...this.#entries.values()].filter(
      ({ key, modRevision }) => !keys.has(key) && modRevision <= revision,
    );
    for (const { key } of gone) this.#entries.delete(key);
    const isNew = this.#learn(entries);
    this.#completeTo = revision;
    if (isNew || gone.length > 0) this.#become();
  }

  /** True where one of them is new: an answer that was under way for long must not bring back what was deleted. */
  #learn(entries: readonly Entry[]): boolean {
    const fresh = entries.filter(
      ({ key, modRevision }) =>
        modRevision > Math.max(this.#completeTo, this.#entries.get(key)?.modRevision ?? 0),
    );
    for (const entry of fresh) this.#entries.set(entry.key, entry);
    return fresh.length > 0;
  }

  #become(): void {
    const under = <T>(prefix: string, decode: (entry: Entry) => T): Map<string, T> =>
      new Map(
        [...this.#entries.values()]
          .filter(({ key }) => key.startsWith(prefix))
          .flatMap((entry): [string, T][] => {
            const value = decodedOrNone(entry, decode);
            return value === undefined ? [] : [[entry.key.slice(prefix.length), value]];
          }),
      );
    const authority = this.#entries.get(AUTHORITY_KEY);
    const removal = this.#entries.get(REMOVAL_KEY);
    this.#state = {
      authority: authority && decodedOrNone(authority, decodeAuthority),
      nodes: under(NODES_PREFIX, decodeNodeRecord),
      users: under(USERS_PREFIX, decodeUserRecord),
      tokens: under(TOKENS_PREFIX, decodeTokenRecord),
      removal: removal && decodedOrNone(removal, decodeRemoval),
    };
    tell(this.#listeners, this.#state);
  }
}

/** A record that is damaged counts for nothing, and must not hide the others. */
function decodedOrNone<T>(entry: Entry, decode: (entry: Entry) => T): T | undefined {
  try {
    return decode(entry);
  } catch (error) {
    if (error instanceof Failure) return undefined;
    throw error;
  }
}
