// Owns what the options about health checks say, as a patch of a pool; and how a pool's checks are shown.
import { readFileSync } from 'node:fs';
import { HEALTH_FIELDS_OF, HEALTH_TYPED_FIELDS, type Health, type HealthType } from '../../config/health.ts';
import type { PoolPatch } from '../../config/objects.ts';
import type { Given } from '../command.ts';
import type { HEALTH_OPTIONS, HEALTH_UNSET } from '../commands/health.ts';
import { millisecondsOf } from '../milliseconds.ts';
import { UsageError } from '../usage_error.ts';
import { defined } from './objects.ts';

export type HealthGiven = Given<typeof HEALTH_OPTIONS>;
type Unset = (typeof HEALTH_UNSET)[number];

const UNSET_FIELDS: Readonly<Record<Exclude<Unset, 'slow-start'>, keyof Health>> = {
  'health-port': 'port',
  path: 'path',
  host: 'host',
  status: 'status',
  body: 'body',
  tls: 'tls',
  'grpc-service': 'grpcService',
  send: 'send',
  expect: 'expect',
  quorum: 'quorum',
};

/** A patch inside of which null takes away, at any depth: RFC 7396. */
export function poolPatchOf(given: HealthGiven, unset: readonly Unset[]): PoolPatch {
  const { health: type, slowStart } = given;
  const fields: Record<string, unknown> = healthFieldsOf(given);
  for (const name of unset) if (name !== 'slow-start') fields[UNSET_FIELDS[name]] = null;
  if (type === 'none' && Object.keys(fields).length > 0) {
    throw new UsageError('There are no health checks with --health none.', {
      remedy: 'Leave the other options out.',
    });
  }
  if (type !== undefined && type !== 'none') {
    const others = HEALTH_TYPED_FIELDS.filter((it) => !HEALTH_FIELDS_OF[type].includes(it));
    // What was said of another type would be refused with this one.
    for (const field of others) fields[field] ??= null;
    fields.type = type satisfies HealthType;
  }
  return {
    ...(type === 'none' ? { health: null } : Object.keys(fields).length > 0 && { health: fields }),
    ...(slowStart !== undefined && { slowStartMs: millisecondsOf('--slow-start', slowStart) }),
    ...(unset.includes('slow-start') && { slowStartMs: null }),
  };
}

function healthFieldsOf(given: HealthGiven): Record<string, unknown> {
  const { via, healthPort, path, host, status, body, grpcService, send, expect, command } = given;
  const { checkInterval, checkTimeout, rise, fall, jitter, quorum, panicPercent } = given;
  const tls = tlsOf(given);
  return defined({
    via,
    port: healthPort,
    path,
    host,
    status: status === undefined ? undefined : statusOf(status),
    body,
    grpcService,
    send,
    expect,
    command: command.length === 0 ? undefined : command,
    intervalMs: checkInterval === undefined ? undefined : millisecondsOf('--check-interval', checkInterval),
    timeoutMs: checkTimeout === undefined ? undefined : millisecondsOf('--check-timeout', checkTimeout),
    rise,
    fall,
    jitter,
    quorum,
    panicPercent,
    tls,
  });
}

function tlsOf({ tls, serverName, noVerify, authority }: HealthGiven): Record<string, unknown> | undefined {
  if (!tls && serverName === undefined && !noVerify && authority === undefined) return undefined;
  return defined({
    serverName,
    verify: noVerify ? false : undefined,
    authority: authority === undefined ? undefined : read(authority),
  });
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--authority cannot be read: ${(error as Error).message}.`);
  }
}

function statusOf(text: string): { from: number; to: number } {
  const [, from = '', to = from] = /^(\d{3})(?:-(\d{3}))?$/.exec(text) ?? [];
  if (from !== '') return { from: Number(from), to: Number(to) };
  throw new UsageError(`--status cannot be "${text}".`, { remedy: 'Such as 200 or 200-299.' });
}

/** `http through the tunnel to port 80, every 2000 ms …` */
export function healthText(health: Health | undefined): string {
  if (health === undefined) return 'not checked';
  const { type, via, port, intervalMs, timeoutMs, rise, fall } = health;
  const where = type === 'command' ? '' : via === 'tunnel' ? ' through the tunnel' : ' direct';
  const to = port === undefined ? '' : ` to port ${port}`;
  return `${type}${where}${to}, every ${intervalMs} ms, timeout ${timeoutMs} ms, rise ${rise}, fall ${fall}`;
}
