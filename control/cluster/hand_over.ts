// Owns what a node does before it empties the tables of flows of a program that runs, because it cannot take them over:
// it waits until what they keep is at another mux as well, so that it is one failure and not the second. No daemon can
// copy from tables of another layout; who wants none of them lost drains the node before its upgrade.
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../lib/failure.ts';
import type { Store } from '../store/contract.ts';
import { decodeAcknowledgement } from './ack_layout.ts';
import { hasCopied } from './copies.ts';
import { ACKS_PREFIX, blobKey, HEAD_KEY, registrationKey } from './keys.ts';
import { type Acknowledgement, candidateKey, type Version } from './version.ts';
import { VersionDecoder } from './version_layout.ts';

export type Kept =
  /** It is no member, or no slot is tracked. */
  | { readonly kind: 'nothing' }
  /** Each of its flows is at another mux, too. */
  | { readonly kind: 'whole' }
  /** Nobody else has them. */
  | { readonly kind: 'alone' }
  /** Some are on their way still, from these. */
  | { readonly kind: 'copying'; readonly by: readonly string[] };

/** What would be lost with the flows that this mux keeps, as its last daemon and the others said. */
export function keptBy(
  name: string,
  { members, placements }: Pick<Version, 'members' | 'placements'>,
  acknowledgements: ReadonlyMap<string, Acknowledgement>,
): Kept {
  const self = members.find((it) => it.name === name);
  if (self === undefined) return { kind: 'nothing' };
  const ours = [...placements.values()].flatMap(({ poolId, periods }) =>
    periods
      .map((period) => ({ ...period, poolId, keepers: new Set(period.candidates.flat().map(candidateKey)) }))
      .filter(({ keepers }) => keepers.has(candidateKey(self))),
  );
  if (ours.length === 0) return { kind: 'nothing' };
  if (ours.some(({ keepers }) => keepers.size < 2)) return { kind: 'alone' };
  const by = members.filter((member) =>
    ours.some(
      (it) =>
        it.keepers.has(candidateKey(member)) && !hasCopied(acknowledgements.get(member.name), member, it),
    ),
  );
  return by.length === 0 ? { kind: 'whole' } : { kind: 'copying', by: by.map((it) => it.name) };
}

const LOOK_MS = 100;

/**
 * Waits while flows that this mux keeps are being copied, until its lease is over, with which the others take it for
 * gone. What is lost nevertheless, as a Failure to be told; undefined: nothing.
 */
export async function awaitCopies(
  store: Pick<Store, 'get' | 'list'>,
  name: string,
  leaseMs: number,
): Promise<Failure | undefined> {
  const untilMs = performance.now() + leaseMs;
  try {
    for (;;) {
      const kept = await readKept(store, name);
      if (kept.kind === 'nothing' || kept.kind === 'whole') return undefined;
      const isOver = performance.now() >= untilMs || (await store.get(registrationKey(name))) === undefined;
      if (kept.kind === 'alone') return lost('No other mux keeps them.');
      if (isOver) return lost(`They are being copied still, by ${kept.by.join(', ')}.`);
      await sleep(LOOK_MS);
    }
  } catch (cause) {
    if (!(cause instanceof Failure)) throw cause;
    return lost(`The store does not say whether another mux has them: ${cause.message}.`);
  }
}

async function readKept(store: Pick<Store, 'get' | 'list'>, name: string): Promise<Kept> {
  const head = await store.get(HEAD_KEY);
  if (head === undefined) return { kind: 'nothing' };
  const version = await new VersionDecoder().decode(
    head,
    async (digest) => (await store.get(blobKey(digest)))?.value,
  );
  // There is a newer one.
  if (version === undefined) return { kind: 'copying', by: [] };
  const { entries } = await store.list(ACKS_PREFIX);
  return keptBy(name, version, new Map(entries.map(decodeAcknowledgement).map((it) => [it.name, it])));
}

function lost(reason: string): Failure {
  return new Failure('unavailable', 'flows of tracked slots that the program here kept are forgotten', {
    reason: `Its tables have another layout, size or hash key than this version's. ${reason}`,
    remedy: 'before such an upgrade, holdfast nodes drain NAME; afterwards, --undo',
  });
}
