// Owns what a link holds, for its quota: counted by walking through it once, and kept by what changes through this server.
// What others change (this host's own programs, other nodes) is seen by the next count; so is what changed while one was
// going on. A file counts with its size, whatever its holes, and once however many names it has.
import type { Attributes, Caller, Entry, FileHandle, FileSystem } from '../filesystem/port.ts';
import { LIST_ENTRIES_MAX, VERIFIER_BYTES } from '../filesystem/port.ts';

export type Held = { readonly bytes: number; readonly files: number };

/** Whoever is refused has it counted again, if that was not just now: it may be others who have made room. */
const RECOUNT_REFUSED_MS = 60_000;
const RECOUNT_MS = 6 * 3_600_000;
/** Deeper directories are not counted: the way down is held in memory. */
const DEPTH_MAX = 1024;
const ROOT_CALLER: Caller = { uid: 0, gid: 0, groups: [] };

export class Usage {
  bytes = 0;
  files = 0;
  /** Of what is being done and may still fail. */
  #reservedBytes = 0;
  #reservedFiles = 0;
  /** Undefined: it was never counted to the end. */
  #countedMs: number | undefined;
  #counting = false;
  readonly #nowMs: () => number;
  readonly #count: () => Promise<Held | undefined>;

  constructor(count: () => Promise<Held | undefined>, nowMs: () => number) {
    this.#count = count;
    this.#nowMs = nowMs;
    this.recount();
  }

  get isKnown(): boolean {
    return this.#countedMs !== undefined;
  }

  /** What it would be if everything succeeds that is being done. */
  get expected(): Held {
    return { bytes: this.bytes + this.#reservedBytes, files: this.files + this.#reservedFiles };
  }

  reserve(bytes: number, files: number): void {
    this.#reservedBytes += bytes;
    this.#reservedFiles += files;
  }

  /** What was reserved is over; this is what came of it. */
  settle(reserved: Held, bytes: number, files: number): void {
    this.#reservedBytes -= reserved.bytes;
    this.#reservedFiles -= reserved.files;
    this.bytes = Math.max(0, this.bytes + bytes);
    this.files = Math.max(0, this.files + files);
  }

  refresh(): void {
    if (this.#nowMs() - (this.#countedMs ?? -Infinity) >= RECOUNT_MS) this.recount();
  }

  refused(): void {
    if (this.#nowMs() - (this.#countedMs ?? -Infinity) >= RECOUNT_REFUSED_MS) this.recount();
  }

  recount(): void {
    if (this.#counting) return;
    this.#counting = true;
    const [bytes, files] = [this.bytes, this.files];
    this.#count().then(
      (held) => {
        this.#counting = false;
        if (held === undefined) return;
        // What was done meanwhile may be in the count or not: it counts, until the next time.
        const known = this.isKnown;
        this.bytes = held.bytes + (known ? Math.max(0, this.bytes - bytes) : 0);
        this.files = held.files + (known ? Math.max(0, this.files - files) : 0);
        this.#countedMs = this.#nowMs();
      },
      () => {
        this.#counting = false;
      },
    );
  }
}

/** All below a directory, without itself; undefined where it could not be walked through. */
export async function countBelow(fs: FileSystem, root: FileHandle): Promise<Held | undefined> {
  const held = { bytes: 0, files: 0 };
  const whole = await countInto(held, fs, root, 0);
  return whole ? { bytes: Math.round(held.bytes), files: Math.round(held.files) } : undefined;
}

async function countInto(
  held: { bytes: number; files: number },
  fs: FileSystem,
  directory: FileHandle,
  depth: number,
): Promise<boolean> {
  if (depth > DEPTH_MAX) return true;
  let verifier: Uint8Array = new Uint8Array(VERIFIER_BYTES);
  for (let cookie = 0n; ; ) {
    const what = { cookie, verifier, entriesMax: LIST_ENTRIES_MAX / 4, plus: true };
    const page = await fs.list(ROOT_CALLER, directory, what);
    // Removed meanwhile.
    if (!page.ok) return depth > 0 && page.errno === 'ESTALE';
    const below: FileHandle[] = [];
    for (const entry of page.entries) {
      if (entry.file === undefined || isDots(entry)) continue;
      const share = shareOf(entry.file.attributes);
      held.bytes += share.bytes;
      held.files += share.files;
      if (entry.file.attributes.kind === 'directory') below.push(Uint8Array.from(entry.file.handle));
    }
    for (const one of below) if (!(await countInto(held, fs, one, depth + 1))) return false;
    if (page.atEnd || page.entries.length === 0) return true;
    cookie = page.entries.at(-1)!.cookie;
    verifier = page.verifier;
  }
}

/** Of one of the names of a file: all of them together are the file. */
function shareOf({ kind, sizeBytes, links }: Attributes): Held {
  if (kind === 'directory') return { bytes: 0, files: 1 };
  const share = 1 / Math.max(1, links);
  return { bytes: kind === 'regular' ? Number(sizeBytes) * share : 0, files: share };
}

function isDots({ name }: Entry): boolean {
  return name.length <= 2 && name.every((byte) => byte === 0x2e);
}
