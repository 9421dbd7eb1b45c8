// Owns bringing BIRD to an announcement, and looking how it stands. One attempt each; announcer.ts tries again.
//
// A route must go even where bird.conf has a mistake, which keeps BIRD from reading anything. So what is withdrawn is
// first disabled, which asks for no configuration, and then gone from it.
import { Failure } from '../../lib/failure.ts';
import { converse, isRefused } from './client.ts';
import { type Announcement, PROTOCOLS, PROTOCOLS_PATTERN, routeCounts } from './include_codec.ts';
import { type Reply, textOf } from './reply_codec.ts';
import {
  type BfdSession,
  type BirdProtocol,
  parseBfdSessions,
  parseProtocols,
  parseRouteCounts,
  parseVersion,
  type RouteCount,
} from './tables_codec.ts';

export type BirdState = {
  readonly version: string;
  /** Its BGP protocols. */
  readonly sessions: readonly BirdProtocol[];
  readonly bfd: readonly BfdSession[];
  /** Of our protocols, the routes that each has brought in; none: bird.conf does not include our file. */
  readonly imported: ReadonlyMap<string, number>;
  /** By BGP protocol that is established, of the first SESSIONS_ASKED_MAX: routes that it sends, whosever they are. */
  readonly exported: ReadonlyMap<string, number>;
  /** Our protocols that somebody has disabled. */
  readonly disabled: readonly string[];
};

/** Of others it is not asked how many routes they send. */
const SESSIONS_ASKED_MAX = 16;
/** BIRD is up, and has no protocol of ours. */
const NO_PROTOCOLS = 8_003;
/** What the supervisor says to BIRD for a daemon that is dead. */
export const WITHDRAW_COMMANDS = [`disable ${PROTOCOLS_PATTERN}`, 'configure'] as const;
export const CONFIGURE_COMMANDS = ['configure'] as const;

/** Returns when nothing of ours is announced any more. BIRD has to read its configuration after that. */
export async function disable(socketPath: string): Promise<void> {
  const [reply] = await converse(socketPath, [`disable ${PROTOCOLS_PATTERN}`]);
  if (isRefused(reply!) && reply!.code !== NO_PROTOCOLS)
    throw refused('withdraw the service addresses', reply!);
}

/** Has it read its configuration, and what that includes. */
export async function configure(socketPath: string): Promise<void> {
  const [reply] = await converse(socketPath, CONFIGURE_COMMANDS);
  if (!isRefused(reply!)) return;
  throw new Failure('configuration', 'BIRD refuses its configuration', {
    reason: lastLine(reply!),
    remedy: 'see birdc configure check; it is tried again by itself',
  });
}

export async function lookAtBird(socketPath: string): Promise<BirdState> {
  const commands = [
    'show status',
    'show protocols',
    'show bfd sessions',
    `show protocols all ${PROTOCOLS_PATTERN}`,
  ];
  const [status, protocols, bfd, own] = await converse(socketPath, commands);
  const all = parseProtocols(protocols!);
  const sessions = all.filter(({ kind }) => kind === 'BGP');
  const names: readonly string[] = Object.values(PROTOCOLS);
  return {
    version: parseVersion(status!) ?? 'unknown',
    sessions,
    exported: await lookAtExports(socketPath, sessions),
    // Refused where BIRD has no BFD.
    bfd: parseBfdSessions(bfd!),
    imported: new Map(isRefused(own!) ? [] : counted(own!, 'imported')),
    disabled: all.filter(({ name, state }) => names.includes(name) && state !== 'up').map(({ name }) => name),
  };
}

async function lookAtExports(
  socketPath: string,
  sessions: readonly BirdProtocol[],
): Promise<Map<string, number>> {
  const names = sessions.filter(({ session }) => session === 'Established').map(({ name }) => name);
  const commands = names.slice(0, SESSIONS_ASKED_MAX).map((name) => `show protocols all "${name}"`);
  if (commands.length === 0) return new Map();
  const replies = await converse(socketPath, commands);
  return new Map(replies.flatMap((reply) => (isRefused(reply) ? [] : counted(reply, 'exported'))));
}

function counted(reply: Reply, what: keyof RouteCount): [string, number][] {
  return [...parseRouteCounts(reply)].map(([name, count]) => [name, count[what]]);
}

/** Undefined where BIRD has exactly these routes of ours. */
export function mismatch(
  { imported, disabled }: BirdState,
  announcement: Announcement,
  includePattern: string,
): Failure | undefined {
  const expected = Object.entries(routeCounts(announcement));
  const missing = expected.filter(([name]) => !imported.has(name)).map(([name]) => name);
  if (missing.length > 0) {
    return new Failure('configuration', 'BIRD does not include the file of holdfastd', {
      reason: `It has no protocol ${missing.join(' and ')}.`,
      remedy: `add to bird.conf: include "${includePattern}"; then birdc configure`,
    });
  }
  const down = expected.filter(([name, count]) => count > 0 && disabled.includes(name)).map(([name]) => name);
  if (down.length > 0) {
    return new Failure(
      'unavailable',
      `${down.join(' and ')} ${down.length === 1 ? 'is' : 'are'} disabled in BIRD`,
      {
        reason: 'Somebody has disabled it by hand, or BIRD is reading its configuration.',
        remedy: `run birdc enable ${down[0]}`,
      },
    );
  }
  const wrong = expected.find(([name, count]) => imported.get(name) !== count);
  if (wrong === undefined) return undefined;
  const [name, count] = wrong;
  return new Failure(
    'unavailable',
    `BIRD has ${imported.get(name)} of ${count} service addresses in ${name}`,
    {
      reason: 'It has read another configuration, or reads it now.',
      remedy: `see birdc show protocols all ${name}; it is tried again by itself`,
    },
  );
}

/** Whether announcing it again may help: BIRD has other routes of ours, and not because somebody has disabled them. */
export function isOther({ imported, disabled }: BirdState, announcement: Announcement): boolean {
  return Object.entries(routeCounts(announcement)).some(
    ([name, count]) => !disabled.includes(name) && (imported.get(name) ?? 0) !== count,
  );
}

function refused(what: string, reply: Reply): Failure {
  return new Failure('unavailable', `BIRD does not ${what}`, {
    reason: lastLine(reply),
    remedy: 'see birdc show protocols; it is tried again by itself',
  });
}

function lastLine(reply: Reply): string {
  return textOf(reply).split('\n').at(-1)!;
}
