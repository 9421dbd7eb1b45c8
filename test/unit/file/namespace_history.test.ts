// What is remembered of changes: the namespace as it was, and changes taken back without those that came after them.
import { describe, expect, it } from 'vitest';
import type { EntryCommand } from '../../../control/config/namespace_commands.ts';
import { diff } from '../../../control/file/namespace/diff.ts';
import { EMPTY_NAMESPACE, inconsistency, type Namespace } from '../../../control/file/namespace/document.ts';
import { documentOf } from '../../../control/file/namespace/forms.ts';
import {
  type ChangeRecord,
  namespaceAt,
  recordOf,
  recordSchema,
  undo,
} from '../../../control/file/namespace/history.ts';
import { entryAt } from '../../../control/file/namespace/lookup.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { changed, link, mkdir, mv, NOW_MS, rmdir, set, storage, unlink } from './lib.ts';

function remembered(...commands: readonly EntryCommand[]) {
  const records = new Map<number, ChangeRecord>();
  const revisions: Namespace[] = [EMPTY_NAMESPACE];
  for (const command of commands) {
    const before = revisions.at(-1)!;
    const after = changed(before, command);
    const author = { id: `id ${after.revision}`, atMs: NOW_MS, node: 'n1', by: 'root', what: command.op };
    records.set(after.revision, recordOf(before, after, author));
    revisions.push(after);
  }
  return { records, revisions, now: revisions.at(-1)! };
}

const COMMANDS = [
  ...[storage(), mkdir('/a/b', { parents: true }), link('/a/web'), set('/a/web', { readOnly: true })],
  ...[mkdir('/c'), mv('/a/web', '/c/www'), rmdir('/a/b'), unlink('/c/www'), storage('iso', 9)],
];

describe('the namespace at an earlier revision', () => {
  it('is what it was, all of it', () => {
    const { records, revisions, now } = remembered(...COMMANDS);
    for (const [revision, was] of revisions.entries()) {
      const found = namespaceAt(now, records, revision);
      expect(found.entries).toEqual(was.entries);
      expect({ ...found, entries: undefined }).toEqual({ ...was, entries: undefined });
      expect(diff(was, found)).toEqual([]);
    }
  });

  it('is not known where a change between is not, nor in the future', () => {
    const { records, now } = remembered(...COMMANDS);
    records.delete(5);
    expect(namespaceAt(now, records, 5).revision).toBe(5);
    expect(codeOf(() => namespaceAt(now, records, 4))).toBe('not_found');
    expect(codeOf(() => namespaceAt(now, records, 10))).toBe('not_found');
    const { content: _, ...large } = records.get(6)!;
    records.set(6, large);
    expect(codeOf(() => namespaceAt(now, records, 5))).toBe('limit');
  });

  it('comes from records that can be stored', () => {
    const { records } = remembered(...COMMANDS);
    for (const record of records.values())
      expect(recordSchema.parse(JSON.parse(JSON.stringify(record)))).toEqual(record);
  });
});

describe('a change taken back', () => {
  it('leaves what came after it', () => {
    const { records, now } = remembered(...COMMANDS.slice(0, 6));
    const back = undo(now, records, 4, NOW_MS);
    expect(entryAt(back, '/c/www')).toMatchObject({ readOnly: false });
    expect(back.revision).toBe(now.revision + 1);
    expect(inconsistency(back)).toBeUndefined();
  });

  it('gives what was removed its id again, so that handles work', () => {
    const { records, revisions, now } = remembered(...COMMANDS.slice(0, 8));
    const back = undo(now, records, 8, NOW_MS);
    expect(entryAt(back, '/c/www')).toEqual(entryAt(revisions[7]!, '/c/www'));
    expect(entryAt(back, '/c')!.kind === 'folder' && documentOf(back)).toEqual(documentOf(revisions[7]!));
  });

  it('is a change that clients notice', () => {
    const { records, now } = remembered(mkdir('/a'), mkdir('/a/b'));
    const [before, after] = [entryAt(now, '/a'), entryAt(undo(now, records, 2, 0), '/a')];
    if (before?.kind !== 'folder' || after?.kind !== 'folder') throw new Error('it is gone');
    expect(after.modifiedAtMs).toBeGreaterThan(before.modifiedAtMs);
  });

  it.each<[string, EntryCommand[], number, string]>([
    ['a folder that has something in it now', [mkdir('/a'), mkdir('/a/b')], 1, 'which is no folder'],
    [
      'an option that was changed again',
      [mkdir('/a'), set('/a', { uid: 1 }), set('/a', { uid: 2 })],
      2,
      'uid of /a was changed again',
    ],
    ['a name that is taken', [mkdir('/a'), rmdir('/a'), mkdir('/a')], 2, 'has a twice'],
    ['a move of what is gone', [mkdir('/a'), mv('/a', '/b'), rmdir('/b')], 2, 'removed since'],
    ['a storage that has links', [storage(), link('/x')], 1, 'which does not exist'],
    [
      'a move that would be a cycle',
      [mkdir('/a'), mkdir('/b'), mv('/b', '/a/b'), mv('/a/b', '/b'), mv('/a', '/b/a')],
      4,
      'in a cycle',
    ],
  ])('is refused: %s', (_, commands, revision, reason) => {
    const { records, now } = remembered(...commands);
    try {
      undo(now, records, revision, NOW_MS);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'conflict', reason: expect.stringContaining(reason) });
    }
  });
});

function codeOf(happen: () => unknown): string | undefined {
  try {
    happen();
    return undefined;
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
}
