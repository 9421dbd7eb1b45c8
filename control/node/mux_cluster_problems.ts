// Owns judging how a mux stands in its cluster, for people. Pure.
import { HEARD_MS } from '../cluster/alone_core.ts';
import type { Membership } from '../cluster/member_core.ts';
import { Failure, type FailureBody } from '../lib/failure.ts';

export type MembershipState = {
  readonly name: string;
  readonly hasAddress: boolean;
  readonly membership: Membership | undefined;
  /** Names of muxes that this one does not hear. */
  readonly suspects: readonly string[];
  /** By mux id: when each peer was heard; undefined: never. */
  readonly heardAgoMs: ReadonlyMap<number, number | undefined>;
  readonly leaseMs: number;
  readonly isServing: boolean;
};

/** To become a member takes a moment, which is no problem yet. */
const OUTSIDE_PATIENCE_MS = 5_000;

export function membershipProblems(state: MembershipState, nowMs: number): FailureBody[] {
  const { membership, name, leaseMs } = state;
  if (membership === undefined) return [];
  const found: Failure[] = [];
  const awaySinceMs = membership.storeAwaySinceMs;
  if (awaySinceMs !== undefined && nowMs - awaySinceMs > leaseMs / 3) {
    found.push(
      new Failure('unavailable', `the store has not answered for ${seconds(nowMs - awaySinceMs)}`, {
        reason:
          membership.deadlineMs === Number.POSITIVE_INFINITY
            ? 'This mux is the only one, and goes on as long as it runs.'
            : 'This mux goes on as long as a majority of the muxes pledges that nothing has changed.',
        remedy: 'nothing can be changed meanwhile; see to the store',
      }),
    );
  }
  if (membership.phase === 'member') found.push(...ofMember(state, membership, nowMs));
  else if (nowMs - (membership.outsideSinceMs ?? nowMs) > OUTSIDE_PATIENCE_MS)
    found.push(...ofOutsider(state, membership));
  if (state.suspects.length > 0) {
    found.push(
      new Failure(
        'unavailable',
        `${state.suspects.join(', ')} ${state.suspects.length === 1 ? 'is' : 'are'} not heard`,
        {
          reason: `The program there does not answer ${name}.`,
          remedy: 'see the network between the muxes, and whether a firewall takes the ask port (UDP)',
        },
      ),
    );
  }
  return found.map((it) => it.body);
}

function ofMember({ heardAgoMs }: MembershipState, membership: Membership, nowMs: number): Failure[] {
  const found: Failure[] = [];
  const { heldBack, deadlineMs } = membership;
  const isHeard = [...heardAgoMs.values()].some((agoMs) => agoMs !== undefined && agoMs < HEARD_MS);
  if (deadlineMs < nowMs) {
    found.push(
      new Failure('unavailable', 'this mux is past its deadline', {
        reason: isHeard
          ? 'It could not renew its lease, so it hands every packet to another mux.'
          : 'It could not renew its lease and hears no other mux, so it forwards with what it knows.',
        remedy: 'see to the store, and to the network between the muxes',
      }),
    );
  }
  if (heardAgoMs.size > 0 && !isHeard) {
    found.push(
      new Failure('unavailable', 'no other mux is heard', {
        reason: `None of ${heardAgoMs.size} answers.`,
        remedy: 'see the network of this node',
      }),
    );
  }
  if (heldBack !== undefined && heldBack.atMs > nowMs) {
    found.push(
      new Failure(
        'unavailable',
        `version ${heldBack.version} is in effect, and is acknowledged in ${seconds(heldBack.atMs - nowMs)}`,
        {
          reason: 'This mux has pledged to another one that there is none.',
          remedy: 'nothing: it goes on by itself',
        },
      ),
    );
  }
  return found;
}

function ofOutsider({ hasAddress, isServing }: MembershipState, membership: Membership): Failure[] {
  if (!hasAddress) {
    return [
      new Failure('configuration', 'this mux is no member of the cluster', {
        reason: 'It has no address that other muxes could reach it at.',
        remedy: 'give its interface an address, or set cluster.address in its configuration',
      }),
    ];
  }
  if (membership.isDraining) {
    return [
      new Failure('unavailable', 'this mux was drained and has left', {
        reason: 'It decides nothing, and hands every packet to another mux.',
        remedy: 'take its routes away where they are static; holdfast nodes drain NAME --undo has it return',
      }),
    ];
  }
  if (!isServing) return [];
  return [
    new Failure('unavailable', 'this mux is not a member of the cluster yet', {
      reason: membership.phase === 'registered' ? 'It waits for the version that has it.' : 'It registers.',
      remedy: 'wait some seconds; if it stays so, see which node leads (holdfast nodes)',
    }),
  ];
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
