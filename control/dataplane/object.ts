// Owns opening a compiled program and checking that its layouts are those that this control plane was generated from.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LoadedObject, OpenObject } from 'libbpf-ts';
import { describeLayout, openObject } from 'libbpf-ts';
import * as layout from './generated/layout.ts';

export class LayoutMismatchError extends Error {
  override readonly name = 'LayoutMismatchError';
}

/** Path of a built object of bpf/. */
export function objectPath(name: string): string {
  return fileURLToPath(new URL(`../../out/bpf/${name}.bpf.o`, import.meta.url));
}

/** @throws Error that says how to build where the object is missing; LayoutMismatchError where it is another build. */
export function openProgram(path: string, structs: readonly string[]): OpenObject {
  if (!existsSync(path)) throw new Error(`${path} is missing: build it with scripts/build`);
  const opened = openObject(path);
  for (const name of structs) {
    const expected = Object.entries(layout).find(([key]) => key === `${name.toUpperCase()}_LAYOUT`)?.[1];
    const found = describeLayout(opened.btf, name);
    if (found !== expected) {
      opened.close();
      throw new LayoutMismatchError(
        `struct ${name} of ${path} is not the one this control plane knows: run scripts/build and npm run generate\n` +
          `  program:       ${found}\n  control plane: ${String(expected)}`,
      );
    }
  }
  return opened;
}

/** The bytes of a global array that has a section, and so a map, of its own. */
export function mapSection(object: LoadedObject, section: string): ArrayBuffer {
  return object.map(section).mmap();
}
