// Owns the leader's decisions: from what people want, what is in effect and what muxes say, the next version, or nothing,
// and why. Pure and without IO: a step at a time, with the time told. Not here: reading and writing the store
// (leader_driver.ts), how a version is laid out there (version_layout.ts).
//
// Everything that it needs to go on is in the head version; of its own it has only since when conditions hold. So a
// leader may be replaced at any moment: waits begin again, which makes them longer and nothing else.
import { HOLDERS_MAX } from '../../config/filter.ts';
import {
  type Acknowledgement,
  candidateKey,
  type Draft,
  type MemberRole,
  type Period,
  type Placement,
  roleOf,
  type Version,
} from '../version.ts';
import { Barriers, contradicts } from './barrier.ts';
import { firstCandidates } from './chains.ts';
import { type Discipline, disciplineOf, disciplinesOf } from './discipline.ts';
import {
  CLEAN_PAUSE_MS,
  type Inputs,
  type Intent,
  type LeaderProblem,
  type LeaderSettings,
  type OpenChange,
  type Outcome,
  SETTLE_IDLES,
  VERSIONS_AHEAD_MAX,
} from './inputs.ts';
import { type Membership, memberOf, nextMembership } from './membership.ts';
import { deadIn, idleTimeouts, nextObjects, reasonOf } from './objects.ts';
import { newPlacement, type PlacementChange } from './placement.ts';
import { type Progress, progressOf } from './progress.ts';
import { serversOf } from './servers.ts';
import { Waits } from './waits.ts';

/** What was looked at last of a pool, when nothing came of it. */
type Still = {
  readonly change: PlacementChange;
  readonly target: Uint16Array;
  readonly revision: number;
  readonly state: string;
};

type WithHead = Inputs & { readonly head: Version };

export class Leader {
  readonly #settings: LeaderSettings;
  readonly #waits = new Waits();
  readonly #heardAtMs = new WeakMap<Acknowledgement, number>();
  readonly #stills = new Map<number, Still>();
  /** Candidates that this leader removed because the store had ended their lease. */
  #expired: ReadonlySet<string> = new Set();

  constructor(settings: LeaderSettings) {
    this.#settings = settings;
  }

  /** `nowMs` never goes back. What is published is the head of the next step, or was refused. */
  step(inputs: Inputs, nowMs: number): Outcome {
    this.#waits.start(nowMs);
    for (const acknowledgement of inputs.acknowledgements.values()) {
      if (!this.#heardAtMs.has(acknowledgement)) this.#heardAtMs.set(acknowledgement, nowMs);
    }
    const { head } = inputs;
    const outcome =
      head === undefined
        ? { ...NOTHING, publish: firstVersion(inputs) }
        : (restored({ ...inputs, head }) ?? this.#next({ ...inputs, head }));
    const { handshakeHoldMs } = this.#settings;
    return {
      ...outcome,
      wakeAtMs: this.#waits.wakeAtMs,
      times: { handshakeHoldMs, settleIdles: SETTLE_IDLES },
    };
  }

  #next(inputs: WithHead): Decision {
    const { head } = inputs;
    const number = head.number + 1;
    const barriersOf = (role?: MemberRole) =>
      new Barriers(inputs, this.#settings, this.#waits, this.#expired, this.#heardAtMs, role);
    const barriers = barriersOf();
    const pooled = { mux: barriersOf('mux'), filter: barriersOf('filter') };
    const disciplines = disciplinesOf(head);
    const progress = this.#progress(head, disciplines, pooled);
    const isRepaired = [...progress.values()].flat().every((it) => it.isRepaired);
    const membership = nextMembership(inputs, this.#settings, barriers, this.#waits, isRepaired);
    // One that came back before the version without it was written holds a lease again.
    const gone = new Set(head.gone.map(candidateKey));
    this.#expired = new Set([...membership.expired, ...[...this.#expired].filter((it) => gone.has(it))]);
    const isBehind = !barriers.isComplete(number - VERSIONS_AHEAD_MAX);
    const problems = [...membership.problems];
    if (isBehind) problems.push(behind(barriers, head));
    if (membership.isChanged) this.#stills.clear();
    const withMembers = (id: number) =>
      withPeriods(head.placements.get(id)!, (period, placement, at) =>
        disciplines(id).withMembers(
          period,
          placement,
          membership,
          head.members,
          number,
          progress.get(id)![at]!.isRepaired,
        ),
      );
    const { placements, objects, unnamedSince } = isBehind
      ? { ...head, placements: new Map([...head.placements.keys()].map((id) => [id, withMembers(id)])) }
      : this.#follow(inputs, number, progress, membership, withMembers, problems);
    const draft: Draft = {
      number,
      cluster: head.cluster,
      members: membership.members,
      gone: membership.gone,
      placements,
      objects,
      unnamedSince,
    };
    const isPublished = membership.isChanged || differs(draft, head);
    return {
      publish: isPublished ? draft : undefined,
      deregister: isPublished ? membership.deregister : [],
      forget: forgettable(inputs, barriers),
      wakeAtMs: undefined,
      open: openChanges(head, progress, (poolId) => pooled[disciplines(poolId).role]),
      problems,
    };
  }

  /** What the intent and the progress of open periods make of the head. */
  #follow(
    { head, intent }: WithHead,
    number: number,
    progress: ReadonlyMap<number, readonly Progress[]>,
    { members, gone }: Membership,
    withMembers: (id: number) => Placement,
    problems: LeaderProblem[],
  ): Pick<Draft, 'placements' | 'objects' | 'unnamedSince'> {
    const isDead = deadIn(intent.state);
    const before = idleTimeouts(head.objects);
    const after = idleTimeouts(intent.state);
    const candidates = firstCandidates(members.filter((it) => roleOf(it) === 'mux'));
    const servers = serversOf(
      [...members, ...gone],
      head.objects.backends.values(),
      intent.state.backends.values(),
    );
    const placements = new Map<number, Placement>();
    for (const { name, id, delivery } of intent.state.pools.values()) {
      const target = tableOf(intent, name);
      const old = head.placements.get(id);
      if (old === undefined || old.current.length !== target.length) {
        placements.set(id, newPlacement(id, target));
        continue;
      }
      const its = progress.get(id)!;
      const idleTimeoutMs = Math.max(before.get(name) ?? 0, after.get(name) ?? 0);
      const pool = withIdleTimeout(withMembers(id), idleTimeoutMs);
      const change =
        this.#still(id, pool, target, intent, its) ??
        disciplineOf({ delivery }).next({
          number,
          before: pool,
          progress: its,
          target,
          isDead,
          isUnused: !before.has(name),
          mayCleanSome: this.#mayCleanSome(id, head, its),
          candidates,
          members,
          servers,
          idleTimeoutMs,
          reason: () => reasonOf(name, intent, head),
        });
      if (change.placement === pool) this.#remember(id, change, target, intent, its);
      placements.set(id, change.placement);
      problems.push(...problemsOf(name, change, target));
    }
    return { placements, ...nextObjects(intent, placements, head, number) };
  }

  /** That nothing follows for a pool is remembered while nothing changes: there may be a thousand tables to compare. */
  #still(
    id: number,
    pool: Placement,
    target: Uint16Array,
    { revision }: Intent,
    progress: readonly Progress[],
  ): PlacementChange | undefined {
    const known = this.#stills.get(id);
    const isSame =
      known?.change.placement === pool &&
      known.target === target &&
      known.revision === revision &&
      known.state === stateOf(progress) &&
      progress.every(({ held }) => held === undefined);
    return isSame ? known.change : undefined;
  }

  #remember(
    id: number,
    change: PlacementChange,
    target: Uint16Array,
    { revision }: Intent,
    progress: readonly Progress[],
  ): void {
    this.#stills.set(id, { change, target, revision, state: stateOf(progress) });
  }

  #mayCleanSome(id: number, head: Version, progress: readonly Progress[]): boolean {
    if (progress.every(({ held }) => held === undefined)) return false;
    return this.#waits.reached(this.#waits.since(`clean ${id} ${head.number}`, true)! + CLEAN_PAUSE_MS);
  }

  #progress(
    head: Version,
    disciplines: (poolId: number) => Discipline,
    barriers: Readonly<Record<MemberRole, Barriers>>,
  ): Map<number, Progress[]> {
    return new Map(
      [...head.placements.values()].map(({ poolId, periods, period }) => {
        const { role, allHear } = disciplines(poolId);
        const rules = { settings: this.#settings, barriers: barriers[role], waits: this.#waits, allHear };
        return [poolId, periods.map((it) => progressOf(it, { poolId, slots: period.length }, head, rules))];
      }),
    );
  }
}

function withPeriods(
  placement: Placement,
  after: (period: Period, placement: Placement, at: number) => Period,
): Placement {
  const periods = placement.periods.map((period, at) => after(period, placement, at));
  return periods.every((it, at) => it === placement.periods[at]) ? placement : { ...placement, periods };
}

type Decision = Omit<Outcome, 'times'>;

const NOTHING: Decision = {
  publish: undefined,
  deregister: [],
  forget: { backends: new Set(), pools: new Set() },
  wakeAtMs: undefined,
  open: [],
  problems: [],
};

/** What people want, at once: nobody forwards yet. Beyond every number that somebody had in another life of the store. */
function firstVersion({ intent, registrations, acknowledgements, freshCluster }: Inputs): Draft {
  const number = 1 + Math.max(0, ...[...acknowledgements.values()].map(({ version }) => version));
  const placements = new Map(
    [...intent.state.pools.values()].map(({ name, id }) => [id, newPlacement(id, tableOf(intent, name))]),
  );
  const members = [...registrations.values()]
    .filter(({ isLeaving }) => !isLeaving)
    .sort((a, b) => a.id - b.id)
    .filter(({ id }, at, all) => all[at - 1]?.id !== id);
  return {
    number,
    cluster: freshCluster,
    members: members.map(memberOf),
    gone: [],
    placements,
    ...nextObjects(intent, placements, undefined, number),
  };
}

/**
 * A mux has in effect what this history does not have: the store was put back to an earlier state. Whether it is
 * registered does not matter: where the head is without it, it cannot be. The store's content begins another life of the
 * cluster, with a number that nobody had; open periods wait anew, and owners copy anew. Periods that began after the copy
 * of the store was made are lost: their slots go by what the store says.
 */
function restored({ head, acknowledgements, freshCluster }: WithHead): Decision | undefined {
  const others = [...acknowledgements.values()].filter((it) => contradicts(it, head));
  if (others.length === 0) return undefined;
  const number = 1 + Math.max(head.number, ...others.map(({ version }) => version));
  const anew = ({ isCopiedAhead: _, ...period }: Period): Period => ({
    ...period,
    stepVersion: number,
    chainEpoch: number,
  });
  const placements = new Map(
    [...head.placements].map(([id, it]) => [id, { ...it, periods: it.periods.map(anew) }]),
  );
  const { members, gone, objects, unnamedSince } = head;
  const names = others.map(({ name }) => name).join(', ');
  const message = `the store was put back to an earlier state: ${names} had version ${number - 1} already. Connections of changes that it forgot may break`;
  return {
    ...NOTHING,
    publish: { number, cluster: freshCluster, members, gone, objects, unnamedSince, placements },
    problems: [{ code: 'restored', subject: 'store', message }],
  };
}

function tableOf({ state }: Intent, pool: string): Uint16Array {
  const table = state.tables.get(pool);
  if (table === undefined) throw new Error(`pool ${pool} has no table`);
  return table.slots;
}

function stateOf(progress: readonly Progress[]): string {
  return progress.map((it) => `${+it.isReady}${+it.hasBarrier}${+it.isRepaired}`).join();
}

function withIdleTimeout(placement: Placement, idleTimeoutMs: number): Placement {
  if (placement.periods.every((it) => it.idleTimeoutMs >= idleTimeoutMs)) return placement;
  const longer = (it: Period) => ({ ...it, idleTimeoutMs: Math.max(it.idleTimeoutMs, idleTimeoutMs) });
  return { ...placement, periods: placement.periods.map(longer) };
}

function differs(draft: Draft, head: Version): boolean {
  if (draft.objects.revision !== head.objects.revision) return true;
  if (draft.placements.size !== head.placements.size) return true;
  for (const [id, placement] of draft.placements) if (head.placements.get(id) !== placement) return true;
  const [now, old] = [draft.objects.backends, head.objects.backends];
  return now.size !== old.size || [...now.keys()].some((key) => !old.has(key));
}

/** What no version has any more, nor any mux. */
function forgettable({ intent, head }: WithHead, barriers: Barriers): Outcome['forget'] {
  const { retired } = intent.state;
  const backends = new Set<number>();
  const pools = new Set<number>();
  // An edit that the head does not know yet may have removed what the head has.
  if (head.objects.revision !== intent.revision || !barriers.isComplete(head.number))
    return { backends, pools };
  const served = new Set([...head.objects.backends.values()].map(({ index }) => index));
  for (const { index } of retired.backends) if (!served.has(index)) backends.add(index);
  for (const { id } of retired.pools) if (!head.placements.has(id)) pools.add(id);
  return { backends, pools };
}

function problemsOf(
  pool: string,
  { placement: { current, periods }, isFull, crowded = 0 }: PlacementChange,
  target: Uint16Array,
): LeaderProblem[] {
  const problems: LeaderProblem[] = [];
  // Only a table that has nobody for some slot is looked at as a whole.
  const isPanicking =
    target.includes(0) && target.some((backend, slot) => backend === 0 && current[slot] !== 0);
  if (isPanicking) {
    const message = `pool ${pool} has no backend that takes flows: its slots stay with those it had last`;
    problems.push({ code: 'panic', subject: pool, message });
  }
  if (isFull) {
    const message = `pool ${pool} has ${periods.length} open changes: the next waits until one has ended`;
    problems.push({ code: 'periods', subject: pool, message });
  }
  if (crowded > 0) {
    const message = `${crowded} slots of pool ${pool} wait for clients to leave: ${HOLDERS_MAX} servers may have some of theirs already`;
    problems.push({ code: 'crowded', subject: pool, message });
  }
  const sum = (of: (period: Period) => number) => periods.reduce((all, period) => all + of(period), 0);
  const briefly = sum(({ lostBriefly = 0 }) => lostBriefly);
  const lost = sum(({ lostSlots }) => lostSlots) - briefly;
  if (lost > 0) {
    const message = `two muxes went before what they kept was copied: flows of ${lost} slots of pool ${pool} that were open then may be lost`;
    problems.push({ code: 'lost', subject: pool, message });
  }
  if (briefly > 0) {
    const message = `a mux went while another mux left: flows of ${briefly} slots of pool ${pool} that began in those seconds may be lost`;
    problems.push({ code: 'lost', subject: pool, message });
  }
  return problems;
}

function behind(barriers: Barriers, head: Version): LeaderProblem {
  const names = barriers.missing(head.number).join(', ');
  const message = `${VERSIONS_AHEAD_MAX} versions are not in effect at ${names}: changes wait`;
  return { code: 'behind', subject: names, message };
}

function openChanges(
  head: Version,
  progress: ReadonlyMap<number, readonly Progress[]>,
  barriersOf: (poolId: number) => Barriers,
): OpenChange[] {
  const names = new Map([...head.objects.pools.values()].map(({ id, name }) => [id, name]));
  return [...head.placements.values()].flatMap(({ poolId, periods, period: slots }) => {
    if (periods.length === 0) return [];
    const counts = new Uint32Array(periods.length + 1);
    // By index: an iterator makes an object of each of a million slots.
    for (let slot = 0; slot < slots.length; slot++) counts[slots[slot]!]!++;
    return periods.map((period, at): OpenChange => {
      const { waits, earliestAtMs, flows, oldFlows, held } = progress.get(poolId)![at]!;
      const { trackEpoch, step, stepVersion, isUrgent, reason, lostSlots } = period;
      return {
        pool: names.get(poolId) ?? `#${poolId}`,
        poolId,
        trackEpoch,
        step,
        stepVersion,
        slots: counts[at + 1]!,
        isUrgent,
        reason,
        waits: held === undefined ? waits : [...waits, 'until old flows have ended'],
        unacknowledged: barriersOf(poolId).missing(stepVersion),
        earliestAtMs,
        flows,
        oldFlows,
        lostSlots,
      };
    });
  });
}
