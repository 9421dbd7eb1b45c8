// Links, addresses, routes and neighbours of one network namespace: reads, writes and changes of the kernel's
// tables (rtnetlink(7)). Requests are synchronous; waiting for something is not.
import { closeSync, openSync } from 'node:fs';
import { ClosedError, NetlinkError, SystemError } from './errors.ts';
import { NetlinkSocket, type RequestLimits } from './netlink-socket.ts';
import { currentNetns, type NetnsIdentity } from './netns.ts';
import * as address from './rtnetlink/address.ts';
import { MalformedMessageError } from './rtnetlink/bytes.ts';
import {
  checkFunction,
  checkIfindex,
  checkInteger,
  checkIp,
  checkObject,
  checkText,
} from './rtnetlink/check.ts';
import { formatIp, type IpFamily } from './rtnetlink/ip.ts';
import * as link from './rtnetlink/link.ts';
import { decodeCompletion, type Message, MessageFlag, MessageType, messages } from './rtnetlink/message.ts';
import * as neighbour from './rtnetlink/neighbour.ts';
import * as route from './rtnetlink/route.ts';
import * as rule from './rtnetlink/rule.ts';
import { groupsOf, Subscription, type Topics, type WatchEvent } from './subscription.ts';

/** A table that changes while it is dumped is read again, this often. */
export const DUMP_ATTEMPT_LIMIT = 16;
export const RESOLVE_TIMEOUT_LIMIT_MS = 600_000;
const WATCH_BUFFER_BYTES = 1024 * 1024;
const ENODEV = 19;

export interface RtnetlinkOptions extends RequestLimits {
  /** The namespace to work in; this thread's own by default. */
  readonly netns?: string | undefined;
}

export interface RouteAnswer extends route.Route {
  /** The route's MTU, else the device's. */
  readonly effectiveMtuBytes: number | undefined;
}

export interface WatchOptions {
  /** A small buffer makes overruns more likely; 1 MiB by default. */
  readonly receiveBufferBytes?: number | undefined;
}

export interface VethSpec extends link.VethPair {
  /** Path of the namespace in which the peer appears. */
  readonly peerNetns?: string | undefined;
}

export type Resolution =
  | { readonly resolved: true; readonly neighbour: neighbour.Neighbour & { readonly lladdr: string } }
  /** `failed`: nobody answered the kernel; `timeout`: it is still asking; `closed`: this object was closed. */
  | { readonly resolved: false; readonly reason: 'failed' | 'timeout' | 'closed' };

export class Rtnetlink {
  readonly #socket: NetlinkSocket;
  readonly #limits: RequestLimits;
  readonly #home: NetnsIdentity | undefined;
  readonly #subscriptions = new Set<Subscription>();
  #closed = false;

  constructor(options: RtnetlinkOptions = {}) {
    checkObject(options, 'options');
    this.#limits = { timeoutMs: options.timeoutMs, replyLimitBytes: options.replyLimitBytes };
    this.#socket = new NetlinkSocket({ netns: options.netns });
    this.#home = options.netns === undefined ? currentNetns() : undefined;
  }

  links(): link.Link[] {
    return this.#dump('links', link.encodeLinksDump(), MessageType.NEWLINK, decodeLink);
  }

  /** Undefined where there is none. Alternative names are not looked up. */
  link(nameOrIndex: string | number): link.Link | undefined {
    const request = link.encodeLinkGet(nameOrIndex);
    try {
      return this.#get(`link ${nameOrIndex}`, request, MessageType.NEWLINK, decodeLink);
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === ENODEV) return undefined;
      throw error;
    }
  }

  addresses(
    filter: { ifindex?: number | undefined; family?: IpFamily | undefined } = {},
  ): address.InterfaceAddress[] {
    checkObject(filter, 'filter');
    const all = this.#dump(
      'addresses',
      address.encodeAddressesDump(),
      MessageType.NEWADDR,
      address.decodeAddress,
    );
    return all.filter(
      (entry) =>
        (filter.ifindex === undefined || entry.ifindex === filter.ifindex) &&
        (filter.family === undefined || entry.family === filter.family),
    );
  }

  /** Of every table, or of one. Cached copies are not among them. */
  routes(family: IpFamily, table?: number): route.Route[] {
    const request = route.encodeRoutesDump(family, table);
    const all = this.#dump('routes', request, MessageType.NEWROUTE, route.decodeRoute, table !== undefined);
    return all.filter(
      (entry) =>
        (entry.flags & route.ROUTE_FLAG_CLONED) === 0 && (table === undefined || entry.table === table),
    );
  }

  /** What the kernel would do with a packet for `address`; NetlinkError (ENETUNREACH, …) where it has no route. */
  routeGet(destination: string, query: route.RouteQuery = {}): RouteAnswer {
    checkObject(query, 'query');
    const request = route.encodeRouteGet(destination, query);
    const answer = this.#get(`route to ${destination}`, request, MessageType.NEWROUTE, route.decodeRoute);
    const device =
      answer.mtuBytes === undefined && answer.oif !== undefined ? this.link(answer.oif) : undefined;
    return { ...answer, effectiveMtuBytes: answer.mtuBytes ?? device?.mtuBytes };
  }

  neighbours(filter: neighbour.NeighbourFilter = {}): neighbour.Neighbour[] {
    checkObject(filter, 'filter');
    const request = neighbour.encodeNeighboursDump(filter);
    const all = this.#dump('neighbours', request, MessageType.NEWNEIGH, neighbour.decodeNeighbour);
    return all.filter(
      (entry) =>
        (filter.ifindex === undefined || entry.ifindex === filter.ifindex) &&
        (filter.family === undefined || entry.family === filter.family),
    );
  }

  /**
   * Has the kernel confirm an entry as if a packet were about to use it: one that has gone stale is probed and ends
   * reachable or failed, which a watch tells. Returns at once. @throws NetlinkError
   */
  confirmNeighbour(ifindex: number, address: string): void {
    checkIfindex(ifindex);
    const { bytes, family } = checkIp(address, 'address');
    const key = { ifindex, address: formatIp(bytes, family) };
    this.#acknowledge(`confirm ${key.address}`, neighbour.encodeNeighbourUse(key));
  }

  /**
   * Has the kernel find the neighbour's hardware address and waits until it may be used, has failed, or time is
   * up. The kernel gives up after about three seconds by itself.
   */
  async resolveNeighbour(ifindex: number, to: string, options: { timeoutMs: number }): Promise<Resolution> {
    checkIfindex(ifindex);
    const target = checkIp(to, 'address');
    checkObject(options, 'options');
    const timeoutMs = checkInteger(options.timeoutMs, 'timeoutMs', 1, RESOLVE_TIMEOUT_LIMIT_MS);
    const canonical = formatIp(target.bytes, target.family);
    const key = { ifindex, address: canonical };
    const { promise, resolve, reject } = Promise.withResolvers<Resolution>();
    const settle = (entry: neighbour.Neighbour): void => {
      if (entry.ifindex !== ifindex || entry.address !== canonical) return;
      if (isResolved(entry)) resolve({ resolved: true, neighbour: entry });
      else if (entry.state === 'failed') resolve({ resolved: false, reason: 'failed' });
    };
    const look = (): void => {
      for (const entry of this.neighbours({ ifindex, family: target.family })) settle(entry);
    };
    // Events first, then the question: an answer cannot fall between them.
    const subscription = this.watch({ neighbours: true }, (event) => {
      if (event.kind === 'neighbour' && event.change === 'new') settle(event.neighbour);
      else if (event.kind === 'closed') resolve({ resolved: false, reason: 'closed' });
      else if (event.kind === 'failed') reject(event.error);
      else if (event.kind === 'overrun') {
        try {
          look();
        } catch (error) {
          reject(error);
        }
      }
    });
    const timer = setTimeout(() => resolve({ resolved: false, reason: 'timeout' }), timeoutMs);
    try {
      const known = this.neighbours({ ifindex, family: target.family }).find(
        (entry) => entry.address === canonical && isResolved(entry),
      );
      if (known !== undefined) settle(known);
      else {
        this.#acknowledge(`resolve ${canonical}`, neighbour.encodeNeighbourUse(key));
        // It may have been answered already; a `failed` read now may be the earlier attempt's.
        for (const entry of this.neighbours({ ifindex, family: target.family })) {
          if (entry.state !== 'failed') settle(entry);
        }
      }
      return await promise;
    } finally {
      clearTimeout(timer);
      subscription.close();
    }
  }

  /**
   * Changes from now on: subscribe first, then read, and read again after an `overrun`. The subscription keeps the
   * process alive until it is closed or unreferenced.
   */
  watch(topics: Topics, handler: (event: WatchEvent) => void, options: WatchOptions = {}): Subscription {
    const groups = groupsOf(topics);
    checkFunction(handler, 'handler');
    checkObject(options, 'options');
    this.#checkOpen('watch');
    const socket = new NetlinkSocket({
      groups,
      sameNetnsAs: this.#isThreadHome() ? undefined : this.#socket,
      receiveBufferBytes: options.receiveBufferBytes ?? WATCH_BUFFER_BYTES,
    });
    const subscription = new Subscription(socket, handler, () => this.#subscriptions.delete(subscription));
    this.#subscriptions.add(subscription);
    return subscription;
  }

  addAddress(spec: address.AddressSpec): void {
    this.#acknowledge('add address', address.encodeAddressAdd(spec));
  }

  deleteAddress(spec: address.AddressSpec): void {
    this.#acknowledge('delete address', address.encodeAddressDelete(spec));
  }

  setLinkUp(ifindex: number): void {
    this.#acknowledge('set link up', link.encodeLinkChange(ifindex, { up: true }));
  }

  setLinkDown(ifindex: number): void {
    this.#acknowledge('set link down', link.encodeLinkChange(ifindex, { up: false }));
  }

  setMtu(ifindex: number, mtuBytes: number): void {
    this.#acknowledge('set MTU', link.encodeLinkChange(ifindex, { mtuBytes }));
  }

  addRoute(spec: route.RouteSpec): void {
    this.#acknowledge('add route', route.encodeRouteAdd(spec));
  }

  deleteRoute(spec: route.RouteSpec): void {
    this.#acknowledge('delete route', route.encodeRouteDelete(spec));
  }

  rules(family: IpFamily): rule.Rule[] {
    const all = this.#dump('rules', rule.encodeRulesDump(family), MessageType.NEWRULE, rule.decodeRule);
    return all.filter((entry) => entry.family === family);
  }

  addRule(spec: rule.OwnPortsRule): void {
    this.#acknowledge('add rule', rule.encodeRuleAdd(spec));
  }

  deleteRule(spec: rule.OwnPortsRule): void {
    this.#acknowledge('delete rule', rule.encodeRuleDelete(spec));
  }

  addNeighbour(spec: neighbour.NeighbourSpec): void {
    this.#acknowledge('add neighbour', neighbour.encodeNeighbourAdd(spec));
  }

  deleteNeighbour(key: neighbour.NeighbourKey): void {
    this.#acknowledge('delete neighbour', neighbour.encodeNeighbourDelete(key));
  }

  createVeth(spec: VethSpec): void {
    checkObject(spec, 'veth pair');
    const peerNetns = spec.peerNetns === undefined ? undefined : checkText(spec.peerNetns, 'peerNetns');
    const fd = peerNetns === undefined ? undefined : openNetns(peerNetns);
    try {
      this.#acknowledge(`create veth ${spec.name}`, link.encodeVethCreate(spec, fd));
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  deleteLink(ifindex: number): void {
    this.#acknowledge('delete link', link.encodeLinkDelete(ifindex));
  }

  /** Closes the subscriptions too. Repeating it does nothing. */
  close(): void {
    this.#closed = true;
    this.#socket.close();
    for (const subscription of this.#subscriptions) subscription.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // Opening beside the request socket needs privileges; in the thread's own namespace none are needed.
  #isThreadHome(): boolean {
    if (this.#home === undefined) return false;
    const here = currentNetns();
    return here.inode === this.#home.inode && here.device === this.#home.device;
  }

  #checkOpen(operation: string): void {
    if (this.#closed) throw new ClosedError(`${operation}: closed`);
  }

  #acknowledge(operation: string, request: Uint8Array): void {
    this.#exchange(operation, request, () => undefined);
  }

  #get<T>(operation: string, request: Uint8Array, type: number, decode: Decoder<T>): T {
    const values: T[] = [];
    this.#exchange(operation, request, (message) => {
      const value = message.type === type ? decode(message.payload) : undefined;
      if (value !== undefined) values.push(value);
    });
    const [value] = values;
    if (value === undefined) throw new MalformedMessageError(`${operation}: acknowledged without an answer`);
    return value;
  }

  // ENOENT for a table that does not exist: a filtered dump of it is an empty one.
  #dump<T>(
    operation: string,
    request: Uint8Array,
    type: number,
    decode: Decoder<T>,
    missingIsEmpty = false,
  ): T[] {
    for (let attempt = 1; attempt <= DUMP_ATTEMPT_LIMIT; attempt += 1) {
      const values: T[] = [];
      let interrupted = false;
      try {
        this.#exchange(operation, request, (message) => {
          interrupted ||= (message.flags & MessageFlag.DUMP_INTR) !== 0;
          const value = message.type === type ? decode(message.payload) : undefined;
          if (value !== undefined) values.push(value);
        });
      } catch (error) {
        if (missingIsEmpty && error instanceof NetlinkError && error.errno === ENOENT) return [];
        throw error;
      }
      if (!interrupted) return values;
    }
    throw new NetlinkError(EAGAIN, operation, `the table changed during ${DUMP_ATTEMPT_LIMIT} dumps`);
  }

  #exchange(operation: string, request: Uint8Array, each: (message: Message) => void): void {
    this.#checkOpen(operation);
    for (const message of messages(this.#request(operation, request))) {
      const completion = decodeCompletion(message);
      if (completion === undefined) {
        each(message);
        continue;
      }
      if (completion.errno !== 0) throw new NetlinkError(completion.errno, operation, completion.extack);
      // A dump that was interrupted may say so only here.
      each(message);
    }
  }

  #request(operation: string, request: Uint8Array): Uint8Array {
    try {
      return this.#socket.request(request, this.#limits);
    } catch (cause) {
      if (cause instanceof NetlinkError) throw new NetlinkError(cause.errno, operation, undefined, { cause });
      throw cause;
    }
  }
}

type Decoder<T> = (payload: Uint8Array) => T | undefined;

const EAGAIN = 11;
const ENOENT = 2;

function decodeLink(payload: Uint8Array): link.Link {
  const { family: _, ...decoded } = link.decodeLink(payload);
  return decoded;
}

function isResolved(entry: neighbour.Neighbour): entry is neighbour.Neighbour & { readonly lladdr: string } {
  return neighbour.isUsable(entry);
}

function openNetns(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    const { errno = 0, message } = cause as NodeJS.ErrnoException;
    throw new SystemError(`open ${path}: ${message}`, Math.abs(errno), `open ${path}`, { cause });
  }
}
