// Owns sending datagrams to other muxes: heartbeats and flows. Nothing is received: what comes to the ask port is the
// program's.
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { Failure } from '../lib/failure.ts';

/** Datagrams that wait for the kernel: those beyond are lost, as the network might lose them. */
const WAITING_MAX = 512;

export class AskSocket {
  readonly #socket: Socket;
  readonly #onFailure: (error: unknown) => void;
  #waiting = 0;
  #isClosed = false;

  private constructor(socket: Socket, onFailure: (error: unknown) => void) {
    this.#socket = socket;
    this.#onFailure = onFailure;
    socket.on('error', onFailure);
  }

  /** Bound to `address`: other muxes take nothing that comes from another. */
  static async open(address: string, onFailure: (error: unknown) => void): Promise<AskSocket> {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once('error', reject);
    socket.bind({ address, port: 0 }, resolve);
    try {
      await promise;
    } catch (cause) {
      socket.close();
      throw new Failure('configuration', `nothing can be sent to other muxes from ${address}`, {
        cause,
        remedy: 'set cluster.address to an address of this node',
      });
    }
    socket.off('error', reject);
    socket.unref();
    return new AskSocket(socket, onFailure);
  }

  send(datagram: Uint8Array, { address, port }: { address: string; port: number }): void {
    if (this.#isClosed || this.#waiting >= WAITING_MAX) return;
    this.#waiting++;
    this.#socket.send(datagram, port, address, (error) => {
      this.#waiting--;
      if (error !== null && error !== undefined && !this.#isClosed) this.#onFailure(error);
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}
