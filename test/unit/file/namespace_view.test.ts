// What those who serve the namespace ask of it: cookies that stay good, who may what, word of changes.
import { describe, expect, it } from 'vitest';
import type { EntryCommand } from '../../../control/config/namespace_commands.ts';
import { NamespaceView } from '../../../control/file/namespace/view.ts';
import { parseAddress } from '../../../control/lib/address.ts';
import { changed, link, made, mkdir, mv, rmdir, set, storage } from './lib.ts';

const view = (...commands: readonly EntryCommand[]) => new NamespaceView(made(storage(), ...commands));
const ids = (entries: readonly { id: number }[]) => entries.map(({ id }) => id);

describe('a directory that is read in pieces', () => {
  it('is read on where it was, whatever came and went', () => {
    const it = view(...['d', 'c', 'b', 'a'].map((name) => mkdir(`/${name}`)));
    const [first, second] = it.children(1);
    expect(first!.name).toBe('d');
    it.become(changed(it.namespace, rmdir('/c'), mkdir('/new'), mv('/b', '/z')));
    // The one the cookie is of is gone.
    expect(it.children(1, second!.id).map(({ name }) => name)).toEqual(['z', 'a', 'new']);
    expect(ids(it.children(1, 9_999))).toEqual([]);
    expect(it.children(77)).toEqual([]);
  });
});

describe('the way up', () => {
  it('ends at the root', () => {
    const it = view(mkdir('/a/b', { parents: true }));
    const b = it.at('/a/b')!;
    expect(it.parent(b)).toBe(it.at('/a'));
    expect(it.parent(it.at('/a')!)).toBe(it.folder(1));
    expect(it.parent(it.folder(1)!)).toBe(it.folder(1));
    expect(it.link(b.id)).toBeUndefined();
  });
});

describe('access to a link', () => {
  const clients = [
    { address: '192.0.2.13', access: 'none', squash: 'root' },
    { address: '192.0.2.0/24', access: 'rw', squash: 'all' },
    { address: '2001:db8::/32', access: 'ro', squash: 'none' },
  ] as const;
  const it_ = view(link('/x', { clients: [...clients], anonymousUid: 7 }), link('/y'));
  const of = (path: string, address: string, from = it_) =>
    from.access(from.at(path) as never, parseAddress(address));

  it('is what the first rule says that the client belongs to', () => {
    expect(of('/x', '192.0.2.12')).toEqual({
      mayWrite: true,
      squash: 'all',
      anonymousUid: 7,
      anonymousGid: 65_534,
    });
    expect(of('/x', '192.0.2.13')).toBeUndefined();
    expect(of('/x', '2001:db8::5')).toMatchObject({ mayWrite: false, squash: 'none' });
    expect(of('/x', '198.51.100.1')).toBeUndefined();
  });

  it('is none for anybody where nobody is named', () => {
    expect(of('/y', '127.0.0.1')).toBeUndefined();
  });

  it('is never writing where the link is read-only', () => {
    const readOnly = new NamespaceView(changed(it_.namespace, set('/x', { readOnly: true })));
    expect(of('/x', '192.0.2.12', readOnly)).toMatchObject({ mayWrite: false });
  });

  it('does not take all IPv4 clients for IPv6 ones, nor the other way round', () => {
    const all4 = view(link('/x', { clients: [{ address: '0.0.0.0/0', access: 'rw', squash: 'root' }] }));
    expect([of('/x', '203.0.113.9', all4), of('/x', '2001:db8::1', all4)]).toMatchObject([
      { mayWrite: true },
      undefined,
    ]);
    const all6 = view(link('/x', { clients: [{ address: '2000::/3', access: 'rw', squash: 'root' }] }));
    expect([of('/x', '203.0.113.9', all6), of('/x', '2001:db8::1', all6)]).toMatchObject([
      undefined,
      { mayWrite: true },
    ]);
  });
});

describe('who administers a folder', () => {
  it('also administers what is below it', () => {
    const it = view(mkdir('/a', { admin: ['192.0.2.0/24'] }), mkdir('/a/b'), mkdir('/c'));
    const may = (path: string, address: string) => it.administers(it.at(path)!.id, parseAddress(address));
    expect([may('/a', '192.0.2.9'), may('/a/b', '192.0.2.9')]).toEqual([true, true]);
    expect([may('/c', '192.0.2.9'), may('/', '192.0.2.9'), may('/a/b', '192.0.3.9')]).toEqual([
      false,
      false,
      false,
    ]);
    expect(it.administers(9_999, parseAddress('192.0.2.9'))).toBe(false);
  });
});

describe('a change', () => {
  it('is told once, and not where there is none', () => {
    const it = view(mkdir('/a'));
    const seen: [number, number][] = [];
    const end = it.onChange((now, before) => seen.push([before.revision, now.revision]));
    it.become(it.namespace);
    it.become(changed(it.namespace, mkdir('/b')));
    end();
    it.become(changed(it.namespace, mkdir('/c')));
    expect(seen).toEqual([[2, 3]]);
    expect(it.revision).toBe(4);
  });
});
