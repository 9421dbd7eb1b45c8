// Owns the network stack of a host as far as the filter can harm it: what it does with what is passed to it. Nothing is lost
// on the way to it.
import type { Packet, Sockets } from './port.ts';

type Socket = { readonly bucket: number; readonly key: number; isEstablished: boolean };

export type Reaction = 'answers' | 'takes' | 'resets';

export class Stack implements Sockets {
  readonly #sockets = new Map<number, Socket>();

  has(tuple: number): boolean {
    return this.#sockets.has(tuple);
  }

  clientsOf(bucket: number): readonly number[] {
    return [...this.#sockets.values()].filter((it) => it.bucket === bucket).map(({ key }) => key);
  }

  /** `isOfHere`: the client goes by an answer of this host; its numbers are of that connection and of no other. */
  take({ kind, tuple, bucket, key }: Packet, isOfHere: boolean): Reaction {
    if (kind === 'datagram') return 'answers';
    const socket = this.#sockets.get(tuple);
    if (kind === 'syn') {
      if (socket === undefined) this.#sockets.set(tuple, { bucket, key, isEstablished: false });
      return 'answers';
    }
    if (socket === undefined || !isOfHere) return 'resets';
    socket.isEstablished = true;
    return 'takes';
  }

  close(tuple: number): void {
    this.#sockets.delete(tuple);
  }
}
