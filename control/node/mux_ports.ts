// Owns what the cores of membership and of tasks see of a mux's or a filter's program.
import { type AffinityEngine, AffinityTasks } from '../affinity/tasks.ts';
import type { MemberProgram } from '../cluster/member.ts';
import type { Version } from '../cluster/version.ts';
import type { FilterProgram } from '../dataplane/filter.ts';
import { Limit } from '../dataplane/generated/layout.ts';
import type { MuxProgram } from '../dataplane/mux.ts';
import { DEADLINE_ALONE } from '../dataplane/self.ts';
import type { FlowEngine } from '../flow/engine.ts';
import { FlowTasks } from '../flow/tasks.ts';
import type { ClusterProgram, ClusterTasks, TaskHost } from './mux_cluster.ts';

const NS_PER_MS = 1e6;
const TICK_SHIFT = BigInt(Limit.LIMIT_TICK_SHIFT);

type MemberParts = Pick<
  MuxProgram,
  'flowOrigin' | 'self' | 'clock' | 'deadline' | 'peerStates' | 'askKeys' | 'beginIncarnation'
>;

export function clusterProgramOf(program: MuxProgram): ClusterProgram {
  const { self } = program;
  const member = memberProgramOf(
    program,
    {
      role: 'mux',
      probe: ({ number, isPledge }) => program.flows.composeProbe({ number, pledge: isPledge }),
      goAlone: (isAlone) => {
        if (isAlone) self.deadline = DEADLINE_ALONE;
        else if (self.deadline === DEADLINE_ALONE) program.deadline.pass();
      },
    },
    () => process.hrtime.bigint(),
  );
  return clusterProgram(member, program);
}

/** Past its deadline it answers nobody, whoever else is there. */
export function filterProgramOf(program: FilterProgram): ClusterProgram {
  const member = memberProgramOf(
    program,
    { role: 'filter', probe: (probe) => program.affinities.probe(probe), goAlone: () => {} },
    () => process.hrtime.bigint(),
  );
  return clusterProgram(member, program);
}

function clusterProgram(
  member: MemberProgram,
  { flowOrigin, self }: Pick<MuxProgram, 'flowOrigin' | 'self'>,
): ClusterProgram {
  return {
    member,
    startsAt: flowOrigin === 'adopted' ? self.version : 0,
    get version() {
      return self.version;
    },
  };
}

export function affinityTasksOf(engine: AffinityEngine): (host: TaskHost) => ClusterTasks {
  return ({ self, onReports }) => new AffinityTasks({ engine, self, onReports });
}

export function flowTasksOf(program: MuxProgram): (host: TaskHost) => ClusterTasks {
  return ({ applied, self, send, onReports, log, nowMs }) =>
    new FlowTasks({
      engine: flowEngineOf(program, applied),
      self,
      send,
      onReports,
      onCopied: ({ peer, flows, resent, restarted, isAhead }, tookMs) => {
        const whom = isAhead ? 'one that will keep them when a mux has left' : 'a new backup';
        log('info', `flows were copied to ${whom}`, { peer, flows, tookMs, resent, restarted });
      },
      firstRound: Math.floor(nowMs()),
    });
}

/** `nowNs`: CLOCK_MONOTONIC, as the program has it. */
function memberProgramOf(
  program: MemberParts,
  { role, probe, goAlone }: Pick<MemberProgram, 'role' | 'probe' | 'goAlone'>,
  nowNs: () => bigint,
): MemberProgram {
  return {
    role,
    probe,
    goAlone,
    get isAdopted() {
      return program.flowOrigin === 'adopted';
    },
    get id() {
      return program.self.id;
    },
    get incarnation() {
      return program.self.incarnation;
    },
    setId: (id) => {
      program.self.id = id;
    },
    ready: () => program.clock.ready(),
    beginIncarnation: (incarnation) => program.beginIncarnation(incarnation),
    setDeadline: (atMs) => {
      if (atMs === 0) program.deadline.pass();
      else program.deadline.set(atMs);
    },
    get leftDeadlineMs() {
      // For ever: of one that was alone. Where it is not any more, that proves nothing.
      return program.deadline.atMs ?? Number.NEGATIVE_INFINITY;
    },
    clusterTime: () => Number(BigInt.asUintN(32, (nowNs() >> TICK_SHIFT) + BigInt(program.self.timeOffset))),
    advanceTime: (ticks) => {
      program.self.timeOffset = (program.self.timeOffset + ticks) >>> 0;
    },
    peer: (id) => {
      const { echo, incarnation, time, pledgeEcho, pledgedNs, pledgedVersion } = program.peerStates.state(id);
      const pledgedMs = pledgedNs === 0n ? undefined : Number(pledgedNs) / NS_PER_MS;
      return {
        echo,
        incarnation,
        time,
        pledgeEcho: Number(pledgeEcho),
        pledgedMs,
        pledgedVersion,
      };
    },
    keys: {
      places: () => program.askKeys.places(),
      get used() {
        return program.askKeys.places().includes(program.askKeys.used % Limit.LIMIT_ASK_KEYS)
          ? program.askKeys.used
          : -1;
      },
      install: (id, key) => program.askKeys.install(id, key),
      use: (id) => program.askKeys.use(id),
      remove: (id) => program.askKeys.remove(id),
    },
  };
}

/** `version`: in effect. */
export function flowEngineOf(program: MuxProgram, version: () => Version | undefined): FlowEngine {
  const { flows } = program;
  return {
    sweep: (at) => ({ next: flows.sweep(cursorOf(at)).cursor }),
    sweepCache: (at, idleTimeMs) => ({ next: flows.sweepCache(idleTimeMs, cursorOf(at)).cursor }),
    beginCensus: () => flows.beginCensus(),
    census: (poolId, trackEpoch) => {
      // A pool that no service has any more has no slots here.
      if (version()?.placements.has(poolId) !== true) return undefined;
      return flows.census(poolId, trackEpoch);
    },
    copy: ({ peer, poolId, chainEpoch, round, number, at }) => {
      const cursor = cursorOf(at);
      const page = flows.copy({ peer, poolId, chainEpoch, round, message: number, cursor });
      return { messages: page.messages, flows: page.entries, next: page.cursor };
    },
    chooseAhead: (poolId, slots) => flows.chooseAhead(poolId, slots),
    refresh: ({ peer, poolId, ageMaxMs, idleTimeMs, at }) => {
      const cursor = cursorOf(at);
      const page = flows.refresh({ peer, poolId, seenWithinMs: ageMaxMs, idleTimeoutMs: idleTimeMs, cursor });
      return { messages: page.messages, flows: page.entries, next: page.cursor };
    },
    beginCopyRound: (peer, round) => program.peerStates.beginCopyRound(peer, round),
    copyAcked: (peer) => {
      const { copyRound } = program.peerStates.state(peer);
      return { round: copyRound, acked: program.peerStates.copiesTaken(peer) };
    },
    unrecordedMs: (poolId, trackEpoch) => {
      const ns = program.unrecordedNs(poolId, trackEpoch);
      return ns === 0n ? undefined : Number(ns) / NS_PER_MS;
    },
  };
}

function cursorOf(at: number): number | undefined {
  return at === 0 ? undefined : at;
}
