// Owns `holdfast export`.
import { writeFile } from 'node:fs/promises';
import { formatDocument } from '../../config/document.ts';
import { fileFailure } from '../files.ts';
import type { Session } from '../session.ts';

const HEADER = `# Services, pools and backends of a Holdfast cluster.
# "holdfast apply -f" makes a cluster be this; what is not in it is removed.
`;

export async function exportDocument(session: Session, given: { output: string | undefined }): Promise<void> {
  const document = await (await session.client()).export();
  const text = session.json
    ? `${JSON.stringify(document, undefined, 2)}\n`
    : `${HEADER}${formatDocument(document)}`;
  if (given.output === undefined || given.output === '-') return session.out.write(text);
  try {
    await writeFile(given.output, text);
  } catch (cause) {
    throw fileFailure(`write ${given.output}`, cause);
  }
}
