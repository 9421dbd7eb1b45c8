// Owns a mux's program that is stood for in memory, for tests of the daemon's part in the cluster.
import type { MuxProgram } from '../../../control/dataplane/mux.ts';

export type LeftProgram = { readonly id: number; readonly incarnation: number; readonly version: number };

const NOBODY = {
  echo: 0,
  incarnation: 0,
  version: 0,
  time: 0,
  isPastDeadline: false,
  heardNs: 0n,
  pledgeEcho: 0n,
  pledgedNs: 0n,
  pledgedVersion: 0,
  copyRound: 0,
  copyAcked: 0,
};
const NO_PAGE = { messages: [], cursor: undefined };

/** `left`: as a daemon before has left it; without it the tables are empty. */
export function fakeProgram(left?: LeftProgram) {
  const self = { id: 0, incarnation: 1, version: 0, deadline: 0n, timeOffset: 0, ...left };
  const places = new Map<number, Uint8Array>();
  const deadline = {
    atMs: 0 as number | undefined,
    set: (atMs: number | undefined) => {
      deadline.atMs = atMs;
    },
    pass: () => deadline.set(0),
  };
  const fake = {
    flowOrigin: left === undefined ? 'fresh' : 'adopted',
    self,
    deadline,
    clock: { ready: async () => undefined, nowNs: () => process.hrtime.bigint() },
    peerStates: { state: () => NOBODY, beginCopyRound: () => undefined },
    askKeys: {
      used: 0,
      places: () => [...places.keys()],
      install: async (id: number, key: Uint8Array) => void places.set(id % 4, key),
      use: (id: number) => {
        fake.askKeys.used = id;
      },
      remove: async (id: number) => void places.delete(id % 4),
    },
    flows: {
      composeProbe: () => new Uint8Array(),
      sweep: () => NO_PAGE,
      sweepCache: () => NO_PAGE,
      beginCensus: () => undefined,
      census: () => undefined,
      copy: () => NO_PAGE,
      refresh: () => NO_PAGE,
    },
    unrecordedNs: () => 0n,
    beginIncarnation: async (incarnation: number) => {
      self.incarnation = incarnation;
    },
  };
  return fake as unknown as MuxProgram & { self: typeof self };
}
