// Owns PERSISTENT RESERVE IN and OUT and RESERVE(6)/RELEASE(6) as commands of a unit: parameter lists in, verdicts carried out.
// What a service action makes of the reservations is decided in reservations.ts. Durable first, then in force, then GOOD.
import { lengthOf } from '../codec/commands.ts';
import { ASC, RESERVATION_TYPES, type ReservationType, SENSE_KEY } from '../codec/constants.ts';
import {
  type Decoded,
  decodeMoveParameters,
  decodePersistentParameters,
  encodeCapabilities,
  encodeFullStatus,
  encodeKeys,
  encodeReservation,
  NO_KEY,
  PERSISTENT_LIST_BYTES_MAX,
  type PersistentParameters,
} from '../codec/persistent.ts';
import {
  CONFLICT,
  failed,
  GOOD,
  illegal,
  invalidInCdb,
  invalidInList,
  listed,
  type Outcome,
  taken,
  WRONG_LIST_LENGTH,
} from './outcome.ts';
import {
  clear,
  holds,
  letsRegistrantsThrough,
  type Nexus,
  type PersistentState,
  preempt,
  type Registration,
  register,
  registerAndMove,
  registrationOf,
  release,
  reserve,
  type Verdict,
} from './reservations.ts';
import type { Task } from './task_set.ts';
import type { NexusState, Unit } from './unit.ts';

export function readKeys(unit: Unit, task: Task): Outcome {
  const { generation, registrations } = unit.reservations;
  const data = encodeKeys(
    generation,
    registrations.map(({ key }) => key),
  );
  return listed(data, lengthOf(task.form, task.command.cdb), task.command);
}

/** The key of a reservation for all registrants is zero (SPC-4 section 6.15.3). */
export function readReservation(unit: Unit, task: Task): Outcome {
  const { generation, reservation } = unit.reservations;
  const data = encodeReservation(generation, reservation?.holder?.key ?? NO_KEY, reservation?.type);
  return listed(data, lengthOf(task.form, task.command.cdb), task.command);
}

export function reportCapabilities(_unit: Unit, task: Task): Outcome {
  return listed(encodeCapabilities(), lengthOf(task.form, task.command.cdb), task.command);
}

export function readFullStatus(unit: Unit, task: Task): Outcome {
  const state = unit.reservations;
  const all = state.registrations.map((each) => ({
    ...each,
    type: holds(state, each) ? state.reservation?.type : undefined,
  }));
  return listed(encodeFullStatus(state.generation, all), lengthOf(task.form, task.command.cdb), task.command);
}

type Decide = (
  state: PersistentState,
  nexus: Nexus,
  parameters: PersistentParameters,
  type: ReservationType,
) => Verdict;

/** One service action: whether its TYPE counts, and what it makes of the reservations. */
interface Action {
  readonly usesType: boolean;
  readonly decide: Decide;
}

const action = (decide: Decide, usesType = false): Action => ({ decide, usesType });

const ACTIONS: Readonly<Record<number, Action>> = {
  0: action((state, nexus, parameters) => register(state, nexus, parameters, false)),
  1: action(reserve, true),
  2: action(release, true),
  3: action(clear),
  4: action((state, nexus, parameters, type) => preempt(state, nexus, parameters, type, false), true),
  5: action((state, nexus, parameters, type) => preempt(state, nexus, parameters, type, true), true),
  6: action((state, nexus, parameters) => register(state, nexus, parameters, true)),
};
const REGISTER_AND_MOVE = 7;
const NO_TYPE = 0 as ReservationType;

/** Aborts the tasks of those registrations, and resolves when none of them touches the medium any more. */
export type AbortTasksOf = (registrations: readonly Registration[]) => Promise<void>;

export async function persistentReserveOut(
  unit: Unit,
  task: Task,
  nexus: NexusState,
  abortTasksOf: AbortTasksOf,
): Promise<Outcome> {
  const { cdb, dataOut } = task.command;
  const length = lengthOf(task.form, cdb);
  if (length > PERSISTENT_LIST_BYTES_MAX || dataOut.length < length) return WRONG_LIST_LENGTH;
  const verdict = decide(unit, nexus.nexus, task.form.serviceAction ?? 0, cdb, dataOut.subarray(0, length));
  if ('status' in verdict) return verdict;
  return await carryOut(unit, task, nexus, verdict, abortTasksOf);
}

function decide(
  unit: Unit,
  nexus: Nexus,
  serviceAction: number,
  cdb: Uint8Array,
  list: Uint8Array,
): Verdict | Outcome {
  const state = unit.reservations;
  if (serviceAction === REGISTER_AND_MOVE) {
    const decoded = decodeMoveParameters(list);
    if (!decoded.ok) return listRefusal(decoded);
    const { value } = decoded;
    const moved = { ...value, initiator: unit.initiator(value.initiator) };
    return registerAndMove(
      state,
      nexus,
      moved,
      unit.parts.ports.map((port) => port.relativeId),
    );
  }
  const chosen = ACTIONS[serviceAction];
  if (chosen === undefined) return invalidInCdb(1, 4);
  const scopeAndType = cdb[2] ?? 0;
  if (chosen.usesType && scopeAndType >> 4 !== 0) return invalidInCdb(2, 7);
  // A RELEASE with a type that does not exist is one with a type that is not the one held.
  const type = scopeAndType & 0x0f;
  const isRelease = serviceAction === 2;
  if (chosen.usesType && !isRelease && !RESERVATION_TYPES.includes(type)) return invalidInCdb(2, 3);
  const decoded = decodePersistentParameters(list);
  if (!decoded.ok) return listRefusal(decoded);
  const { value } = decoded;
  const parameters =
    value.initiators === undefined
      ? value
      : { ...value, initiators: value.initiators.map((each) => unit.initiator(each)) };
  return chosen.decide(state, nexus, parameters, chosen.usesType ? (type as ReservationType) : NO_TYPE);
}

function listRefusal(decoded: Extract<Decoded<unknown>, { ok: false }>): Outcome {
  return decoded.why === 'length' ? WRONG_LIST_LENGTH : invalidInList(decoded.byte);
}

async function carryOut(
  unit: Unit,
  task: Task,
  nexus: NexusState,
  verdict: Verdict,
  abortTasksOf: AbortTasksOf,
): Promise<Outcome> {
  if (verdict.outcome === 'conflict') return CONFLICT;
  if (verdict.outcome === 'refused')
    return verdict.byte === undefined
      ? illegal(verdict.code)
      : illegal(verdict.code, { inCdb: verdict.inCdb === true, byte: verdict.byte });
  if (verdict.state !== unit.reservations && !(await isSaved(unit, verdict.state, task, nexus)))
    return failed({ key: SENSE_KEY.HARDWARE_ERROR, code: ASC.INTERNAL_TARGET_FAILURE });
  unit.reservations = verdict.state;
  // Nobody is let through by the old state any more; what was let through before ends before the answer.
  if (verdict.abort.length > 0) await abortTasksOf(verdict.abort);
  for (const { of, code } of verdict.attentions) unit.raiseFor(of, code, nexus.key);
  return taken(lengthOf(task.form, task.command.cdb));
}

/** A store that fails says so in its own words to those who run it; the initiator hears that nothing has changed. */
async function isSaved(
  unit: Unit,
  state: PersistentState,
  task: Task,
  { nexus }: NexusState,
): Promise<boolean> {
  try {
    await unit.parts.store.save(state, { nexus, reference: task.command.reference });
    return true;
  } catch {
    return false;
  }
}

/**
 * SPC-2 beside SPC-3 (SPC-4 section 5.13.3, CRH): who may do everything under a persistent reservation is told that it has
 * reserved; anybody else is in conflict, also where there are only registrations.
 */
export function reserve6(unit: Unit, _task: Task, { key, nexus }: NexusState): Outcome {
  const state = unit.reservations;
  if (state.registrations.length > 0) return isCompatible(unit, nexus) ? GOOD : CONFLICT;
  if (unit.reserved !== undefined && unit.reserved !== key) return CONFLICT;
  unit.reserved = key;
  return GOOD;
}

/** Of somebody else's reservation nothing is released, which is no error (SPC-2 section 7.16). */
export function release6(unit: Unit, _task: Task, { key, nexus }: NexusState): Outcome {
  if (unit.reservations.registrations.length > 0) return isCompatible(unit, nexus) ? GOOD : CONFLICT;
  if (unit.reserved === key) unit.reserved = undefined;
  return GOOD;
}

function isCompatible(unit: Unit, nexus: Nexus): boolean {
  const state = unit.reservations;
  const own = registrationOf(state, nexus);
  if (own === undefined) return false;
  if (state.reservation === undefined) return false;
  return holds(state, own) || letsRegistrantsThrough(state.reservation.type);
}
