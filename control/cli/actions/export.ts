// Owns `holdfast export`.
import { writeFile } from 'node:fs/promises';
import { Failure } from '../../lib/failure.ts';
import { formatClusterDocument } from '../document_file.ts';
import type { Session } from '../session.ts';

export async function exportDocument(session: Session, given: { output: string | undefined }): Promise<void> {
  const document = await (await session.client()).export();
  const text = session.json ? `${JSON.stringify(document, undefined, 2)}\n` : formatClusterDocument(document);
  if (given.output === undefined || given.output === '-') return session.out.write(text);
  try {
    await writeFile(given.output, text);
  } catch (cause) {
    throw new Failure('invalid', `Cannot write ${given.output}`, { cause });
  }
}
