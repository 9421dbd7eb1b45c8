// Owns the list of who has mounted what, as clients say it: advice for people, which nothing depends on. Oldest are
// forgotten beyond a limit: clients that go away say nothing.

export type Mount = { readonly client: string; readonly path: string };

const MOUNTS_MAX = 4096;

export class Mounts {
  readonly #mounts = new Map<string, Mount>();

  add(client: string, path: string): void {
    const key = keyOf(client, path);
    this.#mounts.delete(key);
    if (this.#mounts.size >= MOUNTS_MAX) {
      const [oldest] = this.#mounts.keys();
      this.#mounts.delete(oldest!);
    }
    this.#mounts.set(key, { client, path });
  }

  remove(client: string, path: string): void {
    this.#mounts.delete(keyOf(client, path));
  }

  removeAll(client: string): void {
    for (const [key, mount] of this.#mounts) if (mount.client === client) this.#mounts.delete(key);
  }

  list(): Mount[] {
    return [...this.#mounts.values()];
  }
}

function keyOf(client: string, path: string): string {
  return `${client} ${path}`;
}
