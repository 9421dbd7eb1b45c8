// Owns what every role that has an XDP program gives to the node.
import type { Attachment, ExplainRequest } from '../api/schema.ts';
import type { ClusterState } from '../config/cluster_state.ts';
import type { PacketExplanation } from '../dataplane/explain.ts';
import type { FailureBody } from '../lib/failure.ts';

/** How the tables came to be: new, taken over from pins, or copied to a new layout. */
export type Origin = 'fresh' | 'adopted' | 'migrated';

export type XdpMode = 'auto' | 'native' | 'generic';

export interface ProgramRole {
  readonly role: 'mux' | 'backend' | 'filter';
  readonly origin: Origin;
  /** Brings the program to this state; the state before stays in place where it throws. */
  apply(state: ClusterState): Promise<void>;
  attach(interfaceName: string, mode: XdpMode): void;
  detach(interfaceName: string): void;
  attachments(): Attachment[];
  /** Packets by reason. */
  reasons(): Readonly<Record<string, bigint>>;
  /** What the program does with a packet; nothing is counted or remembered. */
  explain(request: ExplainRequest): PacketExplanation;
  /** What is wrong with it now. */
  problems(): FailureBody[];
  /** Lets go; what is attached and pinned goes on. */
  close(): Promise<void>;
}
