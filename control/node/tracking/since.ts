// Owns since when what is not as it should be has been so, as this node saw it: nobody writes that down. Pure.
import { lacking } from '../../cluster/member_keys_core.ts';
import { copyingMembers } from './doctor_question.ts';
import { keyHoldersOf, type Picture } from './picture.ts';

type Times = Map<string, number>;

export class Since {
  readonly #gone: Times = new Map();
  readonly #lacking: Times = new Map();
  readonly #copying: Times = new Map();

  /** To be called whenever the head or what muxes say has changed. */
  observe(picture: Picture): void {
    const { head, muxes, nowMs } = picture;
    const names = new Set([...muxes.ids.values(), ...(head?.members ?? []).map(({ name }) => name)]);
    keep(
      this.#gone,
      [...names].filter((name) => !muxes.registrations.has(name)),
      nowMs,
    );
    const { ring } = muxes;
    const late = ring === undefined ? [] : lacking(ring, keyHoldersOf(head, muxes), muxes.knownKeys);
    keep(
      this.#lacking,
      late.map(({ name }) => `${name} ${ring!.step}`),
      nowMs,
    );
    keep(
      this.#copying,
      copyingMembers(picture).map(({ key }) => key),
      nowMs,
    );
  }

  /** Muxes without a registration, by name. */
  get gone(): ReadonlyMap<string, number> {
    return this.#gone;
  }

  /** For how long a mux has not had a step of the keys. */
  lackingForMs(name: string, step: number, nowMs: number): number {
    return nowMs - (this.#lacking.get(`${name} ${step}`) ?? nowMs);
  }

  /** For how long a copy (key of copyingMembers()) has been under way. */
  copyingForMs(key: string, nowMs: number): number {
    return nowMs - (this.#copying.get(key) ?? nowMs);
  }
}

function keep(times: Times, now: readonly string[], nowMs: number): void {
  const known = new Set(now);
  for (const key of times.keys()) if (!known.has(key)) times.delete(key);
  for (const key of known) if (!times.has(key)) times.set(key, nowMs);
}
