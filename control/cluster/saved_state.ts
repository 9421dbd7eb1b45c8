// Owns the copies of the cluster that a node keeps for the time when its store is away while it starts: files of their own,
// written whole or not at all, and believed only where every byte is as it was written. They have secrets.
//
//   cluster.state      what people want, the hash key's secret: CLUSTER_PREFIX
//   membership.state   what a mux goes on with: saved_membership.ts
//
// One line, `holdfast-state FORMAT SHA256`, then JSON that the sum is of.
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { Failure } from '../lib/failure.ts';
import type { Entry } from '../store/contract.ts';

type What = 'cluster' | 'membership';
const FORMAT = 1;
/** All slot tables a cluster may have, 64 values of 1 MiB, and the rest. */
export const STATE_BYTES_MAX = 96 << 20;
/** Many changes at once are written once. */
const WRITE_PAUSE_MS = 500;

const stateSchema = z.object({
  /** Of which store: another one's cluster is another cluster. */
  store: z.string(),
  savedAt: z.iso.datetime(),
  revision: z.int().min(1),
  entries: z.array(
    z.object({
      key: z.string(),
      value: z.string(),
      createRevision: z.int(),
      modRevision: z.int(),
    }),
  ),
});

export type SavedState = {
  readonly savedAt: string;
  readonly revision: number;
  /** By key. */
  readonly entries: ReadonlyMap<string, Entry>;
};

export class SavedStateFile {
  readonly #path: string;
  readonly #store: string;
  readonly #onWritten: (failure: Failure | undefined) => void;
  #latest: Omit<SavedState, 'savedAt'> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** `store` names it, with all that makes it another one. `onWritten` is told of each attempt. */
  constructor(options: {
    readonly directory: string;
    readonly what: What;
    readonly store: string;
    readonly onWritten: (failure: Failure | undefined) => void;
  }) {
    this.#path = join(options.directory, `${options.what}.state`);
    this.#store = options.store;
    this.#onWritten = options.onWritten;
  }

  /** Undefined where there is none of this store. @throws Failure `unsupported` or `internal` where it cannot be used. */
  read(): SavedState | undefined {
    const bytes = readBounded(this.#path);
    if (bytes === undefined) return undefined;
    const end = bytes.indexOf('\n');
    const [name, format, sum] = bytes.subarray(0, Math.max(0, end)).toString('latin1').split(' ');
    const content = bytes.subarray(end + 1);
    if (name !== 'holdfast-state') throw this.#unusable('it is another kind of file');
    if (format !== String(FORMAT)) throw this.#unusable(`it is of format ${format}`, 'unsupported');
    if (sumOf(content) !== sum) throw this.#unusable('it is not as it was written');
    const parsed = stateSchema.safeParse(JSON.parse(content.toString()));
    if (!parsed.success) throw this.#unusable(parsed.error.issues[0]!.message);
    const { store, savedAt, revision, entries } = parsed.data;
    if (store !== this.#store) return undefined;
    return { savedAt, revision, entries: new Map(entries.map((it) => [it.key, it])) };
  }

  /** Writes this soon, unless something newer comes first. */
  keep(revision: number, entries: ReadonlyMap<string, Entry>): void {
    this.#latest = { revision, entries };
    this.#timer ??= setTimeout(() => this.#flush(), WRITE_PAUSE_MS);
  }

  /** Once all is written. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#flush();
    await this.#writing;
  }

  #flush(): void {
    this.#timer = undefined;
    const state = this.#latest;
    this.#latest = undefined;
    if (state === undefined) return;
    this.#writing = this.#writing
      .then(() => this.#write(state))
      .then(this.#onWritten, (cause: unknown) =>
        this.#onWritten(
          new Failure('unavailable', `${this.#path} was not written`, {
            cause,
            remedy: 'make room on the disk: without this file the node cannot start while its store is away',
          }),
        ),
      );
  }

  async #write({ revision, entries }: Omit<SavedState, 'savedAt'>): Promise<undefined> {
    const content = Buffer.from(
      JSON.stringify({
        store: this.#store,
        savedAt: new Date().toISOString(),
        revision,
        entries: [...entries.values()].map(({ key, value, createRevision, modRevision }) => ({
          key,
          value,
          createRevision,
          modRevision,
        })),
      } satisfies z.input<typeof stateSchema>),
    );
    const head = Buffer.from(`holdfast-state ${FORMAT} ${sumOf(content)}\n`);
    if (head.length + content.length > STATE_BYTES_MAX) {
      throw new Error(`the cluster takes more than ${STATE_BYTES_MAX} bytes`);
    }
    const file = await open(`${this.#path}.new`, 'w', 0o600);
    try {
      // Left behind by another umask.
      await file.chmod(0o600);
      await file.writev([head, content]);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${this.#path}.new`, this.#path);
    const directory = await open(dirname(this.#path), 'r');
    await directory.sync().finally(() => directory.close());
    return undefined;
  }

  #unusable(reason: string, code: 'internal' | 'unsupported' = 'internal'): Failure {
    return new Failure(code, `${this.#path} cannot be used`, {
      reason,
      remedy: 'it is written again once the store answers; until then this node cannot start',
    });
  }
}

function sumOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function readBounded(path: string): Buffer | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Failure('internal', `${path} cannot be read`, { cause });
  }
  try {
    const { size } = fstatSync(descriptor);
    if (size > STATE_BYTES_MAX) {
      throw new Failure('internal', `${path} cannot be used`, {
        reason: `it is longer than ${STATE_BYTES_MAX} bytes`,
      });
    }
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
