// Owns adding up what the programs of a node have counted.
import type { Stats, Traffic } from '../api/schema.ts';
import type { ClusterState } from '../config/cluster_state.ts';
import { formatAddress, parseAddress } from '../lib/address.ts';

/** What the mux counted for one service address, and for one backend index. */
export type MuxTraffic = {
  readonly services: readonly {
    readonly address: string;
    readonly protocol?: 'tcp' | 'udp' | undefined;
    readonly port?: number | undefined;
    readonly traffic: Traffic;
  }[];
  readonly backends: ReadonlyMap<number, Traffic>;
  readonly flowEvents: Readonly<Record<string, bigint>>;
  readonly muxes: Stats['muxes'];
};

const NO_TRAFFIC: Traffic = { packets: 0, bytes: 0, newFlows: 0 };

export function sumStats(
  atMs: number,
  reasonsOfRoles: readonly Readonly<Record<string, bigint>>[],
  state: ClusterState,
  traffic: MuxTraffic | undefined,
): Stats {
  const reasons: Record<string, number> = {};
  const packets: Record<string, number> = {};
  for (const counts of reasonsOfRoles) {
    for (const [reason, count] of Object.entries(counts)) {
      reasons[reason] = (reasons[reason] ?? 0) + Number(count);
      const verdict = reason.split('_', 1)[0]!;
      packets[verdict] = (packets[verdict] ?? 0) + Number(count);
    }
  }
  return {
    atMs,
    packets,
    reasons,
    services: traffic === undefined ? [] : servicesOf(state, traffic),
    backends:
      traffic === undefined
        ? []
        : [...state.backends.values()].map(({ pool, name, index }) => ({
            pool,
            name,
            ...(traffic.backends.get(index) ?? NO_TRAFFIC),
          })),
    flowEvents: Object.fromEntries(
      Object.entries(traffic?.flowEvents ?? {}).map(([event, count]) => [event, Number(count)]),
    ),
    muxes: traffic?.muxes ?? [],
  };
}

function servicesOf(state: ClusterState, traffic: MuxTraffic): Stats['services'] {
  const byKey = new Map(traffic.services.map((it) => [keyOf(it.address, it.protocol, it.port), it.traffic]));
  return [...state.services.values()].map(({ name, addresses, protocol, port }) => ({
    name,
    ...addresses
      .map((address) => byKey.get(keyOf(address, protocol, port)) ?? NO_TRAFFIC)
      .reduce(
        (sum, each) => ({
          packets: sum.packets + each.packets,
          bytes: sum.bytes + each.bytes,
          newFlows: sum.newFlows + each.newFlows,
        }),
        NO_TRAFFIC,
      ),
  }));
}

function keyOf(address: string, protocol: string | undefined, port: number | undefined): string {
  return `${formatAddress(parseAddress(address))} ${protocol ?? ''} ${port ?? ''}`;
}
