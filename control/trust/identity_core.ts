// Owns who a certificate of the cluster is for, as its URI says, and how long certificates live. Pure. Not here: making
// certificates (issue.ts), whether one still counts (trust_view.ts).
//
//   holdfast:CLUSTER/node/NAME    a daemon; it serves the API and asks others
//   holdfast:CLUSTER/user/NAME    somebody who asks

type IdentityKind = 'node' | 'user';

export type CertificateName = {
  /** Of the cluster: CLUSTER_ID_BYTES, hexadecimal. */
  readonly cluster: string;
  readonly kind: IdentityKind;
  readonly name: string;
};

export const CLUSTER_ID_BYTES = 8;
const DAY_MS = 86_400_000;
export const NODE_CERTIFICATE_MS = 30 * DAY_MS;
export const USER_CERTIFICATE_DAYS = 365;
export const AUTHORITY_MS = 3_650 * DAY_MS;
/** Certificates begin before they are made, by as much as clocks may differ. */
export const CLOCK_MARGIN_MS = 10 * 60_000;
/** For so long the certificate before the newest counts as well. */
const SUPERSEDED_MS = 10 * 60_000;
/** A node's certificate is replaced when this share of its life is over. */
const RENEW_SHARE = 2 / 3;

const PATTERN = /^holdfast:([0-9a-f]{16})\/(node|user)\/([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)$/;
const URIS_MAX = 16;

export function formatCertificateName({ cluster, kind, name }: CertificateName): string {
  return `holdfast:${cluster}/${kind}/${name}`;
}

/** `altNames` as Node.js writes them. Undefined where it is no certificate of a cluster of ours. */
export function parseAltNames(altNames: string | undefined): CertificateName | undefined {
  // A value with a comma or a quote is quoted; none of ours has any.
  const uris = (altNames ?? '')
    .split(', ', URIS_MAX)
    .filter((it) => it.startsWith('URI:'))
    .map((it) => it.slice('URI:'.length));
  return uris.length === 1 ? parseCertificateName(uris[0]!) : undefined;
}

function parseCertificateName(uri: string): CertificateName | undefined {
  const [, cluster, kind, name] = PATTERN.exec(uri) ?? [];
  if (cluster === undefined || kind === undefined || name === undefined) return undefined;
  return { cluster, kind: kind as IdentityKind, name };
}

/** A certificate, as the store remembers it. */
export type IssuedCertificate = {
  /** Hexadecimal, upper case, as Node.js writes it. */
  readonly serial: string;
  /** Id of the authority that signed it. */
  readonly authority: number;
  /** Of the authority, when it was signed. */
  readonly epoch: number;
  readonly madeAtMs: number;
  readonly notAfterMs: number;
};

/** What is wanted of certificates now; see authority_core.ts. */
export type Wanted = { readonly issuing: number; readonly epoch: number };

/** When it is to be replaced, whatever else happens. */
function renewAtMs({ madeAtMs, notAfterMs }: IssuedCertificate): number {
  return madeAtMs + (notAfterMs - madeAtMs) * RENEW_SHARE;
}

export function isDue(certificate: IssuedCertificate, wanted: Wanted, nowMs: number): boolean {
  return (
    certificate.authority !== wanted.issuing ||
    certificate.epoch < wanted.epoch ||
    nowMs >= renewAtMs(certificate) ||
    isAhead(certificate, nowMs)
  );
}

/** The clock that made it was ahead, or this one was put back: it is not valid yet. */
function isAhead({ madeAtMs }: IssuedCertificate, nowMs: number): boolean {
  return madeAtMs > nowMs + CLOCK_MARGIN_MS;
}

/**
 * The newest counts; the one before for as long as it takes to put the newest in its place. Of a newest one that is ahead
 * nobody knows how long ago that began.
 */
export function counts(certificates: readonly IssuedCertificate[], serial: string, nowMs: number): boolean {
  const newest = certificates.at(-1);
  if (newest === undefined) return false;
  if (newest.serial === serial) return true;
  if (isAhead(newest, nowMs) || nowMs >= newest.madeAtMs + SUPERSEDED_MS) return false;
  return certificates.some((it) => it.serial === serial);
}
