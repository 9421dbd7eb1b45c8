// Owns the namespace on a running node: followed in the store, changed for the API, and what is wrong with it told. What
// commands come to is control/file/namespace, how it lies in the store control/file/store.
import type { NamespacePort } from '../api/namespace_port.ts';
import type { NodeEvent } from '../api/schema.ts';
import type { NamespaceCommand } from '../config/namespace_commands.ts';
import { apply } from '../file/namespace/commands.ts';
import type { Namespace } from '../file/namespace/document.ts';
import type { NamespaceView } from '../file/namespace/view.ts';
import { commitNamespace } from '../file/store/commit.ts';
import { FollowedNamespace } from '../file/store/followed.ts';
import { Failure } from '../lib/failure.ts';
import type { Store } from '../store/contract.ts';
import type { Problems } from './problems.ts';

/** How long a change may take to be seen here before its author is told that it is not yet: less than clients wait. */
const SEEN_WAIT_MS = 8_000;
const TOPIC = 'namespace';

export type NodeNamespaceOptions = {
  readonly store: Pick<Store, 'list' | 'txn' | 'watch'>;
  readonly problems: Pick<Problems, 'arise' | 'solve'>;
  readonly tell: (event: Omit<NodeEvent, 'atMs'>) => void;
  readonly service: ReturnType<NamespacePort['service']>;
  readonly nowMs: () => number;
};

export class NodeNamespace implements NamespacePort {
  readonly #options: NodeNamespaceOptions;
  readonly #followed: FollowedNamespace;

  constructor(options: NodeNamespaceOptions) {
    this.#options = options;
    this.#followed = new FollowedNamespace(options.store);
    this.#followed.onConnection((problem) => {
      if (problem === undefined) options.problems.solve(TOPIC);
      else options.problems.arise(TOPIC, problem);
    });
    this.view.onChange(({ revision }) => {
      options.tell({ kind: 'namespace', message: `the namespace is at revision ${revision}`, revision });
    });
  }

  /** Resolves once the namespace is known, however long the store is away. */
  start(): Promise<void> {
    return this.#followed.start();
  }

  close(): Promise<void> {
    return this.#followed.close();
  }

  get view(): NamespaceView {
    return this.#followed.view;
  }

  /** Undefined: none was read yet. */
  get known(): Namespace | undefined {
    return this.#followed.isKnown ? this.view.namespace : undefined;
  }

  current(): Namespace {
    if (this.#followed.isKnown) return this.view.namespace;
    const { problem } = this.#followed;
    throw new Failure('unavailable', 'this node does not know the namespace yet', {
      reason: problem?.message ?? 'it has not been read from the store yet',
      remedy: problem?.remedy ?? 'try again in a moment; see holdfast status',
    });
  }

  service(): ReturnType<NamespacePort['service']> {
    return this.#options.service;
  }

  async commit(
    command: NamespaceCommand,
    { dryRun, check }: Parameters<NamespacePort['commit']>[1],
  ): Promise<{ before: Namespace; after: Namespace }> {
    const { store, nowMs } = this.#options;
    const plan = (namespace: Namespace) => {
      check(namespace);
      return apply(namespace, command, nowMs());
    };
    const known = this.view.namespace;
    const done = await commitNamespace(store, plan, { dryRun, known, isWhole: command.op === 'import' });
    if (!dryRun && done.after !== done.before) await this.#waitUntilSeen(done.after.revision);
    return done;
  }

  async #waitUntilSeen(revision: number): Promise<void> {
    if (await this.#followed.until((it) => it.revision >= revision, SEEN_WAIT_MS)) return;
    throw new Failure('unavailable', `saved as revision ${revision}, but this node does not see it yet`, {
      reason: this.#followed.problem?.message ?? `it has revision ${this.view.revision}`,
      remedy: 'it is followed again by itself; see holdfast status',
    });
  }
}
