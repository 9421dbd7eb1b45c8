// Owns the directory that a mux's routes are kept in: the text that BIRD includes, the text that takes its place when
// the daemon is dead, the will, and the supervisor's sign of life. It is written by one daemon; only the supervisor
// renames in it, after the deadline.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Announcement, parseInclude } from './bird/include_codec.ts';
import { makeDirectory, readIfThere, replaceFile } from './files.ts';
import { composeWill, parseWill, type Will } from './will_codec.ts';

/** BIRD runs as a user of its own, and has to read it. */
const READABLE = 0o644;
/** Whoever writes it has BIRD do things. */
const PRIVATE = 0o600;
/** The supervisor says twice a second that it is there. */
const WATCHED_MS = 3_000;

export class RoutesDirectory {
  readonly #path: string;
  readonly #bootId: string;

  constructor(path: string, bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()) {
    this.#path = path;
    this.#bootId = bootId;
  }

  /** What BIRD includes. */
  get includePath(): string {
    return join(this.#path, 'bird.conf');
  }

  /**
   * As an operator's bird.conf has it. Without a wildcard, or where a directory above is missing, a BIRD that starts before
   * holdfastd has ever run would refuse its configuration.
   */
  get includePattern(): string {
    return `${this.#path}*/bird.conf`;
  }

  make(): Promise<void> {
    return makeDirectory(this.#path);
  }

  writeInclude(text: string): Promise<void> {
    return replaceFile(this.includePath, text, READABLE);
  }

  /** What the supervisor puts in its place. */
  writeHeir(text: string): Promise<void> {
    return replaceFile(this.#heirPath, text, READABLE);
  }

  writeWill(will: Pick<Will, 'deadlineMs' | 'socket' | 'send'>): Promise<void> {
    const rename = { from: this.#heirPath, to: this.includePath };
    return replaceFile(this.#willPath, composeWill({ ...will, bootId: this.#bootId, rename }), PRIVATE);
  }

  readInclude(): Promise<string | undefined> {
    return readIfThere(this.includePath);
  }

  /** What a daemon before this one has announced and may announce still: its will has not come due. */
  async kept(nowMs: number): Promise<{ announcement: Announcement; untilMs: number } | undefined> {
    const [include, text] = [await this.readInclude(), await readIfThere(this.#willPath)];
    const will = text === undefined ? undefined : parseWill(text);
    const announcement = include === undefined ? undefined : parseInclude(include);
    if (will === undefined || announcement === undefined || announcement.level === 'withdrawn')
      return undefined;
    const untilMs = will.deadlineMs ?? Number.POSITIVE_INFINITY;
    if (will.bootId !== this.#bootId || untilMs <= nowMs) return undefined;
    return { announcement, untilMs };
  }

  /** Whether somebody is there to carry the will out. */
  async isWatched(nowMs: number): Promise<boolean> {
    const text = await readIfThere(join(this.#path, 'will.watched'));
    const atMs = Number(text?.trim() || Number.NaN);
    return Math.abs(nowMs - atMs) < WATCHED_MS;
  }

  get #heirPath(): string {
    return join(this.#path, 'bird.conf.heir');
  }

  get #willPath(): string {
    return join(this.#path, 'will');
  }
}
