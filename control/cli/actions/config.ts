// Owns `holdfast config …`: the file of this node, read here, without the daemon.
import { readFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { NODE_CONFIG_PATH } from '../../config/node.ts';
import { checkNodeFile, nodeFileJsonSchema, parseNodeFile } from '../../config/node_file.ts';
import { FAILURES } from '../../lib/failure.ts';
import { fileFailure } from '../files.ts';
import type { Session } from '../session.ts';

type FileGiven = { readonly file: string | undefined };

export async function check(session: Session, given: FileGiven): Promise<number | undefined> {
  const { name, text, isThere } = await read(given.file);
  if (session.json) {
    const checked = checkNodeFile(text);
    const problems = 'problems' in checked ? checked.problems : [];
    session.printJson({ file: name, exists: isThere, valid: problems.length === 0, problems });
    return problems.length === 0 ? undefined : FAILURES.configuration.exit;
  }
  parseNodeFile(text, name);
  session.out.print(isThere ? `${name} has no mistakes` : `there is no ${name}: everything is as by default`);
  return undefined;
}

/** With the defaults of what the file leaves out. */
export async function show(session: Session, given: FileGiven): Promise<void> {
  const { name, text, isThere } = await read(given.file);
  const config = parseNodeFile(text, name);
  if (session.json) return session.printJson(config);
  const origin = isThere ? `${name}, and defaults` : `defaults; there is no ${name}`;
  session.out.write(`# ${origin}\n${stringify(config)}`);
}

export async function schema(session: Session): Promise<void> {
  session.printJson(nodeFileJsonSchema());
}

/** The daemon does without the file at its usual place; one that is named has to be there. */
async function read(file: string | undefined): Promise<{ name: string; text: string; isThere: boolean }> {
  const name = file ?? NODE_CONFIG_PATH;
  try {
    return { name, text: await readFile(name, 'utf8'), isThere: true };
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    if (file === undefined && isMissing) return { name, text: '', isThere: false };
    throw fileFailure(`read ${name}`, cause);
  }
}
