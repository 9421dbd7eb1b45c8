// Owns what a history is made of. All of it follows from these values; chance is drawn from the seed.
import { MS, SECOND } from './port.ts';

/** Of one way; probabilities of each packet. Packets closer together than the jitter overtake each other. */
export type Weather = {
  readonly loss: number;
  readonly duplicate: number;
  readonly delayNs: number;
  readonly jitterNs: number;
};

export type Action =
  | { readonly kind: 'move'; readonly atNs: number; readonly bucket: number; readonly to: number }
  | { readonly kind: 'crash' | 'join' | 'drain'; readonly atNs: number; readonly server: number }
  | { readonly kind: 'hang'; readonly atNs: number; readonly server: number; readonly forNs: number };

export type Scenario = {
  readonly seed: number;
  readonly servers: number;
  readonly buckets: number;
  readonly seconds: number;
  readonly traffic: {
    readonly protocol: 'tcp' | 'udp';
    /** By client, or by 5-tuple. */
    readonly isAffine: boolean;
    readonly clients: number;
    /** One after the other, so many side by side. */
    readonly connections: number;
    readonly packets: readonly number[];
    readonly gapsNs: readonly number[];
    /** From the end of a connection to the next one. */
    readonly pausesNs: readonly number[];
    /** A server's answer takes up to so long. */
    readonly answerNs: number;
  };
  readonly settings: { readonly timeoutNs: number; readonly affinitiesMax: number };
  readonly outside: Weather;
  readonly inside: Weather;
  /** A server has a version up to so much later than it was published. */
  readonly lagNs: number;
  /** Buckets change their server about so often; 0: never. */
  readonly moveEveryNs: number;
  readonly actions: readonly Action[];
  /** Not where packets are on their way for longer than a change takes: then a client has to send again. */
  readonly judgesUnanswered: boolean;
};

export const CALM: Weather = { loss: 0, duplicate: 0, delayNs: MS, jitterNs: 3 * MS };

/** Many clients of a few servers; buckets move all the time. */
export function plain(seed: number): Scenario {
  return {
    seed,
    servers: 4,
    buckets: 3,
    seconds: 60,
    traffic: {
      protocol: 'tcp',
      isAffine: true,
      clients: 40,
      connections: 2,
      packets: [2, 5, 20],
      gapsNs: [30 * MS, 300 * MS, 2 * SECOND, 5 * SECOND],
      pausesNs: [20 * MS, 500 * MS, 3 * SECOND, 15 * SECOND],
      answerNs: MS,
    },
    settings: { timeoutNs: 10 * SECOND, affinitiesMax: 1_000 },
    outside: CALM,
    inside: CALM,
    lagNs: 60 * MS,
    moveEveryNs: 300 * MS,
    actions: [],
    judgesUnanswered: true,
  };
}
