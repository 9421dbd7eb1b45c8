// holdfast namespace and storages, against a daemon that answers by the schemas: what they ask, and what they print.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { namespaceChangeSchema, namespaceSchema } from '../../../control/api/schema.ts';
import { mountLine } from '../../../control/cli/mount_line.ts';
import { namespaceDocumentSchema } from '../../../control/config/namespace.ts';
import { asking, lines } from './lib/asking.ts';
import { failure } from './lib/fake_daemon.ts';

const its = asking();
const { ask, asked, expectJson } = its;

const folder = { kind: 'folder', mode: '0755', uid: 0, gid: 0, admin: [], modifiedAtMs: 1 } as const;
const link = {
  kind: 'link',
  storage: 'data',
  target: 'projects/web',
  readOnly: false,
  clients: [],
  anonymousUid: 65_534,
  anonymousGid: 65_534,
} as const;
const NAMESPACE = namespaceSchema.parse({
  revision: 7,
  storages: [
    { name: 'data', id: 1, description: 'CephFS, 3 copies', links: 2 },
    { name: 'iso', id: 9, links: 0 },
  ],
  entries: [
    { ...folder, id: 1, path: '/' },
    { ...folder, id: 2, path: '/projects', mode: '2770', uid: 7, admin: ['192.0.2.9'] },
    {
      ...link,
      id: 4,
      path: '/projects/web',
      clients: [
        { address: '192.0.2.0/24', access: 'rw', squash: 'root' },
        { address: '2001:db8::/32', access: 'ro', squash: 'all' },
      ],
      quota: { bytes: 5_000_000, files: 1 },
    },
    { ...link, id: 3, path: '/x y', target: '.', readOnly: true },
  ],
  service: { address: '192.0.2.1', port: 2_049 },
});
const { path: _, kind: __, ...form } = { ...link, path: '' };
const CHANGE = namespaceChangeSchema.parse({
  dryRun: false,
  revision: 8,
  amounts: { add: 1, change: 1, move: 1, remove: 1 },
  changes: [
    { action: 'add', kind: 'storage', name: 'data', after: { name: 'data', id: 1 } },
    { action: 'move', kind: 'folder', name: '/b', from: '/a', before: {}, after: {} },
    {
      action: 'change',
      kind: 'link',
      name: '/x',
      before: { ...form, clients: [] },
      after: { ...form, clients: [{ address: '::/0', access: 'ro', squash: 'all' }] },
    },
    { action: 'remove', kind: 'link', name: '/y', before: form },
  ],
});
const MOUNT = 'mount -t nfs -o vers=3,nolock,proto=tcp,port=2049,mountport=2049';

describe('the tree', () => {
  it('has what each is, and the line that mounts it', async () => {
    its.daemon.reply({ 'GET /v1/namespace': NAMESPACE });
    const terminal = { terminal: { columns: 200 }, env: { NO_COLOR: '1' } };
    expect((await ask('namespace tree', terminal)).stdout).toBe(
      lines(
        '/',
        '├── projects/  mode 2770; owner 7:0; administered by 192.0.2.9',
        '│   └── web → data:projects/web  192.0.2.0/24=rw 2001:db8::/32=ro,all; at most 5.00 MB; at most 1 file',
        `│         ${MOUNT} 192.0.2.1:/projects/web /mnt`,
        '└── x y → data:.  read-only; nobody may mount it',
        `      ${MOUNT} '192.0.2.1:/x y' /mnt`,
        '',
        '2 folders, 2 links; revision 7',
      ),
    );
    await expectJson('namespace tree', NAMESPACE);
  });

  it('is drawn of a part alone, and in ASCII where there is no terminal', async () => {
    const entries = NAMESPACE.entries.slice(1, 3);
    its.daemon.reply({ 'GET /v1/namespace': { ...NAMESPACE, entries, service: undefined } });
    const { stdout } = await ask('namespace tree /projects/');
    expect(stdout.split('\n').slice(0, 3)).toEqual([
      '/projects/  mode 2770; owner 7:0; administered by 192.0.2.9',
      '`-- web -> data:projects/web  192.0.2.0/24=rw 2001:db8::/32=ro,all; at most 5.00 MB; at most 1 file',
      `      ${MOUNT} ADDRESS:/projects/web /mnt`,
    ]);
    expect(asked()).toMatchObject([{ query: { path: '/projects' } }]);
  });

  it('has lines that a shell takes as they are', () => {
    expect(mountLine("/it's", { address: '2001:db8::1', port: 3_049 })).toBe(
      `mount -t nfs -o vers=3,nolock,proto=tcp6,port=3049,mountport=3049 '[2001:db8::1]:/it'\\''s' /mnt`,
    );
  });
});

describe('a command', () => {
  it.each([
    [
      'namespace mkdir -p /a/b/ --mode 2770 --uid 5 --admin 192.0.2.0/24',
      { op: 'mkdir', path: '/a/b', parents: true, mode: '2770', uid: 5, admin: ['192.0.2.0/24'] },
    ],
    ['namespace rmdir /a', { op: 'rmdir', path: '/a' }],
    [
      'namespace link /a data:x/y/ --read-only --client 192.0.2.0/24=rw --client 2001:db8::/32=ro,none --quota-files 5 --anonymous-uid 9',
      {
        op: 'link',
        path: '/a',
        storage: 'data',
        target: 'x/y',
        readOnly: true,
        clients: [
          { address: '192.0.2.0/24', access: 'rw', squash: 'root' },
          { address: '2001:db8::/32', access: 'ro', squash: 'none' },
        ],
        anonymousUid: 9,
        quota: { files: 5 },
      },
    ],
    ['namespace link /a data:', { op: 'link', path: '/a', storage: 'data', target: '.' }],
    ['namespace unlink /a', { op: 'unlink', path: '/a' }],
    ['namespace mv /a/x /b', { op: 'mv', from: '/a/x', to: '/b' }],
    ['namespace mv /a/x /b/', { op: 'mv', from: '/a/x', to: '/b/x' }],
    ['namespace mv /a/x /', { op: 'mv', from: '/a/x', to: '/x' }],
    ['namespace set /a --gid 7 --unset admin', { op: 'set', path: '/a', change: { gid: 7, admin: [] } }],
    [
      'namespace set /a --unset clients --unset quota --unset read-only',
      { op: 'set', path: '/a', change: { clients: [], quota: null, readOnly: false } },
    ],
    [
      'storages add data --id 7 --description CephFS',
      { op: 'addStorage', name: 'data', id: 7, description: 'CephFS' },
    ],
    ['storages rm data', { op: 'removeStorage', name: 'data' }],
  ])('%s', async (line, body) => {
    its.daemon.reply({ 'POST /v1/namespace': CHANGE });
    expect(await ask(line)).toMatchObject({ exit: 0, stderr: '' });
    await ask(`${line} --dry-run`);
    expect(asked()).toEqual([
      { method: 'POST', path: '/v1/namespace', query: {}, body },
      { method: 'POST', path: '/v1/namespace', query: { dryRun: 'true' }, body },
    ]);
  });

  it('says what it has changed', async () => {
    its.daemon.reply({ 'POST /v1/namespace': CHANGE });
    expect((await ask('namespace rmdir /a')).stdout).toBe(
      lines(
        '+ storage data',
        '    id: 1',
        '> folder /a → /b',
        '~ link /x',
        '    clients:  → ::/0=ro,all',
        '- link /y',
        '',
        '1 added, 1 changed, 1 moved, 1 removed: revision 8',
      ),
    );
    await expectJson('namespace rmdir /a', CHANGE);
    const amounts = { add: 0, change: 0, move: 0, remove: 0 };
    its.daemon.reply({ 'POST /v1/namespace': { ...CHANGE, amounts, changes: [] } });
    expect((await ask('namespace rmdir /a')).stdout).toBe(lines('nothing to change at revision 8'));
    its.daemon.reply({
      'POST /v1/namespace': { ...CHANGE, dryRun: true, amounts: { ...CHANGE.amounts, add: 9 } },
    });
    expect((await ask('namespace rmdir /a --dry-run')).stdout.split('\n').slice(-4)).toEqual([
      'and 8 more',
      '',
      'dry run, nothing was changed: 9 to add, 1 to change, 1 to move, 1 to remove',
      '',
    ]);
  });

  it.each([
    ['namespace mkdir a', 'PATH cannot be "a".', 'A path in the namespace begins with /.'],
    ['namespace mkdir /a --mode 755', '--mode cannot be "755".', 'Must be four octal digits, such as 0755.'],
    [
      'namespace mkdir /a --admin 192.0.2.1/24',
      '--admin cannot be "192.0.2.1/24".',
      '192.0.2.1/24 has bits beyond its prefix length.',
    ],
    ['namespace link /a data', 'TARGET cannot be "data".', 'Write STORAGE:DIRECTORY'],
    ['namespace link /a data:../x', 'TARGET cannot be "../x".', '.. is no name'],
    [
      'namespace link /a data: --client 192.0.2.0/24',
      '--client cannot be "192.0.2.0/24".',
      'Write PREFIX=ACCESS[,SQUASH]',
    ],
    [
      'namespace link /a data: --client 192.0.2.0/24=all',
      '--client cannot be "192.0.2.0/24=all".',
      'After = comes rw, ro, none',
    ],
    ['namespace link /a data: --client host=rw', '--client cannot be "host".', 'Not an IP address: host.'],
    ['namespace set /a', 'Nothing to change.', 'Say what, with an option.'],
    [
      'namespace set /a --quota-files 1 --unset quota',
      'quota is both set and taken away.',
      'Leave one of them out.',
    ],
    ['storages add Data', 'NAME cannot be "Data".', 'a name is 1 to 63'],
    ['storages add data --id 0', '--id cannot be "0".', 'Must be at least 1.'],
  ])('%s is a wrong line', async (line, message, more) => {
    const { exit, stderr } = await ask(line);
    expect(exit).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr.toLowerCase()).toContain(more.toLowerCase());
    expect(asked()).toEqual([]);
  });

  it('that is refused says why, and what to do', async () => {
    const body = {
      code: 'in_use',
      message: '/a is not empty.',
      cause: 'it has one',
      remedy: 'Remove it first',
    };
    its.daemon.reply({ 'POST /v1/namespace': failure(409, body) });
    expect(await ask('namespace rmdir /a')).toEqual({
      exit: 73,
      stdout: '',
      stderr: lines('error:  /a is not empty.', 'cause:  it has one', 'remedy: Remove it first'),
    });
  });

  it('that removes asks first, in a terminal', async () => {
    its.daemon.reply({ 'POST /v1/namespace': CHANGE });
    const terminal = { columns: 100 };
    const refused = await ask('namespace unlink /y', { terminal, input: 'n\n' });
    expect(refused).toMatchObject({ exit: 130 });
    expect(refused.stderr).toContain('Remove link /y? [y/N]');
    expect(asked().map(({ query }) => query)).toEqual([{ dryRun: 'true' }]);
    expect(await ask('namespace unlink /y', { terminal, input: 'y\n' })).toMatchObject({ exit: 0 });
    expect(await ask('namespace unlink /y --yes', { terminal })).toMatchObject({ exit: 0 });
    expect(
      asked()
        .map(({ query }) => query)
        .slice(1),
    ).toEqual([{ dryRun: 'true' }, {}, {}]);
  });
});

describe('a document', () => {
  const document = namespaceDocumentSchema.parse({
    storages: [{ name: 'data', id: 1 }],
    links: [{ path: '/x', storage: 'data', target: '.' }],
  });

  it('is exported as YAML that can be imported', async () => {
    its.daemon.reply({ 'GET /v1/namespace/export': document, 'POST /v1/namespace/import': CHANGE });
    const { stdout } = await ask('namespace export');
    expect(stdout).toMatch(/^# The namespace of a Holdfast cluster/);
    const file = join(its.daemon.directory, 'namespace.yaml');
    writeFileSync(file, stdout);
    expect(await ask(`namespace import -f ${file} --dry-run`)).toMatchObject({ exit: 0 });
    expect(asked()[1]).toEqual({
      method: 'POST',
      path: '/v1/namespace/import',
      query: { dryRun: 'true' },
      body: document,
    });
    await expectJson('namespace export', document);
    expect(await ask('namespace import -f -', { input: stdout })).toMatchObject({ exit: 0 });
    const interactive = { input: stdout, terminal: { columns: 100 } };
    expect(await ask('namespace import -f -', interactive)).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('This would remove link /y, and nobody can be asked.'),
    });
  });

  it('with mistakes is not sent', async () => {
    const file = join(its.daemon.directory, 'namespace.yaml');
    writeFileSync(file, 'links:\n  - path: /x\n    storge: data\n');
    expect(await ask(`namespace import -f ${file}`)).toMatchObject({
      exit: 65,
      stderr: expect.stringContaining(`${file}:3:5: links[0].storge: unknown; did you mean storage?`),
    });
    expect(await ask('namespace import -f /none')).toMatchObject({
      exit: 66,
      stderr: expect.stringContaining('Cannot read /none.'),
    });
    expect(await ask('namespace import -f -', { input: '' })).toMatchObject({ exit: 65 });
    expect(asked()).toEqual([]);
  });
});

describe('storages', () => {
  it('are listed', async () => {
    its.daemon.reply({ 'GET /v1/namespace': NAMESPACE });
    expect((await ask('storages list')).stdout).toBe(
      lines('STORAGE  ID  LINKS  DESCRIPTION', 'data      1      2  CephFS, 3 copies', 'iso       9      0'),
    );
    await expectJson('storages list', { items: NAMESPACE.storages });
    its.daemon.reply({ 'GET /v1/namespace': { ...NAMESPACE, storages: [] } });
    expect((await ask('storages list')).stdout).toBe(
      lines('no storages; add one with holdfast storages add'),
    );
  });

  it('have descriptions', async () => {
    its.daemon.reply({ 'POST /v1/namespace': CHANGE });
    await ask('storages set data --description x');
    await ask('storages set data --description=');
    expect(asked().map(({ body }) => body)).toEqual([
      { op: 'setStorage', name: 'data', description: 'x' },
      { op: 'setStorage', name: 'data', description: null },
    ]);
  });
});
