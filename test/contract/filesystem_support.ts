// What the suites of the file system contract share: callers, short words, and the way to an answer.
import { expect } from 'vitest';
import type {
  Answer,
  Caller,
  Done,
  Entry,
  Failed,
  FileHandle,
  FileSystem,
  Made,
  NewAttributes,
} from '../../control/file/filesystem/port.ts';

/** One file system with a directory of its own, empty at first, where everybody may make files. */
export type FileSystemUnderTest = {
  readonly fs: FileSystem;
  /** The same storage once more, as a process that starts anew has it. */
  reopen(): FileSystem;
  remove(): void;
};

export const root: Caller = { uid: 0, gid: 0, groups: [] };
export const alice: Caller = { uid: 61_001, gid: 62_001, groups: [] };
export const bob: Caller = { uid: 61_002, gid: 62_002, groups: [] };
/** Bob, with a group of Alice's. */
export const bobOfAlice: Caller = { uid: 61_002, gid: 62_002, groups: [62_900, alice.gid, 62_901] };
/** What root becomes where it is squashed. */
export const nobody: Caller = { uid: 65_534, gid: 65_534, groups: [] };

export const bytes = (text: string): Uint8Array => Buffer.from(text);
export const text = (from: Uint8Array): string => Buffer.from(from).toString();

/** The answer's content; fails the test if it is a refusal. */
export async function must<T>(answer: Answer<T>): Promise<Extract<T, { ok: true }>> {
  const got = (await answer) as unknown as Done<object> | Failed;
  if (!got.ok) expect.unreachable(`refused: ${got.errno}`);
  return got as unknown as Extract<T, { ok: true }>;
}

export async function errnoOf<T>(answer: Answer<T>): Promise<string> {
  const got = (await answer) as unknown as Done<object> | Failed;
  return got.ok ? 'none' : got.errno;
}

export async function makeFile(
  fs: FileSystem,
  caller: Caller,
  directory: FileHandle,
  name: string,
  content = '',
  attributes: NewAttributes = { mode: 0o644 },
): Promise<Made> {
  const made = await must(fs.create(caller, directory, bytes(name), { how: 'guarded', attributes }));
  if (content !== '') await must(fs.write(caller, made.handle, 0n, bytes(content), 'unstable'));
  return made;
}

export async function makeDirectory(
  fs: FileSystem,
  caller: Caller,
  directory: FileHandle,
  name: string,
  mode = 0o755,
): Promise<FileHandle> {
  return (await must(fs.makeDirectory(caller, directory, bytes(name), { mode }))).handle;
}

export async function contentOf(
  fs: FileSystem,
  caller: Caller,
  file: FileHandle,
  size = 4096,
): Promise<string> {
  const into = Buffer.alloc(size);
  const { readBytes } = await must(fs.read(caller, file, 0n, into));
  return into.toString('utf8', 0, readBytes);
}

/** All entries, a page at a time. */
export async function entriesOf(
  fs: FileSystem,
  caller: Caller,
  directory: FileHandle,
  entriesMax: number,
  plus: boolean,
  betweenPages: () => Promise<void> = async () => {},
): Promise<Entry[]> {
  const all: Entry[] = [];
  let verifier: Uint8Array = new Uint8Array(8);
  for (let cookie = 0n; ; ) {
    const page = await must(fs.list(caller, directory, { cookie, verifier, entriesMax, plus }));
    expect(page.entries.length).toBeLessThanOrEqual(entriesMax);
    all.push(...page.entries);
    if (page.atEnd) return all;
    expect(page.entries.length).toBeGreaterThan(0);
    cookie = page.entries.at(-1)!.cookie;
    verifier = page.verifier;
    await betweenPages();
  }
}
