// Owns what the API needs of the daemon for clients with affinity. control/node/affinity implements it.
import type { Affinities, AffinityExplanation, AffinityRelease } from './schema/affinity.ts';

export type AffinitySelection = {
  readonly service?: string | undefined;
  /** `pool/name` */
  readonly backend?: string | undefined;
  /** An address, which is looked up, or a prefix, which tables are searched for. */
  readonly client?: string | undefined;
};

/** Every method throws a Failure for what a user can do something about. `local`: no other node is asked. */
export interface AffinityPort {
  list(
    selection: AffinitySelection,
    options: { limit: number; after?: string; local: boolean },
  ): Promise<Affinities>;
  /** `client`: an address or, with subnet affinity, the prefix. `without`: a backend, `pool/name`, that is to leave. */
  explain(
    client: string,
    options: { service?: string | undefined; without?: string | undefined; local: boolean },
  ): Promise<AffinityExplanation>;
  /**
   * The client goes to its slots' current backends from now on. `force`: also where its open connections may break.
   * `peer`: the node that asks, which must be a mux of the cluster.
   */
  release(
    client: string,
    options: {
      service?: string | undefined;
      dryRun: boolean;
      force: boolean;
      local: boolean;
      peer?: string | undefined;
    },
  ): Promise<AffinityRelease>;
}
