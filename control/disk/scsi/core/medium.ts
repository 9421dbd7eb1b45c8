// Owns the commands that read, write and compare blocks (SBC-3 section 5): READ, WRITE, VERIFY, WRITE AND VERIFY, COMPARE AND
// WRITE, ORWRITE, WRITE ATOMIC, PRE-FETCH, SYNCHRONIZE CACHE. That no other command comes between the two halves of one is
// the task set's doing.
import { firstDifference } from '../codec/bytes.ts';
import type { ScsiCommand } from '../codec/command.ts';
import { blocksOf, lbaOf } from '../codec/commands.ts';
import { ASC, SENSE_KEY } from '../codec/constants.ts';
import { failed, GOOD, illegal, invalidInCdb, type Outcome, taken } from './outcome.ts';
import type { Task } from './task_set.ts';
import type { Unit } from './unit.ts';

/** Blocks are compared, verified and filled in pieces of this size. */
export const PIECE_BYTES = 1024 * 1024;

export interface Extent {
  readonly lba: number;
  readonly blocks: number;
  readonly offset: number;
  readonly bytes: number;
}

/** The blocks of a command, or why they are refused: beyond the medium, or more than one command may have. */
export function extentOf(unit: Unit, task: Task, blocksMax = unit.transferBlocksMax): Extent | Outcome {
  const { form, command } = task;
  const lba = lbaOf(form, command.cdb);
  const blocks = blocksOf(form, command.cdb);
  if (blocks > blocksMax) return invalidInCdb(form.blocks?.[0] ?? 0);
  const range = rangeRefusal(unit, lba, blocks);
  if (range !== undefined) return range;
  return { lba, blocks, offset: lba * unit.blockBytes, bytes: blocks * unit.blockBytes };
}

export function rangeRefusal(unit: Unit, lba: number, blocks: number): Outcome | undefined {
  if (lba + blocks <= unit.blocks) return undefined;
  const code = ASC.LBA_OUT_OF_RANGE;
  return failed({ key: SENSE_KEY.ILLEGAL_REQUEST, code, information: Math.max(lba, unit.blocks) });
}

export function isRefused(value: Extent | Outcome): value is Outcome {
  return 'status' in value;
}

export function writeProtection(unit: Unit): Outcome | undefined {
  if (unit.settings.writeProtect)
    return failed({ key: SENSE_KEY.DATA_PROTECT, code: ASC.SOFTWARE_WRITE_PROTECTED });
  if (unit.image.readOnly) return failed({ key: SENSE_KEY.DATA_PROTECT, code: ASC.WRITE_PROTECTED });
  return undefined;
}

/** The initiator sent less, or something else, than the command says (SPC-4 annex D: 0E/03). */
export function wrongDataOut(transfer: number): Outcome {
  const code = ASC.INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT;
  return failed({ key: SENSE_KEY.ILLEGAL_REQUEST, code }, transfer, 'out');
}

/** FUA is the same bit of all forms but those of six bytes, which have none. Without write cache all writes are so. */
function fuaOf(unit: Unit, { form, command }: Task): boolean {
  if (!unit.settings.writeCache) return true;
  return form.usage.length > 6 && ((command.cdb[1] ?? 0) & 0x08) !== 0;
}

function spaceFor(command: ScsiCommand, bytes: number): Uint8Array {
  return command.space?.(bytes) ?? new Uint8Array(bytes);
}

export async function read(unit: Unit, task: Task): Promise<Outcome> {
  const extent = extentOf(unit, task);
  if (isRefused(extent)) return extent;
  const { command } = task;
  const shown = Math.min(extent.bytes, command.dataInMax);
  if (shown === 0) return { status: 0, transfer: extent.bytes, direction: 'in' };
  const whole = Math.ceil(shown / unit.blockBytes) * unit.blockBytes;
  const into = spaceFor(command, whole);
  await unit.image.read(extent.offset, into);
  return { status: 0, dataIn: into.subarray(0, shown), transfer: extent.bytes, direction: 'in' };
}

/** The data of a write: whole blocks, of which an initiator may send fewer than it said (residual overflow). */
function dataFor(unit: Unit, task: Task, bytes: number): Uint8Array | Outcome {
  const data = task.command.dataOut.subarray(0, bytes);
  return data.length % unit.blockBytes === 0 ? data : wrongDataOut(bytes);
}

export async function write(unit: Unit, task: Task): Promise<Outcome> {
  const extent = extentOf(unit, task);
  if (isRefused(extent)) return extent;
  const refused = writeProtection(unit);
  if (refused !== undefined) return refused;
  const data = dataFor(unit, task, extent.bytes);
  if (!(data instanceof Uint8Array)) return data;
  if (data.length > 0) await unit.image.write(extent.offset, data, { fua: fuaOf(unit, task) });
  return taken(extent.bytes);
}

/** BYTCHK (SBC-3 section 5.35): 00b the medium alone, 01b with what is sent, 11b each block with the one that is sent. */
const BYTCHK = { MEDIUM: 0, BLOCKS: 1, RESERVED: 2, ONE_BLOCK: 3 } as const;

function bytchkOf({ command }: Task): number {
  return ((command.cdb[1] ?? 0) >> 1) & 3;
}

const MISCOMPARE = { key: SENSE_KEY.MISCOMPARE, code: ASC.MISCOMPARE_DURING_VERIFY } as const;

export async function verify(unit: Unit, task: Task): Promise<Outcome> {
  const bytchk = bytchkOf(task);
  if (bytchk === BYTCHK.RESERVED) return invalidInCdb(1, 2);
  const extent = extentOf(unit, task);
  if (isRefused(extent)) return extent;
  if (bytchk === BYTCHK.MEDIUM) {
    await eachPiece(unit, task, extent, () => true);
    return GOOD;
  }
  const needed = bytchk === BYTCHK.ONE_BLOCK ? Math.min(unit.blockBytes, extent.bytes) : extent.bytes;
  const { dataOut } = task.command;
  if (dataOut.length < needed) return wrongDataOut(needed);
  const alike = await eachPiece(unit, task, extent, (piece, at) => {
    if (bytchk === BYTCHK.BLOCKS) return firstDifference(piece, dataOut.subarray(at, at + piece.length)) < 0;
    return everyBlockIs(piece, dataOut.subarray(0, unit.blockBytes));
  });
  return alike ? taken(needed) : failed(MISCOMPARE, needed, 'out');
}

function everyBlockIs(piece: Uint8Array, block: Uint8Array): boolean {
  for (let at = 0; at < piece.length; at += block.length)
    if (firstDifference(piece.subarray(at, at + block.length), block) >= 0) return false;
  return true;
}

/** Reads piece by piece until one of them is not as it should be, or the task is aborted. */
async function eachPiece(
  unit: Unit,
  task: Task,
  { offset, bytes }: Extent,
  isRight: (piece: Uint8Array, at: number) => boolean,
): Promise<boolean> {
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, bytes));
  for (let at = 0; at < bytes && !task.aborted; at += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, bytes - at));
    await unit.image.read(offset + at, piece);
    if (!isRight(piece, at)) return false;
  }
  return true;
}

/** Written through to the storage, read back, and compared if BYTCHK asks for it. */
export async function writeAndVerify(unit: Unit, task: Task): Promise<Outcome> {
  const bytchk = bytchkOf(task);
  if (bytchk === BYTCHK.RESERVED || bytchk === BYTCHK.ONE_BLOCK) return invalidInCdb(1, 2);
  const extent = extentOf(unit, task);
  if (isRefused(extent)) return extent;
  const refused = writeProtection(unit);
  if (refused !== undefined) return refused;
  const data = dataFor(unit, task, extent.bytes);
  if (!(data instanceof Uint8Array)) return data;
  if (data.length === 0) return taken(extent.bytes);
  await unit.image.write(extent.offset, data, { fua: true });
  const written = { ...extent, bytes: data.length };
  const alike = await eachPiece(
    unit,
    task,
    written,
    (piece, at) =>
      bytchk === BYTCHK.MEDIUM || firstDifference(piece, data.subarray(at, at + piece.length)) < 0,
  );
  return alike ? taken(extent.bytes) : failed(MISCOMPARE, extent.bytes, 'out');
}

/** SBC-3 section 5.2: the first half of the data is compared, the second written; INFORMATION says where they differ. */
export async function compareAndWrite(unit: Unit, task: Task): Promise<Outcome> {
  const extent = extentOf(unit, task, unit.compareBlocksMax);
  if (isRefused(extent)) return extent;
  const refused = writeProtection(unit);
  if (refused !== undefined) return refused;
  const { dataOut } = task.command;
  const needed = 2 * extent.bytes;
  if (dataOut.length !== needed) return wrongDataOut(needed);
  if (extent.bytes === 0) return taken(0);
  const present = new Uint8Array(extent.bytes);
  await unit.image.read(extent.offset, present);
  const at = firstDifference(present, dataOut.subarray(0, extent.bytes));
  if (at >= 0) return failed({ ...MISCOMPARE, information: at }, needed, 'out');
  await unit.image.write(extent.offset, dataOut.subarray(extent.bytes), { fua: fuaOf(unit, task) });
  return taken(needed);
}

export async function orWrite(unit: Unit, task: Task): Promise<Outcome> {
  const extent = extentOf(unit, task);
  if (isRefused(extent)) return extent;
  const refused = writeProtection(unit);
  if (refused !== undefined) return refused;
  const { dataOut } = task.command;
  if (dataOut.length < extent.bytes) return wrongDataOut(extent.bytes);
  if (extent.bytes === 0) return taken(0);
  const present = new Uint8Array(extent.bytes);
  await unit.image.read(extent.offset, present);
  for (let at = 0; at < present.length; at += 1) present[at] = (present[at] ?? 0) | (dataOut[at] ?? 0);
  await unit.image.write(extent.offset, present, { fua: fuaOf(unit, task) });
  return taken(extent.bytes);
}

/** SBC-4 section 5.49. Atomic boundaries are not offered: the field must be zero. */
export async function writeAtomic(unit: Unit, task: Task): Promise<Outcome> {
  const extent = extentOf(unit, task, unit.atomicBlocksMax);
  if (isRefused(extent)) return extent;
  const { cdb, dataOut } = task.command;
  if (((cdb[10] ?? 0) | (cdb[11] ?? 0)) !== 0) return invalidInCdb(10);
  const refused = writeProtection(unit);
  if (refused !== undefined) return refused;
  if (dataOut.length < extent.bytes) return wrongDataOut(extent.bytes);
  const data = dataOut.subarray(0, extent.bytes);
  if (data.length > 0) await unit.image.write(extent.offset, data, { fua: fuaOf(unit, task), atomic: true });
  return taken(extent.bytes);
}

/** The page cache of the storage is told nothing; the blocks must exist. */
export function prefetch(unit: Unit, task: Task): Outcome {
  return (
    rangeRefusal(unit, lbaOf(task.form, task.command.cdb), blocksOf(task.form, task.command.cdb)) ?? GOOD
  );
}

/** All of the cache, whatever range is asked for. IMMED is answered when it is done, which is never wrong. */
export async function synchronizeCache(unit: Unit, task: Task): Promise<Outcome> {
  const range = rangeRefusal(unit, lbaOf(task.form, task.command.cdb), blocksOf(task.form, task.command.cdb));
  if (range !== undefined) return range;
  await unit.image.flush();
  return GOOD;
}

/** For commands that only some images can do. */
export const UNSUPPORTED = illegal(ASC.INVALID_COMMAND_OPERATION_CODE, { inCdb: true, byte: 0 });
