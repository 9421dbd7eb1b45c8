// Owns `holdfast attach` and `holdfast detach`.
import { EXIT_INTERRUPTED } from '../exit.ts';
import type { Session } from '../session.ts';
import { attachmentTable } from './status.ts';

export async function attach(
  session: Session,
  given: { interface: string | undefined; mode: 'auto' | 'native' | 'generic' | undefined },
): Promise<void> {
  const client = await session.client();
  const items = await client.attach({
    ...(given.interface === undefined ? {} : { interface: given.interface }),
    ...(given.mode === undefined ? {} : { mode: given.mode }),
  });
  if (session.json) session.printJson({ items });
  else session.out.print(attachmentTable(session.out, items));
}

export async function detach(
  session: Session,
  given: { interface: string | undefined; yes: boolean },
): Promise<number | undefined> {
  const where = given.interface ?? 'every interface';
  if (!given.yes && session.canAsk) {
    const sure = await session.confirm(
      `Take the program off ${where}? Its traffic is not balanced any more.`,
    );
    if (!sure) {
      session.remark('nothing was changed');
      return EXIT_INTERRUPTED;
    }
  }
  const client = await session.client();
  const items = await client.detach(given.interface === undefined ? {} : { interface: given.interface });
  if (session.json) session.printJson({ items });
  else if (items.length === 0) session.out.print('no program is attached any more');
  else session.out.print(`still attached:\n\n${attachmentTable(session.out, items)}`);
  return undefined;
}
