// Owns a leader and all that it is told, in memory, for tests of what it decides.
import {
  type Inputs,
  LEADER_SETTINGS_DEFAULT,
  type Outcome,
} from '../../../control/cluster/leader/inputs.ts';
import { Leader } from '../../../control/cluster/leader/leader.ts';
import type {
  Acknowledgement,
  PeriodReport,
  Registration,
  Version,
} from '../../../control/cluster/version.ts';
import { type ClusterState, type Edit, EMPTY_STATE } from '../../../control/config/cluster_state.ts';
import { planEdits } from '../../../control/pool/edits.ts';

export const SLOTS = 12;
export const IDLE_MS = 10_000;
export const {
  handshakeHoldMs: HOLD_MS,
  leaseMs: LEASE_MS,
  marginMs: MARGIN_MS,
  acknowledgeMsMax,
} = LEADER_SETTINGS_DEFAULT;

export const backend = (name: string, weight = 100): Edit => ({
  kind: 'putBackend',
  backend: { pool: 'web', name, address: `192.0.2.${name.slice(1)}`, weight, encap: 'ip' },
});
export const remove = (name: string): Edit => ({ kind: 'deleteBackend', pool: 'web', name });
const BASICS: Edit[] = [
  {
    kind: 'putService',
    service: {
      name: 'www',
      addresses: ['198.51.100.1'],
      protocol: 'tcp',
      port: 80,
      pool: 'web',
      idleTimeoutMs: IDLE_MS,
    },
  },
];

/** A leader and all that it is told. */
export class Cluster {
  nowMs = 0;
  state: ClusterState = EMPTY_STATE;
  head: Version | undefined;
  leader = new Leader(LEADER_SETTINGS_DEFAULT);
  readonly registrations = new Map<string, Registration>();
  readonly acknowledgements = new Map<string, Acknowledgement>();
  readonly suspicions = new Map<string, Map<string, number>>();
  readonly cutOff = new Map<string, number>();
  outcome!: Outcome;

  constructor(muxes = 3, slots = SLOTS) {
    this.edit({ kind: 'putPool', pool: { name: 'web', slots } }, ...BASICS, backend('b1'), backend('b2'));
    this.step();
    for (let id = 1; id <= muxes; id++) this.register(id);
    this.settle();
    // It leads for a while already.
    this.step(LEASE_MS);
  }

  get web() {
    return this.head!.placements.get(1)!;
  }

  get periods() {
    return this.web.periods;
  }

  edit(...edits: Edit[]): void {
    this.change({ force: false }, ...edits);
  }

  change(options: { force: boolean; now?: boolean }, ...edits: Edit[]): void {
    const { after } = planEdits(this.state, edits, options);
    this.state = { ...after, revision: this.state.revision + 1 };
  }

  suspect(observer: string, name: string, incarnation = 1): void {
    this.suspicions.set(observer, new Map(this.suspicions.get(observer)).set(name, incarnation));
  }

  register(id: number, incarnation = 1, { isLeaving = false, leaseMs = LEASE_MS } = {}): void {
    const name = `m${id}`;
    this.registrations.set(name, {
      name,
      id,
      incarnation,
      address: `192.0.2.${200 + id}`,
      askPort: 7445,
      leaseMs,
      isLeaving,
    });
  }

  /** A step, and what it publishes is the head. */
  step(afterMs = 0): Version | undefined {
    this.nowMs += afterMs;
    const inputs: Inputs = {
      intent: { state: this.state, revision: this.state.revision },
      head: this.head,
      registrations: this.registrations,
      acknowledgements: this.acknowledgements,
      suspicions: this.suspicions,
      cutOff: this.cutOff,
      freshCluster: `cluster-${this.nowMs}`,
    };
    this.outcome = this.leader.step(inputs, this.nowMs);
    const { publish, deregister } = this.outcome;
    if (publish === undefined) return undefined;
    for (const { name } of deregister) this.registrations.delete(name);
    this.head = { ...publish, leaderEpoch: 1, digest: `d${publish.number}` };
    return this.head;
  }

  acknowledge(id: number, report: Partial<PeriodReport> = {}, more: Partial<Acknowledgement> = {}): void {
    const head = this.head!;
    const name = `m${id}`;
    const epochs = new Map(this.periods.map((it) => [it.trackEpoch, it]));
    this.acknowledgements.set(name, {
      name,
      incarnation: head.members.find((it) => it.name === name)?.incarnation ?? 1,
      version: head.number,
      digest: head.digest,
      reports: [...epochs.values()].map(({ trackEpoch, chainEpoch }) => ({
        poolId: 1,
        trackEpoch,
        copiedChainEpoch: chainEpoch,
        isHandedOver: false,
        unrecordedAgoMs: -1,
        heldSlots: new Uint8Array(Math.ceil(this.web.period.length / 8)),
        flows: 3,
        oldFlows: 0,
        ...report,
      })),
      ...more,
    });
  }

  acknowledgeAll(report: Partial<PeriodReport> = {}): void {
    for (const { id } of this.head!.members) this.acknowledge(id, report);
  }

  /** All members have it, until nothing is published. */
  settle(): void {
    for (let round = 0; round < 10; round++) {
      if (this.step() === undefined) return;
      this.acknowledgeAll();
    }
    throw new Error('it does not settle');
  }

  /** Through tracking and its hold to commit. */
  commit(...edits: Edit[]): void {
    this.edit(...edits);
    this.settle();
    this.step();
    this.step(HOLD_MS);
    this.acknowledgeAll();
    this.step();
  }
}
