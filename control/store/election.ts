// Owns leadership on top of entries, leases and watches, for every store: one entry a name, put by whoever finds none,
// under a lease that the leader renews. Its createRevision is the epoch.
import { Failure } from '../lib/failure.ts';
import { checkKey, checkTtl } from './check.ts';
import type { Leadership, Lease, Revision, Store } from './contract.ts';

/** Keys of elections; the name follows. */
export const ELECTION_PREFIX = 'elections/';

/** Of the time to live: between renewals, and after one that failed. */
const RENEW_SHARE = 1 / 3;
const RETRY_SHARE = 1 / 10;
/** The leader gives up this share of the time to live before the store can give the lease up: timers come late. */
const MARGIN_SHARE = 1 / 10;

export type CampaignOptions = {
  ttlMs: number;
  signal?: AbortSignal;
  /** Aborted when the store is closed: leaderships are lost. */
  closed: AbortSignal;
  /** Only counts, and is never set. */
  nowMs(): number;
};

type ElectionStore = Pick<Store, 'get' | 'txn' | 'watch' | 'lease'>;

export async function campaign(
  store: ElectionStore,
  name: string,
  value: string,
  options: CampaignOptions,
): Promise<Leadership> {
  const key = keyOf(name);
  checkTtl(options.ttlMs);
  for (;;) {
    options.signal?.throwIfAborted();
    const found = await store.get(key);
    if (found === undefined) {
      const won = await stand(store, key, value, options);
      if (won !== undefined) return won;
    } else {
      await vacancy(store, key, found.modRevision + 1, options.signal);
    }
  }
}

export async function leader(
  store: ElectionStore,
  name: string,
): Promise<{ value: string; epoch: Revision } | undefined> {
  const entry = await store.get(keyOf(name));
  return entry === undefined ? undefined : { value: entry.value, epoch: entry.createRevision };
}

function keyOf(name: string): string {
  if (name === '') throw new Failure('invalid', 'an election has no name');
  const key = ELECTION_PREFIX + name;
  checkKey(key);
  return key;
}

async function stand(
  store: ElectionStore,
  key: string,
  value: string,
  options: CampaignOptions,
): Promise<Leadership | undefined> {
  const sentMs = options.nowMs();
  const lease = await store.lease(options.ttlMs);
  try {
    const { succeeded, revision } = await store.txn(
      [{ key, modRevision: 0 }],
      [{ put: key, value, leaseId: lease.id }],
    );
    if (succeeded && !options.signal?.aborted) {
      return new HeldLeadership(store, key, revision, lease, sentMs, options);
    }
  } catch (error) {
    // Whether the entry is there is not known; without the lease it is not.
    await lease.revoke().catch(() => undefined);
    throw error;
  }
  await lease.revoke();
  return undefined;
}

/** Until the entry is gone, or what happened to it is forgotten. */
async function vacancy(
  store: ElectionStore,
  key: string,
  from: Revision,
  signal?: AbortSignal,
): Promise<void> {
  for await (const event of store.watch(key, from, signal)) {
    if (event.kind === 'compacted') return;
    // The prefix has other keys that begin like this one.
    if (event.changes.some((change) => change.kind === 'delete' && change.key === key)) return;
  }
}

class HeldLeadership implements Leadership {
  readonly epoch: Revision;
  readonly comparison: { key: string; modRevision: Revision };
  readonly #store: ElectionStore;
  readonly #lease: Lease;
  readonly #options: CampaignOptions;
  readonly #lost = new AbortController();
  #renewal: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;

  constructor(
    store: ElectionStore,
    key: string,
    epoch: Revision,
    lease: Lease,
    sentMs: number,
    options: CampaignOptions,
  ) {
    this.epoch = epoch;
    this.comparison = { key, modRevision: epoch };
    this.#store = store;
    this.#lease = lease;
    this.#options = options;
    if (options.closed.aborted) this.#lose('the store is closed');
    options.closed.addEventListener('abort', this.#onClosed, { once: true });
    this.#holdFrom(sentMs);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async resign(): Promise<void> {
    // First: whoever acts on it stops before the next leader starts.
    this.#lose('it was resigned');
    await this.#lease.revoke();
  }

  readonly #onClosed = (): void => this.#lose('the store is closed');

  /** The store counts the time to live from when it executes the renewal, so never before it was sent. */
  #holdFrom(sentMs: number): void {
    if (this.#lost.signal.aborted) return;
    const { nowMs } = this.#options;
    const { ttlMs } = this.#lease;
    const leftMs = (shareOfTtl: number) => Math.max(0, sentMs + ttlMs * shareOfTtl - nowMs());
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#lose('its lease ran out'), leftMs(1 - MARGIN_SHARE));
    this.#renewAfter(leftMs(RENEW_SHARE));
  }

  #renewAfter(pauseMs: number): void {
    if (this.#lost.signal.aborted) return;
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(() => void this.#renew(), pauseMs);
  }

  async #renew(): Promise<void> {
    const sentMs = this.#options.nowMs();
    try {
      const alive = await this.#lease.renew();
      if (!alive) return this.#lose('its lease has ended');
      const entry = await this.#store.get(this.comparison.key);
      if (entry?.modRevision !== this.epoch) return this.#lose('its entry was changed by somebody else');
      this.#holdFrom(sentMs);
    } catch {
      // Until the deadline, which runs on.
      this.#renewAfter(this.#lease.ttlMs * RETRY_SHARE);
    }
  }

  #lose(why: string): void {
    if (this.#lost.signal.aborted) return;
    clearTimeout(this.#renewal);
    clearTimeout(this.#deadline);
    this.#options.closed.removeEventListener('abort', this.#onClosed);
    this.#lost.abort(
      new Failure('conflict', `the leadership of ${this.comparison.key} is lost`, { reason: why }),
    );
  }
}
