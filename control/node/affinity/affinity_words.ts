// Owns what is said of one client and one service, in words. Pure.
import type { AffinityLeaving, AffinityReport, FlowHolder } from '../../api/schema.ts';
import { span } from '../tracking/picture.ts';

/** From the slot to what would change it. */
export function conclusionsOf(it: Omit<AffinityReport, 'conclusions'>): string[] {
  return [
    ...ruleWords(it),
    ...untilWords(it),
    ...(it.leaving === undefined ? [] : leavingWords(it, it.leaving)),
  ];
}

type Report = Omit<AffinityReport, 'conclusions'>;

function ruleWords(it: Report): string[] {
  const slot = `Slot ${it.slot.toLocaleString('en')} of pool ${it.pool}`;
  const who = it.backend ?? 'nobody';
  if (it.rule === 'clean') {
    return [
      `${slot} is clean: nothing is recorded, and every mux sends this client to ${who}, by its hash alone.`,
    ];
  }
  const moved = it.current === it.base ? '' : ` from ${it.base ?? 'nobody'} to ${it.current ?? 'nobody'}`;
  const said = [
    `${slot} is being moved${moved}, for change ${it.change ?? 'that has just ended'}, at step ${it.step}. ${keepersOf(it)}`,
  ];
  for (const { node, role, entry, cached } of it.known) {
    if (entry !== undefined) {
      const old = entry.isOld ? ', an old backend' : '';
      said.push(
        `${node} (${role}) has recorded it at ${entry.backend ?? 'a backend that is gone'}${old}: ${entry.state}, last seen ${span(entry.seenAgoMs)} ago.`,
      );
    }
    if (cached?.valid && !cached.fromSyn) {
      said.push(`${node} has learnt that it is at ${cached.backend ?? 'a backend that is gone'}.`);
    }
  }
  if (it.rule === 'base') {
    said.push(
      it.current === it.base
        ? `Nobody has recorded it: it was silent while those that were there before were recorded, so it goes to ${who}, as new clients do.`
        : `Nobody has recorded it yet. It may have been there before, so it goes to ${who}, and is recorded there with its next packet.`,
    );
  }
  if (it.rule === 'unknown') {
    said.push(
      `${it.owner?.node ?? 'The owner'} decides, and could not be asked: if it has not recorded it, ${it.base ?? 'nobody'} has it.`,
    );
  }
  return said;
}

function keepersOf({ owner, backup }: Report): string {
  if (owner === undefined) return 'No member of the cluster keeps its clients.';
  const name = ({ node, self }: FlowHolder) => (self ? `${node} (this node)` : node);
  return backup === undefined
    ? `${name(owner)} decides, and nobody has a copy.`
    : `${name(owner)} decides, and ${name(backup)} has a copy.`;
}

function untilWords({ rule, backend, timeoutMs, timeoutLeftMs }: Report): string[] {
  if (rule === 'clean') return ['That lasts until the slot gets another backend: nobody counts a timeout.'];
  if (rule !== 'recorded' || timeoutLeftMs === undefined) return [];
  const timeout = span(timeoutMs);
  if (timeoutLeftMs === 0) {
    return [
      `It has been silent for longer than the timeout of ${timeout}: it is remembered a while longer, and not promised anything.`,
    ];
  }
  return [
    `${backend ?? 'It'} keeps it for as long as it is not silent for ${timeout}: for ${span(timeoutLeftMs)} more, if it sends nothing.`,
  ];
}

function leavingWords(
  { backend, timeoutMs }: Report,
  { backend: who, to, drained, dead }: AffinityLeaving,
): string[] {
  const then = to === undefined ? 'nobody is left to answer it' : `${to} answers it`;
  if (dead === 'unchanged') {
    const held = backend === undefined ? '' : ` It stays with ${backend}.`;
    return [
      to === undefined || to === backend
        ? `If ${who} left, nothing would change for it.${held}`
        : `If ${who} left, nothing would change for it until it has been silent for ${span(timeoutMs)}; then ${then}.${held}`,
    ];
  }
  return [
    ...(drained === 'kept'
      ? [
          `If ${who} were drained, it would keep the client until that has been silent for ${span(timeoutMs)}; then ${then}.`,
        ]
      : []),
    `If ${who} died, or were removed at once, ${then} at once, and its open connections are lost.`,
  ];
}

/** What release would do to it, or has done. */
export function releaseWords({ service, address, backend, current, rule }: Report): string {
  const from = rule === 'unknown' ? 'wherever it is' : (backend ?? 'a backend that is gone');
  return `For service ${service} at ${address} it goes from ${from} to ${current ?? 'nobody'}: its next new connection opens there, and open ones break.`;
}
