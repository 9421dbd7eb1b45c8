// Owns the checks of the ways from a mux to its backends: a route, a next hop that answers, room for the tunnel, and an
// exit that takes redirected frames. Backends of which the same is to be said share a finding.
import type { BackendFacts, Facts, Way } from './facts.ts';
import { counted, type Finding, grouped, listed, subject } from './finding.ts';
import { isCandidate } from './interface.ts';
import { CLIENT_MTU_BYTES } from './service.ts';

type Path = Extract<Way, { kind: 'path' }>;
type OnPath = BackendFacts & { readonly path: Path };

export function backendFindings(facts: Facts): Finding[] {
  if (!facts.roles.includes('mux')) return [];
  const paths = facts.backends.flatMap((it): OnPath[] =>
    it.way.known && it.way.value.kind === 'path' ? [{ ...it, path: it.way.value }] : [],
  );
  if (facts.backends.length === 0) return [subject('backend-route').note('the cluster has no backends yet')];
  return [...routes(facts.backends, paths), ...nextHops(paths), ...rooms(paths), ...exits(facts, paths)];
}

function routes(backends: readonly BackendFacts[], paths: readonly OnPath[]): Finding[] {
  const check = subject('backend-route');
  const unknown = grouped(
    backends.filter(({ way }) => !way.known),
    ({ way }) => (way.known ? '' : way.reason),
  ).flatMap((group) => check.known(`the route to ${listed(addressesOf(group))}`, group[0]!.way, () => []));
  const missing = grouped(
    backends.flatMap(({ address, way }) =>
      way.known && way.value.kind === 'none' ? [{ address, reason: way.value.reason }] : [],
    ),
    ({ reason }) => reason,
  ).map((group) =>
    check.error(
      `there is no route to ${listed(addressesOf(group))} (${group[0]!.reason})`,
      `ip route add ${group[0]!.address} via GATEWAY`,
    ),
  );
  const here = backends.filter(({ way }) => way.known && way.value.kind === 'local');
  return [
    ...unknown,
    ...missing,
    ...(here.length === 0
      ? []
      : [
          check.error(
            `${listed(addressesOf(here))} is an address of this host: a mux cannot send to itself, so backends ` +
              'must be other hosts',
          ),
        ]),
    ...(paths.length === 0 ? [] : [check.ok(`there are routes to ${counted(paths.length, 'backend')}`)]),
  ];
}

function nextHops(paths: readonly OnPath[]): Finding[] {
  const check = subject('backend-next-hop');
  const groups = grouped(paths, ({ path }) => `${path.interface} ${path.nextHop}`);
  const findings = groups.flatMap((group): Finding[] => {
    const { nextHop, interface: exit, resolved } = group[0]!.path;
    const whose = listed(addressesOf(group));
    const way = whose === nextHop ? whose : `${nextHop}, the next hop of ${whose},`;
    return check.known(`whether ${nextHop} answers`, resolved, (answers) =>
      answers ? [] : [check.error(`${way} does not answer on ${exit}`, `ping -c 3 -I ${exit} ${nextHop}`)],
    );
  });
  if (findings.length > 0 || paths.length === 0) return findings;
  return [check.ok(`${counted(groups.length, 'next hop')} of ${counted(paths.length, 'backend')} known`)];
}

function rooms(paths: readonly OnPath[]): Finding[] {
  const check = subject('backend-mtu');
  const tight = paths.filter((it) => innerBytes(it) < CLIENT_MTU_BYTES);
  const key = (it: OnPath) => `${limitOf(it)} ${it.path.interface} ${pathBytes(it)} ${it.outerBytes}`;
  const findings = grouped(tight, key).map((group) => {
    const first = group[0]!;
    return check.warning(
      `packets of clients above ${innerBytes(first)} bytes do not fit on the way to ${listed(addressesOf(group))} ` +
        `(${pathBytes(first)} bytes, of which the tunnel takes ${first.outerBytes}) and are answered with Packet Too ` +
        `Big${LIMITS[limitOf(first)]}`,
      widening(group, neededBytes(paths, first.path.interface)),
    );
  });
  if (findings.length > 0 || paths.length === 0) return findings;
  const least = Math.min(...paths.map(innerBytes));
  return [check.ok(`packets of up to ${least} bytes fit on the way to ${counted(paths.length, 'backend')}`)];
}

type Limit = 'configuration' | 'route' | 'interface';

const LIMITS: Readonly<Record<Limit, string>> = {
  configuration: "; the backend's mtuBytes says so",
  route: '; the route says so',
  interface: '',
};

const pathBytes = ({ path, mtuBytes }: OnPath): number => Math.min(path.mtuBytes, mtuBytes ?? path.mtuBytes);
const innerBytes = (it: OnPath): number => pathBytes(it) - it.outerBytes;

function limitOf({ path, mtuBytes }: OnPath): Limit {
  if (mtuBytes !== undefined && mtuBytes < path.mtuBytes) return 'configuration';
  return path.mtuBytes < path.interfaceMtuBytes ? 'route' : 'interface';
}

/** What every tunnel over an interface takes: one command must not undo another. */
function neededBytes(paths: readonly OnPath[], exit: string): number {
  const outer = paths.filter(({ path }) => path.interface === exit).map(({ outerBytes }) => outerBytes);
  return CLIENT_MTU_BYTES + Math.max(...outer);
}

function widening(group: readonly OnPath[], interfaceBytes: number): string | undefined {
  const { path, address, outerBytes } = group[0]!;
  switch (limitOf(group[0]!)) {
    case 'configuration':
      return undefined;
    case 'route': {
      const via = path.nextHop === address ? '' : ` via ${path.nextHop}`;
      return `ip route replace ${address}${via} dev ${path.interface} mtu ${CLIENT_MTU_BYTES + outerBytes}`;
    }
    case 'interface':
      return `ip link set dev ${path.interface} mtu ${interfaceBytes}`;
  }
}

/** A frame that leaves where it came in is transmitted; any other is redirected, which its exit must allow. */
function exits(facts: Facts, paths: readonly OnPath[]): Finding[] {
  const entrances = facts.interfaces.filter(isCandidate).map(({ name }) => name);
  return grouped(paths, ({ path }) => path.interface).flatMap((group) => {
    const { interface: exit } = group[0]!.path;
    const check = subject('redirect', exit);
    const elsewhere = entrances.filter((name) => name !== exit);
    if (elsewhere.length === 0)
      return [check.ok(`${counted(group.length, 'backend')} reached over ${exit} itself`)];
    const from = `frames that come in by ${listed(elsewhere)} are redirected to ${exit}`;
    return check.known(
      `whether ${exit} takes redirected frames`,
      facts.exits.get(exit) ?? NOT_READ,
      (support) => {
        if (support === undefined)
          return [check.note(`${from}; this kernel does not tell whether it takes them`)];
        if (support.takesRedirected) return [check.ok(`${from}, which takes them`)];
        return [
          check.error(
            `${from}, which does not take them; most drivers do only once a program is attached there too`,
            `holdfast attach ${exit}`,
          ),
        ];
      },
    );
  });
}

const NOT_READ = { known: false, reason: 'nobody asked' } as const;

function addressesOf(group: readonly { readonly address: string }[]): string[] {
  return group.map(({ address }) => address);
}
