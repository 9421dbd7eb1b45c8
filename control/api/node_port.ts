// Owns what the API needs of the daemon: its port. control/node implements it; tests of the API may bring their own.
import type { ClusterState, Edit, EditPlan, StoredBackend } from '../config/cluster_state.ts';
import type { FlowName } from '../lib/flow_name.ts';
import type { AffinityPort } from './affinity_port.ts';
import type { FilesPort } from './files_port.ts';
import type { NamespacePort } from './namespace_port.ts';
import type {
  Attachment,
  BackendView,
  CaptureRequest,
  Changes,
  ExplainRequest,
  Explanation,
  Finding,
  FlowReport,
  Flows,
  FlowsTop,
  Keys,
  NodeChange,
  NodeEvent,
  NodeView,
  PoolPlan,
  Stats,
  Status,
  TopBy,
} from './schema.ts';
import type { TrustPort } from './trust_port.ts';

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

/** What only a running node knows of a backend's health. */
export type HealthPort = {
  backend(backend: StoredBackend): Pick<BackendView, 'health' | 'slowStart' | 'givesUpAt'>;
  counts(): HealthCounts;
};

/** What this node's checks came to since it began. */
export type HealthCounts = {
  readonly checks: readonly {
    readonly pool: string;
    readonly backend: string;
    readonly result: 'good' | 'bad' | 'timeout' | 'unable';
    readonly count: number;
  }[];
  /** By pool; `buckets` count checks that took no longer than that of HEALTH_SECONDS. */
  readonly durations: readonly {
    readonly pool: string;
    readonly buckets: readonly number[];
    readonly seconds: number;
    readonly count: number;
  }[];
};
/** Of the histogram of checks. */
export const HEALTH_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const;

export type FlowSelection = {
  readonly service?: string | undefined;
  /** `pool/name` */
  readonly backend?: string | undefined;
  readonly pool?: string | undefined;
  /** Of `pool`. */
  readonly slot?: number | undefined;
  readonly state?: 'nascent' | 'unproven' | 'trusted' | undefined;
  /** An address, or a prefix: `192.0.2.0/24`. */
  readonly client?: string | undefined;
  /** Only those on another backend than the current one of their slot. */
  readonly old?: boolean | undefined;
  readonly role?: 'owner' | 'backup' | undefined;
  /** Only those whose key is a client with affinity. */
  readonly key?: 'client' | undefined;
};

/** Called with the node that it is about; throws where that is not the one that was meant. */
export type NodeCheck = (node: NodeView) => void;

/** Every method throws a Failure for what a user can do something about. */
export interface NodePort {
  /** Clients with affinity. */
  readonly affinities: AffinityPort;
  /** Certificates, join tokens, users. */
  readonly trust: TrustPort;
  /** What clients of the file service see. */
  readonly namespace: NamespacePort;
  /** Who is served files, and how. */
  readonly files: FilesPort;
  /** The last state known of the store. */
  state(): ClusterState;
  /**
   * Plans the edits against the newest state and writes them in one transaction, again where another change came
   * first; returns once this node's program has them. `force` allows what stops traffic. `isWhole`: the edits say all
   * that the cluster is to be, so that a store that has lost it may take them. `deadlineMs`: backends that are drained have
   * so long from now on until the flows that they have are given up.
   */
  commit(
    edits: (state: ClusterState) => readonly Edit[],
    options: { dryRun: boolean; force: boolean; isWhole?: boolean; deadlineMs?: number | undefined },
  ): Promise<{ plan: EditPlan; revision: number }>;
  status(): Status;
  stats(): Stats;
  /** What became of a backend's path, and of traffic, on this node. */
  backendPath(index: number): BackendView['path'];
  /** What health checks say of backends, and what they did on this node. */
  readonly health: HealthPort;
  explain(request: ExplainRequest): Promise<Explanation>;
  /** How a planned edit would come to be in effect, by pool; those that move no slot are left out. */
  poolPlans(plan: EditPlan): readonly PoolPlan[];
  /** What is open, and what was. */
  changes(): Promise<Changes>;
  /** All nodes, by name. */
  nodes(): Promise<readonly NodeView[]>;
  /** A mux hands its chains over and leaves; `undo` takes that back. */
  drainNode(
    name: string,
    options: { undo: boolean; dryRun: boolean; force: boolean; check: NodeCheck },
  ): Promise<NodeChange>;
  /** Forgets a node that is gone; `force`: also one that is not. */
  removeNode(
    name: string,
    options: { dryRun: boolean; force: boolean; check: NodeCheck },
  ): Promise<NodeChange>;
  /** The key that headers between muxes are signed with. */
  keys(): Promise<Keys>;
  /** Begins a change of it. */
  rotateKeys(): Promise<Keys>;
  /** Entries of flow tables. `local`: only of this node, else also of those whose API it can ask. */
  flows(selection: FlowSelection, options: { limit: number; after?: string; local: boolean }): Promise<Flows>;
  flow(name: FlowName, options: { local: boolean }): Promise<FlowReport>;
  topFlows(
    by: TopBy,
    selection: FlowSelection,
    options: { limit: number; local: boolean },
  ): Promise<FlowsTop>;
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
