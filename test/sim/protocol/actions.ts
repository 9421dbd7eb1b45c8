// Owns what may happen in a history besides traffic, as data. Carrying it out is the directors': director.ts for the
// protocol, test/bench/lib/plain.ts for muxes that only get tables.
import type { PoolName } from './place.ts';

export type HostEdit = {
  readonly host: number;
  /** 0: drained; absent: not in the pool any more. */
  readonly weight?: number;
  /** Absent: all pools. */
  readonly pool?: PoolName;
};

export type Action = { readonly atNs: number } & (
  | { readonly kind: 'edit'; readonly edits: readonly HostEdit[] }
  /** The router hashes anew. */
  | { readonly kind: 'reshuffle'; readonly salt: number }
  /** Gone with its tables; the router notices a little later. */
  | { readonly kind: 'crash'; readonly mux: number }
  /** A mux that was not there, or had crashed, with empty tables. */
  | { readonly kind: 'join'; readonly mux: number }
  /** A crash, and back with empty tables before anybody may have noticed. */
  | { readonly kind: 'reboot'; readonly mux: number; readonly forNs: number }
  /** The daemon alone is gone for a while. */
  | { readonly kind: 'restart'; readonly mux: number; readonly forNs: number }
  /** An operator drains the mux: it hands over and goes. `victim`: crashes once that one has handed over. */
  | { readonly kind: 'leave'; readonly mux: number; readonly victim?: number; readonly afterNs?: number }
  /** Nobody leads for a while, then another process. */
  | { readonly kind: 'newLeader'; readonly forNs: number }
  /** Nobody reaches the store for a while. */
  | { readonly kind: 'storeAway'; readonly forNs: number }
  /** A machine that is paused: no packet and no daemon moves. */
  | { readonly kind: 'hang'; readonly mux: number; readonly forNs: number }
  /** Other muxes do not hear it, nor it them; clients, hosts and the store do. */
  | { readonly kind: 'partition'; readonly mux: number; readonly forNs: number }
  /** Packets of flows that nobody has, from everywhere. */
  | {
      readonly kind: 'flood';
      readonly packets: 'syn' | 'data';
      readonly perSecond: number;
      readonly forNs: number;
    }
  /** A new key for headers between muxes; not while another change of keys is under way. */
  | { readonly kind: 'rotateKeys' }
  /** A server dies, is given up at once, and returns later as another generation of itself. */
  | { readonly kind: 'hostDies'; readonly host: number; readonly forNs: number }
);

/** Until a router notices that a mux is dead. */
export const ROUTER_NOTICES_NS = 300_000_000;
