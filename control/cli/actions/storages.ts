// Owns `holdfast storages …`.
import type { StorageView } from '../../api/schema.ts';
import { storageSchema } from '../../config/namespace.ts';
import { checkGiven } from '../check_given.ts';
import { count } from '../format.ts';
import type { Session } from '../session.ts';
import { type Column, table } from '../table.ts';
import { makeNamespaceChange, type NamespaceWriteGiven } from './namespace.ts';
import { defined } from './objects.ts';

export async function list(session: Session): Promise<void> {
  const { storages } = await (await session.client()).namespace();
  if (session.json) return session.printJson({ items: storages });
  if (storages.length === 0) return session.out.print('no storages; add one with holdfast storages add');
  const columns: Column<StorageView>[] = [
    { head: 'STORAGE', cell: (it) => it.name, style: () => 'bold' },
    { head: 'ID', cell: (it) => String(it.id), right: true },
    { head: 'LINKS', cell: (it) => count(it.links), right: true },
    { head: 'DESCRIPTION', cell: (it) => it.description ?? '', narrow: 'wrap' },
  ];
  session.out.print(table(session.out, columns, storages));
}

export async function add(
  session: Session,
  given: NamespaceWriteGiven & {
    readonly name: string;
    readonly id: number | undefined;
    readonly description: string | undefined;
  },
): Promise<number | undefined> {
  checkGiven(given, storageSchema.shape, { name: 'NAME' });
  const { name, id, description } = given;
  return await makeNamespaceChange(session, given, {
    op: 'addStorage',
    name,
    ...defined({ id, description }),
  });
}

export async function set(
  session: Session,
  given: NamespaceWriteGiven & { readonly name: string; readonly description: string },
): Promise<number | undefined> {
  const description = given.description === '' ? null : given.description;
  return await makeNamespaceChange(session, given, { op: 'setStorage', name: given.name, description });
}

export async function remove(
  session: Session,
  given: NamespaceWriteGiven & { readonly name: string },
): Promise<number | undefined> {
  return await makeNamespaceChange(session, given, { op: 'removeStorage', name: given.name });
}
