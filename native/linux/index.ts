// Linux system calls that Node.js does not offer. One file for each family of calls in lib/ and src/.

export { cpuRound } from './lib/cpu_round.ts';
export { ClosedError, NetlinkError, SystemError } from './lib/errors.ts';
export * as fileProgram from './lib/file/layout.ts';
export { type Operand, Program, type Step } from './lib/file/program.ts';
export {
  type CredentialsNumber,
  FileStorage,
  type FileStorageOptions,
  type FileStorageState,
} from './lib/file/storage.ts';
export { membarrierGlobal, membarrierGlobalSync, membarrierSupported } from './lib/membarrier.ts';
export { XdpFeature, xdpFeatures } from './lib/netdev.ts';
export {
  NetlinkSocket,
  type NetlinkSocketEvent,
  type NetlinkSocketOptions,
  type RequestLimits,
} from './lib/netlink-socket.ts';
export { currentNetns, type NetnsIdentity, netnsIdentity, withNetns } from './lib/netns.ts';
export { sdNotify, watchdogIntervalMs } from './lib/notify.ts';
export { AddressFlag, type AddressSpec, type InterfaceAddress } from './lib/rtnetlink/address.ts';
export { MalformedMessageError } from './lib/rtnetlink/bytes.ts';
export { formatPrefix, type IpFamily, type Prefix, parsePrefix } from './lib/rtnetlink/ip.ts';
export {
  type Link,
  LinkFlag,
  type OperationalState,
  type XdpAttachment,
  type XdpMode,
} from './lib/rtnetlink/link.ts';
export {
  isUsable,
  type Neighbour,
  type NeighbourFilter,
  type NeighbourKey,
  type NeighbourSpec,
  type NeighbourState,
} from './lib/rtnetlink/neighbour.ts';
export {
  type NextHop,
  type NextHopSpec,
  type Route,
  RouteProtocol,
  type RouteQuery,
  RouteScope,
  type RouteSpec,
  RouteTable,
  type RouteType,
} from './lib/rtnetlink/route.ts';
export type { OwnPortsRule, Rule } from './lib/rtnetlink/rule.ts';
export {
  type Resolution,
  type RouteAnswer,
  Rtnetlink,
  type RtnetlinkOptions,
  type VethSpec,
  type WatchOptions,
} from './lib/rtnetlink.ts';
export type { Subscription, Topics, WatchEvent } from './lib/subscription.ts';
export { RawSender, TunDevice } from './lib/tun.ts';
