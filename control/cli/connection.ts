// Owns where the daemon is: from options, then the environment, then the usual socket.

import { readFile } from 'node:fs/promises';
import type { Endpoint } from '../api/client.ts';
import { Failure } from '../lib/failure.ts';
import { fileFailure } from './files.ts';
import { UsageError } from './usage_error.ts';

/** The default of `api.socket` in control/config/node.ts, whose schemas take longer to load than a completion may. */
export const SOCKET_DEFAULT = '/run/holdfast/holdfast.sock';

export type ConnectionOptions = {
  readonly socket?: string | undefined;
  readonly url?: string | undefined;
  readonly profile?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly authority?: string | undefined;
};

/** Variable of each option. */
export const VARIABLES = {
  socket: 'HOLDFAST_SOCKET',
  url: 'HOLDFAST_URL',
  profile: 'HOLDFAST_PROFILE',
  certificate: 'HOLDFAST_CERTIFICATE',
  key: 'HOLDFAST_KEY',
  authority: 'HOLDFAST_AUTHORITY',
} as const;

export async function endpointOf(
  options: ConnectionOptions,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Endpoint> {
  if (options.socket !== undefined && options.url !== undefined) {
    throw new UsageError('--socket and --url are two daemons.', { remedy: 'Give one of them.' });
  }
  if (options.socket !== undefined && options.profile !== undefined) {
    throw new UsageError('--socket and --profile are two daemons.', { remedy: 'Give one of them.' });
  }
  if (options.socket !== undefined) return { socketPath: options.socket };
  const url = options.url ?? (env[VARIABLES.url] || undefined);
  const profile = options.profile ?? (env[VARIABLES.profile] || undefined);
  if (profile !== undefined && (options.profile !== undefined || !env[VARIABLES.socket])) {
    return await endpointOfProfile(profile, options, url);
  }
  if (url === undefined) return { socketPath: env[VARIABLES.socket] || SOCKET_DEFAULT };
  if (options.url === undefined && env[VARIABLES.socket]) {
    throw new UsageError(`${VARIABLES.socket} and ${VARIABLES.url} are two daemons.`, {
      remedy: 'Unset one of them, or give --socket or --url.',
    });
  }
  const [certificate, key, authority] = await Promise.all(
    (['certificate', 'key', 'authority'] as const).map((name) =>
      readPem(`--${name}`, options[name] ?? (env[VARIABLES[name]] || undefined)),
    ),
  );
  if ((certificate === undefined) !== (key === undefined)) {
    throw new UsageError(`--${certificate === undefined ? 'certificate' : 'key'} is missing.`, {
      reason: 'A certificate is of no use without its key, and the other way round.',
    });
  }
  return {
    url: await parseUrl(url),
    ...(certificate === undefined ? {} : { certificate }),
    ...(key === undefined ? {} : { key }),
    ...(authority === undefined ? {} : { authority }),
  };
}

async function endpointOfProfile(
  file: string,
  options: ConnectionOptions,
  url: string | undefined,
): Promise<Endpoint> {
  for (const name of ['certificate', 'key', 'authority'] as const) {
    if (options[name] === undefined) continue;
    throw new UsageError(`--profile and --${name} are two identities.`, { remedy: 'Give one of them.' });
  }
  const { endpointIn, readProfile } = await import('./profile.ts');
  return await endpointIn(await readProfile(file), url === undefined ? undefined : await parseUrl(url));
}

async function parseUrl(text: string): Promise<URL> {
  const url = URL.parse(text);
  if (url?.protocol !== 'https:' || url.hostname === '' || url.pathname !== '/') {
    throw new UsageError(`${text} is no address of holdfastd.`, {
      remedy: 'Write https://HOST:PORT, such as https://198.51.100.1:7443',
    });
  }
  // URL forgets a port that is the scheme's own.
  if (url.port === '' && !/:443\/?$/.test(text)) {
    const { PORTS_DEFAULT } = await import('../config/node.ts');
    url.port = String(PORTS_DEFAULT.api);
  }
  return url;
}

async function readPem(option: string, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw fileFailure(`read ${file}, which ${option} names`, cause);
  }
  if (!text.includes('-----BEGIN ')) {
    throw new Failure('invalid', `${file}, which ${option} names, is no PEM file.`, {
      reason: 'It has no line "-----BEGIN …".',
    });
  }
  return text;
}
