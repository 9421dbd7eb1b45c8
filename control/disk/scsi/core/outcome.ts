// Owns how a command ends before it becomes a result of the transport: good with data, a status, or sense data.

import type { ScsiCommand, ScsiResult } from '../codec/command.ts';
import { type AdditionalSense, ASC, SENSE_KEY, STATUS } from '../codec/constants.ts';
import { encodeSense, type FieldPointer, type Sense } from '../codec/sense.ts';

export type Direction = 'in' | 'out' | 'none';

export interface Outcome {
  readonly status: number;
  readonly sense?: Sense;
  readonly dataIn?: Uint8Array;
  /** Bytes that the command is about, whatever the initiator expected. */
  readonly transfer: number;
  readonly direction: Direction;
}

export const GOOD: Outcome = { status: STATUS.GOOD, transfer: 0, direction: 'none' };
export const CONFLICT: Outcome = { status: STATUS.RESERVATION_CONFLICT, transfer: 0, direction: 'none' };
export const ABORTED: Outcome = { status: STATUS.TASK_ABORTED, transfer: 0, direction: 'none' };
export const FULL: Outcome = { status: STATUS.TASK_SET_FULL, transfer: 0, direction: 'none' };

export function failed(sense: Sense, transfer = 0, direction: Direction = 'none'): Outcome {
  return { status: STATUS.CHECK_CONDITION, sense, transfer, direction };
}

export function illegal(code: AdditionalSense, pointer?: FieldPointer): Outcome {
  const key = SENSE_KEY.ILLEGAL_REQUEST;
  return failed(pointer === undefined ? { key, code } : { key, code, pointer });
}

export function invalidInCdb(byte: number, bit?: number): Outcome {
  return illegal(ASC.INVALID_FIELD_IN_CDB, { inCdb: true, byte, ...(bit === undefined ? {} : { bit }) });
}

export function invalidInList(byte: number): Outcome {
  return illegal(ASC.INVALID_FIELD_IN_PARAMETER_LIST, { inCdb: false, byte });
}

export const WRONG_LIST_LENGTH = illegal(ASC.PARAMETER_LIST_LENGTH_ERROR);

/** Data for the initiator, cut at its allocation length (SPC-4 section 4.2.5.6). */
export function listed(bytes: Uint8Array, allocationLength: number, command: ScsiCommand): Outcome {
  const transfer = Math.min(bytes.length, allocationLength);
  const dataIn = bytes.subarray(0, Math.min(transfer, command.dataInMax));
  return { status: STATUS.GOOD, dataIn, transfer, direction: 'in' };
}

/** All that the initiator sent was taken. */
export function taken(transfer: number): Outcome {
  return { status: STATUS.GOOD, transfer, direction: 'out' };
}

export function resultOf(outcome: Outcome, command: ScsiCommand, descriptorSense: boolean): ScsiResult {
  const { direction, transfer, status } = outcome;
  let expected = command.dataInMax + command.dataOut.length;
  if (direction === 'in') expected = command.dataInMax;
  if (direction === 'out') expected = command.dataOut.length;
  return {
    status,
    residual: expected - transfer,
    ...(outcome.dataIn === undefined ? {} : { dataIn: outcome.dataIn }),
    ...(outcome.sense === undefined ? {} : { sense: encodeSense(outcome.sense, descriptorSense) }),
  };
}
