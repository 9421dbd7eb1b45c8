// Stub until the procedures are there.
import { MOUNT3, MOUNT3_PROCEDURES } from '../codec/mount.ts';
import { NFS3 } from '../codec/nfs3.ts';
import { PORTMAP2, RPCBIND3, RPCBIND4 } from '../codec/portmap.ts';
import { Programs } from '../codec/procedure.ts';
import type { Connection, Request } from '../core/connection.ts';
import { Duplicates } from '../core/duplicates.ts';
import type { FileSystem } from '../filesystem/port.ts';
import type { NamespaceView } from '../namespace/view.ts';
import type { Session } from './service.ts';

export type FinishedCall = {
  client: string;
  linkId: number;
  program: number;
  procedure: { name: string; number: number };
  outcome: 'done' | 'replayed' | 'dropped' | 'failed';
  status: number;
  uid: number;
  bytesIn: number;
  bytesOut: number;
  startedMs: number;
  durationMs: number;
};

const encoder = new TextEncoder();

export class Exports {
  readonly programs = new Programs([NFS3, MOUNT3]);
  readonly portmapPrograms = new Programs([PORTMAP2, RPCBIND3, RPCBIND4]);
  readonly duplicates = new Duplicates();
  readonly #options;

  constructor(options: {
    view: NamespaceView;
    storages: { get(name: string): FileSystem | undefined };
    key: Uint8Array;
    randomBytes: (count: number) => Uint8Array;
    nowMs: () => number;
    portmap?: { port: number };
    finished?: (call: FinishedCall) => void;
    bug?: (error: unknown, call: FinishedCall) => void;
  }) {
    this.#options = options;
  }

  mounts(): { client: string; path: string }[] {
    return [];
  }

  session(connection: Connection, _: unknown): Session {
    const { view, nowMs } = this.#options;
    return {
      serve: (request: Request) => {
        const startedMs = nowMs();
        const writer = connection.begin(request);
        if (request.procedure === MOUNT3_PROCEDURES.EXPORT) {
          const exports = view.links().map(({ id, clients }) => ({
            directory: encoder.encode(view.pathOf(id)),
            groups: clients.map(({ address }) => encoder.encode(address)),
          }));
          MOUNT3_PROCEDURES.EXPORT.encode(writer, { exports });
        }
        connection.end(request);
        this.#options.finished?.({
          client: connection.client.name,
          linkId: 0,
          program: request.program,
          procedure: request.procedure,
          outcome: 'done',
          status: 0,
          uid: 0,
          bytesIn: 0,
          bytesOut: 0,
          startedMs,
          durationMs: nowMs() - startedMs,
        });
      },
    };
  }
}
