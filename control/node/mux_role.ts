// Owns the role mux of a node: its program, kept at the cluster's state and at the paths to the backends, and what can
// be asked of it. Not here: tables and their order of writes (control/dataplane), finding paths (control/route).
import type { CapturedPacket } from '../api/node_port.ts';
import type {
  Attachment,
  BackendView,
  CaptureRequest,
  ExplainRequest,
  NodeEvent,
  Traffic,
} from '../api/schema.ts';
import type { Member, Version } from '../cluster/version.ts';
import type { ClusterState, StoredBackend } from '../config/cluster_state.ts';
import { type BackendConfig, outerBytes } from '../dataplane/backend_table.ts';
import type { TrafficCount } from '../dataplane/counters.ts';
import { backendConfig, desiredMux, peerConfig, type SelfAddress } from '../dataplane/desired.ts';
import type { PacketExplanation } from '../dataplane/explain.ts';
import type { MuxProgram } from '../dataplane/mux.ts';
import { parseAddress, versionOf } from '../lib/address.ts';
import { Failure, type FailureBody } from '../lib/failure.ts';
import type { NextHops, Path } from '../route/next_hop.ts';
import { filterOf, packetsOf } from './capture_session.ts';
import { clusterProblems } from './cluster_problems.ts';
import { arrivalOf, frameOfRequest } from './explain_packet.ts';
import { Paths } from './paths.ts';
import type { Origin, ProgramRole, XdpMode } from './role.ts';
import type { MuxTraffic } from './stats.ts';

/** Paths that one event describes. */
const DESCRIBED_MAX = 4;

export type MuxRoleOptions = {
  readonly program: MuxProgram;
  /** IP versions that there is an address to send tunnels from. */
  readonly tunnelVersions: ReadonlySet<4 | 6>;
  /** Follows paths and tells of every change. */
  readonly nextHops: (onChange: (address: string, path: Path) => void) => NextHops;
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
  /** Paths could not be written: the state is to be applied again, which writes them. */
  readonly onFailure: (error: unknown) => void;
  readonly interfaceName: (ifindex: number) => string | undefined;
  readonly nowMs: () => number;
};

export class MuxRole implements ProgramRole {
  readonly role = 'mux';
  readonly #options: MuxRoleOptions;
  readonly #program: MuxProgram;
  readonly #nextHops: NextHops;
  readonly #paths: Paths;
  /** What users want; what the program does is the version's. */
  #state: ClusterState | undefined;
  /** Of the version in effect, by index, and its other muxes. */
  #backends = new Map<number, StoredBackend>();
  #peers: readonly SelfAddress[] = [];
  /** Paths that changed and are about to be written, by address. */
  readonly #changedPaths = new Map<string, Path>();
  /** Ends the capture that runs. */
  #stopCapture: (() => void) | undefined;

  constructor(options: MuxRoleOptions) {
    this.#options = options;
    this.#program = options.program;
    this.#nextHops = options.nextHops((address, path) => this.#pathChanged(address, path));
    this.#paths = new Paths(this.#nextHops, options.nowMs);
  }

  get origin(): Origin {
    return this.#program.origin;
  }

  get capturing(): boolean {
    return this.#stopCapture !== undefined;
  }

  async apply(state: ClusterState): Promise<void> {
    this.#state = state;
  }

  /** Brings the program to this version; `self` is this mux as others reach it. */
  async applyVersion(version: Version, self: SelfAddress | undefined): Promise<void> {
    this.#backends = new Map([...version.objects.backends.values()].map((it) => [it.index, it]));
    this.#peers = peersOf(version.members, self);
    // Before the first packet goes to a new backend its next hop is known, where the kernel knows it.
    this.#paths.follow([...this.#backends.values(), ...this.#peers].map(({ address }) => address));
    const desired = desiredMux(version, (address) => this.#paths.path(address), self);
    // One that cannot be sent to is a problem, and no reason to keep all else from the program.
    const backends = new Map([...desired.backends].filter(([, { address }]) => this.#canSendTo(address)));
    await this.#program.apply({ ...desired, backends });
  }

  attach(interfaceName: string, mode: XdpMode): void {
    this.#program.attach({ interface: interfaceName, mode });
  }

  detach(interfaceName: string): void {
    this.#program.detach(interfaceName);
  }

  /** To be asked often: the rest of an attachment costs a dozen calls of the kernel. */
  get isAttached(): boolean {
    return this.#program.isAttached;
  }

  attachments(): Attachment[] {
    return this.#program.attachments().map((it) => ({ ...it, role: this.role }));
  }

  reasons(): Readonly<Record<string, bigint>> {
    return this.#program.counters().reasons;
  }

  traffic(): MuxTraffic {
    const { services, backends, flowEvents } = this.#program.counters();
    return {
      flowEvents,
      muxes: this.#program.muxesHeard(),
      services: services.map(({ key, ...count }) => ({ ...key, traffic: trafficOf(count) })),
      backends: new Map(backends.map(({ index, ...count }) => [index, trafficOf(count)])),
    };
  }

  limits(): Record<string, { used: number; max: number }> {
    return this.#program.limits();
  }

  problems(): FailureBody[] {
    const own = this.#program.problems();
    if (this.#state === undefined) return own.map((it) => it.body);
    const path = this.#paths.problem(this.#state);
    const found = [...own, ...clusterProblems(this.#state, this.#options.tunnelVersions)];
    return [...found.map((it) => it.body), ...(path === undefined ? [] : [path])];
  }

  path(index: number): BackendView['path'] {
    const backend = this.#backends.get(index);
    if (backend === undefined) return undefined;
    const path = this.#paths.path(backend.address);
    const { mtuBytes, encap } = backendConfig(backend, path);
    const innerMtuBytes = mtuBytes - outerBytes(versionOf(parseAddress(backend.address)), encap);
    const hop = path?.nextHop;
    const interfaceName = hop && this.#options.interfaceName(hop.ifindex);
    return {
      state: this.#paths.stateOf(backend.address),
      ...(interfaceName !== undefined && { interface: interfaceName }),
      ...(hop !== undefined && { mac: hop.destinationMac }),
      mtuBytes,
      innerMtuBytes,
    };
  }

  explain(request: ExplainRequest): PacketExplanation {
    const ifindex = arrivalOf(request, this.attachments());
    return this.#program.explain(frameOfRequest(request), ifindex === undefined ? {} : { ifindex });
  }

  capture(request: CaptureRequest, signal: AbortSignal): AsyncIterable<readonly CapturedPacket[]> {
    if (this.#stopCapture !== undefined) {
      throw new Failure('conflict', 'somebody captures already', {
        remedy: 'one capture runs at a time; wait until it ends',
      });
    }
    const filter = filterOf(request);
    try {
      this.#program.startCapture(filter);
    } catch (error) {
      // It may copy on some interfaces by now.
      this.#program.stopCapture();
      throw error;
    }
    // One that has ended must not end the next.
    const stop = () => {
      if (this.#stopCapture !== stop) return;
      this.#stopCapture = undefined;
      this.#program.stopCapture();
      this.#options.tell({ kind: 'capture', message: 'the capture ended' });
    };
    this.#stopCapture = stop;
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    this.#options.tell({ kind: 'capture', message: 'a capture began: forwarding costs more while it runs' });
    return packetsOf(
      {
        drainCapture: () => (this.#stopCapture === stop ? this.#program.drainCapture() : []),
        stopCapture: stop,
      },
      request,
      signal,
    );
  }

  async close(): Promise<void> {
    this.#stopCapture?.();
    this.#nextHops.close();
    this.#program.close();
  }

  #canSendTo(address: string): boolean {
    return this.#options.tunnelVersions.has(versionOf(parseAddress(address)));
  }

  // Paths change between states too, and one gateway changes those of thousands of backends: they are written together.
  #pathChanged(address: string, path: Path): void {
    this.#paths.changed(address, path);
    if (this.#changedPaths.size === 0) queueMicrotask(() => this.#writePaths());
    this.#changedPaths.set(address, path);
  }

  #writePaths(): void {
    const configs = new Map<number, BackendConfig>();
    for (const [index, backend] of this.#backends) {
      const path = this.#changedPaths.get(backend.address);
      if (path !== undefined) configs.set(index, backendConfig(backend, path));
    }
    const peers = new Map<number, BackendConfig>();
    for (const peer of this.#peers) {
      const path = this.#changedPaths.get(peer.address);
      if (path !== undefined) peers.set(peer.id, peerConfig(peer, path));
    }
    this.#options.tell({ kind: 'path', message: describePaths(this.#changedPaths) });
    this.#changedPaths.clear();
    this.#program.setPaths(configs, peers).catch(this.#options.onFailure);
  }
}

function peersOf(members: readonly Member[], self: SelfAddress | undefined): readonly SelfAddress[] {
  return self === undefined ? [] : members.filter(({ id }) => id !== self.id);
}

/** Those of a few in full; of many, how many are known. */
function describePaths(paths: ReadonlyMap<string, Path>): string {
  if (paths.size <= DESCRIBED_MAX) {
    return [...paths].map(([address, path]) => describePath(address, path)).join('; ');
  }
  const known = [...paths.values()].filter(({ nextHop }) => nextHop !== undefined).length;
  return `the paths to ${paths.size} addresses changed: next hops to ${known} are known`;
}

function describePath(address: string, { nextHop, mtuBytes }: Path): string {
  if (nextHop !== undefined) return `${address} is reached by ${nextHop.destinationMac}, MTU ${mtuBytes}`;
  return mtuBytes === undefined ? `no route leads to ${address}` : `the next hop to ${address} is not known`;
}

function trafficOf({ packets, bytes, newFlows }: TrafficCount): Traffic {
  return { packets: Number(packets), bytes: Number(bytes), newFlows: Number(newFlows) };
}
