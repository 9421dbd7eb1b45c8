// Owns `holdfast export`.

import { writeFile } from 'node:fs/promises';
import { formatClusterDocument } from '../document_file.ts';
import { fileFailure } from '../files.ts';
import type { Session } from '../session.ts';

export async function exportDocument(session: Session, given: { output: string | undefined }): Promise<void> {
  const document = await (await session.client()).export();
  const text = session.json ? `${JSON.stringify(document, undefined, 2)}\n` : formatClusterDocument(document);
  if (given.output === undefined || given.output === '-') return session.out.write(text);
  try {
    await writeFile(given.output, text);
  } catch (cause) {
    throw fileFailure(`write ${given.output}`, cause);
  }
}
