// Owns what is answered about many flows: pages of them, and who has most. From this node's table, and those of other muxes
// that can be asked.
import type { FlowsQuery } from '../../api/client.ts';
import type { FlowSelection } from '../../api/node_port.ts';
import { TOP_MAX } from '../../api/schema/flows.ts';
import type { FlowEntry, FlowKnowledge, Flows, FlowsTop, TopBy, Unanswered } from '../../api/schema.ts';
import type { Chain } from '../../cluster/chain.ts';
import type { Version } from '../../cluster/version.ts';
import { Failure } from '../../lib/failure.ts';
import { FlowNames, type FlowTables, selector } from './flow_table.ts';
import type { Peer, PeerApis } from './peer_apis.ts';

/** Parts of the table that one page looks at: a selection that nothing fits answers an empty page, and goes on from there. */
const PAGE_PARTS_MAX = 64;
/** Groups that are told apart; flows of further ones are counted together. */
const GROUPS_MAX = 65_536;

export type FlowPlace = {
  readonly version: Version;
  readonly node: { readonly name: string; readonly id: number };
  readonly tables: FlowTables;
  /** Other members, by name. */
  readonly others: readonly Peer[];
  readonly apis: PeerApis;
};

type PageOptions = { readonly limit: number; readonly after?: string; readonly local: boolean };

/** A page is of one mux: this one first, then the others by name. */
export async function flowPage(
  place: FlowPlace,
  selection: FlowSelection,
  { limit, after, local }: PageOptions,
): Promise<Flows> {
  const { node, others } = place;
  const { of, position } = positionOf(after, node.name);
  const order = [node.name, ...(local ? [] : others.map((it) => it.node))];
  const at = order.indexOf(of);
  if (at < 0) {
    throw new Failure('invalid', 'The list cannot go on from there.', {
      reason: `"${of}" is no other member.`,
      remedy: 'Begin again, without after.',
    });
  }
  const page =
    at === 0
      ? await ownPage(place, selection, position, limit)
      : await peerPage(place, of, selection, position, limit);
  const next = page.next === undefined ? order[at + 1] && `${order[at + 1]}:` : `${of}:${page.next}`;
  return {
    items: page.items,
    ...(next !== undefined && next !== '' && { next }),
    unanswered: page.unanswered,
  };
}

function positionOf(after: string | undefined, self: string): { of: string; position: string } {
  const [, of, position = ''] = /^([a-z0-9-]+):(.*)$/.exec(after ?? `${self}:`) ?? [];
  if (of !== undefined) return { of, position };
  throw new Failure('invalid', 'The list cannot go on from there.', {
    reason: `"${after}" is no position.`,
    remedy: 'Give after as the page before had it in next.',
  });
}

type Page = {
  readonly items: FlowEntry[];
  /** Undefined: no more at this mux. */
  readonly next: string | undefined;
  readonly unanswered: Unanswered[];
};

async function ownPage(
  { version, node, tables }: FlowPlace,
  selection: FlowSelection,
  position: string,
  limit: number,
): Promise<Page> {
  const isWanted = selector(selection, version);
  const names = new FlowNames(version, node);
  const items: FlowEntry[] = [];
  let from: number | undefined = Number(position);
  if (!/^\d{0,9}$/.test(position)) {
    throw new Failure('invalid', 'The list cannot go on from there.', {
      remedy: 'Begin again, without after.',
    });
  }
  for (let parts = 0; from !== undefined && parts < PAGE_PARTS_MAX && items.length < limit; parts++) {
    const { rows, next } = tables.list(from);
    const wanted = rows.map((row) => names.entry(row)).filter(isWanted);
    // A part is never cut, so that nothing of it is lost: the page is longer by a part at most.
    items.push(...wanted);
    from = next;
    await turn();
  }
  return { items, next: from === undefined ? undefined : String(from), unanswered: [] };
}

async function peerPage(
  { others, apis }: FlowPlace,
  of: string,
  selection: FlowSelection,
  position: string,
  limit: number,
): Promise<Page> {
  const peer = others.find(({ node }) => node === of)!;
  const after = position === '' ? {} : { after: `${of}:${position}` };
  const asked = await apis.ask(peer, 'flows list', (client) =>
    client.flows({ ...queryOf(selection), limit, local: true, ...after }),
  );
  if (!('answer' in asked)) return { items: [], next: undefined, unanswered: [asked] };
  const { items, next } = asked.answer;
  return { items, next: next?.slice(of.length + 1), unanswered: [] };
}

type Group = { flows: number; old: number; nascent: number };

export async function flowsTop(
  place: FlowPlace,
  by: TopBy,
  selection: FlowSelection,
  { limit, local }: { readonly limit: number; readonly local: boolean },
): Promise<FlowsTop> {
  const groups = new Map<string, Group>();
  const others: FlowsTop['others'] = { groups: 0, flows: 0 };
  const add = (name: string, { flows, old, nascent }: Group): void => {
    const known = groups.get(name);
    if (known === undefined && groups.size >= GROUPS_MAX) {
      others.flows += flows;
      return;
    }
    const group = known ?? { flows: 0, old: 0, nascent: 0 };
    groups.set(name, { flows: group.flows + flows, old: group.old + old, nascent: group.nascent + nascent });
  };
  const peers = local ? [] : place.others;
  const asked = Promise.all(
    peers.map((peer) =>
      place.apis.ask(peer, `flows top --by ${by}`, (client) =>
        client.topFlows({ ...queryOf(selection), by, limit: TOP_MAX, local: true }),
      ),
    ),
  );
  for await (const entry of ownEntries(place, selection)) {
    add(groupOf(entry, by), {
      flows: 1,
      old: entry.isOld ? 1 : 0,
      nascent: entry.state === 'nascent' ? 1 : 0,
    });
  }
  const unanswered: Unanswered[] = [];
  for (const it of await asked) {
    if (!('answer' in it)) {
      unanswered.push(it);
      continue;
    }
    for (const { name, ...group } of it.answer.groups) add(name, group);
    others.groups += it.answer.others.groups;
    others.flows += it.answer.others.flows;
  }
  const sorted = [...groups].sort((a, b) => b[1].flows - a[1].flows || (a[0] < b[0] ? -1 : 1));
  const shown = sorted.slice(0, limit).map(([name, group]) => ({ name, ...group }));
  const rest = sorted.slice(limit);
  return {
    by,
    flows: others.flows + sorted.reduce((sum, [, { flows }]) => sum + flows, 0),
    groups: shown,
    others: {
      groups: others.groups + rest.length,
      flows: others.flows + rest.reduce((sum, [, { flows }]) => sum + flows, 0),
    },
    unanswered,
  };
}

async function* ownEntries(
  { version, node, tables }: FlowPlace,
  selection: FlowSelection,
): AsyncGenerator<FlowEntry> {
  const isWanted = selector(selection, version);
  const names = new FlowNames(version, node);
  for (let from: number | undefined = 0; from !== undefined; ) {
    const { rows, next } = tables.list(from);
    for (const row of rows) {
      const entry = names.entry(row);
      if (isWanted(entry)) yield entry;
    }
    from = next;
    await turn();
  }
}

function groupOf(entry: FlowEntry, by: TopBy): string {
  switch (by) {
    case 'backend':
      return entry.backend ?? 'gone';
    case 'service':
      return entry.services.join(' or ') || 'none any more';
    case 'client':
      return entry.client;
    case 'slot':
      return `${entry.pool}:${entry.slot}`;
    case 'mux':
      return entry.node;
  }
}

/** What this mux knows of one flow. */
export function knowledgeOf(
  { version, node, tables }: FlowPlace,
  flow: {
    readonly fingerprint: bigint;
    readonly poolId: number;
    readonly slot: number;
    readonly protocol: 'tcp' | 'udp';
  },
  chain: Chain | undefined,
): FlowKnowledge {
  const { row, cached } = tables.lookUp(flow.fingerprint, flow);
  const names = new FlowNames(version, node);
  const backend = cached && [...version.objects.backends.values()].find((it) => it.index === cached.backend);
  return {
    node: node.name,
    role: chain?.owner.id === node.id ? 'owner' : chain?.backup?.id === node.id ? 'backup' : 'other',
    ...(row !== undefined && { entry: names.entry(row) }),
    ...(cached !== undefined && {
      cached: {
        ...(backend !== undefined && { backend: `${backend.pool}/${backend.name}` }),
        fromSyn: cached.fromSyn,
        seenAgoMs: cached.seenAgoMs,
        valid: cached.invalid === undefined,
        ...(cached.invalid !== undefined && { why: cached.invalid }),
      },
    }),
  };
}

function queryOf(selection: FlowSelection): FlowsQuery {
  return selection;
}

/** Heartbeats and leases do not wait for a long table. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
