// Owns the packets of a simulation: what clients and the network send towards services. Bytes are built by the packet
// library of test/bpf, which knows nothing of the programs.
import {
  address,
  type Datagram,
  fragmentHeader,
  icmp4,
  icmp6,
  ip,
  ipv4,
  ipv6,
  PROTOCOL,
  payload,
  raw,
  TCP_FLAG,
  tcp,
  udp,
} from '../../bpf/lib/packets.ts';
import { flowHash, slotOf } from '../../bpf/lib/reference.ts';
import type { Action, FlowAction } from './scenario.ts';
import { MIDDLEBOXES, REFERENCE_KEY, ruleOf, STRANGERS } from './site.ts';

/** A flow with what follows from its addresses: the reference model says which slot it has. */
export type Flow = {
  readonly action: FlowAction;
  readonly version: 4 | 6;
  readonly source: string;
  readonly sourcePort: number;
  readonly pool: string;
  /** Among the slots of all pools. */
  readonly slot: number;
};

export type Message =
  | { readonly kind: 'syn' | 'data' | 'fin'; readonly number: number }
  /** `part` of `parts` fragments; 0 of 1 is a whole datagram. */
  | { readonly kind: 'datagram'; readonly number: number; readonly part: number; readonly parts: number }
  | { readonly kind: 'error' };

export type Packet = {
  /** Unique; what happens to the packet on the way is drawn by it. */
  readonly id: string;
  /** How a mux must treat it. */
  readonly kind: 'whole' | 'firstFragment' | 'laterFragment' | 'icmpError' | 'ping' | 'stranger';
  readonly datagram: Datagram;
  /** Absent where a service has nothing to do with it. */
  readonly flow?: Flow;
  readonly message?: Message;
  /** What identifies the datagram that a fragment is of. */
  readonly fragmentKey?: string;
};

const ANY_PORT_BASE = 1_024;
/** A multiple of eight that with its headers fits every path. */
const FRAGMENT_BYTES = 1_208;
const QUOTED_BYTES = 200;

export function flowOfAction(action: FlowAction): Flow {
  const { id, destination, port } = action;
  const version = destination.includes(':') ? 6 : 4;
  // Several subnets, for services that look at nothing else.
  const source = version === 4 ? `198.19.${id % 16}.${id}` : `2001:db8:c:${id % 16}::${id.toString(16)}`;
  const sourcePort = ANY_PORT_BASE + ((id * 7_919) % 60_000);
  const protocol = PROTOCOL[action.protocol];
  const rule = ruleOf(destination, protocol, port);
  if (rule === undefined) throw new Error(`flow ${id} is for no service`);
  const hash = flowHash(REFERENCE_KEY, rule, {
    source,
    destination,
    sourcePort,
    destinationPort: port,
    protocol,
  });
  return { action, version, source, sourcePort, pool: rule.pool, slot: slotOf(rule, hash) };
}

const endsOf = ({ source, action }: Flow) => ({ source, destination: action.destination });
const portsOf = ({ sourcePort, action }: Flow) => ({ sourcePort, destinationPort: action.port });
const dataOf = ({ action }: Flow, number: number): Uint8Array =>
  payload(action.sizeBytes, action.id * 31 + number);

export function segment(flow: Flow, kind: 'syn' | 'data' | 'fin', number: number, attempt: number): Packet {
  const flags = { syn: TCP_FLAG.syn, data: TCP_FLAG.ack | TCP_FLAG.psh, fin: TCP_FLAG.fin | TCP_FLAG.ack };
  const data = kind === 'data' ? dataOf(flow, number) : new Uint8Array(0);
  return {
    id: `flow ${flow.action.id} ${kind} ${number}.${attempt}`,
    kind: 'whole',
    datagram: ip(endsOf(flow), tcp({ ...portsOf(flow), flags: flags[kind], data })),
    flow,
    message: { kind, number },
  };
}

/** One datagram, in fragments where it is long. */
export function datagram(flow: Flow, number: number): Packet[] {
  const layer = udp({ ...portsOf(flow), data: dataOf(flow, number) });
  const whole = layer.build({ source: address(flow.source), destination: address(flow.action.destination) });
  const parts = Math.ceil(whole.length / FRAGMENT_BYTES);
  const id = `flow ${flow.action.id} datagram ${number}`;
  if (parts === 1) {
    const message = { kind: 'datagram', number, part: 0, parts } as const;
    return [{ id, kind: 'whole', datagram: ip(endsOf(flow), layer), flow, message }];
  }
  const identification = flow.action.id * 256 + number;
  return Array.from({ length: parts }, (_, part) => ({
    id: `${id} part ${part}`,
    kind: part === 0 ? ('firstFragment' as const) : ('laterFragment' as const),
    datagram: fragment(flow, whole, part, identification),
    flow,
    message: { kind: 'datagram', number, part, parts } as const,
    fragmentKey: `${flow.source} ${flow.action.destination} ${identification}`,
  }));
}

function fragment(flow: Flow, whole: Uint8Array, part: number, identification: number): Datagram {
  const offset = part * FRAGMENT_BYTES;
  const more = offset + FRAGMENT_BYTES < whole.length;
  const piece = raw(PROTOCOL.udp, whole.slice(offset, offset + FRAGMENT_BYTES));
  if (flow.version === 4) {
    return ipv4({ ...endsOf(flow), identification, moreFragments: more, fragmentOffset: offset }, piece);
  }
  return ipv6({ ...endsOf(flow), extensions: [fragmentHeader({ identification, offset, more })] }, piece);
}

/** Host unreachable, or no route (RFC 792, RFC 4443), about a packet that a server sent to the flow's client. */
export function icmpError(flow: Flow): Packet {
  const { action, version, source, sourcePort } = flow;
  const ports = { sourcePort: action.port, destinationPort: sourcePort, data: payload(QUOTED_BYTES) };
  const answer = ip(
    { source: action.destination, destination: source },
    action.protocol === 'tcp' ? tcp(ports) : udp(ports),
  );
  const ends = { source: MIDDLEBOXES[version], destination: action.destination };
  const error =
    version === 4 ? icmp4({ type: 3, code: 1, data: answer.bytes }) : icmp6({ type: 1, data: answer.bytes });
  return {
    id: `flow ${action.id} error`,
    kind: 'icmpError',
    datagram: ip(ends, error),
    flow,
    message: { kind: 'error' },
  };
}

export function ping({ id, destination }: Extract<Action, { kind: 'ping' }>): Packet {
  const version = destination.includes(':') ? 6 : 4;
  const source = MIDDLEBOXES[version];
  const data = payload(56, id);
  const request = version === 4 ? icmp4({ type: 8, rest: id, data }) : icmp6({ type: 128, rest: id, data });
  return { id: `ping ${id}`, kind: 'ping', datagram: ip({ source, destination }, request) };
}

export function stranger({ id, version }: Extract<Action, { kind: 'stranger' }>): Packet {
  const ends = { source: MIDDLEBOXES[version], destination: STRANGERS[version] };
  const layer = tcp({ sourcePort: 1_000 + id, destinationPort: 80, flags: TCP_FLAG.syn });
  return { id: `stranger ${id}`, kind: 'stranger', datagram: ip(ends, layer) };
}
