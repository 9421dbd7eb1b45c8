// Owns `holdfast cluster …`.
import type { Members } from '../../api/schema.ts';
import { EXIT_INTERRUPTED } from '../exit.ts';
import { dateTime, span } from '../format.ts';
import type { Screen, Style } from '../screen.ts';
import type { Session } from '../session.ts';
import { type Column, facts, table } from '../table.ts';
import { UsageError } from '../usage_error.ts';

const MINUTE_MS = 60_000;
const SERIAL_CHARACTERS = 12;
/** A certificate that ends sooner is worth a look: nodes renew a third of its life before. */
const SOON_MS = 7 * 86_400_000;

export async function init(session: Session): Promise<void> {
  const members = await (await session.client()).initCluster();
  if (session.json) session.printJson(members);
  else session.out.print(session.out.paint('green', `cluster ${members.cluster} has begun`));
  if (!session.json)
    session.remark('for each other node: holdfast cluster token here, holdfast cluster join there');
}

export async function token(
  session: Session,
  {
    role,
    ttl,
    remove,
  }: {
    readonly role: readonly string[];
    readonly ttl: number | undefined;
    readonly remove: string | undefined;
  },
): Promise<void> {
  const client = await session.client();
  if (remove !== undefined) {
    if (role.length > 0 || ttl !== undefined) throw new UsageError('--remove takes nothing beside.');
    const members = await client.removeToken(remove);
    if (session.json) session.printJson(members);
    else session.out.print(session.out.paint('green', `join token ${remove} was taken back`));
    return;
  }
  const made = await client.createToken({
    ...(role.length > 0 && { roles: role }),
    ...(ttl !== undefined && { ttlMs: Math.round(ttl * MINUTE_MS) }),
  });
  if (session.json) {
    session.printJson(made);
    return;
  }
  session.out.print(made.token);
  session.remark(
    `one node can join with it until ${dateTime(made.expiresAtMs)}: there, holdfast cluster join TOKEN`,
  );
}

export async function join(session: Session, given: { readonly token: string | undefined }): Promise<void> {
  if (given.token === undefined && session.canAsk) throw new UsageError('The token is missing.');
  const text = given.token ?? (await session.readStdin()).trim();
  const members = await (await session.client()).joinCluster(text);
  if (session.json) session.printJson(members);
  else session.out.print(session.out.paint('green', `this node has joined cluster ${members.cluster}`));
}

export async function leave(
  session: Session,
  { force, yes }: { readonly force: boolean; readonly yes: boolean },
): Promise<number | undefined> {
  const client = await session.client();
  if (!yes && session.canAsk && !(await session.confirm('Have this node leave the cluster?'))) {
    session.remark('nothing was changed');
    return EXIT_INTERRUPTED;
  }
  const members = await client.leaveCluster({ force });
  if (session.json) session.printJson(members);
  else session.out.print(session.out.paint('green', 'this node has left the cluster'));
  return undefined;
}

export async function rotate(
  session: Session,
  {
    newAuthority,
    finish,
    yes,
  }: { readonly newAuthority: boolean; readonly finish: boolean; readonly yes: boolean },
): Promise<number | undefined> {
  if (newAuthority && finish) throw new UsageError('--new-authority begins what --finish ends.');
  const client = await session.client();
  if (finish && !yes && session.canAsk) {
    const { authority: now } = await client.members();
    const refused = now?.waitsFor ?? [];
    if (refused.length > 0) {
      session.remark(`refused from then on: ${refused.join(', ')}\n`);
      if (!(await session.confirm('Forget the authority before?'))) {
        session.remark('nothing was changed');
        return EXIT_INTERRUPTED;
      }
    }
  }
  const members = await client.rotateCluster(finish ? 'finish' : newAuthority ? 'authority' : 'certificates');
  if (session.json) session.printJson(members);
  else {
    const text = finish
      ? 'only one authority is believed'
      : newAuthority
        ? `authority ${members.authority?.number} replaces the one before`
        : 'all nodes take new certificates';
    session.out.print(session.out.paint('green', text));
    session.remark('holdfast cluster members says how far it is');
  }
  return undefined;
}

export async function members(session: Session): Promise<void> {
  const found = await (await session.client()).members();
  if (session.json) session.printJson(found);
  else session.out.print(membersText(session.out, found, Date.now()));
}

type Certified = {
  readonly serial?: string | undefined;
  readonly expiresAtMs?: number | undefined;
  readonly isFormer: boolean;
};

/** Columns of whatever has a certificate. */
export function certificateColumns<T extends Certified>(nowMs: number): Column<T>[] {
  return [
    {
      head: 'CERTIFICATE',
      cell: ({ serial, isFormer }) =>
        serial === undefined
          ? ''
          : `${serial.slice(0, SERIAL_CHARACTERS)}${isFormer ? ' (former authority)' : ''}`,
      style: ({ isFormer }) => (isFormer ? 'yellow' : undefined),
    },
    {
      head: 'ENDS IN',
      cell: ({ expiresAtMs }) => (expiresAtMs === undefined ? '' : leftText(expiresAtMs - nowMs)),
      right: true,
      style: ({ expiresAtMs = 0 }): Style | undefined =>
        expiresAtMs < nowMs ? 'red' : expiresAtMs - nowMs < SOON_MS ? 'yellow' : undefined,
    },
  ];
}

function leftText(ms: number): string {
  return ms <= 0 ? 'expired' : span(ms);
}

export function membersText(
  screen: Screen,
  { standing, cluster, authority, nodes, users, tokens }: Members,
  nowMs: number,
): string {
  if (cluster === undefined || authority === undefined) {
    return 'this cluster has no authority yet: holdfast cluster init on its first node';
  }
  const waiting = authority.waitsFor.length === 0 ? 'nobody' : authority.waitsFor.join(', ');
  const parts = [
    facts(screen, [
      ['cluster', screen.paint('bold', cluster)],
      ['this node', standing === 'member' ? undefined : screen.paint('red', STANDINGS[standing])],
      ['authority', `${authority.number}, ends in ${leftText(authority.expiresAtMs - nowMs)}`],
      [
        'replacing',
        authority.isReplacing
          ? screen.paint('yellow', `the one before is believed for ${waiting}`)
          : undefined,
      ],
    ]),
    table(
      screen,
      [
        {
          head: 'NODE',
          cell: ({ name, self }) => `${name}${self ? '*' : ''}`,
          style: () => 'bold',
          narrow: 'cut',
        },
        { head: 'ROLES', cell: ({ roles }) => roles.join(', ') },
        { head: 'STATE', cell: ({ state = '' }) => state },
        {
          head: 'SEEN',
          cell: ({ seenAgoMs }) => (seenAgoMs === undefined ? '' : `${span(seenAgoMs)} ago`),
          right: true,
        },
        ...certificateColumns<Members['nodes'][number]>(nowMs),
      ],
      nodes,
    ),
  ];
  if (users.length > 0) parts.push(usersText(screen, users, nowMs));
  const open = tokens.filter(({ state }) => state === 'open');
  if (open.length > 0) {
    parts.push(
      table(
        screen,
        [
          { head: 'JOIN TOKEN', cell: ({ id }) => id, style: () => 'bold' },
          { head: 'ROLES', cell: ({ roles }) => roles.join(', ') },
          { head: 'ENDS IN', cell: ({ expiresAtMs }) => leftText(expiresAtMs - nowMs), right: true },
        ],
        open,
      ),
    );
  }
  return parts.join('\n\n');
}

const STANDINGS = {
  alone: 'it has not joined',
  removed: 'it was removed; its certificate does not count',
} as const;

export function usersText(screen: Screen, users: Members['users'], nowMs: number): string {
  return table(
    screen,
    [
      { head: 'USER', cell: ({ name }) => name, style: () => 'bold', narrow: 'cut' },
      { head: 'ROLE', cell: ({ role }) => role },
      ...certificateColumns<Members['users'][number]>(nowMs),
    ],
    users,
  );
}
