// Owns finding links that clients could not mount: looked at after each change of the namespace or of storages, and again
// while something is wrong with them.
import { Failure } from '../../lib/failure.ts';
import type { FileSystem } from '../filesystem/port.ts';
import type { Link } from '../namespace/document.ts';
import type { NamespaceView } from '../namespace/view.ts';

/** Of those that were made first; what is wrong with others their clients learn when they mount. */
export const CHECKED_LINKS_MAX = 1_024;
/** That are told one by one. */
const TOLD_MAX = 5;

type Found = { readonly ok: true } | { readonly ok: false; readonly errno: string };

export type LinkCheckOptions = {
  readonly view: NamespaceView;
  readonly fileSystem: (storage: string) => FileSystem | undefined;
  readonly find: (link: Link, fileSystem: FileSystem) => Promise<Found>;
};

export class LinkCheck {
  problems: readonly Failure[] = [];
  readonly #options: LinkCheckOptions;
  #isRunning = false;

  constructor(options: LinkCheckOptions) {
    this.#options = options;
  }

  /** One at a time: a storage that hangs keeps the next one waiting. */
  async run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      this.problems = await this.#look();
    } finally {
      this.#isRunning = false;
    }
  }

  async #look(): Promise<Failure[]> {
    const { view, fileSystem, find } = this.#options;
    const wrong: Failure[] = [];
    for (const link of view.links().slice(0, CHECKED_LINKS_MAX)) {
      const storage = fileSystem(link.storage);
      // What is wrong with a storage is told of the storage.
      if (storage === undefined) continue;
      const found = await find(link, storage);
      const path = view.pathOf(link.id);
      if (!found.ok && path !== undefined) wrong.push(unusable(path, link, found.errno));
    }
    if (wrong.length <= TOLD_MAX) return wrong;
    const rest = new Failure('not_found', `${wrong.length - TOLD_MAX} more links cannot be mounted`, {
      reason: 'the directories that they lead to are not there, or are none',
      remedy: 'see holdfast namespace tree',
    });
    return [...wrong.slice(0, TOLD_MAX), rest];
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such directory in the storage',
  ENOTDIR: 'it is no directory, or there is a symbolic link on the way, which is not followed',
  EXDEV: 'another file system is mounted on the way, which is not entered: make it a storage of its own',
};

function unusable(path: string, { storage, target }: Link, errno: string): Failure {
  return new Failure('not_found', `link ${path} leads to ${storage}:${target}, which cannot be served`, {
    reason: REASONS[errno] ?? errno,
    remedy: `make the directory in the storage, or holdfast namespace unlink ${path}`,
  });
}
