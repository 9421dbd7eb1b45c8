// Owns a NamespacePort without a store: a namespace in memory, changed as the daemon changes it.
import type { NamespacePort } from '../../../../control/api/namespace_port.ts';
import type { NamespaceCommand } from '../../../../control/config/namespace_commands.ts';
import { apply } from '../../../../control/file/namespace/commands.ts';
import { EMPTY_NAMESPACE, type Namespace } from '../../../../control/file/namespace/document.ts';

export class FakeNamespace implements NamespacePort {
  namespace = EMPTY_NAMESPACE;
  at: ReturnType<NamespacePort['service']> = { address: '192.0.2.1', port: 2_049 };
  readonly #called: (method: string, argument: unknown) => void;

  constructor(called: (method: string, argument: unknown) => void) {
    this.#called = called;
  }

  current(): Namespace {
    this.#called('namespace', undefined);
    return this.namespace;
  }

  service(): ReturnType<NamespacePort['service']> {
    return this.at;
  }

  async commit(
    command: NamespaceCommand,
    { dryRun, check }: Parameters<NamespacePort['commit']>[1],
  ): Promise<{ before: Namespace; after: Namespace }> {
    this.#called('commitNamespace', { command, dryRun });
    const before = this.namespace;
    check(before);
    const after = apply(before, command, 1_767_225_600_000);
    if (!dryRun) this.namespace = after;
    return { before, after };
  }
}
