// Owns the interfaces that a program is attached to, and replacing it there without losing a packet.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadedObject, Program, XdpLink } from 'libbpf-ts';

export type AttachOptions = {
  interface: string | number;
  mode?: 'native' | 'generic' | 'auto';
  /** Path of the network namespace that has the interface; absent: this process's. */
  netns?: string;
};

export class Attachments {
  readonly #links: { link: XdpLink; name: string }[] = [];

  attach(program: Program, options: AttachOptions): void {
    this.#links.push({ link: program.attachXdp(options), name: String(options.interface) });
  }

  /** Puts `program` in the place of the one that is attached, atomically on each interface. */
  replace(program: Program): void {
    for (const { link } of this.#links) link.update(program);
  }

  /** Keeps links and maps in `directory` of a bpffs: packets are forwarded on when this process ends. */
  pin(object: LoadedObject, directory: string): void {
    mkdirSync(join(directory, 'maps'), { recursive: true });
    for (const [name, map] of object.maps) map.pin(join(directory, 'maps', name.replaceAll('.', '_')));
    for (const { link, name } of this.#links) link.pin(join(directory, `link_${name}`));
  }

  close(): void {
    for (const { link } of this.#links) link.close();
    this.#links.length = 0;
  }
}
