// Owns the lab's namespaces, links, addresses and routes: raising them from a plan, steering the router, removing
// them. Processes and programs in them are others' (processes.ts, programs.ts).
import { existsSync, readdirSync } from 'node:fs';
import { CLIENT_MTU_BYTES, type LabNode, type LabPlan, type MuxNode, nodesOf } from './plan.ts';
import { CommandError, ip, ipBatch, run, runIn, setSysctls } from './shell.ts';

/** Routing tables of probes: this plus the mux's number. */
const PROBE_TABLE_BASE = 100;
const ROUTERS_OWN_PREFERENCE = 50;

export function raiseTopology(plan: LabPlan): void {
  for (const netns of netnsOfPlan(plan)) {
    run('ip', ['netns', 'add', netns]);
    setSysctls(netns, {
      'ipv4/conf/all/rp_filter': 0,
      'ipv4/conf/default/rp_filter': 0,
      'ipv6/conf/all/accept_dad': 0,
      'ipv6/conf/default/accept_dad': 0,
      'ipv6/conf/all/accept_ra': 0,
      'ipv6/conf/default/accept_ra': 0,
    });
  }
  setSysctls(plan.router.netns, {
    'ipv4/ip_forward': 1,
    'ipv6/conf/all/forwarding': 1,
    // By addresses and ports: connections of one client spread over the muxes.
    'ipv4/fib_multipath_hash_policy': 1,
    'ipv6/fib_multipath_hash_policy': 1,
    // Path MTU tests want every error to be sent.
    'ipv4/icmp_ratelimit': 0,
    'ipv6/icmp/ratelimit': 0,
  });
  ipBatch(plan.router.netns, ['link set lo up', ...nodesOf(plan).flatMap(routerPort)]);
  for (const node of nodesOf(plan)) ipBatch(node.netns, nodeSetup(node, servicesOn(plan, node)));
  switchOffloadsOff(plan);
  ipBatch(
    plan.router.netns,
    plan.muxes.flatMap((mux) => probeRoutes(plan, mux)),
  );
  if (plan.routes === 'static') setMuxesInUse(plan, plan.muxes);
}

/** Routes the service addresses over these muxes; the others get nothing from then on. */
export function setMuxesInUse(plan: LabPlan, muxes: readonly MuxNode[]): void {
  const via = (gateway: (mux: MuxNode) => string) =>
    muxes.map((mux) => `nexthop via ${gateway(mux)} dev ${mux.name}`).join(' ');
  ipBatch(plan.router.netns, [
    ...plan.services4.map((address) => `route replace ${address}/32 ${via((mux) => mux.address4)}`),
    ...plan.services6.map((address) => `route replace ${address}/128 ${via((mux) => mux.address6)}`),
  ]);
}

/**
 * A mux that hangs, as the network sees it: the link stays up, and nothing comes out or goes in any more. `isSilent` false:
 * as before.
 */
export function silence(plan: LabPlan, mux: MuxNode, isSilent: boolean): void {
  const what = isSilent ? ['replace'] : ['del'];
  const kind = isSilent ? ['blackhole'] : [];
  run('tc', ['-n', plan.router.netns, 'qdisc', ...what, 'dev', mux.name, 'root', ...kind]);
  run('tc', ['-n', mux.netns, 'qdisc', ...what, 'dev', 'eth0', 'root', ...kind]);
}

/** A mux that is switched off, as the network sees it: its link is down. `isDown` false: as after it was raised. */
export function cutLink(mux: MuxNode, isDown: boolean): void {
  if (isDown) {
    ip(mux.netns, 'link set eth0 down');
    return;
  }
  // With the link its IPv6 addresses went, and all routes.
  ipBatch(mux.netns, [
    'link set eth0 up',
    `addr replace ${mux.address6}/64 dev eth0 nodad`,
    `route replace default via ${mux.gateway4}`,
    `-6 route replace default via ${mux.gateway6}`,
  ]);
}

/**
 * Packets that came to the router when it had no route for them. BIRD replaces a route by deleting and adding it, and what
 * comes in between finds none: that is this router's, and no other's.
 */
export function packetsWithoutRoute(plan: LabPlan): number {
  const found = runIn(plan.router.netns, 'cat', '/proc/net/netstat', '/proc/net/snmp6').split('\n');
  const [names, values] = found.filter((line) => line.startsWith('IpExt:')).map((line) => line.split(' '));
  const four = Number(values![names!.indexOf('InNoRoutes')]);
  const six = Number(/^Ip6InNoRoutes\s+(\d+)/m.exec(found.join('\n'))?.[1]);
  return four + six;
}

/** What the router takes for the MTU towards a client, whose own link stays as it is: a narrow path in between. */
export function narrowPath(plan: LabPlan, client: LabNode, mtuBytes: number | undefined): void {
  const mtu = mtuBytes === undefined ? '' : ` mtu lock ${mtuBytes}`;
  ipBatch(plan.router.netns, [
    `route replace ${client.address4}/32 dev ${client.name}${mtu}`,
    `route replace ${client.address6}/128 dev ${client.name}${mtu}`,
  ]);
}

/** Has what the router itself sends to service addresses, such as ICMP errors, take this mux; undefined: any. */
export function sendErrorsThrough(plan: LabPlan, mux: MuxNode | undefined): void {
  for (const family of ['-4', '-6']) {
    const rule = (what: string) => ip(plan.router.netns, `${family} rule ${what}`);
    const preference = `pref ${ROUTERS_OWN_PREFERENCE}`;
    if (rule(`show ${preference}`).trim() !== '') rule(`del ${preference}`);
    if (mux !== undefined) rule(`add ${preference} iif lo lookup ${PROBE_TABLE_BASE + mux.number}`);
  }
}

/** Forgets path MTUs that a node has learnt. */
export function forgetPathMtus(node: LabNode): void {
  ip(node.netns, 'route flush cache');
  ip(node.netns, '-6 route flush cache');
}

/** Removes every namespace of the lab of this name, whoever left it. Links go with their namespaces. */
export function removeTopology(labName: string): void {
  const failures: unknown[] = [];
  for (const netns of namespacesOf(labName)) {
    try {
      run('ip', ['netns', 'del', netns]);
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'namespaces are left behind');
}

export function namespacesOf(labName: string): string[] {
  if (!existsSync('/run/netns')) return [];
  return readdirSync('/run/netns').filter((netns) => netns.startsWith(`hf-${labName}-`));
}

export function isRaised(plan: LabPlan): boolean {
  const present = new Set(namespacesOf(plan.name));
  return netnsOfPlan(plan).every((netns) => present.has(netns));
}

function netnsOfPlan(plan: LabPlan): string[] {
  return [plan.router.netns, ...nodesOf(plan).map((node) => node.netns)];
}

// Where a service address is an address of the host: at the backends, which answer from it directly.
function servicesOn(plan: LabPlan, node: LabNode): string[] {
  if (node.kind !== 'backend') return [];
  return [
    ...plan.services4.map((address) => `addr add ${address}/32 dev lo`),
    ...plan.services6.map((address) => `addr add ${address}/128 dev lo nodad`),
  ];
}

function routerPort(node: LabNode): string[] {
  return [
    `link add ${node.name} address ${node.gatewayMac} mtu ${node.mtuBytes} type veth ` +
      `peer name eth0 address ${node.mac} mtu ${node.mtuBytes} netns ${node.netns}`,
    `addr add ${node.gateway4}/24 dev ${node.name}`,
    `addr add ${node.gateway6}/64 dev ${node.name} nodad`,
    `link set ${node.name} up`,
  ];
}

function nodeSetup(node: LabNode, services: readonly string[]): string[] {
  // What backends send is for clients: only tunnel packets need the room that their links have beyond 1500.
  const mtu = node.kind === 'backend' ? ` mtu ${CLIENT_MTU_BYTES}` : '';
  return [
    'link set lo up',
    `addr add ${node.address4}/24 dev eth0`,
    `addr add ${node.address6}/64 dev eth0 nodad`,
    'link set eth0 up',
    `route add default via ${node.gateway4}${mtu}`,
    `-6 route add default via ${node.gateway6}${mtu}`,
    ...services,
  ];
}

// A probe names its mux by the traffic class. The outer source is the mux's, so errors about the tunnel reach it.
function probeRoutes(plan: LabPlan, mux: MuxNode): string[] {
  const table = PROBE_TABLE_BASE + mux.number;
  const { tunnelSource4, tunnelSource6 } = mux;
  // `ip` reads it as hexadecimal.
  const dsfield = `0x${mux.trafficClass.toString(16)}`;
  return [
    `rule add dsfield ${dsfield} lookup ${table}`,
    `-6 rule add dsfield ${dsfield} lookup ${table}`,
    ...plan.services4.map((address) => `route add ${address}/32 via ${mux.address4} table ${table}`),
    ...plan.services6.map((address) => `-6 route add ${address}/128 via ${mux.address6} table ${table}`),
    `route add ${tunnelSource4.address}/${tunnelSource4.prefixLength} via ${mux.address4}`,
    `-6 route add ${tunnelSource6.address}/${tunnelSource6.prefixLength} via ${mux.address6}`,
  ];
}

// A checksum left to the device would leave the veth unfinished once XDP sends the packet on.
function switchOffloadsOff(plan: LabPlan): void {
  const off = (device: string) => `ethtool -K ${device} tx off`;
  const inRouter = nodesOf(plan).map((node) => off(node.name));
  const script = (lines: readonly string[]) => `set -e\n{ ${lines.join('; ')}; } >/dev/null`;
  try {
    runIn(plan.router.netns, 'sh', '-c', script(inRouter));
    for (const node of nodesOf(plan)) runIn(node.netns, 'sh', '-c', script([off('eth0')]));
  } catch (cause) {
    throw new CommandError('the lab needs ethtool to switch transmit checksums off', { cause });
  }
}
