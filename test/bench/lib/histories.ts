// Owns the histories of the consistency benchmark: what changes while flows are open. The same for every policy.
import type { Action } from '../../sim/protocol/actions.ts';
import { GAPS_NS } from '../../sim/protocol/client.ts';
import { SECOND } from '../../sim/protocol/place.ts';
import type { Traffic, Weather } from '../../sim/protocol/world.ts';

export const MUXES = 4;
export const FIRST_HOSTS = [0, 1, 2, 3];

export const WEATHER: Weather = { loss: 0, duplicate: 0, delayNs: 100_000, jitterNs: 50_000 };

/** Flows of 40 to 120 packets, a few seconds to half a minute long. Only TCP: not every policy knows other flows. */
export const TRAFFIC: Traffic = {
  habits: {
    packets: [40, 80, 120],
    gapsNs: [GAPS_NS.busy, GAPS_NS.busy * 2, GAPS_NS.usual],
    slowAnswers: 0,
    icmpErrors: 0,
    fragments: 0,
  },
  flowsPerSecond: 100,
  // Our muxes find each other first; the others have nothing to find.
  beginNs: 2 * SECOND,
  services: ['http'],
  endNs: 90 * SECOND,
  tuples: 0,
  spray: 0,
};

const at = (seconds: number) => seconds * SECOND;
const add = (seconds: number, host: number): Action => ({
  kind: 'edit',
  atNs: at(seconds),
  edits: [{ host, weight: 100 }],
});
const drain = (seconds: number, host: number): Action => ({
  kind: 'edit',
  atNs: at(seconds),
  edits: [{ host, weight: 0 }],
});
const remove = (seconds: number, host: number): Action => ({
  kind: 'edit',
  atNs: at(seconds),
  edits: [{ host }],
});
const reshuffle = (seconds: number): Action => ({ kind: 'reshuffle', atNs: at(seconds), salt: seconds });

/** Flows are open from the first second on. */
export const HISTORIES: Readonly<Record<string, readonly Action[]>> = {
  'server added': [add(20, 4)],
  'server drained': [drain(20, 1)],
  'server removed': [drain(20, 1), remove(25, 1)],
  'two changes, close together': [add(20, 4), drain(24, 1)],
  'mux dies': [{ kind: 'crash', atNs: at(20), mux: 1 }],
  'mux joins': [{ kind: 'join', atNs: at(20), mux: MUXES }],
  'router reshuffles': [reshuffle(20), reshuffle(40)],
  'server added, router reshuffles': [add(20, 4), reshuffle(22)],
  'server drained, mux dies': [drain(20, 1), { kind: 'crash', atNs: at(21), mux: 1 }],
  'server added, mux joins': [add(20, 4), { kind: 'join', atNs: at(23), mux: MUXES }],
  'changes and reshuffles': [
    add(20, 4),
    reshuffle(21),
    drain(24, 1),
    reshuffle(27),
    add(30, 5),
    reshuffle(34),
    drain(38, 2),
    reshuffle(41),
  ],
};
