// Owns `holdfast plan`.
import { changesText } from '../changes_text.ts';
import type { Session } from '../session.ts';
import { readDocument } from './apply.ts';
import { changeResultText } from './change.ts';

export async function plan(
  session: Session,
  { file, force }: { readonly file: string | undefined; readonly force: boolean },
): Promise<void> {
  if (file === undefined) {
    const found = await (await session.client()).changes();
    if (session.json) session.printJson(found);
    else session.out.print(changesText(session.out, found, { detailed: true, finished: false }));
    return;
  }
  const document = await readDocument(session, file);
  const change = await (await session.client()).plan(document, { force });
  if (session.json) session.printJson(change);
  else session.out.print(changeResultText(session.out, change));
}
