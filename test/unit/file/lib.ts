// Owns what tests of the namespace share: commands in few words, and what follows from them.
import type { LinkForm } from '../../../control/config/namespace.ts';
import { type EntryCommand, namespaceCommandSchema } from '../../../control/config/namespace_commands.ts';
import { apply } from '../../../control/file/namespace/commands.ts';
import { EMPTY_NAMESPACE, type Namespace } from '../../../control/file/namespace/document.ts';
import { Failure, type FailureBody } from '../../../control/lib/failure.ts';

export const NOW_MS = 1_767_225_600_000;

type Input = Parameters<typeof namespaceCommandSchema.parse>[0];
/** As the API takes it: what is left out has its default. */
export const command = (given: Input): EntryCommand => namespaceCommandSchema.parse(given);

export const mkdir = (path: string, more: object = {}) => command({ op: 'mkdir', path, ...more });
export const rmdir = (path: string) => command({ op: 'rmdir', path });
export const link = (path: string, more: Partial<LinkForm> = {}) =>
  command({ op: 'link', path, storage: 'data', target: 'here', ...more });
export const unlink = (path: string) => command({ op: 'unlink', path });
export const mv = (from: string, to: string) => command({ op: 'mv', from, to });
export const set = (path: string, change: object) => command({ op: 'set', path, change });
export const storage = (name = 'data', id?: number) =>
  command({ op: 'addStorage', name, ...(id !== undefined && { id }) });

export function changed(namespace: Namespace, ...commands: readonly EntryCommand[]): Namespace {
  return commands.reduce((so_far, it) => apply(so_far, it, NOW_MS), namespace);
}

export const made = (...commands: readonly EntryCommand[]): Namespace =>
  changed(EMPTY_NAMESPACE, ...commands);

/** What a user reads of a refused one. */
export function refused(namespace: Namespace, given: EntryCommand): FailureBody {
  try {
    apply(namespace, given, NOW_MS);
  } catch (error) {
    if (error instanceof Failure) return error.body;
    throw error;
  }
  throw new Error('it was not refused');
}
