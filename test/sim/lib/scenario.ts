// Owns what happens in one simulation, as data: drawn from a seed here, shortened by shrink.ts, carried out by
// simulation.ts.
import type { Edit } from '../../../control/config/cluster_state.ts';
import { Random } from './random.ts';
import { backendOn, HOSTS, POOLS, type PoolName, SERVICES } from './site.ts';

export const MS = 1_000_000;
export const SECOND = 1_000 * MS;

/** A connection or a conversation of datagrams; `id` names its client's address and port, too. */
export type FlowAction = {
  readonly kind: 'flow';
  readonly atNs: number;
  readonly id: number;
  readonly protocol: 'tcp' | 'udp';
  readonly destination: string;
  readonly port: number;
  /** Segments or datagrams after the first, and between two of them. */
  readonly messages: number;
  readonly gapNs: number;
  readonly sizeBytes: number;
};

export type Action =
  | FlowAction
  /** Something on the way back complains about a flow's packet. */
  | { readonly kind: 'icmpError'; readonly atNs: number; readonly flow: number }
  | { readonly kind: 'ping'; readonly atNs: number; readonly id: number; readonly destination: string }
  | { readonly kind: 'stranger'; readonly atNs: number; readonly id: number; readonly version: 4 | 6 }
  /** The router hashes anew. */
  | { readonly kind: 'reshuffle'; readonly atNs: number; readonly salt: number }
  /** The router stops or starts sending to a mux, which goes on running. */
  | { readonly kind: 'leave' | 'join'; readonly atNs: number; readonly mux: number }
  /** A mux loses everything, and announces itself again once it has the newest configuration. */
  | { readonly kind: 'reboot'; readonly atNs: number; readonly mux: number; readonly downNs: number }
  /** Planned when it happens; mux n has it after lagNs[n], a step at a time. */
  | {
      readonly kind: 'edit';
      readonly atNs: number;
      readonly edits: readonly Edit[];
      readonly lagNs: readonly number[];
      readonly stepNs: number;
    };

/** Of one way between two nodes; probabilities of each packet. */
export type Weather = {
  readonly loss: number;
  readonly duplicate: number;
  /** Held up for a minute. */
  readonly straggling: number;
  readonly delayNs: number;
  /** Added at random: packets closer together than this overtake each other. */
  readonly jitterNs: number;
};

export type Scenario = {
  readonly seed: number;
  readonly muxes: number;
  readonly members: Readonly<Record<PoolName, readonly number[]>>;
  readonly weather: Weather;
  /** Whether the router hashes the ports of first fragments, which later ones do not have. */
  readonly fragmentsSpread: boolean;
  /** In order of time. */
  readonly actions: readonly Action[];
};

export const CALM: Weather = { loss: 0, duplicate: 0, straggling: 0, delayNs: MS, jitterNs: 0 };

const MUXES_MAX = 4;
const DURATION_NS = 6 * SECOND;
/** Beyond the lifetime of what a mux remembers of fragments. */
const LONG_GAP_NS = 61 * SECOND;

/** The history of a seed. */
export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed, 'shape');
  const muxes = random.between(2, MUXES_MAX);
  const hosts = HOSTS.map((_, at) => at);
  const members = {
    web: hosts.filter(() => random.chance(0.6)),
    any: hosts.filter(() => random.chance(0.4)),
  };
  for (const pool of POOLS) if (members[pool.name].length === 0) members[pool.name].push(random.pick(hosts));
  const weather = {
    loss: random.pick([0, 0.01, 0.05]),
    duplicate: random.pick([0, 0.01, 0.05]),
    straggling: random.pick([0, 0, 0.005]),
    delayNs: random.pick([0.05, 1, 10]) * MS,
    jitterNs: random.pick([0, 0.02, 1, 40]) * MS,
  };
  const actions = [...flows(seed), ...disturbances(seed, muxes), ...changes(seed, muxes)].sort(
    (a, b) => a.atNs - b.atNs,
  );
  return { seed, muxes, members, weather, fragmentsSpread: random.chance(0.3), actions };
}

/** Nothing is lost, nothing changes: every flow must succeed. */
export function quietScenarioOf(seed: number): Scenario {
  return {
    ...scenarioOf(seed),
    weather: CALM,
    fragmentsSpread: false,
    actions: flows(seed).sort((a, b) => a.atNs - b.atNs),
  };
}

function flows(seed: number): Action[] {
  const random = new Random(seed, 'flows');
  const actions: Action[] = [];
  const count = random.between(20, 90);
  for (let id = 1; id <= count; id++) {
    const flow = flowOf(random, id);
    actions.push(flow);
    if (random.chance(0.2)) {
      actions.push({ kind: 'icmpError', atNs: flow.atNs + random.between(1, 500) * MS, flow: id });
    }
  }
  for (let id = 1; id <= random.between(0, 4); id++) {
    const destination = random.pick(SERVICES.flatMap(({ addresses }) => addresses));
    actions.push({ kind: 'ping', atNs: random.unit() * DURATION_NS, id, destination });
    actions.push({ kind: 'stranger', atNs: random.unit() * DURATION_NS, id, version: random.pick([4, 6]) });
  }
  return actions;
}

function flowOf(random: Random, id: number): FlowAction {
  const service = random.pick(SERVICES);
  const protocol = service.protocol ?? random.pick(['tcp', 'udp'] as const);
  const large = protocol === 'udp' && random.chance(0.6);
  return {
    kind: 'flow',
    atNs: Math.floor(random.unit() * DURATION_NS),
    id,
    protocol,
    destination: random.pick(service.addresses),
    port: service.port ?? random.between(1, 65_535),
    messages: random.between(1, 8),
    gapNs: random.chance(0.05) ? LONG_GAP_NS : random.pick([0.2, 20, 300]) * MS,
    sizeBytes: large ? random.between(1_500, 7_000) : random.between(0, 900),
  };
}

function disturbances(seed: number, muxes: number): Action[] {
  const random = new Random(seed, 'disturbances');
  const at = (): number => Math.floor(random.unit() * DURATION_NS);
  const actions: Action[] = [];
  for (let n = random.between(0, 3); n > 0; n--)
    actions.push({ kind: 'reshuffle', atNs: at(), salt: random.word() });
  for (let n = random.between(0, 3); n > 0; n--) {
    const mux = random.between(0, muxes - 1);
    const atNs = at();
    actions.push({ kind: 'leave', atNs, mux });
    actions.push({ kind: 'join', atNs: atNs + random.between(10, 2_000) * MS, mux });
  }
  if (random.chance(0.3)) {
    const downNs = random.between(10, 1_000) * MS;
    actions.push({ kind: 'reboot', atNs: at(), mux: random.between(0, muxes - 1), downNs });
  }
  return actions;
}

function changes(seed: number, muxes: number): Action[] {
  const random = new Random(seed, 'changes');
  return Array.from({ length: random.between(0, 6) }, () => ({
    kind: 'edit' as const,
    atNs: Math.floor(random.unit() * DURATION_NS),
    edits: random.chance(0.05) ? emptying(random.pick(POOLS).name) : severalEdits(random),
    lagNs: Array.from({ length: muxes }, () => random.pick([0, 1, 50, 800]) * MS),
    stepNs: random.pick([0, 0.1, 20]) * MS,
  }));
}

/** Nobody is left to serve the pool. */
function emptying(pool: PoolName): Edit[] {
  return HOSTS.map(({ name }) => ({ kind: 'deleteBackend', pool, name }));
}

function severalEdits(random: Random): Edit[] {
  return Array.from({ length: random.between(1, 3) }, () => editOf(random));
}

function editOf(random: Random): Edit {
  const pool = random.pick(POOLS).name;
  const host = random.between(0, HOSTS.length - 1);
  const backend = backendOn(pool, host, random.pick([0, 50, 100, 100, 300]));
  const { name } = backend;
  const dice = random.unit();
  if (dice < 0.15) return { kind: 'deleteBackend', pool, name };
  if (dice < 0.3) {
    // The backend moves to another host and keeps its name.
    const { address, encap } = HOSTS[random.between(0, HOSTS.length - 1)]!;
    return { kind: 'putBackend', backend: { ...backend, address, encap } };
  }
  return { kind: 'putBackend', backend };
}
