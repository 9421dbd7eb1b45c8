// Owns `holdfast users …`.
import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import type { ApiRole } from '../../config/api_roles.ts';
import { EXIT_INTERRUPTED } from '../exit.ts';
import { dateTime } from '../format.ts';
import { writeProfile } from '../profile.ts';
import type { Session } from '../session.ts';
import { usersText } from './cluster.ts';

export async function list(session: Session): Promise<void> {
  const { users } = await (await session.client()).members();
  if (session.json) session.printJson({ items: users });
  else
    session.out.print(users.length === 0 ? 'there are no users' : usersText(session.out, users, Date.now()));
}

export async function add(
  session: Session,
  given: {
    readonly name: string;
    readonly role: ApiRole | undefined;
    readonly out: string | undefined;
    readonly days: number | undefined;
  },
): Promise<void> {
  const { name, role = 'view', days } = given;
  const client = await session.client();
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  const out = given.out ?? `${name}.holdfast`;
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const { urls, serial, expiresAtMs } = await writeProfile(out, async () => {
    const made = await client.addUser({
      name,
      role,
      publicKey: publicKey.export({ type: 'spki', format: 'pem' }) as string,
      ...(days !== undefined && { days }),
    });
    return { ...made, user: name, key };
  });
  if (session.json) session.printJson({ name, role, serial, expiresAtMs, urls, file: out });
  else {
    session.out.print(
      session.out.paint('green', `${name} has the role ${role}, until ${dateTime(expiresAtMs)}: ${out}`),
    );
    session.remark(
      `it has a private key: hand it over as a password. Use it: holdfast --profile ${out} status`,
    );
  }
}

export async function set(
  session: Session,
  { name, role }: { readonly name: string; readonly role: ApiRole },
): Promise<void> {
  const { users } = await (await session.client()).setUser(name, role);
  if (session.json) session.printJson(users.find((it) => it.name === name) ?? { name, role });
  else session.out.print(session.out.paint('green', `${name} has the role ${role}`));
}

export async function remove(
  session: Session,
  { name, yes }: { readonly name: string; readonly yes: boolean },
): Promise<number | undefined> {
  const client = await session.client();
  if (!yes && session.canAsk && !(await session.confirm(`Remove ${name}?`))) {
    session.remark('nothing was changed');
    return EXIT_INTERRUPTED;
  }
  const { users } = await client.removeUser(name);
  if (session.json) session.printJson({ items: users });
  else session.out.print(session.out.paint('green', `${name} is refused from now on`));
  return undefined;
}
