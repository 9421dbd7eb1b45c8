// A socket of NETLINK_ROUTE or NETLINK_GENERIC (netlink(7)): either requests or events, by whether it joined multicast groups. It moves
// messages; what they say is the codecs' business.
import { binding, type NativeNetlinkSocket } from './binding.ts';
import { native, netlink } from './errors.ts';
import { LITTLE_ENDIAN } from './rtnetlink/bytes.ts';
import { checkFunction, checkInteger, checkObject, checkText } from './rtnetlink/check.ts';
import { MessageFlag, NLMSG_HEADER_BYTES } from './rtnetlink/message.ts';

export const REQUEST_TIMEOUT_MS = 5_000;
export const REQUEST_TIMEOUT_LIMIT_MS = 600_000;
export const REPLY_LIMIT_BYTES = 256 * 1024 * 1024;
export const REQUEST_LIMIT_BYTES = 1024 * 1024;
export const RECEIVE_BUFFER_LIMIT_BYTES = 256 * 1024 * 1024;
const GROUP_LIMIT = 0xffff;
const PROTOCOLS = { route: 0, generic: 16 } as const;

export interface NetlinkSocketOptions {
  /** `route` (rtnetlink) by default. */
  readonly protocol?: keyof typeof PROTOCOLS | undefined;
  /** The namespace to open the socket in; it stays there. The thread's own by default. */
  readonly netns?: string | undefined;
  /** Use the namespace of another socket, even if no path names it any more. Needs CAP_NET_ADMIN there. */
  readonly sameNetnsAs?: NetlinkSocket | undefined;
  /** Multicast groups (RTNLGRP_*). With any, the socket receives events and sends no requests. */
  readonly groups?: readonly number[] | undefined;
  /** SO_RCVBUF; the kernel's default where absent. */
  readonly receiveBufferBytes?: number | undefined;
}

export interface RequestLimits {
  readonly timeoutMs?: number | undefined;
  readonly replyLimitBytes?: number | undefined;
}

export type NetlinkSocketEvent =
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  /** The kernel dropped events (ENOBUFS): what is known from events is stale until read again. */
  | { readonly kind: 'overrun' }
  /** The socket is unusable; close it. */
  | { readonly kind: 'failed'; readonly errno: number };

export class NetlinkSocket {
  readonly #native: NativeNetlinkSocket;
  readonly #receivesEvents: boolean;

  constructor(options: NetlinkSocketOptions = {}) {
    checkObject(options, 'options');
    const { protocol = 'route', netns, sameNetnsAs, groups = [], receiveBufferBytes = 0 } = options;
    if (!Object.hasOwn(PROTOCOLS, protocol)) throw new TypeError(`unknown netlink protocol: ${protocol}`);
    if (netns !== undefined) checkText(netns, 'netns');
    if (sameNetnsAs !== undefined && !(sameNetnsAs instanceof NetlinkSocket)) {
      throw new TypeError('sameNetnsAs is not a NetlinkSocket');
    }
    if (netns !== undefined && sameNetnsAs !== undefined) {
      throw new TypeError('netns and sameNetnsAs exclude each other');
    }
    if (!Array.isArray(groups)) throw new TypeError('groups is not a list');
    for (const group of groups) checkInteger(group, 'group', 1, GROUP_LIMIT);
    checkInteger(receiveBufferBytes, 'receiveBufferBytes', 0, RECEIVE_BUFFER_LIMIT_BYTES);
    this.#receivesEvents = groups.length > 0;
    this.#native = native(
      'open netlink socket',
      () =>
        new binding.NetlinkSocket(
          netns,
          sameNetnsAs === undefined ? undefined : sameNetnsAs.#native,
          [...groups],
          receiveBufferBytes,
          PROTOCOLS[protocol],
        ),
    );
  }

  /**
   * Sends one message and returns all that answers it, up to and with the acknowledgement, error or DONE. The
   * sequence number is filled in. Blocks this thread: the kernel answers within microseconds.
   */
  request(message: Uint8Array, limits: RequestLimits = {}): Uint8Array {
    if (!(message instanceof Uint8Array)) throw new TypeError('message is not a Uint8Array');
    checkObject(limits, 'limits');
    const { timeoutMs = REQUEST_TIMEOUT_MS, replyLimitBytes = REPLY_LIMIT_BYTES } = limits;
    checkInteger(timeoutMs, 'timeoutMs', 1, REQUEST_TIMEOUT_LIMIT_MS);
    checkInteger(replyLimitBytes, 'replyLimitBytes', 1, REPLY_LIMIT_BYTES);
    checkInteger(message.length, 'message.length', NLMSG_HEADER_BYTES, REQUEST_LIMIT_BYTES);
    checkHeader(message);
    if (this.#receivesEvents)
      throw new TypeError('a socket with groups receives events and sends no requests');
    return netlink('netlink request', () => this.#native.request(message, timeoutMs, replyLimitBytes));
  }

  /** Starts delivering events; the socket then lives, and keeps the process alive, until `close` or `unref`. */
  onMessage(handler: (event: NetlinkSocketEvent) => void): void {
    checkFunction(handler, 'handler');
    if (!this.#receivesEvents) throw new TypeError('a socket without groups receives no events');
    netlink('receive netlink events', () =>
      this.#native.start((kind, value) => {
        if (kind === 'message') handler({ kind, bytes: value as Uint8Array });
        else if (kind === 'overrun') handler({ kind });
        else handler({ kind: 'failed', errno: value as number });
      }),
    );
  }

  ref(): this {
    this.#native.ref();
    return this;
  }

  unref(): this {
    this.#native.unref();
    return this;
  }

  /** No event is delivered after it. Repeating it does nothing. */
  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

// A request whose end nothing marks would wait for its time limit.
function checkHeader(message: Uint8Array): void {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const lengthBytes = view.getUint32(0, LITTLE_ENDIAN);
  if (lengthBytes !== message.length) {
    throw new RangeError(`the message says ${lengthBytes} bytes and has ${message.length}`);
  }
  const flags = view.getUint16(6, LITTLE_ENDIAN);
  if ((flags & MessageFlag.REQUEST) === 0 || (flags & (MessageFlag.ACK | MessageFlag.DUMP)) === 0) {
    throw new TypeError('the message is not a request with NLM_F_ACK or NLM_F_DUMP');
  }
}
