// Owns the store as muxes and their leader share it, as values in virtual time: the head with its versions, registrations
// under leases, acknowledgements, suspicions. The bytes that the real store holds are test/unit's.

import { type AskKeyRing, firstRing, type KeyHolder } from '../../../control/cluster/member_keys_core.ts';
import type { Acknowledgement, Registration, Version } from '../../../control/cluster/version.ts';
import type { ClusterState } from '../../../control/config/cluster_state.ts';
import type { Agenda } from './agenda.ts';
import { MS } from './place.ts';

type Lease = { registration: Registration; endNs: number };

/** Of the key with this id. */
export function secretOf(id: number): string {
  return Buffer.alloc(16, id + 1).toString('base64');
}

export class SimStore {
  readonly #agenda: Agenda;
  readonly #leaseMs: number;
  readonly #leases = new Map<string, Lease>();
  readonly #versions = new Map<number, Version>();
  readonly #suspicions = new Map<string, Map<string, number>>();
  readonly acknowledgements = new Map<string, Acknowledgement>();
  readonly #listeners = new Set<() => void>();
  readonly #incarnations = new Map<number, number>();
  readonly keyHolders = new Map<string, KeyHolder & { readonly step: number }>();
  #ring = firstRing(secretOf(0), 0);
  #head: Version | undefined;
  /** Nobody reaches it. */
  isAway = false;
  intent: ClusterState;

  constructor(agenda: Agenda, intent: ClusterState, leaseMs: number) {
    this.#agenda = agenda;
    this.intent = intent;
    this.#leaseMs = leaseMs;
  }

  get head(): Version | undefined {
    return this.#head;
  }

  /** Keys that muxes sign with. */
  get ring(): AskKeyRing {
    return this.#ring;
  }

  setRing(ring: AskKeyRing): void {
    this.#ring = ring;
    this.#changed();
  }

  /** A mux has these keys. */
  knowKeys(holder: KeyHolder & { readonly step: number }): void {
    this.keyHolders.set(holder.name, holder);
    this.#changed();
  }

  version(number: number): Version | undefined {
    return this.#versions.get(number);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  edit(intent: ClusterState): void {
    this.intent = intent;
    this.#changed();
  }

  /** False where another came first. */
  publish(version: Version, after: Version | undefined, deregister: readonly Registration[]): boolean {
    if (this.#head !== after) return false;
    this.#head = version;
    this.#versions.set(version.number, version);
    for (const { name, incarnation } of deregister)
      if (this.#leases.get(name)?.registration.incarnation === incarnation) this.#leases.delete(name);
    this.#changed();
    return true;
  }

  /** False where the head is another than that of this number; undefined: there is none. */
  register(registration: Registration, headNumber: number | undefined): boolean {
    if (headNumber !== this.#head?.number) return false;
    this.#leases.set(registration.name, { registration, endNs: 0 });
    this.#extend(registration.name);
    this.#changed();
    return true;
  }

  /** False where the lease, or what stood under it, is gone. */
  renew(registration: Registration): boolean {
    const { name, incarnation, isLeaving } = registration;
    const lease = this.#leases.get(name);
    if (lease?.registration.incarnation !== incarnation) return false;
    const isOther = lease.registration.isLeaving !== isLeaving;
    lease.registration = registration;
    this.#extend(name);
    if (isOther) this.#changed();
    return true;
  }

  unregister({ name, incarnation }: Registration): void {
    if (this.#leases.get(name)?.registration.incarnation !== incarnation) return;
    this.#leases.delete(name);
    this.#suspicions.delete(name);
    this.#changed();
  }

  registrations(): Map<string, Registration> {
    return new Map([...this.#leases].map(([name, { registration }]) => [name, registration]));
  }

  acknowledge(acknowledgement: Acknowledgement): void {
    this.acknowledgements.set(acknowledgement.name, acknowledgement);
    this.#changed();
  }

  suspect(observer: string, name: string, incarnation: number, isSuspect: boolean): void {
    const of = this.#suspicions.get(observer) ?? new Map<string, number>();
    this.#suspicions.set(observer, of);
    if (isSuspect) of.set(name, incarnation);
    else of.delete(name);
    this.#changed();
  }

  /** By observer; of observers whose lease has ended, nothing. */
  suspicions(): Map<string, ReadonlyMap<string, number>> {
    return new Map([...this.#suspicions].filter(([observer]) => this.#leases.has(observer)));
  }

  /** Incarnations of an id grow, for ever. */
  nextIncarnation(id: number): number {
    const next = (this.#incarnations.get(id) ?? 0) + 1;
    this.#incarnations.set(id, next);
    return next;
  }

  #extend(name: string): void {
    const lease = this.#leases.get(name)!;
    lease.endNs = this.#agenda.nowNs + this.#leaseMs * MS;
    this.#agenda.at(lease.endNs, () => {
      if (this.#leases.get(name) !== lease || lease.endNs > this.#agenda.nowNs) return;
      this.#leases.delete(name);
      this.#suspicions.delete(name);
      this.#changed();
    });
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
