// Owns opening a compiled program and checking that its layouts are those that this control plane was generated from.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LoadedObject, OpenObject } from 'libbpf-ts';
import { BpfError, describeLayout, openObject } from 'libbpf-ts';
import { Failure } from '../lib/failure.ts';
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

/** Loads into the kernel. @throws Failure where the kernel refuses the program. */
export function loadProgram(opened: OpenObject): LoadedObject {
  try {
    return opened.load();
  } catch (cause) {
    if (!(cause instanceof BpfError)) throw cause;
    const what = `the program ${opened.name} cannot be loaded`;
    if (cause.verifierLog === undefined && (cause.code === 'EPERM' || cause.code === 'EACCES'))
      throw new Failure('forbidden', what, {
        cause,
        remedy: 'run as root, or with CAP_BPF and CAP_NET_ADMIN',
      });
    throw new Failure('unsupported', what, {
      cause,
      remedy: 'Linux 5.18 or newer with BTF is needed; `holdfast doctor` tells what this host has',
    });
  }
}

/** The bytes of a global array that has a section, and so a map, of its own. */
export function mapSection(object: LoadedObject, section: string): ArrayBuffer {
  return object.map(section).mmap();
}
