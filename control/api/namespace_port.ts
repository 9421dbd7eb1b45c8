// Owns what the API needs of the daemon for the namespace. control/node/namespace.ts implements it.
import type { NamespaceCommand } from '../config/namespace_commands.ts';
import type { Namespace } from '../file/namespace/document.ts';

/** Every method throws a Failure for what a user can do something about. */
export interface NamespacePort {
  /** The last one known of the store. @throws Failure `unavailable` where none was read yet. */
  current(): Namespace;
  /** Where clients mount it; undefined: not at this node. */
  service(): { readonly address: string; readonly port: number } | undefined;
  /**
   * Plans the command against the newest namespace and writes it, again where another change came first; returns once
   * this node has it. `check` is called with what it is planned against.
   */
  commit(
    command: NamespaceCommand,
    options: { readonly dryRun: boolean; readonly check: (namespace: Namespace) => void },
  ): Promise<{ readonly before: Namespace; readonly after: Namespace }>;
}
