// Commands of the namespace: what each makes of it, and every refusal with its words.
import { describe, expect, it } from 'vitest';
import { NAMESPACE_DEPTH_MAX, namespaceDocumentSchema } from '../../../control/config/namespace.ts';
import { formatNamespace, parseNamespace } from '../../../control/config/namespace_document.ts';
import { apply } from '../../../control/file/namespace/commands.ts';
import { diff } from '../../../control/file/namespace/diff.ts';
import {
  EMPTY_NAMESPACE,
  ENTRY_ID_MAX,
  type Folder,
  type Namespace,
  ROOT_ID,
} from '../../../control/file/namespace/document.ts';
import { documentOf } from '../../../control/file/namespace/forms.ts';
import { entryAt, pathOf } from '../../../control/file/namespace/lookup.ts';
import { namespaceOf, snapshotOf } from '../../../control/file/namespace/snapshot.ts';
import { Failure } from '../../../control/lib/failure.ts';
import {
  changed,
  command,
  link,
  made,
  mkdir,
  mv,
  NOW_MS,
  refused,
  rmdir,
  set,
  storage,
  unlink,
} from './lib.ts';

const tree = made(storage(), mkdir('/a/b', { parents: true }), link('/a/web'), mkdir('/c'));
const idOf = (namespace: Namespace, path: string) => entryAt(namespace, path)?.id;
const paths = (namespace: Namespace) => {
  const { folders, links } = documentOf(namespace);
  return [...folders, ...links].map(({ path }) => path);
};

describe('a folder', () => {
  it('is made, with those above it where that is wanted', () => {
    expect(paths(tree)).toEqual(['/', '/a', '/a/b', '/c', '/a/web']);
    expect(tree.revision).toBe(4);
    expect(entryAt(tree, '/a/b')).toMatchObject({ kind: 'folder', mode: 0o755, uid: 0, gid: 0, admin: [] });
    const own = changed(tree, mkdir('/own', { mode: '2770', uid: 7, gid: 8, admin: ['192.0.2.0/24'] }));
    expect(entryAt(own, '/own')).toMatchObject({ mode: 0o2770, uid: 7, gid: 8, admin: ['192.0.2.0/24'] });
  });

  it('that is there with all above it is no change, where those above are wanted', () => {
    expect(changed(tree, mkdir('/a/b', { parents: true }))).toBe(tree);
    expect(changed(tree, mkdir('/', { parents: true }))).toBe(tree);
  });

  it.each([
    [
      mkdir('/x/y'),
      'not_found',
      'There is no folder /x.',
      undefined,
      'Make it first: holdfast namespace mkdir /x',
    ],
    [
      mkdir('/a/x/y'),
      'not_found',
      'There is no folder /a/x.',
      undefined,
      'Make it first: holdfast namespace mkdir /a/x',
    ],
    [mkdir('/a'), 'conflict', '/a exists.', 'it is a folder', 'Choose another name, or remove it first'],
    [
      mkdir('/a/web', { parents: true }),
      'conflict',
      '/a/web exists.',
      'it is a link',
      'Choose another name, or remove it first',
    ],
    [
      mkdir('/a/web/x', { parents: true }),
      'invalid',
      '/a/web is a link.',
      'what is below a link is in its storage, not in the namespace',
      'Change it there, or through a client that has mounted the link',
    ],
    [
      rmdir('/a'),
      'in_use',
      '/a is not empty.',
      'it has 2 folders and links',
      'Remove or move them first; see holdfast namespace tree /a',
    ],
    [rmdir('/'), 'invalid', 'The root cannot be removed.', undefined, undefined],
    [
      rmdir('/x'),
      'not_found',
      'There is no /x in the namespace.',
      undefined,
      'See those there are: holdfast namespace tree',
    ],
    [rmdir('/a/web'), 'invalid', '/a/web is a link.', undefined, 'Holdfast namespace unlink /a/web'],
  ] as const)('%j is refused', (given, code, message, cause, remedy) => {
    expect(refused(tree, given)).toEqual({
      code,
      message,
      ...(cause && { cause }),
      ...(remedy && { remedy: remedy.replace(/^Holdfast/, 'holdfast') }),
    });
  });

  it('is removed where it is empty, and its id never comes back', () => {
    const id = idOf(tree, '/c')!;
    const next = changed(tree, rmdir('/c'), mkdir('/c'));
    expect(idOf(next, '/c')).toBe(tree.nextId);
    expect(next.entries.has(id)).toBe(false);
  });

  it('shows later times after each change in it, whatever the clock says', () => {
    const times = (namespace: Namespace) => entryAt(namespace, '/a') as Folder;
    const first = times(tree);
    const back = apply(tree, mkdir('/a/new'), 5);
    expect(times(back).modifiedAtMs).toBe(first.modifiedAtMs + 1);
    expect(times(back).changedAtMs).toBeGreaterThan(first.changedAtMs);
    const moved = apply(back, mv('/a/new', '/c/new'), NOW_MS + 50);
    expect(times(moved).modifiedAtMs).toBe(NOW_MS + 50);
    expect((entryAt(moved, '/c') as Folder).modifiedAtMs).toBe(NOW_MS + 50);
    // Options are not what is in it.
    const owned = apply(moved, set('/a', { uid: 5 }), NOW_MS + 60);
    expect(times(owned)).toMatchObject({ modifiedAtMs: NOW_MS + 50, changedAtMs: NOW_MS + 60 });
    expect(times(owned).createdAtMs).toBe(first.createdAtMs);
  });
});

describe('a link', () => {
  it('lets nobody in unless it says who', () => {
    expect(entryAt(tree, '/a/web')).toEqual({
      kind: 'link',
      id: idOf(tree, '/a/web'),
      parentId: idOf(tree, '/a'),
      name: 'web',
      storage: 'data',
      target: 'here',
      readOnly: false,
      clients: [],
      anonymousUid: 65_534,
      anonymousGid: 65_534,
    });
  });

  it.each([
    [
      link('/a/x', { storage: 'none' }),
      'not_found',
      'There is no storage none.',
      'there are data',
      'Add it first: holdfast storages add none',
    ],
    [link('/a/b'), 'conflict', '/a/b exists.', 'it is a folder', 'Choose another name, or remove it first'],
    [unlink('/a'), 'invalid', '/a is a folder.', undefined, 'holdfast namespace rmdir /a'],
    [unlink('/'), 'invalid', '/ is a folder.', undefined, 'holdfast namespace rmdir /'],
    [
      unlink('/a/web/deep'),
      'invalid',
      '/a/web is a link.',
      'what is below a link is in its storage, not in the namespace',
      'Change it there, or through a client that has mounted the link',
    ],
  ] as const)('%j is refused', (given, code, message, cause, remedy) => {
    expect(refused(tree, given)).toEqual({ code, message, ...(cause && { cause }), remedy });
  });

  it('has options that are set one by one, and taken away', () => {
    const clients = [{ address: '192.0.2.0/24', access: 'rw', squash: 'all' }];
    const full = changed(tree, set('/a/web', { clients, quota: { bytes: 5 }, readOnly: true }));
    expect(entryAt(full, '/a/web')).toMatchObject({ clients, quota: { bytes: 5 }, readOnly: true });
    const less = changed(full, set('/a/web', { quota: null }));
    expect(entryAt(less, '/a/web')).not.toHaveProperty('quota');
    expect(entryAt(less, '/a/web')).toMatchObject({ clients, readOnly: true });
    expect(changed(less, set('/a/web', { readOnly: true, quota: null }))).toBe(less);
    expect(refused(tree, set('/a/web', { mode: '0700' }))).toEqual({
      code: 'invalid',
      message: 'A link has no mode.',
      cause: '/a/web is a link, which has readOnly, clients, anonymousUid, anonymousGid, quota',
    });
    expect(refused(tree, set('/', { quota: { bytes: 1 } })).message).toBe('A folder has no quota.');
  });
});

describe('what moves', () => {
  it('keeps its id, and so does all that is in it', () => {
    const deep = changed(tree, mkdir('/a/b/d'));
    const next = changed(deep, mv('/a', '/c/moved'));
    for (const [old, now] of [
      ['/a', '/c/moved'],
      ['/a/web', '/c/moved/web'],
      ['/a/b/d', '/c/moved/b/d'],
    ] as const) {
      expect(idOf(next, now)).toBe(idOf(deep, old));
    }
    expect(diff(deep, next)).toMatchObject([
      { action: 'move', kind: 'folder', name: '/c/moved', from: '/a' },
    ]);
    expect(changed(tree, mv('/a', '/a'))).toBe(tree);
  });

  it.each([
    [mv('/a', '/a/b/x'), 'invalid', '/a cannot be moved into itself.', '/a/b/x is below it', undefined],
    [mv('/', '/x'), 'invalid', 'The root cannot be moved.', undefined, undefined],
    [mv('/a', '/c'), 'conflict', '/c exists.', 'it is a folder', 'To move into the folder, write /c/a'],
    [mv('/a', '/a/web'), 'invalid', '/a cannot be moved into itself.', '/a/web is below it', undefined],
    [
      mv('/x', '/y'),
      'not_found',
      'There is no /x in the namespace.',
      undefined,
      'See those there are: holdfast namespace tree',
    ],
    [
      mv('/c', '/x/y'),
      'not_found',
      'There is no folder /x.',
      undefined,
      'Make it first: holdfast namespace mkdir /x',
    ],
  ] as const)('%j is refused', (given, code, message, cause, remedy) => {
    expect(refused(tree, given)).toEqual({
      code,
      message,
      ...(cause && { cause }),
      ...(remedy && { remedy }),
    });
  });

  it('may be deep, but not too deep with what is in it', () => {
    const path = (depth: number, name = 'd') => `/${Array(depth).fill(name).join('/')}`;
    const deep = made(mkdir(path(NAMESPACE_DEPTH_MAX), { parents: true }), mkdir('/e/f', { parents: true }));
    expect(
      idOf(changed(deep, mv('/e', `${path(NAMESPACE_DEPTH_MAX - 2)}/e`)), `${path(62)}/e/f`),
    ).toBeDefined();
    expect(refused(deep, mv('/e', `${path(NAMESPACE_DEPTH_MAX - 1)}/e`))).toMatchObject({
      code: 'limit',
      cause: 'at most 64 are possible',
    });
    expect(() => mkdir(path(NAMESPACE_DEPTH_MAX + 1))).toThrow('at most 64 names');
  });
});

describe('a storage', () => {
  it('has an id for good, its own or the next', () => {
    const some = made(storage('a'), storage('b', 9), storage('c'));
    expect([...some.storages.values()].map(({ id }) => id)).toEqual([1, 9, 10]);
    expect(refused(some, storage('d', 9))).toEqual({
      code: 'conflict',
      message: 'Storage b has id 9.',
      cause: 'handles of clients tell storages by their ids',
      remedy: 'Give another id, or none',
    });
    expect(refused(some, storage('a'))).toMatchObject({ code: 'conflict', message: 'Storage a exists.' });
    const gone = changed(some, command({ op: 'removeStorage', name: 'c' }), storage('c'));
    expect(gone.storages.get('c')!.id).toBe(11);
    const last = changed(gone, storage('z', 65_535), storage('y'));
    expect(last.storages.get('y')!.id).toBe(2);
  });

  it('stays while a link leads into it', () => {
    expect(refused(tree, command({ op: 'removeStorage', name: 'data' }))).toEqual({
      code: 'in_use',
      message: 'Storage data is in use.',
      cause: 'a link leads into it, such as /a/web',
      remedy: 'Remove them first: holdfast namespace unlink',
    });
    const unused = changed(tree, unlink('/a/web'), command({ op: 'removeStorage', name: 'data' }));
    expect(unused.storages.size).toBe(0);
  });

  it('has a description, which changes', () => {
    const described = changed(tree, command({ op: 'setStorage', name: 'data', description: 'CephFS' }));
    expect(described.storages.get('data')).toEqual({ name: 'data', id: 1, description: 'CephFS' });
    expect(changed(described, command({ op: 'setStorage', name: 'data', description: 'CephFS' }))).toBe(
      described,
    );
    const without = changed(described, command({ op: 'setStorage', name: 'data', description: null }));
    expect(without.storages.get('data')).toEqual({ name: 'data', id: 1 });
  });
});

describe('names and paths', () => {
  it.each([
    ['', 'begins with /'],
    ['a', 'begins with /'],
    ['/a/', 'empty'],
    ['//a', 'empty'],
    ['/a/../b', '.. is no name'],
    ['/.', '. is no name'],
    ['/a\0', 'control characters'],
    ['/a\nb', 'control characters'],
    ['/\ud800', 'well-formed'],
    [`/${'é'.repeat(128)}`, 'at most 255 bytes'],
  ])('%j is none', (path, why) => {
    expect(() => mkdir(path)).toThrow(why);
  });

  it.each(['/é', '/ ', '/-', '/$(x)', '/…', `/${'é'.repeat(127)}x`, '/constructor', '/__proto__'])(
    '%j is one',
    (path) => {
      const namespace = made(mkdir(path));
      expect(pathOf(namespace, idOf(namespace, path)!)).toBe(path);
      expect(namespaceOf(JSON.parse(JSON.stringify(snapshotOf(namespace))))).toEqual(namespace);
    },
  );

  it.each(['/etc', '../x', 'a/../../etc', 'a//b', '', 'a/', './a', 'a\0b'])(
    'target %j leads out, or nowhere',
    (target) => {
      expect(() => link('/x', { target })).toThrow();
    },
  );

  it.each(['192.0.2.1/24', '2001:db8::1/32', '::ffff:192.0.2.1', '192.0.2.0/33', 'host', '0/0'])(
    '%s is no client',
    (address) => {
      expect(() => link('/x', { clients: [{ address, access: 'rw', squash: 'root' }] })).toThrow();
    },
  );
});

describe('ids', () => {
  it('end, rather than come again', () => {
    const full: Namespace = { ...EMPTY_NAMESPACE, nextId: ENTRY_ID_MAX };
    const last = changed(full, mkdir('/last'));
    expect(idOf(last, '/last')).toBe(ENTRY_ID_MAX);
    expect(refused(last, mkdir('/more'))).toMatchObject({ code: 'limit' });
    expect(namespaceOf(snapshotOf(last))).toEqual(last);
  });
});

describe('a document', () => {
  const importing = (namespace: Namespace, text: string) =>
    apply(namespace, { op: 'import', document: parseNamespace(text, 'x.yaml') }, NOW_MS + 1);
  const told = (namespace: Namespace, text: string) => {
    try {
      importing(namespace, text);
    } catch (error) {
      return (error as Failure).body;
    }
    throw new Error('it was taken');
  };

  it('of a namespace changes nothing there', () => {
    const text = formatNamespace(documentOf(tree));
    expect(importing(tree, text)).toBe(tree);
    expect(documentOf(importing(EMPTY_NAMESPACE, text))).toEqual(documentOf(tree));
  });

  it('keeps the ids of what is at its path and leads where it did', () => {
    const next = importing(
      tree,
      'storages: [{name: data}]\nfolders: [{path: /a, uid: 5}]\nlinks: [{path: /a/web, storage: data, target: here, readOnly: true}, {path: /c/new, storage: data, target: x}]',
    );
    expect(paths(next)).toEqual(['/', '/a', '/c', '/a/web', '/c/new']);
    for (const path of ['/', '/a', '/c', '/a/web']) expect(idOf(next, path)).toBe(idOf(tree, path));
    expect(idOf(next, '/c/new')).toBe(tree.nextId);
    expect(diff(tree, next).map(({ action, name }) => `${action} ${name}`)).toEqual([
      'change /a',
      'remove /a/b',
      'change /a/web',
      'add /c/new',
    ]);
    const elsewhere = importing(
      tree,
      'storages: [{name: data}]\nlinks: [{path: /a/web, storage: data, target: there}]',
    );
    expect(idOf(elsewhere, '/a/web')).toBe(tree.nextId);
    const folder = importing(tree, 'folders: [{path: /a/web}]');
    expect(entryAt(folder, '/a/web')).toMatchObject({ kind: 'folder', id: tree.nextId });
  });

  it.each([
    ['links: [{path: /x, storage: data, target: .}]', 'link /x leads to storage data, which is not in it'],
    ['storages: [{name: data}]\nlinks: [{path: /, storage: data, target: .}]', 'the root cannot be a link'],
    ['folders: [{path: /x}, {path: /x}]', 'folder /x is there twice'],
    ['storages: [{name: a}, {name: a}]', 'storage a is there twice'],
    [
      'storages: [{name: data}]\nfolders: [{path: /x}]\nlinks: [{path: /x, storage: data, target: .}]',
      '/x is both a folder and a link',
    ],
    [
      'storages: [{name: data}]\nfolders: [{path: /x/y/z}]\nlinks: [{path: /x, storage: data, target: .}]',
      '/x/y/z is below /x, which is a link',
    ],
  ])('%j contradicts itself', (text, cause) => {
    expect(told(tree, text)).toEqual({
      code: 'invalid',
      message: 'The document contradicts itself.',
      cause,
      remedy: 'Correct it; nothing was changed',
    });
  });

  it('does not give a storage another id', () => {
    expect(told(tree, 'storages: [{name: data, id: 2}]')).toEqual({
      code: 'conflict',
      message: 'Storage data has id 1, not 2.',
      cause: 'it is in the handles of clients, and stays while there is the storage',
      remedy: 'Write id 1, or give the storage another name',
    });
  });

  it('with mistakes tells each with its line', () => {
    expect(told(tree, 'folders:\n  - path: x\n    mode: 0755\n  - path: /y\n    own: 1\n')).toMatchObject({
      code: 'invalid',
      message: 'x.yaml has 3 mistakes.',
      cause: [
        'x.yaml:2:11: folders[0].path: a path in the namespace begins with /',
        "x.yaml:3:11: folders[0].mode: must be four octal digits in quotes, such as '0755'",
        'x.yaml:5:5: folders[1].own: unknown; there are path, mode, uid, gid, admin',
      ].join('\n'),
    });
    expect(told(tree, '# nothing\n')).toMatchObject({ message: 'x.yaml is empty.' });
  });

  it('has defaults for all that may be left out', () => {
    expect(namespaceDocumentSchema.parse({})).toEqual({ storages: [], folders: [], links: [] });
    expect(paths(importing(tree, 'links: []'))).toEqual(['/']);
  });
});

describe('a snapshot', () => {
  it.each([
    ['an entry in no folder', [{ ...entryAt(tree, '/c')!, parentId: 77 }]],
    ['an id that is not given yet', [{ ...entryAt(tree, '/c')!, id: 77 }]],
    ['a name twice', [entryAt(tree, '/c')!, { ...entryAt(tree, '/c')!, id: 2 }]],
    ['a cycle', [{ ...entryAt(tree, '/a')!, parentId: idOf(tree, '/a/b')! }, entryAt(tree, '/a/b')!]],
    [
      'a link as a parent',
      [
        entryAt(tree, '/a')!,
        entryAt(tree, '/a/web')!,
        { ...entryAt(tree, '/c')!, parentId: idOf(tree, '/a/web')! },
      ],
    ],
    ['a storage that is not there', [entryAt(tree, '/a')!, { ...entryAt(tree, '/a/web')!, storage: 'none' }]],
  ])('with %s is refused', (_, others) => {
    const snapshot = { ...snapshotOf(tree), entries: [tree.entries.get(ROOT_ID)!, ...others] };
    expect(() => namespaceOf(snapshot)).toThrow(Failure);
  });
});
