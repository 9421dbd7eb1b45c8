// Owns an object that is in the kernel. It keeps one descriptor of each map and program; what it hands out has its
// own, so that closing in any order, or not at all, harms nobody.
import { Btf } from './btf.ts';
import { describe } from './check.ts';
import { BpfError, ClosedError } from './errors.ts';
import { duplicate } from './handle.ts';
import { BpfMap } from './map.ts';
import { type NativeMap, type NativeProgram, native } from './native.ts';
import { Program } from './program.ts';

/** An object file whose maps and programs are in the kernel. */
export class LoadedObject {
  readonly name: string;
  readonly programs: ReadonlyMap<string, Program>;
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly #ownPrograms: ReadonlyMap<string, NativeProgram>;
  readonly #ownMaps: ReadonlyMap<string, NativeMap>;
  readonly #btfBytes: Uint8Array | undefined;
  #btf: Btf | undefined;
  #closed = false;

  /** @internal */
  constructor(
    name: string,
    programs: ReadonlyMap<string, NativeProgram>,
    maps: ReadonlyMap<string, NativeMap>,
    btfBytes: Uint8Array | undefined,
  ) {
    this.name = name;
    this.#ownPrograms = programs;
    this.#ownMaps = maps;
    this.#btfBytes = btfBytes;
    const own = (fd: number): number => {
      if (this.#closed) throw new ClosedError(`object ${name} is closed`);
      return duplicate(fd, `object ${name}`);
    };
    this.programs = new HandleTable(
      programs,
      (it, key) => new Program(new native.Program(own(it.fd())), key),
    );
    this.maps = new HandleTable(maps, (it, key) => new BpfMap(new native.Map(own(it.fd())), key));
  }

  /** The program with this name. The handle is the caller's and outlives this object's close(). */
  program(name: string): Program {
    return pick(this.programs, name, 'program', this.name);
  }

  /** The map with this name; same promise as program(). Variables are in '.bss', '.data' and '.rodata'. */
  map(name: string): BpfMap {
    return pick(this.maps, name, 'map', this.name);
  }

  get btf(): Btf {
    if (this.#btfBytes === undefined) {
      throw new BpfError('read the BTF of', `object ${this.name}`, 2, { reason: 'compile it with -g' });
    }
    this.#btf ??= Btf.parse(this.#btfBytes);
    return this.#btf;
  }

  /** Lets go of the object's own descriptors. Maps and programs that were handed out stay usable. */
  close(): void {
    this.#closed = true;
    for (const program of this.#ownPrograms.values()) program.close();
    for (const map of this.#ownMaps.values()) map.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function pick<T>(table: ReadonlyMap<string, T>, name: string, kind: string, object: string): T {
  const found = table.get(name);
  if (found !== undefined) return found;
  const names = [...table.keys()].join(', ') || 'none';
  throw new TypeError(`object ${object} has no ${kind} ${describe(name)}; it has: ${names}`);
}

/** Makes a handle when it is first asked for, and the same one from then on. */
class HandleTable<N, H extends { readonly closed: boolean }> implements ReadonlyMap<string, H> {
  readonly #natives: ReadonlyMap<string, N>;
  readonly #make: (resource: N, name: string) => H;
  readonly #made = new Map<string, H>();

  constructor(natives: ReadonlyMap<string, N>, make: (resource: N, name: string) => H) {
    this.#natives = natives;
    this.#make = make;
  }

  get size(): number {
    return this.#natives.size;
  }

  has(name: string): boolean {
    return this.#natives.has(name);
  }

  /** A handle that the caller closed is replaced by a new one. */
  get(name: string): H | undefined {
    const resource = this.#natives.get(name);
    if (resource === undefined) return undefined;
    const made = this.#made.get(name);
    if (made !== undefined && !made.closed) return made;
    const handle = this.#make(resource, name);
    this.#made.set(name, handle);
    return handle;
  }

  keys(): MapIterator<string> {
    return this.#natives.keys();
  }

  *#walk(): Generator<[string, H], undefined, unknown> {
    for (const name of this.#natives.keys()) yield [name, this.get(name)!];
  }

  entries(): MapIterator<[string, H]> {
    return this.#walk();
  }

  *values(): Generator<H, undefined, unknown> {
    for (const [, handle] of this.#walk()) yield handle;
  }

  forEach(callback: (value: H, key: string, map: ReadonlyMap<string, H>) => void, self?: unknown): void {
    for (const [name, handle] of this.#walk()) callback.call(self, handle, name, this);
  }

  [Symbol.iterator](): MapIterator<[string, H]> {
    return this.entries();
  }
}
