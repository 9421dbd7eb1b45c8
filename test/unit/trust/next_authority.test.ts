// Whom a node believes as the next authority: only what the one before has certified as one.
import { expect, it } from 'vitest';
import { isCertified } from '../../../control/trust/certificates.ts';
import {
  type Authority,
  certify,
  crossCertify,
  makeAuthority,
  makeKeyPair,
} from '../../../control/trust/issue.ts';

const CLUSTER = '0123456789abcdef';
const NOW_MS = Date.now();

async function two(): Promise<{ former: Authority; next: Authority; cross: string }> {
  const former = await makeAuthority(CLUSTER, 1, NOW_MS);
  const next = await makeAuthority(CLUSTER, 2, NOW_MS);
  return { former, next, cross: await crossCertify(former, next, NOW_MS) };
}

it('is the one that the former has certified', async () => {
  const { former, next, cross } = await two();
  expect(isCertified(next.certificate, cross, [former.certificate])).toBe(true);
  expect(isCertified(next.certificate, undefined, [former.certificate])).toBe(false);
  expect(isCertified(next.certificate, cross, [next.certificate])).toBe(false);
  const other = await makeAuthority(CLUSTER, 2, NOW_MS);
  expect(isCertified(other.certificate, cross, [former.certificate])).toBe(false);
});

it('is no node, which has a certificate of the former for its key as well', async () => {
  const { former } = await two();
  const { publicKey, key } = await makeKeyPair();
  const name = { cluster: CLUSTER, kind: 'node', name: 'web1' } as const;
  const { certificate } = await certify(former, publicKey, name, { lifeMs: 86_400_000, nowMs: NOW_MS });
  expect(isCertified(certificate, certificate, [former.certificate])).toBe(false);
  // What the node certifies itself as an authority, with that key.
  const own = await crossCertify({ certificate, key }, { certificate, key }, NOW_MS);
  expect(isCertified(own, certificate, [former.certificate])).toBe(false);
  expect(isCertified(own, own, [former.certificate])).toBe(false);
});

it('is none that was certified under another name than that of the former', async () => {
  const { former, next } = await two();
  const renamed = await makeAuthority(CLUSTER, 3, NOW_MS);
  const cross = await crossCertify({ ...renamed, key: former.key }, next, NOW_MS);
  expect(isCertified(next.certificate, cross, [former.certificate])).toBe(false);
});
