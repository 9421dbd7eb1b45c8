// Owns `holdfast services …`.
import type { ServiceInput } from '../../api/client.ts';
import type { ServiceView } from '../../api/schema.ts';
import { idleTimeoutOf, type ServicePatch, serviceSchema } from '../../config/objects.ts';
import { checkGiven } from '../check_given.ts';
import type { WriteGiven } from '../commands/writing.ts';
import { byteCount, count, span } from '../format.ts';
import { millisecondsOf } from '../milliseconds.ts';
import type { Screen } from '../screen.ts';
import type { Session } from '../session.ts';
import { type Column, facts, table } from '../table.ts';
import { UsageError } from '../usage_error.ts';
import { makeChange } from './change.ts';
import { FILTER_UNSET_FIELDS, type FilterServiceGiven, filterFieldsOf, multicastText } from './filter.ts';
import { checkPatch, defined } from './objects.ts';

type ServiceGiven = {
  readonly name: string;
  readonly address: readonly string[];
  readonly protocol: 'tcp' | 'udp' | undefined;
  readonly port: number | undefined;
  readonly affinity: boolean;
  readonly idleTimeout: string | undefined;
  readonly affinityPrefix4: number | undefined;
  readonly affinityPrefix6: number | undefined;
  readonly ignoreSourcePort: boolean;
  readonly quicConfigRotation: number | undefined;
  readonly quicServerIdBytes: number | undefined;
} & FilterServiceGiven;

export async function list(session: Session): Promise<void> {
  const items = await (await session.client()).services();
  if (session.json) session.printJson({ items });
  else session.out.print(servicesText(session.out, items));
}

export function servicesText(screen: Screen, services: readonly ServiceView[]): string {
  if (services.length === 0) return 'no services; add one with holdfast services add';
  const columns: Column<ServiceView>[] = [
    { head: 'SERVICE', cell: (it) => it.name, style: () => 'bold' },
    { head: 'ADDRESSES', cell: (it) => it.addresses.join(' '), narrow: 'wrap' },
    { head: 'PORT', cell: portOf },
    { head: 'POOL', cell: (it) => it.pool, narrow: 'cut' },
    {
      head: 'BACKENDS',
      cell: (it) => count(it.backends),
      right: true,
      style: (it) => (it.backends === 0 ? 'red' : undefined),
    },
  ];
  if (services.some(({ traffic }) => traffic !== undefined)) {
    columns.push(
      { head: 'PACKETS', cell: (it) => count(it.traffic?.packets ?? 0), right: true },
      { head: 'BYTES', cell: (it) => byteCount(it.traffic?.bytes ?? 0), right: true },
      { head: 'NEW FLOWS', cell: (it) => count(it.traffic?.newFlows ?? 0), right: true },
    );
  }
  return table(screen, columns, services);
}

export async function show(session: Session, given: { name: string }): Promise<void> {
  const it = await (await session.client()).service(given.name);
  if (session.json) return session.printJson(it);
  const { affinity, quic, traffic } = it;
  const text = facts(session.out, [
    ['service', session.out.paint('bold', it.name)],
    ['addresses', it.addresses.join(', ')],
    ['port', portOf(it)],
    ['pool', `${it.pool}, backends with a weight: ${count(it.backends)}`],
    [
      'affinity',
      affinity && `client of /${affinity.prefixLength4} (IPv4), /${affinity.prefixLength6} (IPv6)`,
    ],
    ['timeout', idleTimeoutOf(it) === 0 ? 'with its last connection' : span(idleTimeoutOf(it))],
    ['flow key', it.ignoreSourcePort ? 'without the source port' : undefined],
    ['quic', quic && `server ID of ${quic.serverIdBytes} bytes, config rotation ${quic.configRotation}`],
    ['delivery', it.multicast && multicastText(it.multicast)],
    ['disabled', it.disabled ? session.out.paint('yellow', 'its packets are dropped') : undefined],
    ['packets', traffic && count(traffic.packets)],
    ['bytes', traffic && byteCount(traffic.bytes)],
    ['new flows', traffic && count(traffic.newFlows)],
    ['revision', String(it.revision)],
  ]);
  session.out.print(text);
}

function portOf({ protocol, port }: Pick<ServiceView, 'protocol' | 'port'>): string {
  return protocol === undefined ? 'all' : `${protocol} ${port}`;
}

const { name, addresses, port, pool, affinity, quic } = serviceSchema.shape;
const SCHEMAS = {
  address: addresses,
  port,
  pool,
  affinityPrefix4: affinity.unwrap().shape.prefixLength4,
  affinityPrefix6: affinity.unwrap().shape.prefixLength6,
  quicConfigRotation: quic.unwrap().shape.configRotation,
  quicServerIdBytes: quic.unwrap().shape.serverIdBytes,
};

export async function add(
  session: Session,
  given: ServiceGiven & WriteGiven & { pool: string },
): Promise<number | undefined> {
  checkGiven(given, { name, ...SCHEMAS }, { name: 'NAME' });
  const client = await session.client();
  const service = { name: given.name, addresses: [...given.address], pool: given.pool, ...fieldsOf(given) };
  return await makeChange(session, given, (options) => client.addService(service as ServiceInput, options));
}

const UNSET_FIELDS = {
  port: ['protocol', 'port'],
  affinity: ['affinity'],
  'idle-timeout': ['idleTimeoutMs'],
  'ignore-source-port': ['ignoreSourcePort'],
  quic: ['quic'],
  ...FILTER_UNSET_FIELDS,
} as const;

export async function set(
  session: Session,
  given: ServiceGiven &
    WriteGiven & { pool: string | undefined; unset: readonly (keyof typeof UNSET_FIELDS)[] },
): Promise<number | undefined> {
  checkGiven(given, SCHEMAS);
  const named = {
    ...(given.address.length === 0 ? {} : { addresses: [...given.address] }),
    ...defined({ pool: given.pool }),
    ...fieldsOf(given),
  };
  checkPatch(named, given.unset, UNSET_FIELDS);
  const taken = given.unset.flatMap((name) => UNSET_FIELDS[name].map((field) => [field, null]));
  const patch = { ...named, ...Object.fromEntries(taken) } as ServicePatch;
  const client = await session.client();
  return await makeChange(session, given, (options) => client.changeService(given.name, patch, options));
}

export async function remove(
  session: Session,
  given: WriteGiven & { name: string },
): Promise<number | undefined> {
  const client = await session.client();
  return await makeChange(session, given, (options) => client.removeService(given.name, options));
}

/** What users leave out is left out: the daemon knows the defaults, and a patch leaves the rest as it is. */
function fieldsOf(given: ServiceGiven): Record<string, unknown> {
  if ((given.protocol === undefined) !== (given.port === undefined)) {
    throw new UsageError(`--${given.port === undefined ? 'port' : 'protocol'} is missing.`, {
      reason: 'Protocol and port go together.',
    });
  }
  const affinity = defined({ prefixLength4: given.affinityPrefix4, prefixLength6: given.affinityPrefix6 });
  const quic = defined({
    configRotation: given.quicConfigRotation,
    serverIdBytes: given.quicServerIdBytes,
  });
  return {
    ...defined({ protocol: given.protocol, port: given.port }),
    ...(given.affinity || Object.keys(affinity).length > 0 ? { affinity } : {}),
    ...(given.idleTimeout === undefined
      ? {}
      : { idleTimeoutMs: millisecondsOf('--idle-timeout', given.idleTimeout) }),
    ...(given.ignoreSourcePort ? { ignoreSourcePort: true } : {}),
    ...(Object.keys(quic).length > 0 ? { quic } : {}),
    ...filterFieldsOf(given),
  };
}
