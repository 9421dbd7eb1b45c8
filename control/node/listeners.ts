// Owns where a node's API listens, and the certificates of files that it listens with: reading them again, and saying in
// time that they end. Those that the cluster issues are trust's.
import type { Logger } from 'pino';
import { type Listener, listen } from '../api/listen.ts';
import type { Api } from '../api/server.ts';
import type { NodeConfig } from '../config/node.ts';
import { Failure } from '../lib/failure.ts';
import type { Problems } from './problems.ts';

const CERTIFICATE_NOTICE_MS = 14 * 24 * 3_600_000;

/** Where other nodes reach the API: what it listens on, or this node's address where that is everything. */
export function apiAddress({ api }: NodeConfig, address: string | undefined): string | undefined {
  if (api.listen === undefined || address === undefined) return undefined;
  const port = api.listen.slice(api.listen.lastIndexOf(':') + 1);
  const host = api.listen.slice(0, api.listen.lastIndexOf(':'));
  if (host !== '0.0.0.0' && host !== '[::]') return api.listen;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

export async function listenEverywhere(
  api: Pick<Api, 'fetch'>,
  { api: where }: NodeConfig,
  log: Logger,
): Promise<Listener[]> {
  const { socket, listen: address, certificate, key, clientAuthority } = where;
  const listeners = [await listen(api, { socket }, { log })];
  // The configuration has all four or none.
  if (
    address !== undefined &&
    certificate !== undefined &&
    key !== undefined &&
    clientAuthority !== undefined
  ) {
    listeners.push(await listen(api, { listen: address, certificate, key, clientAuthority }, { log }));
  }
  return listeners;
}

export async function reload(listeners: readonly Listener[], problems: Problems, log: Logger): Promise<void> {
  for (const listener of listeners.filter((it) => it.certificateExpiresAtMs !== undefined)) {
    try {
      await listener.reload();
      problems.solve('certificates');
      log.info(`certificates of ${listener.where} were read again`);
    } catch (error) {
      problems.arise('certificates', error);
    }
  }
  judgeCertificates(listeners, problems);
}

/** Says in time that clients will refuse us. */
export function judgeCertificates(listeners: readonly Listener[], problems: Problems): void {
  for (const { where, certificateExpiresAtMs: atMs } of listeners) {
    if (atMs === undefined) continue;
    if (atMs - Date.now() > CERTIFICATE_NOTICE_MS) problems.solve('certificate expiry');
    else {
      problems.arise(
        'certificate expiry',
        new Failure('configuration', `the certificate of ${where} ends on ${new Date(atMs).toISOString()}`, {
          remedy: 'put a new one in its place and send holdfastd SIGHUP',
        }),
      );
    }
  }
}
