// Owns `holdfast pools …`.
import type { PoolView } from '../../api/schema.ts';
import { poolSchema } from '../../config/objects.ts';
import { checkGiven } from '../check_given.ts';
import type { HEALTH_UNSET } from '../commands/health.ts';
import type { WriteGiven } from '../commands/writing.ts';
import { bar, count, counted, percent } from '../format.ts';
import type { Screen, Style } from '../screen.ts';
import type { Session } from '../session.ts';
import { type Column, facts, table } from '../table.ts';
import { UsageError } from '../usage_error.ts';
import { makeChange } from './change.ts';
import { defined } from './objects.ts';
import { type HealthGiven, healthText, poolPatchOf } from './pool_health.ts';

export const BAR_COLUMNS = 20;
export const HEALTH_STYLES: Readonly<Record<string, Style>> = {
  up: 'green',
  down: 'red',
  kept: 'red',
  unknown: 'yellow',
};

export async function list(session: Session): Promise<void> {
  const items = await (await session.client()).pools();
  if (session.json) session.printJson({ items });
  else session.out.print(poolsText(session.out, items));
}

export function poolsText(screen: Screen, pools: readonly PoolView[]): string {
  if (pools.length === 0) return 'no pools; add one with holdfast pools add';
  const columns: Column<PoolView>[] = [
    { head: 'POOL', cell: (it) => it.name, style: () => 'bold' },
    { head: 'SLOTS', cell: (it) => count(it.slots), right: true },
    { head: 'BACKENDS', cell: (it) => count(it.backends.length), right: true },
    {
      head: 'WITH WEIGHT',
      cell: (it) => count(it.backends.filter(({ weight }) => weight > 0).length),
      right: true,
    },
    {
      head: 'UNASSIGNED',
      cell: (it) => count(it.unassignedSlots),
      right: true,
      style: (it) => (it.unassignedSlots > 0 ? 'red' : undefined),
    },
    { head: 'SERVICES', cell: (it) => it.services.join(' '), narrow: 'wrap' },
  ];
  return table(screen, columns, pools);
}

export async function show(session: Session, given: { name: string }): Promise<void> {
  const it = await (await session.client()).pool(given.name);
  if (session.json) session.printJson(it);
  else session.out.print(poolText(session.out, it));
}

export function poolText(screen: Screen, it: PoolView): string {
  const unassigned = it.unassignedSlots === 0 ? '' : `, ${count(it.unassignedSlots)} with no backend`;
  const head = facts(screen, [
    ['pool', screen.paint('bold', it.name)],
    ['slots', `${count(it.slots)}${screen.paint('red', unassigned)}`],
    ['services', it.services.length === 0 ? 'none' : it.services.join(', ')],
    ['delivery', it.delivery === 'filter' ? 'every backend hears every packet' : undefined],
    ['hosts', it.hosts === 'single' ? 'one backend answers all' : undefined],
    ['health', healthText(it.health)],
    ['slow start', it.slowStartMs === undefined ? undefined : `over ${it.slowStartMs} ms`],
    ['revision', `${it.revision}, id ${it.id}`],
  ]);
  if (it.backends.length === 0) return `${head}\n\nno backends; add one with holdfast backends add`;
  type Row = PoolView['backends'][number];
  const columns: Column<Row>[] = [
    { head: 'BACKEND', cell: ({ name }) => name, style: () => 'bold' },
    {
      head: 'WEIGHT',
      cell: ({ weight }) => count(weight),
      right: true,
      style: ({ weight }) => (weight === 0 ? 'yellow' : undefined),
    },
    { head: 'SLOTS', cell: ({ slots }) => count(slots), right: true },
    { head: 'SHARE', cell: ({ share }) => percent(share), right: true },
    ...(it.health === undefined
      ? []
      : [
          {
            head: 'HEALTH',
            cell: ({ health }: Row) => health ?? '',
            style: ({ health }: Row) => HEALTH_STYLES[health ?? ''],
          },
        ]),
    ...(screen.hasBlocks
      ? [{ head: '', cell: ({ share }: Row) => bar(share, BAR_COLUMNS), style: () => 'cyan' as const }]
      : []),
  ];
  return `${head}\n\n${table(screen, columns, it.backends)}\n\n${counted(it.backends.length, 'backend')}`;
}

export async function add(
  session: Session,
  given: WriteGiven & {
    name: string;
    slots: number | undefined;
    delivery: 'mux' | 'filter' | undefined;
    hosts: 'multiple' | 'single' | undefined;
  },
): Promise<number | undefined> {
  checkGiven(given, poolSchema.shape, { name: 'NAME' });
  const client = await session.client();
  const { name, slots, delivery, hosts } = given;
  const pool = { name, ...defined({ slots, delivery, hosts }) };
  return await makeChange(session, given, (options) => client.addPool(pool, options));
}

export async function set(
  session: Session,
  given: WriteGiven &
    HealthGiven & {
      name: string;
      hosts: 'multiple' | 'single' | undefined;
      unset: readonly (typeof HEALTH_UNSET)[number][];
    },
): Promise<number | undefined> {
  const patch = { ...poolPatchOf(given, given.unset), ...defined({ hosts: given.hosts }) };
  if (Object.keys(patch).length === 0) {
    throw new UsageError('Nothing to change.', { remedy: 'Say what, with an option.' });
  }
  const client = await session.client();
  return await makeChange(session, given, (options) => client.changePool(given.name, patch, options));
}

export async function remove(
  session: Session,
  given: WriteGiven & { name: string },
): Promise<number | undefined> {
  const client = await session.client();
  return await makeChange(session, given, (options) => client.removePool(given.name, options));
}
