// Owns what holds between each version and the one before, whatever led to it.
import type { Placement, Version } from '../../../../control/cluster/version.ts';
import { PERIODS_MAX } from '../../../../control/cluster/version.ts';

/** What does not hold, as sentences. */
export function violations(version: Version, before: Version | undefined): string[] {
  const wrong: string[] = [];
  const say = (what: string) => wrong.push(`version ${version.number}: ${what}`);
  if (before !== undefined) {
    if (version.number !== before.number + 1 && version.cluster === before.cluster)
      say('does not follow by one');
    if (version.objects.revision < before.objects.revision) say('goes back to an older revision');
    reuse(version, before, say);
  }
  const ids = version.members.map(({ id }) => id);
  if (new Set(ids).size !== ids.length) say('has two members of one id');
  for (const { id, incarnation } of version.gone) {
    if (version.members.some((it) => it.id === id && it.incarnation <= incarnation))
      say(`mux ${id} is back as it was`);
  }
  for (const placement of version.placements.values()) {
    own(placement, version, say);
    const old = before?.placements.get(placement.poolId);
    if (old !== undefined) slots(placement, old, version, say);
  }
  return wrong;
}

function reuse(version: Version, before: Version, say: (what: string) => void): void {
  const old = new Map([...before.objects.backends.values()].map((it) => [it.index, it]));
  for (const { index, address, generation } of version.objects.backends.values()) {
    const last = old.get(index);
    if (last !== undefined && last.address !== address && last.generation === generation)
      say(`index ${index} is reused`);
    if (last !== undefined && last.address !== address) say(`index ${index} passes from one to another`);
  }
}

function own(
  { current, base, period, periods }: Placement,
  version: Version,
  say: (what: string) => void,
): void {
  if (periods.length > PERIODS_MAX) say('has too many periods');
  const indexes = new Set([...version.objects.backends.values()].map((it) => it.index));
  const used = new Set<number>();
  for (let slot = 0; slot < current.length; slot++) {
    used.add(period[slot]!);
    for (const index of [current[slot]!, base[slot]!]) {
      if (index !== 0 && !indexes.has(index)) say(`slot ${slot} names backend ${index}, which is absent`);
    }
    const its = periods[period[slot]! - 1];
    if (its === undefined && period[slot] !== 0) say(`slot ${slot} is in no period`);
    if (its?.step !== 'commit' && current[slot] !== base[slot])
      say(`slot ${slot} is ${its?.step ?? 'clean'} and torn`);
    if (its?.step === 'commit' && current[slot] === base[slot])
      say(`slot ${slot} is committed to where it was`);
  }
  const epochs = new Map<number, string>();
  for (const [at, { trackEpoch, chainEpoch, candidates }] of periods.entries()) {
    if (!used.has(at + 1)) say(`period ${at} has no slot`);
    const chain = JSON.stringify([chainEpoch, candidates]);
    if ((epochs.get(trackEpoch) ?? chain) !== chain) say(`chains of epoch ${trackEpoch} differ`);
    epochs.set(trackEpoch, chain);
  }
}

function slots(now: Placement, old: Placement, { number }: Version, say: (what: string) => void): void {
  for (let slot = 0; slot < now.current.length; slot++) {
    const is = now.periods[now.period[slot]! - 1];
    const was = old.periods[old.period[slot]! - 1];
    const moved = now.current[slot] !== old.current[slot];
    if (was === undefined && is !== undefined && (is.trackEpoch !== number || is.step !== 'track' || moved)) {
      say(`slot ${slot} begins to be tracked otherwise than as it was`);
    }
    if (was === undefined && is === undefined && moved && old.current[slot] !== 0)
      say(`slot ${slot} moves untracked`);
    if (was === undefined || is === undefined) continue;
    if (was.trackEpoch !== is.trackEpoch) say(`slot ${slot} changes its tracking without being clean`);
    if (is.chainEpoch < was.chainEpoch) say(`slot ${slot} goes back to an older chain`);
    const order = { track: 0, commit: 1, settle: 2 };
    if (order[is.step] < order[was.step] && !(is.step === 'commit' && moved))
      say(`slot ${slot} goes back a step`);
    if (is.step !== was.step && is.stepVersion !== number)
      say(`slot ${slot} takes a step that is not of this version`);
    const rebased = now.base[slot] !== old.base[slot];
    if (rebased && now.base[slot] !== now.current[slot])
      say(`slot ${slot} has another base than before or current`);
  }
}
