// Owns the file that a user of the API is handed: where the cluster is, and with which certificate to ask. `users add` writes
// it; --profile reads it. It has a private key, so it is for its owner alone.
import { X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import type { PeerCertificate } from 'node:tls';
import type { Endpoint } from '../api/client.ts';
import { Failure } from '../lib/failure.ts';
import { fileFailure } from './files.ts';

const FORMAT = 1;
const BYTES_MAX = 64 << 10;
const USABLE_BY_OTHERS = 0o077;
/** With several addresses: how long one may take to be connected to before the next is tried. */
const CONNECT_LIMIT_MS = 1_000;

export type Profile = {
  readonly user: string;
  readonly urls: readonly string[];
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
};

/**
 * Writes what `make` gives. The file is there before, so that nothing is made that has no place; and is not after a failure.
 * Never over a file that is there: it may be somebody's only key.
 */
export async function writeProfile<T extends Profile>(path: string, make: () => Promise<T>): Promise<T> {
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  const file = await openNew(path, O_WRONLY | O_CREAT | O_EXCL);
  try {
    const profile = await make();
    await written(file, path, profile);
    return profile;
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

async function written(file: FileHandle, path: string, profile: Profile): Promise<void> {
  try {
    await file.writeFile(profileText(profile));
    await file.sync();
  } catch (cause) {
    throw fileFailure(`write ${path}`, cause);
  }
}

async function openNew(path: string, flags: number) {
  try {
    return await open(path, flags, 0o600);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw fileFailure(`write ${path}`, cause);
    throw new Failure('conflict', `${path} exists already.`, {
      remedy: 'Name another file with --out, or remove this one if nobody needs it.',
    });
  }
}

function profileText({ user, urls, certificate, key, authority }: Profile): string {
  const content = { holdfast: FORMAT, user, urls, certificate, key, authority };
  return `${JSON.stringify(content, undefined, 2)}\n`;
}

export async function readProfile(path: string): Promise<Profile> {
  let text: string;
  try {
    const { mode, size } = await stat(path);
    if ((mode & USABLE_BY_OTHERS) !== 0) {
      throw new Failure('forbidden', `Others may read ${path}.`, {
        reason: 'It has a private key.',
        remedy: `chmod 600 ${path}`,
      });
    }
    if (size > BYTES_MAX) throw noProfile(path, `It is longer than ${BYTES_MAX} bytes.`);
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw cause instanceof Failure ? cause : fileFailure(`read ${path}, which --profile names`, cause);
  }
  let value: Partial<Record<keyof Profile | 'holdfast', unknown>>;
  try {
    value = JSON.parse(text) ?? {};
  } catch (error) {
    throw noProfile(path, `It is no JSON: ${(error as Error).message}.`);
  }
  if (value.holdfast !== FORMAT)
    throw noProfile(path, 'Another version of Holdfast has written it, or something else.');
  const { user, urls, certificate, key, authority } = value;
  const isWhole =
    [user, certificate, key, authority].every((it) => typeof it === 'string') &&
    Array.isArray(urls) &&
    urls.length > 0 &&
    urls.every((it) => typeof it === 'string' && URL.parse(it)?.protocol === 'https:');
  if (!isWhole) throw noProfile(path, 'A part of it is missing.');
  return value as Profile;
}

/** `url`: instead of those of the profile. */
export async function endpointIn(profile: Profile, url?: URL): Promise<Endpoint> {
  const { certificate, key, authority, urls } = profile;
  return {
    url: url ?? (await reachable(urls.map((it) => new URL(it)))),
    certificate,
    key,
    authority,
    verify: nodeOf(certificate),
  };
}

/** Any node of the cluster that the user is of, by whatever address it was reached. */
function nodeOf(certificate: string): (shown: PeerCertificate) => Error | undefined {
  const own = altNamesOf(new X509Certificate(certificate).subjectAltName);
  const cluster = own.map((it) => /^URI:holdfast:([0-9a-f]+)\/user\//.exec(it)?.[1]).find(Boolean);
  return ({ subjectaltname }) =>
    cluster !== undefined &&
    altNamesOf(subjectaltname).some((it) => it.startsWith(`URI:holdfast:${cluster}/node/`))
      ? undefined
      : new Error('its certificate is of no node of this cluster');
}

function altNamesOf(text: string | undefined): string[] {
  return (text ?? '').split(', ');
}

/** The first that can be connected to; where none can, the first, whose error is then told. */
async function reachable(urls: readonly URL[]): Promise<URL> {
  if (urls.length > 1) {
    for (const url of urls) if (await accepts(url)) return url;
  }
  return urls[0]!;
}

async function accepts({ hostname, port }: URL): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port || 443) });
  socket.setTimeout(CONNECT_LIMIT_MS, () => resolve(false));
  socket.once('connect', () => resolve(true)).on('error', () => resolve(false));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

function noProfile(path: string, reason: string): Failure {
  return new Failure('invalid', `${path} is no profile.`, {
    reason,
    remedy: 'Have an admin make one: holdfast users add NAME --out FILE',
  });
}
