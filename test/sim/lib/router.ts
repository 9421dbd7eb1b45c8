// Owns the router in front of the muxes: which of them gets a packet (ECMP). As bad as routers are: whenever the set
// changes, most flows go to another mux.
import { Random } from './random.ts';
import type { Packet } from './traffic.ts';

export class Router {
  readonly members = new Set<number>();
  salt = 0;
  readonly #fragmentsSpread: boolean;

  constructor(members: readonly number[], fragmentsSpread: boolean) {
    for (const mux of members) this.members.add(mux);
    this.#fragmentsSpread = fragmentsSpread;
  }

  /** Undefined where there is no mux. */
  choose(packet: Packet): number | undefined {
    if (this.members.size === 0) return undefined;
    const members = [...this.members].sort((a, b) => a - b);
    return members[new Random(this.salt, this.#hashed(packet)).word() % members.length];
  }

  /** What it hashes of a packet: ports only where every packet of the flow has them, unless it knows no better. */
  #hashed({ kind, flow, id }: Packet): string {
    if (flow === undefined) return id;
    const addresses = `${flow.source} ${flow.action.destination}`;
    const hasPorts = kind === 'whole' || (kind === 'firstFragment' && this.#fragmentsSpread);
    return hasPorts ? `${addresses} ${flow.action.protocol} ${flow.sourcePort}` : addresses;
  }
}
