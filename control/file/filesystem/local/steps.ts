// The instructions that operations are made of, by the names of what they do here. Register numbers are the operations'.
import { fileProgram, type Program } from '@holdfast/linux';
import {
  type Change,
  type Errno,
  type FileHandle,
  type FileName,
  HANDLE_BYTES_MAX,
  type Made,
  NAME_BYTES_MAX,
} from '../port.ts';
import { attributesAt, beforeAt, handleAt } from './attributes.ts';

const { FLAG, HANDLE_SPACE, O_PATH, OPERATION, STATX_BYTES } = fileProgram;

/** Where something lies in the program's slot. */
export type Place = number;

/** What keeps a name or a handle from being handed to the storage at all. */
export function badName(name: FileName): Errno | undefined {
  if (name.length > NAME_BYTES_MAX) return 'ENAMETOOLONG';
  if (name.length === 0 || name.includes(0) || name.includes(0x2f)) return 'EBADNAME';
  const dots = name.length <= 2 && name.every((byte) => byte === 0x2e);
  return dots ? 'EBADNAME' : undefined;
}

const TYPE_BYTES = 4;

export function badHandle(handle: FileHandle): Errno | undefined {
  return handle.length <= TYPE_BYTES || handle.length > HANDLE_BYTES_MAX ? 'ESTALE' : undefined;
}

/** The first of what is wrong. */
export function firstOf(...errors: (Errno | undefined)[]): Errno | undefined {
  return errors.find((error) => error !== undefined);
}

export function resolve(program: Program, register: number, handle: FileHandle): void {
  program.add(OPERATION.HANDLE, { a: register, ...program.put(handle) });
}

export function statx(program: Program, register: number, flags = 0): Place {
  const offset = program.room(STATX_BYTES);
  program.add(OPERATION.STATX, { a: register, flags, offset });
  return offset;
}

/** The attributes after a change, which are wanted also when it failed. */
export function statxAfter(program: Program, register: number): Stated {
  const offset = program.room(STATX_BYTES);
  return { offset, step: program.add(OPERATION.STATX, { a: register, flags: FLAG.ALWAYS, offset }) };
}

/** Attributes that may not have come. */
export type Stated = { readonly offset: Place; readonly step: number };

/** A change of one file: what holds it together. */
export type Watched = { readonly before: Stated; after: Stated | undefined };

/** From here to the end no other change through this process is between `before` and `after`. */
export function watch(program: Program, register: number, second = register): Watched {
  program.add(OPERATION.SERIALISE, { a: register, b: second });
  return { before: statxBefore(program, register), after: undefined };
}

export function statxBefore(program: Program, register: number): Stated {
  const offset = program.room(STATX_BYTES);
  return { offset, step: program.add(OPERATION.STATX, { a: register, offset }) };
}

export function changeOf(program: Program, watched: Watched): Change {
  const { before, after } = watched;
  return {
    before: program.result(before.step) === 0 ? beforeAt(program.view, before.offset) : undefined,
    after:
      after !== undefined && program.result(after.step) === 0
        ? attributesAt(program.view, after.offset)
        : undefined,
  };
}

/** The file of that name, without opening it. */
export function openPath(
  program: Program,
  register: number,
  directory: number,
  name: FileName,
  flags = 0,
): number {
  return program.add(OPERATION.OPENAT, {
    a: register,
    b: directory,
    flags,
    ...program.put(name),
    xLow: O_PATH,
  });
}

export type Places = { readonly attributes: Place; readonly handle: Place };

/** Attributes and handle of what a register has. */
export function describe(program: Program, register: number, keep = true): Places {
  const attributes = statx(program, register);
  const handle = program.room(HANDLE_SPACE);
  program.add(OPERATION.HANDLE_OF, { a: register, flags: keep ? FLAG.KEEP : 0, offset: handle });
  return { attributes, handle };
}

export function madeAt(program: Program, places: Places): Made {
  return {
    handle: handleAt(program, places.handle),
    attributes: attributesAt(program.view, places.attributes),
  };
}

/** To be forgotten, with the descriptors that hold its space, if it has no name after what follows. */
export function condemn(program: Program, register: number, directory: number, name: FileName): Place {
  const handle = program.room(HANDLE_SPACE);
  openPath(program, register, directory, name, FLAG.MAY_FAIL);
  program.add(OPERATION.HANDLE_OF, { a: register, flags: FLAG.MAY_FAIL, offset: handle });
  return handle;
}

export function forget(program: Program, register: number, handle: Place): void {
  program.add(OPERATION.FORGET, { a: register, flags: FLAG.MAY_FAIL, offset: handle });
}
