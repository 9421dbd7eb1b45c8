// Owns being a member of the multicast groups by which packets for service addresses come to every server: the kernel
// answers queriers (IGMP, MLD) as long as the socket is open. What is joined is told by who uses it.
import { createSocket, type Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { parseAddress, versionOf } from '../lib/address.ts';

/** IP_MAX_MEMBERSHIPS is 20 on Linux unless net.ipv4.igmp_max_memberships says otherwise: so many a socket. */
const GROUPS_PER_SOCKET = 16;

type Joined = { readonly socket: Socket; readonly version: 4 | 6; readonly groups: Set<string> };

export class GroupMembership {
  readonly #interfaces: readonly string[];
  readonly #onOutcome: (error: unknown) => void;
  readonly #sockets: Joined[] = [];
  #wanted: ReadonlySet<string> = new Set();

  /** `onOutcome`: undefined where all is joined. */
  constructor(interfaces: readonly string[], onOutcome: (error: unknown) => void) {
    this.#interfaces = interfaces;
    this.#onOutcome = onOutcome;
  }

  /** These groups and no others. What could not be joined is tried again by the next call. */
  want(groups: Iterable<string>): void {
    this.#wanted = new Set(groups);
    let failure: unknown;
    for (const joined of this.#sockets)
      for (const group of joined.groups) if (!this.#wanted.has(group)) this.#leave(joined, group);
    for (const group of this.#wanted) {
      if (this.#sockets.some(({ groups: known }) => known.has(group))) continue;
      try {
        this.#join(group);
      } catch (error) {
        failure ??= error;
      }
    }
    this.#onOutcome(failure);
  }

  close(): void {
    for (const { socket } of this.#sockets.splice(0)) socket.close();
  }

  #join(group: string): void {
    const version = versionOf(parseAddress(group));
    let place = this.#sockets.find((it) => it.version === version && it.groups.size < GROUPS_PER_SOCKET);
    if (place === undefined) {
      // Bound to no port: it is there to be a member, not to be sent to.
      const socket = createSocket({ type: version === 4 ? 'udp4' : 'udp6', reuseAddr: true });
      socket.on('error', this.#onOutcome);
      socket.unref();
      place = { socket, version, groups: new Set() };
      this.#sockets.push(place);
    }
    for (const name of this.#interfaces) place.socket.addMembership(group, placeOf(name, version));
    place.groups.add(group);
  }

  #leave({ socket, version, groups }: Joined, group: string): void {
    groups.delete(group);
    for (const name of this.#interfaces) {
      try {
        socket.dropMembership(group, placeOf(name, version));
      } catch {
        // The interface, or its address, is gone, and the membership with it.
      }
    }
  }
}

/** As node:dgram names an interface. */
function placeOf(name: string, version: 4 | 6): string {
  if (version === 6) return `::%${name}`;
  const own = networkInterfaces()[name]?.find(({ family }) => family === 'IPv4');
  if (own === undefined) throw new Error(`${name} has no IPv4 address to join a group by`);
  return own.address;
}
