// Owns the checks of what a filter node needs beside its service addresses: room for queries in what clients send, and a
// kernel that answers nobody while the program is off.
import type { DefaultRoute, Facts, InterfaceFacts } from './facts.ts';
import { type Finding, subject, sysctl } from './finding.ts';

/** TCP over IP without options. */
const HEADERS_BYTES = { 4: 40, 6: 60 } as const;
/** Outer IP, UDP, and the header of queries (bpf/types.h): on the client network a whole packet cannot be wrapped. */
const QUERY_BYTES = { 4: 20 + 8 + 64, 6: 40 + 8 + 64 } as const;
/** Of `ip rule` and `ip route`: a table that is nobody else's. */
export const MSS_TABLE = 7_446;

export function filterFindings(it: InterfaceFacts, facts: Facts): Finding[] {
  if (!facts.roles.includes('filter') || !it.link.known || it.link.value === undefined) return [];
  return [
    ...segmentSize(it.name, it.link.value.mtuBytes, facts),
    ...plainMulticast(it),
    ...nativeVeth(it.name, it.link.value.kind, facts),
  ];
}

/**
 * A query is the client's packet with headers in front. What a client may send is said by the server's SYN-ACK, so routes
 * of the service addresses say it: by a rule, because answers to others need not be smaller. The daemon sets none.
 */
function segmentSize(name: string, mtuBytes: number, { services, host }: Facts): Finding[] {
  const check = subject('query-room', name);
  if (services.length === 0) return [check.note('the cluster has no service addresses yet')];
  return check.known('routes', host.defaultRoutes, (routes) => {
    const mine = routes.filter((route) => route.interface === name && !route.multipath);
    return ([4, 6] as const).flatMap((version): Finding[] => {
      const addresses = services.filter((it) => it.version === version).map(({ address }) => address);
      if (addresses.length === 0) return [];
      // Between servers of one version of IP; of which, the node's file says.
      const bytes = mtuBytes - QUERY_BYTES[version] - HEADERS_BYTES[version];
      const route = mine.find((it) => it.version === version);
      return [
        check.note(
          `clients' IPv${version} segments of more than ${bytes} bytes do not fit into a query on ${name}, whose MTU is ` +
            `${mtuBytes}: they are asked about by their beginning, and sent again; with this they are not made`,
          route && commands(name, version, route, addresses, bytes),
        ),
      ];
    });
  });
}

function commands(
  name: string,
  version: 4 | 6,
  { gateway }: DefaultRoute,
  addresses: readonly string[],
  bytes: number,
): string {
  const via =
    gateway === undefined ? '' : ` via ${version === 4 && gateway.includes(':') ? 'inet6 ' : ''}${gateway}`;
  return [
    `ip -${version} route replace default${via} dev ${name} advmss ${bytes} table ${MSS_TABLE}`,
    ...addresses.map((address) => `ip -${version} rule add from ${address} lookup ${MSS_TABLE}`),
  ].join(' && ');
}

/** UDP for an address of the host is taken although the frame was to a group: every server would answer. */
function plainMulticast(it: InterfaceFacts): Finding[] {
  const check = subject('multicast-frames', it.name);
  const { dropUnicastInMulticast: own, dropUnicastInMulticastAll: all } = it.settings;
  const setting = `net/ipv4/conf/${it.name}/drop_unicast_in_l2_multicast`;
  return check.known(setting, own, (mine) =>
    check.known(setting, all, (others) => [
      mine !== 0 || others !== 0
        ? check.ok('frames to a group are not taken for this host while the program is off')
        : check.warning(
            'while the program is off, every server answers UDP to the service addresses (drop_unicast_in_l2_multicast = 0)',
            sysctl({ [setting]: 1 }),
          ),
    ]),
  );
}

/** The stack of a veth in native mode goes by whom a frame was for before the program made it the host's own. */
function nativeVeth(name: string, kind: string | undefined, { xdpMode }: Facts): Finding[] {
  if (kind !== 'veth' || xdpMode !== 'native') return [];
  return [
    subject('filter-mode', name).error(
      `${name} is a veth: in native mode its stack takes no frame that was for a group, so TCP clients get no answer`,
      'in holdfastd.yaml: xdpMode: auto, which is generic on a veth',
    ),
  ];
}
