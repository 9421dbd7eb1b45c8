// Owns the control of muxes that only get tables: a change is computed once, and each mux has it a little later.
import type { ClusterState } from '../../../control/config/cluster_state.ts';
import { planEdits } from '../../../control/pool/edits.ts';
import { type Action, type HostEdit, ROUTER_NOTICES_NS } from '../../sim/protocol/actions.ts';
import { editsOf } from '../../sim/protocol/edits.ts';
import { mix, unitOf } from '../../sim/protocol/mix.ts';
import { firstState, HOSTS, IDLE_MS, MS, POOL_NAMES } from '../../sim/protocol/place.ts';
import type { World } from '../../sim/protocol/world.ts';
import type { Assignment, Policy } from './policies.ts';

/** Within which all muxes have a change. */
const LAG_NS = 200 * MS;

export class PlainDirector {
  readonly #world: World;
  readonly #policy: Policy;
  #state: ClusterState;
  #changes = 0;
  readonly #muxes = new Set<number>();

  constructor(world: World, policy: Policy, muxes: number, hosts: readonly number[]) {
    this.#world = world;
    this.#policy = policy;
    this.#state = firstState(hosts, IDLE_MS);
    for (let mux = 0; mux < muxes; mux++) this.#join(mux);
  }

  perform(action: Action): void {
    switch (action.kind) {
      case 'edit':
        this.#edit(action.edits);
        return;
      case 'reshuffle':
        this.#world.reshuffle(action.salt);
        return;
      case 'crash':
        this.#muxes.delete(action.mux);
        this.#world.takeDown(action.mux);
        this.#world.agenda.after(ROUTER_NOTICES_NS, () => this.#world.withdraw(action.mux));
        return;
      case 'join':
        this.#join(action.mux);
        return;
      default:
        throw new Error(`a plain director cannot ${action.kind}`);
    }
  }

  #join(mux: number): void {
    this.#muxes.add(mux);
    this.#policy.reset(mux, assignmentOf(this.#state));
    this.#world.restore(mux);
    this.#world.announce(mux);
  }

  #edit(edits: readonly HostEdit[]): void {
    this.#state = {
      ...planEdits(this.#state, editsOf(this.#state, edits), { force: true }).after,
      revision: this.#state.revision + 1,
    };
    const assignment = assignmentOf(this.#state);
    const change = ++this.#changes;
    for (const mux of this.#muxes) {
      const lagNs = unitOf(mix(this.#world.seed, mix(change, mux))) * LAG_NS;
      this.#world.agenda.after(lagNs, () => this.#policy.apply(mux, assignment));
    }
  }
}

function assignmentOf(state: ClusterState): Assignment {
  const hostOf = new Map(
    [...state.backends.values()].map((it) => [it.index, HOSTS.findIndex(({ name }) => name === it.name)]),
  );
  const of = (pool: string) => {
    const slots = Int8Array.from(state.tables.get(pool)!.slots, (index) => hostOf.get(index) ?? -1);
    return { hosts: [...new Set(slots)].filter((host) => host >= 0).sort((a, b) => a - b), slots };
  };
  return Object.fromEntries(POOL_NAMES.map((pool) => [pool, of(pool)])) as unknown as Assignment;
}
