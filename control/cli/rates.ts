// Owns what changed between two counts: rates per second, and who moved most. Pure.
import type { Stats, Traffic } from '../api/schema.ts';

/** Counts, or rates per second: of the same shape. */
export type Figures = {
  readonly packets: Readonly<Record<string, number>>;
  readonly reasons: Readonly<Record<string, number>>;
  readonly services: readonly (Traffic & { readonly name: string })[];
  readonly backends: readonly (Traffic & { readonly pool: string; readonly name: string })[];
};

export type Rates = Figures & {
  readonly atMs: number;
  /** Between the two counts. */
  readonly seconds: number;
};

export function ratesBetween(before: Stats, after: Stats): Rates {
  const seconds = Math.max(0.001, (after.atMs - before.atMs) / 1000);
  // A count that is lower began anew: with new tables, or another object of this name.
  const perSecond = (was = 0, is: number) => (is >= was ? is - was : is) / seconds;
  const each = (was: Readonly<Record<string, number>>, is: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.entries(is).map(([name, value]) => [name, perSecond(was[name], value)]));
  const traffic = <T extends Traffic>(was: Traffic | undefined, is: T): T => ({
    ...is,
    packets: perSecond(was?.packets, is.packets),
    bytes: perSecond(was?.bytes, is.bytes),
    newFlows: perSecond(was?.newFlows, is.newFlows),
  });
  const services = new Map(before.services.map((it) => [it.name, it]));
  const backends = new Map(before.backends.map((it) => [`${it.pool}/${it.name}`, it]));
  return {
    atMs: after.atMs,
    seconds,
    packets: each(before.packets, after.packets),
    reasons: each(before.reasons, after.reasons),
    services: after.services.map((it) => traffic(services.get(it.name), it)),
    backends: after.backends.map((it) => traffic(backends.get(`${it.pool}/${it.name}`), it)),
  };
}

export type Mover = { readonly what: string; readonly was: number; readonly is: number };

/** Packets a second: what moved by less is noise. */
const MOVE_MIN = 1;
const MOVE_SHARE_MIN = 0.1;

/** Whose packets per second changed most, the largest change first. */
export function moversBetween(before: Rates, after: Rates, most: number): Mover[] {
  const was = named(before);
  const all = [...named(after)].map(([what, is]) => ({ what, was: was.get(what) ?? 0, is }));
  return all
    .filter((it) => changeOf(it) >= Math.max(MOVE_MIN, MOVE_SHARE_MIN * Math.max(it.was, it.is)))
    .sort((one, other) => changeOf(other) - changeOf(one))
    .slice(0, most);
}

function named({ reasons, services, backends }: Figures): Map<string, number> {
  return new Map([
    ...Object.entries(reasons),
    ...services.map(({ name, packets }) => [`service ${name}`, packets] as const),
    ...backends.map(({ pool, name, packets }) => [`backend ${pool}/${name}`, packets] as const),
  ]);
}

function changeOf({ was, is }: Mover): number {
  return Math.abs(is - was);
}
