// Owns what a file node's core is told, and what it asks for.
import type { Namespace } from '../document.ts';
import type { ClusterState } from './completion.ts';
import type { Acknowledgement, FileNode, Roster } from './roster.ts';

/** What the store has, all at one revision of it. */
export type ClusterView = ClusterState & { readonly namespace: Namespace };

/** What a node keeps on its own disk, to go on while the store is away, also after a restart. */
export type Copy = {
  readonly namespace: Namespace;
  readonly roster: Roster;
  /** Of the daemon that kept it. False: it has stopped, or never served. */
  readonly isMember: boolean;
};

export type FileNodeEvent =
  | { readonly kind: 'saw'; readonly view: ClusterView }
  /** `problem`: why this node cannot serve this revision, a sentence; undefined: it can. */
  | { readonly kind: 'validated'; readonly revision: number; readonly problem: string | undefined }
  | { readonly kind: 'kept'; readonly copy: Copy }
  | { readonly kind: 'keepFailed'; readonly problem: string }
  /** There is a lease, and the acknowledgement under it. */
  | { readonly kind: 'leased'; readonly acknowledgement: Acknowledgement }
  /** `node`: as the roster had it after the renewal. */
  | { readonly kind: 'renewed'; readonly sentMs: number; readonly node: FileNode | undefined }
  /** The lease has ended. */
  | { readonly kind: 'leaseLost' }
  | { readonly kind: 'leaseFailed' }
  | { readonly kind: 'acknowledged'; readonly acknowledgement: Acknowledgement }
  | { readonly kind: 'acknowledgeFailed' }
  /** False: something else came first. Where the store did not answer, false as well: the roster's epoch decides. */
  | { readonly kind: 'rosterWritten'; readonly succeeded: boolean }
  /** Why the server of this node does not serve; undefined: it does. */
  | { readonly kind: 'health'; readonly problem: string | undefined }
  /** No client is answered any more, and all replies that were due are sent. */
  | { readonly kind: 'stopped' }
  /** No client is connected any more, or none is waited for longer. */
  | { readonly kind: 'drained' }
  | {
      readonly kind: 'asked';
      readonly from: string;
      readonly round: number;
      readonly epoch: number;
      readonly revision: number;
      readonly leaseMs: number;
    }
  | {
      readonly kind: 'answered';
      readonly from: string;
      readonly round: number;
      readonly isPledge: boolean;
      readonly isNewer: boolean;
    }
  | { readonly kind: 'tick' };

export type FileNodeEffect =
  /** Answered by `validated`: what differs from `before` can be served from here. */
  | { readonly kind: 'validate'; readonly before: Namespace | undefined; readonly after: Namespace }
  /** Clients see this from now on. */
  | { readonly kind: 'apply'; readonly namespace: Namespace }
  | { readonly kind: 'keep'; readonly copy: Copy }
  | { readonly kind: 'lease'; readonly acknowledgement: Acknowledgement }
  /** Renew the lease, then read this node's entry of the roster. */
  | { readonly kind: 'renew'; readonly sentMs: number }
  | { readonly kind: 'acknowledge'; readonly acknowledgement: Acknowledgement }
  | {
      readonly kind: 'writeRoster';
      readonly roster: Roster;
      readonly ifEpoch: number;
      /** Only while this is the namespace's revision. */
      readonly ifRevision?: number;
      /** Only while this is what the node has acknowledged. */
      readonly ifAcknowledged?: {
        readonly name: string;
        readonly acknowledgement: Acknowledgement | undefined;
      };
    }
  /** Until when clients may be answered; -Infinity: not now. */
  | { readonly kind: 'deadline'; readonly atMs: number }
  /** Answered by `stopped`. */
  | { readonly kind: 'stop' }
  /** New clients go elsewhere; answered by `drained`. */
  | { readonly kind: 'drain' }
  | {
      readonly kind: 'ask';
      readonly peers: readonly string[];
      readonly round: number;
      readonly epoch: number;
      readonly revision: number;
      readonly leaseMs: number;
    }
  | {
      readonly kind: 'answer';
      readonly to: string;
      readonly round: number;
      readonly isPledge: boolean;
      readonly isNewer: boolean;
    };
