// Owns telling the other processes of a host that a file which they share has changed: who has changed it touches it, and
// the kernel (inotify) tells who listens. The file is never opened, for closing it would give up SQLite's locks on it. A
// hint and no more: where it cannot be given or heard, others look by themselves a little later.
//
// To listen to SQLite's log instead does not help: it is written before the commit counts, so whoever looks then sees
// nothing new, and what makes it count is written through shared memory, of which the kernel tells nobody.
import { type FSWatcher, utimesSync, watch } from 'node:fs';

export class FileBell {
  readonly #path: string;
  readonly #watcher: FSWatcher | undefined;
  #isHeard = false;
  #isClosed = false;

  /** `heard`: once for all that was told while this process did something else. */
  constructor(path: string, heard: () => void) {
    this.#path = path;
    this.#watcher = listen(path, () => {
      if (this.#isHeard) return;
      this.#isHeard = true;
      setImmediate(() => {
        this.#isHeard = false;
        if (!this.#isClosed) heard();
      });
    });
  }

  ring(): void {
    const now = new Date();
    try {
      utimesSync(this.#path, now, now);
    } catch {
      // The file belongs to another user, or is gone, which whoever uses it finds out.
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#watcher?.close();
  }
}

/** Undefined where the host has no inotify to spare. */
function listen(path: string, heard: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, { persistent: false }, heard);
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
