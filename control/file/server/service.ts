// Owns the contract between the server's sockets and what is done with the requests of their connections.
import type { AddressBytes } from '../../lib/address.ts';
import type { Programs } from '../codec/procedure.ts';
import type { Connection, Request } from '../core/connection.ts';

/** Of one connection. */
export interface Session {
  /** Answers through the connection, at once or later. */
  serve(request: Request): void;
}

export interface Service {
  readonly programs: Programs;
  session(
    connection: Connection,
    options: {
      readonly address: AddressBytes;
      /** The address that the client came to. */
      readonly localAddress?: string;
      /** A reply was written later than in `serve`: it is to be sent. */
      readonly answered: () => void;
    },
  ): Session;
}
