// Owns sending datagrams to other muxes: heartbeats and flows. Nothing is received: what comes to the ask port is the
// program's.
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { Failure } from '../lib/failure.ts';

/** Datagrams that wait for the kernel: those beyond are lost, as the network might lose them. */
const WAITING_MAX = 512;
/** Without another failure for so long, what failed works again. */
const RECOVERED_AFTER_MS = 1_000;

export class AskSocket {
  readonly #socket: Socket;
  readonly #onFailure: (failure: Failure | undefined) => void;
  #waiting = 0;
  #failedMs: number | undefined;
  #isClosed = false;

  private constructor(socket: Socket, onFailure: (failure: Failure | undefined) => void) {
    this.#socket = socket;
    this.#onFailure = onFailure;
    socket.on('error', (error) => this.#failed(notSent(error)));
  }

  /**
   * Bound to `address`: other muxes take nothing that comes from another. `onFailure` is called with undefined once it
   * works again.
   */
  static async open(address: string, onFailure: (failure: Failure | undefined) => void): Promise<AskSocket> {
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
    if (this.#isClosed) return;
    if (this.#waiting >= WAITING_MAX) {
      this.#failed(
        new Failure('unavailable', 'datagrams to other muxes are lost on this node', {
          reason: `${WAITING_MAX} wait for the kernel to take them`,
          remedy: 'see the load of this node, and its interface',
        }),
      );
      return;
    }
    this.#waiting++;
    this.#socket.send(datagram, port, address, (error) => {
      this.#waiting--;
      if (this.#isClosed) return;
      if (error !== null && error !== undefined) this.#failed(notSent(error));
      else if (this.#failedMs !== undefined && performance.now() - this.#failedMs > RECOVERED_AFTER_MS) {
        this.#failedMs = undefined;
        this.#onFailure(undefined);
      }
    });
  }

  #failed(failure: Failure): void {
    this.#failedMs = performance.now();
    this.#onFailure(failure);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}

/** A route or a neighbour that is missing, a firewall, an interface that is down. */
function notSent(cause: Error): Failure {
  return new Failure('unavailable', 'datagrams to other muxes cannot be sent', {
    cause,
    remedy: 'see the interface and the routes of this node (ip route get), and its firewall',
  });
}
