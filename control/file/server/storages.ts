// Owns the storages of a node as its file server has them: opened where they are mounted, closed when they go, opened again
// when they are back, and what is wrong with each. What a storage can do is the filesystem port's.
import { statSync } from 'node:fs';
import { Failure } from '../../lib/failure.ts';
import type { FileSystem } from '../filesystem/port.ts';
import type { StorageReport } from './messages.ts';

/** A storage that has not answered for so long is told of; requests wait as long as their patience says. */
const HUNG_MS = 5_000;

type Place = {
  readonly name: string;
  readonly directory: string;
  fileSystem: FileSystem | undefined;
  /** Of the file system that was mounted there when it was opened. */
  device: bigint;
  problem: Failure | undefined;
};

export type StoragesOptions = {
  readonly storages: Readonly<Record<string, string>>;
  /** @throws Failure where the directory cannot be served. */
  readonly open: (directory: string) => FileSystem;
};

export class Storages {
  readonly #places: ReadonlyMap<string, Place>;
  readonly #open: StoragesOptions['open'];

  constructor({ storages, open }: StoragesOptions) {
    this.#open = open;
    this.#places = new Map(
      Object.entries(storages).map(([name, directory]) => [
        name,
        { name, directory, fileSystem: undefined, device: 0n, problem: undefined },
      ]),
    );
    this.look();
  }

  /** Undefined: it is not of this node, or it is away now. */
  fileSystem(name: string): FileSystem | undefined {
    return this.#places.get(name)?.fileSystem;
  }

  /** Looks after all of them: to be called from time to time. Returns whether anything is otherwise than before. */
  look(): boolean {
    let isChanged = false;
    for (const place of this.#places.values()) {
      const before = place.problem?.message;
      this.#lookAt(place);
      isChanged ||= before !== place.problem?.message;
    }
    return isChanged;
  }

  problems(): Failure[] {
    return [...this.#places.values()].flatMap(({ problem }) => problem ?? []);
  }

  reports(): StorageReport[] {
    return [...this.#places.values()].map(({ name, directory, fileSystem }) => {
      if (fileSystem === undefined) return { name, directory };
      const { pending, oldestMs } = fileSystem.state();
      return { name, directory, type: fileSystem.type, pending, oldestMs: Math.round(oldestMs) };
    });
  }

  close(): void {
    for (const place of this.#places.values()) letGo(place);
  }

  #lookAt(place: Place): void {
    if (place.fileSystem === undefined) {
      this.#tryToOpen(place);
      return;
    }
    const { oldestMs } = place.fileSystem.state();
    // To look at a storage that hangs is to hang with it.
    if (oldestMs >= HUNG_MS) {
      place.problem = hung(place);
      return;
    }
    if (deviceOf(place.directory) === place.device) {
      place.problem = undefined;
      return;
    }
    letGo(place);
    place.problem = unmounted(place);
    this.#tryToOpen(place);
  }

  #tryToOpen(place: Place): void {
    // What was mounted there once is not what its mount point is without it.
    const device = deviceOf(place.directory);
    if (place.problem !== undefined && place.device !== 0n && isLeftBehind(place, device)) return;
    try {
      place.fileSystem = this.#open(place.directory);
      place.device = device ?? 0n;
      place.problem = undefined;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      place.problem = new Failure(error.code, `storage ${place.name} is not served`, {
        reason: [error.message, error.reason].filter((it) => it !== undefined).join(': '),
        ...(error.remedy !== undefined && { remedy: error.remedy }),
      });
    }
  }
}

function letGo(place: Place): void {
  place.fileSystem?.close();
  place.fileSystem = undefined;
}

function deviceOf(directory: string): bigint | undefined {
  try {
    return statSync(directory, { bigint: true }).dev;
  } catch {
    return undefined;
  }
}

/** It is on the file system that its parent is on: nothing is mounted there, where something was. */
function isLeftBehind({ directory }: Place, device: bigint | undefined): boolean {
  return device === undefined || device === deviceOf(`${directory}/..`);
}

function hung({ name, directory }: Place): Failure {
  return new Failure('timeout', `storage ${name} does not answer`, {
    reason: `operations in ${directory} have waited for more than ${HUNG_MS / 1_000} s`,
    remedy: `see what keeps ${directory}: its network, its servers, dmesg; clients wait meanwhile`,
  });
}

function unmounted({ name, directory }: Place): Failure {
  return new Failure('unavailable', `storage ${name} is not mounted`, {
    reason: `the file system that was mounted on ${directory} is gone from there`,
    remedy: `mount it again: it is served from then on, and clients that have it mounted go on`,
  });
}
