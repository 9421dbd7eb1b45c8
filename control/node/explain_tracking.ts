// Owns what an explanation says of a packet of a tracked slot: for which change, who decides, and what was found here.
import type { Explanation } from '../api/schema.ts';
import { chainsOf } from '../cluster/chain.ts';
import type { Version } from '../cluster/version.ts';
import type { ClusterState } from '../config/cluster_state.ts';
import type { PacketExplanation, SlotTracking } from '../dataplane/explain.ts';
import { trackingsOf } from './tracking/history.ts';
import { backendNames } from './tracking/picture.ts';

type Around = { readonly state: ClusterState; readonly head?: Version | undefined };

export function trackingOf(
  it: SlotTracking,
  poolId: number | undefined,
  around: Around,
): NonNullable<Explanation['tracking']> {
  const { change, mux, backend } = namesOf(it, poolId, around);
  return {
    ...(change !== undefined && { change }),
    trackEpoch: it.trackEpoch,
    chainEpoch: it.chainEpoch,
    ...(it.owner !== undefined && { owner: mux(it.owner) }),
    ...(it.backup !== undefined && { backup: mux(it.backup) }),
    ...(it.current !== 0 && { current: backend(it.current) }),
    ...(it.base !== 0 && { base: backend(it.base) }),
  };
}

/** Sentences, in the order of the way through the program. */
export function trackedSteps(
  { tracking, poolId, slot, backend: at }: PacketExplanation,
  around: Around,
): string[] {
  if (tracking === undefined) return [];
  const it = tracking;
  const { change, step, mux, backend } = namesOf(it, poolId, around);
  const which = change === undefined ? '' : ` for change ${change}, at step ${step}`;
  const backends =
    it.current === it.base
      ? `New and unknown flows go to ${backend(it.current)}`
      : `New flows go to ${backend(it.current)}, unknown ones to ${backend(it.base)}`;
  return [
    `Its flows are recorded since version ${it.trackEpoch}${which}. ${backends}.`,
    keepers(it, mux),
    ...sayNewer(it, poolId, slot, around, mux),
    ...found(it, backend(at ?? 0), mux),
  ];
}

function keepers({ owner, backup, chainEpoch }: SlotTracking, mux: (id: number) => string): string {
  if (owner === undefined) return 'No mux that kept its flows is left.';
  const copy = backup === undefined ? 'and nobody has a copy' : `and ${mux(backup)} has a copy`;
  return `As of version ${chainEpoch}, ${mux(owner)} decides about them, ${copy}.`;
}

/** Where the newest version has another chain than this mux's program: it is about to be applied. */
function sayNewer(
  { owner, chainEpoch }: SlotTracking,
  poolId: number | undefined,
  slot: number | undefined,
  { head }: Around,
  mux: (id: number) => string,
): string[] {
  const placement = poolId === undefined ? undefined : head?.placements.get(poolId);
  const period = placement?.periods[(placement.period[slot ?? -1] ?? 0) - 1];
  if (head === undefined || period === undefined || period.chainEpoch <= chainEpoch) return [];
  const newer = chainsOf(period, head.members)(slot!)?.owner.id;
  return newer === owner || newer === undefined
    ? []
    : [`Version ${head.number}, which is not in effect here yet, has ${mux(newer)} as owner.`];
}

function found({ answeredBy, owner }: SlotTracking, at: string, mux: (id: number) => string): string[] {
  switch (answeredBy) {
    case 'cache':
      return [`This mux has learnt before that the flow is at ${at}, so nobody is asked.`];
    case 'table':
      return [`This mux keeps the flow itself: it is at ${at}.`];
    case 'current':
      return [`This mux decides: it is a new flow, so it would be recorded at ${at}.`];
    case 'base':
      return [`This mux does not know the flow, and nobody else would be asked: it goes to ${at}.`];
    case 'owner': {
      const name = owner === undefined ? 'its owner' : mux(owner);
      return [
        `This mux does not know the flow: the packet itself asks ${name}, and comes back with the answer.`,
      ];
    }
    default:
      return [];
  }
}

function namesOf(it: SlotTracking, poolId: number | undefined, { state, head }: Around) {
  const names = new Map([...backendNames(state), ...backendNames(head?.objects)]);
  const tracking =
    head && trackingsOf(head).find((one) => one.poolId === poolId && one.trackEpoch === it.trackEpoch);
  return {
    change: tracking?.id,
    step: tracking?.step,
    mux: (id: number) => head?.members.find((member) => member.id === id)?.name ?? `mux ${id}`,
    backend: (index: number) => names.get(index) ?? (index === 0 ? 'nobody' : `backend ${index}`),
  };
}
