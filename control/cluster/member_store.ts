// Owns what a mux does in the store for its membership: its id and incarnations, its registration and lease, its
// acknowledgement and suspicions. When it does so is member_core.ts.
import { randomBytes } from 'node:crypto';
import { Failure } from '../lib/failure.ts';
import type { Entry, Lease, Operation, Revision, Store } from '../store/contract.ts';
import { decodeRegistration, encodeAcknowledgement, encodeRegistration } from './ack_layout.ts';
import {
  ASK_KEYS_KEY,
  ackKey,
  CLUSTER_TIME_KEY,
  cutKey,
  drainKey,
  HEAD_KEY,
  healthKey,
  knownKeysKey,
  MUX_IDS_PREFIX,
  muxIdKey,
  registrationKey,
  suspectKey,
} from './keys.ts';
import { nodeKey } from './layout.ts';
import { type AskKeyRing, firstRing, isSameLine, KEY_BYTES, rotate } from './member_keys_core.ts';
import {
  decodeIdentity,
  decodeRing,
  decodeTime,
  encodeCut,
  encodeIdentity,
  encodeKnownKeys,
  encodeRing,
  encodeSuspicion,
  encodeTime,
  type Identity,
} from './member_layout.ts';
import { anotherNode } from './registry.ts';
import {
  type Acknowledgement,
  type Candidate,
  candidateKey,
  type MemberRole,
  MUX_ID_MAX,
  type Registration,
  ROLE_IDS,
} from './version.ts';

/** Others who register at the same moment. */
const ATTEMPTS_MAX = 2 * MUX_ID_MAX;

export type StoreOutcome = 'done' | 'refused';
/** The head that a registration rests on. */
export type HeadName = { readonly number: number; readonly digest: string };

/** What a mux has of the cluster beside versions, for a store that has lost it. */
export type Belongings = {
  readonly self: Candidate;
  readonly ring: AskKeyRing;
  readonly isDrained: boolean;
  /** The cluster's time. */
  readonly ticks: number;
};

export class MemberStore {
  readonly #store: Store;
  readonly #name: string;
  readonly #role: MemberRole;
  #lease: Lease | undefined;
  /** What its health checks found, for as long as it is registered. */
  #health: string | undefined;
  /**
   * Under the lease, whom this mux has written that it does not hear: incarnations by name. Undefined: it may be there,
   * or not, for the store has not answered.
   */
  #suspects = new Map<string, number | undefined>();

  constructor(store: Store, name: string, role: MemberRole = 'mux') {
    this.#store = store;
    this.#name = name;
    this.#role = role;
  }

  /** The id that this name has for good; where it has none yet, `former` or, if that is not free, the lowest that is. */
  async claimId(former = 0): Promise<{ id: number; incarnation: number }> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { entries } = await this.#store.list(MUX_IDS_PREFIX);
      const taken = new Map(
        entries.map((entry) => [Number(entry.key.slice(MUX_IDS_PREFIX.length)), decodeIdentity(entry)]),
      );
      const { from, to } = ROLE_IDS[this.#role];
      const ids = Array.from({ length: to - from + 1 }, (_, index) => from + index);
      const own = ids.find((id) => taken.get(id)?.name === this.#name);
      if (own !== undefined) return { id: own, incarnation: taken.get(own)!.incarnation };
      const id = [former, ...ids].find((it) => ids.includes(it) && !taken.has(it));
      if (id === undefined) {
        throw new Failure(
          'limit',
          `the cluster has ${ids.length} ${this.#role === 'mux' ? 'muxes' : 'filter nodes'} already, counting those that are away`,
          {
            remedy: 'remove those that will not return: holdfast nodes remove NAME',
          },
        );
      }
      const key = muxIdKey(id);
      const value = encodeIdentity({ name: this.#name, incarnation: 0 });
      await this.#store.txn([{ key, modRevision: 0 }], [{ put: key, value }]);
    }
    throw new Failure('unavailable', 'no id could be had in the cluster: others took each first');
  }

  /** Takes an incarnation higher than any that the id has had, and than `atLeast`. */
  async takeIncarnation(id: number, atLeast: number): Promise<number> {
    const key = muxIdKey(id);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const entry = await this.#store.get(key);
      const known = this.#ownIdentity(id, entry).incarnation;
      const incarnation = Math.max(known + 1, atLeast);
      const value = encodeIdentity({ name: this.#name, incarnation });
      const { succeeded } = await this.#store.txn(
        [{ key, modRevision: entry?.modRevision ?? 0 }],
        [{ put: key, value }],
      );
      if (succeeded) return incarnation;
    }
    throw new Failure(
      'unavailable',
      `the incarnation of mux ${id} could not be written: others write it all the time`,
    );
  }

  /** Under a new lease, and only while `head` is the head. */
  async register(registration: Registration, head: HeadName | undefined): Promise<StoreOutcome> {
    const key = registrationKey(this.#name);
    const idKey = muxIdKey(registration.id);
    const [headEntry, before, identity, { entries: suspicions }] = await Promise.all([
      this.#store.get(HEAD_KEY),
      this.#store.get(key),
      this.#store.get(idKey),
      // Of a daemon before this one.
      this.#store.list(suspectKey(this.#name, '')),
    ]);
    if (!isHead(headEntry, head)) return 'refused';
    this.#checkOnly(before, registration);
    // A store that has no version, as one that has lost them, may have lost the id as well.
    const isIdLost = headEntry === undefined && identity === undefined;
    if (!isIdLost) this.#ownIdentity(registration.id, identity);
    const own = encodeIdentity({ name: this.#name, incarnation: registration.incarnation });
    const lease = await this.#store.lease(registration.leaseMs);
    const { succeeded } = await this.#store.txn(
      [
        { key: HEAD_KEY, modRevision: headEntry?.modRevision ?? 0 },
        { key, modRevision: before?.modRevision ?? 0 },
        { key: idKey, modRevision: identity?.modRevision ?? 0 },
      ],
      [
        { put: key, value: encodeRegistration(registration), leaseId: lease.id },
        ...(isIdLost ? [{ put: idKey, value: own }] : []),
        ...suspicions.map((it) => ({ delete: it.key })),
        ...(this.#health === undefined
          ? []
          : [{ put: healthKey(this.#name), value: this.#health, leaseId: lease.id }]),
      ],
    );
    if (!succeeded) {
      await lease.revoke();
      return 'refused';
    }
    const former = this.#lease;
    this.#lease = lease;
    this.#suspects = new Map();
    // What was written under it, suspicions of another time, must not count with this registration.
    await former?.revoke().catch(() => undefined);
    return 'done';
  }

  /** Under the lease; without one, with the next. What is wrong with the store is thrown: tell it again. */
  async tellHealth(value: string | undefined): Promise<void> {
    this.#health = value;
    const leaseId = this.#lease?.id;
    const key = healthKey(this.#name);
    if (value === undefined) await this.#store.txn([], [{ delete: key }]);
    else if (leaseId !== undefined) await this.#store.txn([], [{ put: key, value, leaseId }]);
  }

  /** Refused where the lease has ended or somebody has taken the registration away. */
  async renew(registration: Registration): Promise<StoreOutcome> {
    const lease = this.#lease;
    if (lease === undefined || !(await lease.renew())) return 'refused';
    const key = registrationKey(this.#name);
    const entry = await this.#store.get(key);
    if (entry === undefined || entry.leaseId !== lease.id) return 'refused';
    const value = encodeRegistration(registration);
    if (entry.value === value) return 'done';
    const { succeeded } = await this.#store.txn(
      [{ key, modRevision: entry.modRevision }],
      [{ put: key, value, leaseId: lease.id }],
    );
    return succeeded ? 'done' : 'refused';
  }

  /** Ends the lease, and with it the registration and the suspicions. */
  async withdraw(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    await lease?.revoke();
  }

  /** The revision at which it was written. */
  async acknowledge(acknowledgement: Acknowledgement): Promise<Revision> {
    const key = ackKey(this.#name);
    const value = encodeAcknowledgement(acknowledgement);
    return (await this.#store.txn([], [{ put: key, value }])).revision;
  }

  /** Brings what is written to `wanted`: incarnations of those not heard, by name. */
  async suspect(wanted: ReadonlyMap<string, number>): Promise<void> {
    const leaseId = this.#lease?.id;
    if (leaseId === undefined) return;
    // Another registration begins with another map: what comes of this one is not of its lease.
    const written = this.#suspects;
    const puts = [...wanted].filter(([name, incarnation]) => written.get(name) !== incarnation);
    const deletes = [...written.keys()].filter((name) => !wanted.has(name));
    if (puts.length + deletes.length === 0) return;
    for (const name of [...puts.map(([it]) => it), ...deletes]) written.set(name, undefined);
    const operations: Operation[] = [
      ...puts.map(([name, incarnation]) => ({
        put: suspectKey(this.#name, name),
        value: encodeSuspicion({ incarnation }),
        leaseId,
      })),
      ...deletes.map((name) => ({ delete: suspectKey(this.#name, name) })),
    ];
    await this.#store.txn([], operations);
    for (const [name, incarnation] of puts) written.set(name, incarnation);
    for (const name of deletes) written.delete(name);
  }

  /** The keys of in-band headers; made by whoever comes first. */
  async ring(): Promise<AskKeyRing> {
    if ((await this.#store.get(ASK_KEYS_KEY)) === undefined) {
      const value = encodeRing(firstRing(freshKey(), Date.now()));
      await this.#store.txn([{ key: ASK_KEYS_KEY, modRevision: 0 }], [{ put: ASK_KEYS_KEY, value }]);
    }
    return decodeRing((await this.#store.get(ASK_KEYS_KEY))!);
  }

  async knowKeys(incarnation: number, step: number): Promise<void> {
    const key = knownKeysKey(this.#name);
    const value = encodeKnownKeys({ incarnation, step });
    if ((await this.#store.get(key))?.value !== value) await this.#store.txn([], [{ put: key, value }]);
  }

  /**
   * Puts into a store that has lost the cluster what only muxes know of it: who comes new is to find the ids that are
   * taken and the keys that are in use. What somebody made who came new before that gives way: no mux that forwards knows
   * of it. The id is last: from then on the mux believes the rest.
   */
  async putBack({ self, ring, isDrained, ticks }: Belongings): Promise<void> {
    await this.#putAbsent(CLUSTER_TIME_KEY, encodeTime(ticks));
    if (isDrained) await this.#putAbsent(drainKey(this.#name), '');
    const known = await this.#store.get(ASK_KEYS_KEY);
    if (known === undefined || !isSameLine(decodeRing(known), ring)) {
      const modRevision = known?.modRevision ?? 0;
      // Another mux may have put back the state before this one, or after: see isSameLine().
      await this.#store.txn(
        [{ key: ASK_KEYS_KEY, modRevision }],
        [{ put: ASK_KEYS_KEY, value: encodeRing(ring) }],
      );
    }
    await this.knowKeys(self.incarnation, ring.step);
    const value = encodeIdentity({ name: this.#name, incarnation: self.incarnation });
    await this.#store.txn([], [{ put: muxIdKey(self.id), value }]);
  }

  async #putAbsent(key: string, value: string): Promise<void> {
    await this.#store.txn([{ key, modRevision: 0 }], [{ put: key, value }]);
  }

  /** Some moment of the cluster's time, before now; undefined: it has none yet. */
  async clusterTime(): Promise<number | undefined> {
    const entry = await this.#store.get(CLUSTER_TIME_KEY);
    return entry === undefined ? undefined : decodeTime(entry);
  }

  async writeClusterTime(ticks: number): Promise<void> {
    await this.#store.txn([], [{ put: CLUSTER_TIME_KEY, value: encodeTime(ticks) }]);
  }

  /** One that a node was given while this one was forgotten is not taken back from it. */
  #ownIdentity(id: number, entry: Entry | undefined): Identity {
    const identity = entry === undefined ? undefined : decodeIdentity(entry);
    if (identity?.name === this.#name) return identity;
    throw new Failure('conflict', `id ${id} is not that of ${this.#name} any more`, {
      reason: identity === undefined ? 'the node was removed' : `it is that of ${identity.name}`,
      remedy: 'restart holdfastd here: it takes another',
    });
  }

  /** They may have begun at the same moment: see checkOnlyNode(). */
  #checkOnly(before: Entry | undefined, { address }: Registration): void {
    if (before === undefined) return;
    const other = decodeRegistration(before);
    if (other.address !== address) throw anotherNode(this.#name, other.address, address);
  }
}

/** A secret for headers, base64. */
export function freshKey(): string {
  return randomBytes(KEY_BYTES).toString('base64');
}

/**
 * Has everybody learn another key; the leader does the rest. @throws Failure `conflict` while a change of keys is under
 * way, `unavailable` where no mux has made any yet.
 */
export async function rotateKeys(store: Pick<Store, 'get' | 'txn'>, nowMs: number): Promise<AskKeyRing> {
  const entry = await store.get(ASK_KEYS_KEY);
  if (entry === undefined) {
    throw new Failure('unavailable', 'there is no key yet', {
      remedy: 'the first mux that starts makes one',
    });
  }
  const next = rotate(decodeRing(entry), freshKey(), nowMs);
  const { succeeded } =
    next === undefined
      ? { succeeded: false }
      : await store.txn(
          [{ key: ASK_KEYS_KEY, modRevision: entry.modRevision }],
          [{ put: ASK_KEYS_KEY, value: encodeRing(next) }],
        );
  if (succeeded) return next!;
  throw new Failure('conflict', 'the key is being changed already', {
    reason: 'One change of keys at a time, so that no mux ever signs with a key that another does not know.',
    remedy: 'wait some seconds; holdfast doctor says who has not come along',
  });
}

/** A head is small JSON that begins with what names it. */
function isHead(entry: Entry | undefined, head: HeadName | undefined): boolean {
  if (entry === undefined || head === undefined) return entry === undefined && head === undefined;
  const { number, digest } = JSON.parse(entry.value) as Partial<HeadName>;
  return number === head.number && digest === head.digest;
}

/** Has a node hand over what it keeps and leave the muxes; `undo`: it may come back. */
export async function drainNode(
  store: Pick<Store, 'get' | 'txn'>,
  name: string,
  undo: boolean,
): Promise<void> {
  const key = drainKey(name);
  const isDrained = (await store.get(key)) !== undefined;
  if (isDrained === !undo) return;
  await store.txn([], [undo ? { delete: key } : { put: key, value: '' }]);
}

/**
 * Forgets a node that will not return: its name and its id may be another's. Its daemon must not run. `force`: it may hold
 * a lease still. To the leader it looks then as if that had ended, though its program may decide until it has: so the
 * leader is told in the same transaction; and of `isOff`, a mux that may have no deadline, that nobody is to wait for it.
 */
export async function removeNode(
  store: Pick<Store, 'get' | 'list' | 'txn'>,
  name: string,
  {
    force = false,
    isOff,
  }: { force?: boolean; isOff?: (Candidate & Pick<Registration, 'leaseMs'>) | undefined } = {},
): Promise<void> {
  const alive = await store.get(registrationKey(name));
  if (alive !== undefined && !force) {
    throw new Failure('in_use', `${name} is alive`, {
      reason: 'its daemon renews its lease',
      remedy: `drain it and stop its daemon first: holdfast nodes drain ${name}`,
    });
  }
  const { entries } = await store.list(MUX_IDS_PREFIX);
  const ids = entries.filter((entry) => decodeIdentity(entry).name === name).map(({ key }) => key);
  const keys = [...ids, ackKey(name), drainKey(name), knownKeysKey(name), healthKey(name), nodeKey(name)];
  const { succeeded } = await store.txn(
    [{ key: registrationKey(name), modRevision: alive?.modRevision ?? 0 }],
    [
      ...keys.map((key) => ({ delete: key })),
      ...(alive === undefined ? [] : [{ delete: alive.key }]),
      ...cutOff(alive === undefined ? isOff : decodeRegistration(alive)),
    ],
  );
  if (!succeeded)
    throw new Failure('in_use', `${name} has just come back or registered anew`, { remedy: 'try again' });
}

function cutOff(mux: (Candidate & Pick<Registration, 'leaseMs'>) | undefined): Operation[] {
  return mux === undefined
    ? []
    : [{ put: cutKey(candidateKey(mux)), value: encodeCut({ leaseMs: mux.leaseMs }) }];
}
