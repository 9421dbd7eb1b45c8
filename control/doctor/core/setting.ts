// Owns the checks of the kernel's settings: reverse path filter, forwarding, router advertisements, ARP, ECMP, ports.
import { type IpVersion, maskOf, type PortRange, parseAddress } from '../../lib/address.ts';
import type { Fact, Facts, InterfaceAddress, InterfaceFacts, SettingName } from './facts.ts';
import { SETTINGS } from './facts.ts';
import { counted, type Finding, listed, subject, sysctl } from './finding.ts';

export function settingFindings(it: InterfaceFacts, facts: Facts): Finding[] {
  if (!it.link.known || it.link.value === undefined) return [];
  return [
    ...ipv6(it, facts),
    ...(facts.roles.includes('mux') ? [...forwarding(it, facts, 4), ...forwarding(it, facts, 6)] : []),
    ...advertisements(it, facts),
    ...(facts.roles.includes('backend') ? [...reversePath(it, facts), ...arp(it, facts)] : []),
    ...(facts.roles.includes('filter') ? reversePath(it, facts) : []),
  ];
}

/** Of the host rather than of an interface. */
export function ecmpFindings({ roles, host }: Facts): Finding[] {
  if (!roles.includes('mux')) return [];
  const check = subject('ecmp-hash');
  const setting = (version: IpVersion) => `net.ipv${version}.fib_multipath_hash_policy`;
  const { 4: four, 6: six } = host.multipathHash;
  return check.known(setting(4), four, (value4) =>
    check.known(setting(6), six, (value6) => {
      const figures = `${setting(4)} is ${value4} here, ${setting(6)} ${value6}`;
      if (value4 !== 0 && value6 !== 0) return [check.ok(`${figures}; both count on routers`)];
      return [
        check.note(
          `${figures}: not this host but the routers choose among muxes, and Linux routers with 0 there send all ` +
            'connections of a client to one; on them it should be 1',
        ),
      ];
    }),
  );
}

/** Of health checks through the tunnel. */
export function probePortFindings({ roles, host }: Facts): Finding[] {
  if (!roles.includes('mux')) return [];
  const check = subject('health-ports');
  const words = ({ from, to }: PortRange) => `${from}-${to}`;
  const what = 'what ports connections of this host may have';
  return check.known(what, host.probePorts, ({ ports, mayBeOwn, local, reserved }) => {
    if (!mayBeOwn)
      return [check.ok(`no connection of this host has the ports of health checks, ${words(ports)}`)];
    const kept = [...reserved, ports].map(words).join(',');
    return [
      check.warning(
        `pools cannot be checked through the tunnel: connections of this host may have the ports ${words(ports)} of checks (net.ipv4.ip_local_port_range = ${local.from} ${local.to})`,
        `sysctl -w net.ipv4.ip_local_reserved_ports=${kept}`,
      ),
    ];
  });
}

function versionsInUse({ services, backends }: Facts): ReadonlySet<IpVersion> {
  return new Set([...services, ...backends].map(({ version }) => version));
}

function ipv6(it: InterfaceFacts, facts: Facts): Finding[] {
  if (!versionsInUse(facts).has(6)) return [];
  const check = subject('ipv6', it.name);
  return known(it, 'disableIpv6', check, (value) => [
    value === 0
      ? check.ok('IPv6 is on')
      : check.error(
          'IPv6 is off on the interface, and services or backends have IPv6 addresses',
          sysctl({ [path('disableIpv6', it.name)]: 0 }),
        ),
  ]);
}

function forwarding(it: InterfaceFacts, facts: Facts, version: IpVersion): Finding[] {
  const backends = facts.backends.filter((backend) => backend.version === version);
  if (backends.length === 0) return [];
  const check = subject(`forwarding${version}`, it.name);
  const setting = version === 4 ? 'forwarding4' : 'forwarding6';
  return known(it, setting, check, (value) => {
    if (value !== 0) return [check.ok(`IPv${version} forwarding is on`)];
    const unknown = backends.filter(({ way }) => !isResolved(way));
    const acceptRa = it.settings.acceptRa;
    const cure = sysctl({
      // Forwarding makes the kernel ignore advertisements unless this says otherwise first.
      ...(version === 6 && acceptRa.known && acceptRa.value === 1 && { [path('acceptRa', it.name)]: 2 }),
      [path(setting, it.name)]: 1,
    });
    const message = `IPv${version} forwarding is off, so packets for backends whose next hop is not known are dropped`;
    if (unknown.length === 0) {
      return [
        check.note(`${message}; the next hops of ${counted(backends.length, 'backend')} are known now`, cure),
      ];
    }
    return [check.warning(`${message}; now ${listed(unknown.map(({ address }) => address))}`, cure)];
  });
}

function isResolved(way: Facts['backends'][number]['way']): boolean {
  return way.known && way.value.kind === 'path' && way.value.resolved.known && way.value.resolved.value;
}

function advertisements(it: InterfaceFacts, { host }: Facts): Finding[] {
  const check = subject('accept-ra', it.name);
  return known(it, 'forwarding6', check, (forwards) =>
    known(it, 'acceptRa', check, (accepts) => {
      if (accepts === 0) return [check.ok('router advertisements are not used')];
      if (accepts >= 2) return [check.ok('router advertisements are used, forwarding or not')];
      if (forwards === 0) return [check.ok('router advertisements are used while IPv6 forwarding is off')];
      const routes = host.defaultRoutes.known ? host.defaultRoutes.value : [];
      const stands = routes.some((route) => route.advertised && route.interface === it.name);
      const message = 'router advertisements are ignored because IPv6 forwarding is on (accept_ra = 1)';
      const cure = sysctl({ [path('acceptRa', it.name)]: 2 });
      if (stands) return [check.warning(`${message}: the default route came from one and will expire`, cure)];
      return [check.note(message, cure)];
    }),
  );
}

/** The kernel takes the stricter of `all` and the interface's own; 2, loose, is greater than 1, strict. */
function reversePath(it: InterfaceFacts, { host }: Facts): Finding[] {
  const check = subject('rp-filter', it.name);
  return known(it, 'rpFilterAll', check, (all) =>
    known(it, 'rpFilter', check, (own) => {
      const value = Math.max(all, own);
      const figures = `rp_filter: all ${all}, ${it.name} ${own}`;
      if (value === 0) return [check.ok(`the reverse path is not checked (${figures})`)];
      return check.known('routes', host.defaultRoutes, (routes) => {
        const exits = routes.filter(({ version }) => version === 4).map((route) => route.interface);
        const cure = sysctl({ [path('rpFilter', it.name)]: 2 });
        if (exits.length === 0) {
          return [
            check.warning(
              `packets of clients to whom there is no route are dropped (${figures}), and there is no default route`,
            ),
          ];
        }
        if (value >= 2) return [check.ok(`the reverse path is checked loosely (${figures})`)];
        if (exits.includes(it.name)) {
          return [
            check.note(
              `unwrapped packets are dropped where the way back to the client does not go out of ${it.name} ` +
                `(${figures}); the default route does`,
              cure,
            ),
          ];
        }
        return [
          check.error(
            `unwrapped packets arrive on ${it.name} from clients to whom the way goes out of ` +
              `${listed(exits)}: the strict check drops them (${figures})`,
            cure,
          ),
        ];
      });
    }),
  );
}

function arp(it: InterfaceFacts, { services }: Facts): Finding[] {
  const check = subject('arp', it.name);
  if (!services.some(({ version }) => version === 4)) return [];
  return check.known('addresses', it.addresses, (addresses) => {
    const shared = services.filter(({ address, version }) => version === 4 && onSegment(address, addresses));
    if (shared.length === 0) {
      return [check.ok('no service address is of the segment, so nobody there asks for one by ARP')];
    }
    const which = listed(shared.map(({ address }) => address));
    return known(it, 'arpIgnoreAll', check, (ignoreAll) =>
      known(it, 'arpIgnore', check, (ignore) =>
        known(it, 'arpAnnounceAll', check, (announceAll) =>
          known(it, 'arpAnnounce', check, (announce) => {
            const [ignores, announces] = [Math.max(ignoreAll, ignore), Math.max(announceAll, announce)];
            if (ignores >= 1 && announces >= 2) {
              return [check.ok(`${which} is of the segment, and this host does not answer for it`)];
            }
            return [
              check.warning(
                `${which} is of the segment that ${it.name} is on, and this host answers for it or shows it ` +
                  `(arp_ignore ${ignores}, arp_announce ${announces}): neighbours then pass by the muxes`,
                sysctl({ [path('arpIgnore', it.name)]: 1, [path('arpAnnounce', it.name)]: 2 }),
              ),
            ];
          }),
        ),
      ),
    );
  });
}

function onSegment(address: string, addresses: readonly InterfaceAddress[]): boolean {
  const bytes = parseAddress(address);
  return addresses.some(({ address: own, prefixLength, version }) => {
    if (version !== 4 || prefixLength >= 32) return false;
    const mask = maskOf(4, prefixLength);
    const other = parseAddress(own);
    return bytes.every((byte, at) => ((byte ^ other[at]!) & mask[at]!) === 0);
  });
}

function known(
  it: InterfaceFacts,
  name: SettingName,
  check: ReturnType<typeof subject>,
  judge: (value: number) => Finding[],
): Finding[] {
  const fact: Fact<number> = it.settings[name];
  return check.known(path(name, it.name).replaceAll('/', '.'), fact, judge);
}

/** Below /proc/sys. */
function path(name: SettingName, interfaceName: string): string {
  return `net/${SETTINGS[name].replace('*', interfaceName)}`;
}
