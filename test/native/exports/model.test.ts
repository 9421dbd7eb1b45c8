// Any sequence of calls answers as a plain tree in memory would: statuses, contents, names, and handles that stay with
// their file.

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ALICE, bytes, type Files, Site, status, TRUSTED, text } from './support.ts';

type Node = {
  readonly kind: 'file' | 'directory';
  handle: Uint8Array;
  content: Buffer;
  readonly children: Map<string, Node>;
  parent: Node | undefined;
  links: number;
};

const RUNS = 40;
const NAMES = ['a', 'b', 'c'] as const;
const name = fc.constantFrom(...NAMES);
/** Of any file or directory that ever was. */
const who = fc.nat(30);
const size = fc.nat(5000);
const operation = fc.oneof(
  fc.record({
    op: fc.constant('create' as const),
    at: who,
    name,
    guarded: fc.boolean(),
    size: fc.option(size),
  }),
  fc.record({ op: fc.constant('mkdir' as const), at: who, name }),
  fc.record({ op: fc.constant('remove' as const), at: who, name }),
  fc.record({ op: fc.constant('rmdir' as const), at: who, name }),
  fc.record({ op: fc.constant('rename' as const), at: who, name, to: who, toName: name }),
  fc.record({ op: fc.constant('link' as const), file: who, at: who, name }),
  fc.record({
    op: fc.constant('write' as const),
    at: who,
    offset: size,
    size,
    stable: fc.nat(2),
    byte: fc.nat(255),
  }),
  fc.record({ op: fc.constant('truncate' as const), at: who, size }),
  fc.record({ op: fc.constant('read' as const), at: who, offset: size, size }),
  fc.record({ op: fc.constant('look' as const), at: who, name }),
  fc.record({ op: fc.constant('list' as const), at: who, page: fc.integer({ min: 600, max: 5000 }) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

let site: Site;
let alice: Files;
let data: Uint8Array;

beforeAll(async () => {
  site = new Site();
  alice = site.files(TRUSTED, ALICE);
  data = await alice.client.root('/data');
});
afterAll(() => site.remove());

class Model {
  readonly root = this.node('directory', undefined);
  readonly all: Node[] = [this.root];

  node(kind: Node['kind'], parent: Node | undefined): Node {
    const handle = new Uint8Array(0);
    return { kind, handle, content: Buffer.alloc(0), children: new Map(), parent, links: 1 };
  }

  any(index: number): Node {
    return this.all[index % this.all.length]!;
  }

  wrongDirectory(node: Node): string | undefined {
    if (node.links === 0) return 'STALE';
    return node.kind === 'file' ? 'NOTDIR' : undefined;
  }

  wrongFile(node: Node): string | undefined {
    if (node.links === 0) return 'STALE';
    return node.kind === 'directory' ? 'ISDIR' : undefined;
  }

  isWithin(node: Node, above: Node): boolean {
    for (let at: Node | undefined = node; at !== undefined; at = at.parent) if (at === above) return true;
    return false;
  }

  resize(node: Node, length: number): void {
    const content = Buffer.alloc(length);
    node.content.copy(content);
    node.content = content;
  }

  put(directory: Node, at: string, kind: Node['kind']): Node {
    const made = this.node(kind, directory);
    directory.children.set(at, made);
    this.all.push(made);
    return made;
  }

  /** What the kernel says, in its order (do_renameat2, vfs_rename). */
  wrongRename(from: Node, fromName: string, to: Node, toName: string): string | undefined {
    if (from.links === 0 || to.links === 0) return 'STALE';
    if (from.kind === 'file' || to.kind === 'file') return 'NOTDIR';
    const source = from.children.get(fromName);
    const target = to.children.get(toName);
    if (source === undefined) return 'NOENT';
    if (source.kind === 'directory' && this.isWithin(to, source)) return 'INVAL';
    if (target !== undefined && target.kind === 'directory' && this.isWithin(from, target)) return 'NOTEMPTY';
    if (target === undefined || target === source) return undefined;
    if (source.kind === 'directory' && target.kind === 'file') return 'NOTDIR';
    if (source.kind === 'file' && target.kind === 'directory') return 'ISDIR';
    return target.children.size > 0 ? 'NOTEMPTY' : undefined;
  }
}

async function step(model: Model, it: Operation): Promise<void> {
  const nfs: Files['client']['nfs'] = (...call) => alice.client.nfs(...call);
  const at = 'at' in it ? model.any(it.at) : model.root;
  const where = (of: string) => ({ directory: at.handle, name: bytes(of) });
  switch (it.op) {
    case 'create': {
      const attributes = { mode: 0o644, size: it.size === null ? undefined : BigInt(it.size) };
      const made = await nfs('CREATE', { ...where(it.name), mode: it.guarded ? 1 : 0, attributes });
      const known = at.children.get(it.name);
      const taken = known !== undefined && (it.guarded || known.kind === 'directory');
      expect(status(made)).toBe(model.wrongDirectory(at) ?? (taken ? 'EXIST' : 'OK'));
      if (made.status !== 0) return;
      const node = known ?? model.put(at, it.name, 'file');
      if (known !== undefined) expect(made.handle).toEqual(known.handle);
      node.handle = made.handle!;
      if (it.size !== null) model.resize(node, it.size);
      return;
    }
    case 'mkdir': {
      const made = await nfs('MKDIR', { ...where(it.name), attributes: { mode: 0o755 } });
      expect(status(made)).toBe(model.wrongDirectory(at) ?? (at.children.has(it.name) ? 'EXIST' : 'OK'));
      if (made.status === 0) model.put(at, it.name, 'directory').handle = made.handle!;
      return;
    }
    case 'remove': {
      const removed = status(await nfs('REMOVE', where(it.name)));
      const known = at.children.get(it.name);
      const wrong = known === undefined ? 'NOENT' : known.kind === 'directory' ? 'ISDIR' : undefined;
      expect(removed).toBe(model.wrongDirectory(at) ?? wrong ?? 'OK');
      if (removed !== 'OK') return;
      at.children.delete(it.name);
      known!.links -= 1;
      return;
    }
    case 'rmdir': {
      const removed = status(await nfs('RMDIR', where(it.name)));
      const known = at.children.get(it.name);
      const full = known !== undefined && known.children.size > 0;
      const wrong =
        known === undefined ? 'NOENT' : known.kind === 'file' ? 'NOTDIR' : full ? 'NOTEMPTY' : undefined;
      expect(removed).toBe(model.wrongDirectory(at) ?? wrong ?? 'OK');
      if (removed !== 'OK') return;
      at.children.delete(it.name);
      known!.links = 0;
      return;
    }
    case 'rename': {
      const to = model.any(it.to);
      const target = { directory: to.handle, name: bytes(it.toName) };
      const renamed = status(await nfs('RENAME', { from: where(it.name), to: target }));
      expect(renamed).toBe(model.wrongRename(at, it.name, to, it.toName) ?? 'OK');
      if (renamed !== 'OK') return;
      const source = at.children.get(it.name)!;
      const replaced = to.children.get(it.toName);
      if (replaced === source) return;
      if (replaced !== undefined) replaced.links = replaced.kind === 'directory' ? 0 : replaced.links - 1;
      at.children.delete(it.name);
      to.children.set(it.toName, source);
      if (source.kind === 'directory') source.parent = to;
      return;
    }
    case 'link': {
      const file = model.any(it.file);
      const linked = status(await nfs('LINK', { handle: file.handle, ...where(it.name) }));
      const taken = at.children.has(it.name) ? 'EXIST' : file.kind === 'directory' ? 'PERM' : undefined;
      expect(linked).toBe((file.links === 0 ? 'STALE' : model.wrongDirectory(at)) ?? taken ?? 'OK');
      if (linked !== 'OK') return;
      at.children.set(it.name, file);
      file.links += 1;
      return;
    }
    case 'write': {
      const content = Buffer.alloc(it.size, it.byte);
      const call = { handle: at.handle, offset: BigInt(it.offset), stable: it.stable, data: content };
      const written = await nfs('WRITE', call);
      expect(status(written)).toBe(model.wrongFile(at) ?? 'OK');
      if (written.status !== 0) return;
      expect(written.wcc.before?.size).toBe(BigInt(at.content.length));
      if (it.size > 0 && it.offset + it.size > at.content.length) model.resize(at, it.offset + it.size);
      content.copy(at.content, it.offset);
      expect(written.wcc.after?.size).toBe(BigInt(at.content.length));
      return;
    }
    case 'truncate': {
      const set = status(await nfs('SETATTR', { handle: at.handle, attributes: { size: BigInt(it.size) } }));
      expect(set).toBe(model.wrongFile(at) ?? 'OK');
      if (set === 'OK') model.resize(at, it.size);
      return;
    }
    case 'read': {
      const read = await nfs('READ', { handle: at.handle, offset: BigInt(it.offset), count: it.size });
      expect(status(read)).toBe(model.wrongFile(at) ?? 'OK');
      if (read.status !== 0) return;
      const expected = at.content.subarray(it.offset, it.offset + it.size);
      expect(Buffer.compare(read.data!, expected)).toBe(0);
      expect(read.eof).toBe(it.offset + expected.length >= at.content.length);
      return;
    }
    case 'look': {
      const found = await nfs('LOOKUP', where(it.name));
      const known = at.children.get(it.name);
      expect(status(found)).toBe(model.wrongDirectory(at) ?? (known === undefined ? 'NOENT' : 'OK'));
      if (found.status !== 0) return;
      expect(found.handle).toEqual(known!.handle);
      const nlink = known!.kind === 'file' ? known!.links : found.attributes!.nlink;
      expect(found.attributes).toMatchObject({ type: known!.kind === 'file' ? 1 : 2, nlink });
      return;
    }
    case 'list': {
      const wrong = model.wrongDirectory(at);
      if (wrong === undefined) expect((await alice.names(at.handle, it.page)).sort()).toEqual(namesOf(at));
      else await expect(alice.names(at.handle, it.page)).rejects.toThrow(wrong);
    }
  }
}

const namesOf = ({ children }: Node): string[] => ['.', '..', ...children.keys()].sort();

/** All that is there, and nothing else. */
async function compare(node: Node): Promise<void> {
  if (node.kind === 'file') {
    const { data: content } = await alice.client.nfs('READ', {
      handle: node.handle,
      offset: 0n,
      count: 65_536,
    });
    expect(Buffer.compare(content!, node.content)).toBe(0);
    return;
  }
  const entries = await alice.list(node.handle);
  expect(entries.map((entry) => text(entry.name)).sort()).toEqual(namesOf(node));
  for (const entry of entries) {
    const child = node.children.get(text(entry.name));
    if (child === undefined) continue;
    expect(entry.handle).toEqual(child.handle);
    await compare(child);
  }
}

test('calls answer as a tree in memory does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 60, size: 'max' }), async (all) => {
      for (const entry of readdirSync(site.shared)) rmSync(join(site.shared, entry), { recursive: true });
      const model = new Model();
      model.root.handle = data;
      for (const it of all) await step(model, it);
      await compare(model.root);
      expect(site.host.bugs).toEqual([]);
    }),
    { numRuns: RUNS },
  );
});
