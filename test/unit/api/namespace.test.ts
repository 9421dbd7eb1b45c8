// The routes of the namespace: what is in it, commands, documents, and every way in which they are refused.
import { describe, expect, it } from 'vitest';
import { NAMESPACE_CHANGES_MAX } from '../../../control/api/schema.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { testApi, told } from './lib/api.ts';

const COMMANDS = [
  { op: 'addStorage', name: 'data', description: 'CephFS' },
  { op: 'mkdir', path: '/projects', mode: '2775' },
  {
    op: 'link',
    path: '/projects/web',
    storage: 'data',
    target: 'projects/web',
    clients: [{ address: '192.0.2.0/24', access: 'rw' }],
  },
];

async function testNamespace() {
  const api = testApi();
  for (const command of COMMANDS) {
    const { status, text } = await api.ask('POST', '/v1/namespace', command);
    expect(status, text).toBe(200);
  }
  return api;
}

describe('the namespace', () => {
  it('is told in the order of a tree, with where it is mounted', async () => {
    const { ask, node } = await testNamespace();
    const { status, json, headers } = await ask('GET', '/v1/namespace');
    expect(status).toBe(200);
    expect(headers.get('etag')).toBe('"3"');
    expect(json).toMatchObject({
      revision: 3,
      storages: [{ name: 'data', id: 1, description: 'CephFS', links: 1 }],
      entries: [
        { kind: 'folder', id: 1, path: '/', mode: '0755' },
        { kind: 'folder', id: 2, path: '/projects', mode: '2775', uid: 0, gid: 0, admin: [] },
        {
          kind: 'link',
          id: 3,
          path: '/projects/web',
          clients: [{ address: '192.0.2.0/24', access: 'rw', squash: 'root' }],
        },
      ],
      service: { address: '192.0.2.1', port: 2_049 },
    });
    node.namespace.at = undefined;
    const part = (await ask('GET', '/v1/namespace?path=/projects/web')).json;
    expect(part.entries.map((it: { path: string }) => it.path)).toEqual(['/projects/web']);
    expect(part).not.toHaveProperty('service');
    expect(told(await ask('GET', '/v1/namespace?path=/none'))).toEqual({
      status: 404,
      code: 'not_found',
      message: 'There is no /none in the namespace.',
      remedy: 'See those there are: holdfast namespace tree',
    });
    expect((await ask('GET', '/v1/namespace?path=../etc')).status).toBe(400);
  });

  it('that is not known yet is not an empty one', async () => {
    const { ask, node } = testApi();
    node.failure = new Failure('unavailable', 'this node does not know the namespace yet');
    expect(await ask('GET', '/v1/namespace')).toMatchObject({ status: 503 });
  });
});

describe('a command', () => {
  it('answers what it has changed', async () => {
    const { ask } = await testNamespace();
    const moved = { op: 'mv', from: '/projects', to: '/work' };
    expect((await ask('POST', '/v1/namespace', moved)).json).toMatchObject({
      dryRun: false,
      revision: 4,
      amounts: { add: 0, change: 0, move: 1, remove: 0 },
      changes: [{ action: 'move', kind: 'folder', name: '/work', from: '/projects' }],
    });
    const set = { op: 'set', path: '/work/web', change: { readOnly: true, quota: { bytes: 5 } } };
    expect((await ask('POST', '/v1/namespace', set)).json.changes).toMatchObject([
      {
        action: 'change',
        kind: 'link',
        name: '/work/web',
        before: { readOnly: false },
        after: { readOnly: true, quota: { bytes: 5 } },
      },
    ]);
    expect((await ask('POST', '/v1/namespace', set)).json).toMatchObject({ revision: 5, changes: [] });
  });

  it('on a dry run answers the same, and changes nothing', async () => {
    const { ask, node } = await testNamespace();
    const before = node.namespace.namespace;
    const unlink = { op: 'unlink', path: '/projects/web' };
    expect((await ask('POST', '/v1/namespace?dryRun=true', unlink)).json).toMatchObject({
      dryRun: true,
      revision: 3,
      changes: [{ action: 'remove', kind: 'link', name: '/projects/web' }],
    });
    expect(node.namespace.namespace).toBe(before);
  });

  it('is meant for the namespace that was read, where the caller says so', async () => {
    const { ask } = await testNamespace();
    const rmdir = { op: 'rmdir', path: '/projects' };
    const of = (etag: string) =>
      ask('POST', '/v1/namespace', rmdir, { 'content-type': 'application/json', 'if-match': etag });
    expect(told(await of('"2"'))).toEqual({
      status: 412,
      code: 'conflict',
      message: 'The namespace has changed since it was read.',
      cause: 'It is at revision 3, and If-Match says "2".',
      remedy: 'Read it again, and repeat the change.',
    });
    expect((await of('"3"')).status).toBe(409);
  });

  it.each([
    [{ op: 'rmdir', path: '/projects' }, 409, 'in_use'],
    [{ op: 'mkdir', path: '/projects' }, 409, 'conflict'],
    [{ op: 'mv', from: '/projects', to: '/projects/x' }, 400, 'invalid'],
    [{ op: 'unlink', path: '/x' }, 404, 'not_found'],
    [{ op: 'mkdir', path: '/a/../b' }, 400, 'invalid'],
    [{ op: 'mkdir', path: '/a\0' }, 400, 'invalid'],
    [{ op: 'link', path: '/x', storage: 'data', target: '../etc' }, 400, 'invalid'],
    [{ op: 'link', path: '/x', storage: 'data', target: '/etc' }, 400, 'invalid'],
    [{ op: 'format', path: '/x' }, 400, 'invalid'],
    [{ op: 'mkdir', path: '/x', own: 1 }, 400, 'invalid'],
    [{ op: 'mkdir', path: '/x', mode: '9999' }, 400, 'invalid'],
    [{ op: 'import', document: {} }, 400, 'invalid'],
  ])('%j is refused', async (command, status, code) => {
    const { ask, node } = await testNamespace();
    const before = node.namespace.namespace;
    expect(told(await ask('POST', '/v1/namespace', command))).toMatchObject({ status, code });
    expect(node.namespace.namespace).toBe(before);
  });

  it('with a wrong client says which, and what is wrong', async () => {
    const { ask } = await testNamespace();
    const change = { clients: [{ address: '192.0.2.1/24', access: 'rw' }] };
    expect(
      told(await ask('POST', '/v1/namespace', { op: 'set', path: '/projects/web', change })),
    ).toMatchObject({
      status: 400,
      cause: expect.stringContaining('192.0.2.1/24 has bits beyond its prefix length'),
    });
  });
});

describe('a document', () => {
  it('is exported, and imported elsewhere', async () => {
    const { json } = await (await testNamespace()).ask('GET', '/v1/namespace/export');
    expect(json).toMatchObject({
      storages: [{ name: 'data', id: 1, description: 'CephFS' }],
      folders: [{ path: '/' }, { path: '/projects', mode: '2775' }],
      links: [{ path: '/projects/web', storage: 'data', target: 'projects/web' }],
    });
    const { ask } = testApi();
    expect((await ask('POST', '/v1/namespace/import?dryRun=true', json)).json).toMatchObject({ revision: 0 });
    expect((await ask('POST', '/v1/namespace/import', json)).json).toMatchObject({
      revision: 1,
      amounts: { add: 3, change: 0, move: 0, remove: 0 },
    });
    expect((await ask('GET', '/v1/namespace/export')).json).toEqual(json);
  });

  it('may be larger than other bodies, and not all of its changes are told one by one', async () => {
    const { ask } = testApi();
    const folders = Array.from({ length: 20_000 }, (_, index) => ({ path: `/${'x'.repeat(200)}${index}` }));
    const { status, json } = await ask('POST', '/v1/namespace/import?dryRun=true', { folders });
    expect(status).toBe(200);
    expect(json.amounts.add).toBe(20_000);
    expect(json.changes).toHaveLength(NAMESPACE_CHANGES_MAX);
  });

  it('that contradicts itself changes nothing', async () => {
    const { ask, node } = await testNamespace();
    const before = node.namespace.namespace;
    const folders = [{ path: '/a' }, { path: '/a' }];
    expect(told(await ask('POST', '/v1/namespace/import', { folders }))).toEqual({
      status: 400,
      code: 'invalid',
      message: 'The document contradicts itself.',
      cause: 'folder /a is there twice',
      remedy: 'Correct it; nothing was changed',
    });
    expect(node.namespace.namespace).toBe(before);
  });
});
