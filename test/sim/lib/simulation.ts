// Owns one simulated history: a router, muxes and hosts that run the real programs, clients, and the network between
// them. Configurations come from the real planEdits(), and reach each mux in its own time. Not here: what happens
// (scenario.ts), what a node does (nodes.ts, client.ts), what is made of the findings (judgement.ts, shrink.ts).
//
// These muxes are in no cluster: the protocol between muxes is test/sim/protocol.
import type { ClusterState, Edit } from '../../../control/config/cluster_state.ts';
import { backendKey, planEdits } from '../../../control/pool/edits.ts';
import { frame } from '../../bpf/lib/packets.ts';
import { type Client, Connection, Conversation, type FlowEnd, type Reply, type World } from './client.ts';
import { FlowRules, Versions } from './flow_rules.ts';
import { outerDestination, wrongDelivery, wrongVerdict } from './frames.ts';
import { ALONE, Judgement, type Tolerance, type TraceLine, type Violation } from './judgement.ts';
import { type Loaded, type Outcome, SimHost, SimMux, stepsBetween } from './nodes.ts';
import { Random } from './random.ts';
import { Router } from './router.ts';
import { type Action, MS, type Scenario, SECOND } from './scenario.ts';
import { Schedule } from './schedule.ts';
import { firstState, HASH_KEY, hostAt } from './site.ts';
import { flowOfAction, icmpError, type Packet, ping, stranger } from './traffic.ts';

/** Faults that tests plant, to see them found. */
export type Tamper = {
  hashKey?: (mux: number) => Uint8Array | undefined;
  /** After a mux has applied a version; 1 is the first. */
  applied?: (mux: SimMux, number: number, version: number) => void | Promise<void>;
  /** Between mux and host. */
  tunnelled?: (frame: Uint8Array, packet: Packet) => Uint8Array | undefined;
};

export type Summary = {
  readonly packets: number;
  readonly lost: number;
  readonly versions: number;
  readonly movedSlots: number;
  readonly ends: Readonly<Record<FlowEnd, number>>;
  readonly reasons: Readonly<Record<string, number>>;
  /** Violations that are tolerated today, by kind. */
  readonly tolerated: Readonly<Record<string, number>>;
};

export type Result = {
  readonly scenario: Scenario;
  readonly summary: Summary;
  readonly violations: readonly Violation[];
  readonly trace: readonly TraceLine[];
  readonly digest: string;
};

export type SimulationOptions = { readonly tolerance?: Tolerance; readonly tamper?: Tamper };

/** From the router to a mux: too short for anything to overtake. */
const RACK_NS = 0.01 * MS;
/** What a straggler comes later than others: longer than muxes remember first fragments. */
const STRAGGLER_NS = 65 * SECOND;

type MuxNode = {
  readonly number: number;
  readonly name: string;
  mux: SimMux | undefined;
  /** What it has applied; while it applies the next one, both count. */
  version: number;
  isApplying: boolean;
  /** When all steps of what was published so far are done. */
  busyUntilNs: number;
  /** Grows with each reboot: steps for an older one are void. */
  incarnation: number;
};

export async function simulate(
  scenario: Scenario,
  hosts: readonly Loaded[],
  options: SimulationOptions = {},
): Promise<Result> {
  const simulation = new Simulation(scenario, hosts, options);
  try {
    return await simulation.run();
  } finally {
    simulation.close();
  }
}

class Simulation {
  readonly #scenario: Scenario;
  readonly #tamper: Tamper;
  readonly #schedule = new Schedule();
  readonly #judgement: Judgement;
  readonly #versions: Versions;
  readonly #rules: FlowRules;
  readonly #router: Router;
  readonly #hosts: readonly SimHost[];
  readonly #muxes: readonly MuxNode[];
  readonly #clients = new Map<number, Client>();
  readonly #reasons = new Map<string, number>();
  // Every copy of a packet comes from somewhere and ends once.
  #made = 0;
  #ended = 0;
  #lost = 0;
  #movedSlots = 0;

  constructor(
    scenario: Scenario,
    hosts: readonly Loaded[],
    { tolerance = ALONE, tamper = {} }: SimulationOptions,
  ) {
    this.#scenario = scenario;
    this.#tamper = tamper;
    this.#judgement = new Judgement(tolerance, () => this.#schedule.nowNs);
    this.#versions = new Versions(firstState(scenario.members));
    this.#rules = new FlowRules(this.#versions, this.#judgement);
    this.#muxes = Array.from({ length: scenario.muxes }, (_, number) => ({
      number,
      name: `mux${number}`,
      mux: undefined,
      version: 0,
      isApplying: false,
      busyUntilNs: 0,
      incarnation: 0,
    }));
    this.#router = new Router(
      this.#muxes.map(({ number }) => number),
      scenario.fragmentsSpread,
    );
    this.#hosts = hosts.map((decap, number) => new SimHost(number, decap));
  }

  async run(): Promise<Result> {
    for (const node of this.#muxes) await this.#boot(node);
    for (const action of this.#scenario.actions) {
      this.#schedule.after(action.atNs, () => this.#perform(action));
    }
    const ended = await this.#schedule.run(() => this.#judgement.isOver);
    if (!ended) this.#judgement.report('endless', 'there is always one more event');
    else if (!this.#judgement.isOver) this.#balance();
    return this.#result();
  }

  close(): void {
    for (const { mux } of this.#muxes) mux?.close();
  }

  // --- what happens ---

  #perform(action: Action): void | Promise<void> {
    switch (action.kind) {
      case 'flow':
        return this.#begin(action);
      case 'icmpError': {
        const client = this.#clients.get(action.flow);
        return client && this.#send(icmpError(client.flow));
      }
      case 'ping':
        return this.#send(ping(action));
      case 'stranger':
        return this.#send(stranger(action));
      case 'reshuffle':
        this.#router.salt = action.salt;
        return this.#judgement.note('router hashes anew');
      case 'leave':
        this.#router.members.delete(action.mux);
        return this.#judgement.note(`router: no mux${action.mux}`);
      case 'join':
        if (this.#muxes[action.mux]!.mux !== undefined) this.#announce(action.mux);
        return;
      case 'reboot':
        return this.#reboot(this.#muxes[action.mux]!, action.downNs);
      case 'edit':
        return this.#edit(action);
    }
  }

  #begin(action: Extract<Action, { kind: 'flow' }>): void {
    const flow = flowOfAction(action);
    const world: World = {
      send: (packet) => this.#send(packet),
      after: (delayNs, happen) => this.#schedule.after(delayNs, happen),
    };
    const client = action.protocol === 'tcp' ? new Connection(flow, world) : new Conversation(flow, world);
    this.#clients.set(action.id, client);
    this.#judgement.note(
      `flow ${action.id} ${action.protocol} to ${action.destination}, slot ${flow.slot}`,
      action.id,
    );
    client.start();
  }

  #announce(mux: number): void {
    this.#router.members.add(mux);
    this.#judgement.note(`router: mux${mux} again`);
  }

  #edit({ edits, lagNs, stepNs }: Extract<Action, { kind: 'edit' }>): void {
    const state = this.#versions.newest;
    const { after, moved } = planEdits(state, possibleEdits(state, edits), { force: true });
    if (after === state) return;
    this.#versions.publish(after);
    this.#movedSlots += moved.reduce((sum, { slots }) => sum + slots, 0);
    const what = moved.map(({ pool, slots, of }) => `${slots} of ${of} slots of ${pool} move`);
    this.#judgement.note(`version ${this.#versions.newestNumber}: ${what.join(', ') || 'no slot moves'}`);
    for (const node of this.#muxes)
      if (node.mux !== undefined) this.#publishTo(node, lagNs[node.number] ?? 0, stepNs);
  }

  /** Versions reach a mux late and in order; packets come between the steps. */
  #publishTo(node: MuxNode, lagNs: number, stepNs: number): void {
    const { incarnation } = node;
    const version = this.#versions.newestNumber;
    const steps = stepsBetween(this.#versions.state(version - 1), this.#versions.state(version));
    let atNs = Math.max(node.busyUntilNs, this.#schedule.nowNs + lagNs);
    const at = (happen: () => void | Promise<void>): void => {
      const isStill = async (): Promise<void> => {
        if (node.incarnation === incarnation) await happen();
      };
      this.#schedule.after(atNs - this.#schedule.nowNs, isStill);
      atNs += stepNs;
    };
    for (const { what, perform } of steps) {
      at(async () => {
        node.isApplying = true;
        await perform(node.mux!);
        this.#judgement.note(`${node.name} writes ${what}`);
      });
    }
    at(() => this.#applied(node, version));
    node.busyUntilNs = atNs;
  }

  async #applied(node: MuxNode, version: number): Promise<void> {
    node.version = version;
    node.isApplying = false;
    this.#judgement.note(`${node.name} has version ${version}`);
    await this.#tamper.applied?.(node.mux!, node.number, version);
  }

  /** Loads a mux and gives it the newest version, before any packet can reach it. */
  async #boot(node: MuxNode): Promise<void> {
    node.mux = new SimMux(node.number, this.#tamper.hashKey?.(node.number) ?? HASH_KEY);
    const state = this.#versions.newest;
    await node.mux.setServices(state);
    for (const { perform } of stepsBetween(this.#versions.state(0), state)) await perform(node.mux);
    node.busyUntilNs = this.#schedule.nowNs;
    await this.#applied(node, this.#versions.newestNumber);
  }

  #reboot(node: MuxNode, downNs: number): void {
    if (node.mux === undefined) return;
    this.#router.members.delete(node.number);
    node.mux.close();
    node.mux = undefined;
    node.incarnation++;
    this.#judgement.note(`${node.name} is down`);
    this.#schedule.after(downNs, async () => {
      await this.#boot(node);
      this.#announce(node.number);
    });
  }

  // --- the way of a packet ---

  #send(packet: Packet): void {
    this.#made++;
    this.#carry(packet, packet.id, (trail) => {
      const mux = this.#router.choose(packet);
      if (mux === undefined) this.#endWith(packet, 'no mux');
      else this.#schedule.after(RACK_NS, () => this.#atMux(this.#muxes[mux]!, packet, trail));
    });
  }

  /** Over a network that loses, delays, doubles and reorders. `trail` names the copy. */
  #carry(packet: Packet, trail: string, deliver: (trail: string) => void): void {
    const { loss, duplicate, straggling, delayNs, jitterNs } = this.#scenario.weather;
    const random = new Random(this.#scenario.seed, trail);
    const copies = random.chance(duplicate) ? 2 : 1;
    this.#made += copies - 1;
    for (let copy = 1; copy <= copies; copy++) {
      if (random.chance(loss)) {
        this.#lost++;
        this.#endWith(packet, 'lost');
      } else {
        const heldNs = random.chance(straggling) ? STRAGGLER_NS : 0;
        this.#schedule.after(delayNs + heldNs + random.unit() * jitterNs, () => deliver(`${trail}/${copy}`));
      }
    }
  }

  #atMux(node: MuxNode, packet: Packet, trail: string): void {
    if (node.mux === undefined) {
      this.#endWith(packet, `${node.name} down`);
      return;
    }
    const { nowNs } = this.#schedule;
    const outcome = node.mux.run(frame(packet.datagram), nowNs);
    const expected = node.mux.expect(packet, nowNs);
    const reason = this.#account(node.name, packet, outcome, expected.reason);
    if (reason === 'DROP_FRAGMENT_UNKNOWN') this.#judgeFragment(node, packet);
    if (outcome.verdict === 'TX' || outcome.verdict === 'REDIRECT') {
      this.#dispatch(node, packet, outcome, expected.address, trail);
    } else {
      this.#endWith(packet, reason ?? outcome.verdict);
    }
  }

  /** To whom a frame is addressed that leaves a mux. */
  #dispatch(
    node: MuxNode,
    packet: Packet,
    { output }: Outcome,
    expected: string | undefined,
    trail: string,
  ): void {
    const destination = outerDestination(output);
    const host = this.#hosts[hostAt(destination)];
    const flow = packet.flow?.action.id;
    if (host === undefined) {
      // To the client: an answer of the mux itself.
      if (expected !== undefined) {
        this.#judgement.report('backend', `${node.name} sent ${packet.id} to ${destination}`, flow);
      }
      this.#endWith(packet, 'answered');
      return;
    }
    this.#judgement.note(`${node.name} → ${host.name}: ${packet.id}`, flow);
    if (destination !== expected) {
      const message = `${node.name} sent ${packet.id} to ${destination}, and its tables say ${expected}`;
      this.#judgement.report('backend', message, flow);
    }
    if (packet.kind !== 'laterFragment') this.#rules.forwarded(packet, node, destination);
    this.#carry(packet, `${trail}/${node.name}`, () => {
      const tunnelled =
        this.#tamper.tunnelled === undefined ? output : this.#tamper.tunnelled(output, packet);
      if (tunnelled !== undefined) this.#atHost(host, packet, tunnelled);
    });
  }

  #atHost(host: SimHost, packet: Packet, tunnelled: Uint8Array): void {
    const outcome = host.run(tunnelled);
    const reason = this.#account(host.name, packet, outcome, 'DECAP');
    this.#endWith(packet, `${reason}`);
    if (reason !== 'DECAP') return;
    const { flow, message } = packet;
    const wrong = wrongDelivery(host.number, tunnelled, outcome.output, packet);
    if (wrong !== undefined)
      this.#judgement.report('payload', `${packet.id} at ${host.name} ${wrong}`, flow?.action.id);
    if (flow === undefined || message === undefined) return;
    this.#rules.delivered(packet, host.number, this.#clients.get(flow.action.id)!);
    const reply = host.serve(flow, message);
    if (reply !== undefined) this.#answer(packet, reply);
  }

  /** Straight from the server to the client. */
  #answer({ id, flow }: Packet, reply: Reply): void {
    const { loss, delayNs, jitterNs } = this.#scenario.weather;
    const random = new Random(this.#scenario.seed, id, 'answer', this.#schedule.nowNs);
    if (random.chance(loss)) return;
    const client = this.#clients.get(flow!.action.id)!;
    this.#schedule.after(delayNs + random.unit() * jitterNs, () => client.take(reply));
  }

  // --- judging ---

  /** Holds what a program did against what it had to do; the reason, where there is exactly one. */
  #account(node: string, packet: Packet, outcome: Outcome, expected: string): string | undefined {
    const flow = packet.flow?.action.id;
    const { verdict, output, reasons } = outcome;
    const names = Object.keys(reasons);
    const reason = names.length === 1 && reasons[names[0]!] === 1 ? names[0] : undefined;
    this.#judgement.note(`${node} ${packet.id}: ${reason ?? JSON.stringify(reasons)}`, flow);
    this.#judgement.digestBytes(output);
    if (verdict === 'ABORTED') this.#judgement.report('aborted', `${node}, ${packet.id}`, flow);
    if (reason === undefined) {
      const message = `${packet.id} at ${node} left for ${JSON.stringify(reasons)}`;
      this.#judgement.report('accounting', message, flow);
      return undefined;
    }
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
    const wrong = wrongVerdict(reason, verdict);
    if (wrong)
      this.#judgement.report('accounting', `${packet.id} at ${node}: ${verdict} for ${reason}`, flow);
    if (reason !== expected) {
      const message = `${packet.id} at ${node} left for ${reason}, and must for ${expected}`;
      this.#judgement.report('reason', message, flow);
    }
    return reason;
  }

  #judgeFragment(node: MuxNode, packet: Packet): void {
    const elsewhere = this.#muxes.find((it) => it !== node && it.mux?.knowsFragment(packet.fragmentKey!));
    if (elsewhere === undefined) return;
    const message = `${packet.id} at ${node.name}, and ${elsewhere.name} has the first`;
    this.#judgement.report('fragment', message, packet.flow?.action.id);
  }

  #endWith({ id, flow }: Packet, end: string): void {
    this.#ended++;
    if (end === 'lost' || end === 'no mux' || end.endsWith('down')) {
      this.#judgement.note(`${id}: ${end}`, flow?.action.id);
    }
  }

  #balance(): void {
    if (this.#made !== this.#ended) {
      this.#judgement.report('lost', `${this.#made} packets and copies were sent, ${this.#ended} ended`);
    }
  }

  #result(): Result {
    const ends: Record<FlowEnd, number> = { open: 0, finished: 0, unanswered: 0, broken: 0, timedOut: 0 };
    for (const { end } of this.#clients.values()) ends[end]++;
    const summary: Summary = {
      packets: this.#made,
      lost: this.#lost,
      versions: this.#versions.newestNumber,
      movedSlots: this.#movedSlots,
      ends,
      reasons: Object.fromEntries([...this.#reasons].sort()),
      tolerated: Object.fromEntries(this.#judgement.tolerated),
    };
    this.#judgement.note(JSON.stringify(summary));
    return {
      scenario: this.#scenario,
      summary,
      violations: this.#judgement.violations,
      trace: this.#judgement.trace,
      digest: this.#judgement.digest(),
    };
  }
}

/** Without the removal of what is not there: histories are drawn, and shortened, without knowing the state. */
function possibleEdits(state: ClusterState, edits: readonly Edit[]): Edit[] {
  const known = new Set(state.backends.keys());
  return edits.filter((edit) => {
    if (edit.kind === 'putBackend') known.add(backendKey(edit.backend));
    return edit.kind !== 'deleteBackend' || known.delete(backendKey(edit));
  });
}
