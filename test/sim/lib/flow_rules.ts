// Owns what holds of flows whatever the muxes and the router do: muxes that agree on the configuration agree on every
// flow, a flow moves only with its slot, and stays with its server.
import type { ClusterState } from '../../../control/config/cluster_state.ts';
import { EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import type { Client } from './client.ts';
import type { Judgement } from './judgement.ts';
import { HOSTS, slotBaseOf } from './site.ts';
import type { Flow, Packet } from './traffic.ts';

/** All configurations of a history, by number; 0 is empty. */
export class Versions {
  readonly #states: ClusterState[];

  constructor(first: ClusterState) {
    this.#states = [EMPTY_STATE, { ...EMPTY_STATE, ...first }];
  }

  get newest(): ClusterState {
    return this.#states.at(-1)!;
  }

  get newestNumber(): number {
    return this.#states.length - 1;
  }

  state(number: number): ClusterState {
    return this.#states[number]!;
  }

  /** As the store does: with the next revision. */
  publish(after: ClusterState): void {
    this.#states.push({ ...after, revision: this.newest.revision + 1 });
  }

  /** Where a flow's slot leads; 0.0.0.0: nowhere. */
  addressOf({ pool, slot }: Flow, number: number): string {
    const state = this.state(number);
    const index = state.tables.get(pool)!.slots[slot - slotBaseOf(pool)];
    return [...state.backends.values()].find((it) => it.index === index)?.address ?? '0.0.0.0';
  }
}

type Decider = { readonly name: string; readonly version: number; readonly isApplying: boolean };
type Sighting = { readonly address: string; readonly from: number; readonly to: number };

export class FlowRules {
  readonly #versions: Versions;
  readonly #judgement: Judgement;
  /** By version and flow. */
  readonly #agreed = new Map<string, { address: string; mux: string }>();
  readonly #last = new Map<number, Sighting>();

  constructor(versions: Versions, judgement: Judgement) {
    this.#versions = versions;
    this.#judgement = judgement;
  }

  /** A mux has sent a packet that its flow's slot decides about. */
  forwarded({ flow, id }: Packet, mux: Decider, address: string): void {
    if (flow === undefined) return;
    const sighting = { address, from: mux.version, to: mux.version + (mux.isApplying ? 1 : 0) };
    if (!mux.isApplying) this.#agree(flow, mux, address);
    const last = this.#last.get(flow.action.id);
    this.#last.set(flow.action.id, sighting);
    if (last === undefined || last.address === address) return;
    const reached = new Set<string>();
    for (
      let number = Math.min(last.from, sighting.from);
      number <= Math.max(last.to, sighting.to);
      number++
    ) {
      reached.add(this.#versions.addressOf(flow, number));
    }
    if (reached.has(last.address) && reached.has(address)) return;
    const message = `${id} went to ${address}, its flow before to ${last.address}; slot ${flow.slot} led to ${[...reached].join(', ')}`;
    this.#judgement.report('moved', message, flow.action.id);
  }

  /** A packet has reached a server. */
  delivered({ flow, message, id }: Packet, host: number, client: Client): void {
    client.reached(host);
    if (message?.kind === 'syn' || client.server === undefined || client.server === host) return;
    const text = `${id} reached ${HOSTS[host]!.name}, and its flow is served by ${HOSTS[client.server]!.name}`;
    this.#judgement.report('misdirected', text, flow?.action.id);
  }

  #agree(flow: Flow, mux: Decider, address: string): void {
    const key = `${mux.version} ${flow.action.id}`;
    const first = this.#agreed.get(key);
    if (first === undefined) this.#agreed.set(key, { address, mux: mux.name });
    else if (first.address !== address) {
      const message = `flow ${flow.action.id}, version ${mux.version}: ${first.mux} sends it to ${first.address}, ${mux.name} to ${address}`;
      this.#judgement.report('disagreement', message, flow.action.id);
    }
  }
}
