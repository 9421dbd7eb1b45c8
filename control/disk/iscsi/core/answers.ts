// Owns what a target says: each PDU with its fields in place, and the numbers that every one carries (RFC 7143, sections
// 4.2.2.2 and 11). Decides nothing.
import {
  type AsyncEvent,
  FLAGS,
  LOGIN_STATUSES,
  type LoginStatusName,
  OPCODES,
  REJECT_REASONS,
  RESERVED_TAG,
  RESPONSES,
  type RejectReason,
  SCSI_STATUSES,
} from '../codec/constants.ts';
import type { PduView } from '../codec/pdu.ts';
import {
  bidirectionalResidualFlags,
  type HeaderWriter,
  residualFlags,
  type Sequence,
} from '../codec/response.ts';
import { serialAdd } from '../codec/serial_number.ts';
import type { CommandResult } from './command.ts';
import type { PduOutput } from './pdu_output.ts';
import type { TargetSense, Task } from './task.ts';

/** What of a session goes into every PDU. */
export interface CommandWindow {
  readonly ExpCmdSN: number;
  readonly MaxCmdSN: number;
}

export interface DataInShape {
  readonly MaxRecvDataSegmentLength: number;
  readonly MaxBurstLength: number;
}

/** Section 11.9: a LUN for events of units, parameters by event, sense data for SCSI events. */
export interface AsyncMessage {
  readonly event: AsyncEvent;
  readonly lun?: number;
  readonly parameters?: readonly [number, number, number];
  readonly sense?: Uint8Array;
}

const SENSE_BYTES = 18;
const GOOD: CommandResult = { status: SCSI_STATUSES.GOOD, residual: 0 };

export class Answers {
  readonly #output: PduOutput;
  readonly #sequence: Sequence = { StatSN: 1, ExpCmdSN: 0, MaxCmdSN: 0 };
  window: CommandWindow = { ExpCmdSN: 0, MaxCmdSN: 0 };

  constructor(output: PduOutput) {
    this.#output = output;
  }

  login(
    pdu: PduView,
    status: LoginStatusName,
    flags: number,
    { TSIH, text }: { TSIH: number; text: Uint8Array },
  ): void {
    const header = this.#begin(OPCODES.LOGIN_RESPONSE, flags, pdu.ITT, true);
    header.bytes.set(pdu.isid(), header.start + 8);
    header.u16(14, TSIH);
    header.u16(36, LOGIN_STATUSES[status]);
    this.#output.end(text);
  }

  text(ITT: number, TTT: number, flags: number, piece: Uint8Array): void {
    const header = this.#begin(OPCODES.TEXT_RESPONSE, flags, ITT, true);
    header.u32(20, TTT);
    this.#output.end(piece);
  }

  logout(ITT: number, response: number): void {
    this.#begin(OPCODES.LOGOUT_RESPONSE, FLAGS.FINAL, ITT, true).u8(2, response);
    this.#output.end();
  }

  /** The answer to a NOP-Out: its data, as much as the initiator takes. */
  echo(pdu: PduView, bytesMax: number): void {
    const header = this.#begin(OPCODES.NOP_IN, FLAGS.FINAL, pdu.ITT, true);
    header.lun(pdu.lunHigh, pdu.lunLow);
    header.u32(20, RESERVED_TAG);
    this.#output.end(pdu.bytes, pdu.dataStart, pdu.dataStart + Math.min(pdu.dataBytes, bytesMax));
  }

  /** A NOP-In that is to be answered. */
  ping(TTT: number): void {
    this.#begin(OPCODES.NOP_IN, FLAGS.FINAL, RESERVED_TAG, false).u32(20, TTT);
    this.#output.end();
  }

  reject(pdu: PduView, reason: RejectReason): void {
    this.#begin(OPCODES.REJECT, FLAGS.FINAL, RESERVED_TAG, true).u8(2, REJECT_REASONS[reason]);
    this.#output.end(pdu.header());
  }

  taskManagement(ITT: number, response: number): void {
    this.#begin(OPCODES.TASK_MANAGEMENT_RESPONSE, FLAGS.FINAL, ITT, true).u8(2, response);
    this.#output.end();
  }

  async({ event, lun = 0, parameters = [0, 0, 0], sense }: AsyncMessage): void {
    const header = this.#begin(OPCODES.ASYNC_MESSAGE, FLAGS.FINAL, RESERVED_TAG, true);
    header.lun(lun < 256 ? lun << 16 : (lun << 16) | 0x4000_0000, 0);
    header.u32(20, RESERVED_TAG);
    header.u8(36, event);
    for (const [at, parameter] of parameters.entries()) header.u16(38 + 2 * at, parameter);
    if (sense === undefined) this.#output.end();
    else this.#output.end(withLength(sense));
  }

  r2t(task: Task, TTT: number, R2TSN: number, offset: number, bytes: number): void {
    const header = this.#begin(OPCODES.R2T, FLAGS.FINAL, task.ITT, false);
    header.lun(task.lunHigh, task.lunLow);
    header.u32(20, TTT);
    header.u32(36, R2TSN);
    header.u32(40, offset);
    header.u32(44, bytes);
    this.#output.end();
  }

  /** All of a command's answer: Data-Ins, and its status in the last of them where that is allowed (section 11.7.4). */
  result(task: Task, result: CommandResult, shape: DataInShape): void {
    const { dataIn } = result;
    const residual = result.residual + task.dataInCut;
    const statusWithData =
      result.status === SCSI_STATUSES.GOOD && result.sense === undefined && !task.bidirectional;
    let sent = 0;
    if (dataIn !== undefined && dataIn.length > 0) {
      sent = this.#dataIn(task, dataIn, shape, statusWithData ? residual : undefined);
      if (statusWithData) return;
    }
    const flags = task.bidirectional
      ? FLAGS.FINAL | bidirectionalResidualFlags(residual)
      : FLAGS.FINAL | residualFlags(residual);
    const header = this.#begin(OPCODES.SCSI_RESPONSE, flags, task.ITT, true);
    header.u8(2, RESPONSES.COMMAND_COMPLETED);
    header.u8(3, result.status);
    header.u32(36, sent + task.R2TSN);
    header.u32(task.bidirectional ? 40 : 44, Math.abs(residual));
    const { sense } = result;
    if (sense === undefined) this.#output.end();
    else this.#output.end(withLength(sense));
  }

  /** A command that ends by what the target found, without its unit. */
  fault(task: Task, [key, asc, ascq]: TargetSense): void {
    const sense = new Uint8Array(SENSE_BYTES);
    // Fixed format, current (SPC-5, 4.4.3).
    sense[0] = 0x70;
    sense[2] = key;
    sense[7] = SENSE_BYTES - 8;
    sense[12] = asc;
    sense[13] = ascq;
    const result = { ...GOOD, status: SCSI_STATUSES.CHECK_CONDITION, sense };
    this.result(task, result, { MaxRecvDataSegmentLength: 0, MaxBurstLength: 0 });
  }

  /** Gives how many PDUs it took. `residual`: the last one carries status GOOD with it. */
  #dataIn(task: Task, data: Uint8Array, shape: DataInShape, residual: number | undefined): number {
    const pieceMax = Math.min(shape.MaxRecvDataSegmentLength, shape.MaxBurstLength);
    let DataSN = 0;
    let burst = 0;
    for (let at = 0; at < data.length; DataSN++) {
      const bytes = Math.min(pieceMax, data.length - at, shape.MaxBurstLength - burst);
      burst += bytes;
      const last = at + bytes === data.length;
      const final = last || burst === shape.MaxBurstLength;
      const withStatus = last && residual !== undefined;
      const flags = (final ? FLAGS.FINAL : 0) | (withStatus ? FLAGS.STATUS | residualFlags(residual) : 0);
      const header = this.#begin(OPCODES.SCSI_DATA_IN, flags, task.ITT, withStatus);
      header.u32(20, RESERVED_TAG);
      if (!withStatus) header.u32(24, 0);
      header.u32(36, DataSN);
      header.u32(40, at);
      if (withStatus) header.u32(44, Math.abs(residual));
      this.#output.end(data, at, at + bytes);
      at += bytes;
      if (final) burst = 0;
    }
    return DataSN;
  }

  #begin(opcode: number, flags: number, ITT: number, takesStatSN: boolean): HeaderWriter {
    const header = this.#output.begin(opcode, flags, ITT);
    const sequence = this.#sequence;
    sequence.ExpCmdSN = this.window.ExpCmdSN;
    sequence.MaxCmdSN = this.window.MaxCmdSN;
    header.sequence(sequence);
    if (takesStatSN) sequence.StatSN = serialAdd(sequence.StatSN, 1);
    return header;
  }
}

/** Section 11.4.7: SenseLength in front. */
function withLength(sense: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + sense.length);
  bytes[0] = sense.length >>> 8;
  bytes[1] = sense.length;
  bytes.set(sense, 2);
  return bytes;
}
