// Owns what a node shows in TLS, and whom it believes there: from its identity, and without a file.
import { X509Certificate } from 'node:crypto';
import type { NodeIdentity } from './identity_file.ts';

/** PEM, as Node.js takes them. */
export type TlsIdentity = {
  readonly cert: string;
  readonly key: string;
  readonly ca: readonly string[];
  readonly expiresAtMs: number;
};

/**
 * While an authority is being replaced, the next one as the one before has certified it: who believes only that one can
 * follow. The oldest that is believed comes last, for who joins knows it by its fingerprint.
 */
export function tlsIdentityOf(identity: NodeIdentity): TlsIdentity {
  const { certificate, key, authorities, cross } = identity;
  const isBetween = authorities.length > 1 && identity.authority !== authorities[0]!.id;
  const chain = [
    certificate,
    ...(isBetween && cross !== undefined ? [cross] : []),
    authorities[0]!.certificate,
  ];
  return {
    cert: chain.map(ended).join(''),
    key,
    ca: authorities.map((it) => it.certificate),
    expiresAtMs: Date.parse(new X509Certificate(certificate).validTo),
  };
}

/**
 * Whether the one before, which is believed, has certified the one that is said to be the next: as an authority. It certifies
 * keys of nodes and users as well, and those make none.
 */
export function isCertified(next: string, cross: string | undefined, believed: readonly string[]): boolean {
  if (cross === undefined) return false;
  const certificate = new X509Certificate(next);
  const by = new X509Certificate(cross);
  const spki = (it: X509Certificate) => it.publicKey.export({ type: 'spki', format: 'der' });
  if (!certificate.ca || !by.ca || certificate.subject !== by.subject) return false;
  if (Buffer.compare(spki(certificate), spki(by)) !== 0) return false;
  return believed.some((it) => isSignedBy(by, new X509Certificate(it)));
}

/** Also by name: a library checks no more than what it is asked. */
export function isSignedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.issuer === authority.subject && certificate.verify(authority.publicKey);
}

function ended(pem: string): string {
  return pem.endsWith('\n') ? pem : `${pem}\n`;
}
