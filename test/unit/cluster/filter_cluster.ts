// Owns a leader over a pool of filters and all that it is told, in memory, for tests of what it decides.
import { LEADER_SETTINGS_DEFAULT, type Outcome } from '../../../control/cluster/leader/inputs.ts';
import { Leader } from '../../../control/cluster/leader/leader.ts';
import { serversOf } from '../../../control/cluster/leader/servers.ts';
import type {
  Acknowledgement,
  PeriodReport,
  Registration,
  Version,
} from '../../../control/cluster/version.ts';
import { type ClusterState, type Edit, EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import { Judgement } from '../../../control/health/judgement_core.ts';
import { planEdits } from '../../../control/pool/edits.ts';

export const SLOTS = 12;
export const TIMEOUT_MS = 10_000;
const FIRST_ID = 64;

export const addressOf = (id: number): string => `192.0.2.${id}`;
export const server = (id: number, weight = 100): Edit => ({
  kind: 'putBackend',
  backend: { pool: 'web', name: `s${id}`, address: addressOf(id), weight, encap: 'ip' },
});

/** Servers are named by their ids, from 64 on; backend indexes begin at 1. */
export class FilterCluster {
  nowMs = 0;
  state: ClusterState = EMPTY_STATE;
  head: Version | undefined;
  leader = new Leader(LEADER_SETTINGS_DEFAULT);
  readonly judgement = new Judgement(3_000);
  readonly registrations = new Map<string, Registration>();
  readonly acknowledgements = new Map<string, Acknowledgement>();
  readonly suspicions = new Map<string, Map<string, number>>();
  readonly cutOff = new Map<string, number>();
  outcome!: Outcome;

  constructor(servers = 3, pool: { readonly hosts?: 'single' } = {}) {
    const ids = Array.from({ length: servers }, (_, at) => FIRST_ID + at);
    this.edit(
      { kind: 'putPool', pool: { name: 'web', slots: SLOTS, delivery: 'filter', ...pool } },
      {
        kind: 'putService',
        service: {
          name: 'www',
          addresses: ['198.51.100.1'],
          protocol: 'tcp',
          port: 80,
          pool: 'web',
          idleTimeoutMs: TIMEOUT_MS,
        },
      },
      ...ids.map((id) => server(id)),
    );
    for (const id of ids) this.register(id);
    this.settle();
    this.step(LEADER_SETTINGS_DEFAULT.leaseMs);
  }

  get web() {
    return this.head!.placements.get(1)!;
  }

  /** Ids of the servers that slots go to. */
  get current(): number[] {
    return this.#ids(this.web.current);
  }

  get base(): number[] {
    return this.#ids(this.web.base);
  }

  get periods() {
    return this.web.periods;
  }

  holders(at = 0): number[] {
    return this.periods[at]!.candidates.flat().map(({ id }) => id);
  }

  edit(...edits: Edit[]): void {
    const { after } = planEdits(this.state, edits, { force: false });
    this.state = { ...after, revision: this.state.revision + 1 };
  }

  register(id: number, incarnation = 1, { isLeaving = false } = {}): void {
    const name = `s${id}`;
    this.registrations.set(name, {
      name,
      id,
      incarnation,
      address: addressOf(id),
      askPort: 7445,
      leaseMs: LEADER_SETTINGS_DEFAULT.leaseMs,
      isLeaving,
    });
  }

  /** Most of the others do not hear it. */
  crash(id: number): void {
    for (const { name } of this.head!.members)
      if (name !== `s${id}`) this.suspicions.set(name, new Map([[`s${id}`, 1]]));
  }

  /** What is observed, as the driver writes it before each step; then the step, what it publishes is the head. */
  step(afterMs = 0): Version | undefined {
    this.nowMs += afterMs;
    const { nowMs } = this;
    const servers = serversOf(this.head?.members ?? [], this.state.backends.values());
    const { after } = this.judgement.step(this.state, { nowMs, wallMs: nowMs, members: [], servers });
    if (after !== this.state) this.state = { ...after, revision: this.state.revision + 1 };
    this.outcome = this.leader.step(
      {
        intent: { state: this.state, revision: this.state.revision },
        head: this.head,
        registrations: this.registrations,
        acknowledgements: this.acknowledgements,
        suspicions: this.suspicions,
        cutOff: this.cutOff,
        freshCluster: 'filters',
      },
      nowMs,
    );
    const { publish, deregister } = this.outcome;
    if (publish === undefined) return undefined;
    for (const { name } of deregister) this.registrations.delete(name);
    this.head = { ...publish, leaderEpoch: 1, digest: `d${publish.number}` };
    return this.head;
  }

  /** `held`: slots in which it has clients that are not the current server's. */
  acknowledge(id: number, held: readonly number[] = [], report: Partial<PeriodReport> = {}): void {
    const head = this.head!;
    const member = head.members.find((it) => it.id === id)!;
    const heldSlots = new Uint8Array(Math.ceil(SLOTS / 8));
    for (const slot of held) heldSlots[slot >> 3]! |= 1 << (slot & 7);
    const epochs = new Set((head.placements.get(1)?.periods ?? []).map(({ trackEpoch }) => trackEpoch));
    this.acknowledgements.set(member.name, {
      name: member.name,
      incarnation: member.incarnation,
      version: head.number,
      digest: head.digest,
      reports: [...epochs].map((trackEpoch) => ({
        poolId: 1,
        trackEpoch,
        copiedChainEpoch: head.number,
        isHandedOver: false,
        unrecordedAgoMs: -1,
        heldSlots,
        flows: 3,
        oldFlows: held.length,
        ...report,
      })),
    });
  }

  acknowledgeAll(held: readonly number[] = []): void {
    for (const { id } of this.head!.members) this.acknowledge(id, held);
  }

  /** All members have it, and nobody clients of another, until nothing is published. */
  settle(): void {
    for (let round = 0; round < 20; round++) {
      const observed = this.state;
      if (this.step() === undefined && observed === this.state) return;
      this.acknowledgeAll();
    }
    throw new Error('it does not settle');
  }

  #ids(indexes: Uint16Array): number[] {
    const addresses = new Map(
      [...this.head!.objects.backends.values()].map(({ index, address }) => [index, address]),
    );
    return [...indexes].map((it) => Number(addresses.get(it)?.split('.').at(-1) ?? 0));
  }
}
