// Owns what the leader follows in the store while it leads: the intent, what muxes say, the head. Objects that did not
// change stay the same objects, which the core relies on.
import { type ClusterState, EMPTY_STATE } from '../config/cluster_state.ts';
import type { Entry, Revision, Store } from '../store/contract.ts';
import { decodeAcknowledgement, decodeRegistration } from './ack_layout.ts';
import {
  ACKS_PREFIX,
  ASK_KEYS_KEY,
  blobKey,
  CUTS_PREFIX,
  GARBAGE_KEY,
  HEAD_KEY,
  HEALTH_PREFIX,
  KNOWN_KEYS_PREFIX,
  MUX_PREFIX,
  REGISTRATIONS_PREFIX,
  SUSPECTS_PREFIX,
} from './keys.ts';
import { OBJECTS_KEY } from './layout.ts';
import type { Inputs } from './leader/inputs.ts';
import type { KeyInputs } from './leader/key_rotation.ts';
import type { AskKeyRing } from './member_keys_core.ts';
import {
  decodeCut,
  decodeKnownKeys,
  decodeRing,
  decodeSuspicion,
  type KnownKeys,
  type SuspicionRecord,
} from './member_layout.ts';
import {
  type Acknowledgement,
  type Candidate,
  candidateKey,
  type Registration,
  type Version,
} from './version.ts';
import { decodeGarbage, VersionDecoder } from './version_layout.ts';
import { readSnapshot } from './view.ts';

export type Head = {
  readonly version: Version | undefined;
  readonly modRevision: Revision;
  /** Digests of the blobs that it names. */
  readonly names: ReadonlySet<string>;
  readonly garbage: ReadonlyMap<string, number>;
};

const NO_RING = { ring: undefined, modRevision: 0 };

export class LeaderInputs {
  readonly #store: Pick<Store, 'get' | 'list' | 'watch'>;
  readonly #wake: (what: 'intent' | 'muxes') => void;
  readonly #onDamaged: (error: unknown) => void;
  readonly #last: () => Version | undefined;
  readonly #onHealth: (mux: string, entry: Entry | undefined) => void;
  #state: ClusterState = EMPTY_STATE;
  #objectsRevision: Revision = 0;
  #head: Head = { version: undefined, modRevision: 0, names: new Set(), garbage: new Map() };
  readonly #registrations = new Map<string, Registration>();
  readonly #registrationRevisions = new Map<string, Revision>();
  readonly #acknowledgements = new Map<string, Acknowledgement>();
  #ring: { readonly ring: AskKeyRing | undefined; readonly modRevision: Revision } = NO_RING;
  readonly #knownKeys = new Map<string, KnownKeys>();
  /** Leases, by candidate. */
  readonly #cutOff = new Map<string, number>();
  readonly #cutRevisions = new Map<string, Revision>();
  readonly #suspicions = new Map<string, Map<string, number>>();

  /** `last`: the version that this node has seen last. A store that has none has lost it, and it is what the next follows. */
  constructor(
    store: Pick<Store, 'get' | 'list' | 'watch'>,
    wake: (what: 'intent' | 'muxes') => void,
    onDamaged: (error: unknown) => void,
    last: () => Version | undefined = () => undefined,
    onHealth: (mux: string, entry: Entry | undefined) => void = () => {},
  ) {
    this.#store = store;
    this.#wake = wake;
    this.#onDamaged = onDamaged;
    this.#last = last;
    this.#onHealth = onHealth;
  }

  get head(): Head {
    return this.#head;
  }

  get intent(): { readonly state: ClusterState; readonly revision: Revision } {
    return { state: this.#state, revision: this.#objectsRevision };
  }

  registrationRevision(name: string): Revision {
    return this.#registrationRevisions.get(name) ?? 0;
  }

  cutRevision(candidate: Candidate): Revision {
    return this.#cutRevisions.get(candidateKey(candidate)) ?? 0;
  }

  /** Candidates that were cut off, and of whom this version has all that follows from it. */
  cutOffFrom({ members, gone }: Pick<Version, 'members' | 'gone'>): string[] {
    const unbound = gone.filter(({ aloneAt }) => aloneAt !== undefined);
    const stay = new Set([...members, ...unbound].map(candidateKey));
    return [...this.#cutOff.keys()].filter((it) => !stay.has(it));
  }

  /** Of the ring, for what follows from it. */
  get ringRevision(): Revision {
    return this.#ring.modRevision;
  }

  keys(): KeyInputs {
    return {
      ring: this.#ring.ring,
      known: this.#knownKeys,
      members: this.#head.version?.members ?? [],
      registrations: this.#registrations,
    };
  }

  inputs(freshCluster: string): Inputs {
    return {
      intent: this.intent,
      head: this.#head.version,
      registrations: this.#registrations,
      acknowledgements: this.#acknowledgements,
      suspicions: this.#suspicions,
      cutOff: this.#cutOff,
      freshCluster,
    };
  }

  /** Reads everything; then follows until `signal` is aborted. `ended` settles when that is over, with why. */
  async start(signal: AbortSignal): Promise<{ ended: Promise<void> }> {
    const { entries, revision } = await this.#store.list(MUX_PREFIX);
    for (const entry of entries) this.#heard(entry.key, entry);
    await this.readIntent();
    await this.readHead();
    const muxes = this.#followMuxes(revision + 1, signal);
    const objects = this.#followObjects(signal);
    return { ended: Promise.race([muxes, objects]) };
  }

  /** What is the head by now, whoever wrote it. */
  async readHead(): Promise<void> {
    const entry = await this.#store.get(HEAD_KEY);
    const garbage = decodeGarbage(await this.#store.get(GARBAGE_KEY));
    if (entry === undefined) {
      this.#head = { version: withoutRevision(this.#last()), modRevision: 0, names: new Set(), garbage };
      return;
    }
    const decoder = new VersionDecoder();
    const version = await decoder.decode(
      entry,
      async (digest) => (await this.#store.get(blobKey(digest)))?.value,
    );
    // Another leader goes on meanwhile; if not, the part is lost, and following it again says so.
    if (version === undefined) throw new Error('the head changed while it was read, or lacks a part');
    this.#head = { version, modRevision: entry.modRevision, names: new Set(decoder.names), garbage };
  }

  /** What this leader has published. */
  published(head: Head): void {
    this.#head = head;
  }

  /** What users want and what is observed, as it is by now, whoever wrote it. */
  async readIntent(): Promise<Revision> {
    const { state, objectsRevision } = await readSnapshot(this.#store, this.#state);
    this.#state = state;
    this.#objectsRevision = objectsRevision;
    return state.revision;
  }

  async #followObjects(signal: AbortSignal): Promise<void> {
    const from = this.#state.revision + 1;
    for await (const event of this.#store.watch(OBJECTS_KEY, from, signal)) {
      if (event.kind === 'compacted') return;
      // What was read already, together with a later change.
      if (event.revision <= this.#objectsRevision) continue;
      await this.readIntent();
      this.#wake('intent');
    }
  }

  async #followMuxes(from: Revision, signal: AbortSignal): Promise<void> {
    for await (const event of this.#store.watch(MUX_PREFIX, from, signal)) {
      if (event.kind === 'compacted') return;
      for (const change of event.changes) {
        if (change.kind === 'put') this.#heard(change.entry.key, change.entry);
        else this.#heard(change.key, undefined);
      }
      this.#wake('muxes');
    }
  }

  #heard(key: string, entry: Entry | undefined): void {
    try {
      if (key.startsWith(REGISTRATIONS_PREFIX)) {
        const name = key.slice(REGISTRATIONS_PREFIX.length);
        place(this.#registrationRevisions, name, entry?.modRevision);
        place(this.#registrations, name, entry && decodeRegistration(entry));
      } else if (key.startsWith(ACKS_PREFIX)) {
        const name = key.slice(ACKS_PREFIX.length);
        place(this.#acknowledgements, name, entry && decodeAcknowledgement(entry));
      } else if (key === ASK_KEYS_KEY) {
        this.#ring =
          entry === undefined ? NO_RING : { ring: decodeRing(entry), modRevision: entry.modRevision };
      } else if (key.startsWith(KNOWN_KEYS_PREFIX)) {
        place(this.#knownKeys, key.slice(KNOWN_KEYS_PREFIX.length), entry && decodeKnownKeys(entry));
      } else if (key.startsWith(CUTS_PREFIX)) {
        const candidate = key.slice(CUTS_PREFIX.length);
        place(this.#cutRevisions, candidate, entry?.modRevision);
        place(this.#cutOff, candidate, entry && decodeCut(entry).leaseMs);
      } else if (key.startsWith(HEALTH_PREFIX)) {
        this.#onHealth(key.slice(HEALTH_PREFIX.length), entry);
      } else if (key.startsWith(SUSPECTS_PREFIX)) {
        this.#suspects(key.slice(SUSPECTS_PREFIX.length), entry && decodeSuspicion(entry));
      }
    } catch (error) {
      // One mux that writes nonsense must not keep the others from being led; it is as silent.
      this.#onDamaged(error);
    }
  }

  #suspects(pair: string, suspicion: SuspicionRecord | undefined): void {
    const [observer = '', name = ''] = pair.split('/');
    const incarnations = new Map(this.#suspicions.get(observer));
    place(incarnations, name, suspicion?.incarnation);
    place(this.#suspicions, observer, incarnations.size > 0 ? incarnations : undefined);
  }
}

/** Revisions of the store that was are not those of this one: what it says now is another intent in any case. */
function withoutRevision(version: Version | undefined): Version | undefined {
  return version && { ...version, objects: { ...version.objects, revision: 0 } };
}

function place<T>(map: Map<string, T>, name: string, value: T | undefined): void {
  if (value === undefined) map.delete(name);
  else map.set(name, value);
}
