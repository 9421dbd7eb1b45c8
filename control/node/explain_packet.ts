// Owns what an explanation says in words.
import type { ExplainRequest, Explanation } from '../api/schema.ts';
import type { ClusterState } from '../config/cluster_state.ts';
import type { MuxProgram } from '../dataplane/mux.ts';
import { Failure } from '../lib/failure.ts';

export async function explainPacket(
  _program: MuxProgram,
  _request: ExplainRequest,
  _state: ClusterState,
  _interfaceName: (ifindex: number) => string | undefined,
): Promise<Explanation> {
  throw new Failure('unsupported', 'not yet');
}
