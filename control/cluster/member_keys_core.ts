// Owns how the keys of in-band headers change: one state after the other, each only when every member has the one
// before. Pure. Not here: the store (member_store.ts), writing keys to the program (member.ts).
//
//   use a ──rotate──▶ a and b known, sign with a ──▶ a and b known, sign with b ──▶ only b known
//
// So at no time does a mux sign with a key that another does not know.

/** Of ids; the program keeps a key at its id modulo 4, and at most two are known at a time. */
const KEY_IDS = 256;
/** What was signed with the key before may be on its way for so long: headers older are not accepted either. */
export const KEY_LINGER_MS = 5_000;
export const KEY_BYTES = 16;

export type AskKey = {
  readonly id: number;
  /** KEY_BYTES, base64. */
  readonly secret: string;
};

export type AskKeyRing = {
  /** Grows with each change: what members say they have. */
  readonly step: number;
  /** One or two. */
  readonly keys: readonly AskKey[];
  /** Id of the one to sign with. */
  readonly use: number;
  /** When the newest key was made, milliseconds since the epoch; absent: an older Holdfast made it. */
  readonly madeAtMs?: number;
};

export function firstRing(secret: string, madeAtMs: number): AskKeyRing {
  return { step: 1, keys: [{ id: 0, secret }], use: 0, madeAtMs };
}

/** A new key to be known; undefined where a change is under way already. */
export function rotate(ring: AskKeyRing, secret: string, madeAtMs: number): AskKeyRing | undefined {
  if (ring.keys.length !== 1) return undefined;
  const id = (ring.use + 1) % KEY_IDS;
  return { step: ring.step + 1, keys: [...ring.keys, { id, secret }], use: ring.use, madeAtMs };
}

/** One state came of the other, or both of one: muxes at either understand each other. */
export function isSameLine(a: AskKeyRing, b: AskKeyRing): boolean {
  return a.keys.some(({ id, secret }) => b.keys.some((it) => it.id === id && it.secret === secret));
}

export type KeyHolder = { readonly name: string; readonly incarnation: number };
/** Up to which step muxes say they are, by name. */
export type KnownSteps = ReadonlyMap<string, { readonly incarnation: number; readonly step: number }>;

/** Those that do not have the ring yet. */
export function lacking<T extends KeyHolder>(
  { step }: AskKeyRing,
  holders: readonly T[],
  known: KnownSteps,
): T[] {
  return holders.filter(({ name, incarnation }) => {
    const it = known.get(name);
    return it === undefined || it.incarnation !== incarnation || it.step < step;
  });
}

/**
 * The ring after this one, where it is time; undefined: nothing to do, or somebody is waited for. `completeMs`: for how
 * long all have had it.
 */
export function nextRing(
  ring: AskKeyRing,
  holders: readonly KeyHolder[],
  known: KnownSteps,
  completeMs: number,
): AskKeyRing | undefined {
  const newest = ring.keys.at(-1)!;
  if (ring.keys.length === 1 || lacking(ring, holders, known).length > 0) return undefined;
  const step = ring.step + 1;
  if (ring.use !== newest.id) return { ...ring, step, use: newest.id };
  // From the moment on when nobody signs with the old one.
  if (completeMs < KEY_LINGER_MS) return undefined;
  return { ...ring, step, keys: [newest] };
}

export type KeyOperation =
  | { readonly kind: 'install'; readonly id: number; readonly secret: string }
  | { readonly kind: 'use'; readonly id: number }
  | { readonly kind: 'remove'; readonly id: number };

/** The program keeps a key at its id modulo this. */
const KEY_PLACES = 4;

/**
 * What brings a program that has keys at `places` and signs with `used` to the ring, in this order. To install what is
 * installed changes nothing.
 */
export function keyOperations(ring: AskKeyRing, places: readonly number[], used: number): KeyOperation[] {
  const wanted = new Set(ring.keys.map(({ id }) => id % KEY_PLACES));
  return [
    ...ring.keys.map(({ id, secret }) => ({ kind: 'install' as const, id, secret })),
    ...(used === ring.use ? [] : [{ kind: 'use' as const, id: ring.use }]),
    ...places.filter((place) => !wanted.has(place)).map((id) => ({ kind: 'remove' as const, id })),
  ];
}
