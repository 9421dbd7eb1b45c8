import { describe, expect, it } from 'vitest';
import {
  ahead,
  Heartbeat,
  type HeartbeatEffect,
  type PeerHearing,
} from '../../../control/cluster/heartbeat_core.ts';

const TIMES = { intervalMs: 50, misses: 3 };
const SECOND_TICKS = 1_000;

/** Muxes 2 and 3 as peers, and a network that answers for those named. */
function cluster() {
  const heartbeat = new Heartbeat(TIMES, 100);
  heartbeat.step(
    {
      kind: 'peers',
      incarnations: new Map([
        [2, 20],
        [3, 30],
      ]),
    },
    0,
  );
  const hearings = new Map<number, PeerHearing>();
  let nowMs = 0;
  const tick = (
    answering: readonly number[],
    { afterMs = 50, time = 0, theirTime = 0, incarnations = { 2: 20, 3: 30 } as Record<number, number> } = {},
  ): HeartbeatEffect[] => {
    nowMs += afterMs;
    const effects = heartbeat.step({ kind: 'tick', hearings, time }, nowMs);
    for (const effect of effects) {
      if (effect.kind !== 'probe') continue;
      for (const id of effect.peers.filter((it) => answering.includes(it))) {
        hearings.set(id, {
          echo: effect.number,
          incarnation: incarnations[id]!,
          time: theirTime,
        });
      }
    }
    return effects;
  };
  const changes = (effects: HeartbeatEffect[]) => effects.filter(({ kind }) => kind !== 'probe');
  return {
    heartbeat,
    tick: (...given: Parameters<typeof tick>) => changes(tick(...given)),
    all: tick,
    hearings,
  };
}

describe('heartbeats', () => {
  it('probe every peer each tick with a number of its own', () => {
    const { all } = cluster();
    expect(all([2, 3])).toEqual([{ kind: 'probe', number: 101, peers: [2, 3] }]);
    expect(all([2, 3])).toEqual([{ kind: 'probe', number: 102, peers: [2, 3] }]);
  });

  it('suspect a peer after three probes in a row without an answer, once', () => {
    const { tick } = cluster();
    tick([2, 3]);
    tick([2]);
    tick([2]); // the first miss
    tick([2]);
    expect(tick([2])).toEqual([{ kind: 'suspect', peer: 3, incarnation: 30 }]);
    expect(tick([2])).toEqual([]);
  });

  it('have patience with a peer that was never heard: it may not know this mux yet', () => {
    const { tick } = cluster();
    const seen = Array.from({ length: 400 }, () => tick([2])).flat();
    expect(seen).toEqual([{ kind: 'suspect', peer: 3, incarnation: 30 }]);
    const { tick: again } = cluster();
    expect(Array.from({ length: 299 }, () => again([2])).flat()).toEqual([]);
  });

  it('begin anew with each answer', () => {
    const { tick } = cluster();
    for (let round = 0; round < 10; round++) {
      expect([tick([2]), tick([2]), tick([2, 3])]).toEqual([[], [], []]);
    }
  });

  it('withdraw a suspicion when the peer is heard again', () => {
    const { tick, heartbeat } = cluster();
    tick([2, 3]);
    for (let count = 0; count < 5; count++) tick([2]);
    expect(heartbeat.suspects()).toEqual([{ peer: 3, incarnation: 30 }]);
    tick([2, 3]);
    expect(tick([2, 3])).toEqual([{ kind: 'trust', peer: 3 }]);
    expect(heartbeat.suspects()).toEqual([]);
  });

  it('count no miss at a tick that came late: the prober slept, not the peer', () => {
    const { tick } = cluster();
    tick([2, 3]);
    tick([2]);
    for (let count = 0; count < 20; count++) expect(tick([2], { afterMs: 200 })).toEqual([]);
    tick([2]);
    tick([2]);
    expect(tick([2])).toEqual([{ kind: 'suspect', peer: 3, incarnation: 30 }]);
  });

  it('take no answer of another incarnation: that mux has lost the flows it is asked for', () => {
    const { tick } = cluster();
    const incarnations = { 2: 20, 3: 31 };
    tick([2, 3]);
    for (let count = 0; count < 3; count++) tick([2, 3], { incarnations });
    expect(tick([2, 3], { incarnations })).toEqual([{ kind: 'suspect', peer: 3, incarnation: 30 }]);
  });

  it('take no answer to a daemon before this one', () => {
    const { tick, hearings, heartbeat } = cluster();
    hearings.set(3, { echo: 99, incarnation: 30, time: 0 });
    tick([2]);
    expect(heartbeat.heardAgoMs(50)).toEqual(
      new Map([
        [2, undefined],
        [3, undefined],
      ]),
    );
  });

  it('take no answer from before this mux was a member again: patience is not over then', () => {
    const { tick, heartbeat } = cluster();
    for (let count = 0; count < 3; count++) tick([2, 3]);
    const peers = (...incarnations: [number, number][]) =>
      heartbeat.step({ kind: 'peers', incarnations: new Map(incarnations) }, 150);
    // Removed, and back; the peer comes late to the version that has this mux.
    peers();
    peers([2, 20], [3, 30]);
    const seen: HeartbeatEffect[] = [];
    for (let count = 0; count < 10; count++) seen.push(...tick([2]));
    expect(seen).toEqual([]);
    expect(heartbeat.heardAgoMs(1_000).get(3)).toBeUndefined();
  });

  it('trust whoever is no member any more, and know its next incarnation for another', () => {
    const { tick, heartbeat } = cluster();
    tick([2, 3]);
    for (let count = 0; count < 5; count++) tick([2]);
    expect(
      heartbeat.step(
        {
          kind: 'peers',
          incarnations: new Map([
            [2, 20],
            [3, 31],
          ]),
        },
        300,
      ),
    ).toEqual([{ kind: 'trust', peer: 3 }]);
    expect(heartbeat.suspects()).toEqual([]);
  });

  it('move to the latest cluster time heard, and never back', () => {
    const { tick } = cluster();
    tick([2, 3], { theirTime: 5 * SECOND_TICKS });
    expect(tick([2, 3], { time: 2 * SECOND_TICKS, theirTime: 0 })).toEqual([
      { kind: 'advance', ticks: 3 * SECOND_TICKS },
    ]);
    expect(tick([2, 3], { time: 5 * SECOND_TICKS })).toEqual([]);
  });

  it('compare times and numbers that have wrapped', () => {
    expect(ahead(5, 0xffff_fff0)).toBe(21);
    expect(ahead(0xffff_fff0, 5)).toBe(-21);
  });
});
