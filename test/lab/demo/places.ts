// Owns asking where flows go: one mux after the other explains one connection after the other, as all know the same.
import type { Lab } from '../lab.ts';
import type { Connection } from '../protocol.ts';

export type Place = { readonly slot: number /** POOL/NAME */; readonly backend: string | undefined };

export async function placesOf(lab: Lab, connections: readonly Connection[]): Promise<Place[]> {
  const places: Place[] = [];
  for (const [at, { source, sourcePort, destination, destinationPort }] of connections.entries()) {
    const { client } = lab.muxes[at % lab.muxes.length]!.daemon;
    const flow = { protocol: 'tcp', source, sourcePort, destination, destinationPort } as const;
    const { slot, backend, reason } = await client.explain({ flow });
    if (slot === undefined) throw new Error(`${source} port ${sourcePort} has no slot: ${reason}`);
    places.push({ slot, backend });
  }
  return places;
}
