// Owns one lab as a whole: raising it, what runs in it, and taking it down completely, also one that a crashed process
// left behind.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../../control/api/schema.ts';
import type { Document } from '../../control/config/objects.ts';
import { ClientAgent } from './agent.ts';
import { type LabBird, LabRouting, routed, routerBird } from './bird.ts';
import { documentOf, nodeFileOf, placeOf } from './configuration.ts';
import { LabDaemon } from './daemon.ts';
import { LabEtcd } from './etcd.ts';
import { type ImpairOptions, type ImpairStatus, portsDirectory } from './impairment.ts';
import { impairLink, impairStatus, straightenLink } from './links.ts';
import { type BackendNode, type LabNode, type LabPlan, type LabSize, type MuxNode, planLab } from './plan.ts';
import { endProcesses, identify, isAlive, leaveRunning, ready, startScript } from './processes.ts';
import { LabPorts } from './programs.ts';
import {
  isMounted,
  type LabState,
  labDirectory,
  labNames,
  mountPins,
  pinDirectory,
  readState,
  removeState,
  writeState,
} from './state.ts';
import { isRaised, namespacesOf, raiseTopology, removeTopology, setMuxesInUse } from './topology.ts';

const SERVER = new URL('server.ts', import.meta.url).pathname;

const SETTLE_LIMIT_MS = 20_000;
const POLL_MS = 20;

export type LabMux = {
  readonly node: MuxNode;
  readonly daemon: LabDaemon;
  /** Where the muxes announce themselves. */
  readonly routing: LabRouting | undefined;
};
export type LabBackend = { readonly node: BackendNode; readonly daemon: LabDaemon };

export class Lab {
  readonly plan: LabPlan;
  readonly muxes: readonly LabMux[];
  readonly backends: readonly LabBackend[];
  /** Where the lab has one. */
  readonly etcd: LabEtcd | undefined;
  /** Of the router, where muxes announce themselves. */
  readonly bird: LabBird | undefined;
  readonly #state: LabState;
  /** Of the backends. */
  readonly #servers = new Map<string, LabState['processes'][number]>();
  readonly #agents = new Map<string, Promise<ClientAgent>>();
  #ports: LabPorts | undefined;

  private constructor(plan: LabPlan, state: LabState) {
    this.plan = plan;
    this.#state = state;
    const daemon = (node: LabNode) =>
      new LabDaemon(placeOf(plan, node), (identity) => this.#record(identity));
    const record = (identity: LabState['processes'][number]) => this.#record(identity);
    const isBird = plan.routes === 'bird';
    this.muxes = plan.muxes.map((node) => {
      const routing = isBird ? new LabRouting(plan, node, record) : undefined;
      return { node, daemon: daemon(node), routing };
    });
    this.bird = isBird ? routerBird(plan, record) : undefined;
    this.backends = plan.backends.map((node) => ({ node, daemon: daemon(node) }));
    this.etcd = plan.etcd && new LabEtcd(plan.name, plan.etcd, (identity) => this.#record(identity));
  }

  /** Raises a lab that ends with this process, if not before by `down`. */
  static async raise(size: LabSize = {}): Promise<Lab> {
    if (process.getuid?.() !== 0) throw new Error('the lab needs root: it makes network namespaces');
    await removeAbandoned();
    const plan = planLab(size);
    const existing = readState(plan.name);
    if (existing !== undefined) {
      const kept = existing.owner === undefined;
      throw new Error(
        `lab "${plan.name}" is up${kept ? '; take it down first: scripts/lab down' : `, held by process ${existing.owner?.pid}`}`,
      );
    }
    // Namespaces without a state: of a process that was killed before it could write one.
    removeTopology(plan.name);
    const lab = new Lab(plan, newState(plan));
    try {
      await lab.#raise();
    } catch (error) {
      await lab.down();
      throw error;
    }
    return lab;
  }

  get ports(): LabPorts {
    if (this.#ports === undefined) throw new Error(`lab "${this.plan.name}" has no programs`);
    return this.#ports;
  }

  /** The process of a client, started when first asked for. */
  client(number = 1): Promise<ClientAgent> {
    const node = this.plan.clients[number - 1];
    if (node === undefined) throw new RangeError(`there is no client ${number}`);
    let agent = this.#agents.get(node.name);
    if (agent === undefined) {
      agent = this.#startAgent(node);
      this.#agents.set(node.name, agent);
    }
    return agent;
  }

  /** Has the router spread the services over these muxes only. */
  useMuxes(...muxes: readonly LabMux[]): void {
    if (this.bird !== undefined) throw new Error('the router goes by what the muxes announce');
    setMuxesInUse(
      this.plan,
      muxes.map(({ node }): MuxNode => node),
    );
  }

  /** Makes the cluster be this, through one of its daemons, and returns when every daemon has it. */
  async apply(document: Document, options: { force?: boolean } = {}): Promise<void> {
    const { revision } = await this.muxes[0]!.daemon.client.apply(document, options);
    await this.settles(revision);
  }

  /**
   * Waits until every daemon has this revision, new connections go by it, and every mux has a next hop to every backend.
   */
  async settles(revision: number): Promise<void> {
    const daemons = [...this.muxes, ...this.backends].map(({ daemon }) => daemon);
    await Promise.all(daemons.map((it) => it.answers((status) => status.appliedRevision >= revision)));
    await Promise.all(this.muxes.map(({ daemon }) => goesByEdits(daemon, revision)));
    await Promise.all(this.muxes.map(({ daemon }) => reachesBackends(daemon)));
  }

  /** Has the muxes believe that no path carries more than this; undefined: what the paths are. */
  async limitMtu(mtuBytes: number | undefined): Promise<void> {
    await this.apply(documentOf(this.plan, mtuBytes));
  }

  /** Impairs the link between a node and the router from the next packet on; again: with other settings. */
  async impair(node: LabNode, options: ImpairOptions): Promise<void> {
    mountPins(this.plan.name);
    this.ports.pin(portsDirectory(this.plan.name));
    await impairLink(this.plan, this.#state, node, options);
  }

  /** The link as it was. What waits on it leaves at once. */
  async straighten(node: LabNode): Promise<void> {
    await straightenLink(this.plan, this.#state, node);
  }

  /** Settings and counters of a link; undefined where it is not impaired. */
  impairment(node: LabNode): ImpairStatus | undefined {
    return impairStatus(this.plan, node);
  }

  /** `kill -9` of what serves on a backend; what takes its tunnel off stays. */
  killServer({ name }: BackendNode): void {
    process.kill(this.#servers.get(name)!.pid, 'SIGKILL');
  }

  /** Leaves the lab up when this process ends. */
  async keep(): Promise<void> {
    this.ports.pin(portsDirectory(this.plan.name));
    const agents = (await Promise.all(this.#agents.values())).map(({ started }) => started.identity);
    await endProcesses(agents);
    this.#agents.clear();
    this.#closePorts();
    // Daemons that were ended on purpose have successors; clients' processes have ended by now.
    this.#state.processes = this.#state.processes.filter(isAlive);
    delete this.#state.owner;
    writeState(this.#state);
  }

  /** Whoever takes the lab down ends this process, too. */
  adopt(identity: LabState['processes'][number]): void {
    this.#record(identity);
  }

  async down(): Promise<void> {
    this.#closePorts();
    await removeLab(this.plan.name);
  }

  async #raise(): Promise<void> {
    mkdirSync(labDirectory(this.plan.name), { recursive: true });
    writeState(this.#state);
    raiseTopology(this.plan);
    const serving = this.#startServers();
    // Both may fail; the first failure is told, the other is not to be an unhandled one.
    serving.catch(() => undefined);
    this.#ports = new LabPorts(this.plan);
    mountPins(this.plan.name);
    await this.etcd?.start();
    await this.#startRouting();
    for (const { node, daemon } of [...this.muxes, ...this.backends]) {
      daemon.configure(nodeFileOf(this.plan, node));
      daemon.launch();
    }
    await this.muxes[0]!.daemon.answers();
    await Promise.all([serving, this.apply(documentOf(this.plan))]);
    // Until then a mux decides nothing.
    const decides = ({ cluster }: Status) => cluster?.state === 'member' && !cluster.pastDeadline;
    await Promise.all(this.muxes.map(({ daemon }) => daemon.answers(decides)));
    if (this.bird !== undefined) {
      await routed(
        this.plan,
        this.muxes.map(({ node }) => node.name),
      );
    }
    this.#state.complete = true;
    writeState(this.#state);
  }

  async #startRouting(): Promise<void> {
    this.bird?.configure();
    await Promise.all([this.bird?.start(), ...this.muxes.map(({ routing }) => routing?.start())]);
  }

  async #startServers(): Promise<void> {
    const addresses = [...this.plan.services4, ...this.plan.services6];
    await Promise.all(
      this.plan.backends.map(async ({ netns, name }) => {
        const logPath = join(labDirectory(this.plan.name), `${name}.log`);
        const started = startScript(netns, SERVER, [name, ...addresses], { detached: true, logPath });
        this.#record(started.identity);
        this.#servers.set(name, started.identity);
        await ready(started, `the server of ${name}`);
        leaveRunning(started);
      }),
    );
  }

  async #startAgent(node: LabNode): Promise<ClientAgent> {
    const agent = await ClientAgent.start(node, join(labDirectory(this.plan.name), `${node.name}.log`));
    this.#record(agent.started.identity);
    return agent;
  }

  #record(identity: LabState['processes'][number]): void {
    // Whoever takes the lab down, on Ctrl-C, has seen the processes there were before, and would miss this one.
    if (removals.has(this.plan.name)) {
      process.kill(identity.pid, 'SIGKILL');
      throw new Error(`lab "${this.plan.name}" is being taken down`);
    }
    this.#state.processes.push(identity);
    writeState(this.#state);
  }

  #closePorts(): void {
    this.#ports?.close();
    this.#ports = undefined;
  }
}

/** New flows go where the edits up to `revision` say: nothing waits for its commit, and the mux has what is newest. */
async function goesByEdits(daemon: LabDaemon, revision: number): Promise<void> {
  const deadline = Date.now() + SETTLE_LIMIT_MS;
  for (;;) {
    const { version, applied, publishedRevision, open } = await daemon.client.changes();
    const waits = open.filter(({ parts }) => parts.some(({ step }) => step === 'track'));
    if (applied === version && publishedRevision >= revision && waits.length === 0) return;
    if (Date.now() > deadline) {
      const why = waits.flatMap(({ waitsFor }) => waitsFor).join('; ');
      throw new Error(`${daemon.place.name} does not come to revision ${revision}: ${why}`);
    }
    await sleep(POLL_MS);
  }
}

async function reachesBackends(daemon: LabDaemon): Promise<void> {
  const deadline = Date.now() + SETTLE_LIMIT_MS;
  for (;;) {
    const missing = (await daemon.client.backends()).find(({ path }) => path?.state !== 'known');
    if (missing === undefined) return;
    if (Date.now() > deadline) {
      throw new Error(`${daemon.place.name} finds no next hop to ${missing.name}`);
    }
    await sleep(POLL_MS);
  }
}

/** The plan of a lab that was kept and is complete; undefined where there is none or only parts of it are left. */
export function keptLab(name: string): LabPlan | undefined {
  const state = readState(name);
  if (state === undefined || state.owner !== undefined || !state.complete) return undefined;
  const plan = planLab(state.size);
  const whole = isRaised(plan) && state.processes.every(isAlive) && isMounted(pinDirectory(name));
  return whole ? plan : undefined;
}

/** The plan of a lab whose network stands, kept or held by a process, whatever of it has ended since. */
export function standingLab(name: string): LabPlan | undefined {
  const state = readState(name);
  if (state === undefined || !state.complete) return undefined;
  const plan = planLab(state.size);
  return isRaised(plan) ? plan : undefined;
}

const removals = new Map<string, Promise<void>>();

/** Everything that a lab of this name left, whoever raised it. Repeating it does nothing. */
export function removeLab(name: string): Promise<void> {
  // A signal and the failure that it causes may both want it gone.
  const removal = removals.get(name) ?? remove(name).finally(() => removals.delete(name));
  removals.set(name, removal);
  return removal;
}

async function remove(name: string): Promise<void> {
  const state = readState(name);
  if (state !== undefined) await endProcesses([...state.processes, ...Object.values(state.pumps)]);
  removeState(name);
  removeTopology(name);
}

/** Labs whose process is gone and that were not to stay. */
export async function removeAbandoned(): Promise<void> {
  for (const name of labNames()) {
    const owner = readState(name)?.owner;
    if (owner !== undefined && !isAlive(owner)) await removeLab(name);
  }
}

/** What is left of a lab, in words; empty after `down`. */
export function leftovers(name: string): string[] {
  const state = readState(name);
  return [
    ...namespacesOf(name).map((netns) => `namespace ${netns}`),
    ...(state === undefined ? [] : [...state.processes, ...Object.values(state.pumps)])
      .filter(isAlive)
      .map(({ pid }) => `process ${pid}`),
    ...(isMounted(pinDirectory(name)) ? [`pins in ${pinDirectory(name)}`] : []),
    ...(state === undefined ? [] : [`state in ${labDirectory(name)}`]),
  ];
}

function newState(plan: LabPlan): LabState {
  const owner = identify(process.pid);
  if (owner === undefined) throw new Error('the lab needs /proc');
  return {
    version: 1,
    size: {
      name: plan.name,
      clients: plan.clients.length,
      muxes: plan.muxes.length,
      backends: plan.backends.length,
      ...(plan.etcd && { store: 'etcd' }),
      routes: plan.routes,
      ...(plan.flowEntries !== undefined && { flowEntries: plan.flowEntries }),
    },
    owner,
    complete: false,
    processes: [],
    pumps: {},
  };
}
