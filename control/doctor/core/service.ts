// Owns the checks of what a backend needs to serve: the service addresses as its own, room for the tunnel, nothing else.
import type { DefaultRoute, Facts, InterfaceFacts, ServiceFacts } from './facts.ts';
import { counted, type Finding, listed, subject } from './finding.ts';

/** What clients behind Ethernet send at most. */
export const CLIENT_MTU_BYTES = 1_500;
/** IP in IPv4. */
const OUTER_LEAST_BYTES = 20;
/** GUE over UDP over IPv6. */
const OUTER_MOST_BYTES = 48;

export function serviceFindings(facts: Facts): Finding[] {
  // What a filter accepts is for the host as it is, as what a backend unwraps.
  if (facts.roles.includes('filter')) return serviceAddresses(facts.services);
  if (!facts.roles.includes('backend')) return [];
  return [...serviceAddresses(facts.services), ...tunnelDevices(facts)];
}

function serviceAddresses(services: readonly ServiceFacts[]): Finding[] {
  const check = subject('service-address');
  if (services.length === 0) return [check.note('the cluster has no service addresses yet')];
  const fine: string[] = [];
  const findings: Finding[] = [];
  for (const { address, version, local, on } of services) {
    const found = check.known(`whether ${address} is an address of this host`, local, (isLocal) => {
      if (isLocal) return [];
      return [
        check.error(
          `the service address ${address} is not an address of this host: what is unwrapped is dropped or sent on`,
          `ip addr add ${address}/${version === 4 ? 32 : 128} dev lo`,
        ),
      ];
    });
    findings.push(...found, ...(found.length === 0 ? wideOnLoopback(address, on) : []));
    if (found.length === 0) fine.push(address);
  }
  if (fine.length > 0) {
    findings.push(
      check.ok(
        `${counted(fine.length, 'service address', 'service addresses')} of this host: ${listed(fine)}`,
      ),
    );
  }
  return findings;
}

/** An IPv4 prefix on the loopback interface makes every address of it local. */
function wideOnLoopback(address: string, on: ServiceFacts['on']): Finding[] {
  const wide =
    on.known &&
    on.value.find((it) => it.interface === 'lo' && it.prefixLength < 32 && !address.includes(':'));
  if (!wide) return [];
  return [
    subject('service-address').warning(
      `${address}/${wide.prefixLength} on lo makes every address of that prefix this host's own`,
      `ip addr add ${address}/32 dev lo && ip addr del ${address}/${wide.prefixLength} dev lo`,
    ),
  ];
}

function tunnelDevices({ host }: Facts): Finding[] {
  const check = subject('tunnel-device');
  return check.known('tunnel devices', host.tunnels, (tunnels) => [
    tunnels.length === 0
      ? check.ok('there is no tunnel device, and none is needed: XDP unwraps')
      : check.note(`no tunnel device is needed, XDP unwraps before ${listed(tunnels)} could`),
  ]);
}

/** Room for the tunnel on a backend's interface, and that what it sends to clients does not use it. */
export function roomFindings(it: InterfaceFacts, { roles, host }: Facts): Finding[] {
  if (!roles.includes('backend') || !it.link.known || it.link.value === undefined) return [];
  const { mtuBytes } = it.link.value;
  const routes = host.defaultRoutes.known ? host.defaultRoutes.value : [];
  const mine = routes.filter((route) => route.interface === it.name);
  return [room(it.name, mtuBytes, mine), ...answers(it.name, mtuBytes, mine)];
}

function room(name: string, mtuBytes: number, routes: readonly DefaultRoute[]): Finding {
  const check = subject('tunnel-room', name);
  const [least, most] = [CLIENT_MTU_BYTES + OUTER_LEAST_BYTES, CLIENT_MTU_BYTES + OUTER_MOST_BYTES];
  const figures = `packets of ${CLIENT_MTU_BYTES} bytes take ${least} to ${most} in a tunnel, and the MTU is ${mtuBytes}`;
  if (mtuBytes >= most) return check.ok(figures);
  const keep = routes
    .filter((route) => route.mtuBytes === undefined)
    .flatMap((route) => withClientMtu(route) ?? []);
  const cure = [`ip link set dev ${name} mtu ${most}`, ...keep].join(' && ');
  if (mtuBytes >= least) return check.note(`${figures}: enough for IP in IPv4 alone`, cure);
  return check.warning(`${figures}: large packets of clients may not arrive`, cure);
}

function answers(name: string, mtuBytes: number, routes: readonly DefaultRoute[]): Finding[] {
  if (mtuBytes <= CLIENT_MTU_BYTES) return [];
  const check = subject('answer-mtu', name);
  const large = routes.filter((route) => (route.mtuBytes ?? mtuBytes) > CLIENT_MTU_BYTES);
  if (large.length === 0) return [check.ok(`answers to clients are at most ${CLIENT_MTU_BYTES} bytes`)];
  return large.map((route) =>
    check.note(
      `IPv${route.version} answers to clients may have ${route.mtuBytes ?? mtuBytes} bytes, which their networks may not take`,
      withClientMtu(route),
    ),
  );
}

/** Undefined for a route that the command would not keep, or would break. */
function withClientMtu(route: DefaultRoute): string | undefined {
  if (route.advertised || route.multipath) return undefined;
  const { version, interface: name, gateway, metric } = route;
  const family = version === 4 && gateway?.includes(':') ? 'inet6 ' : '';
  const via = gateway === undefined ? '' : ` via ${family}${gateway}`;
  const order = metric === undefined ? '' : ` metric ${metric}`;
  return `ip -${version} route replace default${via} dev ${name}${order} mtu ${CLIENT_MTU_BYTES}`;
}
