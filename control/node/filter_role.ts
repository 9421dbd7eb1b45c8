// Owns the role filter of a node: its program, kept at the cluster's versions and at the ways to the other servers, and the
// groups by which packets come. Not here: tables and their order of writes (control/dataplane), which server has which
// bucket (control/cluster).

import { HeldConnections } from '../affinity/held_connections.ts';
import type { AffinityEngine } from '../affinity/tasks.ts';
import type { Attachment, ExplainRequest, NodeEvent } from '../api/schema.ts';
import type { Member, Version } from '../cluster/version.ts';
import { ENTRIES_MAX } from '../dataplane/affinity_program.ts';
import type { BackendConfig } from '../dataplane/backend_table.ts';
import { peerConfig, type SelfAddress } from '../dataplane/desired.ts';
import { type DesiredFilter, desiredFilter } from '../dataplane/desired_filter.ts';
import type { PacketExplanation } from '../dataplane/explain.ts';
import type { FilterProgram } from '../dataplane/filter.ts';
import type { FlowTuple } from '../dataplane/flow_tuple.ts';
import type { FailureBody } from '../lib/failure.ts';
import type { NextHops, Path } from '../route/next_hop.ts';
import { arrivalOf, frameOfRequest } from './explain_packet.ts';
import { Paths } from './paths.ts';
import type { Origin, ProgramRole, XdpMode } from './role.ts';
import type { MuxTraffic } from './stats.ts';

const NS_PER_MS = 1e6;

export type FilterRoleOptions = {
  readonly program: FilterProgram;
  readonly nextHops: (onChange: (address: string, path: Path) => void) => NextHops;
  /** Has packets for these groups come here. */
  readonly groups: { want(groups: Iterable<string>): void; close(): void };
  /** By name; undefined: there is none such. */
  readonly linkOf: (
    interfaceName: string,
  ) => { readonly mac?: string | undefined; readonly kind?: string | undefined } | undefined;
  /** TCP connections of this host, piece by piece. */
  readonly connections: () => AsyncIterable<readonly FlowTuple[]>;
  readonly onConnections: (error: unknown) => void;
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
  readonly onFailure: (error: unknown) => void;
  readonly nowMs: () => number;
};

export class FilterRole implements ProgramRole {
  readonly role = 'filter';
  readonly #options: FilterRoleOptions;
  readonly #program: FilterProgram;
  readonly #nextHops: NextHops;
  readonly #paths: Paths;
  #peers: readonly Pick<Member, 'id' | 'address' | 'askPort'>[] = [];
  readonly #held: HeldConnections;
  #givenUp: ReadonlySet<number> = new Set();
  #pools: DesiredFilter['pools'] = new Map();
  readonly #changedPaths = new Map<string, Path>();

  constructor(options: FilterRoleOptions) {
    this.#options = options;
    this.#program = options.program;
    this.#nextHops = options.nextHops((address, path) => this.#pathChanged(address, path));
    this.#paths = new Paths(this.#nextHops, options.nowMs);
    const { self } = this.#program;
    this.#held = new HeldConnections({
      read: options.connections,
      name: (connection) => this.#program.nameFlow(connection),
      slots: (poolId) => this.#pools.get(poolId)?.current.length ?? 0,
      isElsewhere: (poolId, slot) => this.#pools.get(poolId)?.current[slot] !== self.id,
      onOutcome: options.onConnections,
    });
    // Of what a daemon before this one has attached.
    for (const { interface: name } of this.#program.attachments()) this.#setLinkAddress(name);
  }

  get origin(): Origin {
    return this.#program.origin;
  }

  /** What the program does is the version's. */
  async apply(): Promise<void> {}

  /** Brings the program to this version; `self` is this server as others reach it. */
  async applyVersion(version: Version, self: SelfAddress | undefined): Promise<void> {
    this.#peers = self === undefined ? [] : version.members.filter(({ id }) => id !== self.id);
    this.#paths.follow(this.#peers.map(({ address }) => address));
    const desired = desiredFilter(version, (address) => this.#paths.path(address), self);
    await this.#program.apply(desired);
    this.#givenUp = desired.givenUp;
    this.#pools = desired.pools;
    this.#held.forget();
    // After the tables: what comes then is judged.
    this.#options.groups.want(desired.shared.map(({ group }) => group));
  }

  /** What tasks of clients do to the tables. */
  engine(): AffinityEngine {
    const program = this.#program;
    const { affinities } = program;
    return {
      beginSweep: () => {
        program.beginSweep();
        if ([...this.#pools.values()].some(({ periods }) => periods.length > 0)) void this.#held.read();
      },
      sweep: (at) => affinities.sweep(at),
      heldSlots: (poolId) => {
        const [slots, connections] = [program.heldSlots(poolId), this.#held.held(poolId)];
        if (slots === undefined || connections === undefined) return undefined;
        return slots.map((byte, at) => byte | (connections[at] ?? 0));
      },
      unrecordedMs: (poolId, trackEpoch) => {
        const ns = program.unrecordedNs(poolId, trackEpoch);
        return ns === 0n ? undefined : Number(ns) / NS_PER_MS;
      },
      givenUp: () => this.#givenUp,
      giveUp: (pools, at) => {
        const ranges = [...pools].flatMap((id) => program.ranges.get(id) ?? []);
        const { next, entries } = affinities.list(at);
        const hashes = entries
          .filter(({ slot }) => ranges.some(({ base, count }) => slot >= base && slot < base + count))
          .map(({ hash }) => hash);
        for (let from = 0; from < hashes.length; from += ENTRIES_MAX)
          affinities.release(hashes.slice(from, from + ENTRIES_MAX));
        return { next };
      },
    };
  }

  attach(interfaceName: string, mode: XdpMode): void {
    this.#setLinkAddress(interfaceName);
    // In native mode the stack of a veth goes by whom the frame was for before: what was for a group is not taken.
    const isVeth = this.#options.linkOf(interfaceName)?.kind === 'veth';
    this.#program.attach({ interface: interfaceName, mode: mode === 'auto' && isVeth ? 'generic' : mode });
  }

  detach(interfaceName: string): void {
    this.#program.detach(interfaceName);
  }

  attachments(): Attachment[] {
    return this.#program.attachments().map((it) => ({ ...it, role: this.role }));
  }

  reasons(): Readonly<Record<string, bigint>> {
    return this.#program.counters().reasons;
  }

  traffic(): MuxTraffic {
    const { services, flowEvents } = this.#program.counters();
    return {
      flowEvents,
      muxes: [],
      services: services.map(({ key, packets, bytes, newFlows }) => ({
        ...key,
        traffic: { packets: Number(packets), bytes: Number(bytes), newFlows: Number(newFlows) },
      })),
      backends: new Map(),
    };
  }

  limits(): Record<string, { used: number; max: number }> {
    return this.#program.limits();
  }

  explain(request: ExplainRequest): PacketExplanation {
    const ifindex = arrivalOf(request, this.attachments());
    return this.#program.explain(frameOfRequest(request), ifindex === undefined ? {} : { ifindex });
  }

  problems(): FailureBody[] {
    return this.#program.problems().map((it) => it.body);
  }

  async close(): Promise<void> {
    this.#options.groups.close();
    this.#nextHops.close();
    this.#program.close();
  }

  #setLinkAddress(interfaceName: string): void {
    const mac = this.#options.linkOf(interfaceName)?.mac;
    if (mac !== undefined) this.#program.setLinkAddress(mac);
  }

  // One gateway may change the ways to all others: they are written together.
  #pathChanged(address: string, path: Path): void {
    this.#paths.changed(address, path);
    if (this.#changedPaths.size === 0) queueMicrotask(() => this.#writePaths());
    this.#changedPaths.set(address, path);
  }

  #writePaths(): void {
    const peers = new Map<number, BackendConfig>();
    for (const peer of this.#peers) {
      const path = this.#changedPaths.get(peer.address);
      if (path !== undefined) peers.set(peer.id, peerConfig(peer, path));
    }
    this.#changedPaths.clear();
    this.#program.setPaths(peers).catch(this.#options.onFailure);
  }
}
