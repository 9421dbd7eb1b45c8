// Owns a namespace as plain data, to hand it to another process or to keep it in a file.
import { z } from 'zod';
import { Failure } from '../../lib/failure.ts';
import { entrySchema, headSchema, inconsistency, type Namespace } from './document.ts';

const snapshotSchema = headSchema.extend({ entries: z.array(entrySchema) });
export type NamespaceSnapshot = z.infer<typeof snapshotSchema>;

export function snapshotOf({ storages, entries, ...head }: Namespace): NamespaceSnapshot {
  return { ...head, storages: [...storages.values()], entries: [...entries.values()] };
}

/** @throws Failure `internal` where it is none, or not consistent. */
export function namespaceOf(snapshot: unknown): Namespace {
  const parsed = snapshotSchema.safeParse(snapshot);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw unusable(`${path.join('.')}: ${message}`);
  }
  const { storages, entries, ...head } = parsed.data;
  const namespace: Namespace = {
    ...head,
    storages: new Map(storages.map((it) => [it.name, it])),
    entries: new Map(entries.map((it) => [it.id, it])),
  };
  if (namespace.entries.size !== entries.length) throw unusable('two entries have one id');
  const wrong = inconsistency(namespace);
  if (wrong !== undefined) throw unusable(wrong);
  return namespace;
}

function unusable(reason: string): Failure {
  return new Failure('internal', 'a copy of the namespace cannot be used', { reason });
}
