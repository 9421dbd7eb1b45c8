// Owns models of how others choose a server, as far as it decides where a packet goes: each is what its description says
// and no more. All have the same tables for the same servers, and learn of a change at the same moments.
import type { Fleet, Outcome } from '../../sim/protocol/fleet.ts';
import { isOpening, type Packet } from '../../sim/protocol/packets.ts';
import { POOL_NAMES, type PoolName } from '../../sim/protocol/place.ts';
import { maglevTable } from './maglev.ts';

/** Hosts (numbers) with a share of each pool, and by slot; -1: nobody. */
export type Assignment = Readonly<
  Record<PoolName, { readonly hosts: readonly number[]; readonly slots: Int8Array }>
>;

export interface Policy extends Fleet {
  readonly name: string;
  readonly description: string;
  /** A mux puts a new assignment to use. */
  apply(mux: number, assignment: Assignment): void;
  /** A mux begins with nothing but the assignment. */
  reset(mux: number, assignment: Assignment): void;
}

const ENTRIES_MAX = 65_536;

abstract class Stateless {
  readonly hasBytes = false;
  readonly outcome: Outcome = { kind: 'host', to: -1, content: undefined, reason: 'FORWARD' };

  to(host: number, content?: unknown): Outcome {
    this.outcome.kind = host < 0 ? 'end' : 'host';
    this.outcome.to = host;
    this.outcome.content = content;
    this.outcome.reason = host < 0 ? 'DROP_NO_BACKEND' : 'FORWARD';
    return this.outcome;
  }
}

/** One table, no state: the slot, or the row of Maglev's table. */
export class ConsistentHash extends Stateless implements Policy {
  readonly name: string;
  readonly description: string;
  readonly tables: Tables;

  constructor(kind: 'slots' | 'maglev') {
    super();
    this.name = kind === 'slots' ? 'slots-only' : 'maglev';
    this.description =
      kind === 'slots'
        ? 'our slot tables without tracking: the slot decides about every packet; a change moves as few slots as it can'
        : `Maglev hashing without connection tables: row of ${ROWS} decides about every packet`;
    this.tables = new Tables(kind);
  }

  apply(mux: number, assignment: Assignment): void {
    this.tables.apply(mux, assignment);
  }

  reset(mux: number, assignment: Assignment): void {
    this.tables.apply(mux, assignment);
  }

  handle(mux: number, packet: Packet | undefined): Outcome {
    return this.to(this.tables.current(mux, packet!));
  }
}

/** What a mux remembers of its flows, besides the table: each mux for itself. */
export class FlowTable extends Stateless implements Policy {
  readonly name = 'mux-flow-table';
  readonly description =
    `Maglev hashing, and on each mux a table of the ${ENTRIES_MAX} flows it has seen last (Katran, Cilium): a packet that begins no flow goes ` +
    'where the entry says; without an entry, and for each that begins one, the row decides, and an entry is made';
  readonly #tables = new Tables('maglev');
  readonly #entries = new Map<number, Map<string, number>>();

  apply(mux: number, assignment: Assignment): void {
    this.#tables.apply(mux, assignment);
  }

  reset(mux: number, assignment: Assignment): void {
    this.#entries.set(mux, new Map());
    this.#tables.apply(mux, assignment);
  }

  handle(mux: number, packet: Packet | undefined): Outcome {
    const entries = this.#entries.get(mux)!;
    const { key } = packet!.identity;
    const known = isOpening(packet!.kind) ? undefined : entries.get(key);
    const host = known ?? this.#tables.current(mux, packet!);
    // Least recently used ones give way: a Map keeps the order of insertion.
    entries.delete(key);
    if (host >= 0) entries.set(key, host);
    if (entries.size > ENTRIES_MAX) entries.delete(entries.keys().next().value!);
    return this.to(host);
  }
}

/** Two generations of the table; servers pass on what they do not know. */
export class SecondChance extends Stateless implements Policy {
  readonly name = 'second-chance';
  readonly description =
    'our slot tables in two generations, no state on muxes (GLB, Beamer, Unimog): a packet goes to the server of the current table and names that ' +
    'of the table before, to which the server passes it on if it begins no flow and the server has none like it';
  readonly #tables = new Tables('slots');
  readonly #flows = new Map<number, Set<string>>();

  apply(mux: number, assignment: Assignment): void {
    this.#tables.apply(mux, assignment);
  }

  reset(mux: number, assignment: Assignment): void {
    this.#tables.apply(mux, assignment);
  }

  handle(mux: number, packet: Packet | undefined): Outcome {
    return this.to(this.#tables.current(mux, packet!), this.#tables.previous(mux, packet!));
  }

  passOn(host: number, packet: Packet, second: unknown): number | undefined {
    const knows = this.#flows.get(host)?.has(packet.identity.key) ?? false;
    return knows || isOpening(packet.kind) || (second as number) < 0 ? undefined : (second as number);
  }

  served(host: number, packet: Packet): void {
    if (!isOpening(packet.kind)) return;
    const flows = this.#flows.get(host) ?? new Set<string>();
    this.#flows.set(host, flows.add(packet.identity.key));
  }
}

const ROWS = 65_537;

/** Where flows belong by the current and the previous assignment of each mux. */
class Tables {
  readonly #kind: 'slots' | 'maglev';
  readonly #byMux = new Map<number, { current: Assignment; previous: Assignment }>();
  readonly #maglev = new Map<string, Uint16Array>();

  constructor(kind: 'slots' | 'maglev') {
    this.#kind = kind;
  }

  apply(mux: number, assignment: Assignment): void {
    this.#byMux.set(mux, { current: assignment, previous: this.#byMux.get(mux)?.current ?? assignment });
  }

  current(mux: number, packet: Packet): number {
    return this.#lookUp(this.#byMux.get(mux)!.current, packet);
  }

  previous(mux: number, packet: Packet): number {
    return this.#lookUp(this.#byMux.get(mux)!.previous, packet);
  }

  #lookUp(assignment: Assignment, { identity }: Packet): number {
    const { hosts, slots } = assignment[identity.pool];
    if (this.#kind === 'slots') return slots[identity.slot]!;
    if (hosts.length === 0) return -1;
    const name = hosts.join();
    let table = this.#maglev.get(name);
    if (table === undefined) {
      table = maglevTable(
        hosts.map((host) => host + 1),
        ROWS,
      );
      this.#maglev.set(name, table);
    }
    return table[identity.hash % ROWS]! - 1;
  }
}

export const EMPTY_ASSIGNMENT = Object.fromEntries(
  POOL_NAMES.map((pool) => [pool, { hosts: [], slots: new Int8Array(0) }]),
) as unknown as Assignment;
