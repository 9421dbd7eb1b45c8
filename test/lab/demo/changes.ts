// Owns the acts that change backends under traffic, as an administrator does: through the command. What moves is read
// from the kernel's tables, and compared with what broke.
import { setTimeout as sleep } from 'node:timers/promises';
import type { BackendView, Change } from '../../../control/api/schema.ts';
import { documentOf, POOL, SLOTS, WEIGHT } from '../configuration.ts';
import { holdfast } from '../node_command.ts';
import type { Connection, TrafficPeriod } from '../protocol.ts';
import { type Cast, type Check, check, count, percent } from './act.ts';
import { type Share, sharesOf } from './shares.ts';
import { countSlots, fewestMoves, isSameTable, movedSlots, slotsOf } from './slots.ts';
import { enoughTraffic, everywhere, holdConnections, spread, startTraffic, sumOf } from './traffic.ts';

const HEAVY_WEIGHT = 3 * WEIGHT;
const REQUESTS = 3_000;
/** Before the change, and after it until connections that it broke have noticed. */
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
    readonly brokenElsewhere: number;
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
  const { lab, agent, weights, now } = cast;
  const tables = () => lab.muxes.map(({ node }) => slotsOf(lab.plan, node));
  await holdConnections(cast);
  const before = tables()[0]!;
  const heldBefore = await placesOf(cast, await agent.call('heldConnections', {}));
  now('HTTP requests, before the change');
  await startTraffic(cast, everywhere(cast));
  await sleep(PAUSE_MS);

  const command = `holdfast ${args.join(' ')}`;
  now(`$ ${command}`);
  await agent.call('markTraffic', {});
  const change = (await holdfast(lab.plan, lab.muxes[0]!.node.name, args)) as Change;
  await lab.settles(change.revision);
  weights.set(backend, weight);
  await agent.call('markTraffic', {});
  now(`$ ${command}: new connections follow`);
  const flowsBefore = await newFlowsOf(cast, backend);
  await sleep(PAUSE_MS);
  await enoughTraffic(cast, REQUESTS);
  const newFlows = (await newFlowsOf(cast, backend)) - flowsBefore;
  const periods = await agent.call('stopTraffic', {});
  const held = await agent.call('heldConnections', {});

  const after = tables();
  const moved = movedSlots(before, after[0]!);
  const counts = [countSlots(before), countSlots(after[0]!)] as const;
  const views = await lab.muxes[0]!.daemon.client.backends(POOL);
  const known = new Map(views.map((view) => [view.name, view]));
  const slotsIn = (table: ReadonlyMap<number, number>, name: string) =>
    table.get(known.get(name)!.index) ?? 0;
  const rows = sharesOf(periods.at(-1)!.result.perBackend, weights).map((share) => ({
    ...share,
    weight: weights.get(share.backend)!,
    slotsBefore: slotsIn(counts[0], share.backend),
    slotsAfter: slotsIn(counts[1], share.backend),
  }));
  const broken = held
    .map(({ failure }, at) => ({ failure, ...heldBefore[at]! }))
    .filter(({ failure }) => failure);
  const found = {
    command,
    backend,
    movedSlots: moved.size,
    fewestMoves: fewestMoves(...counts),
    rows,
    requests: sumOf(periods),
    held: {
      connections: held.length,
      inMovedSlots: heldBefore.filter(({ slot }) => moved.has(slot)).length,
      broken: broken.length,
      brokenElsewhere: broken.filter(({ slot }) => !moved.has(slot)).length,
    },
  };
  const told = change.moved.find(({ pool }) => pool === POOL)?.slots ?? 0;
  return {
    found,
    newFlows,
    checks: [
      slotsCheck(
        found,
        told,
        after.every((table) => isSameTable(table, after[0]!)),
        views,
      ),
      await requestsCheck(cast, periods, moved),
      heldCheck(found),
    ],
  };
}

function slotsCheck(
  { movedSlots, fewestMoves, rows }: Omit<ChangeFindings, 'checks'>,
  told: number,
  isSame: boolean,
  views: readonly BackendView[],
): Check {
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

/** A request under way whose slot moves loses its connection; it is sent again, as browsers do. */
async function requestsCheck(
  cast: Cast,
  periods: readonly TrafficPeriod[],
  moved: ReadonlySet<number>,
): Promise<Check> {
  const { succeeded, failed, sentAgain } = sumOf(periods);
  const places = await placesOf(
    cast,
    periods.flatMap(({ broken }) => broken),
  );
  const explained = places.filter(({ slot }) => moved.has(slot)).length;
  const late = periods.at(-1)!.sentAgain;
  const doubts = [
    ...(explained === sentAgain ? [] : [`${sentAgain - explained} in slots that did not move`]),
    ...(late === 0 ? [] : [`${late} begun after the change`]),
  ];
  return check(
    'no request fails; those under way in moved slots are sent again',
    failed === 0 && succeeded > 0 && doubts.length === 0,
    [`${failed} of ${count(succeeded + failed)} failed, ${sentAgain} sent again`, ...doubts].join(', '),
  );
}

function heldCheck({ held }: Omit<ChangeFindings, 'checks'>): Check {
  const { connections, inMovedSlots, broken, brokenElsewhere } = held;
  const [others, othersStayed] = [connections - inMovedSlots, connections - inMovedSlots - brokenElsewhere];
  return check(
    'long-lived connections in other slots stay',
    brokenElsewhere === 0 && others > 0,
    `${othersStayed} of ${others}; in moved slots ${broken - brokenElsewhere} of ${inMovedSlots} broke (no tracking yet)`,
  );
}

type Place = { readonly slot: number; readonly backend: string | undefined };

/** Which slot each connection is in: one mux after the other is asked to explain, as all know the same. */
async function placesOf({ lab }: Cast, connections: readonly Connection[]): Promise<Place[]> {
  const places: Place[] = [];
  for (const [at, { source, sourcePort, destination, destinationPort }] of connections.entries()) {
    const { client } = lab.muxes[at % lab.muxes.length]!.daemon;
    const flow = { protocol: 'tcp', source, sourcePort, destination, destinationPort } as const;
    const { slot, backend } = await client.explain({ flow });
    if (slot === undefined)
      throw new Error(`no slot for ${source} port ${sourcePort} towards ${destination}`);
    places.push({ slot, backend });
  }
  return places;
}

/** Connections begun at a backend, as the muxes count them. */
async function newFlowsOf({ lab }: Cast, backend: string): Promise<number> {
  const all = await Promise.all(lab.muxes.map(({ daemon }) => daemon.client.stats()));
  const rows = all.flatMap(({ backends }) => backends.filter(({ name }) => name === backend));
  return rows.reduce((sum, { newFlows }) => sum + newFlows, 0);
}
