// Owns reading how this host stands to the cluster's objects: whether service addresses are its own, and which ways lead
// to backends.
import { setImmediate } from 'node:timers/promises';
import { isUsable, type Link, NetlinkError, type RouteAnswer, type Rtnetlink } from '@holdfast/linux';
import { outerBytes } from '../dataplane/backend_table.ts';
import { canonicalAddress, parseAddress, versionOf } from '../lib/address.ts';
import type { BackendFacts, Fact, ServiceFacts, Way, XdpSupport } from './core/facts.ts';
import { attempt, derived, unknown } from './fact.ts';
import { xdpSupport } from './interface_facts.ts';

export type BackendQuestion = {
  readonly address: string;
  readonly mtuBytes?: number;
  readonly encap?: 'ip' | 'gue';
};

/** Look-ups in a row that other work of this process waits for. */
const LOOKUPS_A_TURN = 64;
/** Next hops that are asked for at once, and at all. */
const ASKED_AT_ONCE = 64;
const ASKED_MAX = 128;
/** The kernel asks three times, a second apart. */
const ANSWER_LIMIT_MS = 2_500;
const HARDWARE_ETHERNET = 1;
/** How the kernel says that there is no route, or one that refuses. */
const NO_ROUTE: ReadonlySet<string> = new Set([
  'ENETUNREACH',
  'EHOSTUNREACH',
  'EACCES',
  'EINVAL',
  'ENETDOWN',
]);

export async function serviceFacts(
  addresses: readonly string[],
  rtnetlink: Rtnetlink,
  links: Fact<readonly Link[]>,
): Promise<ServiceFacts[]> {
  const own = attempt(() => rtnetlink.addresses());
  const nameOf = (ifindex: number) =>
    (links.known && links.value.find((it) => it.ifindex === ifindex)?.name) || `${ifindex}`;
  return inTurns([...new Set(addresses.map(canonicalAddress))], (address) => ({
    address,
    version: versionOf(parseAddress(address)),
    local: attempt(() => routeTo(rtnetlink, address)?.type === 'local'),
    on: derived(own, (all) =>
      all
        .filter((it) => it.address === address)
        .map(({ ifindex, prefixLength }) => ({ interface: nameOf(ifindex), prefixLength })),
    ),
  }));
}

type Unresolved = { readonly ifindex: number; readonly nextHop: string };
type Found = { readonly question: BackendQuestion; readonly address: string; readonly way: Fact<RawWay> };
type RawWay =
  | Exclude<Way, { kind: 'path' }>
  | (Omit<Extract<Way, { kind: 'path' }>, 'resolved'> & { readonly ifindex: number });

export async function backendFacts(
  backends: readonly BackendQuestion[],
  rtnetlink: Rtnetlink,
): Promise<BackendFacts[]> {
  const found = await inTurns(backends, (question): Found => {
    const address = canonicalAddress(question.address);
    return { question, address, way: attempt(() => wayTo(rtnetlink, address)) };
  });
  const resolved = await resolve(
    rtnetlink,
    found.flatMap(({ way }) => (way.known && way.value.kind === 'path' ? [way.value] : [])),
  );
  return found.map(({ question, address, way }) => {
    const version = versionOf(parseAddress(address));
    return {
      address,
      version,
      outerBytes: outerBytes(version, question.encap ?? 'ip'),
      mtuBytes: question.mtuBytes,
      way: derived(way, (raw): Way => {
        if (raw.kind !== 'path') return raw;
        const { ifindex, ...path } = raw;
        return {
          ...path,
          resolved: resolved.get(keyOf(raw)) ?? { known: false, reason: 'it was not asked' },
        };
      }),
    };
  });
}

/** Of every interface that a backend is reached over. */
export function exitFacts(
  backends: readonly BackendFacts[],
  links: Fact<readonly Link[]>,
): Map<string, Fact<XdpSupport | undefined>> {
  const names = backends.flatMap(({ way }) =>
    way.known && way.value.kind === 'path' ? [way.value.interface] : [],
  );
  return new Map(
    [...new Set(names)].map((name) => [
      name,
      derived(links, (all) => xdpSupport(all.find((it) => it.name === name)?.ifindex ?? 0)),
    ]),
  );
}

function wayTo(rtnetlink: Rtnetlink, address: string): RawWay {
  const route = routeTo(rtnetlink, address);
  if (route === undefined || route.oif === undefined) return { kind: 'none', reason: 'unreachable' };
  if (route.type === 'local') return { kind: 'local' };
  if (route.type !== 'unicast') return { kind: 'none', reason: route.type };
  const link = rtnetlink.link(route.oif);
  if (link === undefined) return { kind: 'none', reason: 'its interface is gone' };
  if (link.hardwareType !== HARDWARE_ETHERNET) {
    return { kind: 'none', reason: `${link.name} does not carry Ethernet frames` };
  }
  const interfaceMtuBytes = link.mtuBytes ?? 0;
  return {
    kind: 'path',
    ifindex: link.ifindex,
    interface: link.name,
    nextHop: route.gateway ?? address,
    mtuBytes: route.mtuBytes ?? interfaceMtuBytes,
    interfaceMtuBytes,
  };
}

function routeTo(rtnetlink: Rtnetlink, address: string): RouteAnswer | undefined {
  try {
    return rtnetlink.routeGet(address);
  } catch (error) {
    if (error instanceof NetlinkError && NO_ROUTE.has(error.code)) return undefined;
    throw error;
  }
}

/** Whether next hops answer, by keyOf(). Those that the kernel does not know yet are asked. */
async function resolve(
  rtnetlink: Rtnetlink,
  wanted: readonly Unresolved[],
): Promise<Map<string, Fact<boolean>>> {
  const known = attempt(
    () =>
      new Set(
        rtnetlink
          .neighbours()
          .filter(isUsable)
          .map((it) => `${it.ifindex} ${it.address}`),
      ),
  );
  const all = new Map(wanted.map((it) => [keyOf(it), it]));
  const answers = new Map<string, Fact<boolean>>();
  if (!known.known) return new Map([...all.keys()].map((key) => [key, known]));
  for (const key of all.keys()) if (known.value.has(key)) answers.set(key, { known: true, value: true });
  const open = [...all].filter(([key]) => !answers.has(key));
  for (const [key] of open.slice(ASKED_MAX)) {
    answers.set(key, { known: false, reason: `more than ${ASKED_MAX} next hops would have to be asked` });
  }
  for (let at = 0; at < Math.min(open.length, ASKED_MAX); at += ASKED_AT_ONCE) {
    const turn = open.slice(at, Math.min(at + ASKED_AT_ONCE, ASKED_MAX));
    await Promise.all(turn.map(async ([key, it]) => answers.set(key, await ask(rtnetlink, it))));
  }
  return answers;
}

async function ask(rtnetlink: Rtnetlink, { ifindex, nextHop }: Unresolved): Promise<Fact<boolean>> {
  try {
    const { resolved } = await rtnetlink.resolveNeighbour(ifindex, nextHop, { timeoutMs: ANSWER_LIMIT_MS });
    return { known: true, value: resolved };
  } catch (error) {
    return unknown(error);
  }
}

const keyOf = ({ ifindex, nextHop }: Unresolved): string => `${ifindex} ${nextHop}`;

async function inTurns<T, U>(values: readonly T[], read: (value: T) => U): Promise<U[]> {
  const results: U[] = [];
  for (const [at, value] of values.entries()) {
    if (at > 0 && at % LOOKUPS_A_TURN === 0) await setImmediate();
    results.push(read(value));
  }
  return results;
}
