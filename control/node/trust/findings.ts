// Owns what holdfast doctor says of trust, from who is trusted now.
import type { Finding, Members } from '../../api/schema.ts';

const DAY_MS = 86_400_000;
/** Nodes renew ten days before the end; what is nearer than this was not renewed. */
const NODE_SOON_MS = 7 * DAY_MS;
const USER_SOON_MS = 30 * DAY_MS;
const AUTHORITY_SOON_MS = 365 * DAY_MS;
/** A token that nobody has used for so long may be in somebody's notes. */
const TOKEN_OLD_MS = 6 * 3_600_000;
const SKEW_MS = 60_000;

export type TrustQuestion = {
  readonly members: Members;
  /** How the API is on the network. */
  readonly api: 'no' | 'own certificates' | 'cluster';
  /** When the newest certificate that another node has made was made, by its clock. */
  readonly newestMadeAtMs: number | undefined;
  readonly nowMs: number;
};

export function trustFindings({ members, api, newestMadeAtMs, nowMs }: TrustQuestion): Finding[] {
  const { standing, nodes, users, tokens, authority } = members;
  const warnings: Finding[] = [];
  const warn = (check: string, message: string, cure: string, severity: Finding['severity'] = 'warning') =>
    warnings.push({ check, severity, message, cure });
  if (api === 'own certificates') {
    warn(
      'trust-api',
      'The API is on the network with certificates of its own: whoever its clientAuthority has signed for may do everything.',
      'For roles, take certificate, key and clientAuthority out of holdfastd.yaml, and have the node join.',
      'note',
    );
  }
  if (authority === undefined || standing !== 'member') {
    if (authority !== undefined) {
      warn(
        'trust-member',
        'This node is none of the cluster that has an authority.',
        'holdfast cluster join TOKEN',
      );
    }
    return warnings;
  }
  for (const { name, expiresAtMs = 0 } of nodes.filter(
    (it) => (it.expiresAtMs ?? 0) - nowMs < NODE_SOON_MS,
  )) {
    const ends = new Date(expiresAtMs).toISOString();
    const isOver = expiresAtMs <= nowMs;
    warn(
      'trust-certificate',
      `The certificate of node ${name} ${isOver ? 'has ended' : 'ends'} on ${ends}, and was not renewed.`,
      `See holdfast status on ${name}; if it is gone: holdfast nodes remove ${name}`,
      isOver ? 'error' : 'warning',
    );
  }
  for (const { name, expiresAtMs = 0 } of users.filter(
    (it) => (it.expiresAtMs ?? 0) - nowMs < USER_SOON_MS,
  )) {
    warn(
      'trust-user',
      `The certificate of user ${name} ends on ${new Date(expiresAtMs).toISOString()}.`,
      `holdfast users add ${name}, or holdfast users remove ${name}`,
      'note',
    );
  }
  for (const { id } of tokens.filter((it) => it.state === 'open' && nowMs - it.createdAtMs > TOKEN_OLD_MS)) {
    warn(
      'trust-token',
      `Join token ${id} counts still, and nobody has used it for hours.`,
      `If nobody is about to: holdfast cluster token --remove ${id}`,
    );
  }
  if (authority.isReplacing) {
    warn(
      'trust-authority',
      `The former authority is believed until these have other certificates: ${authority.waitsFor.join(', ') || 'nobody'}.`,
      'Users: holdfast users add NAME. Or holdfast cluster rotate --finish, which refuses them.',
    );
  }
  if (authority.expiresAtMs - nowMs < AUTHORITY_SOON_MS) {
    warn(
      'trust-authority',
      `The authority of the cluster ends on ${new Date(authority.expiresAtMs).toISOString()}.`,
      'holdfast cluster rotate --new-authority',
    );
  }
  if (newestMadeAtMs !== undefined && newestMadeAtMs - nowMs > SKEW_MS) {
    warn(
      'trust-clock',
      `The clock of this host is behind that of another node by ${Math.round((newestMadeAtMs - nowMs) / 1_000)} s or more.`,
      'Set both by NTP: certificates count from ten minutes before they are made, and no sooner.',
    );
  }
  if (warnings.length > 0) return warnings;
  const message = `This node and ${nodes.length - 1} others have certificates of the cluster, none of which ends soon.`;
  return [{ check: 'trust', severity: 'ok', message }];
}
