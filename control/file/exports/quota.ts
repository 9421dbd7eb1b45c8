// Owns quotas of links: a file system that says EDQUOT where more would be held than the link may hold. All else it leaves
// to the storage's. While nothing was counted yet, nothing is refused.
import type {
  Answer,
  Attributes,
  Caller,
  Changed,
  Errno,
  Failed,
  FileHandle,
  FileName,
  FileSystem,
  Made,
  SpaceState,
} from '../filesystem/port.ts';
import { NO_CHANGE } from '../filesystem/port.ts';
import type { Link } from '../namespace/document.ts';
import type { LinkRoots } from './link_roots.ts';
import { countBelow, type Held, Usage } from './usage.ts';

type Limits = NonNullable<Link['quota']>;
type Known = { readonly link: Link; readonly under: FileSystem; readonly fs: QuotaFileSystem };

export class Quotas {
  readonly #roots: LinkRoots;
  readonly #nowMs: () => number;
  readonly #known = new Map<number, Known>();

  constructor(roots: LinkRoots, nowMs: () => number) {
    this.#roots = roots;
    this.#nowMs = nowMs;
  }

  /** What operations of the link go to. */
  fileSystemOf(link: Link, under: FileSystem): FileSystem {
    const { id, quota } = link;
    if (quota === undefined) return under;
    const known = this.#known.get(id);
    if (known?.under === under && known.link.target === link.target) {
      if (known.link !== link) {
        known.fs.limits = quota;
        this.#known.set(id, { ...known, link });
      }
      return known.fs;
    }
    const count = async (): Promise<Held | undefined> => {
      const root = await this.#roots.find(link, under);
      return root.ok ? await countBelow(under, root.handle) : undefined;
    };
    const fs = new QuotaFileSystem(under, new Usage(count, this.#nowMs), quota);
    this.#known.set(id, { link, under, fs });
    return fs;
  }

  /** Undefined: it has no quota, or was never asked for, or is being counted for the first time. */
  usage(linkId: number): Held | undefined {
    const usage = this.#known.get(linkId)?.fs.usage;
    return usage?.isKnown === true ? { bytes: usage.bytes, files: usage.files } : undefined;
  }

  forget(hasQuota: (linkId: number) => boolean): void {
    for (const id of this.#known.keys()) if (!hasQuota(id)) this.#known.delete(id);
  }
}

const NOTHING: Held = { bytes: 0, files: 0 };
const ONE_FILE: Held = { bytes: 0, files: 1 };

class QuotaFileSystem implements FileSystem {
  readonly usage: Usage;
  limits: Limits;
  readonly #under: FileSystem;

  constructor(under: FileSystem, usage: Usage, limits: Limits) {
    this.#under = under;
    this.usage = usage;
    this.limits = limits;
  }

  get root(): FileHandle {
    return this.#under.root;
  }

  get type(): string {
    return this.#under.type;
  }

  write(...call: Parameters<FileSystem['write']>): ReturnType<FileSystem['write']> {
    const [, file, offset, data] = call;
    const most = { bytes: data.length, files: 0 };
    const run = (reserved: Held) => this.#sized(reserved, () => this.#under.write(...call));
    // A file is asked for its size only where the whole of it might not fit.
    if (this.#allows(most)) return run(most);
    return this.#ifGrowing(file, offset + BigInt(data.length), run);
  }

  setAttributes(...call: Parameters<FileSystem['setAttributes']>): ReturnType<FileSystem['setAttributes']> {
    const [, file, { sizeBytes }] = call;
    if (sizeBytes === undefined) return this.#under.setAttributes(...call);
    const run = (reserved: Held) => this.#sized(reserved, () => this.#under.setAttributes(...call));
    return this.#ifGrowing(file, sizeBytes, run);
  }

  allocate(...call: Parameters<FileSystem['allocate']>): ReturnType<FileSystem['allocate']> {
    const [, file, offset, sizeBytes, what] = call;
    if (what !== 'grow') return this.#under.allocate(...call);
    const run = (reserved: Held) => this.#sized(reserved, () => this.#under.allocate(...call));
    return this.#ifGrowing(file, offset + sizeBytes, run);
  }

  copy(...call: Parameters<FileSystem['copy']>): ReturnType<FileSystem['copy']> {
    const [, , { file, offset }, sizeBytes] = call;
    const run = (reserved: Held) => this.#sized(reserved, () => this.#under.copy(...call));
    return this.#ifGrowing(file, offset + sizeBytes, run);
  }

  async create(...call: Parameters<FileSystem['create']>): Promise<Changed<Made>> {
    const [caller, directory, name, how] = call;
    const sizeBytes = how.how === 'exclusive' ? undefined : how.attributes.sizeBytes;
    const known = how.how === 'guarded' ? undefined : await this.#named(caller, directory, name);
    const before = known === undefined ? 0 : Number(known.sizeBytes);
    const growth = Math.max(0, Number(sizeBytes ?? 0n) - before);
    const reserved: Held = { bytes: growth, files: known === undefined ? 1 : 0 };
    if (!this.#allows(reserved)) return this.#refuse();
    this.usage.reserve(reserved.bytes, reserved.files);
    const made = await this.#under.create(...call);
    const bytes = made.ok ? Number(made.attributes.sizeBytes) - before : 0;
    this.usage.settle(reserved, bytes, made.ok ? reserved.files : 0);
    return made;
  }

  makeDirectory(...call: Parameters<FileSystem['makeDirectory']>): Promise<Changed<Made>> {
    return this.#made(() => this.#under.makeDirectory(...call));
  }

  makeLink(...call: Parameters<FileSystem['makeLink']>): Promise<Changed<Made>> {
    return this.#made(() => this.#under.makeLink(...call));
  }

  makeNode(...call: Parameters<FileSystem['makeNode']>): Promise<Changed<Made>> {
    return this.#made(() => this.#under.makeNode(...call));
  }

  async remove(...call: Parameters<FileSystem['remove']>): Promise<Changed> {
    const known = await this.#named(...call);
    const removed = await this.#under.remove(...call);
    if (removed.ok) this.#gone(known);
    return removed;
  }

  async removeDirectory(...call: Parameters<FileSystem['removeDirectory']>): Promise<Changed> {
    const removed = await this.#under.removeDirectory(...call);
    if (removed.ok) this.usage.settle(NOTHING, 0, -1);
    return removed;
  }

  async rename(
    ...call: Parameters<FileSystem['rename']>
  ): Promise<Awaited<ReturnType<FileSystem['rename']>>> {
    const [caller, from, to] = call;
    const replaced = await this.#named(caller, to.directory, to.name);
    const moved = replaced === undefined ? undefined : await this.#named(caller, from.directory, from.name);
    const renamed = await this.#under.rename(...call);
    // Two names of one file both stay.
    if (renamed.ok && moved?.fileId !== replaced?.fileId) this.#gone(replaced);
    return renamed;
  }

  async spaceOf(file: FileHandle): Promise<Awaited<ReturnType<FileSystem['spaceOf']>>> {
    const answer = await this.#under.spaceOf(file);
    return answer.ok ? { ...answer, space: this.#within(answer.space) } : answer;
  }

  attributesOf(...call: Parameters<FileSystem['attributesOf']>): ReturnType<FileSystem['attributesOf']> {
    return this.#under.attributesOf(...call);
  }

  lookUp(...call: Parameters<FileSystem['lookUp']>): ReturnType<FileSystem['lookUp']> {
    return this.#under.lookUp(...call);
  }

  lookUpParent(...call: Parameters<FileSystem['lookUpParent']>): ReturnType<FileSystem['lookUpParent']> {
    return this.#under.lookUpParent(...call);
  }

  rightsOf(...call: Parameters<FileSystem['rightsOf']>): ReturnType<FileSystem['rightsOf']> {
    return this.#under.rightsOf(...call);
  }

  readLink(...call: Parameters<FileSystem['readLink']>): ReturnType<FileSystem['readLink']> {
    return this.#under.readLink(...call);
  }

  read(...call: Parameters<FileSystem['read']>): ReturnType<FileSystem['read']> {
    return this.#under.read(...call);
  }

  commit(...call: Parameters<FileSystem['commit']>): ReturnType<FileSystem['commit']> {
    return this.#under.commit(...call);
  }

  /** Another name of a file that is counted already. */
  link(...call: Parameters<FileSystem['link']>): ReturnType<FileSystem['link']> {
    return this.#under.link(...call);
  }

  list(...call: Parameters<FileSystem['list']>): ReturnType<FileSystem['list']> {
    return this.#under.list(...call);
  }

  seek(...call: Parameters<FileSystem['seek']>): ReturnType<FileSystem['seek']> {
    return this.#under.seek(...call);
  }

  state(): ReturnType<FileSystem['state']> {
    return this.#under.state();
  }

  /** The storage is whoever's opened it. */
  close(): void {}

  #allows({ bytes, files }: Held): boolean {
    const { usage, limits } = this;
    usage.refresh();
    if (!usage.isKnown) return true;
    const { expected } = usage;
    // What is over its quota already may still be written over and made smaller.
    const fits =
      (bytes === 0 || limits.bytes === undefined || expected.bytes + bytes <= limits.bytes) &&
      (files === 0 || limits.files === undefined || expected.files + files <= limits.files);
    return fits;
  }

  #refuse(): Failed & { readonly change: typeof NO_CHANGE } {
    this.usage.refused();
    const errno: Errno = 'EDQUOT';
    return { ok: false, errno, change: NO_CHANGE };
  }

  /** Runs what makes a file that long, if it may be. */
  async #ifGrowing<T>(
    file: FileHandle,
    size: bigint,
    run: (reserved: Held) => Answer<Changed<T>>,
  ): Promise<Changed<T>> {
    const stated = await this.#under.attributesOf(file);
    // The storage says what is wrong with it.
    if (!stated.ok) return run(NOTHING);
    const growth = size - stated.attributes.sizeBytes;
    const reserved: Held = { bytes: growth > 0n ? Number(growth) : 0, files: 0 };
    return this.#allows(reserved) ? run(reserved) : this.#refuse();
  }

  /** What it does to the size of the file counts. */
  #sized<T extends Changed>(reserved: Held, run: () => Answer<T>): Answer<T> {
    this.usage.reserve(reserved.bytes, reserved.files);
    const settle = (answer: T): T => {
      const { before, after } = answer.change;
      const known = before !== undefined && after !== undefined;
      this.usage.settle(reserved, known ? Number(after.sizeBytes - before.sizeBytes) : 0, 0);
      return answer;
    };
    const answer = run();
    return answer instanceof Promise ? answer.then(settle) : settle(answer);
  }

  async #made(run: () => Answer<Changed<Made>>): Promise<Changed<Made>> {
    if (!this.#allows(ONE_FILE)) return this.#refuse();
    this.usage.reserve(ONE_FILE.bytes, ONE_FILE.files);
    const made = await run();
    this.usage.settle(ONE_FILE, 0, made.ok ? 1 : 0);
    return made;
  }

  async #named(caller: Caller, directory: FileHandle, name: FileName): Promise<Attributes | undefined> {
    const found = await this.#under.lookUp(caller, directory, name);
    return found.ok ? found.attributes : undefined;
  }

  /** A name of it is gone. */
  #gone(file: Attributes | undefined): void {
    if (file === undefined || (file.kind !== 'directory' && file.links > 1)) return;
    this.usage.settle(NOTHING, file.kind === 'regular' ? -Number(file.sizeBytes) : 0, -1);
  }

  #within(space: SpaceState): SpaceState {
    const { bytes, files } = this.usage;
    const { limits } = this;
    const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
    const left = (limit: number, used: number): bigint => BigInt(Math.max(0, limit - used));
    return {
      ...space,
      ...(limits.bytes !== undefined && {
        totalBytes: least(space.totalBytes, BigInt(limits.bytes)),
        freeBytes: least(space.freeBytes, left(limits.bytes, bytes)),
        availableBytes: least(space.availableBytes, left(limits.bytes, bytes)),
      }),
      ...(limits.files !== undefined && {
        totalFiles: least(space.totalFiles, BigInt(limits.files)),
        freeFiles: least(space.freeFiles, left(limits.files, files)),
      }),
    };
  }
}
