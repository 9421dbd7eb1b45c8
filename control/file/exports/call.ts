// Owns one call while it is served: what it came with, what it turned out to be about, and what is told of it when it is
// finished.
import type { Credentials } from '../codec/rpc_credentials.ts';
import type { Request } from '../core/connection.ts';
import type { Exports } from './exports.ts';
import type { Session } from './session.ts';

/**
 * `replayed`: answered again with the first answer. `dropped`: the same call was being done already. `failed`: a bug, the
 * client was told SYSTEM_ERR.
 */
export type CallOutcome = 'done' | 'replayed' | 'dropped' | 'failed';

/** Counts only while it is told of. */
export type FinishedCall = {
  /** Its address. */
  readonly client: string;
  /** 0: none, or a virtual folder. */
  readonly linkId: number;
  readonly program: number;
  readonly procedure: { readonly number: number; readonly name: string };
  readonly outcome: CallOutcome;
  /** Of the procedure's own kind, such as nfsstat3; 0 where it has none. */
  readonly status: number;
  /** As the client said. */
  readonly uid: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly startedMs: number;
  readonly durationMs: number;
};

export class Call implements FinishedCall {
  readonly exports: Exports;
  readonly session: Session;
  readonly request: Request;
  readonly startedMs: number;
  /** In the cache of duplicates; empty where it is not in it. */
  readonly duplicateKey: string;
  linkId = 0;
  /** Of the attributes in the reply; 0 of virtual folders. */
  storageId = 0;
  outcome: CallOutcome = 'done';
  status = 0;
  bytesOut = 0;
  durationMs = 0;
  replied = false;

  constructor(exports: Exports, session: Session, request: Request, startedMs: number, duplicateKey: string) {
    this.exports = exports;
    this.session = session;
    this.request = request;
    this.startedMs = startedMs;
    this.duplicateKey = duplicateKey;
  }

  get client(): string {
    return this.session.client;
  }

  get program(): number {
    return this.request.program;
  }

  get procedure(): { readonly number: number; readonly name: string } {
    return this.request.procedure;
  }

  get uid(): number {
    return this.credentials.uid;
  }

  get bytesIn(): number {
    return this.request.end - this.request.start;
  }

  get credentials(): Credentials {
    return this.request.credentials;
  }
}
