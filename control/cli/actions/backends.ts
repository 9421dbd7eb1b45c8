// Owns `holdfast backends …`.
import type { BackendInput } from '../../api/client.ts';
import type { BackendView } from '../../api/schema.ts';
import { type Backend, type BackendPatch, backendSchema } from '../../config/objects.ts';
import { checkGiven } from '../check_given.ts';
import type { WriteGiven } from '../commands/writing.ts';
import { bar, byteCount, count, percent } from '../format.ts';
import { millisecondsOf } from '../milliseconds.ts';
import type { Screen, Style } from '../screen.ts';
import type { Session } from '../session.ts';
import { type Column, facts, table } from '../table.ts';
import { makeChange } from './change.ts';
import { checkPatch, defined, splitBackend } from './objects.ts';
import { BAR_COLUMNS, HEALTH_STYLES } from './pools.ts';

type BackendGiven = {
  readonly backend: string;
  readonly weight: number | undefined;
  readonly encap: 'ip' | 'gue' | undefined;
  readonly guePort: number | undefined;
  readonly mtu: number | undefined;
  readonly serverId: number | undefined;
  readonly priority: number | undefined;
};

export async function list(session: Session, given: { pool: string | undefined }): Promise<void> {
  const items = await (await session.client()).backends(given.pool);
  if (session.json) session.printJson({ items });
  else session.out.print(backendsText(session.out, items));
}

const PATH_STYLES: Readonly<Record<string, Style>> = { unreachable: 'red', resolving: 'yellow' };

export function backendsText(screen: Screen, backends: readonly BackendView[]): string {
  if (backends.length === 0) return 'no backends; add one with holdfast backends add';
  const columns: Column<BackendView>[] = [
    { head: 'BACKEND', cell: (it) => `${it.pool}/${it.name}`, style: () => 'bold', narrow: 'cut' },
    { head: 'ADDRESS', cell: (it) => it.address, narrow: 'cut' },
    { head: 'TUNNEL', cell: tunnelOf },
    {
      head: 'WEIGHT',
      cell: (it) => count(it.weight),
      right: true,
      style: (it) => (it.weight === 0 ? 'yellow' : undefined),
    },
    { head: 'SLOTS', cell: (it) => count(it.slots), right: true },
    { head: 'SHARE', cell: (it) => percent(it.share), right: true },
  ];
  if (backends.some(({ health }) => health !== undefined)) {
    columns.push({
      head: 'HEALTH',
      cell: ({ health }) => health?.state ?? '',
      style: ({ health }) => HEALTH_STYLES[health?.state ?? ''],
    });
  }
  if (backends.some(({ flowsLeft }) => flowsLeft !== undefined)) {
    columns.push({
      head: 'FLOWS LEFT',
      cell: ({ flowsLeft }) => (flowsLeft === undefined ? '' : count(flowsLeft)),
      right: true,
    });
  }
  if (backends.some(({ path }) => path !== undefined)) {
    columns.push({
      head: 'PATH',
      cell: ({ path }) => path?.state ?? '',
      style: ({ path }) => PATH_STYLES[path?.state ?? ''],
    });
  }
  if (backends.some(({ traffic }) => traffic !== undefined)) {
    columns.push(
      { head: 'PACKETS', cell: (it) => count(it.traffic?.packets ?? 0), right: true },
      { head: 'BYTES', cell: (it) => byteCount(it.traffic?.bytes ?? 0), right: true },
      { head: 'NEW FLOWS', cell: (it) => count(it.traffic?.newFlows ?? 0), right: true },
    );
  }
  return table(screen, columns, backends);
}

export async function show(session: Session, given: { backend: string }): Promise<void> {
  const { pool, name } = splitBackend(given.backend);
  const it = await (await session.client()).backend(pool, name);
  if (session.json) session.printJson(it);
  else session.out.print(backendText(session.out, it));
}

export function backendText(screen: Screen, it: BackendView): string {
  const { path, traffic } = it;
  const drawn = screen.hasBlocks ? `  ${screen.paint('cyan', bar(it.share, BAR_COLUMNS))}` : '';
  return facts(screen, [
    ['backend', screen.paint('bold', `${it.pool}/${it.name}`)],
    ['address', it.address],
    ['tunnel', tunnelOf(it)],
    ['weight', it.weight === 0 ? screen.paint('yellow', '0, drained') : count(it.weight)],
    ['slots', `${count(it.slots)}, ${percent(it.share)} of the pool${drawn}`],
    ['flows left', it.flowsLeft === undefined ? undefined : count(it.flowsLeft)],
    ['gives up', it.givesUpAt && `what flows are left at ${it.givesUpAt}`],
    ['slow start', it.slowStart && `step ${it.slowStart.step} of ${it.slowStart.of}`],
    ['health', it.health && screen.paint(HEALTH_STYLES[it.health.state], healthOf(it.health))],
    ...(it.health?.muxes ?? []).map((mux): [string, string] => [
      `  by ${mux.name}`,
      [mux.state, mux.since && `since ${mux.since}`, mux.reason].filter(Boolean).join(', '),
    ]),
    ['mtu', it.mtuBytes === undefined ? undefined : `at most ${it.mtuBytes} bytes`],
    ['server id', it.serverId === undefined ? undefined : String(it.serverId)],
    ['path', path && screen.paint(PATH_STYLES[path.state], pathText(path))],
    [
      'fits',
      path?.innerMtuBytes === undefined ? undefined : `packets of at most ${path.innerMtuBytes} bytes`,
    ],
    ['packets', traffic && count(traffic.packets)],
    ['bytes', traffic && byteCount(traffic.bytes)],
    ['new flows', traffic && count(traffic.newFlows)],
    ['revision', `${it.revision}, index ${it.index}`],
  ]);
}

const HEALTH_WORDS = {
  up: 'up',
  down: 'down',
  kept: 'dead, and kept: the pool would have too little left (panic)',
  unknown: 'unknown: no mux has a result',
} as const;

function healthOf({ state, since, reason }: NonNullable<BackendView['health']>): string {
  return [HEALTH_WORDS[state], since && `since ${since}`, reason].filter(Boolean).join(', ');
}

function pathText(path: NonNullable<BackendView['path']>): string {
  const parts = [
    path.state,
    path.interface && `through ${path.interface}`,
    path.mac && `to ${path.mac}`,
    path.mtuBytes && `MTU ${path.mtuBytes}`,
  ];
  return parts.filter((part) => part !== undefined).join(', ');
}

function tunnelOf({ encap, guePort }: Pick<Backend, 'encap' | 'guePort'>): string {
  return encap === 'gue' && guePort !== undefined ? `gue:${guePort}` : encap;
}

const { name, address, weight, guePort, mtuBytes, serverId } = backendSchema.shape;
const SCHEMAS = { address, weight, guePort, mtu: mtuBytes, serverId };

export async function add(
  session: Session,
  given: BackendGiven & WriteGiven & { address: string },
): Promise<number | undefined> {
  const named = splitBackend(given.backend);
  checkGiven({ ...given, name: named.name }, { name, ...SCHEMAS }, { name: 'NAME' });
  const backend: BackendInput = {
    ...named,
    address: given.address,
    ...(fieldsOf(given) as Partial<BackendInput>),
  };
  const client = await session.client();
  return await makeChange(session, given, (options) => client.addBackend(backend, options));
}

const UNSET_FIELDS = {
  'gue-port': ['guePort'],
  mtu: ['mtuBytes'],
  'server-id': ['serverId'],
  priority: ['priority'],
} as const;

export async function set(
  session: Session,
  given: BackendGiven &
    WriteGiven & { address: string | undefined; unset: readonly (keyof typeof UNSET_FIELDS)[] },
): Promise<number | undefined> {
  const { pool, name } = splitBackend(given.backend);
  checkGiven(given, SCHEMAS);
  const named = { ...defined({ address: given.address }), ...fieldsOf(given) };
  checkPatch(named, given.unset, UNSET_FIELDS);
  const taken = given.unset.flatMap((it) => UNSET_FIELDS[it].map((field) => [field, null]));
  const patch = { ...named, ...Object.fromEntries(taken) } as BackendPatch;
  const client = await session.client();
  return await makeChange(session, given, (options) => client.changeBackend(pool, name, patch, options));
}

export async function drain(
  session: Session,
  given: WriteGiven & { backend: string; deadline: string | undefined },
): Promise<number | undefined> {
  const { pool, name } = splitBackend(given.backend);
  const deadlineMs = given.deadline === undefined ? undefined : millisecondsOf('--deadline', given.deadline);
  const client = await session.client();
  return await makeChange(
    session,
    given,
    (options) => client.changeBackend(pool, name, { weight: 0 }, { ...options, deadlineMs }),
    {
      after: ({ dryRun, changes }) => {
        const { weight } = (changes[0]?.before ?? {}) as { weight?: unknown };
        if (dryRun || typeof weight !== 'number') return undefined;
        return `back with: holdfast backends set ${pool}/${name} --weight ${weight}`;
      },
    },
  );
}

export async function remove(
  session: Session,
  given: WriteGiven & { backend: string },
): Promise<number | undefined> {
  const { pool, name } = splitBackend(given.backend);
  const client = await session.client();
  return await makeChange(session, given, (options) => client.removeBackend(pool, name, options));
}

function fieldsOf(given: BackendGiven): Record<string, unknown> {
  return defined({
    weight: given.weight,
    encap: given.encap,
    guePort: given.guePort,
    mtuBytes: given.mtu,
    serverId: given.serverId,
    priority: given.priority,
  });
}
