// Owns `holdfast apply`.
import { readFile } from 'node:fs/promises';
import { parseDocument } from '../../config/document.ts';
import type { Document } from '../../config/objects.ts';
import { Failure } from '../../lib/failure.ts';
import type { WriteGiven } from '../commands/writing.ts';
import { fileFailure } from '../files.ts';
import type { Session } from '../session.ts';
import { makeChange } from './change.ts';

export async function apply(
  session: Session,
  given: WriteGiven & { file: string },
): Promise<number | undefined> {
  const document = await readDocument(session, given.file);
  const client = await session.client();
  return await makeChange(session, given, (options) => client.apply(document, options), {
    inputIsTaken: given.file === '-',
  });
}

/** `-` is standard input. */
export async function readDocument(session: Session, file: string): Promise<Document> {
  if (file === '-') return read(await session.readStdin(), 'standard input');
  return read(await readText(file), file);
}

/** An empty file would remove everything, and is what a failed command leaves of its output. */
function read(text: string, name: string): Document {
  if (text.split('\n').every((line) => /^\s*(?:#|$)/.test(line))) {
    throw new Failure('invalid', `${name} is empty.`, {
      remedy: 'To remove everything, write "services: []" and give --force.',
    });
  }
  return parseDocument(text, name);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw fileFailure(`read ${file}`, cause);
  }
}
