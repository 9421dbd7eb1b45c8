// Owns examining this host: reads what the checks ask about and has them judged. Whatever cannot be read is a fact of its
// own. Interfaces and backends have files of their own beside this one; what is made of the facts is findings_core.ts.
import { existsSync, statfsSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { type Link, RouteProtocol, RouteTable, Rtnetlink } from '@holdfast/linux';
import { features } from 'libbpf-ts';
import type { Role } from '../config/node.ts';
import { mayBeOwn, PROBE_PORTS, readOwnPorts } from '../io/probe_ports.ts';
import { type BackendQuestion, backendFacts, exitFacts, serviceFacts } from './cluster_facts.ts';
import { run } from './command.ts';
import type {
  BackendFacts,
  ClusterFacts,
  DefaultRoute,
  Fact,
  HostFacts,
  PeerFacts,
  RouteFacts,
} from './core/facts.ts';
import { attempt } from './fact.ts';
import { type Finding, findings } from './findings_core.ts';
import { interfaceFacts } from './interface_facts.ts';
import { readSetting } from './setting.ts';

export type { Finding } from './findings_core.ts';

export type Question = {
  readonly interfaces: readonly string[];
  readonly roles: readonly Role[];
  readonly serviceAddresses: readonly string[];
  readonly backends: readonly BackendQuestion[];
  /** As configured; auto by default. */
  readonly xdpMode?: 'auto' | 'native' | 'generic';
  /** Of a mux that takes part in a cluster; the ways to the others are found here. */
  readonly cluster?: ClusterQuestion | undefined;
  readonly routes?: RouteFacts | undefined;
  /** Below which the programs of this node are pinned. */
  readonly bpfDirectory?: string;
};

export type ClusterQuestion = Omit<ClusterFacts, 'peers'> & {
  readonly peers: readonly Omit<PeerFacts, 'way' | 'version'>[];
};

const BPF_DIRECTORY_DEFAULT = '/sys/fs/bpf/holdfast';
/** linux/magic.h */
const BPF_FS_MAGIC = 0xcafe4a11;
const NETLINK_LIMIT_MS = 2_000;
/** Some hundred thousand routes; a table that is larger is not read. */
const NETLINK_LIMIT_BYTES = 32 * 1024 * 1024;
const TUNNEL_KINDS: ReadonlySet<string> = new Set(['ipip', 'ip6tnl', 'sit']);

/** Takes seconds at most: commands and next hops that do not answer have time limits. */
export async function examine(question: Question): Promise<Finding[]> {
  using rtnetlink = new Rtnetlink({ timeoutMs: NETLINK_LIMIT_MS, replyLimitBytes: NETLINK_LIMIT_BYTES });
  const { roles, xdpMode = 'auto', bpfDirectory = BPF_DIRECTORY_DEFAULT } = question;
  const links = attempt(() => rtnetlink.links());
  const ethtool = (await run('ethtool', ['--version'])).kind !== 'missing';
  const place = { rtnetlink, links, ethtool, pinDirectories: roles.map((role) => join(bpfDirectory, role)) };
  const [interfaces, backends, peers] = await Promise.all([
    Promise.all([...new Set(question.interfaces)].map((name) => interfaceFacts(name, place))),
    backendFacts(roles.includes('mux') ? question.backends : [], rtnetlink),
    backendFacts(question.cluster?.peers ?? [], rtnetlink),
  ]);
  return findings({
    roles,
    xdpMode,
    host: hostFacts(rtnetlink, links, { ethtool, bpfDirectory }),
    interfaces,
    services: await serviceFacts(question.serviceAddresses, rtnetlink, links),
    backends,
    exits: exitFacts(backends, links),
    ...(question.cluster !== undefined && { cluster: withWays(question.cluster, peers) }),
    ...(question.routes !== undefined && { routes: question.routes }),
  });
}

/** A way to another mux is found as one to a backend is. */
function withWays(cluster: ClusterQuestion, found: readonly BackendFacts[]): ClusterFacts {
  const peers = cluster.peers.map((peer, index) => ({
    ...peer,
    version: found[index]!.version,
    way: found[index]!.way,
  }));
  return { ...cluster, peers };
}

function hostFacts(
  rtnetlink: Rtnetlink,
  links: Fact<readonly Link[]>,
  { ethtool, bpfDirectory }: { ethtool: boolean; bpfDirectory: string },
): HostFacts {
  const ofLinks = (choose: (all: readonly Link[]) => string[]): Fact<readonly string[]> =>
    links.known ? { known: true, value: choose(links.value) } : links;
  return {
    kernelRelease: release(),
    features: attempt(() => features()),
    jit: readSetting('net/core/bpf_jit_enable'),
    jitHarden: readSetting('net/core/bpf_jit_harden'),
    bpfDirectory,
    bpfMounted: attempt(() => isOnBpfFileSystem(bpfDirectory)),
    ethtool,
    cpuCount: cpus().length,
    interfaceNames: ofLinks((all) => all.map(({ name }) => name)),
    multipathHash: {
      4: readSetting('net/ipv4/fib_multipath_hash_policy'),
      6: readSetting('net/ipv6/fib_multipath_hash_policy'),
    },
    probePorts: attempt(() => {
      const own = readOwnPorts();
      return { ports: PROBE_PORTS, mayBeOwn: mayBeOwn(PROBE_PORTS, own), ...own };
    }),
    tunnels: ofLinks((all) =>
      all
        .filter(({ kind, up }) => up && kind !== undefined && TUNNEL_KINDS.has(kind))
        .map(({ name }) => name),
    ),
    defaultRoutes: attempt(() => [...defaultRoutes(rtnetlink, 4), ...defaultRoutes(rtnetlink, 6)]),
  };
}

function isOnBpfFileSystem(path: string): boolean {
  let above = path;
  while (!existsSync(above) && dirname(above) !== above) above = dirname(above);
  return statfsSync(above).type === BPF_FS_MAGIC;
}

function defaultRoutes(rtnetlink: Rtnetlink, version: 4 | 6): DefaultRoute[] {
  const routes = rtnetlink.routes(version, RouteTable.MAIN);
  const defaults = routes.filter(({ dst, type }) => dst.prefixLength === 0 && type === 'unicast');
  return defaults.flatMap((route) => {
    const { oif, gateway, nextHops, mtuBytes, priority: metric, protocol } = route;
    const ways = nextHops.length > 0 ? nextHops : [{ oif, gateway }];
    return ways.flatMap((way): DefaultRoute[] => {
      const link = way.oif === undefined ? undefined : rtnetlink.link(way.oif);
      if (link === undefined) return [];
      return [
        {
          version,
          interface: link.name,
          gateway: way.gateway,
          mtuBytes,
          metric,
          advertised: protocol === RouteProtocol.RA,
          multipath: nextHops.length > 0,
        },
      ];
    });
  });
}
