// Owns the order of the demo's acts, and what comes of all of them. What an act does is its own file's.
import { WEIGHT } from '../configuration.ts';
import type { LabDaemon } from '../daemon.ts';
import { nonZero } from '../inspect.ts';
import type { Lab } from '../lab.ts';
import { type Proof, playProof, proofActs } from '../proof/story.ts';
import { type Account, type Cast, type Check, check } from './act.ts';
import { type ChangeFindings, playDrain, playWeight, undoChanges } from './changes.ts';
import { LiveSampler } from './live.ts';
import {
  type GeneratorFindings,
  playGenerator,
  playRestart,
  playSteering,
  type RestartFindings,
  type SteeringFindings,
} from './muxes.ts';
import type { Stage } from './stage.ts';
import { playShares, playTraffic, type ShareFindings, type TrafficFindings } from './traffic.ts';

const TOUR_ACTS = 7;

type Without<T> = Omit<T, 'checks'>;

/** tour: what a cluster does, part by part. proof: everything changes, and no connection breaks. */
export const PARTS = ['tour', 'proof'] as const;
export type Part = (typeof PARTS)[number];

export type Findings = {
  /** In order, with what was promised and what was seen. */
  readonly acts: readonly Account[];
  readonly tour?: TourFindings;
  readonly proof?: Omit<Proof, 'acts'>;
};

export type TourFindings = {
  readonly traffic: Without<TrafficFindings>;
  readonly shares: Without<ShareFindings>;
  readonly steering: Without<SteeringFindings>;
  readonly weight: Without<ChangeFindings>;
  readonly drain: Without<ChangeFindings>;
  readonly restart: Without<RestartFindings>;
  readonly generator: Without<GeneratorFindings>;
  /** Packets by reason, without those of the generator: all muxes together, all backends together. */
  readonly muxPackets: Readonly<Record<string, number>>;
  readonly backendPackets: Readonly<Record<string, number>>;
};

export async function runScenario(
  lab: Lab,
  stage: Stage,
  { parts, connections }: { readonly parts: readonly Part[]; readonly connections: number },
): Promise<Findings> {
  const agent = await lab.client();
  const weights = new Map(lab.plan.backends.map(({ name }) => [name, WEIGHT]));
  const cast: Cast = { lab, agent, weights, now: (what) => stage.now(what) };
  stage.follows(new LiveSampler(cast));
  const hasTour = parts.includes('tour');
  const hasProof = parts.includes('proof');
  const before = hasTour ? TOUR_ACTS : 0;
  const of = before + (hasProof ? proofActs(lab) : 0);
  const acts: Account[] = [];
  const tour = hasTour ? await playTour(cast, stage, of, acts) : undefined;
  if (!hasProof) return { acts, ...(tour && { tour }) };
  // Requests go where backends are that change meanwhile: there are no shares to compare with.
  weights.clear();
  const { acts: proven, ...proof } = await playProof(lab, connections, {
    now: (what) => stage.now(what),
    begins: (number, title) => stage.begins(before + number, of, title),
    ends: (account) => stage.ends(account),
  });
  return { acts: [...acts, ...proven], ...(tour && { tour }), proof };
}

async function playTour(cast: Cast, stage: Stage, of: number, acts: Account[]): Promise<TourFindings> {
  const { lab, agent } = cast;
  const act = async <T extends { checks: readonly Check[] }>(
    title: string,
    play: () => Promise<T>,
  ): Promise<Without<T>> => {
    stage.begins(acts.length + 1, of, title);
    const startedMs = performance.now();
    const ends = (checks: readonly Check[]) => {
      const account = { title, checks, durationMs: Math.round(performance.now() - startedMs) };
      acts.push(account);
      stage.ends(account);
    };
    try {
      const { checks, ...found } = await play();
      ends(checks);
      return found;
    } catch (error) {
      ends([check('it can be played to its end', false, (error as Error).message)]);
      throw error;
    }
  };

  const traffic = await act('Traffic reaches servers, and answers come back', () => playTraffic(cast));
  const perBackend = addCounts(traffic.http4.perBackend, traffic.http6.perBackend);
  const shares = await act('Backends share new connections evenly', () => playShares(cast, perBackend));
  const steering = await act('Which mux a connection takes does not matter', () => playSteering(cast));
  await agent.call('release', {});
  // While slots are clean: flows of tracked ones are asked for, which is another cost.
  const before = await reasonsOf(lab);
  const generator = await act('What a mux costs a packet', () => playGenerator(cast));
  const drowned = await reasonsOf(lab);
  const weight = await act('A weight is changed under traffic', () => playWeight(cast));
  const drain = await act('A backend is drained under traffic', () => playDrain(cast));
  await undoChanges(cast);
  const restart = await act("A mux's daemon is killed under traffic, and comes back", () =>
    playRestart(cast),
  );
  await agent.call('release', {});
  const after = await reasonsOf(lab);
  const [muxPackets, backendPackets] = (['muxes', 'backends'] as const).map((role) =>
    nonZero(addCounts(after[role], addCounts(before[role], negated(drowned[role])))),
  ) as [Record<string, number>, Record<string, number>];
  return { traffic, shares, steering, generator, weight, drain, restart, muxPackets, backendPackets };
}

async function reasonsOf({ muxes, backends }: Lab) {
  const of = async (nodes: readonly { readonly daemon: LabDaemon }[]) =>
    sumOf(await Promise.all(nodes.map(async ({ daemon }) => (await daemon.client.stats()).reasons)));
  return { muxes: await of(muxes), backends: await of(backends) };
}

function sumOf(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  return all.map(nonZero).reduce(addCounts, {});
}

function addCounts(
  a: Readonly<Record<string, number>>,
  b: Readonly<Record<string, number>>,
): Record<string, number> {
  const sum = { ...a };
  for (const [key, value] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + value;
  return sum;
}

function negated(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([key, value]) => [key, -value]));
}
