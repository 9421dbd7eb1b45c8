// Owns the coordination store of the simulated file nodes, as values: the namespace, the roster, acknowledgements under
// leases, and who committed what. Every operation happens at one moment; the way to it is the world's.
import type { ClusterView, FileNodeEffect } from '../../../control/file/namespace/cluster/events.ts';
import {
  type Acknowledgement,
  EMPTY_ROSTER,
  type Roster,
} from '../../../control/file/namespace/cluster/roster.ts';
import { EMPTY_NAMESPACE, type Namespace } from '../../../control/file/namespace/document.ts';

export type StoreFaults = {
  /** Compares no revision of the namespace. */
  readonly ignoresRevision: boolean;
  /** Commits over other changes. */
  readonly overwrites: boolean;
};

type Lease = { readonly id: number; readonly name: string; endMs: number };

export class SimStore {
  readonly #nowMs: () => number;
  readonly #leaseMs: number;
  readonly #faults: StoreFaults;
  readonly #changed: () => void;
  #leases = new Map<number, Lease>();
  #nextLease = 1;
  #acknowledgements = new Map<
    string,
    { readonly acknowledgement: Acknowledgement; readonly lease: number }
  >();
  #at = 1;
  #namespace: Namespace = EMPTY_NAMESPACE;
  #roster: Roster = EMPTY_ROSTER;
  /** Every revision that there ever was. */
  readonly revisions = new Map<number, Namespace>([[0, EMPTY_NAMESPACE]]);
  /** Which revision a change became. */
  readonly ids = new Map<string, { readonly revision: number; readonly at: number }>();
  isAway = false;

  constructor(options: {
    nowMs: () => number;
    leaseMs: number;
    faults: StoreFaults;
    changed: () => void;
  }) {
    this.#nowMs = options.nowMs;
    this.#leaseMs = options.leaseMs;
    this.#faults = options.faults;
    this.#changed = options.changed;
  }

  get view(): ClusterView {
    const acknowledgements = new Map(
      [...this.#acknowledgements].map(([name, { acknowledgement }]) => [name, acknowledgement]),
    );
    return { at: this.#at, namespace: this.#namespace, roster: this.#roster, acknowledgements };
  }

  get namespace(): Namespace {
    return this.#namespace;
  }

  get roster(): Roster {
    return this.#roster;
  }

  /** Leases that nobody renewed end. An outage of the store gives each its whole time anew, as etcd does. */
  expire(): void {
    if (this.isAway) return;
    const nowMs = this.#nowMs();
    for (const lease of this.#leases.values()) if (lease.endMs <= nowMs) this.#end(lease.id);
  }

  back(): void {
    this.isAway = false;
    for (const lease of this.#leases.values()) lease.endMs = this.#nowMs() + this.#leaseMs;
  }

  grant(name: string, acknowledgement: Acknowledgement): number {
    const id = this.#nextLease++;
    this.#leases.set(id, { id, name, endMs: this.#nowMs() + this.#leaseMs });
    this.#put(name, acknowledgement, id);
    return id;
  }

  renew(id: number): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    lease.endMs = this.#nowMs() + this.#leaseMs;
    return true;
  }

  acknowledge(id: number, acknowledgement: Acknowledgement): boolean {
    const lease = this.#leases.get(id);
    if (lease === undefined) return false;
    this.#put(lease.name, acknowledgement, id);
    return true;
  }

  writeRoster(effect: FileNodeEffect & { kind: 'writeRoster' }): boolean {
    const { roster, ifEpoch, ifRevision, ifAcknowledged } = effect;
    if (ifEpoch !== this.#roster.epoch) return false;
    if (!this.#faults.ignoresRevision && ifRevision !== undefined && ifRevision !== this.#namespace.revision)
      return false;
    if (ifAcknowledged !== undefined) {
      const { name, acknowledgement } = ifAcknowledged;
      if (this.#acknowledgements.get(name)?.acknowledgement !== acknowledgement) return false;
    }
    this.#roster = roster;
    this.#next();
    return true;
  }

  setRoster(roster: Roster, ifEpoch: number): boolean {
    if (roster === this.#roster || ifEpoch !== this.#roster.epoch) return false;
    this.#roster = roster;
    this.#next();
    return true;
  }

  /** Undefined: another change came first. */
  commit(id: string, namespace: Namespace): number | undefined {
    if (!this.#faults.overwrites && namespace.revision !== this.#namespace.revision + 1) return undefined;
    const revision = this.#namespace.revision + 1;
    this.#namespace = revision === namespace.revision ? namespace : { ...namespace, revision };
    this.revisions.set(revision, this.#namespace);
    this.#next();
    this.ids.set(id, { revision, at: this.#at });
    return this.#at;
  }

  #put(name: string, acknowledgement: Acknowledgement, lease: number): void {
    this.#acknowledgements.set(name, { acknowledgement, lease });
    this.#next();
  }

  #end(id: number): void {
    this.#leases.delete(id);
    for (const [name, it] of this.#acknowledgements) {
      if (it.lease !== id) continue;
      this.#acknowledgements.delete(name);
      this.#next();
    }
  }

  #next(): void {
    this.#at++;
    this.#changed();
  }
}
