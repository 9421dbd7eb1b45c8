// Owns finding links that clients could not mount: looked at after each change of the namespace or of storages, and again
// while something is wrong with them.
import { Failure } from '../../lib/failure.ts';
import type { NamespaceView } from '../namespace/view.ts';

/** Of those that were made first; what is wrong with others their clients learn when they mount. */
export const CHECKED_LINKS_MAX = 1_024;
/** That are told one by one. */
const TOLD_MAX = 5;

export type LinkCheckOptions = {
  readonly view: NamespaceView;
  /** Undefined: nothing is wrong with it. */
  readonly check: (linkId: number) => Promise<Failure | undefined>;
  /** What is wrong with a storage is told of the storage. */
  readonly isServed: (storage: string) => boolean;
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
    const { view, check, isServed } = this.#options;
    const wrong: Failure[] = [];
    for (const { id, storage } of view.links().slice(0, CHECKED_LINKS_MAX)) {
      const problem = isServed(storage) ? await check(id) : undefined;
      if (problem !== undefined && view.link(id) !== undefined) wrong.push(problem);
    }
    if (wrong.length <= TOLD_MAX) return wrong;
    const rest = new Failure('not_found', `${wrong.length - TOLD_MAX} more links cannot be mounted`, {
      reason: 'the directories that they lead to are not there, or are none',
      remedy: 'see holdfast namespace tree',
    });
    return [...wrong.slice(0, TOLD_MAX), rest];
  }
}
