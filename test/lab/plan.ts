// Owns the lab's plan: which nodes there are, their names and addresses. Nothing here touches the machine.
//
//              client1  client2 …
//                  \      /
//         etcd ──── router ── reflector     kernel forwarding, ECMP towards the muxes; etcd only where it is asked for
//                 / / | \ \ \
//         mux1 … mux3  backend1 … backend6
//
// Every link is a veth pair: `eth0` at the node, the node's name at the router. Clients have 1500 bytes, everything
// behind the router 1600, so that a client's full-sized packet fits with the tunnel's header of 48 bytes at most.

export type NodeKind = 'client' | 'mux' | 'backend' | 'reflector' | 'etcd';

export interface LabNode {
  readonly name: string;
  readonly kind: NodeKind;
  /** From 1, within its kind. */
  readonly number: number;
  readonly netns: string;
  readonly address4: string;
  readonly address6: string;
  readonly gateway4: string;
  readonly gateway6: string;
  readonly mac: string;
  readonly gatewayMac: string;
  readonly mtuBytes: number;
}

export interface MuxNode extends LabNode {
  readonly kind: 'mux';
  /** Outer source addresses; the low bits vary with the flow. */
  readonly tunnelSource4: { readonly address: string; readonly prefixLength: number };
  readonly tunnelSource6: { readonly address: string; readonly prefixLength: number };
  /** Packets with this traffic class (DSCP in its upper six bits) take this mux and no other: for probes. */
  readonly trafficClass: number;
}

export interface BackendNode extends LabNode {
  readonly kind: 'backend';
  readonly encap: 'ip' | 'gue';
  /** Where the tunnel ends: the node's IPv4 or IPv6 address. */
  readonly tunnelAddress: string;
}

export interface LabPlan {
  /** Prefix of its namespaces after `hf-`; several labs may be up side by side. */
  readonly name: string;
  readonly router: { readonly netns: string };
  readonly clients: readonly LabNode[];
  readonly muxes: readonly MuxNode[];
  readonly backends: readonly BackendNode[];
  readonly reflector: LabNode;
  /** Where the daemons' store is; without it, they share a file. */
  readonly etcd?: LabNode;
  /** How the router knows the muxes: by routes of the lab, or from their BIRD. */
  readonly routes: RouteKind;
  readonly flowEntries?: number | undefined;
  readonly services4: readonly string[];
  readonly services6: readonly string[];
}

export interface LabSize {
  readonly name?: string;
  readonly clients?: number;
  readonly muxes?: number;
  readonly backends?: number;
  readonly store?: StoreKind | undefined;
  readonly routes?: RouteKind | undefined;
  /** Of each mux's table of flows; absent: as a mux of one host has it. */
  readonly flowEntries?: number | undefined;
}

export const ROUTES = ['static', 'bird'] as const;
export type RouteKind = (typeof ROUTES)[number];

export const STORES = ['sqlite', 'etcd'] as const;
export type StoreKind = (typeof STORES)[number];

export const CLIENTS_MAX = 8;
/** Traffic classes of probes are the multiples of 4 below 32. */
export const MUXES_MAX = 7;
export const BACKENDS_MAX = 60;

export const CLIENT_MTU_BYTES = 1500;
export const CORE_MTU_BYTES = 1600;
export const GUE_PORT = 6080;
export const HTTP_PORT = 80;
export const ECHO_PORT = 7;
/** What decap accepts as tunnel sources: all muxes'. */
export const TUNNEL_PREFIXES = ['198.18.104.0/21', '2001:db8:100::/48'] as const;
/** Inner sources of the packet generator, 16 bits of prefix (bpf/port.bpf.c); the router drops and counts their packets when they come back. */
export const GENERATOR_NETWORK = '198.19.0.0';

const LAB_NAME = /^[a-z0-9]{1,12}$/;

export function planLab(size: LabSize = {}): LabPlan {
  const {
    name = 'lab',
    clients = 2,
    muxes = 3,
    backends = 6,
    store = 'sqlite',
    routes = 'static',
    flowEntries,
  } = size;
  if (!LAB_NAME.test(name)) throw new RangeError(`a lab's name is 1 to 12 of a-z and 0-9, got "${name}"`);
  checkCount('clients', clients, CLIENTS_MAX);
  checkCount('muxes', muxes, MUXES_MAX);
  checkCount('backends', backends, BACKENDS_MAX);
  return {
    name,
    router: { netns: netnsOf(name, 'router') },
    clients: numbered(clients, (n) => planNode(name, 'client', n, 16 + n)),
    muxes: numbered(muxes, (n) => planMux(name, n)),
    backends: numbered(backends, (n) => planBackend(name, n)),
    reflector: planNode(name, 'reflector', 1, 60),
    ...(store === 'etcd' && { etcd: planNode(name, 'etcd', 1, 61) }),
    routes,
    flowEntries,
    services4: ['198.18.0.10', '198.18.0.11'],
    services6: ['2001:db8:0:10::10', '2001:db8:0:10::11'],
  };
}

/** Every node but the router. */
export function nodesOf(plan: LabPlan): LabNode[] {
  return [
    ...plan.clients,
    ...plan.muxes,
    ...plan.backends,
    plan.reflector,
    ...(plan.etcd ? [plan.etcd] : []),
  ];
}

export function netnsPath(netns: string): string {
  return `/run/netns/${netns}`;
}

function planNode<K extends NodeKind>(lab: string, kind: K, number: number, net: number) {
  const name = kind === 'reflector' || kind === 'etcd' ? kind : `${kind}${number}`;
  const id = net.toString(16).padStart(2, '0');
  return {
    name,
    kind,
    number,
    netns: netnsOf(lab, name),
    address4: `198.18.${net}.2`,
    address6: `2001:db8:1:${id}::2`,
    gateway4: `198.18.${net}.1`,
    gateway6: `2001:db8:1:${id}::1`,
    mac: `02:48:46:00:${id}:02`,
    gatewayMac: `02:48:46:00:${id}:01`,
    mtuBytes: kind === 'client' ? CLIENT_MTU_BYTES : CORE_MTU_BYTES,
  };
}

function planMux(lab: string, n: number): MuxNode {
  return {
    ...planNode(lab, 'mux', n, 32 + n),
    tunnelSource4: { address: `198.18.${104 + n}.0`, prefixLength: 24 },
    tunnelSource6: { address: `2001:db8:100:${n}::`, prefixLength: 112 },
    trafficClass: 4 * n,
  };
}

// Every shape of the tunnel is in use: IP and GUE, over IPv4 and IPv6.
function planBackend(lab: string, n: number): BackendNode {
  const node = planNode(lab, 'backend', n, 128 + n);
  const shape = (n - 1) % 4;
  return {
    ...node,
    encap: shape % 2 === 0 ? 'ip' : 'gue',
    tunnelAddress: shape < 2 ? node.address4 : node.address6,
  };
}

function netnsOf(lab: string, node: string): string {
  return `hf-${lab}-${node}`;
}

function numbered<T>(count: number, make: (number: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index + 1));
}

function checkCount(what: string, count: number, limit: number): void {
  if (!Number.isInteger(count) || count < 1 || count > limit) {
    throw new RangeError(`${what} must be 1 to ${limit}, got ${count}`);
  }
}
