// Owns the part that routes take in a running mux: what it stands on, read from its membership and its program, goes to
// the announcer; what is known of routes goes to status, metrics and the doctor. What is announced is decided in
// control/route.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../api/schema.ts';
import type { RoutesConfig } from '../config/routes.ts';
import type { MuxProgram } from '../dataplane/mux.ts';
import { DEADLINE_ALONE } from '../dataplane/self.ts';
import { type IpVersion, parseAddress, versionOf } from '../lib/address.ts';
import { MOVE_MS, type Standing } from '../route/announce_core.ts';
import { Announcer, type RouteTask } from '../route/announcer.ts';
import { forgetRoutes } from '../route/forget.ts';
import { servableAddresses } from '../route/servable.ts';
import type { MuxCluster } from './mux_cluster.ts';
import type { MuxRole } from './mux_role.ts';
import type { Problems } from './problems.ts';
import { routeProblem, routesView } from './routes/views.ts';

const TICK_MS = 50;
/** Ways to backends change without a version. */
const LOOK_AGAIN_MS = 500;
/** A mux that does not know its next hops yet announces nothing, unless some are not to be found. */
const PATHS_PATIENCE_MS = 2_000;
/** To withdraw before programs are taken off. */
const WITHDRAW_LIMIT_MS = 3_000;
const NS_PER_MS = 1e6;

export type MuxRoutesOptions = {
  readonly config: RoutesConfig;
  readonly leaseMs: number;
  readonly program: MuxProgram;
  readonly mux: MuxRole;
  readonly tunnelVersions: ReadonlySet<IpVersion>;
  readonly cluster: () => MuxCluster | undefined;
  readonly problems: Problems;
  readonly tell: (message: string) => void;
};

export class MuxRoutes {
  readonly #options: MuxRoutesOptions;
  readonly #announcer: Announcer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #servable: { version: number; atMs: number; addresses: readonly string[] } | undefined;
  /** Since when next hops are waited for; undefined: they are known. */
  #waitsSinceMs: number | undefined;
  /** Programs are about to be taken off. */
  #isHeld = false;
  #startedMs = nowMs();

  private constructor(options: MuxRoutesOptions, announcer: Announcer | undefined) {
    this.#options = options;
    this.#announcer = announcer;
  }

  static async open(options: MuxRoutesOptions): Promise<MuxRoutes> {
    const { config, leaseMs, program, mux, problems, tell } = options;
    if (config.mode !== 'bird') {
      // Of the time when it was.
      await forgetRoutes(config).catch((error: unknown) => problems.arise(KEYS.routes, error));
      return new MuxRoutes(options, undefined);
    }
    const announcer = await Announcer.open({
      config,
      leaseMs,
      // What is announced without a program that takes the packets would lead nowhere.
      mayKeep: program.flowOrigin === 'adopted' && mux.isAttached,
      nowMs,
      onFailure: (what, error) => problems.arise(KEYS[what], error),
      onSuccess: (what) => problems.solve(KEYS[what]),
      tell,
    });
    return new MuxRoutes(options, announcer);
  }

  start(): void {
    const announcer = this.#announcer;
    if (announcer === undefined) return;
    this.#startedMs = nowMs();
    const tick = () => {
      announcer.tick(this.#standing());
      const { problems } = this.#options;
      const problem = routeProblem(announcer, nowMs() - this.#startedMs);
      if (problem === undefined) problems.solve('route sessions');
      else problems.arise('route sessions', problem);
    };
    tick();
    this.#timer = setInterval(tick, TICK_MS);
  }

  /** Leaves routes as they are: the will comes due where no daemon follows. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#announcer?.close();
  }

  mayLeave(): boolean {
    return this.#announcer?.mayLeave() ?? true;
  }

  /** Runs `work`, which takes programs off, when routers have been told, or cannot be. */
  async withoutRoutes<T>(work: () => Promise<T>): Promise<T> {
    const announcer = this.#announcer;
    if (announcer === undefined || announcer.announcement.level === 'withdrawn') return work();
    this.#isHeld = true;
    try {
      announcer.tick(this.#standing());
      await announcer.settled(WITHDRAW_LIMIT_MS);
      // BIRD has told routers, which have not heard it yet.
      await sleep(MOVE_MS);
      return await work();
    } finally {
      this.#isHeld = false;
    }
  }

  view(): NonNullable<Status['routes']> {
    return routesView(this.#options.config, this.#announcer);
  }

  /** Undefined until it is known what the cluster's version makes of this mux. */
  #standing(): Standing | undefined {
    const { program, mux, leaseMs } = this.#options;
    const cluster = this.#options.cluster();
    const membership = cluster?.member.membership;
    const applied = cluster?.applied;
    if (cluster === undefined || membership === undefined) return undefined;
    // What the program follows is of a version that this daemon has not read yet.
    const { head } = cluster.versions;
    if (applied === undefined && (head !== undefined || program.self.version > 0)) return undefined;
    const atMs = nowMs();
    const { phase, deadlineMs, storeAwaySinceMs } = membership;
    const inProgramMs = program.deadline.atMs ?? Number.POSITIVE_INFINITY;
    return {
      isMember: phase === 'member',
      // Until this daemon has a proof of its own, that of the one before it counts.
      deadlineMs: deadlineMs === Number.NEGATIVE_INFINITY ? inProgramMs : deadlineMs,
      isAlone: program.self.deadline === DEADLINE_ALONE,
      isOnly: (applied?.members.length ?? 0) < 2,
      leaseEndsMs: storeAwaySinceMs === undefined ? Number.POSITIVE_INFINITY : storeAwaySinceMs + leaseMs,
      isLeaving: cluster.isToLeave,
      isServing: !this.#isHeld && mux.isAttached && this.#knowsPaths(cluster, atMs),
      addresses: this.#addresses(cluster, atMs),
    };
  }

  /** What it has announced once is not withdrawn for a next hop that is lost. */
  #knowsPaths({ applied }: MuxCluster, atMs: number): boolean {
    if (this.#announcer?.announcement.level !== 'withdrawn') return true;
    const { mux } = this.#options;
    const backends = [...(applied?.objects.backends.values() ?? [])];
    const isKnown = backends.every((it) => it.weight === 0 || mux.path(it.index)?.state !== 'resolving');
    if (isKnown) this.#waitsSinceMs = undefined;
    else this.#waitsSinceMs ??= atMs;
    return isKnown || atMs - this.#waitsSinceMs! >= PATHS_PATIENCE_MS;
  }

  #addresses(cluster: MuxCluster, atMs: number): readonly string[] {
    const { applied } = cluster;
    if (applied === undefined) return [];
    const known = this.#servable;
    if (known?.version === applied.number && atMs - known.atMs < LOOK_AGAIN_MS) return known.addresses;
    const { mux, tunnelVersions } = this.#options;
    const addresses = servableAddresses(
      applied.objects,
      ({ index, address }) =>
        tunnelVersions.has(versionOf(parseAddress(address))) && mux.path(index)?.state !== 'unreachable',
    );
    this.#servable = { version: applied.number, atMs, addresses };
    return addresses;
  }
}

const KEYS: Readonly<Record<RouteTask, string>> = { routes: 'routes', will: 'routes will' };

function nowMs(): number {
  return Number(process.hrtime.bigint()) / NS_PER_MS;
}
