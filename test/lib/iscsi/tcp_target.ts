// Owns a target on a TCP port for programs that nobody here wrote: a driver as dull as one can be, over one unit of
// memory. The product's parser is another.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Command, Request } from '../../../control/disk/iscsi/core/command.ts';
import { type CloseReason, TargetConnection } from '../../../control/disk/iscsi/core/connection.ts';
import { DataBuffers } from '../../../control/disk/iscsi/core/data_buffers.ts';
import { InputBuffers } from '../../../control/disk/iscsi/core/pdu_input.ts';
import { OutputSlabs } from '../../../control/disk/iscsi/core/pdu_output.ts';
import type { Authority, ChapSecret, Portal } from '../../../control/disk/iscsi/core/ports.ts';
import { Sessions } from '../../../control/disk/iscsi/core/sessions.ts';
import { nodeCryptography } from './cryptography.ts';
import type { MemoryUnit } from './memory_unit.ts';

const EXPIRE_MS = 250;

export interface TargetOptions {
  readonly name: string;
  readonly unit: MemoryUnit;
  readonly secret?: ChapSecret;
  readonly mutual?: ChapSecret;
}

export class TcpTarget {
  readonly closed: CloseReason[] = [];
  readonly refused: string[] = [];
  readonly sessions = new Sessions();
  readonly #options: TargetOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #inputs = new InputBuffers({ largeMax: 64 });
  readonly #slabs = new OutputSlabs();
  readonly #buffers = new DataBuffers();

  private constructor(options: TargetOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  static async listen(options: TargetOptions, port = 0): Promise<TcpTarget> {
    const target = new TcpTarget(options);
    target.#server.listen(port, '127.0.0.1');
    await once(target.#server, 'listening');
    return target;
  }

  get portal(): Portal {
    return { address: '127.0.0.1', port: (this.#server.address() as AddressInfo).port, tag: 1 };
  }

  get url(): string {
    return `127.0.0.1:${this.portal.port}/${this.#options.name}/0`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #authority(): Authority {
    const { name, secret, mutual } = this.#options;
    const grant = { ...(secret && { secret }), ...(mutual && { mutual }) };
    return {
      authorize: (_, targetName) =>
        targetName === undefined || targetName === name ? grant : { refused: 'NOT_FOUND' },
      targets: () => [{ name, portals: [this.portal] }],
    };
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    const now = () => performance.now();
    const connection: TargetConnection = new TargetConnection({
      portal: this.portal,
      authority: this.#authority(),
      cryptography: nodeCryptography,
      sessions: this.sessions,
      inputs: this.#inputs,
      slabs: this.#slabs,
      buffers: this.#buffers,
      nowMs: now(),
      wake: () => write(),
      refused: (status) => this.refused.push(status),
    });
    const write = () => {
      for (const flush of connection.flush(now())) {
        socket.write(flush.bytes, () => {
          connection.sent(flush, now());
          if (!socket.destroyed) work();
        });
      }
      if (connection.closing !== undefined) socket.end();
    };
    const work = () => {
      for (let request = connection.next(now()); request !== undefined; request = connection.next(now()))
        this.#answer(connection, request);
      write();
      if (connection.paused) socket.pause();
      else if (socket.isPaused()) socket.resume();
    };
    const timer = setInterval(() => {
      connection.expire(now());
      write();
    }, EXPIRE_MS);
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.length; ) {
        const space = connection.space();
        const count = Math.min(space.length, chunk.length - at);
        if (count === 0) return;
        space.set(chunk.subarray(at, at + count));
        at += count;
        connection.received(count, now());
        for (let request = connection.next(now()); request !== undefined; request = connection.next(now()))
          this.#answer(connection, request);
      }
      work();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearInterval(timer);
      this.#sockets.delete(socket);
      if (connection.closing !== undefined) this.closed.push(connection.closing);
      connection.close();
    });
  }

  #answer(connection: TargetConnection, request: Request): void {
    if (request.kind === 'command')
      connection.complete(request, this.#options.unit.execute(request as Command));
    else connection.completeTaskManagement(request, 0);
  }
}
