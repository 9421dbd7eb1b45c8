// Owns what a target's connections must be given: who may log in to what, randomness, hashes. They are implemented where
// there is a store, a random number generator and a cryptographic library.
import type { LoginStatusName } from '../codec/constants.ts';

/** The address that an initiator connected to, as it is told in TargetAddress. */
export interface Portal {
  /** An address or name; one of IPv6 in brackets (RFC 7143, section 13.8). */
  readonly address: string;
  readonly port: number;
  /** TargetPortalGroupTag. */
  readonly tag: number;
}

export interface ChapSecret {
  /** CHAP_N. */
  readonly name: string;
  readonly secret: Uint8Array;
}

/** An initiator may log in. */
export interface Grant {
  /** What the initiator must know. Without it nobody is asked who they are. */
  readonly secret?: ChapSecret;
  /** What the target answers with if the initiator asks it, too (mutual CHAP). */
  readonly mutual?: ChapSecret;
  readonly targetAlias?: string;
}

/** An initiator may not. A target that moved says where to. */
export interface Refusal {
  readonly refused: Extract<
    LoginStatusName,
    | 'AUTHORIZATION_FAILURE'
    | 'NOT_FOUND'
    | 'TARGET_REMOVED'
    | 'SERVICE_UNAVAILABLE'
    | 'TARGET_MOVED_TEMPORARILY'
    | 'TARGET_MOVED_PERMANENTLY'
  >;
  readonly targetAddress?: string;
}

export interface DiscoveredTarget {
  readonly name: string;
  readonly portals: readonly Portal[];
}

export interface Authority {
  /** Undefined target: a discovery session. Secrets of both must not be the same (RFC 7143, section 9.2.1). */
  authorize(initiatorName: string, targetName: string | undefined, portal: Portal): Grant | Refusal;
  /** Targets that this initiator may log in to. */
  targets(initiatorName: string, portal: Portal): readonly DiscoveredTarget[];
}

/** What a target begins with: strangers reach nothing, and learn of nothing. */
export const NO_GRANTS: Authority = {
  authorize: (_initiator, targetName) => ({
    refused: targetName === undefined ? 'AUTHORIZATION_FAILURE' : 'NOT_FOUND',
  }),
  targets: () => [],
};

/** Values of CHAP_A (IANA, "PPP Authentication Algorithms"), strongest first. */
export const CHAP_HASHES = { 'SHA3-256': 8, 'SHA-256': 7, MD5: 5 } as const;
export type ChapHash = keyof typeof CHAP_HASHES;

export interface Cryptography {
  random(count: number): Uint8Array;
  hash(algorithm: ChapHash, bytes: Uint8Array): Uint8Array;
}
