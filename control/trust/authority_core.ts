// Owns how the cluster's authority is replaced: the next one signs while the one before is still believed, until nobody has
// a certificate of it. Pure. Not here: keys and certificates themselves (issue.ts).
//
//   1 signs ──rotate──▶ 1 and 2 are believed, 2 signs ──all nodes and users have one of 2──▶ 2 signs
//
// Meanwhile a certificate comes with the next authority's own, signed by the one before: who knows only that one believes
// it as well, so nobody has to learn of it first.
import type { IssuedCertificate, Wanted } from './identity_core.ts';

type AuthorityCertificate = {
  /** 1, 2, … */
  readonly id: number;
  /** PEM. */
  readonly certificate: string;
};

export type AuthorityState = Wanted & {
  /** Of the cluster. */
  readonly cluster: string;
  /** Those that are believed: one, or the one before and the one that signs. */
  readonly authorities: readonly AuthorityCertificate[];
  /** The key of the one that signs, certified by the one before it: for who was away meanwhile, too. PEM. */
  readonly cross?: string | undefined;
};

/** All certificates of nodes are to be made anew. */
export function withNextEpoch(state: AuthorityState): AuthorityState {
  return { ...state, epoch: state.epoch + 1 };
}

/** Undefined while an authority is being replaced already. */
export function withNextAuthority(
  state: AuthorityState,
  certificate: string,
  cross: string,
): AuthorityState | undefined {
  if (state.authorities.length !== 1) return undefined;
  const id = state.issuing + 1;
  return {
    ...state,
    epoch: state.epoch + 1,
    issuing: id,
    authorities: [...state.authorities, { id, certificate }],
    cross,
  };
}

export type Holder = { readonly name: string; readonly certificates: readonly IssuedCertificate[] };

/**
 * Those whose newest certificate is of another authority than the one that signs. Also where it has ended by the clock of this
 * host: a clock that is wrong for a moment would have an authority forgotten for good.
 */
export function holdersOfFormer<T extends Holder>({ issuing }: Wanted, holders: readonly T[]): T[] {
  return holders.filter(({ certificates }) => {
    const newest = certificates.at(-1);
    return newest !== undefined && newest.authority !== issuing;
  });
}

/** Undefined: there is none to forget. */
export function withoutFormer(state: AuthorityState): AuthorityState | undefined {
  if (state.authorities.length === 1) return undefined;
  return { ...state, authorities: state.authorities.filter(({ id }) => id === state.issuing) };
}
