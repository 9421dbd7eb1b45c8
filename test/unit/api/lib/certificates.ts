// Owns certificates for tests, made by the openssl command: authorities, and what they sign.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of PEM files. */
export type Certified = { readonly certificate: string; readonly key: string };

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export function makeAuthority(directory: string, name: string): Certified {
  const made = { certificate: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) };
  openssl(
    ...['req', '-x509', ...NEW_KEY, '-keyout', made.key, '-out', made.certificate, '-days', '2'],
    ...['-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:TRUE'],
  );
  return made;
}

export function certify(
  directory: string,
  authority: Certified,
  name: string,
  {
    usage = 'clientAuth',
    days = 2,
    addresses = ['127.0.0.1', '::1'],
  }: {
    usage?: 'clientAuth' | 'serverAuth' | 'serverAuth,clientAuth';
    days?: number;
    addresses?: readonly string[];
  } = {},
): Certified {
  const made = { certificate: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) };
  const request = join(directory, `${name}.csr`);
  const extensions = join(directory, `${name}.ext`);
  const names = addresses.map((it) => `IP:${it}`).join();
  writeFileSync(extensions, `extendedKeyUsage=${usage}\nsubjectAltName=${names}\n`);
  openssl('req', '-new', ...NEW_KEY, '-keyout', made.key, '-out', request, '-subj', `/CN=${name}`);
  openssl(
    ...[
      'x509',
      '-req',
      '-in',
      request,
      '-CA',
      authority.certificate,
      '-CAkey',
      authority.key,
      '-CAcreateserial',
    ],
    ...['-out', made.certificate, '-days', `${days}`, '-extfile', extensions],
  );
  return made;
}
