// What rows of tracked slots have in common: what comes, what it says, and who else is there.
import { icmp4, ipv4, TCP_FLAG, tcp } from '../../lib/packets.ts';
import type { Flow } from '../../lib/reference.ts';
import { CHAIN, CURRENT, EPOCH, OTHER, type ServiceName, STATES } from '../../lib/tracked_case.ts';
import {
  type Chain,
  CLIENT,
  GENERATION,
  hashOf,
  SELF,
  SERVICE,
  type TrackedMux,
} from '../../lib/tracked_mux.ts';

export const answer = (backend: number) => ({ backend, generation: GENERATION });

export const asked = (header: object = {}) => ({ operation: 'ask' as const, by: CHAIN.owner, header });

export const recorded = (header: object = {}, by: (typeof CHAIN)[keyof typeof CHAIN] = CHAIN.backup) => ({
  operation: 'record' as const,
  by,
  from: 1,
  header: { ...answer(CURRENT), ...header },
});

export const answered = (header: object = {}) => ({
  operation: 'answer' as const,
  by: CHAIN.others,
  asker: SELF,
  from: 3,
  header: { ...answer(OTHER), ...header },
});

/** What leaves where the owner has decided: for its backup. */
export const recordTo = (mux: number, backend: number, by: Chain = CHAIN.owner) => ({
  mux,
  operation: 'record' as const,
  by,
  header: answer(backend),
});

/** What leaves for home. */
export const home = (backend: number, by: Chain = CHAIN.owner, header: object = {}) => ({
  mux: 4,
  operation: 'answer' as const,
  by,
  header: { ...answer(backend), ...header },
});

/** Entries of other flows in the flow's bucket. */
export function crowd(count: number, state: keyof typeof STATES, service: ServiceName = 'tcp') {
  return (mux: TrackedMux, flow: Flow): void => {
    const hash = hashOf(service, flow);
    for (let i = 1; i <= count; i++)
      mux.putEntry(hash ^ (BigInt(i) << 40n), { backend: OTHER, track_epoch: EPOCH, state: STATES[state] });
  };
}

/** QUIC long header of `version` and packet type, with a connection ID that names no server. */
export function longHeader(version: number, type: number): Uint8Array {
  const bytes = new Uint8Array(40);
  bytes[0] = 0xc0 | (type << 4);
  new DataView(bytes.buffer).setUint32(1, version);
  bytes[5] = 8;
  bytes[6] = 0xe0;
  return bytes;
}

/** About a segment that our backend sent to the client. */
export function fragmentationNeeded(flow: Flow) {
  const quoted = ipv4(
    { source: SERVICE, destination: CLIENT },
    tcp({ sourcePort: flow.destinationPort, destinationPort: flow.sourcePort, flags: TCP_FLAG.ack }),
  );
  const error = icmp4({ type: 3, code: 4, rest: 1300, data: quoted.bytes.subarray(0, 28) });
  return ipv4({ source: '198.51.100.1', destination: SERVICE }, error);
}
