// Owns what the API needs of the daemon: its port. control/node implements it; tests of the API may bring their own.
import type { ClusterState, Edit, EditPlan } from '../config/cluster_state.ts';
import type {
  Attachment,
  BackendView,
  CaptureRequest,
  ExplainRequest,
  Explanation,
  Finding,
  NodeEvent,
  Stats,
  Status,
} from './schema.ts';

export type CapturedPacket = {
  /** Nanoseconds since the epoch: milliseconds in a number cannot tell packets of a fast link apart. */
  readonly atNs: bigint;
  readonly reason: string;
  readonly ifindex: number;
  /** Of the whole frame; `bytes` may be less. */
  readonly lengthBytes: number;
  readonly bytes: Uint8Array;
  /** Copies that found no room since the packet before this one, or the beginning. */
  readonly lost?: number;
};

/** Every method throws a Failure for what a user can do something about. */
export interface NodePort {
  /** The last state known of the store. */
  state(): ClusterState;
  /**
   * Plans the edits against the newest state and writes them in one transaction, again where another change came
   * first; returns once this node's program has them. `force` allows what stops traffic.
   */
  commit(
    edits: (state: ClusterState) => readonly Edit[],
    options: { dryRun: boolean; force: boolean },
  ): Promise<{ plan: EditPlan; revision: number }>;
  status(): Status;
  stats(): Stats;
  /** What became of a backend's path, and of traffic, on this node. */
  backendPath(index: number): BackendView['path'];
  explain(request: ExplainRequest): Promise<Explanation>;
  attach(options: { interface?: string; mode?: 'auto' | 'native' | 'generic' }): Promise<Attachment[]>;
  /** Takes programs and pins off; all interfaces where none is named. */
  detach(options: { interface?: string }): Promise<Attachment[]>;
  /**
   * Resolves once packets are being copied, so that what prevents it is an answer and not a broken stream. Ends with
   * the request's limits, or when `signal` is aborted. One at a time: `conflict` otherwise.
   */
  capture(request: CaptureRequest, signal: AbortSignal): Promise<AsyncIterable<readonly CapturedPacket[]>>;
  doctor(interfaceName?: string): Promise<readonly Finding[]>;
  /** From now on, until `signal` is aborted. Throws `limit` where they are not taken fast enough. */
  events(signal: AbortSignal): AsyncIterable<NodeEvent>;
}
