// Owns `holdfast namespace …`.
import { readFile, writeFile } from 'node:fs/promises';
import type { NamespaceCommandInput } from '../../api/client.ts';
import type { NamespaceChange } from '../../api/schema.ts';
import {
  ACCESSES,
  addressPrefixSchema,
  type ClientRule,
  folderOptionsSchema,
  linkOptionsSchema,
  type NamespaceDocument,
  namespacePathSchema,
  quotaSchema,
  SQUASHES,
  targetSchema,
} from '../../config/namespace.ts';
import type { EntryPatch } from '../../config/namespace_commands.ts';
import { formatNamespace, parseNamespace } from '../../config/namespace_document.ts';
import { nameSchema } from '../../config/objects.ts';
import { checkGiven } from '../check_given.ts';
import { EXIT_INTERRUPTED } from '../exit.ts';
import { fileFailure } from '../files.ts';
import { counted } from '../format.ts';
import { namespaceChangeText, namespaceDiffText, treeText } from '../namespace_text.ts';
import type { Session } from '../session.ts';
import { UsageError } from '../usage_error.ts';
import { defined } from './objects.ts';

const HEADER = `# The namespace of a Holdfast cluster: storages, folders and links.
# "holdfast namespace import -f" makes the namespace be this; what is not in it is removed.
`;

export type NamespaceWriteGiven = { readonly dryRun: boolean; readonly yes?: boolean };

type FolderGiven = {
  readonly mode: string | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly admin: readonly string[];
};

type LinkGiven = {
  readonly readOnly: boolean;
  readonly client: readonly string[];
  readonly anonymousUid: number | undefined;
  readonly anonymousGid: number | undefined;
  readonly quotaBytes: number | undefined;
  readonly quotaFiles: number | undefined;
};

export async function tree(session: Session, { path }: { readonly path: string | undefined }): Promise<void> {
  const state = await (await session.client()).namespace(path && pathOf('PATH', path));
  if (session.json) session.printJson(state);
  else session.out.print(treeText(session.out, state));
}

export async function mkdir(
  session: Session,
  given: NamespaceWriteGiven & FolderGiven & { readonly path: string; readonly parents: boolean },
): Promise<number | undefined> {
  const { parents } = given;
  const path = pathOf('PATH', given.path);
  return await makeNamespaceChange(session, given, { op: 'mkdir', path, parents, ...folderOptionsOf(given) });
}

export async function rmdir(
  session: Session,
  given: NamespaceWriteGiven & { readonly path: string },
): Promise<number | undefined> {
  return await makeNamespaceChange(session, given, { op: 'rmdir', path: pathOf('PATH', given.path) });
}

export async function link(
  session: Session,
  given: NamespaceWriteGiven & LinkGiven & { readonly path: string; readonly target: string },
): Promise<number | undefined> {
  const path = pathOf('PATH', given.path);
  const options = linkOptionsOf(given);
  return await makeNamespaceChange(session, given, {
    op: 'link',
    path,
    ...targetOf(given.target),
    ...options,
  });
}

export async function unlink(
  session: Session,
  given: NamespaceWriteGiven & { readonly path: string },
): Promise<number | undefined> {
  return await makeNamespaceChange(session, given, { op: 'unlink', path: pathOf('PATH', given.path) });
}

export async function mv(
  session: Session,
  given: NamespaceWriteGiven & { readonly from: string; readonly to: string },
): Promise<number | undefined> {
  const from = pathOf('FROM', given.from);
  const into = given.to.endsWith('/') ? `${given.to}${from.slice(from.lastIndexOf('/') + 1)}` : given.to;
  return await makeNamespaceChange(session, given, { op: 'mv', from, to: pathOf('TO', into) });
}

type Unset = 'read-only' | 'clients' | 'quota' | 'admin';
const UNSET: Readonly<Record<Unset, EntryPatch>> = {
  'read-only': { readOnly: false },
  clients: { clients: [] },
  quota: { quota: null },
  admin: { admin: [] },
};

export async function set(
  session: Session,
  given: NamespaceWriteGiven &
    FolderGiven &
    LinkGiven & { readonly path: string; readonly unset: readonly Unset[] },
): Promise<number | undefined> {
  const path = pathOf('PATH', given.path);
  const change: EntryPatch = { ...folderOptionsOf(given), ...linkOptionsOf(given) };
  for (const name of given.unset) {
    const [field] = Object.keys(UNSET[name]) as [keyof EntryPatch];
    if (change[field] !== undefined)
      throw new UsageError(`${name} is both set and taken away.`, { remedy: 'Leave one of them out.' });
    Object.assign(change, UNSET[name]);
  }
  if (Object.keys(change).length === 0) {
    throw new UsageError('Nothing to change.', { remedy: 'Say what, with an option.' });
  }
  return await makeNamespaceChange(session, given, { op: 'set', path, change });
}

export async function exportNamespace(
  session: Session,
  { output }: { readonly output: string | undefined },
): Promise<void> {
  const document = await (await session.client()).exportNamespace();
  const text = session.json
    ? `${JSON.stringify(document, undefined, 2)}\n`
    : `${HEADER}${formatNamespace(document)}`;
  if (output === undefined || output === '-') return session.out.write(text);
  try {
    await writeFile(output, text);
  } catch (cause) {
    throw fileFailure(`write ${output}`, cause);
  }
}

export async function importNamespace(
  session: Session,
  given: NamespaceWriteGiven & { readonly file: string },
): Promise<number | undefined> {
  const document = await readNamespace(session, given.file);
  const client = await session.client();
  const inputIsTaken = given.file === '-';
  return await changeNamespace(session, { ...given, inputIsTaken }, (options) =>
    client.importNamespace(document, options),
  );
}

async function readNamespace(session: Session, file: string): Promise<NamespaceDocument> {
  if (file === '-') return parseNamespace(await session.readStdin(), 'standard input');
  try {
    return parseNamespace(await readFile(file, 'utf8'), file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause;
    throw fileFailure(`read ${file}`, cause);
  }
}

export async function makeNamespaceChange(
  session: Session,
  given: NamespaceWriteGiven,
  command: NamespaceCommandInput,
): Promise<number | undefined> {
  const client = await session.client();
  return await changeNamespace(session, given, (options) => client.changeNamespace(command, options));
}

/** Asks before anything goes, in a terminal. */
async function changeNamespace(
  session: Session,
  given: NamespaceWriteGiven & { readonly inputIsTaken?: boolean },
  write: (options: { dryRun: boolean }) => Promise<NamespaceChange>,
): Promise<number | undefined> {
  const { dryRun, yes = true, inputIsTaken = false } = given;
  if (!dryRun && !yes && session.err.isTerminal && (session.canAsk || inputIsTaken)) {
    const preview = await write({ dryRun: true });
    if (preview.amounts.remove > 0 && !(await agreed(session, preview, inputIsTaken))) {
      session.remark('nothing was changed');
      return EXIT_INTERRUPTED;
    }
  }
  const change = await write({ dryRun });
  if (session.json) session.printJson(change);
  else session.out.print(namespaceChangeText(session.out, change));
  return undefined;
}

async function agreed(session: Session, preview: NamespaceChange, inputIsTaken: boolean): Promise<boolean> {
  const removed = preview.changes.filter(({ action }) => action === 'remove');
  const [first] = removed;
  const { remove } = preview.amounts;
  const what =
    remove === 1 && first !== undefined ? `${first.kind} ${first.name}` : counted(remove, 'object');
  if (inputIsTaken) {
    throw new UsageError(`This would remove ${what}, and nobody can be asked.`, {
      reason: 'Standard input, where the answer would come from, is the file.',
      remedy: 'Give --yes, or the name of a file.',
    });
  }
  session.remark(`${namespaceDiffText(session.err, preview)}\n`);
  return await session.confirm(`Remove ${what}?`);
}

/** `/projects/` is `/projects`. */
function pathOf(argument: string, text: string): string {
  const path = text.length > 1 ? text.replace(/\/+$/, '') || '/' : text;
  checkGiven({ path }, { path: namespacePathSchema }, { path: argument });
  return path;
}

function targetOf(text: string): { storage: string; target: string } {
  const [storage = '', rest] = text.split(/:(.*)/s);
  if (rest === undefined || !nameSchema.safeParse(storage).success) {
    throw new UsageError(`TARGET cannot be "${text}".`, {
      remedy: 'Write STORAGE:DIRECTORY, such as data:projects/web; STORAGE: is all of it.',
    });
  }
  const target = rest.replace(/^\/+|\/+$/g, '') || '.';
  checkGiven({ target }, { target: targetSchema }, { target: 'TARGET' });
  return { storage, target };
}

function folderOptionsOf(given: FolderGiven): Partial<Pick<EntryPatch, 'mode' | 'uid' | 'gid' | 'admin'>> {
  checkGiven(given, folderOptionsSchema.shape);
  const { mode, uid, gid, admin } = given;
  return defined({ mode, uid, gid, admin: admin.length === 0 ? undefined : [...admin] });
}

function linkOptionsOf(given: LinkGiven) {
  const { readOnly, client, anonymousUid, anonymousGid, quotaBytes: bytes, quotaFiles: files } = given;
  checkGiven(given, {
    anonymousUid: linkOptionsSchema.shape.anonymousUid,
    anonymousGid: linkOptionsSchema.shape.anonymousGid,
    quotaBytes: quotaSchema.shape.bytes,
    quotaFiles: quotaSchema.shape.files,
  });
  const hasQuota = bytes !== undefined || files !== undefined;
  return defined({
    readOnly: readOnly ? true : undefined,
    clients: client.length === 0 ? undefined : client.map(clientOf),
    anonymousUid,
    anonymousGid,
    quota: hasQuota ? defined({ bytes, files }) : undefined,
  });
}

/** `192.0.2.0/24=rw,all` */
function clientOf(text: string): ClientRule {
  const [address = '', rest = ''] = text.split(/=(.*)/s);
  const [access = '', squash = 'root', ...more] = rest.split(',');
  const known = <T extends string>(words: readonly T[], word: string): word is T =>
    (words as readonly string[]).includes(word);
  if (more.length > 0 || !known(ACCESSES, access) || !known(SQUASHES, squash)) {
    throw new UsageError(`--client cannot be "${text}".`, {
      reason: `After = comes ${ACCESSES.join(', ')}; then, with a comma, ${SQUASHES.join(', ')}.`,
      remedy: 'Write PREFIX=ACCESS[,SQUASH], such as 192.0.2.0/24=rw or 2001:db8::/32=ro,all.',
    });
  }
  checkGiven({ client: address }, { client: addressPrefixSchema });
  return { address, access, squash };
}
