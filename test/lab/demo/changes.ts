// Owns the acts that change backends under traffic, as an administrator does: through the command. What moves is read
// from the kernel's tables; no connection breaks, also where its slot moves.
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackendView, Change } from '../../../control/api/schema.ts';
import { documentOf, POOL, SLOTS, WEIGHT } from '../configuration.ts';
import { holdfast } from '../node_command.ts';
import type { HeldConnection, TrafficPeriod } from '../protocol.ts';
import { type Cast, type Check, check, count, percent } from './act.ts';
import { placesOf } from './places.ts';
import { type Share, sharesOf } from './shares.ts';
import { countSlots, fewestMoves, isSameTable, movedSlots, slotsOf } from './slots.ts';
import {
  enoughTraffic,
  everywhere,
  holdConnections,
  requestsCheck,
  spread,
  startTraffic,
  sumOf,
} from './traffic.ts';

const HEAVY_WEIGHT = 3 * WEIGHT;
const REQUESTS = 3_000;
/** Before the change, and after its commit until connections that it broke would have noticed. */
const PAUSE_MS = 600;

export type ChangeFindings = {
  readonly checks: readonly Check[];
  readonly command: string;
  readonly backend: string;
  readonly movedSlots: number;
  readonly fewestMoves: number;
  readonly rows: readonly (Share & {
    readonly weight: number;
    readonly slotsBefore: number;
    readonly slotsAfter: number;
  })[];
  readonly requests: { readonly succeeded: number; readonly failed: number; readonly sentAgain: number };
  readonly held: {
    readonly connections: number;
    readonly inMovedSlots: number;
    readonly broken: number;
  };
};

export async function playWeight(cast: Cast): Promise<ChangeFindings> {
  const { name } = cast.lab.plan.backends[0]!;
  const args = ['backends', 'set', `${POOL}/${name}`, '--weight', String(HEAVY_WEIGHT)];
  const { found, checks } = await playChange(cast, name, args, HEAVY_WEIGHT);
  return { ...found, checks: [...checks, spread(found.rows)] };
}

export async function playDrain(cast: Cast): Promise<ChangeFindings> {
  const { name } = cast.lab.plan.backends[1]!;
  const { found, checks, newFlows } = await playChange(
    cast,
    name,
    ['backends', 'drain', `${POOL}/${name}`],
    0,
  );
  const connections = found.rows.find(({ backend }) => backend === name)!.connections;
  const others = found.rows.reduce((sum, row) => sum + row.connections, 0) - connections;
  return {
    ...found,
    checks: [
      ...checks,
      check(
        'the drained backend gets no new connection',
        connections === 0 && newFlows === 0 && others > 0,
        `${connections} of ${count(connections + others)}; muxes counted ${newFlows} SYNs for it`,
      ),
      spread(found.rows),
    ],
  };
}

/** All backends alike again. */
export async function undoChanges({ lab, weights }: Cast): Promise<void> {
  await lab.apply(documentOf(lab.plan));
  for (const name of weights.keys()) weights.set(name, WEIGHT);
}

async function playChange(cast: Cast, backend: string, args: readonly string[], weight: number) {
  const played = await changeUnderTraffic(cast, backend, args, weight);
  const views = await cast.lab.muxes[0]!.daemon.client.backends(POOL);
  const moved = movedSlots(played.before, played.after[0]!);
  const found = findingsOf(cast, played, moved, views);
  return {
    found: { command: commandOf(args), backend, ...found },
    newFlows: played.newFlows,
    checks: [
      slotsCheck(found, played, views),
      requestsCheck('no request fails, and none has to be sent again', played.periods),
      heldCheck(found),
    ],
  };
}

type Played = {
  readonly change: Change;
  /** Of one mux. */
  readonly before: Uint16Array;
  /** Of each mux. */
  readonly after: readonly Uint16Array[];
  /** Of requests: begun before the change, while it was tracked, and when every mux had committed it. */
  readonly periods: readonly TrafficPeriod[];
  readonly held: readonly (HeldConnection & { readonly slot: number })[];
  /** Connections to the backend, as the muxes counted them, begun when every mux had committed the change. */
  readonly newFlows: number;
};

async function changeUnderTraffic(
  cast: Cast,
  backend: string,
  args: readonly string[],
  weight: number,
): Promise<Played> {
  const { lab, agent, weights, now } = cast;
  const tables = () => lab.muxes.map(({ node }) => slotsOf(lab.plan, node));
  await holdConnections(cast);
  const before = tables()[0]!;
  const places = await placesOf(lab, await agent.call('heldConnections', {}));
  now('HTTP requests, before the change');
  await startTraffic(cast, everywhere(cast));
  await sleep(PAUSE_MS);

  now(`$ ${commandOf(args)}`);
  await agent.call('markTraffic', {});
  const change = (await holdfast(lab.plan, lab.muxes[0]!.node.name, args)) as Change;
  now(`$ ${commandOf(args)}: its slots are tracked, until handshakes that began before are completed`);
  await lab.settles(change.revision);
  weights.set(backend, weight);
  await agent.call('markTraffic', {});
  now(`$ ${commandOf(args)}: new connections follow`);
  const flowsBefore = await newFlowsOf(cast, backend);
  await sleep(PAUSE_MS);
  await enoughTraffic(cast, REQUESTS);
  const newFlows = (await newFlowsOf(cast, backend)) - flowsBefore;
  const periods = await agent.call('stopTraffic', {});
  const held = await agent.call('heldConnections', {});
  return {
    change,
    before,
    after: tables(),
    periods,
    held: held.map((it, at) => ({ ...it, slot: places[at]!.slot })),
    newFlows,
  };
}

type Found = Omit<ChangeFindings, 'checks' | 'command' | 'backend'>;

function findingsOf(
  { weights }: Cast,
  { before, after, periods, held }: Played,
  moved: ReadonlySet<number>,
  views: readonly BackendView[],
): Found {
  const counts = [countSlots(before), countSlots(after[0]!)] as const;
  const indexes = new Map(views.map(({ name, index }) => [name, index]));
  const slotsIn = (table: ReadonlyMap<number, number>, name: string) => table.get(indexes.get(name)!) ?? 0;
  const broken = held.filter(({ failure }) => failure !== undefined);
  return {
    movedSlots: moved.size,
    fewestMoves: fewestMoves(...counts),
    rows: sharesOf(periods.at(-1)!.result.perBackend, weights).map((share) => ({
      ...share,
      weight: weights.get(share.backend)!,
      slotsBefore: slotsIn(counts[0], share.backend),
      slotsAfter: slotsIn(counts[1], share.backend),
    })),
    requests: sumOf(periods),
    held: {
      connections: held.length,
      inMovedSlots: held.filter(({ slot }) => moved.has(slot)).length,
      broken: broken.length,
    },
  };
}

function slotsCheck(
  { movedSlots, fewestMoves, rows }: Found,
  { change, after }: Played,
  views: readonly BackendView[],
): Check {
  const told = change.moved.find(({ pool }) => pool === POOL)?.slots ?? 0;
  const isSame = after.every((table) => isSameTable(table, after[0]!));
  const total = rows.reduce((sum, { weight }) => sum + weight, 0);
  const areExact = rows.every(
    ({ slotsAfter, weight }) => Math.abs(slotsAfter - (SLOTS * weight) / total) < 1,
  );
  const areTold =
    told === movedSlots &&
    rows.every(({ backend, slotsAfter }) => views.find(({ name }) => name === backend)?.slots === slotsAfter);
  const doubts = [
    ...(movedSlots === fewestMoves ? [] : [`${count(fewestMoves)} would have done`]),
    ...(areExact ? [] : ['shares are not exact']),
    ...(areTold ? [] : [`the daemon says ${count(told)}`]),
    ...(isSame ? [] : ['muxes differ']),
  ];
  return check(
    'no more slots move than must, and shares are exact',
    movedSlots > 0 && doubts.length === 0,
    [`${count(movedSlots)} of ${count(SLOTS)}, ${percent(movedSlots / SLOTS)}`, ...doubts].join('; '),
  );
}

function heldCheck({ held: { connections, inMovedSlots, broken } }: Found): Check {
  return check(
    'no long-lived connection breaks, also not in moved slots',
    broken === 0 && inMovedSlots > 0,
    `${broken} of ${connections} broke; ${inMovedSlots} are in moved slots`,
  );
}

function commandOf(args: readonly string[]): string {
  return `holdfast ${args.join(' ')}`;
}

/** Connections begun at a backend, as the muxes count them. */
async function newFlowsOf({ lab }: Cast, backend: string): Promise<number> {
  const all = await Promise.all(lab.muxes.map(({ daemon }) => daemon.client.stats()));
  const rows = all.flatMap(({ backends }) => backends.filter(({ name }) => name === backend));
  return rows.reduce((sum, { newFlows }) => sum + newFlows, 0);
}
