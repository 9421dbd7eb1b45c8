// Owns the end of the daemon's connection that the file server has: a Unix socket for root alone, one daemon at a time. The
// server goes on when the daemon is gone, and the next daemon finds it here.
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { encodeMessage, type FromServer, MessageReader, type ToServer } from './messages.ts';

export type ControlSocketOptions = {
  readonly path: string;
  readonly onDaemon: () => void;
  readonly onMessage: (message: ToServer) => void;
  readonly onGone: () => void;
};

export class ControlSocket {
  readonly #server: Server;
  #daemon: Socket | undefined;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open({ path, onDaemon, onMessage, onGone }: ControlSocketOptions): Promise<ControlSocket> {
    rmSync(path, { force: true });
    const server = createServer();
    const control = new ControlSocket(server);
    server.on('connection', (socket) => {
      // A daemon that comes anew has lost the connection that it had.
      control.#daemon?.destroy();
      control.#daemon = socket;
      const reader = new MessageReader<ToServer>();
      socket.setEncoding('utf8');
      socket.on('error', () => {});
      socket.on('data', (text: string) => {
        try {
          for (const message of reader.read(text)) onMessage(message);
        } catch {
          // No daemon of ours: it may come again.
          socket.destroy();
        }
      });
      socket.on('close', () => {
        if (control.#daemon !== socket) return;
        control.#daemon = undefined;
        onGone();
      });
      onDaemon();
    });
    // Nobody else may connect, not even before the mode is set.
    const mask = process.umask(0o177);
    try {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once('error', reject);
      server.listen(path, resolve);
      await promise;
    } finally {
      process.umask(mask);
    }
    return control;
  }

  /** Nobody hears it while there is no daemon. */
  send(message: FromServer): void {
    this.#daemon?.write(encodeMessage(message));
  }

  close(): void {
    this.#daemon?.destroy();
    this.#server.close();
  }
}
