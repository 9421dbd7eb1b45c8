// Owns waiting for what a lab's cluster says in its store, beside its daemons: objects, versions, and what muxes told of
// themselves. Whoever waits is told by the store, and learns when it became so.
import { join } from 'node:path';
import { type Muxes, MuxesView } from '../../control/cluster/member_view.ts';
import type { Version } from '../../control/cluster/version.ts';
import { VersionView } from '../../control/cluster/version_view.ts';
import { ClusterView } from '../../control/cluster/view.ts';
import type { StoredBackend } from '../../control/config/cluster_state.ts';
import { hostClock } from '../../control/io/host_clock.ts';
import type { Store } from '../../control/store/contract.ts';
import { openStore } from '../../control/store/open.ts';
import { POOL } from './configuration.ts';
import type { LabBackend } from './lab.ts';
import { labDirectory } from './state.ts';

/** Hold, window and cleaning of a change, on a host that does much else. */
const LIMIT_MS = 40_000;

export class ClusterWatch {
  readonly #store: Store;
  readonly #cluster: ClusterView;
  readonly #versions: VersionView;
  readonly #muxes: MuxesView;

  private constructor(store: Store) {
    this.#store = store;
    this.#cluster = new ClusterView(store);
    this.#versions = new VersionView(store);
    this.#muxes = new MuxesView(store, () => undefined);
  }

  /** Of a lab whose daemons share a file. */
  static async open(labName: string): Promise<ClusterWatch> {
    const path = join(labDirectory(labName), 'store.db');
    const watch = new ClusterWatch(await openStore(`sqlite=${path}`, { clock: hostClock() }));
    await Promise.all([watch.#cluster.start(), watch.#versions.start(), watch.#muxes.start()]);
    return watch;
  }

  async close(): Promise<void> {
    await Promise.all([this.#cluster.close(), this.#versions.close(), this.#muxes.close()]);
    await this.#store.close();
  }

  get head(): Version {
    return this.#versions.head!;
  }

  get said(): Muxes {
    return this.#muxes.muxes;
  }

  stored({ node }: LabBackend): StoredBackend {
    return this.#cluster.state.backends.get(`${POOL}/${node.name}`)!;
  }

  /** Resolves with when it became so: told by the store, not asked. */
  becomes(what: string, holds: () => boolean): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const timer = setTimeout(() => reject(new Error(`not within ${LIMIT_MS} ms: ${what}`)), LIMIT_MS);
    const look = () => {
      if (holds()) resolve(performance.now());
    };
    const ends = [this.#cluster, this.#versions, this.#muxes].map((it) => it.onChange(look));
    look();
    return promise.finally(() => {
      clearTimeout(timer);
      for (const end of ends) end();
    });
  }

  /** Every member has the head in effect. */
  isInEffect(): boolean {
    const { number, members } = this.head;
    return members.every(({ name }) => this.said.acknowledgements.get(name)?.version === number);
  }

  /** Nothing is open. */
  isSettled(): boolean {
    return [...this.head.placements.values()].every(({ periods }) => periods.length === 0);
  }

  /** Some slot of the head sends new flows to the backend of this index. */
  isNamed(index: number): boolean {
    return [...this.head.placements.values()].some(({ current }) => current.includes(index));
  }

  /** No slot of the head sends new flows there, and every member has the head in effect. */
  takesNoNewFlows(index: number): boolean {
    return !this.isNamed(index) && this.isInEffect();
  }

  /** How many backends each mux finds alive, by mux. */
  foundUp(): number[] {
    return [...this.said.health.values()].map(
      ({ value }) => (JSON.parse(value) as { up: unknown[] }).up.length,
    );
  }
}
