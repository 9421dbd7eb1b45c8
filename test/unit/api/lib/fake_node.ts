// Owns a NodePort without a daemon: a cluster in memory, and answers that a test sets. Edits are planned as the daemon
// plans them (control/pool), so that their failures are the real ones.
import type { AffinityPort } from '../../../../control/api/affinity_port.ts';
import type {
  CapturedPacket,
  FlowSelection,
  NodeCheck,
  NodePort,
} from '../../../../control/api/node_port.ts';
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
} from '../../../../control/api/schema.ts';
import {
  type ClusterState,
  type Edit,
  type EditPlan,
  EMPTY_STATE,
} from '../../../../control/config/cluster_state.ts';
import type { FlowName } from '../../../../control/lib/flow_name.ts';
import { planEdits } from '../../../../control/pool/edits.ts';
import { FakeFiles } from './fake_files.ts';
import { FakeNamespace } from './fake_namespace.ts';
import { FakeTrust } from './fake_trust.ts';
import {
  AFFINITIES,
  AFFINITY,
  AFFINITY_RELEASE,
  CHANGES,
  FLOW_REPORT,
  FLOWS,
  FLOWS_TOP,
  MUX1,
  POOL_PLAN,
} from './tracked.ts';

export const ATTACHMENT: Attachment = {
  interface: 'eth0',
  ifindex: 2,
  role: 'mux',
  mode: 'native',
  programId: 7,
  pinned: true,
};

export const EXPLANATION: Explanation = {
  verdict: 'FORWARD',
  reason: 'FORWARD',
  meaning: "by the slot of the flow's hash",
  steps: ['It is for service www.'],
};

export class FakeNode implements NodePort {
  cluster: ClusterState = EMPTY_STATE;
  readonly trust = new FakeTrust((method, argument) => this.#called(method, argument));
  readonly namespace = new FakeNamespace((method, argument) => this.#called(method, argument));
  readonly files = new FakeFiles((method, argument) => this.#called(method, argument));
  readonly affinities: AffinityPort = {
    list: async (selection, options) => {
      this.#called('affinities.list', { selection, options });
      return AFFINITIES;
    },
    explain: async (client, options) => {
      this.#called('affinities.explain', { client, options });
      return AFFINITY;
    },
    release: async (client, options) => {
      this.#called('affinities.release', { client, options });
      return { ...AFFINITY_RELEASE, dryRun: options.dryRun };
    },
  };
  attachments: Attachment[] = [ATTACHMENT];
  findings: Finding[] = [{ check: 'xdp-native', interface: 'eth0', severity: 'ok', message: 'It has XDP.' }];
  problems: Status['problems'] = [];
  isMux = true;
  openChanges: Changes = CHANGES;
  health: NodePort['health'] = { backend: () => ({}), counts: () => ({ checks: [], durations: [] }) };
  muxes: NodeView[] = [MUX1];
  /** What the methods were called with. */
  readonly calls: { method: string; argument: unknown }[] = [];
  /** Thrown by the next call of whatever can fail. */
  failure: unknown;
  /** Another change comes first this many times. */
  raced: ((state: ClusterState) => readonly Edit[])[] = [];
  batches: AsyncIterable<readonly CapturedPacket[]> = (async function* () {})();
  captureSignal: AbortSignal | undefined;
  readonly #listeners = new Set<(event: NodeEvent) => void>();

  state(): ClusterState {
    return this.cluster;
  }

  async commit(
    edits: (state: ClusterState) => readonly Edit[],
    options: { dryRun: boolean; force: boolean },
  ): Promise<{ plan: EditPlan; revision: number }> {
    this.#called('commit', options);
    const planned = () => planEdits(this.cluster, edits(this.cluster), options);
    let plan = planned();
    for (const others of this.raced.splice(0)) {
      this.change(...others(this.cluster));
      plan = planned();
    }
    if (!options.dryRun && plan.changes.length > 0) this.#store(plan);
    return { plan, revision: this.cluster.revision };
  }

  /** As another user would. */
  change(...edits: Edit[]): void {
    this.#store(planEdits(this.cluster, edits, { force: true }));
  }

  status(): Status {
    this.#called('status', undefined);
    const { revision, services, pools, backends } = this.cluster;
    return {
      node: 'mux1',
      version: '0.1.0',
      roles: [this.isMux ? 'mux' : 'backend'],
      pid: 4711,
      startedAt: '2026-01-01T00:00:00.000Z',
      adopted: 'fresh',
      kernel: '6.1.0',
      attachments: this.attachments,
      store: { kind: 'sqlite', where: '/tmp/store.db', connected: true, revision },
      appliedRevision: revision,
      services: services.size,
      pools: pools.size,
      backends: backends.size,
      limits: { backends: { used: backends.size, max: 4_095 } },
      capturing: false,
      problems: this.problems,
    };
  }

  stats(): Stats {
    this.#called('stats', undefined);
    const { services, backends } = this.cluster;
    const traffic = { packets: 10, bytes: 1_000, newFlows: 2 };
    return {
      atMs: 1_767_225_600_000,
      packets: { FORWARD: 10, DROP: 1, PASS: 3 },
      reasons: { FORWARD: 9, FORWARD_QUIC: 1, DROP_NO_BACKEND: 1, PASS_NOT_IP: 3 },
      services: this.isMux ? [...services.values()].map(({ name }) => ({ name, ...traffic })) : [],
      backends: this.isMux
        ? [...backends.values()].map(({ pool, name }) => ({ pool, name, ...traffic }))
        : [],
      flowEvents: this.isMux ? { FLOW_NEW: 4 } : {},
      muxes: this.isMux
        ? [
            { id: 2, heardAgoMs: 1_500, version: 3, isPastDeadline: true },
            { id: 3, version: 0, isPastDeadline: false },
          ]
        : [],
    };
  }

  backendPath(index: number): BackendView['path'] {
    if (!this.isMux) return undefined;
    if (index > 1) return { state: 'resolving' };
    return {
      state: 'known',
      interface: 'eth0',
      mac: '02:00:00:00:00:01',
      mtuBytes: 1_500,
      innerMtuBytes: 1_480,
    };
  }

  async explain(request: ExplainRequest): Promise<Explanation> {
    this.#called('explain', request);
    return EXPLANATION;
  }

  poolPlans(plan: EditPlan): readonly PoolPlan[] {
    return plan.moved.map(({ pool, slots, of }) => ({ ...POOL_PLAN, pool, slots, of }));
  }

  async changes(): Promise<Changes> {
    this.#called('changes', undefined);
    return this.openChanges;
  }

  async nodes(): Promise<readonly NodeView[]> {
    this.#called('nodes', undefined);
    return this.muxes;
  }

  async drainNode(
    name: string,
    { check, ...options }: { undo: boolean; dryRun: boolean; force: boolean; check: NodeCheck },
  ): Promise<NodeChange> {
    this.#called('drainNode', { name, ...options });
    check(MUX1);
    return { dryRun: options.dryRun, action: options.undo ? 'undo drain' : 'drain', node: MUX1, effects: [] };
  }

  async removeNode(
    name: string,
    { check, ...options }: { dryRun: boolean; force: boolean; check: NodeCheck },
  ): Promise<NodeChange> {
    this.#called('removeNode', { name, ...options });
    check(MUX1);
    return { dryRun: options.dryRun, action: 'remove', node: MUX1, effects: [] };
  }

  async keys(): Promise<Keys> {
    this.#called('keys', undefined);
    return { step: 4, state: 'steady', lacking: [] };
  }

  async rotateKeys(): Promise<Keys> {
    this.#called('rotateKeys', undefined);
    return { step: 5, state: 'learning', lacking: ['mux1'] };
  }

  async flows(
    selection: FlowSelection,
    options: { limit: number; after?: string; local: boolean },
  ): Promise<Flows> {
    this.#called('flows', { selection, options });
    return FLOWS;
  }

  async flow(name: FlowName, options: { local: boolean }): Promise<FlowReport> {
    this.#called('flow', { name, options });
    return FLOW_REPORT;
  }

  async topFlows(
    by: TopBy,
    selection: FlowSelection,
    options: { limit: number; local: boolean },
  ): Promise<FlowsTop> {
    this.#called('topFlows', { by, selection, options });
    return { ...FLOWS_TOP, by };
  }

  async attach(options: { interface?: string; mode?: 'auto' | 'native' | 'generic' }): Promise<Attachment[]> {
    this.#called('attach', options);
    return this.attachments;
  }

  async detach(options: { interface?: string }): Promise<Attachment[]> {
    this.#called('detach', options);
    return [];
  }

  async capture(
    request: CaptureRequest,
    signal: AbortSignal,
  ): Promise<AsyncIterable<readonly CapturedPacket[]>> {
    this.#called('capture', request);
    this.captureSignal = signal;
    return this.batches;
  }

  async doctor(interfaceName?: string): Promise<readonly Finding[]> {
    this.#called('doctor', interfaceName);
    return this.findings;
  }

  tell(event: Partial<NodeEvent> = {}): void {
    for (const listener of this.#listeners) {
      listener({ atMs: 1, kind: 'applied', message: 'revision 1 is in the program', ...event });
    }
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  async *events(signal: AbortSignal): AsyncGenerator<NodeEvent> {
    const waiting: NodeEvent[] = [];
    let wake = () => {};
    const listener = (event: NodeEvent) => {
      waiting.push(event);
      wake();
    };
    signal.addEventListener('abort', () => wake());
    this.#listeners.add(listener);
    try {
      while (!signal.aborted) {
        if (this.failure !== undefined) this.#called('events', undefined);
        const event = waiting.shift();
        if (event !== undefined) yield event;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#listeners.delete(listener);
    }
  }

  #called(method: string, argument: unknown): void {
    this.calls.push({ method, argument });
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }

  #store(plan: EditPlan): void {
    const revision = this.cluster.revision + 1;
    const stamp = <T extends { modRevision: number }>(map: ReadonlyMap<string, T>) =>
      new Map(
        [...map].map(([key, it]) => [key, it.modRevision === 0 ? { ...it, modRevision: revision } : it]),
      );
    const { after } = plan;
    this.cluster = {
      ...after,
      revision,
      services: stamp(after.services),
      pools: stamp(after.pools),
      backends: stamp(after.backends),
      tables: stamp(after.tables),
    };
  }
}
