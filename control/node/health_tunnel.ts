// Owns putting together the tunnel of a mux's health checks: the way into it, made when a pool first wants it and again
// where it is lost, and the addresses at both ends.
import type { ClusterState } from '../config/cluster_state.ts';
import type { Sources } from '../health/encapsulation_core.ts';
import { Tunnel, type TunnelWay } from '../health/tunnel.ts';
import type { Failure } from '../lib/failure.ts';
import type { Problems } from './problems.ts';

const RETRY_MS = 5_000;

export type Way = TunnelWay & { close(): void };

export type HealthTunnelOptions = {
  readonly ports: { readonly from: number; readonly to: number };
  readonly addresses: Sources;
  readonly sources: Sources;
  /** @throws Failure where this host has none. */
  readonly makeWay: (on: { packet: (packet: Uint8Array) => void; gone: (error: Failure) => void }) => Way;
  readonly problems: Pick<Problems, 'arise' | 'solve'>;
};

export class HealthTunnel extends Tunnel {
  readonly #options: HealthTunnelOptions;
  #way: Way | undefined;
  #triedAtMs = -Infinity;

  constructor(options: HealthTunnelOptions) {
    super({ ...options, way: () => this.#way, nowMs: () => performance.now() });
    this.#options = options;
  }

  /** Nothing of the host is touched before a pool is checked through the tunnel. */
  want({ pools }: Pick<ClusterState, 'pools'>): void {
    const isWanted = [...pools.values()].some(({ health }) => health?.via === 'tunnel');
    if (!isWanted) {
      this.#way?.close();
      this.#way = undefined;
      this.#options.problems.solve('health tunnel');
    } else if (this.#way === undefined) this.#make();
  }

  override open(...question: Parameters<Tunnel['open']>): ReturnType<Tunnel['open']> {
    if (this.#way === undefined && performance.now() - this.#triedAtMs > RETRY_MS) this.#make();
    return super.open(...question);
  }

  close(): void {
    this.#way?.close();
    this.#way = undefined;
  }

  #make(): void {
    const { makeWay, problems } = this.#options;
    this.#triedAtMs = performance.now();
    try {
      this.#way = makeWay({
        packet: (packet) => this.take(packet),
        gone: (error) => {
          this.close();
          problems.arise('health tunnel', error);
        },
      });
      problems.solve('health tunnel');
    } catch (error) {
      problems.arise('health tunnel', error);
    }
  }
}
