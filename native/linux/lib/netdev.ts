// What drivers say they can do with XDP: the generic netlink family `netdev` (linux/netdev.h, kernel documentation:
// netlink/specs/netdev).
import { NetlinkError } from './errors.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { type Attribute, attributeMap, putText, putU32 } from './rtnetlink/attribute.ts';
import { MalformedMessageError, Reader, type Writer } from './rtnetlink/bytes.ts';
import { checkIfindex, checkObject } from './rtnetlink/check.ts';
import { decodeCompletion, encodeRequest, MessageFlag, messages } from './rtnetlink/message.ts';

/** NETDEV_XDP_ACT_*. */
export const XdpFeature = {
  /** Native mode: aborted, drop, pass and TX. */
  BASIC: 0x1,
  REDIRECT: 0x2,
  /** Takes frames that were redirected to it. */
  NDO_XMIT: 0x4,
  XSK_ZEROCOPY: 0x8,
  HW_OFFLOAD: 0x10,
  /** Frames of several buffers. */
  RX_SG: 0x20,
  NDO_XMIT_SG: 0x40,
} as const;

const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR = { FAMILY_ID: 1, FAMILY_NAME: 2 } as const;
const NETDEV_CMD_DEV_GET = 1;
const NETDEV_A_DEV = { IFINDEX: 1, XDP_FEATURES: 3 } as const;
const GENL_HEADER_BYTES = 4;
const VERSION = 1;
const ENOENT = 2;

/** `XdpFeature` bits; undefined where the kernel (before 6.3) does not tell. @throws NetlinkError ENODEV */
export function xdpFeatures(
  ifindex: number,
  options: { readonly netns?: string | undefined } = {},
): number | undefined {
  checkIfindex(ifindex);
  checkObject(options, 'options');
  using socket = new NetlinkSocket({ protocol: 'generic', netns: options.netns });
  const family = familyId(socket);
  if (family === undefined) return undefined;
  const device = ask(socket, `XDP features of interface ${ifindex}`, family, NETDEV_CMD_DEV_GET, (writer) =>
    putU32(writer, NETDEV_A_DEV.IFINDEX, ifindex),
  );
  const features = device.get(NETDEV_A_DEV.XDP_FEATURES)?.u64();
  return features === undefined ? undefined : Number(BigInt.asUintN(32, features));
}

function familyId(socket: NetlinkSocket): number | undefined {
  try {
    const family = ask(socket, 'netlink family netdev', GENL_ID_CTRL, CTRL_CMD_GETFAMILY, (writer) =>
      putText(writer, CTRL_ATTR.FAMILY_NAME, 'netdev'),
    );
    return family.get(CTRL_ATTR.FAMILY_ID)?.u16();
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ENOENT) return undefined;
    throw error;
  }
}

function ask(
  socket: NetlinkSocket,
  operation: string,
  family: number,
  command: number,
  attributes: (writer: Writer) => void,
): Map<number, Attribute> {
  const request = encodeRequest(family, MessageFlag.ACK, (writer) => {
    writer.u8(command);
    writer.u8(VERSION);
    writer.u16(0);
    attributes(writer);
  });
  let answer: Map<number, Attribute> | undefined;
  for (const message of messages(socket.request(request))) {
    const completion = decodeCompletion(message);
    if (completion !== undefined) {
      if (completion.errno !== 0) throw new NetlinkError(completion.errno, operation, completion.extack);
    } else if (message.type === family) {
      const reader = new Reader(message.payload, 'genlmsghdr');
      reader.skip(GENL_HEADER_BYTES);
      answer = attributeMap(reader.rest());
    }
  }
  if (answer === undefined) throw new MalformedMessageError(`${operation}: acknowledged without an answer`);
  return answer;
}
