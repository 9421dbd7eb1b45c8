// Owns the mux that benchmarks measure: one service, a pool of 65,537 slots, 100 backends with known next hops that
// lie behind the interface of arrival.
import type { BackendConfig } from '../../../control/dataplane/backend_table.ts';
import { hashKeyFromSecret } from '../../../control/dataplane/hash.ts';
import { MuxProgram } from '../../../control/dataplane/mux.ts';
import { SLOT_COUNT } from '../../../control/dataplane/mux_object.ts';
import { assignSlots } from '../../../control/pool/assignment.ts';

const BACKENDS = 100;
export const SERVICE_PORT = 80;

export type MuxSite = {
  readonly services: readonly string[];
  readonly protocol: 'tcp' | 'udp';
  readonly tunnel: { readonly version: 4 | 6; readonly gue: boolean };
  readonly muxMac: string;
  readonly nextHopMac: string;
};

export async function loadBenchMux({
  services,
  protocol,
  tunnel,
  muxMac,
  nextHopMac,
}: MuxSite): Promise<MuxProgram> {
  const mux = MuxProgram.load({
    hashKey: hashKeyFromSecret(new Uint8Array(32).fill(7)),
    tunnelSource4: { address: '198.18.100.0', prefixLength: 24 },
    tunnelSource6: { address: '2001:db8:100::', prefixLength: 112 },
    slotCapacity: SLOT_COUNT,
  });
  for (let index = 1; index <= BACKENDS; index++) {
    const config: BackendConfig = {
      address: tunnel.version === 6 ? `2001:db8:2::${index.toString(16)}` : `198.18.2.${index}`,
      encap: tunnel.gue ? 'gue' : 'ip',
      mtuBytes: 1500,
      nextHop: { ifindex: 0, destinationMac: nextHopMac, sourceMac: muxMac },
    };
    await mux.setBackend(index, config);
  }
  const weights = new Map(Array.from({ length: BACKENDS }, (_, index) => [index + 1, 1] as const));
  mux.setSlots(0, assignSlots(new Uint16Array(SLOT_COUNT), weights));
  for (const address of services) {
    await mux.setService({ address, protocol, port: SERVICE_PORT, slotBase: 0, slotCount: SLOT_COUNT });
  }
  return mux;
}
