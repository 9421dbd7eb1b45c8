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
};

export function firstRing(secret: string): AskKeyRing {
  return { step: 1, keys: [{ id: 0, secret }], use: 0 };
}

/** A new key to be known; undefined where a change is under way already. */
export function rotate(ring: AskKeyRing, secret: string): AskKeyRing | undefined {
  if (ring.keys.length !== 1) return undefined;
  const id = (ring.use + 1) % KEY_IDS;
  return { step: ring.step + 1, keys: [...ring.keys, { id, secret }], use: ring.use };
}

/** One state came of the other, or both of one: muxes at either understand each other. */
export function isSameLine(a: AskKeyRing, b: AskKeyRing): boolean {
  return a.keys.some(({ id, secret }) => b.keys.some((it) => it.id === id && it.secret === secret));
}

export type KeyHolder = { readonly name: string; readonly incarnation: number };

/**
 * The ring after this one, where it is time; undefined: nothing to do, or somebody is waited for. `holders` say up to
 * which step they are; `sinceMs`: how long ago the ring became this one, as far as the caller knows.
 */
export function nextRing(
  ring: AskKeyRing,
  members: readonly KeyHolder[],
  holders: readonly (KeyHolder & { readonly step: number })[],
  sinceMs: number,
): AskKeyRing | undefined {
  const newest = ring.keys.at(-1)!;
  if (ring.keys.length === 1) return undefined;
  const have = (member: KeyHolder) =>
    holders.some(
      ({ name, incarnation, step }) =>
        name === member.name && incarnation === member.incarnation && step >= ring.step,
    );
  if (!members.every(have)) return undefined;
  if (ring.use !== newest.id) return { ...ring, step: ring.step + 1, use: newest.id };
  if (sinceMs < KEY_LINGER_MS) return undefined;
  return { step: ring.step + 1, keys: [newest], use: newest.id };
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
