// Changes of the kernel's tables as they come: an event socket with the decoder behind it.
import { NetlinkError } from './errors.ts';
import type { NetlinkSocket, NetlinkSocketEvent } from './netlink-socket.ts';
import { MalformedMessageError } from './rtnetlink/bytes.ts';
import { checkObject } from './rtnetlink/check.ts';
import { decodeEvent, type RtnetlinkEvent } from './rtnetlink/event.ts';
import { messages } from './rtnetlink/message.ts';

export interface Topics {
  readonly links?: boolean | undefined;
  readonly addresses?: boolean | undefined;
  readonly routes?: boolean | undefined;
  readonly neighbours?: boolean | undefined;
}

export type WatchEvent =
  | RtnetlinkEvent
  /** Events were lost: read the tables again. */
  | { readonly kind: 'overrun' }
  /** The socket broke or the kernel sent what this package cannot read; the subscription is closed. */
  | { readonly kind: 'failed'; readonly error: NetlinkError | MalformedMessageError }
  /** The last event of every subscription that was closed. */
  | { readonly kind: 'closed' };

/** RTNLGRP_* (linux/rtnetlink.h). */
const GROUPS: Readonly<Record<keyof Topics, readonly number[]>> = {
  links: [1],
  addresses: [5, 9],
  routes: [7, 11],
  neighbours: [3],
};

export function groupsOf(topics: Topics): number[] {
  checkObject(topics, 'topics');
  for (const name of Object.keys(topics)) {
    if (!Object.hasOwn(GROUPS, name)) throw new TypeError(`unknown topic: ${name}`);
  }
  const wanted = (Object.keys(GROUPS) as (keyof Topics)[]).filter((name) => topics[name] === true);
  if (wanted.length === 0) throw new TypeError('no topic is wanted');
  return wanted.flatMap((name) => GROUPS[name]);
}

/** Made by `Rtnetlink.watch`. */
export class Subscription {
  readonly #socket: NetlinkSocket;
  readonly #handler: (event: WatchEvent) => void;
  readonly #onClose: () => void;
  #closed = false;

  constructor(socket: NetlinkSocket, handler: (event: WatchEvent) => void, onClose: () => void) {
    this.#socket = socket;
    this.#handler = handler;
    this.#onClose = onClose;
    socket.onMessage((event) => this.#receive(event));
  }

  ref(): this {
    this.#socket.ref();
    return this;
  }

  unref(): this {
    this.#socket.unref();
    return this;
  }

  /** Repeating it does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    this.#onClose();
    this.#handler({ kind: 'closed' });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #receive(event: NetlinkSocketEvent): void {
    if (event.kind === 'overrun') this.#handler(event);
    else if (event.kind === 'failed') this.#fail(new NetlinkError(event.errno, 'receive events', undefined));
    else {
      for (const decoded of this.#decode(event.bytes)) {
        // The handler may have closed the subscription at an earlier event of this datagram.
        if (this.#closed) return;
        this.#handler(decoded);
      }
    }
  }

  #decode(bytes: Uint8Array): RtnetlinkEvent[] {
    const events: RtnetlinkEvent[] = [];
    try {
      for (const message of messages(bytes)) {
        const event = decodeEvent(message);
        if (event !== undefined) events.push(event);
      }
      return events;
    } catch (error) {
      if (!(error instanceof MalformedMessageError)) throw error;
      this.#fail(error);
      return [];
    }
  }

  #fail(error: NetlinkError | MalformedMessageError): void {
    if (this.#closed) return;
    this.#handler({ kind: 'failed', error });
    this.close();
  }
}
