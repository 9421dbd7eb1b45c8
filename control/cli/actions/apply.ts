// Owns `holdfast apply`.

import { readFile } from 'node:fs/promises';
import type { WriteGiven } from '../commands/writing.ts';
import { parseClusterDocument } from '../document_file.ts';
import { fileFailure } from '../files.ts';
import type { Session } from '../session.ts';
import { makeChange } from './change.ts';

export async function apply(
  session: Session,
  given: WriteGiven & { file: string },
): Promise<number | undefined> {
  const fromInput = given.file === '-';
  const text = fromInput ? await session.readStdin() : await read(given.file);
  const document = parseClusterDocument(text, fromInput ? 'standard input' : given.file);
  const client = await session.client();
  return await makeChange(session, given, (options) => client.apply(document, options), {
    inputIsTaken: fromInput,
  });
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw fileFailure(`read ${file}`, cause);
  }
}
