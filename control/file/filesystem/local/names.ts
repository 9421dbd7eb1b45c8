// Operations that change directories: making, removing, renaming, linking.
import { fileProgram, type Program } from '@holdfast/linux';
import {
  type Answer,
  type Attributes,
  type Caller,
  type Changed,
  type Errno,
  type Failed,
  type FileHandle,
  type FileName,
  type HowToCreate,
  LINK_TARGET_BYTES_MAX,
  type Made,
  type NewAttributes,
  NO_CHANGE,
  type Node,
  VERIFIER_BYTES,
} from '../port.ts';
import { attributesAt } from './attributes.ts';
import { setAttributes, setSteps } from './change.ts';
import type { Engine } from './engine.ts';
import {
  badHandle,
  badName,
  changeOf,
  condemn,
  describe,
  firstOf,
  forget,
  madeAt,
  openPath,
  resolve,
  statxAfter,
  statxBefore,
  type Watched,
  watch,
} from './steps.ts';

const { AT_REMOVEDIR, O_CREAT, O_EXCL, O_WRONLY, OPERATION } = fileProgram;

const DIRECTORY = 0;
const CHILD = 1;
const SECOND = 2;
/** Nobody else's until somebody says otherwise. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
const NODE_TYPES = { fifo: 0o010000, character: 0o020000, block: 0o060000, socket: 0o140000 } as const;
const DEVICE_MAJOR_MAX = 0xfff;
const DEVICE_MINOR_MAX = 0xf_ffff;

const refuse = (errno: Errno): Failed & { change: typeof NO_CHANGE } => ({
  ok: false,
  errno,
  change: NO_CHANGE,
});

/** Makes what `steps` makes, and answers what has that name then. */
function make(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  name: FileName,
  steps: (program: Program) => void,
  set: NewAttributes,
): Answer<Changed<Made>> {
  const bad = firstOf(badHandle(directory), badName(name));
  if (bad !== undefined) return refuse(bad);
  let watched: Watched | undefined;
  let places = { attributes: 0, handle: 0 };
  return engine.run<Changed<Made>>({
    caller,
    write: (program) => {
      resolve(program, DIRECTORY, directory);
      watched = watch(program, DIRECTORY);
      steps(program);
      openPath(program, CHILD, DIRECTORY, name);
      // Somebody may have put another file there already: its owner is not ours to change.
      const { accessed, modified } = set;
      setSteps(program, CHILD, {
        ...(accessed === undefined ? {} : { accessed }),
        ...(modified === undefined ? {} : { modified }),
      });
      places = describe(program, CHILD);
      watched.after = statxAfter(program, DIRECTORY);
    },
    read: (program, errno) => {
      const change = changeOf(program, watched!);
      return errno === undefined
        ? { ok: true, ...madeAt(program, places), change }
        : { ok: false, errno, change };
    },
    refuse,
  });
}

export function makeDirectory(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  name: FileName,
  set: NewAttributes,
): Answer<Changed<Made>> {
  const steps = (program: Program): void => {
    const mode = (set.mode ?? DIRECTORY_MODE) & 0o7777;
    program.add(OPERATION.MKDIRAT, { a: DIRECTORY, ...program.put(name), xLow: mode });
  };
  return make(engine, caller, directory, name, steps, set);
}

export function makeLink(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  name: FileName,
  target: Uint8Array,
  set: NewAttributes,
): Answer<Changed<Made>> {
  if (target.length > LINK_TARGET_BYTES_MAX) return refuse('ENAMETOOLONG');
  if (target.length === 0 || target.includes(0)) return refuse('EINVAL');
  const steps = (program: Program): void => {
    const { offset, length } = program.put(target);
    program.add(OPERATION.SYMLINKAT, { a: DIRECTORY, ...program.put(name), xLow: offset, y: length });
  };
  return make(engine, caller, directory, name, steps, set);
}

export function makeNode(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  name: FileName,
  node: Node,
  set: NewAttributes,
): Answer<Changed<Made>> {
  const { major, minor } = 'device' in node ? node.device : { major: 0, minor: 0 };
  if (!(major >= 0 && major <= DEVICE_MAJOR_MAX && minor >= 0 && minor <= DEVICE_MINOR_MAX))
    return refuse('EINVAL');
  const steps = (program: Program): void => {
    const mode = NODE_TYPES[node.kind] | ((set.mode ?? FILE_MODE) & 0o7777);
    program.add(OPERATION.MKNODAT, {
      a: DIRECTORY,
      ...program.put(name),
      xLow: mode,
      xHigh: major,
      y: minor,
    });
  };
  return make(engine, caller, directory, name, steps, set);
}

export function create(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  name: FileName,
  how: HowToCreate,
): Answer<Changed<Made>> {
  const bad = firstOf(badHandle(directory), badName(name));
  if (bad !== undefined) return refuse(bad);
  if (how.how === 'exclusive' && how.verifier.length !== VERIFIER_BYTES) {
    throw new RangeError(`a verifier has ${VERIFIER_BYTES} bytes`);
  }
  const made = createAnew(engine, caller, directory, name, how);
  if (how.how === 'guarded') return made;
  const settle = (answer: Changed<Made>): Answer<Changed<Made>> =>
    answer.ok || answer.errno !== 'EEXIST' ? answer : existing(engine, caller, directory, name, how);
  return made instanceof Promise ? made.then(settle) : settle(made);
}

function createAnew(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  name: FileName,
  how: HowToCreate,
): Answer<Changed<Made>> {
  const set: NewAttributes =
    how.how === 'exclusive' ? verifierTimes(how.verifier) : ofCaller(caller, how.attributes);
  const { sizeBytes, mode = FILE_MODE, ...rest } = set;
  let watched: Watched | undefined;
  let places = { attributes: 0, handle: 0 };
  return engine.run<Changed<Made>>({
    caller,
    write: (program) => {
      resolve(program, DIRECTORY, directory);
      watched = watch(program, DIRECTORY);
      const flags = O_CREAT | O_EXCL | O_WRONLY;
      const opened = { ...program.put(name), xLow: flags, xHigh: mode & 0o7777 };
      program.add(OPERATION.OPENAT, { a: CHILD, b: DIRECTORY, ...opened });
      if (sizeBytes !== undefined && sizeBytes !== 0n) {
        program.add(OPERATION.FTRUNCATE, { a: CHILD, x: sizeBytes });
      }
      setSteps(program, CHILD, rest);
      places = describe(program, CHILD, false);
      watched.after = statxAfter(program, DIRECTORY);
    },
    read: (program, errno) => {
      const change = changeOf(program, watched!);
      return errno === undefined
        ? { ok: true, ...madeAt(program, places), change }
        : { ok: false, errno, change };
    },
    refuse,
  });
}

/** Something has the name. The same request may have made it; or it may be opened instead. */
async function existing(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  name: FileName,
  how: HowToCreate,
): Promise<Changed<Made>> {
  let watched: Watched | undefined;
  let places = { attributes: 0, handle: 0 };
  const found = await engine.run<Changed<Made>>({
    caller,
    write: (program) => {
      resolve(program, DIRECTORY, directory);
      watched = watch(program, DIRECTORY);
      openPath(program, CHILD, DIRECTORY, name);
      places = describe(program, CHILD);
      watched.after = statxAfter(program, DIRECTORY);
    },
    read: (program, errno) => {
      const change = changeOf(program, watched!);
      return errno === undefined
        ? { ok: true, ...madeAt(program, places), change }
        : { ok: false, errno, change };
    },
    refuse,
  });
  if (!found.ok) return found;
  const { attributes, change, handle } = found;
  const taken: Changed<Made> = { ok: false, errno: 'EEXIST', change };
  if (attributes.kind !== 'regular') return taken;
  if (how.how === 'exclusive') return carries(attributes, how.verifier) ? found : taken;
  if (how.attributes.sizeBytes === undefined) return found;
  const size = { sizeBytes: how.attributes.sizeBytes };
  const resized = await setAttributes(engine, caller, handle, size, undefined);
  if (!resized.ok) return { ok: false, errno: resized.errno, change };
  return { ...found, attributes: resized.change.after ?? attributes };
}

/** Who is not root cannot give files away, and says its own name in vain. */
function ofCaller(caller: Caller, set: NewAttributes): NewAttributes {
  if (caller.uid === 0) return set;
  const { uid: _uid, gid: _gid, ...rest } = set;
  return rest;
}

/** Half of the verifier for each time, in seconds that every file system can keep. */
function verifierTimes(verifier: Uint8Array): Required<Pick<NewAttributes, 'accessed' | 'modified'>> {
  const view = new DataView(verifier.buffer, verifier.byteOffset, verifier.length);
  const time = (at: number) => ({ seconds: view.getUint32(at) & 0x7fff_ffff, nanoseconds: 0 });
  return { accessed: time(0), modified: time(4) };
}

function carries(attributes: Attributes, verifier: Uint8Array): boolean {
  const { accessed, modified } = verifierTimes(verifier) as Pick<Attributes, 'accessed' | 'modified'>;
  return (
    attributes.sizeBytes === 0n &&
    attributes.accessed.seconds === accessed.seconds &&
    attributes.modified.seconds === modified.seconds
  );
}

export function remove(
  engine: Engine,
  caller: Caller,
  directory: FileHandle,
  name: FileName,
  what: 'file' | 'directory',
): Answer<Changed> {
  const bad = firstOf(badHandle(directory), badName(name));
  if (bad !== undefined) return refuse(bad);
  let watched: Watched | undefined;
  return engine.run<Changed>({
    caller,
    write: (program) => {
      resolve(program, DIRECTORY, directory);
      watched = watch(program, DIRECTORY);
      const handle = condemn(program, CHILD, DIRECTORY, name);
      const flags = what === 'directory' ? AT_REMOVEDIR : 0;
      program.add(OPERATION.UNLINKAT, { a: DIRECTORY, ...program.put(name), y: flags });
      forget(program, CHILD, handle);
      watched.after = statxAfter(program, DIRECTORY);
    },
    read: (program, errno) => {
      const change = changeOf(program, watched!);
      return errno === undefined ? { ok: true, change } : { ok: false, errno, change };
    },
    refuse,
  });
}

type Renamed = Changed & { readonly toChange: typeof NO_CHANGE };

export function rename(
  engine: Engine,
  caller: Caller,
  from: { readonly directory: FileHandle; readonly name: FileName },
  to: { readonly directory: FileHandle; readonly name: FileName },
): Answer<Renamed> {
  const refuseBoth = (errno: Errno): Renamed => ({ ...refuse(errno), toChange: NO_CHANGE });
  const bad = firstOf(
    badHandle(from.directory),
    badHandle(to.directory),
    badName(from.name),
    badName(to.name),
  );
  if (bad !== undefined) return refuseBoth(bad);
  let first: Watched | undefined;
  let second: Watched | undefined;
  return engine.run<Renamed>({
    caller,
    write: (program) => {
      resolve(program, DIRECTORY, from.directory);
      resolve(program, SECOND, to.directory);
      first = watch(program, DIRECTORY, SECOND);
      second = { before: statxBefore(program, SECOND), after: undefined };
      const replaced = condemn(program, CHILD, SECOND, to.name);
      const newName = program.put(to.name);
      const names = { ...program.put(from.name), xLow: newName.offset, xHigh: newName.length };
      program.add(OPERATION.RENAMEAT, { a: DIRECTORY, b: SECOND, ...names });
      forget(program, CHILD, replaced);
      first.after = statxAfter(program, DIRECTORY);
      second.after = statxAfter(program, SECOND);
    },
    read: (program, errno) => {
      const changes = { change: changeOf(program, first!), toChange: changeOf(program, second!) };
      return errno === undefined ? { ok: true, ...changes } : { ok: false, errno, ...changes };
    },
    refuse: refuseBoth,
  });
}

type Linked = Changed & { readonly file: Attributes | undefined };

export function link(
  engine: Engine,
  caller: Caller,
  file: FileHandle,
  directory: FileHandle,
  name: FileName,
): Answer<Linked> {
  const refuseLink = (errno: Errno): Linked => ({ ...refuse(errno), file: undefined });
  const bad = firstOf(badHandle(file), badHandle(directory), badName(name));
  if (bad !== undefined) return refuseLink(bad);
  let watched: Watched | undefined;
  let after = { offset: 0, step: 0 };
  return engine.run<Linked>({
    caller,
    write: (program) => {
      resolve(program, SECOND, file);
      resolve(program, DIRECTORY, directory);
      watched = watch(program, DIRECTORY);
      program.add(OPERATION.LINKAT, { a: SECOND, b: DIRECTORY, ...program.put(name) });
      after = statxAfter(program, SECOND);
      watched.after = statxAfter(program, DIRECTORY);
    },
    read: (program, errno) => {
      const attributes =
        program.result(after.step) === 0 ? attributesAt(program.view, after.offset) : undefined;
      const more = { change: changeOf(program, watched!), file: attributes };
      return errno === undefined ? { ok: true, ...more } : { ok: false, errno, ...more };
    },
    refuse: refuseLink,
  });
}
