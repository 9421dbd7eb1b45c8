// Owns what the doctor is told of the cluster and of changes under way. Pure. What is made of it is control/doctor.
import type { Changes } from '../../api/schema.ts';
import { chainsOf } from '../../cluster/chain.ts';
import { hasCopied } from '../../cluster/copies.ts';
import { candidateKey, type Version } from '../../cluster/version.ts';
import type { ClusterQuestion } from '../../doctor/facts.ts';
import { trackingsOf } from './history.ts';
import { keyHoldersOf, type Picture } from './picture.ts';
import type { Since } from './since.ts';

/** Undefined where this node is no mux. */
export function clusterQuestion(
  picture: Picture,
  changes: Changes,
  since: Since,
  local: Pick<ClusterQuestion, 'askPort' | 'tables' | 'health'>,
): ClusterQuestion | undefined {
  const { self, head, own, muxes, nowMs } = picture;
  if (own === undefined) return undefined;
  const { ring } = muxes;
  return {
    node: self,
    isMember: head?.members.some(({ name }) => name === self) ?? false,
    members: head?.members.length ?? 0,
    leader: muxes.leader,
    hasDeadlinePassed: own.leaseLeftMs === 0,
    ...local,
    peers: (head?.members ?? [])
      .filter(({ name }) => name !== self)
      .map(({ id, name, address, askPort }) => {
        const hearing = own.hearings.get(id);
        return {
          name,
          address,
          askPort,
          heardAgoMs: hearing?.agoMs,
          timeAheadMs: hearing?.timeAheadMs,
          isPastDeadline: hearing?.isPastDeadline ?? false,
        };
      }),
    keys: ring && {
      step: ring.step,
      lacking: keyHoldersOf(head, muxes)
        .map(({ name }) => ({ name, forMs: since.lackingForMs(name, ring.step, nowMs) }))
        .filter(({ forMs }) => forMs > 0),
    },
    changes: head === undefined ? [] : changesAsked(head, changes, picture, since),
  };
}

function changesAsked(
  head: Version,
  { open }: Changes,
  picture: Picture,
  since: Since,
): ClusterQuestion['changes'] {
  const alone = withoutBackup(head);
  const copying = copyingMembers(picture);
  return open.map(({ id, step, steps, slots, nodes, flows, waitsFor }) => {
    const lastsOf = (name: string) => steps.find((it) => it.step === name)?.leastMs ?? 0;
    const windowMs = lastsOf('commit');
    return {
      id,
      step,
      forMs: steps.find((it) => it.step === step)?.sinceMs ?? 0,
      // Slots become clean as flows end; those that have, in a window.
      lastsMs: step === 'settle' ? windowMs : lastsOf(step),
      windowMs,
      slots: slots.tracked,
      withoutBackup: alone.get(id) ?? 0,
      copying: copying
        .filter((it) => it.change === id)
        .map(({ name, key }) => ({ name, forMs: since.copyingForMs(key, picture.nowMs) })),
      unrecorded: nodes.flatMap(({ node, unrecordedAgoMs }) =>
        unrecordedAgoMs === undefined ? [] : [{ name: node, agoMs: unrecordedAgoMs }],
      ),
      oldFlows: flows?.old ?? 0,
      waitsFor,
    };
  });
}

/** Members that may own flows of a change whose chains have changed, and have not said that all is copied. */
export function copyingMembers({ head, muxes }: Picture): {
  readonly change: string;
  readonly name: string;
  /** Of this copy and no other. */
  readonly key: string;
}[] {
  if (head === undefined) return [];
  return trackingsOf(head).flatMap(({ id, poolId, trackEpoch, parts }) => {
    const { chainEpoch, candidates } = parts[0]!.period;
    const keepers = new Set(candidates.flat().map(candidateKey));
    const copy = { poolId, trackEpoch, chainEpoch };
    return head.members
      .filter((member) => keepers.has(candidateKey(member)))
      .filter((member) => !hasCopied(muxes.acknowledgements.get(member.name), member, copy))
      .map(({ name }) => ({ change: id, name, key: `${id} ${chainEpoch} ${name}` }));
  });
}

/** Tracked slots whose chain has no backup, by change. */
function withoutBackup(head: Version): Map<string, number> {
  return new Map(
    trackingsOf(head).map(({ id, placement, parts }) => {
      const chains = new Map(parts.map(({ number, period }) => [number, chainsOf(period, head.members)]));
      let count = 0;
      placement.period.forEach((number, slot) => {
        const chain = chains.get(number);
        if (chain !== undefined && chain(slot)?.backup === undefined) count++;
      });
      return [id, count];
    }),
  );
}
