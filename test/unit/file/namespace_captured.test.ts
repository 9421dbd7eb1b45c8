// What clients do in virtual folders through the file protocol, as commands of the namespace.
import { describe, expect, it } from 'vitest';
import { capture, type FolderOperation } from '../../../control/file/namespace/captured.ts';
import { apply } from '../../../control/file/namespace/commands.ts';
import { entryAt } from '../../../control/file/namespace/lookup.ts';
import { parsePrefix } from '../../../control/lib/address.ts';
import { link, made, mkdir, NOW_MS, storage } from './lib.ts';

const namespace = made(
  storage(),
  mkdir('/a', { admin: ['192.0.2.0/24'] }),
  mkdir('/a/b'),
  mkdir('/a/full'),
  mkdir('/a/full/x'),
  link('/a/web'),
  mkdir('/c'),
);
const id = (path: string): number => entryAt(namespace, path)!.id;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const client = (text: string) => parsePrefix(text).address;
const asked = (operation: FolderOperation, from = '192.0.2.7') => capture(namespace, client(from), operation);
const a = id('/a');

describe('an operation of an admin', () => {
  it.each<[string, FolderOperation, object]>([
    [
      'MKDIR',
      { op: 'MKDIR', folder: a, name: bytes('n'), mode: 0o42770 },
      { op: 'mkdir', path: '/a/n', mode: '2770' },
    ],
    [
      'MKDIR further down',
      { op: 'MKDIR', folder: id('/a/b'), name: bytes('é') },
      { op: 'mkdir', path: '/a/b/é', mode: '0755' },
    ],
    [
      'SYMLINK',
      { op: 'SYMLINK', folder: a, name: bytes('l'), target: bytes('data:x/y/') },
      { op: 'link', path: '/a/l', storage: 'data', target: 'x/y', clients: [] },
    ],
    [
      'SYMLINK to all of it',
      { op: 'SYMLINK', folder: a, name: bytes('l'), target: bytes('data:') },
      { op: 'link', target: '.' },
    ],
    ['RMDIR', { op: 'RMDIR', folder: a, name: bytes('b') }, { op: 'rmdir', path: '/a/b' }],
    ['REMOVE of a link', { op: 'REMOVE', folder: a, name: bytes('web') }, { op: 'unlink', path: '/a/web' }],
    [
      'RENAME',
      { op: 'RENAME', folder: a, name: bytes('web'), toFolder: id('/a/b'), toName: bytes('w') },
      { op: 'mv', from: '/a/web', to: '/a/b/w' },
    ],
    [
      'RENAME to itself',
      { op: 'RENAME', folder: a, name: bytes('web'), toFolder: a, toName: bytes('web') },
      { op: 'mv', from: '/a/web', to: '/a/web' },
    ],
  ])('%s is a command that can be done', (_, operation, command) => {
    const captured = asked(operation);
    expect(captured).toMatchObject({ command });
    if ('command' in captured) apply(namespace, captured.command, NOW_MS);
  });

  it.each<[string, FolderOperation, string]>([
    ['MKDIR of what is there', { op: 'MKDIR', folder: a, name: bytes('web') }, 'exists'],
    ['MKDIR in a link', { op: 'MKDIR', folder: id('/a/web'), name: bytes('n') }, 'stale'],
    ['MKDIR in what is gone', { op: 'MKDIR', folder: 99, name: bytes('n') }, 'stale'],
    ['a name that is no text', { op: 'MKDIR', folder: a, name: Uint8Array.of(0xff) }, 'invalid'],
    ['a name with a control character', { op: 'MKDIR', folder: a, name: bytes('a\nb') }, 'invalid'],
    [
      'SYMLINK to somewhere else',
      { op: 'SYMLINK', folder: a, name: bytes('l'), target: bytes('../x') },
      'invalid',
    ],
    [
      'SYMLINK out of a storage',
      { op: 'SYMLINK', folder: a, name: bytes('l'), target: bytes('data:../x') },
      'invalid',
    ],
    [
      'SYMLINK to no storage',
      { op: 'SYMLINK', folder: a, name: bytes('l'), target: bytes('none:x') },
      'invalid',
    ],
    ['RMDIR of a link', { op: 'RMDIR', folder: a, name: bytes('web') }, 'denied'],
    ['RMDIR of what is not empty', { op: 'RMDIR', folder: a, name: bytes('full') }, 'notEmpty'],
    ['RMDIR of nothing', { op: 'RMDIR', folder: a, name: bytes('none') }, 'missing'],
    ['REMOVE of a folder', { op: 'REMOVE', folder: a, name: bytes('b') }, 'isDirectory'],
    [
      'RENAME over something',
      { op: 'RENAME', folder: a, name: bytes('web'), toFolder: a, toName: bytes('b') },
      'exists',
    ],
    [
      'RENAME into itself',
      { op: 'RENAME', folder: a, name: bytes('full'), toFolder: id('/a/full/x'), toName: bytes('y') },
      'invalid',
    ],
    [
      'RENAME to a folder of others',
      { op: 'RENAME', folder: a, name: bytes('web'), toFolder: id('/c'), toName: bytes('w') },
      'denied',
    ],
  ])('is refused: %s', (_, operation, refusal) => {
    expect(asked(operation)).toEqual({ refusal });
  });

  it('is refused to all others, wherever they ask', () => {
    expect(asked({ op: 'MKDIR', folder: a, name: bytes('n') }, '198.51.100.1')).toEqual({
      refusal: 'denied',
    });
    expect(asked({ op: 'MKDIR', folder: id('/c'), name: bytes('n') })).toEqual({ refusal: 'denied' });
    expect(asked({ op: 'MKDIR', folder: 1, name: bytes('n') })).toEqual({ refusal: 'denied' });
  });
});
