// Owns how a connection is named: by addresses and ports, which a socket forgets when it is closed.
import type { Socket } from 'node:net';
import type { Connection } from '../protocol.ts';

/** Of a socket that is connected. */
export function connectionOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): Connection {
  if (localAddress === undefined || localPort === undefined) throw new Error('the socket is not connected');
  return {
    source: localAddress,
    sourcePort: localPort,
    destination: remoteAddress!,
    destinationPort: remotePort!,
  };
}
