// Owns `holdfast metrics`.
import type { Session } from '../session.ts';

export async function metrics(session: Session): Promise<void> {
  const text = await (await session.client()).metrics();
  if (session.json) session.printJson({ text });
  else session.out.write(text);
}
