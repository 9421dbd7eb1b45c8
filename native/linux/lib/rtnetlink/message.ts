// Netlink messages (struct nlmsghdr): framing, errors with their extended acknowledgement, completion of dumps.
// RFC 3549 section 2.2; kernel documentation: userspace-api/netlink/intro.
import { attributeMap } from './attribute.ts';
import { align4, MalformedMessageError, Reader, Writer } from './bytes.ts';

export const NLMSG_HEADER_BYTES = 16;

export const MessageType = {
  NOOP: 1,
  ERROR: 2,
  DONE: 3,
  OVERRUN: 4,
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
  NEWRULE: 32,
  DELRULE: 33,
  GETRULE: 34,
} as const;

export const MessageFlag = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  DUMP_INTR: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  /** On errors: the failed request is not repeated beyond its header. */
  CAPPED: 0x100,
  /** On errors and DONE: attributes follow. */
  ACK_TLVS: 0x200,
} as const;

const NLMSGERR_ATTR_MSG = 1;

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  readonly payload: Uint8Array;
}

/** How the kernel ended a request; `errno` 0 is success. */
export interface Completion {
  readonly errno: number;
  readonly extack: string | undefined;
}

/** The messages of one datagram or of several joined ones. */
export function* messages(bytes: Uint8Array): Generator<Message> {
  let rest = bytes;
  while (rest.length > 0) {
    const reader = new Reader(rest, 'netlink header');
    const lengthBytes = reader.u32();
    const type = reader.u16();
    const flags = reader.u16();
    const sequence = reader.u32();
    const portId = reader.u32();
    if (lengthBytes < NLMSG_HEADER_BYTES || lengthBytes > rest.length) {
      throw new MalformedMessageError(`message claims ${lengthBytes} of ${rest.length} bytes`);
    }
    yield { type, flags, sequence, portId, payload: rest.subarray(NLMSG_HEADER_BYTES, lengthBytes) };
    rest = rest.subarray(Math.min(align4(lengthBytes), rest.length));
  }
}

/** What an ERROR message (also the positive acknowledgement) or a DONE message says; undefined for any other. */
export function decodeCompletion(message: Message): Completion | undefined {
  if (message.type !== MessageType.ERROR && message.type !== MessageType.DONE) return undefined;
  const reader = new Reader(message.payload, 'netlink completion');
  const errno = decodeErrno(reader.i32());
  if (message.type === MessageType.ERROR) {
    const requestBytes = reader.u32();
    reader.skip(NLMSG_HEADER_BYTES - 4);
    if (requestBytes < NLMSG_HEADER_BYTES) {
      throw new MalformedMessageError(`error repeats a request of ${requestBytes} bytes`);
    }
    if ((message.flags & MessageFlag.CAPPED) === 0) {
      // A failed request is repeated whole; its padding is missing where nothing follows.
      reader.skip(Math.min(align4(requestBytes - NLMSG_HEADER_BYTES), reader.remainingBytes));
    }
  }
  if ((message.flags & MessageFlag.ACK_TLVS) === 0) return { errno, extack: undefined };
  return { errno, extack: attributeMap(reader.rest()).get(NLMSGERR_ATTR_MSG)?.text() };
}

/** A request: `body` writes the family header and the attributes. Sequence and port are the socket's to fill. */
export function encodeRequest(type: number, flags: number, body: (writer: Writer) => void): Uint8Array {
  const writer = new Writer();
  writer.u32(0);
  writer.u16(type);
  writer.u16(flags | MessageFlag.REQUEST);
  writer.zeros(8);
  body(writer);
  writer.patchU32(0, writer.lengthBytes);
  return writer.finish();
}

// The kernel sends negated errno values; a positive one would be a count or an invention.
function decodeErrno(value: number): number {
  if (value > 0 || value < -4095) throw new MalformedMessageError(`completion with error value ${value}`);
  return value === 0 ? 0 : -value;
}
