// Owns answering about clients of pools that every server hears (delivery filter): each server knows its own clients, by
// hashes of their keys alone, so that a client is looked up, and a list tells no addresses. This server looks at its own
// tables, and asks the others.
import type { AffinityPort, AffinitySelection } from '../../api/affinity_port.ts';
import type {
  Affinities,
  AffinityEntry,
  AffinityExplanation,
  AffinityRelease,
  AffinityReport,
  AffinityServer,
  NodeEvent,
  Unanswered,
} from '../../api/schema.ts';
import { serversOf } from '../../cluster/leader/servers.ts';
import type { Version } from '../../cluster/version.ts';
import type { ServiceAddress } from '../../dataplane/desired.ts';
import type { ClientName } from '../../dataplane/flow_tuple.ts';
import { Failure } from '../../lib/failure.ts';
import { hexOf } from '../tracking/flow_table.ts';
import type { Peer, PeerApis } from '../tracking/peer_apis.ts';
import { backendNames, type Picture } from '../tracking/picture.ts';
import type { AffinitySource } from './affinities.ts';
import { type ClientKey, clientKeys, clientText, givenClient } from './client_keys.ts';
import { leavingOf } from './decision.ts';
import { filterConclusions, filterReleaseWords } from './filter_words.ts';
import type { SlotAges } from './slot_ages.ts';

/** A client in a server's table. */
export type HeldClient = {
  readonly fingerprint: bigint;
  readonly poolId: number;
  readonly slot: number;
  readonly isProven: boolean;
  readonly seenAgoMs: number;
  readonly leftMs: number;
};

/** What a filter's program knows of clients. */
export interface FilterClients {
  name(service: ServiceAddress, client: string): ClientName | undefined;
  lookUp(fingerprint: bigint): {
    readonly own?: Pick<HeldClient, 'isProven' | 'seenAgoMs' | 'leftMs'>;
    /** Another server is known to have it. */
    readonly foreign?: { readonly server: number; readonly leftMs: number };
  };
  list(at: number): { readonly next: number | undefined; readonly items: readonly HeldClient[] };
  /** Lets it go, and forgets who else is known to have it. Whether there was anything. */
  release(fingerprint: bigint): boolean;
}

export type FilterAffinitiesOptions = {
  /** Of the pools of filters. */
  readonly head: () => Version | undefined;
  readonly picture: () => Picture;
  readonly ages: Pick<SlotAges, 'sinceMs' | 'beganMs'>;
  /** Undefined where this node is no filter. */
  readonly tables: FilterClients | undefined;
  /** The other filters. */
  readonly peers: () => readonly Peer[];
  readonly apis: PeerApis;
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
};

type Keyed = { readonly key: ClientKey; readonly servers: AffinityServer[] };

export class FilterAffinities implements AffinitySource {
  readonly name = 'filter' as const;
  readonly #options: FilterAffinitiesOptions;

  constructor(options: FilterAffinitiesOptions) {
    this.#options = options;
  }

  /** Page by page: this server's clients, then each other's. A position is the server's number and its own position. */
  async list(
    selection: AffinitySelection,
    { limit, after, local }: { limit: number; after?: string; local: boolean },
  ): Promise<Affinities> {
    const { client, service, backend } = selection;
    if (client !== undefined) return await this.#listOne(client, selection, local);
    const [, at = '0', position = ''] = /^(\d{1,4})\.(.*)$/.exec(after ?? '') ?? [];
    const peers = this.#options.peers();
    const next = (number: number) => (local || number > peers.length ? {} : { next: `${number}.` });
    if (Number(at) === 0) {
      const page = this.#listHere(selection, limit, Number(position) || 0);
      if (page.next === undefined) return { items: page.items, unanswered: [], ...next(1) };
      return { items: page.items, unanswered: [], next: `0.${page.next}` };
    }
    const peer = peers[Number(at) - 1];
    if (peer === undefined) return { items: [], unanswered: [] };
    const asked = await this.#options.apis.ask(peer, 'affinity list', (it) =>
      it.affinities({
        ...{ service, backend, limit, local: true },
        ...(position !== '' && { after: position }),
      }),
    );
    if (!('answer' in asked)) return { items: [], unanswered: [asked], ...next(Number(at) + 1) };
    const { items, next: more } = asked.answer;
    const mine = items.filter(({ source }) => source === this.name);
    return {
      items: mine,
      unanswered: [],
      ...(more === undefined ? next(Number(at) + 1) : { next: `${at}.${more}` }),
    };
  }

  async explain(
    client: string,
    { service, without, local }: Parameters<AffinityPort['explain']>[1],
  ): Promise<AffinityExplanation> {
    const { tables, apis, peers } = this.#options;
    const given = givenClient(client);
    if (tables === undefined) {
      return await this.#fromAnother(`affinity explain ${client}`, (it) =>
        it.affinity(client, { service, without }),
      );
    }
    const head = this.#head();
    const keyed = clientKeys(given, service, head, tables).map(
      (key): Keyed => ({ key, servers: [this.#ownServer(key, head, tables)] }),
    );
    const unanswered: Unanswered[] = [];
    const wanted = local ? new Set<string>() : new Set(keyed.flatMap(({ key }) => holdersOf(key, head)));
    const asked = peers().filter(({ node }) => wanted.has(node));
    for (const it of await Promise.all(
      asked.map((peer) =>
        apis.ask(peer, `affinity explain ${client}`, (api) => api.affinity(client, { service, local: true })),
      ),
    )) {
      if (!('answer' in it)) unanswered.push(it);
      else
        for (const { service: name, address, servers = [] } of it.answer.items)
          keyed
            .find(({ key }) => key.service.name === name && key.address === address)
            ?.servers.push(...servers);
    }
    const isWhole = !local && unanswered.length === 0;
    return {
      client: given.prefixLength === undefined ? given.address : `${given.address}/${given.prefixLength}`,
      items: keyed.map((it) => this.#report(it, head, without, isWhole)),
      unanswered,
    };
  }

  async release(client: string, options: Parameters<AffinityPort['release']>[1]): Promise<AffinityRelease> {
    const { tables, peers, apis, tell } = this.#options;
    const { service, dryRun, force, local, peer } = options;
    const given = givenClient(client);
    if (tables === undefined) {
      throw new Failure('unsupported', 'this node is no filter, and lets no client of theirs go', {
        remedy: `on a filter: holdfast affinity release ${client}`,
      });
    }
    if (peer !== undefined && !peers().some(({ node }) => node === peer)) {
      throw new Failure('forbidden', `node ${peer} is no filter of the cluster`, {
        reason: 'only filters have each other let clients go',
        remedy: `on a filter: holdfast affinity release ${client}`,
      });
    }
    const keys = clientKeys(given, service, this.#head(), tables);
    const here = () =>
      keys.map(({ service: { name }, address, name: { fingerprint } }) => ({
        service: name,
        address,
        outcome: tables.release(fingerprint) ? ('released' as const) : ('nothing' as const),
      }));
    const answer = { dryRun, client, items: [], effects: [], unanswered: [] };
    if (local) return { ...answer, action: 'release', items: dryRun ? [] : here() };
    const { items, unanswered } = await this.explain(client, { service, local: false });
    const moved = items.filter(({ rule, backend, current }) => rule !== 'clean' && backend !== current);
    const effects = moved.map(filterReleaseWords);
    if (moved.length === 0) {
      const said = `Client ${client} is where new clients of its slots go: there is nothing to let go.`;
      return { ...answer, action: 'none', effects: [said], unanswered };
    }
    const open = moved.filter(({ servers = [] }) => servers.some(({ state }) => state === 'proven'));
    if (!force && open.length > 0) {
      throw new Failure('unsafe', `client ${client} may have a session, which would be lost`, {
        reason: open.map(filterReleaseWords).join(' '),
        remedy: 'wait until it is silent for the timeout (holdfast affinity explain), or force it',
      });
    }
    const outcomes = moved.map((it) => ({
      ...{ service: it.service, address: it.address, outcome: 'released' as const },
      ...(it.backend !== undefined && { from: it.backend }),
      ...(it.current !== undefined && { to: it.current }),
    }));
    if (dryRun) return { ...answer, action: 'release', items: outcomes, effects, unanswered };
    // Who has it first: who has only learnt of it would else learn it again.
    const holders = new Set(
      moved.flatMap(({ servers = [] }) => servers.filter((it) => it.holds).map((it) => it.node)),
    );
    const others = peers().toSorted((a, b) => Number(holders.has(b.node)) - Number(holders.has(a.node)));
    const missed: Unanswered[] = [];
    const self = this.#options.picture().self;
    if (holders.has(self)) here();
    for (const other of others) {
      const asked = await apis.ask(other, `affinity release ${client} --local --force`, (it) =>
        it.releaseAffinity(client, { service, force: true, local: true }),
      );
      if (!('answer' in asked)) missed.push(asked);
    }
    here();
    tell({ kind: 'affinity', message: `client ${client} was let go: ${effects.join(' ')}` });
    return { ...answer, action: 'release', items: outcomes, effects, unanswered: missed };
  }

  #head(): Version {
    const head = this.#options.head();
    if (head !== undefined) return head;
    throw new Failure('unavailable', 'this node keeps no clients yet', {
      reason: 'it has no version of the configuration',
      remedy: 'see holdfast status',
    });
  }

  #listHere(
    { service, backend }: AffinitySelection,
    limit: number,
    from: number,
  ): { items: AffinityEntry[]; next: number | undefined } {
    const { tables, picture } = this.#options;
    if (tables === undefined) return { items: [], next: undefined };
    const head = this.#head();
    const { self, own } = picture();
    const names = backendNames(head.objects);
    const servers = serversOf(head.members, head.objects.backends.values());
    const pools = new Map([...head.objects.pools.values()].map((it) => [it.id, it.name]));
    const items: AffinityEntry[] = [];
    let at: number | undefined = from;
    while (at !== undefined && items.length < limit) {
      const page: ReturnType<FilterClients['list']> = tables.list(at);
      at = page.next;
      for (const it of page.items) {
        const pool = pools.get(it.poolId);
        if (pool === undefined) continue;
        const current = head.placements.get(it.poolId)?.current[it.slot] ?? 0;
        const services = [...head.objects.services.values()]
          .filter((known) => known.pool === pool)
          .map(({ name }) => name);
        const mine = [...head.objects.backends.values()].find(
          (known) => known.pool === pool && servers.get(known.index)?.id === own?.id,
        );
        const who = mine === undefined ? undefined : names.get(mine.index);
        if (backend !== undefined && who !== backend) continue;
        if (service !== undefined && !services.includes(service)) continue;
        items.push({
          client: `#${hexOf(it.fingerprint)}`,
          services,
          source: this.name,
          pool,
          slot: it.slot,
          fingerprint: hexOf(it.fingerprint),
          ...(who !== undefined && { backend: who }),
          rule: 'recorded',
          isOld: servers.get(current)?.id !== own?.id,
          seenAgoMs: it.seenAgoMs,
          timeoutMs: it.seenAgoMs + it.leftMs,
          node: self,
        });
      }
    }
    return { items, next: at };
  }

  async #listOne(
    client: string,
    { service, backend }: AffinitySelection,
    local: boolean,
  ): Promise<Affinities> {
    const { items, unanswered } = await this.explain(client, { service, local });
    return {
      items: items
        .filter((it) => backend === undefined || it.backend === backend)
        .map((it): AffinityEntry => {
          const by = it.servers?.find(({ holds }) => holds);
          return {
            ...{ client: it.client, services: [it.service], address: it.address, source: this.name },
            ...{ pool: it.pool, slot: it.slot, fingerprint: it.fingerprint, rule: it.rule },
            ...(it.backend !== undefined && { backend: it.backend }),
            isOld: it.rule !== 'clean' && it.backend !== it.current,
            timeoutMs: it.timeoutMs,
            ...(by?.seenAgoMs !== undefined && { seenAgoMs: by.seenAgoMs }),
            ...(by !== undefined && { node: by.node }),
          };
        }),
      unanswered,
    };
  }

  #ownServer({ name, poolId }: ClientKey, head: Version, tables: FilterClients): AffinityServer {
    const { self, own } = this.#options.picture();
    const { own: held, foreign } = tables.lookUp(name.fingerprint);
    const other = foreign && head.members.find(({ id }) => id === foreign.server)?.name;
    return {
      node: self,
      part: own === undefined ? 'other' : partOfServer(own.id, { poolId, slot: name.slot }, head),
      holds: held !== undefined,
      ...(held !== undefined && {
        state: held.isProven ? ('proven' as const) : ('nascent' as const),
        seenAgoMs: held.seenAgoMs,
        leftMs: held.leftMs,
      }),
      ...(foreign !== undefined && {
        foreign: other ?? `server ${foreign.server}`,
        foreignLeftMs: foreign.leftMs,
      }),
    };
  }

  #report(
    { key, servers }: Keyed,
    head: Version,
    without: string | undefined,
    isWhole: boolean,
  ): AffinityReport {
    const picture = this.#options.picture();
    const { service, address, name, poolId, place, timeoutMs } = key;
    const names = backendNames(head.objects);
    const current = names.get(head.placements.get(poolId)?.current[name.slot] ?? 0);
    const holder = servers.find(({ holds }) => holds);
    const learnt = servers.find(({ foreign }) => foreign !== undefined)?.foreign;
    const has = holder?.node ?? learnt;
    const rule =
      place === undefined ? 'clean' : has !== undefined ? 'recorded' : isWhole ? 'base' : 'unknown';
    const backend =
      rule === 'recorded' ? backendOf(has!, service.pool, head) : rule === 'unknown' ? undefined : current;
    const leaving = leavingOf(
      key,
      { rule, backend, current, without: without ?? backend, isNamed: without !== undefined },
      picture.intent,
    );
    const sinceMs = this.#options.ages.sinceMs(poolId, name.slot);
    const report = {
      client: clientText(name),
      service: service.name,
      address,
      source: this.name,
      pool: service.pool,
      slot: name.slot,
      fingerprint: hexOf(name.fingerprint),
      ...(backend !== undefined && { backend }),
      rule: rule as AffinityReport['rule'],
      timeoutMs,
      ...(holder?.leftMs !== undefined && { timeoutLeftMs: holder.leftMs }),
      since:
        sinceMs === undefined
          ? {
              what: 'longer than this node looks, which began',
              agoMs: Math.max(0, picture.wallMs - this.#options.ages.beganMs),
            }
          : { what: 'the slot went to that backend', agoMs: Math.max(0, picture.wallMs - sinceMs) },
      ...(current !== undefined && { current }),
      ...(place?.base !== undefined && { base: place.base }),
      ...(place?.change !== undefined && { change: place.change }),
      ...(place !== undefined && { step: place.period.step, trackEpoch: place.period.trackEpoch }),
      known: [],
      servers,
      ...(leaving !== undefined && { leaving }),
    };
    return { ...report, conclusions: filterConclusions(report) };
  }

  /** On a node that is no filter: the first filter that answers. */
  async #fromAnother<T>(command: string, question: Parameters<PeerApis['ask']>[2]): Promise<T> {
    const failures: Unanswered[] = [];
    for (const peer of this.#options.peers()) {
      const asked = await this.#options.apis.ask(peer, command, question);
      if ('answer' in asked) return asked.answer as T;
      failures.push(asked);
    }
    throw new Failure('unavailable', 'this node is no filter, and no filter could be asked', {
      reason:
        failures.map(({ node, failure }) => `${node}: ${failure.cause ?? failure.message}`).join('; ') ||
        'there is none',
      remedy: failures[0]?.failure.remedy ?? 'see holdfast nodes list',
    });
  }
}

/** Names of servers that may have a client of the key's slot. */
function holdersOf({ poolId, name: { slot } }: ClientKey, head: Version): string[] {
  return head.members
    .filter(({ id }) => partOfServer(id, { poolId, slot }, head) !== 'other')
    .map(({ name }) => name);
}

function partOfServer(
  id: number,
  { poolId, slot }: { readonly poolId: number; readonly slot: number },
  { placements, members, objects }: Version,
): AffinityServer['part'] {
  const placement = placements.get(poolId);
  if (placement === undefined) return 'other';
  const servers = serversOf(members, objects.backends.values());
  if (servers.get(placement.current[slot]!)?.id === id) return 'current';
  if (servers.get(placement.base[slot]!)?.id === id) return 'base';
  const period = placement.periods[(placement.period[slot] ?? 0) - 1];
  return period?.candidates.flat().some((it) => it.id === id) ? 'holder' : 'other';
}

function backendOf(node: string, pool: string, { members, objects }: Version): string | undefined {
  const id = members.find(({ name }) => name === node)?.id;
  const servers = serversOf(members, objects.backends.values());
  const found = [...objects.backends.values()].find(
    (it) => it.pool === pool && id !== undefined && servers.get(it.index)?.id === id,
  );
  return found && `${pool}/${found.name}`;
}
