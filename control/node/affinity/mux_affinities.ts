// Owns answering about clients with affinity from the flow tables of muxes: a client is a flow whose key is a client, and
// owner and backup of its slot keep it as any flow. This mux looks at its own, and asks the others.
import type { AffinityPort, AffinitySelection } from '../../api/affinity_port.ts';
import type {
  Affinities,
  AffinityEntry,
  AffinityExplanation,
  AffinityRelease,
  AffinityReport,
  FlowEntry,
  FlowKnowledge,
  NodeEvent,
  Unanswered,
} from '../../api/schema.ts';
import type { Version } from '../../cluster/version.ts';
import { isAddress, parseAddress, versionOf } from '../../lib/address.ts';
import { Failure } from '../../lib/failure.ts';
import { type FlowPlace, flowPage, knowledgeOf } from '../tracking/flow_asks.ts';
import { holderOf } from '../tracking/flow_report.ts';
import { hexOf } from '../tracking/flow_table.ts';
import type { Seen } from '../tracking/history.ts';
import type { Peer, PeerApis } from '../tracking/peer_apis.ts';
import type { Picture } from '../tracking/picture.ts';
import type { AffinitySource } from './affinities.ts';
import { conclusionsOf, releaseWords } from './affinity_words.ts';
import {
  addressesOf,
  type ClientKey,
  type ClientTables,
  clientKeys,
  clientText,
  type GivenClient,
  givenClient,
} from './client_keys.ts';
import { decisionOf, leavingOf, seenAgoMs } from './decision.ts';
import type { SlotAges } from './slot_ages.ts';

export type MuxAffinitiesOptions = {
  /** @throws Failure `unavailable` where this node keeps no flows yet. */
  readonly place: () => FlowPlace;
  readonly picture: () => Picture;
  readonly history: { seen(id: string): Seen | undefined };
  readonly ages: Pick<SlotAges, 'sinceMs' | 'beganMs'>;
  /** Undefined where this node is no mux. */
  readonly tables: ClientTables | undefined;
  /** Other members. */
  readonly peers: () => readonly Peer[];
  readonly apis: PeerApis;
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
};

type ReleaseOptions = Parameters<AffinityPort['release']>[1];

export class MuxAffinities implements AffinitySource {
  readonly name = 'mux' as const;
  readonly #options: MuxAffinitiesOptions;

  constructor(options: MuxAffinitiesOptions) {
    this.#options = options;
  }

  async list(
    selection: AffinitySelection,
    options: { limit: number; after?: string; local: boolean },
  ): Promise<Affinities> {
    const { tables } = this.#options;
    const { client, service, backend } = selection;
    if (client !== undefined && !client.includes('/'))
      return await this.#listOne(client, selection, options.local);
    if (tables === undefined) {
      return await this.#fromAnother('affinity list', (it) => it.affinities({ ...selection, ...options }));
    }
    const place = this.#options.place();
    const flows = await flowPage(place, { service, backend, client, key: 'client', role: 'owner' }, options);
    const items = flows.items
      .map((it) => entryOf(it, place.version, tables))
      .filter(({ services }) => service === undefined || services.includes(service));
    return { ...flows, items };
  }

  /** One client, by look-ups: also where the hash alone says who answers it. */
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
          const { source, pool, slot, fingerprint, rule, address, timeoutMs, timeoutLeftMs } = it;
          const by = it.known.find(({ entry }) => entry !== undefined);
          return {
            client: it.client,
            services: [it.service],
            ...{ address, source, pool, slot, fingerprint, rule, timeoutMs },
            ...(it.backend !== undefined && { backend: it.backend }),
            isOld: rule !== 'clean' && it.backend !== it.current,
            ...(timeoutLeftMs !== undefined && {
              seenAgoMs: by?.entry?.seenAgoMs ?? timeoutMs - timeoutLeftMs,
            }),
            ...(by !== undefined && { node: by.node }),
          };
        }),
      unanswered,
    };
  }

  async explain(
    client: string,
    { service, without, local }: Parameters<AffinityPort['explain']>[1],
  ): Promise<AffinityExplanation> {
    const { tables } = this.#options;
    const given = givenClient(client);
    if (tables === undefined) {
      return await this.#fromAnother(`affinity explain ${client}`, (it) =>
        it.affinity(client, { service, without }),
      );
    }
    const place = this.#options.place();
    const keys = clientKeys(given, service, place.version, tables);
    const known = new Map(keys.map((key) => [idOf(key), this.#ownKnowledge(key, place)]));
    const unanswered: Unanswered[] = [];
    const asked = local ? [] : place.others.filter(({ node }) => keepers(keys, place.version).has(node));
    for (const it of await Promise.all(asked.map((peer) => this.#ask(peer, client, service, place.apis)))) {
      if (!('answer' in it)) unanswered.push(it);
      else for (const report of it.answer.items) known.get(idOf(report))?.push(...report.known);
    }
    const picture = this.#options.picture();
    return {
      client: textOf(given),
      items: keys.map((key) => this.#report(key, known.get(idOf(key)) ?? [], picture, without)),
      unanswered,
    };
  }

  async release(client: string, options: ReleaseOptions): Promise<AffinityRelease> {
    const { tables, peers } = this.#options;
    const given = givenClient(client);
    if (tables === undefined) {
      throw new Failure('unsupported', 'this node is no mux, and lets no client go', {
        reason: 'it keeps no clients, and others take that from muxes only',
        remedy: `on a mux (${
          peers()
            .map(({ node }) => node)
            .join(', ') || 'see holdfast nodes list'
        }): holdfast affinity release ${client}`,
      });
    }
    const place = this.#options.place();
    const isMember = ({ node }: Peer) => node === options.peer;
    if (options.peer !== undefined && !place.others.some(isMember)) {
      throw new Failure('forbidden', `node ${options.peer} is no mux of the cluster`, {
        reason: 'only muxes have each other let clients go',
        remedy: `on a mux: holdfast affinity release ${client}`,
      });
    }
    if (options.local) {
      const keys = clientKeys(given, options.service, place.version, tables);
      return { ...this.#releaseHere(keys, given, options.dryRun), dryRun: options.dryRun };
    }
    return await this.#releaseEverywhere(client, given, place, options);
  }

  async #releaseEverywhere(
    client: string,
    given: GivenClient,
    place: FlowPlace,
    { service, dryRun, force }: ReleaseOptions,
  ): Promise<AffinityRelease> {
    const { items, unanswered } = await this.explain(client, { service, local: false });
    const moved = items.filter(
      (it) => it.rule !== 'clean' && (it.rule === 'unknown' || it.backend !== it.current),
    );
    const text = textOf(given);
    const answer = { dryRun, client: text, items: [], effects: moved.map(releaseWords), unanswered };
    if (moved.length === 0) {
      const effects = [`Client ${text} is where new clients of its slots go: there is nothing to let go.`];
      return { ...answer, action: 'none', effects };
    }
    if (!force && moved.some(mayHaveConnections)) {
      throw new Failure('unsafe', `client ${text} may have open connections, which would break`, {
        reason: moved.map(releaseWords).join(' '),
        remedy: 'wait until it is silent for the timeout (holdfast affinity explain), or force it',
      });
    }
    if (dryRun) {
      const planned = moved.map((it) => ({ ...outcomeOf(it), outcome: 'released' as const }));
      return { ...answer, action: 'release', items: planned };
    }
    const done = await this.#inOrder(client, given, service, moved, place);
    const missed = new Map(done.unanswered.map((it) => [it.node, it]));
    this.#options.tell({
      kind: 'affinity',
      message: `client ${text} was let go: ${moved.map((it) => `${it.service} from ${it.backend ?? '?'} to ${it.current ?? '?'}`).join(', ')}`,
      detail: { client: text, services: moved.map((it) => it.service) },
    });
    const outcomes = moved.map((it) => ({
      ...outcomeOf(it),
      outcome: done.outcomes.get(idOf(it)) ?? ('nothing' as const),
    }));
    return { ...answer, action: 'release', items: outcomes, unanswered: [...missed.values()] };
  }

  /**
   * The owner first, for what it says is recorded and cached; then the backup, which may have taken a record in between; then
   * everybody's cache. Each part may be done again.
   */
  async #inOrder(
    client: string,
    given: GivenClient,
    service: string | undefined,
    moved: readonly AffinityReport[],
    place: FlowPlace,
  ): Promise<{
    outcomes: ReadonlyMap<string, AffinityRelease['items'][number]['outcome']>;
    unanswered: Unanswered[];
  }> {
    const outcomes = new Map<string, AffinityRelease['items'][number]['outcome']>();
    const unanswered: Unanswered[] = [];
    const all = [place.node.name, ...place.others.map(({ node }) => node)];
    const of = (who: 'owner' | 'backup') => new Set(moved.flatMap((it) => it[who]?.node ?? []));
    for (const [who, nodes] of [
      ['owner', of('owner')],
      ['backup', of('backup')],
      ['all', new Set(all)],
    ] as const) {
      for (const node of all.filter((it) => nodes.has(it))) {
        const it = await this.#releaseAt(node, client, given, service, place);
        if (!('answer' in it)) {
          if (who === 'owner') throw ownerAway(it);
          unanswered.push(it);
          continue;
        }
        if (who !== 'owner') continue;
        for (const item of it.answer.items) {
          if (item.outcome === 'full') throw noPlace(node);
          if (moved.some((report) => idOf(report) === idOf(item) && report.owner?.node === node))
            outcomes.set(idOf(item), item.outcome);
        }
      }
    }
    return { outcomes, unanswered };
  }

  async #releaseAt(
    node: string,
    client: string,
    given: GivenClient,
    service: string | undefined,
    place: FlowPlace,
  ): Promise<{ readonly answer: AffinityRelease } | Unanswered> {
    if (node === place.node.name) {
      const keys = clientKeys(given, service, place.version, this.#options.tables!);
      return { answer: this.#releaseHere(keys, given, false) };
    }
    const peer = place.others.find((it) => it.node === node)!;
    return await place.apis.ask(peer, `affinity release ${client} --local --force`, (it) =>
      it.releaseAffinity(client, { service, force: true, local: true }),
    );
  }

  #releaseHere(keys: readonly ClientKey[], given: GivenClient, dryRun: boolean): AffinityRelease {
    const tracked = keys.filter(({ place }) => place !== undefined);
    const items = tracked.map(({ service, address, poolId, name, timeoutMs, ipVersion }) => {
      const bytes = parseAddress(name.client);
      const request = {
        poolId,
        fingerprint: name.fingerprint,
        protocol: service.protocol,
        ipVersion,
        client: bytes.slice(ipVersion === 4 ? 12 : 0, ipVersion === 4 ? 16 : 4),
        idleTimeoutMs: timeoutMs,
      };
      const outcome = dryRun ? ('nothing' as const) : this.#options.tables!.release(request);
      return { service: service.name, address, outcome };
    });
    const action = items.some(({ outcome }) => outcome === 'released') ? 'release' : 'none';
    return { dryRun, action, client: textOf(given), items, effects: [], unanswered: [] };
  }

  #ownKnowledge(key: ClientKey, place: FlowPlace): FlowKnowledge[] {
    if (key.place === undefined) return [];
    const { fingerprint, slot } = key.name;
    const protocol = key.service.protocol ?? 'tcp';
    return [knowledgeOf(place, { fingerprint, poolId: key.poolId, slot, protocol }, key.place.chain)];
  }

  async #ask(peer: Peer, client: string, service: string | undefined, apis: PeerApis) {
    return await apis.ask(peer, `affinity explain ${client}`, (it) =>
      it.affinity(client, { service, local: true }),
    );
  }

  /** On a node that keeps none: the first mux that answers. */
  async #fromAnother<T>(command: string, question: Parameters<PeerApis['ask']>[2]): Promise<T> {
    const failures: Unanswered[] = [];
    for (const peer of this.#options.peers()) {
      const asked = await this.#options.apis.ask(peer, command, question);
      if ('answer' in asked) return asked.answer as T;
      failures.push(asked);
    }
    throw new Failure('unavailable', 'this node is no mux, and no mux could be asked', {
      reason:
        failures.map(({ node, failure }) => `${node}: ${failure.cause ?? failure.message}`).join('; ') ||
        'there is none',
      remedy: failures[0]?.failure.remedy ?? 'see holdfast nodes list',
    });
  }

  #report(
    key: ClientKey,
    known: readonly FlowKnowledge[],
    picture: Picture,
    without: string | undefined,
  ): AffinityReport {
    const { service, address, name, place, timeoutMs } = key;
    const chain = place?.chain;
    const head = picture.head!;
    const decided = decisionOf(key, known, head);
    const seen = seenAgoMs(known);
    const owner = chain && holderOf(chain.owner, picture);
    const backup = chain?.backup && holderOf(chain.backup, picture);
    const leaving = leavingOf(
      key,
      { ...decided, without: without ?? decided.backend, isNamed: without !== undefined },
      picture.intent,
    );
    const report = {
      client: clientText(name),
      service: service.name,
      address,
      source: this.name,
      pool: service.pool,
      slot: name.slot,
      fingerprint: hexOf(name.fingerprint),
      ...(decided.backend !== undefined && { backend: decided.backend }),
      rule: decided.rule,
      timeoutMs,
      ...(decided.rule === 'recorded' &&
        seen !== undefined && { timeoutLeftMs: Math.max(0, timeoutMs - seen) }),
      since: this.#since(key, picture),
      ...(decided.current !== undefined && { current: decided.current }),
      ...(place?.base !== undefined && { base: place.base }),
      ...(place?.change !== undefined && { change: place.change }),
      ...(place !== undefined && { step: place.period.step, trackEpoch: place.period.trackEpoch }),
      ...(owner !== undefined && { owner }),
      ...(backup !== undefined && { backup }),
      known: [...known],
      ...(leaving !== undefined && { leaving }),
    };
    const isBehind = picture.own !== undefined && picture.own.version < head.number;
    const late = isBehind
      ? [`Version ${head.number}, by which this is said, is not in effect on this node yet.`]
      : [];
    return { ...report, conclusions: [...conclusionsOf(report), ...late] };
  }

  #since({ place, poolId, name: { slot } }: ClientKey, { nowMs, wallMs }: Picture): AffinityReport['since'] {
    const { ages, history } = this.#options;
    if (place !== undefined) {
      const seen = place.change === undefined ? undefined : history.seen(place.change);
      return {
        what: `change ${place.change ?? `of version ${place.period.trackEpoch}`} began`,
        ...(seen?.isWhole && { agoMs: Math.max(0, nowMs - seen.sinceMs) }),
      };
    }
    const sinceMs = ages.sinceMs(poolId, slot);
    return sinceMs === undefined
      ? { what: 'longer than this node looks, which began', agoMs: Math.max(0, wallMs - ages.beganMs) }
      : { what: 'the slot went to that backend', agoMs: Math.max(0, wallMs - sinceMs) };
  }
}

/** Of reports and of what was done: services and addresses are the same everywhere. */
function idOf(it: {
  readonly service: string | { readonly name: string };
  readonly address: string;
}): string {
  return `${typeof it.service === 'string' ? it.service : it.service.name} ${it.address}`;
}

function textOf({ address, prefixLength }: GivenClient): string {
  return prefixLength === undefined ? address : `${address}/${prefixLength}`;
}

/** Names of those that keep the clients of tracked slots. */
function keepers(keys: readonly ClientKey[], { members }: Version): ReadonlySet<string> {
  const ids = new Set(keys.flatMap(({ place }) => [place?.chain?.owner.id, place?.chain?.backup?.id]));
  return new Set(members.filter(({ id }) => ids.has(id)).map(({ name }) => name));
}

/** An entry of a table: which service it is of is found by its hash, where the table has the whole address. */
function entryOf(it: FlowEntry, { objects }: Version, tables: Pick<ClientTables, 'name'>): AffinityEntry {
  const { client, services, pool, slot, fingerprint, backend, isOld, seenAgoMs, idleTimeoutMs, node } = it;
  const rest = {
    source: 'mux' as const,
    pool,
    slot,
    fingerprint,
    ...(backend !== undefined && { backend }),
    rule: 'recorded' as const,
    isOld,
    seenAgoMs,
    timeoutMs: idleTimeoutMs,
    node,
  };
  if (isAddress(client)) {
    for (const name of services) {
      const service = objects.services.get(name);
      for (const address of service === undefined
        ? []
        : addressesOf(service, versionOf(parseAddress(client)))) {
        const key = tables.name(address, client);
        if (key === undefined || hexOf(key.fingerprint) !== fingerprint) continue;
        return { client: clientText(key), services: [name], address: address.address, ...rest };
      }
    }
  }
  return { client, services, ...rest };
}

/** A client that was silent for its timeout has none that counts. */
function mayHaveConnections({ rule, timeoutLeftMs }: AffinityReport): boolean {
  return rule !== 'recorded' || timeoutLeftMs === undefined || timeoutLeftMs > 0;
}

function outcomeOf({ service, address, backend, current }: AffinityReport) {
  return {
    service,
    address,
    ...(backend !== undefined && { from: backend }),
    ...(current !== undefined && { to: current }),
  };
}

function ownerAway({ node, failure }: Unanswered): Failure {
  return new Failure(
    'unavailable',
    `the client stays where it is: ${node}, which decides about it, could not be asked`,
    {
      ...(failure.cause !== undefined && { reason: failure.cause }),
      ...(failure.remedy !== undefined && { remedy: failure.remedy }),
    },
  );
}

function noPlace(node: string): Failure {
  return new Failure('limit', `${node}, which decides about the client, has no place to remember it`, {
    reason: 'the bucket of the flow table that it falls into is full',
    remedy: 'try again when clients there have ended: holdfast flows top --by slot',
  });
}
