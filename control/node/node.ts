// Owns a running node: brings the cluster's state from the store to the programs of its roles, and answers the API.
// Not here: what an edit does to the state (control/pool), how it is stored (control/cluster), how a program is loaded
// and written (control/dataplane), and building any of it (control/main.ts).
import { release } from 'node:os';
import type { AffinityPort } from '../api/affinity_port.ts';
import type { FilesPort } from '../api/files_port.ts';
import type { NamespacePort } from '../api/namespace_port.ts';
import type { CapturedPacket, FlowSelection, HealthPort, NodeCheck, NodePort } from '../api/node_port.ts';
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
} from '../api/schema.ts';
import type { TrustPort } from '../api/trust_port.ts';
import { commitEdits } from '../cluster/commit.ts';
import type { Version } from '../cluster/version.ts';
import type { ClusterView } from '../cluster/view.ts';
import type { ClusterState, Edit, EditPlan } from '../config/cluster_state.ts';
import { BACKENDS_MAX, POOLS_MAX } from '../config/objects.ts';
import type { ClusterQuestion } from '../doctor/facts.ts';
import { Failure } from '../lib/failure.ts';
import type { FlowName } from '../lib/flow_name.ts';
import { planEdits } from '../pool/edits.ts';
import { countServiceRecords, SERVICE_RECORDS_MAX } from '../pool/rules.ts';
import type { Store } from '../store/contract.ts';
import { EventStream } from './event_stream.ts';
import { explanationInWords } from './explain_packet.ts';
import { type FileRole, NO_FILES } from './file/role.ts';
import type { FilterRole } from './filter_role.ts';
import { Interfaces, LOOK_INTERVAL_MS } from './interfaces.ts';
import { Latest } from './latest.ts';
import type { MuxCluster } from './mux_cluster.ts';
import type { MuxRole } from './mux_role.ts';
import type { MuxRoutes } from './mux_routes.ts';
import { Problems } from './problems.ts';
import type { ProgramRole, XdpMode } from './role.ts';
import { sumStats } from './stats.ts';
import type { TrackingPort } from './tracking.ts';

/** How long a change may take to reach the program before its author is told that it has not yet: less than clients wait. */
const APPLY_WAIT_MS = 8_000;

export type RoutesPort = Pick<MuxRoutes, 'view' | 'withoutRoutes'>;

export type NodeOptions = {
  readonly name: string;
  readonly version: string;
  readonly interfaces: readonly string[];
  readonly xdpMode: XdpMode;
  readonly store: Store;
  readonly storeName: { readonly kind: string; readonly where: string };
  readonly view: ClusterView;
  readonly health: HealthPort;
  readonly mux: MuxRole | undefined;
  readonly backend: ProgramRole | undefined;
  readonly filter?: FilterRole | undefined;
  readonly file?: FileRole | undefined;
  readonly namespace: NamespacePort;
  /** What is asked about tracked changes, muxes and flows; there before anything is asked. */
  readonly tracking: () => TrackingPort;
  readonly trust: TrustPort;
  /** Undefined where this node is no mux. */
  readonly routes?: () => RoutesPort | undefined;
  readonly examine: (
    interfaces: readonly string[],
    state: ClusterState,
    cluster: ClusterQuestion | undefined,
  ) => Promise<Finding[]>;
  readonly interfaceName: (ifindex: number) => string | undefined;
  readonly nowMs: () => number;
  readonly log: (level: 'info' | 'warn', message: string, detail?: object) => void;
};

export class Node implements NodePort {
  readonly problems: Problems;
  readonly trust: TrustPort;
  readonly namespace: NamespacePort;
  readonly files: FilesPort;
  readonly #options: NodeOptions;
  readonly #events = new EventStream<NodeEvent>();
  readonly #roles: readonly ProgramRole[];
  readonly #interfaces: Interfaces;
  readonly #latest: Latest<ClusterState>;
  readonly #startedAtMs: number;
  readonly #waiting = new Set<() => void>();
  #looking: NodeJS.Timeout | undefined;
  #isClosed = false;
  #cluster: MuxCluster | undefined;
  /** Of the edit that the program has come up to. */
  #appliedRevision = 0;
  /** Of the state that could not be applied when it was last tried. */
  #failedRevision = 0;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.trust = options.trust;
    this.namespace = options.namespace;
    this.files = options.file ?? NO_FILES;
    this.#startedAtMs = options.nowMs();
    this.#roles = [options.mux, options.backend, options.filter].filter((role) => role !== undefined);
    this.problems = new Problems((event, failure) => this.#tell(event, failure && causeOf(failure)));
    this.#interfaces = new Interfaces({
      roles: this.#roles,
      problems: this.problems,
      tell: (event) => this.tell(event),
      nowMs: options.nowMs,
    });
    this.#latest = new Latest({
      apply: async (state) => {
        for (const role of this.#roles) await role.apply(state);
      },
      onSuccess: (state) => this.#applied(state),
      onFailure: (error, state) => this.#programLacks(error, state.revision),
    });
  }

  /**
   * Follows the cluster's state from now on, and attaches the programs once they have it: packets that come in before
   * would be passed to a host that does not know what to do with them. `cluster` is the part that a mux takes: there the
   * programs follow its versions.
   */
  async start(cluster?: MuxCluster): Promise<void> {
    const { view, interfaces, xdpMode } = this.#options;
    this.#cluster = cluster;
    const first = cluster === undefined ? this.#firstOutcome() : cluster.start();
    this.#latest.set(view.state);
    view.onChange((state, before) => {
      if (state.revision < before.revision && state.revision < this.#appliedRevision) this.#forgetApplied();
      this.tell({
        kind: 'changed',
        message: `the store is at revision ${state.revision}`,
        revision: state.revision,
      });
      this.#latest.set(state);
    });
    await first;
    if (this.#isClosed) return;
    // A node without its interface still answers the API and says what is missing.
    for (const name of interfaces) this.#interfaces.want(name, xdpMode);
    this.#looking = setInterval(() => this.#interfaces.look(), LOOK_INTERVAL_MS);
  }

  /** Stops following. Forwarding goes on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#looking);
    await this.#cluster?.close();
    await this.#latest.close();
    for (const role of this.#roles) await role.close();
  }

  /** Paths that were not written are with the state, which is applied again until it succeeds. */
  pathsFailed(error: unknown): void {
    this.problems.arise('paths', error);
    this.#cluster?.applyAgain();
  }

  /** A version is in effect in the program of a mux. */
  versionApplied(version: Version): void {
    const { revision } = version.objects;
    this.#programHas(revision, `revision ${revision} is in the program, by version ${version.number}`);
  }

  versionFailed(error: unknown, version: Version | undefined): void {
    this.#programLacks(error, version?.objects.revision ?? 0);
  }

  tell(event: Omit<NodeEvent, 'atMs'>): void {
    this.#tell(event);
  }

  #tell(event: Omit<NodeEvent, 'atMs'>, logged?: object): void {
    const level = event.kind === 'problem' ? 'warn' : 'info';
    const detail = { event: event.kind, ...(event.detail as object | undefined), ...logged };
    this.#options.log(level, event.message, detail);
    this.#events.publish({ atMs: this.#options.nowMs(), ...event });
  }

  /** `problem` says why the store is not followed; undefined: it is. */
  storeConnection(problem: Failure | undefined): void {
    if (problem === undefined) this.problems.solve('store');
    else this.problems.arise('store', problem);
  }

  state(): ClusterState {
    return this.#options.view.state;
  }

  async commit(
    edits: (state: ClusterState) => readonly Edit[],
    { dryRun, force, isWhole = false, deadlineMs }: Parameters<NodePort['commit']>[1],
  ): Promise<{ plan: EditPlan; revision: number }> {
    const { store, view } = this.#options;
    const appliedRevision = this.#appliedRevision;
    const giveUpAtMs = deadlineMs === undefined ? undefined : this.#options.nowMs() + deadlineMs;
    const plan = (state: ClusterState) => planEdits(state, edits(state), { force, giveUpAtMs });
    const planned = await commitEdits(store, plan, { dryRun, known: view, isWhole });
    if (dryRun || planned.plan.changes.length === 0) return planned;
    const isOther = planned.revision <= appliedRevision && appliedRevision === this.#appliedRevision;
    if (isOther) this.#forgetApplied();
    await this.#waitUntilApplied(planned.revision);
    return planned;
  }

  status(): Status {
    const { name, version, view, storeName, mux, filter, file } = this.#options;
    const state = view.state;
    const origins = this.#roles.map((role) => role.origin);
    const cluster = this.#options.tracking().summary();
    const routes = this.#options.routes?.()?.view();
    return {
      node: name,
      version,
      roles: [...this.#roles.map((it) => it.role), ...(file === undefined ? [] : [file.role])],
      pid: process.pid,
      startedAt: new Date(this.#startedAtMs).toISOString(),
      adopted: origins.find((it) => it === 'migrated') ?? origins.find((it) => it === 'adopted') ?? 'fresh',
      kernel: release(),
      attachments: this.#attachments(),
      store: { ...storeName, connected: view.connected, revision: state.revision },
      appliedRevision: this.#revisionInEffect(),
      services: state.services.size,
      pools: state.pools.size,
      backends: state.backends.size,
      limits: {
        pools: { used: state.pools.size, max: POOLS_MAX },
        backends: { used: state.backends.size, max: BACKENDS_MAX },
        ...(mux ?? filter)?.limits(),
        services: { used: countServiceRecords(state.services.values()), max: SERVICE_RECORDS_MAX },
      },
      capturing: mux?.capturing ?? false,
      trust: this.trust.summary(),
      ...(cluster !== undefined && { cluster }),
      ...(routes !== undefined && { routes }),
      ...(file !== undefined && { file: file.status() }),
      problems: [
        ...this.problems.list(),
        ...(this.#cluster?.problems() ?? []),
        ...this.#roles.flatMap((role) => role.problems()),
        ...(file?.problems() ?? []),
      ],
    };
  }

  stats(): Stats {
    return sumStats(
      this.#options.nowMs(),
      this.#roles.map((role) => role.reasons()),
      this.state(),
      (this.#options.mux ?? this.#options.filter)?.traffic(),
    );
  }

  get health(): HealthPort {
    return this.#options.health;
  }

  backendPath(index: number): BackendView['path'] {
    return this.#options.mux?.path(index);
  }

  async explain(request: ExplainRequest): Promise<Explanation> {
    const answer = this.#needProgram('explain packets').explain(request);
    return explanationInWords(answer, {
      state: this.state(),
      interfaceName: this.#options.interfaceName,
      head: this.#options.tracking().head,
    });
  }

  poolPlans(plan: EditPlan): readonly PoolPlan[] {
    return this.#options.tracking().poolPlans(plan);
  }

  changes(): Promise<Changes> {
    return this.#options.tracking().changes();
  }

  async nodes(): Promise<readonly NodeView[]> {
    const routes = this.#options.routes?.()?.view();
    const nodes = await this.#options.tracking().nodes();
    return routes === undefined ? nodes : nodes.map((it) => (it.self ? { ...it, routes } : it));
  }

  drainNode(
    name: string,
    options: { undo: boolean; dryRun: boolean; force: boolean; check: NodeCheck },
  ): Promise<NodeChange> {
    return this.#options.tracking().drainNode(name, options);
  }

  removeNode(
    name: string,
    options: { dryRun: boolean; force: boolean; check: NodeCheck },
  ): Promise<NodeChange> {
    return this.#options.tracking().removeNode(name, options);
  }

  keys(): Promise<Keys> {
    return this.#options.tracking().keys();
  }

  rotateKeys(): Promise<Keys> {
    return this.#options.tracking().rotateKeys();
  }

  flows(
    selection: FlowSelection,
    options: { limit: number; after?: string; local: boolean },
  ): Promise<Flows> {
    this.#needMux('list flows');
    return this.#options.tracking().flows(selection, options);
  }

  flow(name: FlowName, options: { local: boolean }): Promise<FlowReport> {
    this.#needMux('look a flow up');
    return this.#options.tracking().flow(name, options);
  }

  topFlows(
    by: TopBy,
    selection: FlowSelection,
    options: { limit: number; local: boolean },
  ): Promise<FlowsTop> {
    this.#needMux('count flows');
    return this.#options.tracking().topFlows(by, selection, options);
  }

  get affinities(): AffinityPort {
    return this.#options.tracking().affinities;
  }

  async attach(options: { interface?: string; mode?: XdpMode }): Promise<Attachment[]> {
    this.#needProgram('be attached');
    const names = options.interface === undefined ? this.#options.interfaces : [options.interface];
    for (const name of names) this.#interfaces.attach(name, options.mode ?? this.#options.xdpMode);
    return this.#attachments();
  }

  async detach(options: { interface?: string }): Promise<Attachment[]> {
    const routes = this.#options.routes?.();
    const isLast = this.#attachments().every((it) => it.interface === (options.interface ?? it.interface));
    return isLast && routes ? routes.withoutRoutes(() => this.#detach(options)) : this.#detach(options);
  }

  async #detach(options: { interface?: string }): Promise<Attachment[]> {
    if (!this.#interfaces.detach(options.interface) && options.interface !== undefined) {
      const attached = this.#attachments();
      throw new Failure('not_found', `nothing of Holdfast is attached to ${options.interface}`, {
        reason:
          attached.length === 0
            ? 'No interface has it.'
            : `It is on ${attached.map((it) => it.interface).join(', ')}.`,
        remedy: 'see holdfast status',
      });
    }
    return this.#attachments();
  }

  async capture(
    request: CaptureRequest,
    signal: AbortSignal,
  ): Promise<AsyncIterable<readonly CapturedPacket[]>> {
    return this.#needMux('capture packets').capture(request, signal);
  }

  async doctor(interfaceName?: string): Promise<readonly Finding[]> {
    const names = interfaceName === undefined ? this.#options.interfaces : [interfaceName];
    const [found, trust] = await Promise.all([
      this.#options.examine(names, this.state(), this.#options.tracking().clusterQuestion()),
      this.trust.findings(),
    ]);
    return [...found, ...trust, ...(this.#options.file?.findings() ?? [])];
  }

  events(signal: AbortSignal): AsyncIterable<NodeEvent> {
    return this.#events.listen(signal);
  }

  #attachments(): Attachment[] {
    return this.#roles.flatMap((role) => role.attachments());
  }

  #applied(state: ClusterState): void {
    if (this.#cluster !== undefined) return;
    this.#programHas(state.revision, `revision ${state.revision} is in the program`);
  }

  #programHas(revision: number, message: string): void {
    this.problems.solve('apply');
    this.problems.solve('paths');
    this.#failedRevision = 0;
    if (revision !== this.#appliedRevision) {
      this.#appliedRevision = revision;
      this.tell({ kind: 'applied', message, revision });
    } else if (this.#cluster !== undefined) this.tell({ kind: 'version', message, revision });
    for (const look of this.#waiting) look();
  }

  /** A store that came back without what it had counts from the beginning: its revisions mean other edits. */
  #forgetApplied(): void {
    this.#appliedRevision = 0;
    this.#failedRevision = 0;
  }

  #programLacks(error: unknown, revision: number): void {
    this.problems.arise('apply', error);
    this.#failedRevision = revision;
    for (const look of this.#waiting) look();
  }

  /** That the whole state of the store has come up to, as far as programs follow from it. */
  #revisionInEffect(): number {
    const { view } = this.#options;
    if (this.#cluster === undefined || this.#cluster.applied === undefined) return this.#appliedRevision;
    return this.#appliedRevision >= view.objectsRevision ? view.state.revision : this.#appliedRevision;
  }

  /** Resolves once a state was applied, or could not be. */
  #firstOutcome(): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }

  async #waitUntilApplied(revision: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<'applied' | 'failed' | 'late'>();
    const look = () => {
      if (this.#appliedRevision >= revision) resolve('applied');
      else if (this.#failedRevision >= revision) resolve('failed');
    };
    const timer = setTimeout(() => resolve('late'), APPLY_WAIT_MS);
    this.#waiting.add(look);
    look();
    const outcome = await promise;
    this.#waiting.delete(look);
    clearTimeout(timer);
    if (outcome === 'applied') return;
    const problem = this.problems.list()[0];
    throw new Failure('unavailable', `saved as revision ${revision}, but the program does not have it yet`, {
      reason: problem?.message ?? `it has revision ${this.#appliedRevision}`,
      remedy: 'it is tried again by itself; see holdfast status',
    });
  }

  #needProgram(what: string): ProgramRole {
    const [role] = this.#roles;
    if (role !== undefined) return role;
    throw new Failure('unsupported', `this node cannot ${what}`, {
      reason: 'it is neither mux nor backend',
      remedy: 'ask a node that has one of these roles',
    });
  }

  #needMux(what: string): MuxRole {
    if (this.#options.mux !== undefined) return this.#options.mux;
    throw new Failure('unsupported', `this node cannot ${what}`, {
      reason: 'it is no mux',
      remedy: 'ask a node that has the role mux',
    });
  }
}

/** What the log has of a problem beside its sentence: where it is a bug, all of it. */
function causeOf(failure: Failure): object {
  return failure.code === 'internal' ? { err: failure } : { cause: failure.reason };
}
