// Owns making keys, authorities and certificates: X.509 by @peculiar/x509, which only who signs loads. Who may have which
// certificate is decided elsewhere.
import {
  createHash,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  webcrypto,
  X509Certificate,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { Extension } from '@peculiar/x509';
import { Failure } from '../lib/failure.ts';
import {
  AUTHORITY_MS,
  type CertificateName,
  CLOCK_MARGIN_MS,
  formatCertificateName,
} from './identity_core.ts';

const CURVE = 'P-256';
const SIGNING = { name: 'ECDSA', namedCurve: CURVE, hash: 'SHA-256' } as const;
const SERIAL_BYTES = 16;
const PUBLIC_KEY_CHARACTERS_MAX = 1_024;
/** subjectAltName of a certificate that a node serves with. */
export const CERTIFICATE_ADDRESSES_MAX = 8;

/** PEM. */
export type KeyPair = { readonly publicKey: string; readonly key: string };
/** PEM. */
export type Authority = { readonly certificate: string; readonly key: string };
export type Certificate = {
  readonly certificate: string;
  readonly serial: string;
  readonly notAfterMs: number;
};

export async function makeKeyPair(): Promise<KeyPair> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: CURVE });
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** `number`: 1 for the first of a cluster. */
export async function makeAuthority(cluster: string, number: number, nowMs: number): Promise<Authority> {
  const { publicKey, key } = await makeKeyPair();
  const subject = authorityName(cluster, number);
  const { certificate } = await sign({
    publicKey,
    subject,
    issuer: subject,
    issuerKey: key,
    isAuthority: true,
    nowMs,
  });
  return { certificate, key };
}

/** The key of `next` in a certificate by `former`. */
export async function crossCertify(former: Authority, next: Authority, nowMs: number): Promise<string> {
  const { publicKey, subject } = new X509Certificate(next.certificate);
  const { certificate } = await sign({
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    subject,
    ...issuedBy(former),
    isAuthority: true,
    nowMs,
  });
  return certificate;
}

/** A node may serve and ask, a user ask. `addresses`: those that the node is reached at. */
export async function certify(
  authority: Authority,
  publicKey: string,
  name: CertificateName,
  { lifeMs, nowMs, addresses = [] }: { lifeMs: number; nowMs: number; addresses?: readonly string[] },
): Promise<Certificate> {
  return await sign({
    publicKey: checkedPublicKey(publicKey),
    subject: `CN=${name.name}, O=holdfast ${name.kind}`,
    ...issuedBy(authority),
    name,
    addresses: addresses.slice(0, CERTIFICATE_ADDRESSES_MAX),
    lifeMs,
    nowMs,
  });
}

/** @throws Failure `invalid` for what is no key of the kind that certificates are made for. */
export function checkedPublicKey(text: string): string {
  let key: KeyObject | undefined;
  try {
    if (text.length <= PUBLIC_KEY_CHARACTERS_MAX) key = createPublicKey(text);
  } catch {
    // Said below.
  }
  if (key?.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') {
    return key.export({ type: 'spki', format: 'pem' }) as string;
  }
  throw new Failure('invalid', 'that is no public key for a certificate', {
    reason: 'It must be PEM of a key on the curve P-256.',
  });
}

/** SHA-256 of the whole certificate. */
export function fingerprintOf(certificate: string): Uint8Array {
  return createHash('sha256').update(new X509Certificate(certificate).raw).digest();
}

function authorityName(cluster: string, number: number): string {
  return `CN=holdfast ${cluster} authority ${number}`;
}

function issuedBy({ certificate, key }: Authority): {
  issuer: string;
  issuerKey: string;
  issuerCertificate: string;
} {
  return { issuer: new X509Certificate(certificate).subject, issuerKey: key, issuerCertificate: certificate };
}

type Wish = {
  readonly publicKey: string;
  readonly subject: string;
  readonly issuer: string;
  readonly issuerKey: string;
  readonly issuerCertificate?: string;
  readonly isAuthority?: boolean;
  readonly name?: CertificateName;
  readonly addresses?: readonly string[];
  readonly lifeMs?: number;
  readonly nowMs: number;
};

async function sign(wish: Wish): Promise<Certificate> {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const { subtle } = webcrypto;
  const signingKey = await subtle.importKey('pkcs8', derOf(wish.issuerKey), SIGNING, false, ['sign']);
  const publicKey = await subtle.importKey('spki', derOf(wish.publicKey), SIGNING, true, ['verify']);
  const serial = randomBytes(SERIAL_BYTES);
  // Positive and without a zero in front, so that all write it alike.
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  const notBeforeMs = wish.nowMs - CLOCK_MARGIN_MS;
  // Certificates have whole seconds.
  const notAfterMs = Math.floor((wish.nowMs + (wish.lifeMs ?? AUTHORITY_MS)) / 1_000) * 1_000;
  const { digitalSignature, keyCertSign, cRLSign } = x509.KeyUsageFlags;
  const usages = x509.ExtendedKeyUsage;
  const isNode = wish.name?.kind === 'node';
  const extensions: Extension[] = [
    // One step below the first authority stands the next one, as the first has certified it.
    new x509.BasicConstraintsExtension(wish.isAuthority === true, wish.isAuthority ? 1 : undefined, true),
    new x509.KeyUsagesExtension(wish.isAuthority ? keyCertSign | cRLSign : digitalSignature, true),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
  ];
  if (wish.issuerCertificate !== undefined) {
    const issuer = new x509.X509Certificate(wish.issuerCertificate);
    extensions.push(await x509.AuthorityKeyIdentifierExtension.create(issuer));
  }
  if (wish.name !== undefined) {
    extensions.push(
      new x509.ExtendedKeyUsageExtension(
        isNode ? [usages.serverAuth, usages.clientAuth] : [usages.clientAuth],
      ),
      new x509.SubjectAlternativeNameExtension([
        { type: 'url', value: formatCertificateName(wish.name) },
        ...(wish.addresses ?? []).map((value) => ({ type: 'ip' as const, value })),
      ]),
    );
  }
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: serial.toString('hex'),
    subject: wish.subject,
    issuer: wish.issuer,
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    publicKey,
    signingKey,
    signingAlgorithm: SIGNING,
    extensions,
  });
  return {
    certificate: `${made.toString('pem')}\n`,
    serial: serial.toString('hex').toUpperCase(),
    notAfterMs,
  };
}

function derOf(pem: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(pem.replace(/-----[A-Z ]+-----/g, ''), 'base64'));
}
