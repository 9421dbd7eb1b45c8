// Owns the commands about the namespace of the file service: what they are called and what they take.
import { ACCESSES, SQUASHES } from '../../config/namespace.ts';
import { type Command, command, type Options } from '../command.ts';
import { REMOVE_OPTIONS, WRITE_OPTIONS } from './writing.ts';

const namespace = () => import('../actions/namespace.ts');
const storages = () => import('../actions/storages.ts');

const FOLDER = { required: true, describe: 'Path of a folder: /projects', source: 'folders' } as const;
const LINK = { required: true, describe: 'Path of a link: /projects/web', source: 'links' } as const;
const STORAGE = { required: true, describe: 'Name of a storage', source: 'storages' } as const;
const dryRun = WRITE_OPTIONS.dryRun;
const yes = REMOVE_OPTIONS.yes;

const FOLDER_OPTIONS = {
  mode: { type: 'text', describe: 'Folder: permissions, four octal digits' },
  uid: { type: 'number', describe: 'Folder: user that it belongs to' },
  gid: { type: 'number', describe: 'Folder: group that it belongs to' },
  admin: {
    type: 'text',
    many: true,
    describe: 'Folder: address or prefix of clients that may change what is in it through the file protocol',
  },
} as const satisfies Options;

const LINK_OPTIONS = {
  client: {
    type: 'text',
    many: true,
    describe: `Link: PREFIX=ACCESS[,SQUASH], who may mount it, the first that fits counts; ACCESS: ${ACCESSES.join(', ')}; SQUASH: ${SQUASHES.join(', ')}, root unless given`,
  },
  anonymousUid: { type: 'number', describe: 'Link: user that squashed clients are; 65534 unless given' },
  anonymousGid: { type: 'number', describe: 'Link: group that squashed clients are; 65534 unless given' },
  quotaBytes: { type: 'number', describe: 'Link: bytes that files below it may take' },
  quotaFiles: { type: 'number', describe: 'Link: files and directories below it' },
} as const satisfies Options;

const readOnly = { type: 'flag', describe: 'Link: nobody may write' } as const;

export const NAMESPACE_COMMANDS: readonly Command[] = [
  command({
    path: 'namespace tree',
    summary: 'Folders and links as a tree, and for each link the line that mounts it',
    arguments: { path: { describe: 'Only this, and what is in it', source: 'entries' } },
    run: async (session, given) => (await namespace()).tree(session, given),
  }),
  command({
    path: 'namespace mkdir',
    summary: 'Make a folder',
    arguments: { path: { required: true, describe: 'Path of the new folder: /projects', source: 'folders' } },
    options: {
      parents: { type: 'flag', short: 'p', describe: 'Also folders above it that are missing' },
      ...FOLDER_OPTIONS,
      dryRun,
    },
    examples: [['namespace mkdir -p /projects/2026', '']],
    run: async (session, given) => (await namespace()).mkdir(session, given),
  }),
  command({
    path: 'namespace rmdir',
    summary: 'Remove an empty folder',
    arguments: { path: FOLDER },
    options: { dryRun, yes },
    run: async (session, given) => (await namespace()).rmdir(session, given),
  }),
  command({
    path: 'namespace link',
    summary: 'Make a link: a directory of a storage that clients see at a path',
    details:
      'Nobody may mount it unless --client says who. What it leads to cannot be changed later: handles of clients lead there.',
    arguments: {
      path: { required: true, describe: 'Path of the new link: /projects/web', source: 'folders' },
      target: {
        required: true,
        describe: 'STORAGE:DIRECTORY, from the root of the storage; STORAGE: is all of it',
        source: 'storages',
      },
    },
    options: { readOnly, ...LINK_OPTIONS, dryRun },
    examples: [
      ['namespace link /projects/web data:projects/web --client 192.0.2.0/24=rw', ''],
      ['namespace link /iso data:iso --read-only --client 192.0.2.0/24=ro --client 2001:db8::/32=ro,all', ''],
    ],
    run: async (session, given) => (await namespace()).link(session, given),
  }),
  command({
    path: 'namespace unlink',
    summary: 'Remove a link',
    details: 'Clients that have it mounted get stale handles. What is in the storage stays.',
    arguments: { path: LINK },
    options: { dryRun, yes },
    run: async (session, given) => (await namespace()).unlink(session, given),
  }),
  command({
    path: 'namespace mv',
    summary: 'Move or rename a folder or a link',
    details:
      'Ids stay: clients that have mounted it, or something in it, do not notice. A new path that ends with / is a folder to move into.',
    arguments: {
      from: { required: true, describe: 'Path of a folder or a link', source: 'entries' },
      to: { required: true, describe: 'Its new path', source: 'folders' },
    },
    options: { dryRun },
    examples: [['namespace mv /projects/web /archive/', 'to /archive/web']],
    run: async (session, given) => (await namespace()).mv(session, given),
  }),
  command({
    path: 'namespace set',
    summary: 'Change options of a folder or a link',
    details: 'What is not named stays. Clients and admins that are named replace all that were there.',
    arguments: {
      path: { required: true, describe: 'Path of a folder or a link', source: 'entries' },
    },
    options: {
      ...FOLDER_OPTIONS,
      readOnly,
      ...LINK_OPTIONS,
      unset: {
        type: 'text',
        many: true,
        choices: ['read-only', 'clients', 'quota', 'admin'],
        describe: 'Take away; clients: nobody may mount it any more',
      },
      dryRun,
    },
    examples: [['namespace set /projects/web --client 192.0.2.0/24=rw --quota-bytes 1000000000', '']],
    run: async (session, given) => (await namespace()).set(session, given),
  }),
  command({
    path: 'namespace export',
    summary: 'Write all of it as YAML, or JSON with --json',
    options: {
      output: {
        type: 'text',
        short: 'o',
        describe: 'File to write; - is standard output',
        standard: '-',
        source: 'files',
      },
    },
    run: async (session, given) => (await namespace()).exportNamespace(session, given),
  }),
  command({
    path: 'namespace import',
    summary: 'Make the namespace be what a file says; what is not in it is removed',
    details: 'What is at its path as before, and leads where it did, keeps its id: clients do not notice.',
    options: {
      file: {
        type: 'text',
        short: 'f',
        required: true,
        describe: 'YAML or JSON, as namespace export writes it; - is standard input',
        source: 'files',
      },
      dryRun,
      yes,
    },
    examples: [['namespace import -f namespace.yaml --dry-run', 'what would change']],
    run: async (session, given) => (await namespace()).importNamespace(session, given),
  }),
  command({
    path: 'storages list',
    summary: 'All storages, and how many links lead into each',
    run: async (session) => (await storages()).list(session),
  }),
  command({
    path: 'storages add',
    summary: 'Add a storage: something that every file node can reach',
    details: 'Where it is mounted, each node says in its file: file.storages.',
    arguments: { name: { required: true, describe: 'Its name: a-z, 0-9 and -' } },
    options: {
      id: {
        type: 'number',
        describe: 'In the handles of clients, for good: 1 to 65535; the next that is free unless given',
      },
      description: { type: 'text', describe: 'What it is' },
      dryRun,
    },
    examples: [["storages add data --description 'CephFS, 3 copies'", '']],
    run: async (session, given) => (await storages()).add(session, given),
  }),
  command({
    path: 'storages set',
    summary: 'Change the description of a storage',
    arguments: { name: STORAGE },
    options: {
      description: { type: 'text', required: true, describe: 'What it is; empty takes it away' },
      dryRun,
    },
    run: async (session, given) => (await storages()).set(session, given),
  }),
  command({
    path: 'storages rm',
    summary: 'Remove a storage that no link leads into',
    arguments: { name: STORAGE },
    options: { dryRun, yes },
    run: async (session, given) => (await storages()).remove(session, given),
  }),
];
