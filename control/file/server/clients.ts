// Owns which clients the server has: an address with its connections, its budget and what is counted of it; and how many
// connections there may be.
import { type AddressBytes, formatAddress, parseAddress } from '../../lib/address.ts';
import { ClientBudget } from '../core/client_budget.ts';
import type { Connection } from '../core/connection.ts';
import { type Figures, Tally } from '../core/statistics.ts';
import type { ClientReport } from './messages.ts';

/** Each has buffers of 64 KiB: 256 MB if strangers take all. */
export const CONNECTIONS_MAX = 4_096;
/** Linux clients have one for each server, or up to 16 (nconnect). */
export const CONNECTIONS_PER_CLIENT_MAX = 64;
/** Clients whose figures are told one by one: all that are connected, and those that were here last. */
export const KNOWN_CLIENTS_MAX = 8_192;

export class Client {
  readonly address: AddressBytes;
  /** The address as text. */
  readonly name: string;
  readonly budget: ClientBudget<Connection>;
  readonly tally = new Tally();
  connections = 0;
  lastMs = 0;

  constructor(address: AddressBytes) {
    this.address = address;
    this.name = formatAddress(address);
    this.budget = new ClientBudget(this.name);
  }
}

export type Refused = 'too many connections' | 'too many connections of the client';

export class Clients {
  connections = 0;
  /** Who was here first, first. */
  readonly #clients = new Map<string, Client>();
  /** Of clients that were forgotten. */
  readonly #others = new Tally();

  /** `remote`: as a socket says it. */
  connect(remote: string, nowMs: number): Client | Refused {
    if (this.connections >= CONNECTIONS_MAX) return 'too many connections';
    const client = this.#client(remote);
    if (client.connections >= CONNECTIONS_PER_CLIENT_MAX) return 'too many connections of the client';
    this.connections += 1;
    client.connections += 1;
    client.lastMs = nowMs;
    return client;
  }

  disconnect(client: Client): void {
    this.connections -= 1;
    client.connections -= 1;
    // Last in the order: those who left first are forgotten first.
    this.#clients.delete(client.name);
    this.#clients.set(client.name, client);
  }

  /** By its name; undefined: it is forgotten. */
  get(name: string): Client | undefined {
    return this.#clients.get(name);
  }

  reports(nowMs: number): ClientReport[] {
    return [...this.#clients.values()].map((it) => ({
      address: it.name,
      connections: it.connections,
      inFlight: it.budget.requests,
      waiting: it.connections > 0 && !it.budget.allows(1),
      idleMs: Math.round(nowMs - it.lastMs),
      ...it.tally.figures(),
    }));
  }

  others(): Figures {
    return this.#others.figures();
  }

  #client(remote: string): Client {
    const address = addressOf(remote);
    const name = formatAddress(address);
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    if (this.#clients.size >= KNOWN_CLIENTS_MAX) this.#forgetOne();
    const client = new Client(address);
    this.#clients.set(name, client);
    return client;
  }

  #forgetOne(): void {
    for (const client of this.#clients.values()) {
      // Requests of a closed connection may still be under way.
      if (client.connections > 0 || client.budget.requests > 0) continue;
      this.#clients.delete(client.name);
      this.#others.addAll(client.tally);
      return;
    }
  }
}

function addressOf(remote: string): AddressBytes {
  return parseAddress(textOf(remote));
}

/** Sockets for both versions of IP say IPv4 addresses mapped, and of link-local ones the interface. */
export function textOf(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}
