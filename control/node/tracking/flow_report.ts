// Owns what is said of one flow: the state of its slot, who keeps it and what they know, and what becomes of its next
// packet. Pure.
import type { Explanation, FlowHolder, FlowKnowledge, FlowReport, Unanswered } from '../../api/schema.ts';
import { type Chain, chainsOf } from '../../cluster/chain.ts';
import type { Candidate, Period, Version } from '../../cluster/version.ts';
import { trackingsOf } from './history.ts';
import { backendNames, type Picture, span } from './picture.ts';

/** Of a slot in a version. */
export type SlotPlace = {
  readonly period: Period;
  readonly chain: Chain | undefined;
  /** Id of its change. */
  readonly change: string | undefined;
  readonly current: string | undefined;
  readonly base: string | undefined;
};

/** Undefined: the slot is clean, or there is none. */
export function slotPlaceOf(version: Version, poolId: number, slot: number): SlotPlace | undefined {
  const placement = version.placements.get(poolId);
  const period = placement?.periods[(placement.period[slot] ?? 0) - 1];
  if (placement === undefined || period === undefined) return undefined;
  const names = backendNames(version.objects);
  return {
    period,
    chain: chainsOf(period, version.members)(slot),
    change: trackingsOf(version).find((it) => it.poolId === poolId && it.trackEpoch === period.trackEpoch)
      ?.id,
    current: names.get(placement.current[slot]!),
    base: names.get(placement.base[slot]!),
  };
}

export function holderOf(candidate: Candidate, { self, head, muxes }: Picture): FlowHolder {
  const member = head?.members.find(({ id }) => id === candidate.id);
  const node = member?.name ?? muxes.ids.get(candidate.id) ?? `mux ${candidate.id}`;
  const api = muxes.registrations.get(node)?.api;
  return {
    node,
    id: candidate.id,
    incarnation: candidate.incarnation,
    ...(member !== undefined && { address: member.address }),
    ...(api !== undefined && { api }),
    self: node === self,
  };
}

export function flowReport({
  flow,
  pool,
  slot,
  explanation,
  place,
  picture,
  known,
  unanswered,
}: {
  readonly flow: string;
  readonly pool: string;
  readonly slot: number;
  /** Of a packet that opens no flow. */
  readonly explanation: Explanation;
  readonly place: SlotPlace | undefined;
  readonly picture: Picture;
  readonly known: readonly FlowKnowledge[];
  readonly unanswered: readonly Unanswered[];
}): FlowReport {
  const { service, hash, backend, reason, meaning } = explanation;
  const chain = place?.chain;
  const report: FlowReport = {
    flow,
    ...(service !== undefined && { service }),
    pool,
    slot,
    fingerprint: (hash ?? '0x').slice(2).padStart(16, '0'),
    tracked: place !== undefined,
    ...(place?.change !== undefined && { change: place.change }),
    ...(place !== undefined && {
      step: place.period.step,
      trackEpoch: place.period.trackEpoch,
      chainEpoch: place.period.chainEpoch,
    }),
    ...(place?.current !== undefined && { current: place.current }),
    ...(place?.base !== undefined && { base: place.base }),
    ...(chain !== undefined && { owner: holderOf(chain.owner, picture) }),
    ...(chain?.backup !== undefined && { backup: holderOf(chain.backup, picture) }),
    known: [...known],
    next: { ...(backend !== undefined && { backend }), reason, meaning },
    conclusions: [],
    unanswered: [...unanswered],
  };
  return { ...report, conclusions: conclusionsOf(report) };
}

/** What that means, from the slot to the next packet. */
export function conclusionsOf(it: FlowReport): string[] {
  const slot = `Slot ${it.slot.toLocaleString('en')} of pool ${it.pool}`;
  const next = it.next.backend === undefined ? `${it.next.reason}: ${it.next.meaning}.` : it.next.backend;
  if (!it.tracked) {
    return [
      `${slot} is clean: no state is kept of it, and every mux sends the flow to ${it.next.backend ?? 'nobody'}.`,
    ];
  }
  const said = [
    `${slot} is tracked since version ${it.trackEpoch}, for change ${it.change ?? 'that is not open any more'}, at step ${it.step}.`,
    keepersOf(it),
    ...it.known.flatMap((known) => knowledgeOf(known, it)),
  ];
  const here = it.known[0];
  const decided = it.known.find(({ entry }) => entry !== undefined)?.entry?.backend;
  if (here?.cached?.valid && !here.cached.fromSyn) {
    said.push(`Its next packet here goes to ${here.cached.backend ?? next} without a question.`);
  } else if (here?.role === 'owner') {
    said.push(`Its next packet here goes to ${decided ?? it.base ?? 'nobody'}: this mux decides.`);
  } else if (it.owner === undefined) {
    said.push(`Nobody owns the slot: its next packet goes to ${it.base ?? 'nobody'}, and nobody records it.`);
  } else {
    const where = decided === undefined ? '' : `, and goes to ${decided}`;
    said.push(`Its next packet here asks ${it.owner.node} on its way${where}.`);
  }
  return said;
}

function keepersOf({ owner, backup }: FlowReport): string {
  if (owner === undefined) return 'No member of the cluster keeps its flows.';
  const name = ({ node, self }: FlowHolder) => (self ? `${node} (this node)` : node);
  if (backup === undefined) return `${name(owner)} owns it, and nobody has a copy.`;
  return `${name(owner)} owns it, and ${name(backup)} has a copy.`;
}

function knowledgeOf({ node, role, entry, cached }: FlowKnowledge, it: FlowReport): string[] {
  const said: string[] = [];
  if (entry !== undefined) {
    const old = entry.isOld ? ', an old backend' : '';
    said.push(
      `${node} (${role}) has it at ${entry.backend ?? 'a backend that is gone'}${old}: ${entry.state}, last seen ${span(entry.seenAgoMs)} ago.`,
    );
  } else if (role === 'owner') {
    const unlike = it.current === it.base ? '' : `; a SYN would go to ${it.current ?? 'nobody'}`;
    said.push(`${node} (owner) does not know it: as unknown it goes to ${it.base ?? 'nobody'}${unlike}.`);
  } else if (role === 'backup') {
    said.push(`${node} (backup) does not know it.`);
  }
  if (cached?.valid) {
    const syn = cached.fromSyn ? ', from a SYN: it serves only SYNs' : '';
    said.push(`${node} has learnt it: ${cached.backend ?? 'a backend that is gone'}${syn}.`);
  } else if (cached !== undefined) {
    said.push(`${node} had learnt it, and does not believe that any more: ${cached.why}.`);
  }
  return said;
}
