// One row of a table: a frame, and everything that must follow from it. And the commonest kinds of rows.
import {
  type Datagram,
  frame,
  type IpFields,
  ip,
  type Layer,
  type LinkFields,
  type TcpFields,
  tcp,
  udp,
} from './packets.ts';
import { encapsulated } from './reference.ts';
import { BACKENDS, clientAddress, decide, PORT, SOURCES, serviceAddress, TCP, UDP, wayTo } from './site.ts';

export type Verdict = 'ABORTED' | 'DROP' | 'PASS' | 'TX' | 'REDIRECT';
export const VERDICTS: readonly Verdict[] = ['ABORTED', 'DROP', 'PASS', 'TX', 'REDIRECT'];

/** `address`, or `address port protocol` with the protocol's number. */
export type ServiceName = string;

export interface Case {
  readonly name: string;
  /** Frames to send first; what becomes of them is another row's matter. */
  readonly before?: readonly Uint8Array[];
  readonly input: Uint8Array;
  /** Where the IP packet ends in the frame by its own length; the frame's end if it is no IP packet. */
  readonly end: number;
  readonly verdict: Verdict;
  readonly reason: string;
  /** The frame afterwards; a dropped one has none that matters. */
  readonly output?: Uint8Array;
  /** What is counted for a service and a backend; none moves where it is absent. */
  readonly counted?: { service: ServiceName; backend: number; bytes: number; newFlow: boolean };
}

export interface Shape {
  name: string;
  link?: LinkFields;
  padding?: Uint8Array;
}

function sized(shape: Shape, datagram: Datagram): { input: Uint8Array; end: number } {
  const input = frame(datagram, shape.link, shape.padding);
  return { input, end: 14 + 4 * (shape.link?.tags?.length ?? 0) + datagram.length };
}

/** The host's: not a byte is touched. */
export function passes(shape: Shape, datagram: Datagram, reason: string): Case {
  const { input, end } = sized(shape, datagram);
  return { name: shape.name, input, end, verdict: 'PASS', reason, output: input };
}

export function drops(shape: Shape, datagram: Datagram, reason: string): Case {
  return { name: shape.name, ...sized(shape, datagram), verdict: 'DROP', reason };
}

export function replies(shape: Shape, datagram: Datagram, reason: string, output: Uint8Array): Case {
  return { name: shape.name, ...sized(shape, datagram), verdict: 'TX', reason, output };
}

export interface Forwarded extends Shape {
  flow: {
    source: string;
    destination: string;
    sourcePort: number;
    destinationPort: number;
    protocol: number;
  };
  reason?: string;
  trafficClass?: number;
  newFlow?: boolean;
  before?: readonly Uint8Array[];
  /** Where something else than the flow's slot decides. */
  backend?: number;
  hash?: bigint;
}

export const serviceName = (it: { address: string; port: number; protocol: number }): ServiceName =>
  it.port === 0 && it.protocol === 0 ? it.address : `${it.address} ${it.port} ${it.protocol}`;

/** Goes to the backend that the model says. */
export function forwards(shape: Forwarded, datagram: Datagram): Case {
  const decision = decide(shape.flow);
  if (decision === undefined) throw new Error(`${shape.name}: the model knows no such service`);
  const index = shape.backend ?? decision.backend;
  const backend = BACKENDS.get(index);
  if (backend === undefined) throw new Error(`${shape.name}: the model knows no backend ${index}`);
  return {
    name: shape.name,
    ...sized(shape, datagram),
    ...(shape.before ? { before: shape.before } : {}),
    verdict: (backend.nextHop?.ifindex ?? 0) === 0 ? 'TX' : 'REDIRECT',
    reason: shape.reason ?? 'FORWARD',
    output: encapsulated(
      datagram,
      wayTo(backend),
      shape.hash ?? decision.hash,
      SOURCES,
      shape.trafficClass ?? 0,
      shape.padding,
    ),
    counted: {
      service: serviceName(decision.service),
      backend: index,
      bytes: datagram.length,
      newFlow: shape.newFlow ?? false,
    },
  };
}

export interface FlowFields {
  version: 4 | 6;
  protocol: number;
  port: number;
  clientPort?: number;
  source?: string;
  destination?: string;
}

export function flowOf(fields: FlowFields): Forwarded['flow'] {
  return {
    source: fields.source ?? clientAddress(fields.version),
    destination: fields.destination ?? serviceAddress(fields.version),
    sourcePort: fields.clientPort ?? 40001,
    destinationPort: fields.port,
    protocol: fields.protocol,
  };
}

/** The transport layer of a flow's packet. */
export function segment(flow: Forwarded['flow'], data: Uint8Array, more: Partial<TcpFields> = {}): Layer {
  const ports = { sourcePort: flow.sourcePort, destinationPort: flow.destinationPort };
  return flow.protocol === TCP ? tcp({ ...ports, data, ...more }) : udp({ ...ports, data });
}

export const ends = (flow: { source: string; destination: string }): IpFields => ({
  source: flow.source,
  destination: flow.destination,
});

/** A packet of a flow, without anything special about it. */
export function plain(flow: Forwarded['flow'], data: Uint8Array, fields: Partial<IpFields> = {}): Datagram {
  return ip({ ...ends(flow), ...fields }, segment(flow, data));
}

export const protocolName = (protocol: number): string =>
  protocol === TCP ? 'TCP' : protocol === UDP ? 'UDP' : `${protocol}`;
export const VERSIONS: readonly (4 | 6)[] = [4, 6];
export const PROTOCOLS: readonly number[] = [TCP, UDP];
export const portOf = PORT.of;

/** A frame that need not be IP. */
export function passesFrame(name: string, input: Uint8Array, reason: string): Case {
  return { name, input, end: input.length, verdict: 'PASS', reason, output: input };
}

export const tagName = (tags: readonly unknown[]): string =>
  ['untagged', 'one tag', 'two tags'][tags.length]!;
