// Owns the commands that tell what the unit is and how it is set (SPC-4 section 6): INQUIRY, capacity, mode pages, LUNs, port
// groups, supported commands, sense. None of them touches the medium but START STOP UNIT, which empties the cache.
import { COMMANDS, lengthOf, type NamedForm } from '../codec/commands.ts';
import { ASC, SENSE_KEY } from '../codec/constants.ts';
import { encodePortGroups, encodeStandardInquiry, encodeVitalProductData } from '../codec/inquiry.ts';
import { decodeModeSelection, encodeModeData, encodeModePages, PAGE_CONTROL } from '../codec/mode.ts';
import { encodeAllCommands, encodeOneCommand, encodeTaskManagementFunctions } from '../codec/operations.ts';
import { type Capacity, encodeCapacity10, encodeCapacity16, encodeLuns } from '../codec/provisioning.ts';
import { encodeSense, type Sense } from '../codec/sense.ts';
import {
  GOOD,
  illegal,
  invalidInCdb,
  invalidInList,
  listed,
  type Outcome,
  taken,
  WRONG_LIST_LENGTH,
} from './outcome.ts';
import { sanitizeRefusal } from './provisioning.ts';
import type { Task } from './task_set.ts';
import type { NexusState, Unit } from './unit.ts';

export function inquiry(unit: Unit, task: Task, { nexus }: NexusState): Outcome {
  const { cdb } = task.command;
  const facts = unit.facts(nexus.targetPort);
  const pageCode = cdb[2] ?? 0;
  const isVital = ((cdb[1] ?? 0) & 1) !== 0;
  if (!isVital && pageCode !== 0) return invalidInCdb(2);
  const data = isVital ? encodeVitalProductData(pageCode, facts) : encodeStandardInquiry(facts);
  if (data === undefined) return invalidInCdb(2);
  return listed(data, lengthOf(task.form, cdb), task.command);
}

export function testUnitReady(): Outcome {
  return GOOD;
}

/** Takes the attention that is due, as data; otherwise what is under way (SPC-4 section 6.39). */
export function requestSense(unit: Unit, task: Task, { attentions }: NexusState): Outcome {
  const { cdb } = task.command;
  const code = attentions.take();
  let sense: Sense = { key: SENSE_KEY.NO_SENSE, code: ASC.NO_ADDITIONAL_SENSE };
  if (code !== undefined) sense = { key: SENSE_KEY.UNIT_ATTENTION, code };
  else sense = sanitizeRefusal(unit)?.sense ?? sense;
  const data = encodeSense(sense, ((cdb[1] ?? 0) & 1) !== 0);
  return listed(data, lengthOf(task.form, cdb), task.command);
}

function capacityOf(unit: Unit): Capacity {
  const { image, blockBytes, blocks } = unit;
  return { blocks, blockBytes, thin: image.thin, blocksPerPhysical: image.physicalBlockBytes / blockBytes };
}

/** PMI and the LBA that goes with it are obsolete: an LBA without it is refused (SBC-3 section 5.15). */
export function readCapacity10(unit: Unit, task: Task): Outcome {
  const { cdb } = task.command;
  if (((cdb[8] ?? 0) & 1) === 0 && (cdb.subarray(2, 6) as Uint8Array).some((byte) => byte !== 0))
    return invalidInCdb(2);
  const data = encodeCapacity10(capacityOf(unit));
  return listed(data, data.length, task.command);
}

export function readCapacity16(unit: Unit, task: Task): Outcome {
  const { cdb } = task.command;
  return listed(encodeCapacity16(capacityOf(unit)), lengthOf(task.form, cdb), task.command);
}

export function modeSense(unit: Unit, task: Task): Outcome {
  const { cdb } = task.command;
  const long = task.form.usage.length > 6;
  const pageControl = (cdb[2] ?? 0) >> 6;
  if (pageControl === PAGE_CONTROL.SAVED) return illegal(ASC.SAVING_PARAMETERS_NOT_SUPPORTED);
  const pages = encodeModePages(unit.settings, pageControl, (cdb[2] ?? 0) & 0x3f, cdb[3] ?? 0);
  if (pages === undefined) return invalidInCdb(2, 5);
  const withoutDescriptor = ((cdb[1] ?? 0) & 0x08) !== 0;
  const longLba = long && ((cdb[1] ?? 0) & 0x10) !== 0;
  const head = {
    long,
    writeProtected: unit.isWriteProtected,
    blocks: unit.blocks,
    blockBytes: unit.blockBytes,
    descriptor: withoutDescriptor ? 'none' : longLba ? 'long LBA' : 'short',
  } as const;
  return listed(encodeModeData(head, pages), lengthOf(task.form, cdb), task.command);
}

export function modeSelect(unit: Unit, task: Task, { key }: NexusState): Outcome {
  const { cdb, dataOut } = task.command;
  // SP: nothing is saved. PF zero would be vendor-specific pages.
  if (((cdb[1] ?? 0) & 0x01) !== 0) return invalidInCdb(1, 0);
  const length = lengthOf(task.form, cdb);
  if (length === 0) return GOOD;
  if (((cdb[1] ?? 0) & 0x10) === 0) return invalidInCdb(1, 4);
  if (dataOut.length < length) return WRONG_LIST_LENGTH;
  const list = dataOut.subarray(0, length);
  const long = task.form.usage.length > 6;
  const selection = decodeModeSelection(list, long, unit.settings, unit.blockBytes);
  if (!selection.ok) return selection.why === 'length' ? WRONG_LIST_LENGTH : invalidInList(selection.byte);
  const before = unit.settings;
  unit.settings = selection.settings;
  if (JSON.stringify(before) !== JSON.stringify(selection.settings))
    unit.raise(ASC.MODE_PARAMETERS_CHANGED, key);
  return taken(length);
}

/** SPC-4 section 6.33: 00h and 02h are all units, 01h the well known ones, of which there are none. */
export function reportLuns(unit: Unit, task: Task): Outcome {
  return lunsOf(task, unit.parts.luns?.() ?? [new Uint8Array(8)]);
}

export function lunsOf(
  { form, command }: Pick<Task, 'form' | 'command'>,
  luns: readonly Uint8Array[],
): Outcome {
  const select = command.cdb[2] ?? 0;
  if (select > 2) return invalidInCdb(2);
  const allocationLength = lengthOf(form, command.cdb);
  if (allocationLength < 16) return invalidInCdb(6);
  return listed(encodeLuns(select === 1 ? [] : luns), allocationLength, command);
}

export function reportTargetPortGroups(unit: Unit, task: Task): Outcome {
  const { cdb } = task.command;
  const dataFormat = (cdb[1] ?? 0) >> 5;
  if (dataFormat > 1) return invalidInCdb(1, 7);
  const data = encodePortGroups(unit.groups, unit.parts.ports, dataFormat === 1);
  return listed(data, lengthOf(task.form, cdb), task.command);
}

const RCTD_BIT = 0x80;

export function reportSupportedOperationCodes(unit: Unit, task: Task): Outcome {
  const { cdb } = task.command;
  const options = (cdb[2] ?? 0) & 0x07;
  const withTimeouts = ((cdb[2] ?? 0) & RCTD_BIT) !== 0;
  const supported = (form: { readonly needsAtomic: boolean }): boolean => isSupported(unit, form);
  if (options > 3) return invalidInCdb(2, 2);
  const serviceAction = (cdb[4] ?? 0) * 256 + (cdb[5] ?? 0);
  const data =
    options === 0
      ? encodeAllCommands(COMMANDS.filter(supported), withTimeouts)
      : encodeOneCommand(options, cdb[3] ?? 0, serviceAction, supported, withTimeouts);
  if (data === undefined) return invalidInCdb(2, 2);
  return listed(data, lengthOf(task.form, cdb), task.command);
}

export function isSupported(unit: Unit, form: Pick<NamedForm, 'needsAtomic'>): boolean {
  return !form.needsAtomic || unit.atomicBlocksMax > 0;
}

export function reportTaskManagementFunctions(_unit: Unit, task: Task): Outcome {
  const { cdb } = task.command;
  const data = encodeTaskManagementFunctions(((cdb[2] ?? 0) & 0x80) !== 0);
  return listed(data, lengthOf(task.form, cdb), task.command);
}

/**
 * The unit serves other initiators too, so it never stops: STOP empties the cache, which is what a guest that shuts down
 * needs. It cannot be ejected, and has no power conditions.
 */
export async function startStopUnit(unit: Unit, task: Task): Promise<Outcome> {
  const flags = task.command.cdb[4] ?? 0;
  if ((flags & 0x02) !== 0) return invalidInCdb(4, 1);
  if (flags >> 4 !== 0) return invalidInCdb(4, 7);
  const isStart = (flags & 0x01) !== 0;
  const withoutFlush = (flags & 0x04) !== 0;
  if (!isStart && !withoutFlush) await unit.image.flush();
  return GOOD;
}

/** The medium cannot be removed, so there is nothing to prevent. */
export function preventAllowMediumRemoval(): Outcome {
  return GOOD;
}

/** The default self-test, and nothing else (SPC-4 section 6.42). */
export function sendDiagnostic(_unit: Unit, task: Task): Outcome {
  const { cdb } = task.command;
  if (lengthOf(task.form, cdb) !== 0) return invalidInCdb(3);
  if ((cdb[1] ?? 0) >> 5 !== 0) return invalidInCdb(1, 7);
  return GOOD;
}

/** No block is ever defective here: the lists are empty, in the format that is asked for (SBC-3 section 5.17). */
export function readDefectData(_unit: Unit, task: Task): Outcome {
  const { cdb } = task.command;
  const isLong = task.form.usage.length > 10;
  const data = new Uint8Array(isLong ? 8 : 4);
  data[1] = (isLong ? (cdb[1] ?? 0) : (cdb[2] ?? 0)) & 0x1f;
  return listed(data, lengthOf(task.form, cdb), task.command);
}
