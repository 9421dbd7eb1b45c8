// Owns what a node answers about the cluster's muxes, tracked changes and flows: reads what is known, and has it put in
// words. What the words are is in tracking/.
import type { AffinityPort } from '../api/affinity_port.ts';
import type { FlowSelection, NodeCheck, NodePort } from '../api/node_port.ts';
import type {
  Changes,
  Explanation,
  FlowKnowledge,
  FlowReport,
  Flows,
  FlowsTop,
  Keys,
  NodeChange,
  NodeEvent,
  NodeView,
  PoolPlan,
  Status,
  TopBy,
  Unanswered,
} from '../api/schema.ts';
import { HEARD_MS } from '../cluster/alone_core.ts';
import { unboundIn } from '../cluster/leader/alone.ts';
import type { StepTimes } from '../cluster/leader/inputs.ts';
import type { AskKeyRing } from '../cluster/member_keys_core.ts';
import type { Progress } from '../cluster/progress.ts';
import { partOf } from '../cluster/role_part.ts';
import { type Candidate, type MemberRole, roleOf, type Version } from '../cluster/version.ts';
import type { ClusterState, EditPlan } from '../config/cluster_state.ts';
import { type Delivery, deliveryOf } from '../config/filter.ts';
import type { ClusterQuestion } from '../doctor/facts.ts';
import { Failure } from '../lib/failure.ts';
import { type FlowName, formatFlowName } from '../lib/flow_name.ts';
import { KnownAffinities } from './affinity/affinities.ts';
import type { ClientTables } from './affinity/client_keys.ts';
import { FilterAffinities, type FilterClients } from './affinity/filter_affinities.ts';
import { MuxAffinities } from './affinity/mux_affinities.ts';
import { SlotAges } from './affinity/slot_ages.ts';
import { changeLine, changesOf } from './tracking/change_views.ts';
import { clusterQuestion } from './tracking/doctor_question.ts';
import { type FlowPlace, flowPage, flowsTop, knowledgeOf } from './tracking/flow_asks.ts';
import { flowReport, slotPlaceOf } from './tracking/flow_report.ts';
import type { FlowTables } from './tracking/flow_table.ts';
import { ChangeHistory } from './tracking/history.ts';
import { goneView, keysOf, nodeViews } from './tracking/node_views.ts';
import type { Peer, PeerApis } from './tracking/peer_apis.ts';
import { keepingOf, type MuxFacts, type OwnFacts, type Picture } from './tracking/picture.ts';
import { poolPlansOf } from './tracking/pool_plans.ts';
import { Since } from './tracking/since.ts';

/** The part of the API that is about tracked slots. */
export type TrackingPort = Pick<
  NodePort,
  | 'poolPlans'
  | 'changes'
  | 'nodes'
  | 'drainNode'
  | 'removeNode'
  | 'keys'
  | 'rotateKeys'
  | 'flows'
  | 'flow'
  | 'topFlows'
  | 'affinities'
> & {
  /** The newest version of the configuration. */
  readonly head: Version | undefined;
  /** For the status of this node. */
  summary(): Status['cluster'];
  /** For the doctor; undefined where this node is no mux. */
  clusterQuestion(): ClusterQuestion | undefined;
};

/** Writes what is asked about muxes. */
export interface MuxOrders {
  drain(name: string): Promise<void>;
  undrain(name: string): Promise<void>;
  rotateKeys(): Promise<AskKeyRing>;
  /** Roles of a node that has joined; others may know nothing of it. */
  trusted(name: string): readonly string[] | undefined;
  /**
   * Deletes all that the store has of a mux; `force`: its registration, too, or its lease must be gone. `isOff`: who need
   * not be waited for although it had no deadline.
   */
  forget(
    name: string,
    options: {
      id: number | undefined;
      force: boolean;
      isOff?: (Candidate & { readonly leaseMs: number }) | undefined;
    },
  ): Promise<void>;
}

export type TrackingOptions = {
  readonly self: string;
  readonly intent: () => ClusterState;
  readonly editedRevision: () => number;
  readonly head: () => Version | undefined;
  readonly muxes: () => MuxFacts;
  /** Undefined where this node is no mux. */
  readonly own: () => OwnFacts | undefined;
  /** Asks the store for what is not followed; afterwards `muxes` and `progress` have it. */
  readonly refresh: () => Promise<void>;
  readonly progress: () => Progress | undefined;
  readonly tables: FlowTables | undefined;
  /** Undefined where this node is no mux. */
  readonly clients: ClientTables | undefined;
  /** Undefined where this node is no filter. */
  readonly filterClients?: FilterClients | undefined;
  /** A packet of the flow that opens none. */
  readonly explain: (flow: FlowName) => Promise<Explanation>;
  readonly askPort: number;
  /** How full the tables of flows are, by name. */
  readonly health: () => ClusterQuestion['health'];
  readonly fill: () => Readonly<Record<string, { readonly used: number; readonly max: number }>>;
  readonly apis: PeerApis;
  readonly orders: MuxOrders;
  /** Until a leader has told its own. */
  readonly times: StepTimes;
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
  /** Never goes back: durations are measured by it. */
  readonly nowMs: () => number;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
};

export class Tracking implements TrackingPort {
  readonly affinities: AffinityPort;
  readonly #options: TrackingOptions;
  readonly #history = new ChangeHistory();
  readonly #since = new Since();
  readonly #ages = new SlotAges();
  #suspected = new Set<string>();

  constructor(options: TrackingOptions) {
    this.#options = options;
    const { clients, apis, tell } = options;
    const muxes = new MuxAffinities({
      place: () => this.#flowPlace(),
      picture: () => this.#picture(),
      history: this.#history,
      ages: this.#ages,
      tables: clients,
      peers: () => this.#others('mux'),
      apis,
      tell,
    });
    const filters = new FilterAffinities({
      head: () => {
        const version = options.head();
        return version && partOf(version, 'filter');
      },
      picture: () => this.#picture(),
      ages: this.#ages,
      tables: options.filterClients,
      peers: () => this.#others('filter'),
      apis,
      tell,
    });
    this.affinities = new KnownAffinities(() => {
      const pools = [...(options.head()?.objects.pools.values() ?? [])];
      const isOf = (delivery: Delivery) => pools.some((it) => deliveryOf(it) === delivery);
      if (!isOf('filter')) return [muxes];
      return isOf('mux') ? [muxes, filters] : [filters];
    });
  }

  /** To be called whenever the head or what muxes say of each other has changed: events and times follow from it. */
  look(version = this.#options.head()): void {
    const { muxes, nowMs, wallMs, tell } = this.#options;
    if (version === undefined) return;
    for (const event of this.#history.observe(version, { nowMs: nowMs(), wallMs: wallMs() })) tell(event);
    this.#since.observe(this.#picture());
    this.#ages.observe(version, wallMs());
    const { suspicions } = muxes();
    const suspected = new Set(suspicions.map(({ observer, suspect }) => `${observer} ${suspect}`));
    for (const pair of suspected) if (!this.#suspected.has(pair)) this.#tellSuspicion(pair, 'does not hear');
    for (const pair of this.#suspected) if (!suspected.has(pair)) this.#tellSuspicion(pair, 'hears');
    this.#suspected = suspected;
  }

  get head(): Version | undefined {
    return this.#options.head();
  }

  clusterQuestion(): ClusterQuestion | undefined {
    const { askPort, fill, health } = this.#options;
    const picture = this.#picture();
    return clusterQuestion(picture, this.#changes(picture), this.#since, {
      askPort,
      tables: fill(),
      health: health(),
    });
  }

  summary(): Status['cluster'] {
    const picture = this.#picture();
    const { self, head, own, muxes } = picture;
    if (own === undefined) return undefined;
    const view = nodeViews(picture, this.#since.gone).find(({ name }) => name === self);
    const state = view?.state === 'joining' || view?.state === 'draining' ? view.state : undefined;
    const isMember = head?.members.some(({ name }) => name === self) ?? false;
    const { open } = this.#changes(picture);
    const others = (head?.members ?? []).filter(({ name }) => name !== self);
    return {
      id: own.id,
      incarnation: own.incarnation,
      state: state ?? (isMember ? 'member' : 'alone'),
      version: own.version,
      head: head?.number ?? 0,
      ...(muxes.leader !== undefined && { leader: muxes.leader }),
      members: head?.members.length ?? 0,
      heard: others.filter(({ id }) => (own.hearings.get(id)?.agoMs ?? Number.POSITIVE_INFINITY) < HEARD_MS)
        .length,
      ...(own.leaseLeftMs !== undefined && { leaseLeftMs: own.leaseLeftMs }),
      pastDeadline: own.leaseLeftMs === 0,
      changes: open.map((it) => ({ id: it.id, step: it.step, waitsFor: changeLine(it) })),
    };
  }

  poolPlans(plan: EditPlan): readonly PoolPlan[] {
    return poolPlansOf(plan, this.#picture(), this.#times());
  }

  async changes(): Promise<Changes> {
    await this.#options.refresh();
    return this.#changes(this.#picture());
  }

  async nodes(): Promise<readonly NodeView[]> {
    await this.#options.refresh();
    return nodeViews(this.#picture(), this.#since.gone);
  }

  async drainNode(
    name: string,
    { undo, dryRun, force, check }: { undo: boolean; dryRun: boolean; force: boolean; check: NodeCheck },
  ): Promise<NodeChange> {
    const node = this.#node(name, check);
    const isDrained = node.state === 'draining' || node.state === 'drained';
    if (isDrained !== undo) return { dryRun, action: 'none', node, effects: [] };
    if (node.id === undefined) {
      throw new Failure('unsupported', `node ${name} is no mux`, {
        reason: 'it keeps no flows, so there is nothing to hand over',
        remedy: 'a backend is drained with holdfast backends drain',
      });
    }
    if (!undo && !force && this.#othersThatStay(name) === 0) {
      throw new Failure('unsafe', `node ${name} is the last mux that serves`, {
        reason: 'nobody is there to hand its flows to',
        remedy: 'let another mux join first, or force it',
      });
    }
    if (!dryRun) await (undo ? this.#options.orders.undrain(name) : this.#options.orders.drain(name));
    return { dryRun, action: undo ? 'undo drain' : 'drain', node, effects: this.#drainEffects(node, undo) };
  }

  async removeNode(
    name: string,
    { dryRun, force, check }: { dryRun: boolean; force: boolean; check: NodeCheck },
  ): Promise<NodeChange> {
    const roles = this.#find(name) === undefined ? this.#options.orders.trusted(name) : undefined;
    const node = roles === undefined ? this.#node(name, check) : goneView(name, roles);
    if (roles !== undefined) check(node);
    const { head } = this.#picture();
    const isMember = head?.members.some((it) => it.name === name) ?? false;
    if (!force && (isMember || !['gone', 'drained'].includes(node.state))) {
      throw new Failure('unsafe', `node ${name} is not gone`, {
        reason: isMember ? 'it is a member of the cluster' : `it is ${node.state}`,
        remedy:
          node.state === 'registered'
            ? 'stop its holdfastd first, or force it; it registers again when it begins'
            : `drain it first: holdfast nodes drain ${name}; or force it`,
      });
    }
    const isOff = head && unboundIn(head, name);
    if (!force && isOff !== undefined) {
      throw new Failure('unsafe', `node ${name} was the only mux, and may decide as long as it runs`, {
        reason: 'it has not said that it knows of another, so changes wait for it',
        remedy: 'start its holdfastd; or see that it is off, and force it',
      });
    }
    if (!dryRun) {
      await this.#options.orders.forget(name, { id: node.id, force, ...(isOff && { isOff }) });
    }
    return { dryRun, action: 'remove', node, effects: this.#removeEffects(node, isMember) };
  }

  async keys(): Promise<Keys> {
    const { muxes } = this.#picture();
    if (muxes.ring === undefined) {
      throw new Failure('unavailable', 'this node knows of no key yet', {
        reason: muxes.stale ?? 'no mux has made one',
        remedy: 'see holdfast status',
      });
    }
    return keysOf(this.#picture(), muxes.ring);
  }

  async rotateKeys(): Promise<Keys> {
    const ring = await this.#options.orders.rotateKeys();
    return keysOf(this.#picture(), ring);
  }

  async flows(
    selection: FlowSelection,
    options: { limit: number; after?: string; local: boolean },
  ): Promise<Flows> {
    return await flowPage(this.#flowPlace(), selection, options);
  }

  async topFlows(
    by: TopBy,
    selection: FlowSelection,
    options: { limit: number; local: boolean },
  ): Promise<FlowsTop> {
    return await flowsTop(this.#flowPlace(), by, selection, options);
  }

  async flow(name: FlowName, { local }: { local: boolean }): Promise<FlowReport> {
    const flow = formatFlowName(name);
    const explanation = await this.#options.explain(name);
    const picture = this.#picture();
    const pool = explanation.pool === undefined ? undefined : picture.intent.pools.get(explanation.pool);
    if (pool === undefined || explanation.slot === undefined) {
      throw new Failure('not_found', `flow ${flow} has no slot here`, {
        reason: `${explanation.reason}: ${explanation.meaning}`,
        remedy: 'see holdfast services list; holdfast explain says what becomes of the packet',
      });
    }
    const place = picture.head && slotPlaceOf(picture.head, pool.id, explanation.slot);
    const known: FlowKnowledge[] = [];
    const unanswered: Unanswered[] = [];
    if (place !== undefined) {
      const wanted = {
        fingerprint: BigInt(explanation.hash!),
        poolId: pool.id,
        slot: explanation.slot,
        protocol: name.protocol,
      };
      known.push(knowledgeOf(this.#flowPlace(), wanted, place.chain));
      for (const peer of local ? [] : this.#keepersOf(place.chain)) {
        const asked = await this.#options.apis.ask(peer, `flows show '${flow}'`, (client) =>
          client.flow(flow, { local: true }),
        );
        if ('answer' in asked) known.push(...asked.answer.known);
        else unanswered.push(asked);
      }
    }
    return flowReport({
      flow,
      pool: pool.name,
      slot: explanation.slot,
      explanation,
      place,
      picture,
      known,
      unanswered,
    });
  }

  /** Owner and backup, but not this node. */
  #keepersOf(chain: NonNullable<ReturnType<typeof slotPlaceOf>>['chain']): Peer[] {
    const ids = new Set([chain?.owner.id, chain?.backup?.id]);
    const { head } = this.#picture();
    const names = (head?.members ?? []).filter(({ id }) => ids.has(id)).map(({ name }) => name);
    return this.#flowPlace().others.filter(({ node }) => names.includes(node));
  }

  #flowPlace(): FlowPlace {
    const { self, head, own } = this.#picture();
    const { tables, apis } = this.#options;
    if (head === undefined || own === undefined || tables === undefined) {
      throw new Failure('unavailable', 'this node keeps no flows yet', {
        reason: 'it has no version of the configuration',
        remedy: 'see holdfast status',
      });
    }
    return {
      version: partOf(head, 'mux'),
      node: { name: self, id: own.id },
      tables,
      others: this.#others('mux'),
      apis,
    };
  }

  #others(role: MemberRole): Peer[] {
    const { self, head, muxes } = this.#picture();
    return (head?.members ?? [])
      .filter((it) => it.name !== self && roleOf(it) === role)
      .map(({ name }) => ({ node: name, api: muxes.registrations.get(name)?.api }))
      .sort((a, b) => (a.node < b.node ? -1 : 1));
  }

  #changes(picture: Picture): Changes {
    return changesOf(picture, this.#history, this.#options.progress(), this.#times());
  }

  #times(): StepTimes {
    return this.#options.progress()?.times ?? this.#options.times;
  }

  #picture(): Picture {
    const { self, intent, editedRevision, head, muxes, own, nowMs, wallMs } = this.#options;
    return {
      self,
      nowMs: nowMs(),
      wallMs: wallMs(),
      intent: intent(),
      editedRevision: editedRevision(),
      head: head(),
      muxes: muxes(),
      own: own(),
    };
  }

  #find(name: string): NodeView | undefined {
    return nodeViews(this.#picture(), this.#since.gone).find((it) => it.name === name);
  }

  /** @throws Failure not_found */
  #node(name: string, check: NodeCheck): NodeView {
    const found = this.#find(name);
    if (found === undefined) {
      throw new Failure('not_found', `there is no node ${name}`, {
        remedy: 'see those there are: holdfast nodes list',
      });
    }
    check(found);
    return found;
  }

  #othersThatStay(name: string): number {
    const { head, muxes } = this.#picture();
    return (head?.members ?? []).filter(
      (it) => it.name !== name && !it.isLeaving && !muxes.drains.has(it.name),
    ).length;
  }

  #drainEffects({ name, id }: NodeView, undo: boolean): string[] {
    if (undo) return [`${name} takes part again as soon as its holdfastd has the newest version.`];
    const { head } = this.#picture();
    const { owned, backed } = (head && keepingOf(head).get(id!)) ?? { owned: 0, backed: 0 };
    const both = (owned + backed).toLocaleString('en');
    return [
      owned + backed === 0
        ? 'It keeps no flows, so there is nothing to hand over.'
        : `It hands the flows of ${both} tracked slots to other muxes before it goes.`,
      'Then it decides nothing: packets that still come are handed to another mux. Take its routes away first.',
      `It stays away, also after a restart, until: holdfast nodes drain --undo ${name}`,
    ];
  }

  #removeEffects({ name, id, state }: NodeView, isMember: boolean): string[] {
    return [
      id === undefined ? `${name} is forgotten.` : `${name} is forgotten, and its id ${id} is free.`,
      ...(isMember
        ? [
            'The leader takes it out of the cluster once its lease has run out; flows of its slots are at its backups.',
          ]
        : []),
      ...(state === 'gone' || state === 'drained'
        ? []
        : ['Where its holdfastd runs, it comes back by itself.']),
    ];
  }

  #tellSuspicion(pair: string, what: string): void {
    const [observer, suspect] = pair.split(' ');
    this.#options.tell({
      kind: 'member',
      message: `mux ${observer} ${what} ${suspect}`,
      detail: { node: suspect, observer },
    });
  }
}
