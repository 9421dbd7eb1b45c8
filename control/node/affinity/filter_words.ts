// Owns what is said of one client and one service that every server hears, in words. Pure.
import type { AffinityLeaving, AffinityReport, AffinityServer } from '../../api/schema.ts';
import { listed, span } from '../tracking/picture.ts';

type Report = Omit<AffinityReport, 'conclusions'>;

/** From the slot to what would change it. */
export function filterConclusions(it: Report): string[] {
  return [
    ...ruleWords(it),
    ...(it.servers ?? []).flatMap(serverWords),
    ...(it.leaving === undefined ? [] : leavingWords(it, it.leaving)),
  ];
}

function ruleWords({ slot, pool, rule, backend, current, base, step, change }: Report): string[] {
  const where = `Slot ${slot.toLocaleString('en')} of pool ${pool}`;
  const who = backend ?? 'nobody';
  if (rule === 'clean')
    return [
      `${where} is clean: ${who} answers this client, and every other server drops it by its hash alone.`,
    ];
  const moved =
    current === base
      ? `has gone to ${current ?? 'nobody'}`
      : `goes from ${base ?? 'nobody'} to ${current ?? 'nobody'}`;
  const said = `${where} ${moved}, for change ${change ?? 'that has just ended'}, at step ${step}; others may have clients of it still, and are asked.`;
  if (rule === 'recorded') return [said, `${who} has this client, and answers it.`];
  if (rule === 'base')
    return [
      said,
      `None of them has this client: ${who} answers it, and a session that begins is recorded there.`,
    ];
  return [
    said,
    'Not all of them could be asked here: who has it answers it, or else who the slot has gone to.',
  ];
}

const PARTS: Readonly<Record<AffinityServer['part'], string>> = {
  current: 'new clients go there',
  base: 'new clients went there',
  holder: 'may have clients of before',
  other: 'has no part in the slot',
};

function serverWords({
  node,
  part,
  holds,
  state,
  seenAgoMs,
  leftMs,
  foreign,
  foreignLeftMs,
}: AffinityServer): string[] {
  const said: string[] = [];
  if (holds) {
    const what = state === 'proven' ? 'a session of it' : 'the beginning of a session of it';
    said.push(
      `${node} (${PARTS[part]}) has ${what}, last seen ${span(seenAgoMs ?? 0)} ago, and keeps it for ${span(leftMs ?? 0)} more if it sends nothing.`,
    );
  }
  if (foreign !== undefined)
    said.push(
      `${node} has learnt that ${foreign} has it, and believes that for ${span(foreignLeftMs ?? 0)} more.`,
    );
  return said;
}

function leavingWords(
  { backend, timeoutMs }: Report,
  { backend: who, to, drained, dead }: AffinityLeaving,
): string[] {
  const then = to === undefined ? 'nobody is left to answer it' : `${to} answers it`;
  if (dead === 'unchanged')
    return [`If ${who} left, nothing would change for it. ${backend ?? 'Who has it'} keeps it.`];
  const until =
    timeoutMs === 0 ? 'its last connection has ended' : `that has been silent for ${span(timeoutMs)}`;
  return [
    ...(drained === 'kept'
      ? [`If ${who} were drained, it would keep the client until ${until}; then ${then}.`]
      : []),
    `If ${who} died, or were removed at once, ${then} as soon as the others know, and its open connections are lost.`,
  ];
}

/** What release would do to it, or has done. */
export function filterReleaseWords({
  service,
  address,
  servers = [],
  backend,
  current,
}: AffinityReport): string {
  const holders = servers.filter(({ holds }) => holds).map(({ node }) => node);
  const from = holders.length > 0 ? listed(holders) : (backend ?? 'who has it');
  return `For service ${service} at ${address} it goes from ${from} to ${current ?? 'nobody'} with its next new connection; TCP connections that are open stay where they are.`;
}
