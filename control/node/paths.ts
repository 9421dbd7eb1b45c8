// Owns which backends' paths a mux follows, and judging them: known, still being resolved, or not there.
import type { BackendView } from '../api/schema.ts';
import type { ClusterState } from '../config/cluster_state.ts';
import { Failure, type FailureBody } from '../lib/failure.ts';
import type { NextHops, Path } from '../route/next_hop.ts';

/** A next hop that is not resolved for longer is a problem. */
const RESOLVE_PATIENCE_MS = 3_000;
/** Backends that a problem names. */
const NAMED_MAX = 5;

export class Paths {
  readonly #nextHops: NextHops;
  readonly #nowMs: () => number;
  #followed: ReadonlySet<string> = new Set();
  /** Since when an address has had no next hop. */
  readonly #missingSinceMs = new Map<string, number>();

  constructor(nextHops: NextHops, nowMs: () => number) {
    this.#nextHops = nextHops;
    this.#nowMs = nowMs;
  }

  /** Follows these addresses, and no others from now on. */
  follow(addresses: Iterable<string>): void {
    const wanted = new Set(addresses);
    for (const address of this.#followed) {
      if (wanted.has(address)) continue;
      this.#nextHops.forget(address);
      this.#missingSinceMs.delete(address);
    }
    for (const address of wanted) {
      if (!this.#followed.has(address)) this.#missingSinceMs.set(address, this.#nowMs());
      this.#nextHops.follow(address);
    }
    this.#followed = wanted;
  }

  changed(address: string, path: Path): void {
    if (path.nextHop !== undefined) this.#missingSinceMs.delete(address);
    else if (!this.#missingSinceMs.has(address)) this.#missingSinceMs.set(address, this.#nowMs());
  }

  path(address: string): Path | undefined {
    return this.#nextHops.path(address);
  }

  stateOf(address: string): NonNullable<BackendView['path']>['state'] {
    const path = this.path(address);
    if (path?.nextHop !== undefined) return 'known';
    return path?.mtuBytes === undefined ? 'unreachable' : 'resolving';
  }

  /** Backends that new flows are sent to though no next hop is known to them. */
  problem(state: ClusterState): FailureBody | undefined {
    const missing = [...state.backends.values()].filter(
      ({ address, weight }) =>
        weight > 0 &&
        this.stateOf(address) !== 'known' &&
        this.#nowMs() - (this.#missingSinceMs.get(address) ?? this.#nowMs()) > RESOLVE_PATIENCE_MS,
    );
    if (missing.length === 0) return undefined;
    const names = missing
      .slice(0, NAMED_MAX)
      .map(({ pool, name, address }) => `${pool}/${name} (${address}, ${this.#reason(address)})`);
    const more = missing.length > NAMED_MAX ? ` and ${missing.length - NAMED_MAX} more` : '';
    return new Failure(
      'unavailable',
      `no next hop is known to ${missing.length} backends that have a weight`,
      {
        reason: `${names.join(', ')}${more}`,
        remedy: 'see ip route get ADDRESS and ip neigh on this node, or drain them: holdfast backends drain',
      },
    ).body;
  }

  #reason(address: string): string {
    return this.stateOf(address) === 'resolving' ? 'the neighbour does not answer' : 'no route';
  }
}
