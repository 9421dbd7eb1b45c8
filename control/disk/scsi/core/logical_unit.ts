// Owns one disk as its owner runs it: takes a command, gives a result. The way of each command is here (attention, access
// state, reservation, order, execution); what it does is in the files beside. No socket, no file, no clock: blocks go through
// the image, reservations through their store.
import type { Image } from '../../image/image.ts';
import { ImageFailure } from '../../image/image.ts';
import type { InitiatorPort, ScsiCommand, ScsiResult } from '../codec/command.ts';
import { commandOf, type Found, findCommand, lengthOf, type NamedForm, strayBit } from '../codec/commands.ts';
import { ACCESS_STATE, type AccessState, type AdditionalSense, ASC, SENSE_KEY } from '../codec/constants.ts';
import { encodeNoUnitInquiry, type PortGroup, type UnitIdentity } from '../codec/inquiry.ts';
import { encodeSense } from '../codec/sense.ts';
import { conflicts, conflictsWithReserve } from './access.ts';
import { HANDLERS, spansOf } from './handlers.ts';
import { isSupported, lunsOf } from './information.ts';
import { UNSUPPORTED } from './medium.ts';
import {
  ABORTED,
  CONFLICT,
  FULL,
  failed,
  illegal,
  invalidInCdb,
  listed,
  type Outcome,
  resultOf,
} from './outcome.ts';
import { sanitizeRefusal } from './provisioning.ts';
import { isOf, type Nexus, type PersistentState } from './reservations.ts';
import { Task, TaskSet } from './task_set.ts';
import { type NexusState, Unit, type UnitParts } from './unit.ts';

/** Answered with attentions pending, in every access state, and during SANITIZE. */
const ALWAYS: readonly string[] = ['INQUIRY', 'REPORT LUNS', 'REQUEST SENSE'];
/** Answered during SANITIZE (SBC-3 section 4.11.2). */
const DURING_SANITIZE: readonly string[] = [
  ...ALWAYS,
  'READ CAPACITY(10)',
  'READ CAPACITY(16)',
  'REPORT SUPPORTED OPERATION CODES',
  'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
  'REPORT TARGET PORT GROUPS',
];
/** Answered in standby and unavailable (SPC-4 section 5.15.2.4). */
const IN_STANDBY: readonly string[] = [...ALWAYS, 'REPORT TARGET PORT GROUPS'];

export class LogicalUnit {
  readonly #unit: Unit;
  readonly #tasks = new TaskSet();

  constructor(parts: UnitParts) {
    this.#unit = new Unit(parts);
  }

  get image(): Image {
    return this.#unit.image;
  }

  /** For people and for metrics; it is what the store has. */
  get reservations(): PersistentState {
    return this.#unit.reservations;
  }

  /** Commands that are under way or wait. */
  get depth(): number {
    return this.#tasks.size;
  }

  /** Rejects for bugs alone: what an image or a store refuses becomes sense data. */
  async execute(command: ScsiCommand): Promise<ScsiResult> {
    const unit = this.#unit;
    const nexus = unit.nexus(command.initiator, command.targetPort ?? 1);
    const outcome = await this.#outcomeOf(command, nexus);
    return resultOf(outcome, command, unit.settings.descriptorSense);
  }

  async #outcomeOf(command: ScsiCommand, nexus: NexusState): Promise<Outcome> {
    const unit = this.#unit;
    const form = commandOf(command.cdb);
    if (nexus.attentions.first !== undefined && !isAlways(form)) {
      const code = nexus.attentions.take() ?? ASC.NO_ADDITIONAL_SENSE;
      return failed({ key: SENSE_KEY.UNIT_ATTENTION, code });
    }
    if (form === 'no such operation code') return UNSUPPORTED;
    if (form === 'no such service action') return invalidInCdb(1, 4);
    if (!isSupported(unit, form)) return UNSUPPORTED;
    const early = this.#refusal(form, command, nexus);
    if (early !== undefined) return early;
    if (this.#tasks.isFull(nexus.key)) return FULL;

    const task = new Task(command, form, nexus.key, spansOf(unit, form, command));
    const turn = this.#tasks.enter(task);
    try {
      if (turn !== undefined) {
        await turn;
        if (task.aborted) return ABORTED;
        // While it waited, somebody may have reserved the unit.
        const late = this.#refusal(form, command, nexus);
        if (late !== undefined) return late;
      }
      const outcome = await HANDLERS[form.name].execute(unit, task, nexus, async (registrations) => {
        await this.#abort(
          (other) => other !== task && registrations.some((each) => isOf(each, this.#nexusOf(other))),
        );
      });
      return task.aborted ? ABORTED : outcome;
    } catch (error) {
      if (error instanceof ImageFailure) return imageFailure(unit, error, form);
      throw error;
    } finally {
      this.#tasks.leave(task);
    }
  }

  /** What stands in the way of a command that is well formed or not, in the order in which SPC has it matter. */
  #refusal(form: NamedForm, command: ScsiCommand, nexus: NexusState): Outcome | undefined {
    const unit = this.#unit;
    const state = unit.groupOf(nexus.nexus.targetPort)?.state ?? ACCESS_STATE.ACTIVE_OPTIMIZED;
    const inaccessible = ACCESS_SENSE[state];
    if (inaccessible !== undefined && !IN_STANDBY.includes(form.name))
      return failed({ key: SENSE_KEY.NOT_READY, code: inaccessible });
    if (unit.reserved !== undefined && conflictsWithReserve(unit.reserved === nexus.key, form, command.cdb))
      return CONFLICT;
    if (conflicts(unit.reservations, nexus.nexus, form, command.cdb)) return CONFLICT;
    const stray = strayBit(form, command.cdb);
    if (stray !== undefined) return illegal(ASC.INVALID_FIELD_IN_CDB, stray);
    if (unit.sanitizing === undefined && !unit.sanitizeFailed) return undefined;
    if (DURING_SANITIZE.includes(form.name)) return undefined;
    if (unit.sanitizing === undefined && form.name.startsWith('SANITIZE')) return undefined;
    return sanitizeRefusal(unit);
  }

  #nexusOf(task: Task): Nexus {
    return this.#unit.nexus(task.command.initiator, task.command.targetPort ?? 1).nexus;
  }

  async #abort(wanted: (task: Task) => boolean): Promise<number> {
    const tasks = this.#tasks.of(wanted);
    await this.#tasks.abort(tasks);
    return tasks.length;
  }

  // Task management (SAM-5 section 7). Each resolves when what it aborted touches the medium no more.

  /** Whether there was such a task: one that is not there any more has ended, which is no error. */
  async abortTask(initiator: InitiatorPort, reference: bigint, targetPort = 1): Promise<boolean> {
    const { key } = this.#unit.nexus(initiator, targetPort);
    return (await this.#abort((task) => task.nexus === key && task.command.reference === reference)) > 0;
  }

  async abortTaskSet(initiator: InitiatorPort, targetPort = 1): Promise<void> {
    const { key } = this.#unit.nexus(initiator, targetPort);
    await this.#abort((task) => task.nexus === key);
  }

  /** One task set for all: the others hear that theirs were cleared. */
  async clearTaskSet(initiator: InitiatorPort, targetPort = 1): Promise<void> {
    const { key } = this.#unit.nexus(initiator, targetPort);
    const others = new Set(this.#tasks.of((task) => task.nexus !== key).map((task) => task.nexus));
    await this.#abort(() => true);
    for (const each of this.#unit.nexuses)
      if (others.has(each.key)) each.attentions.raise(ASC.COMMANDS_CLEARED_BY_ANOTHER_INITIATOR);
  }

  /** All tasks end, RESERVE(6) ends, persistent reservations stay; every nexus hears of it, also the one that asked. */
  async reset(of: 'logical unit' | 'target'): Promise<void> {
    const unit = this.#unit;
    await this.#abort((task) => !task.form.name.startsWith('SANITIZE'));
    unit.reserved = undefined;
    unit.raise(of === 'target' ? ASC.SCSI_BUS_RESET_OCCURRED : ASC.BUS_DEVICE_RESET_FUNCTION_OCCURRED);
  }

  /** The initiator is gone, by logout or otherwise: its tasks and its RESERVE(6) end, its registrations stay. */
  async nexusLost(initiator: InitiatorPort, targetPort = 1): Promise<void> {
    const unit = this.#unit;
    const { key, attentions, copies } = unit.nexus(initiator, targetPort);
    await this.#abort((task) => task.nexus === key);
    if (unit.reserved === key) unit.reserved = undefined;
    copies.clear();
    attentions.raise(ASC.I_T_NEXUS_LOSS_OCCURRED);
  }

  // What happens to the disk from outside.

  /** `image.resize` was called: every initiator hears of it. */
  capacityChanged(): void {
    this.#unit.raise(ASC.CAPACITY_DATA_HAS_CHANGED);
  }

  /** Another node owns the disk, or the way to it changed. */
  portGroupsChanged(groups: readonly PortGroup[]): void {
    this.#unit.groups = groups;
    this.#unit.raise(ASC.ASYMMETRIC_ACCESS_STATE_CHANGED);
  }

  lunsChanged(): void {
    this.#unit.raise(ASC.REPORTED_LUNS_DATA_HAS_CHANGED);
  }

  /** Resolves when nothing is under way any more; the image and the store are the owner's to close. */
  async drained(): Promise<void> {
    await Promise.all(this.#tasks.of(() => true).map((task) => task.ended()));
    await this.#unit.background;
  }
}

function isAlways(form: Found): boolean {
  return typeof form !== 'string' && ALWAYS.includes(form.name);
}

const ACCESS_SENSE: Readonly<Partial<Record<AccessState, AdditionalSense>>> = {
  [ACCESS_STATE.STANDBY]: ASC.TARGET_PORT_IN_STANDBY_STATE,
  [ACCESS_STATE.UNAVAILABLE]: ASC.TARGET_PORT_IN_UNAVAILABLE_STATE,
  [ACCESS_STATE.TRANSITIONING]: ASC.ASYMMETRIC_ACCESS_STATE_TRANSITION,
};

function imageFailure(unit: Unit, failure: ImageFailure, form: NamedForm): Outcome {
  const at =
    failure.offset === undefined ? {} : { information: Math.floor(failure.offset / unit.blockBytes) };
  switch (failure.fault) {
    case 'full':
      return failed({ key: SENSE_KEY.DATA_PROTECT, code: ASC.SPACE_ALLOCATION_FAILED_WRITE_PROTECT, ...at });
    case 'read only':
      return failed({ key: SENSE_KEY.DATA_PROTECT, code: ASC.WRITE_PROTECTED });
    case 'lost':
      return failed({ key: SENSE_KEY.NOT_READY, code: ASC.MEDIUM_NOT_PRESENT });
    case 'io': {
      const code = form.access === 'write' ? ASC.WRITE_ERROR : ASC.UNRECOVERED_READ_ERROR;
      return failed({ key: SENSE_KEY.MEDIUM_ERROR, code, ...at });
    }
  }
}

/** For a logical unit number behind which nothing is (SPC-4 section 6.6.2): what it is asked most, and 25/00. */
export function executeWithoutUnit(
  command: ScsiCommand,
  identity: UnitIdentity,
  luns: readonly Uint8Array[],
): ScsiResult {
  return resultOf(outcomeWithoutUnit(command, identity, luns), command, false);
}

function outcomeWithoutUnit(
  command: ScsiCommand,
  identity: UnitIdentity,
  luns: readonly Uint8Array[],
): Outcome {
  const { cdb } = command;
  const form = findCommand(cdb[0] ?? 0, (cdb[1] ?? 0) & 0x1f);
  const notSupported = { key: SENSE_KEY.ILLEGAL_REQUEST, code: ASC.LOGICAL_UNIT_NOT_SUPPORTED } as const;
  if (typeof form === 'string') return failed(notSupported);
  if (form.name === 'REPORT LUNS') return lunsOf({ form, command }, luns);
  if (form.name === 'REQUEST SENSE') {
    const data = encodeSense(notSupported, ((cdb[1] ?? 0) & 1) !== 0);
    return listed(data, lengthOf(form, cdb), command);
  }
  if (form.name !== 'INQUIRY') return failed(notSupported);
  if (((cdb[1] ?? 0) & 1) !== 0 || (cdb[2] ?? 0) !== 0) return invalidInCdb(2);
  return listed(encodeNoUnitInquiry(identity), lengthOf(form, cdb), command);
}
