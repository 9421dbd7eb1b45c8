// Owns the commands about which blocks take space, and those that fill many blocks (SBC-3 section 4.7): UNMAP, WRITE SAME, GET
// LBA STATUS, SANITIZE.
import { isZero } from '../codec/bytes.ts';
import { blocksOf, lbaOf, lengthOf } from '../codec/commands.ts';
import { ASC, SENSE_KEY } from '../codec/constants.ts';
import {
  decodeOverwrite,
  decodeUnmapList,
  encodeLbaStatus,
  LBA_STATUS,
  LBA_STATUS_BLOCKS_MAX,
  type OverwriteParameters,
} from '../codec/provisioning.ts';
import { PIECE_BYTES, rangeRefusal, writeProtection, wrongDataOut } from './medium.ts';
import {
  failed,
  GOOD,
  invalidInCdb,
  invalidInList,
  listed,
  type Outcome,
  taken,
  WRONG_LIST_LENGTH,
} from './outcome.ts';
import type { Task } from './task_set.ts';
import { UNMAP_DESCRIPTORS_MAX, type Unit } from './unit.ts';

/** Descriptors of one GET LBA STATUS, however much room there is. */
const LBA_STATUS_DESCRIPTORS_MAX = 1024;

export async function unmap(unit: Unit, task: Task): Promise<Outcome> {
  const { cdb, dataOut } = task.command;
  const length = lengthOf(task.form, cdb);
  if (length === 0) return GOOD;
  const ranges = decodeUnmapList(dataOut.subarray(0, length));
  if (ranges === undefined) return WRONG_LIST_LENGTH;
  if (ranges.length > UNMAP_DESCRIPTORS_MAX) return invalidInList(2);
  let blocks = 0;
  for (const range of ranges) {
    const refused = rangeRefusal(unit, range.lba, range.blocks);
    if (refused !== undefined) return refused;
    blocks += range.blocks;
  }
  if (blocks > unit.unmapBlocksMax) return invalidInList(2);
  const refused = writeProtection(unit);
  if (refused !== undefined) return refused;
  const wanted = ranges.filter((range) => range.blocks > 0);
  if (wanted.length > 0)
    await unit.image.unmap(
      wanted.map((range) => ({
        offset: range.lba * unit.blockBytes,
        length: range.blocks * unit.blockBytes,
      })),
    );
  return taken(length);
}

/** UNMAP and NDOB of byte 1; of WRITE SAME(10) the latter does not exist. */
const UNMAP_BIT = 0x08;
const NDOB_BIT = 0x01;

export async function writeSame(unit: Unit, task: Task): Promise<Outcome> {
  const { cdb, dataOut } = task.command;
  const flags = cdb[1] ?? 0;
  const noData = (flags & NDOB_BIT) !== 0;
  const lba = lbaOf(task.form, cdb);
  const blocks = blocksOf(task.form, cdb);
  const place = task.form.blocks?.[0] ?? 0;
  // WSNZ: zero would mean the whole rest of the disk.
  if (blocks === 0) return rangeRefusal(unit, lba, 0) ?? invalidInCdb(place);
  const refused = rangeRefusal(unit, lba, blocks);
  if (refused !== undefined) return refused;
  if (blocks > unit.writeSameBlocksMax) return invalidInCdb(place);
  const isProtected = writeProtection(unit);
  if (isProtected !== undefined) return isProtected;
  const needed = noData ? 0 : unit.blockBytes;
  if (!noData && dataOut.length !== needed) return wrongDataOut(needed);
  const offset = lba * unit.blockBytes;
  const length = blocks * unit.blockBytes;
  // LBPRZ: what is unmapped reads as zeros, so only zeros may be unmapped instead of written.
  if (noData || isZero(dataOut)) {
    if ((flags & UNMAP_BIT) !== 0) await unit.image.unmap([{ offset, length }]);
    else await unit.image.zero(offset, length);
  } else await fill(unit, { offset, length }, dataOut, () => task.aborted);
  if (!unit.settings.writeCache) await unit.image.flush();
  return noData ? GOOD : taken(needed);
}

/** Writes a pattern again and again; the progress of it is told, of 65,536. */
async function fill(
  unit: Unit,
  { offset, length }: { offset: number; length: number },
  pattern: Uint8Array,
  isEnough: () => boolean,
  tell: (progress: number) => void = () => {},
): Promise<void> {
  const piece = new Uint8Array(Math.min(length, Math.max(pattern.length, PIECE_BYTES)));
  for (let at = 0; at < piece.length; at += pattern.length)
    piece.set(pattern.subarray(0, piece.length - at), at);
  for (let done = 0; done < length && !isEnough(); done += piece.length) {
    await unit.image.write(offset + done, piece.subarray(0, Math.min(piece.length, length - done)), {
      fua: false,
    });
    tell(((done + piece.length) * 0x1_0000) / length);
  }
}

export async function getLbaStatus(unit: Unit, task: Task): Promise<Outcome> {
  const { cdb } = task.command;
  const lba = lbaOf(task.form, cdb);
  const refused = rangeRefusal(unit, lba, 1);
  if (refused !== undefined) return refused;
  const allocationLength = lengthOf(task.form, cdb);
  const room = Math.floor((allocationLength - 8) / 16);
  const extents = await unit.image.map(
    lba * unit.blockBytes,
    (unit.blocks - lba) * unit.blockBytes,
    Math.min(LBA_STATUS_DESCRIPTORS_MAX, Math.max(1, room)),
  );
  const list = extents.map(({ offset, length, mapped }) => ({
    lba: offset / unit.blockBytes,
    blocks: Math.min(length / unit.blockBytes, LBA_STATUS_BLOCKS_MAX),
    status: mapped ? LBA_STATUS.MAPPED : LBA_STATUS.DEALLOCATED,
  }));
  // A descriptor that could not say all of its extent ends the list: what follows would leave a gap.
  const cut = list.findIndex(({ blocks }) => blocks === LBA_STATUS_BLOCKS_MAX);
  return listed(encodeLbaStatus(cut < 0 ? list : list.slice(0, cut + 1)), allocationLength, task.command);
}

const IMMED_BIT = 0x80;

/** All blocks are unmapped: they read as zeros, and nothing of them is left in the image. */
export async function sanitizeBlockErase(unit: Unit, task: Task): Promise<Outcome> {
  if (lengthOf(task.form, task.command.cdb) !== 0) return invalidInCdb(7);
  return await sanitize(unit, task, async (tell) => {
    const { sizeBytes } = unit.image;
    const step = unit.unmapBlocksMax * unit.blockBytes;
    for (let offset = 0; offset < sizeBytes; offset += step) {
      await unit.image.unmap([{ offset, length: Math.min(step, sizeBytes - offset) }]);
      tell((offset * 0x1_0000) / sizeBytes);
    }
  });
}

export async function sanitizeOverwrite(unit: Unit, task: Task): Promise<Outcome> {
  const { cdb, dataOut } = task.command;
  const length = lengthOf(task.form, cdb);
  if (length < 5 || length > unit.blockBytes + 4) return invalidInCdb(7);
  if (dataOut.length < length) return WRONG_LIST_LENGTH;
  const parameters = decodeOverwrite(dataOut.subarray(0, length), unit.blockBytes);
  if (typeof parameters === 'number') return invalidInList(parameters);
  return await sanitize(unit, task, (tell) => overwrite(unit, parameters, tell));
}

/** The pattern begins anew in every block; with INVERT every second pass writes its complement (SBC-3 section 5.26.2). */
async function overwrite(
  unit: Unit,
  { count, invert, pattern }: OverwriteParameters,
  tell: (progress: number) => void,
): Promise<void> {
  const block = new Uint8Array(unit.blockBytes);
  for (let at = 0; at < block.length; at += pattern.length)
    block.set(pattern.subarray(0, block.length - at), at);
  const inverted = block.map((byte) => byte ^ 0xff);
  for (let pass = 0; pass < count; pass += 1) {
    // The last pass leaves the pattern as it was given.
    const isInverted = invert && (count - 1 - pass) % 2 === 1;
    await fill(
      unit,
      { offset: 0, length: unit.image.sizeBytes },
      isInverted ? inverted : block,
      () => false,
      (progress) => tell((pass * 0x1_0000 + progress) / count),
    );
  }
}

/** Goes on whatever is aborted or reset meanwhile (SBC-3 section 4.11.1); other commands hear how far it is. */
async function sanitize(
  unit: Unit,
  task: Task,
  work: (tell: (progress: number) => void) => Promise<void>,
): Promise<Outcome> {
  const refused = writeProtection(unit);
  if (refused !== undefined) return refused;
  unit.sanitizing = 0;
  const all = async (): Promise<void> => {
    try {
      await work((progress) => {
        unit.sanitizing = Math.min(0xffff, Math.floor(progress));
      });
      await unit.image.flush();
      unit.sanitizeFailed = false;
    } catch (error) {
      unit.sanitizeFailed = true;
      throw error;
    } finally {
      unit.sanitizing = undefined;
    }
  };
  if (((task.command.cdb[1] ?? 0) & IMMED_BIT) !== 0) unit.background = all().catch(() => {});
  else await all();
  const length = lengthOf(task.form, task.command.cdb);
  return length === 0 ? GOOD : taken(length);
}

/** After a failed SANITIZE the unit is usable again (SBC-3 section 5.26.5). */
export function exitFailureMode(unit: Unit, task: Task): Outcome {
  if (lengthOf(task.form, task.command.cdb) !== 0) return invalidInCdb(7);
  unit.sanitizeFailed = false;
  return GOOD;
}

/** What other commands hear while a SANITIZE is under way, or after one that failed. */
export function sanitizeRefusal(unit: Unit): Outcome | undefined {
  if (unit.sanitizing !== undefined)
    return failed({ key: SENSE_KEY.NOT_READY, code: ASC.SANITIZE_IN_PROGRESS, progress: unit.sanitizing });
  if (unit.sanitizeFailed) return failed({ key: SENSE_KEY.MEDIUM_ERROR, code: ASC.SANITIZE_COMMAND_FAILED });
  return undefined;
}
