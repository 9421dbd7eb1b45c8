// Owns how the namespace lies in the store: keys, forms, and reading them with every error named.
//
//   namespace/document/head      revision, next ids, storages: JSON
//   namespace/document/parts/NN  folders and links whose id is NN modulo PARTS: JSON, deflated
//
// Every change writes the head and compares its modRevision, so changes are in one order. A change of one folder writes
// the head and the two or three parts that it touches, whatever else there is; 65,536 links fit. Records of changes and
// of nodes, which come with the cluster of file nodes, are other keys under namespace/, so that they wake nobody here.
import { z } from 'zod';
import { checkFits, damaged, deflated, inflated, parseStored } from '../../cluster/stored_value.ts';
import { Failure } from '../../lib/failure.ts';
import type { Entry, Operation } from '../../store/contract.ts';
import {
  EMPTY_NAMESPACE,
  entrySchema,
  headSchema,
  inconsistency,
  type Namespace,
  type NamespaceEntry,
} from '../namespace/document.ts';
import { same } from '../namespace/forms.ts';

export const DOCUMENT_PREFIX = 'namespace/document/';
export const NAMESPACE_HEAD_KEY = 'namespace/document/head';
const PARTS_PREFIX = 'namespace/document/parts/';
/** A transaction of the store has room for 128 operations; a request to etcd for 1.5 MiB. */
const PARTS = 64;

/** Grows where older versions of Holdfast could not do what the namespace says. */
const FORMAT = 1;
/** Inflated: a value of the store cannot make a daemon take more memory than this. A link with 128 clients has 10 KB. */
const PART_BYTES_MAX = 32 << 20;
/** Of one change: what etcd takes, less what a request has around the values. */
export const CHANGE_BYTES_MAX = 1_400_000;

const REMEDY =
  'put back a copy of the store; or delete all keys below namespace/document/ in it, then holdfast namespace import what was exported last';

const storedHeadSchema = headSchema.extend({ format: z.literal(FORMAT) });
const partSchema = z.array(entrySchema);

const partKey = (id: number): string => PARTS_PREFIX + String(id % PARTS).padStart(2, '0');

/** The entries of the store under DOCUMENT_PREFIX, by key. */
export type DocumentEntries = ReadonlyMap<string, Entry>;

/** Reads the namespace again and again: parts whose value is the same are not read anew, and give the same objects. */
export class DocumentReader {
  #parts: ReadonlyMap<string, { readonly value: string; readonly entries: readonly NamespaceEntry[] }> =
    new Map();

  /** @throws Failure that names the key: `unsupported` where a newer Holdfast wrote it, `internal` where it is damaged. */
  read(stored: DocumentEntries): Namespace {
    const head = stored.get(NAMESPACE_HEAD_KEY);
    const parts = [...stored.values()].filter(({ key }) => key.startsWith(PARTS_PREFIX));
    if (head === undefined) {
      if (parts.length > 0)
        throw damaged(parts[0]!.key, `there is no ${NAMESPACE_HEAD_KEY}`, undefined, REMEDY);
      return EMPTY_NAMESPACE;
    }
    const {
      format: _,
      storages,
      ...fields
    } = parseStored(head.key, head.value, storedHeadSchema, {
      format: FORMAT,
      remedy: REMEDY,
    });
    const read = new Map(parts.map(({ key, value }) => [key, this.#part(key, value)]));
    const entries = new Map<number, NamespaceEntry>();
    for (const [key, part] of read) addPart(entries, key, part.entries);
    const namespace: Namespace = {
      ...fields,
      storages: new Map(storages.map((it) => [it.name, it])),
      entries,
    };
    const wrong = inconsistency(namespace);
    if (wrong !== undefined) throw damaged(NAMESPACE_HEAD_KEY, wrong, undefined, REMEDY);
    this.#parts = read;
    return namespace;
  }

  #part(key: string, value: string) {
    const known = this.#parts.get(key);
    if (known?.value === value) return known;
    const text = inflated(key, value, PART_BYTES_MAX, REMEDY).toString();
    return { value, entries: parseStored(key, text, partSchema, { format: FORMAT, remedy: REMEDY }) };
  }
}

function addPart(entries: Map<number, NamespaceEntry>, key: string, part: readonly NamespaceEntry[]): void {
  for (const entry of part) {
    if (partKey(entry.id) !== key) throw damaged(key, `it has entry ${entry.id}`, undefined, REMEDY);
    if (entries.has(entry.id)) throw damaged(key, `it has entry ${entry.id} twice`, undefined, REMEDY);
    entries.set(entry.id, entry);
  }
}

/** What makes entries that say `before` say `after`; nothing where they are the same. @throws Failure `limit` */
export function encodeNamespace(before: Namespace, after: Namespace): Operation[] {
  if (before === after) return [];
  const { entries: _, storages, ...fields } = after;
  const head = JSON.stringify({ format: FORMAT, ...fields, storages: [...storages.values()] });
  checkFits(head, 'the storages of the namespace', 'have fewer, or with shorter descriptions');
  const operations: Operation[] = [
    { put: NAMESPACE_HEAD_KEY, value: head },
    ...partOperations(before, after),
  ];
  const bytes = operations.reduce((sum, it) => sum + ('put' in it ? Buffer.byteLength(it.value) : 0), 0);
  if (bytes > CHANGE_BYTES_MAX) {
    throw new Failure('limit', `the change takes ${bytes} bytes in the store`, {
      reason: `at most ${CHANGE_BYTES_MAX} are possible in one change`,
      remedy: 'import it in several steps: first a part of the folders and links, then more',
    });
  }
  return operations;
}

function partOperations(before: Namespace, after: Namespace): Operation[] {
  const touched = touchedParts(before, after);
  const content = new Map<string, NamespaceEntry[]>([...touched].map((key) => [key, []]));
  for (const entry of after.entries.values()) content.get(partKey(entry.id))?.push(entry);
  return [...content].map(([key, entries]): Operation => {
    if (entries.length === 0) return { delete: key };
    const value = deflated(JSON.stringify(entries.sort((a, b) => a.id - b.id)));
    checkFits(value, `entries of the namespace, ${key},`, 'have fewer, or with fewer clients');
    return { put: key, value };
  });
}

function touchedParts(before: Namespace, after: Namespace): ReadonlySet<string> {
  const touched = new Set<string>();
  // Nothing lies in the store before the first change, not even the root.
  const old: Namespace['entries'] = before.revision === 0 ? new Map() : before.entries;
  for (const id of old.keys()) if (!after.entries.has(id)) touched.add(partKey(id));
  for (const [id, entry] of after.entries) {
    const known = old.get(id);
    if (known !== entry && (known === undefined || !same(known, entry))) touched.add(partKey(id));
  }
  return touched;
}

/** Nothing of ours deletes the head: without it, it is another store, or one that has lost everything. */
export function lostNamespace(): Failure {
  return new Failure('unavailable', 'the store has lost the namespace', {
    reason: `There is no ${NAMESPACE_HEAD_KEY} in it, which this node has seen there. It keeps what it has.`,
    remedy: 'put back a copy of the store, or holdfast namespace import what was exported last, at this node',
  });
}
