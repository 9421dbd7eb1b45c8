// Owns what a mux keeps on its disk to go on as the member that it was while the store is away or has lost the cluster:
// the newest version with its parts, the keys of in-band headers, who has which id and who was drained. Its identity,
// and until when it may decide, the program knows itself. Not here: the file (saved_state.ts).
import type { Entry } from '../store/contract.ts';
import { ASK_KEYS_KEY, HEAD_KEY } from './keys.ts';
import type { AskKeyRing } from './member_keys_core.ts';
import { decodeRing } from './member_layout.ts';
import type { MuxesView } from './member_view.ts';
import { type StoredVersion, storedVersion, type VersionView } from './version_view.ts';

export type SavedMembership = {
  readonly version: StoredVersion;
  readonly ring: AskKeyRing;
  readonly entries: ReadonlyMap<string, Entry>;
};

/** Of a program: as a daemon before this one left it. */
export type LeftProgram = {
  readonly isAdopted: boolean;
  readonly id: number;
  readonly incarnation: number;
  /** In effect. */
  readonly version: number;
};

/**
 * What the program can go on with; undefined where it is not what the copy is of: its tables are new, or it has a version
 * that came after the copy was written.
 */
export async function savedMembership(
  entries: ReadonlyMap<string, Entry>,
  { isAdopted, id, incarnation, version: inEffect }: LeftProgram,
): Promise<SavedMembership | undefined> {
  const ring = entries.get(ASK_KEYS_KEY);
  const version = await storedVersion(entries);
  if (!isAdopted || ring === undefined || version === undefined) return undefined;
  const { number, members } = version.version;
  const isMember = members.some((it) => it.id === id && it.incarnation === incarnation);
  if (inEffect === 0 || number < inEffect || !isMember) return undefined;
  return { version, ring: decodeRing(ring), entries };
}

/** Hands over what is to be written each time that it has changed; not what a store has that lost the cluster. */
export class MembershipCopy {
  readonly #name: string;
  readonly #versions: VersionView;
  readonly #muxes: MuxesView;
  readonly #keep: (revision: number, entries: ReadonlyMap<string, Entry>) => void;
  #kept = '';

  constructor(options: {
    readonly name: string;
    readonly versions: VersionView;
    readonly muxes: MuxesView;
    readonly keep: (revision: number, entries: ReadonlyMap<string, Entry>) => void;
  }) {
    this.#name = options.name;
    this.#versions = options.versions;
    this.#muxes = options.muxes;
    this.#keep = options.keep;
  }

  look(): void {
    const head = this.#versions.entries.get(HEAD_KEY);
    const isKnown = [...this.#muxes.muxes.identities.values()].some(({ name }) => name === this.#name);
    if (head === undefined || this.#versions.isLost || !isKnown) return;
    const lasting = this.#muxes.lasting;
    const found = [head, ...lasting.values()].map(({ key, modRevision }) => `${key} ${modRevision}`).join();
    if (found === this.#kept) return;
    this.#kept = found;
    this.#keep(head.modRevision, new Map([...this.#versions.entries, ...lasting]));
  }
}
