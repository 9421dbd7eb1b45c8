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
  readonly #onFailure: (error: unknown) => void;
  #waiting = 0;
  #failedMs: number | undefined;
  #isClosed = false;

  private constructor(socket: Socket, onFailure: (error: unknown) => void) {
    this.#socket = socket;
    this.#onFailure = onFailure;
    socket.on('error', (error) => this.#failed(error));
  }

  /**
   * Bound to `address`: other muxes take nothing that comes from another. `onFailure` is called with undefined once it
   * works again.
   */
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
      if (error !== null && error !== undefined) this.#failed(error);
      else if (this.#failedMs !== undefined && performance.now() - this.#failedMs > RECOVERED_AFTER_MS) {
        this.#failedMs = undefined;
        this.#onFailure(undefined);
      }
    });
  }

  #failed(error: unknown): void {
    this.#failedMs = performance.now();
    this.#onFailure(error);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}
