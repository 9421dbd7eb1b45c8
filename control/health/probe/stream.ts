// Owns the connections of probes over TCP: made from where the question says, with TLS where it is asked for, and gone when
// the probe is.

import { once } from 'node:events';
import { isIP, Socket } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { Health } from '../../config/health.ts';
import type { Question } from './probe.ts';

type Stream = { readonly socket: Socket; readonly tls: TLSSocket | undefined };

/**
 * A connection, established; with TLS if `tls` is given. The socket is destroyed when `signal` is aborted. Who has it closes it
 * with `end()`.
 */
export async function connected(
  { address, port, from }: Pick<Question, 'address' | 'port' | 'from'>,
  signal: AbortSignal,
  tls?: { readonly host: string | undefined; readonly settings: Health['tls']; readonly alpn: string[] },
): Promise<Stream> {
  signal.throwIfAborted();
  const socket = new Socket();
  const abort = () => void end(socket);
  signal.addEventListener('abort', abort, { once: true });
  socket.once('close', () => signal.removeEventListener('abort', abort));
  try {
    socket.connect({
      host: address,
      port,
      ...(from !== undefined && { localAddress: from.address, localPort: from.port }),
    });
    await once(socket, 'connect', { signal });
    // Who is asked may say anything at any time: nobody waits for these.
    socket.on('error', () => {});
    if (tls === undefined) return { socket, tls: undefined };
    const { host, settings, alpn } = tls;
    const { verify = true, authority, serverName = hostOf(host) ?? address } = settings ?? {};
    const secure = tlsConnect({
      socket,
      // An address cannot be asked for by SNI (RFC 6066 section 3); the certificate must name it all the same.
      ...(isIP(serverName) === 0 ? { servername: serverName } : { host: serverName }),
      rejectUnauthorized: verify,
      ...(authority !== undefined && { ca: authority }),
      ALPNProtocols: alpn,
    });
    await once(secure, 'secureConnect', { signal });
    secure.on('error', () => {});
    return { socket, tls: secure };
  } catch (error) {
    end(socket);
    throw error;
  }
}

/** Without leaving the connection to wait for its end: there is one a check, and a port for each. */
export function end(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.readyState === 'open') socket.resetAndDestroy();
  else socket.destroy();
}

function hostOf(host: string | undefined): string | undefined {
  if (host === undefined) return undefined;
  const bracketed = /^\[([^\]]+)\]/.exec(host);
  if (bracketed !== null) return bracketed[1];
  return isIP(host) === 0 ? host.replace(/:\d+$/, '') : host;
}
