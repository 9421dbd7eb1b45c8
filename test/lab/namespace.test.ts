// holdfast namespace and storages against daemons: one that balances, and one that has the role file, on one store.
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import {
  failureSchema,
  itemsSchema,
  namespaceChangeSchema,
  namespaceSchema,
  storageViewSchema,
} from '../../control/api/schema.ts';
import { namespaceDocumentSchema } from '../../control/config/namespace.ts';
import { type CommandOptions, holdfast, lines, told } from './command.ts';
import type { LabDaemon } from './daemon.ts';
import { anyRevision, Operator } from './operator.ts';
import { NODE_ADDRESS, raiseTestSingle, type SingleLab } from './single.ts';
import { eventually } from './support.ts';

const EMPTY = 'links: []\n';

let lab: SingleLab;
let operator: Operator;
let files: LabDaemon;
beforeAll(async () => {
  lab = raiseTestSingle();
  operator = new Operator(lab);
  await lab.start();
  files = lab.daemonCalled('files');
  files.configure(
    lab.nodeFile(files, { roles: ['file'], file: { storages: { data: '/srv/data' }, port: 3_049 } }),
  );
  files.launch();
  await files.answers(({ appliedRevision }) => appliedRevision > 0);
});
afterAll(() => lab?.down());

const atFiles = async (line: string, options: CommandOptions = {}) =>
  await holdfast(line, { socket: files.place.socket, ...options });

async function done(...commands: readonly string[]): Promise<void> {
  for (const line of commands) await operator.done(line);
}

beforeEach(async () => {
  await operator.done('namespace import -f -', { input: EMPTY });
  await done('storages add data --description CephFS', 'namespace mkdir -p /projects/old');
  await done('namespace link /projects/web data:projects/web --client 192.0.2.0/24=rw');
});

describe('a namespace', () => {
  it('is drawn as a tree at any node, with the line that mounts each link', async () => {
    const tree = await operator.done('namespace tree');
    expect(anyRevision(tree)).toBe(
      lines(
        '/',
        '`-- projects/',
        '    |-- old/',
        '    `-- web -> data:projects/web  192.0.2.0/24=rw',
        '          mount -t nfs -o vers=3,nolock,proto=tcp,port=2049,mountport=2049 ADDRESS:/projects/web /mnt',
        '',
        '3 folders, 1 link; revision N',
      ),
    );
    const { revision } = await operator.json(namespaceSchema, 'namespace tree');
    const there = await eventually(async () => {
      const { stdout } = await atFiles('namespace tree');
      return stdout.includes(`revision ${revision}\n`) ? stdout : undefined;
    }, 'the namespace at the other node');
    expect(there).toContain(
      `mount -t nfs -o vers=3,nolock,proto=tcp,port=3049,mountport=3049 ${NODE_ADDRESS}:/projects/web /mnt`,
    );
  });

  it('is changed at any node, and every node sees it', async () => {
    expect(anyRevision((await atFiles('namespace mv /projects /work')).stdout)).toBe(
      lines('> folder /projects → /work', '', '1 moved: revision N'),
    );
    await eventually(
      async () => (await operator.done('namespace tree')).includes('`-- work/') || undefined,
      'the folder under its new name',
    );
    const ids = async () =>
      new Map((await lab.daemon.client.namespace()).entries.map(({ path, id }) => [path, id]));
    const before = await ids();
    await done('namespace mv /work /projects');
    expect((await ids()).get('/projects/web')).toBe(before.get('/work/web'));
  });

  it('outlives its daemons', async () => {
    const before = await operator.json(namespaceSchema, 'namespace tree');
    await files.end('SIGKILL');
    files.launch();
    await files.answers();
    const after = await eventually(async () => {
      const { exit, stdout } = await atFiles('namespace tree --json');
      return exit === 0 ? namespaceSchema.parse(JSON.parse(stdout)) : undefined;
    }, 'the namespace after a restart');
    expect({ ...after, service: undefined }).toEqual({ ...before, service: undefined });
  });

  it('is exported and imported, and what stays keeps its id', async () => {
    const text = await operator.done('namespace export');
    const document = namespaceDocumentSchema.parse(parse(text));
    expect(document.links).toMatchObject([{ path: '/projects/web', storage: 'data' }]);
    const file = operator.file('namespace.yaml', text);
    expect(anyRevision(await operator.done(`namespace import -f ${file}`))).toBe(
      lines('nothing to change at revision N'),
    );
    const before = await operator.json(namespaceSchema, 'namespace tree');
    writeFileSync(file, text.replace('path: /projects/old', 'path: /projects/new'));
    const change = await operator.json(namespaceChangeSchema, `namespace import -f ${file} --dry-run`);
    expect(change).toMatchObject({ dryRun: true, amounts: { add: 1, change: 0, move: 0, remove: 1 } });
    expect(anyRevision(await operator.done(`namespace import -f ${file}`))).toBe(
      lines(
        '+ folder /projects/new',
        '    mode: 0755',
        '    uid: 0',
        '    gid: 0',
        '    admin: ',
        '- folder /projects/old',
        '',
        '1 added, 1 removed: revision N',
      ),
    );
    const after = await operator.json(namespaceSchema, 'namespace tree');
    const web = (it: typeof after) => it.entries.find(({ path }) => path === '/projects/web');
    expect(web(after)).toEqual(web(before));
  });

  it('has storages', async () => {
    const { items } = await operator.json(itemsSchema(storageViewSchema), 'storages list');
    expect(items).toMatchObject([{ name: 'data', description: 'CephFS', links: 1 }]);
    expect(await operator.done('storages list')).toMatch(
      /^STORAGE +ID +LINKS +DESCRIPTION\ndata +\d+ +1 +CephFS\n$/,
    );
  });
});

describe('a command that cannot be done says why, and what to do', () => {
  it.each([
    [
      'namespace rmdir /projects',
      73,
      told(
        '/projects is not empty.',
        'it has 2 folders and links',
        'Remove or move them first; see holdfast namespace tree /projects',
      ),
    ],
    [
      'namespace mkdir /a/b',
      66,
      told('There is no folder /a.', undefined, 'Make it first: holdfast namespace mkdir /a'),
    ],
    [
      'namespace mv /projects /projects/old/x',
      65,
      told('/projects cannot be moved into itself.', '/projects/old/x is below it'),
    ],
    [
      'namespace mv /projects/web /projects/old',
      73,
      told('/projects/old exists.', 'it is a folder', 'To move into the folder, write /projects/old/web'),
    ],
    [
      'namespace link /x iso:',
      66,
      told('There is no storage iso.', 'there are data', 'Add it first: holdfast storages add iso'),
    ],
    [
      'namespace unlink /projects',
      65,
      told('/projects is a folder.', undefined, 'holdfast namespace rmdir /projects'),
    ],
    [
      'namespace set /projects --read-only',
      65,
      told('A folder has no readOnly.', '/projects is a folder, which has mode, uid, gid, admin'),
    ],
    [
      'storages rm data',
      73,
      told(
        'Storage data is in use.',
        'a link leads into it, such as /projects/web',
        'Remove them first: holdfast namespace unlink',
      ),
    ],
    ['storages add data', 73, told('Storage data exists.', undefined, 'See holdfast storages list')],
    [
      'namespace tree /x',
      66,
      told('There is no /x in the namespace.', undefined, 'See those there are: holdfast namespace tree'),
    ],
  ])('%s', async (line, exit, stderr) => {
    const before = await operator.done('namespace tree');
    expect(await operator.run(line)).toEqual({ exit, stdout: '', stderr });
    const json = await operator.run(`${line} --json`);
    expect(failureSchema.parse(JSON.parse(json.stderr || json.stdout))).toMatchObject({
      message: expect.any(String),
    });
    expect(await operator.done('namespace tree')).toBe(before);
  });

  it('and a document with mistakes names every one', async () => {
    const text =
      'storages:\n  - name: data\nlinks:\n  - path: /x\n    storage: data\n    target: ../x\n    more: 1\n';
    const file = operator.file('wrong.yaml', text);
    expect(await operator.run(`namespace import -f ${file}`)).toEqual({
      exit: 65,
      stdout: '',
      stderr: told(
        `${file} has 2 mistakes.`,
        [
          `${file}:6:13: links[0].target: .. is no name`,
          `        ${file}:7:5: links[0].more: unknown; there are path, storage, target, readOnly, clients, anonymousUid, anonymousGid, quota`,
        ].join('\n'),
      ),
    });
  });
});

describe('a node with the role file alone', () => {
  it('says what it lacks, and what it cannot do', async () => {
    const status = await files.client.status();
    expect(status).toMatchObject({ node: 'files', roles: ['file'], attachments: [] });
    expect(status.problems).toMatchObject([{ code: 'unavailable', message: 'Storage data is not served.' }]);
    expect(await atFiles('attach')).toMatchObject({
      exit: 69,
      stderr: told(
        'This node cannot be attached.',
        'it is neither mux nor backend',
        'Ask a node that has one of these roles',
      ),
    });
    expect((await atFiles('explain tcp 192.0.2.7:4242 198.18.0.10:80')).exit).toBe(69);
    expect((await atFiles('status')).stdout).toMatch(/^node +files \(file\)$/m);
    expect(await operator.done('nodes list')).toMatch(/^files +file /m);
  });
});
