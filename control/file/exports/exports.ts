// Owns what is served to the clients of the file service: the procedures of NFS and MOUNT on the namespace and its
// storages. It has no socket and starts no storage: whoever has them hands in the calls of each connection (Session).
import { Failure } from '../../lib/failure.ts';
import { MOUNT_PROGRAM, MOUNT3 } from '../codec/mount.ts';
import { NFS3 } from '../codec/nfs3.ts';
import { NFS_PROGRAM } from '../codec/nfs3_constants.ts';
import { PORTMAP2, RPCBIND3, RPCBIND4 } from '../codec/portmap.ts';
import { Programs } from '../codec/procedure.ts';
import type { Connection } from '../core/connection.ts';
import { Duplicates } from '../core/duplicates.ts';
import type { NamespaceView } from '../namespace/view.ts';
import type { FinishedCall } from './call.ts';
import type { Storages } from './grants.ts';
import { HandleSeal } from './handle.ts';
import { LinkRoots } from './link_roots.ts';
import { MOUNT3_SERVED } from './mount3.ts';
import { type Mount, Mounts } from './mounts.ts';
import type { AnyServed } from './nfs3/served.ts';
import { NFS3_SERVED } from './nfs3/table.ts';
import { type PortmapOptions, portmapServed } from './portmapper.ts';
import { Quotas } from './quota.ts';
import { Session, type SessionParts } from './session.ts';
import { Syncs } from './syncs.ts';
import { TransferBuffers } from './transfer_buffers.ts';
import type { Held } from './usage.ts';
import { type RandomBytes, WriteVerifiers } from './write_verifiers.ts';

export type { CallOutcome, FinishedCall } from './call.ts';
export type { Storages } from './grants.ts';

export type ExportsParts = {
  readonly view: NamespaceView;
  /** Asked at every call: storages may come and go. */
  readonly storages: Storages;
  /** Of the cluster, 16 bytes: handles are sealed with it. */
  readonly key: Uint8Array;
  readonly randomBytes: RandomBytes;
  /** Never set, only counts. */
  readonly nowMs: () => number;
  readonly duplicates?: Duplicates;
  readonly portmap?: PortmapOptions;
  /** Hears of each call once, when it is answered. */
  readonly finished?: (call: FinishedCall) => void;
  /** Hears of errors that are bugs of this server. */
  readonly bug?: (error: unknown, call: FinishedCall) => void;
};

export class Exports {
  /** NFS and MOUNT, on one port. */
  readonly programs = new Programs([NFS3, MOUNT3]);
  /** The port mapper, on its own. */
  readonly portmapPrograms = new Programs([PORTMAP2, RPCBIND3, RPCBIND4]);
  readonly view: NamespaceView;
  readonly storages: Storages;
  readonly duplicates: Duplicates;
  readonly seal: HandleSeal;
  readonly roots = new LinkRoots();
  readonly buffers = new TransferBuffers();
  readonly verifiers: WriteVerifiers;
  readonly syncs: Syncs;
  readonly quotas: Quotas;
  readonly mountList = new Mounts();
  readonly nowMs: () => number;
  readonly finished: ((call: FinishedCall) => void) | undefined;
  readonly bug: (error: unknown, call: FinishedCall) => void;
  readonly #portmap: ReadonlyMap<number, readonly (AnyServed | undefined)[]>;

  constructor(parts: ExportsParts) {
    this.view = parts.view;
    this.storages = parts.storages;
    this.duplicates = parts.duplicates ?? new Duplicates();
    this.seal = new HandleSeal(parts.key);
    this.verifiers = new WriteVerifiers(parts.randomBytes);
    this.syncs = new Syncs(this.verifiers);
    this.nowMs = parts.nowMs;
    this.quotas = new Quotas(this.roots, parts.nowMs);
    this.finished = parts.finished;
    this.bug = parts.bug ?? (() => {});
    this.#portmap = portmapServed(parts.portmap ?? { port: 2049 });
    this.view.onChange(() => {
      this.roots.forget((id) => this.view.link(id) !== undefined);
      this.quotas.forget((id) => this.view.link(id)?.quota !== undefined);
    });
  }

  /** One a connection, whose requests it serves. */
  session(connection: Connection, parts: SessionParts): Session {
    return new Session(this, connection, parts);
  }

  /** As clients say; oldest first. */
  mounts(): Mount[] {
    return this.mountList.list();
  }

  /** What a link with a quota holds, where it is known. */
  usage(linkId: number): Held | undefined {
    return this.quotas.usage(linkId);
  }

  /** Why a link leads nowhere from here; undefined: it does lead to a directory that can be served. */
  async checkLink(linkId: number): Promise<Failure | undefined> {
    const link = this.view.link(linkId);
    if (link === undefined) return new Failure('not_found', `there is no link ${linkId}`);
    const storage = this.storages.get(link.storage);
    const what = `link ${this.view.pathOf(linkId) ?? linkId} cannot be served`;
    if (storage === undefined)
      return new Failure('unavailable', what, {
        reason: `storage ${link.storage} is not there on this node`,
      });
    const root = await this.roots.find(link, storage);
    if (root.ok) return undefined;
    const reason = `${link.target} of storage ${link.storage} is no directory that can be reached: ${root.errno}`;
    return new Failure('unavailable', what, {
      reason,
      remedy: 'a target is a directory, reached through no symbolic link',
    });
  }

  /** What serves a procedure that is in one of the tables of programs. */
  served(program: number, version: number, procedure: number): AnyServed {
    if (program === NFS_PROGRAM) return NFS3_TABLE[procedure]!;
    if (program === MOUNT_PROGRAM) return MOUNT3_TABLE[procedure]!;
    return this.#portmap.get(version)![procedure]!;
  }
}

const NFS3_TABLE: readonly AnyServed[] = Object.values(NFS3_SERVED);
const MOUNT3_TABLE: readonly AnyServed[] = Object.values(MOUNT3_SERVED);
