// Owns where a program's links and maps are pinned, so that traffic goes on without this process and the next one finds
// everything:
//
//   DIRECTORY/link_IFINDEX   one link an interface, by its index: names may change
//   DIRECTORY/maps/NAME      the tables of the program that the links have
//
// The links decide: what is attached is what is adopted, with the maps that its program has. Pins of maps are for tools,
// and for a program that is attached nowhere. They are replaced as a whole, by building `maps_new`, renaming `maps` away
// and `maps_new` into its place, so that a process that dies at any step leaves one whole set to be found.
import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, statfsSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BpfMap, XdpLink } from 'libbpf-ts';
import { Failure } from '../lib/failure.ts';

export type PinnedOptions = {
  /** On a BPF file system: what is pinned there goes on without this process, and open() takes it over. */
  pinDirectory: string;
  /** Where it is remembered whose a count is; absent: counts of services and backends start anew. */
  stateDirectory?: string;
  /** Path of the network namespace that the interfaces are in; absent: this process's. */
  netns?: string;
};

/** How the tables came to be: empty, those that were there, or copied from them to another layout. */
export type Origin = 'fresh' | 'adopted' | 'migrated';

export type PinnedLink = { ifindex: number; link: XdpLink };

/** linux/magic.h */
const BPF_FS_MAGIC = 0xcafe4a11;
const LINK_PREFIX = 'link_';

export class PinDirectory {
  readonly path: string;

  /** Makes the directory. @throws Failure where it is not on a BPF file system or cannot be made. */
  constructor(path: string) {
    this.path = path;
    let above = path;
    while (!existsSync(above) && dirname(above) !== above) above = dirname(above);
    if (statfsSync(above).type !== BPF_FS_MAGIC) {
      throw new Failure('configuration', `${path} is not on a BPF file system`, {
        remedy: 'mount one (mount -t bpf bpf /sys/fs/bpf), or set bpfDirectory to a path on one',
      });
    }
    try {
      mkdirSync(path, { recursive: true });
    } catch (cause) {
      throw new Failure('configuration', `the pin directory ${path} cannot be made`, { cause });
    }
    this.#finishReplacing();
  }

  /** Opens every pinned link, those of interfaces that are gone as well. */
  links(): PinnedLink[] {
    const names = readdirSync(this.path).filter((name) => name.startsWith(LINK_PREFIX));
    return names.map((name) => ({
      ifindex: Number(name.slice(LINK_PREFIX.length)),
      link: XdpLink.openPinned(join(this.path, name)),
    }));
  }

  pinLink({ ifindex, link }: PinnedLink): void {
    link.pin(this.#linkPath(ifindex));
  }

  unpinLink(ifindex: number): void {
    removeIfThere(this.#linkPath(ifindex));
  }

  /** The pinned maps by the name they were pinned under; undefined where there are none. */
  maps(): Map<string, BpfMap> | undefined {
    const directory = this.#path('maps');
    if (!existsSync(directory)) return undefined;
    return new Map(readdirSync(directory).map((name) => [name, BpfMap.openPinned(join(directory, name))]));
  }

  /** Replaces all pinned maps by these. The old set is moved away as a whole before the new one takes its place. */
  pinMaps(maps: ReadonlyMap<string, BpfMap>): void {
    const next = this.#path('maps_new');
    removeDirectory(next);
    mkdirSync(next);
    for (const [name, map] of maps) map.pin(join(next, name));
    this.#moveAway();
    renameSync(next, this.#path('maps'));
    removeDirectory(this.#path('maps_old'));
  }

  removeMaps(): void {
    removeDirectory(this.#path('maps_new'));
    this.#moveAway();
    removeDirectory(this.#path('maps_old'));
  }

  /** What a process that died while it replaced the maps had begun: with the old set moved away, the new one is whole. */
  #finishReplacing(): void {
    if (!existsSync(this.#path('maps_old'))) return;
    const [next, maps] = [this.#path('maps_new'), this.#path('maps')];
    if (!existsSync(maps) && existsSync(next)) renameSync(next, maps);
    removeDirectory(this.#path('maps_old'));
  }

  #moveAway(): void {
    if (!existsSync(this.#path('maps'))) return;
    removeDirectory(this.#path('maps_old'));
    renameSync(this.#path('maps'), this.#path('maps_old'));
  }

  #path(name: 'maps' | 'maps_new' | 'maps_old'): string {
    return join(this.path, name);
  }

  #linkPath(ifindex: number): string {
    return join(this.path, `${LINK_PREFIX}${ifindex}`);
  }
}

function removeDirectory(path: string): void {
  if (!existsSync(path)) return;
  for (const name of readdirSync(path)) removeIfThere(join(path, name));
  rmdirSync(path);
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
