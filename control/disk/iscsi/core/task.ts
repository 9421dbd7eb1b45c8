// Owns one SCSI command between its PDU and its answer: the data that must come for it, in which order and from which
// sequences (RFC 7143, sections 4.2.4, 11.7, 11.8). Sends nothing: says which R2T is next.
import { RESERVED_TAG, TARGET_SENSE, type TaskAttribute } from '../codec/constants.ts';
import { lunNumber, type PduView } from '../codec/pdu.ts';
import { serialAdd } from '../codec/serial_number.ts';
import type { Command, InitiatorPort } from './command.ts';
import type { DataBuffers } from './data_buffers.ts';

export type TargetSense = (typeof TARGET_SENSE)[keyof typeof TARGET_SENSE];

/** `early`: its turn has not come. `collecting`: its data has not. `ready`, `executing`, and `over`. */
export type TaskState = 'early' | 'collecting' | 'ready' | 'executing' | 'over';

/** Data-Outs that belong together: those nobody asked for, or the answer to one R2T. */
interface DataSequence {
  readonly TTT: number;
  readonly end: number;
  at: number;
  DataSN: number;
}

export interface TaskParts {
  readonly initiator: InitiatorPort;
  readonly reference: bigint;
  readonly attribute: TaskAttribute;
  readonly cdb: Uint8Array;
  readonly writes: boolean;
  readonly expectedBytes: number;
  readonly dataInMax: number;
  /** What `dataInMax` is less than what the initiator expects. */
  readonly dataInCut: number;
  readonly bidirectional: boolean;
}

const NO_DATA = new Uint8Array(0);

export class Task implements Command {
  readonly kind = 'command';
  readonly initiator: InitiatorPort;
  readonly lun: number;
  readonly reference: bigint;
  readonly attribute: TaskAttribute;
  readonly cdb: Uint8Array;
  readonly dataInMax: number;
  readonly dataInCut: number;
  readonly bidirectional: boolean;
  readonly ITT: number;
  readonly CmdSN: number;
  readonly immediate: boolean;
  readonly lunHigh: number;
  readonly lunLow: number;
  /** Of the initiator's data. */
  readonly outBytes: number;
  state: TaskState = 'early';
  aborted = false;
  /** Its turn came: it counts in the order of commands. */
  began = false;
  /** What ends it, once nothing more is to come for it. */
  fault: TargetSense | undefined;
  /** R2Ts that were sent: their numbers. */
  R2TSN = 0;
  /** What of it was asked for or came. */
  asked = 0;
  #received = 0;
  #unsolicited: DataSequence | undefined;
  readonly #solicited: DataSequence[] = [];
  #buffer: Uint8Array | undefined;

  constructor(pdu: PduView, parts: TaskParts) {
    this.ITT = pdu.ITT;
    this.CmdSN = pdu.CmdSN;
    this.immediate = pdu.immediate;
    this.lunHigh = pdu.lunHigh;
    this.lunLow = pdu.lunLow;
    this.lun = lunNumber(this.lunHigh, this.lunLow);
    this.initiator = parts.initiator;
    this.reference = parts.reference;
    this.attribute = parts.attribute;
    this.cdb = parts.cdb;
    this.dataInMax = parts.dataInMax;
    this.dataInCut = parts.dataInCut;
    this.bidirectional = parts.bidirectional;
    this.outBytes = parts.writes ? parts.expectedBytes : 0;
  }

  get dataOut(): Uint8Array {
    return this.#buffer === undefined ? NO_DATA : this.#buffer.subarray(0, this.outBytes);
  }

  /** Nothing more will come for it. */
  get settled(): boolean {
    return this.#unsolicited === undefined && this.#solicited.length === 0;
  }

  get complete(): boolean {
    return this.settled && this.#received === this.outBytes;
  }

  get bufferBytes(): number {
    return this.#buffer?.length ?? 0;
  }

  get outstandingR2Ts(): number {
    return this.#solicited.length;
  }

  /** Makes room for so many of its bytes, keeping those that came. Gives how many bytes more it has now. */
  makeRoom(bytes: number, buffers: DataBuffers): number {
    const before = this.#buffer;
    if (before !== undefined && before.length >= bytes) return 0;
    const buffer = buffers.take(bytes);
    if (before !== undefined) {
      buffer.set(before.subarray(0, this.#received));
      buffers.give(before);
    }
    this.#buffer = buffer;
    return buffer.length - (before?.length ?? 0);
  }

  /** Gives how many bytes it had. */
  release(buffers: DataBuffers): number {
    const buffer = this.#buffer;
    if (buffer === undefined) return 0;
    this.#buffer = undefined;
    buffers.give(buffer);
    return buffer.length;
  }

  /** Data-Outs follow that nobody asked for, up to `end`. */
  expectUnsolicited(end: number): void {
    this.#unsolicited = { TTT: RESERVED_TAG, end, at: this.#received, DataSN: 0 };
    this.asked = end;
  }

  takeImmediate(pdu: PduView): void {
    this.#store(pdu, 0);
    this.asked = this.#received;
  }

  /** The next part of its data is asked for by an R2T. */
  expectSolicited(TTT: number, bytes: number): void {
    this.#solicited.push({ TTT, end: this.asked + bytes, at: this.asked, DataSN: 0 });
    this.asked += bytes;
    this.R2TSN += 1;
  }

  /**
   * A Data-Out. False: it belongs to no sequence that is open; with sequences in order (section 13.19) that is one at
   * most. One that is not the next of its sequence says that others are lost: the command ends by that, once the last
   * one has come.
   */
  take(pdu: PduView, digestError: boolean): boolean {
    const sequence = this.#unsolicited ?? this.#solicited[0];
    if (sequence === undefined || sequence.TTT !== pdu.TTT) return false;
    const next = sequence.DataSN === pdu.DataSN && sequence.at === pdu.bufferOffset;
    if (digestError || !next || sequence.at + pdu.dataBytes > sequence.end) {
      this.fault ??= TARGET_SENSE.protocolServiceCrcError;
    }
    if (this.fault === undefined) {
      this.#store(pdu, sequence.at);
      sequence.DataSN = serialAdd(sequence.DataSN, 1);
      sequence.at += pdu.dataBytes;
    }
    if (pdu.final) this.#end(sequence);
    return true;
  }

  #end(sequence: DataSequence): void {
    if (sequence === this.#unsolicited) {
      this.#unsolicited = undefined;
      // What was not sent unasked is asked for.
      this.asked = sequence.at;
      return;
    }
    this.#solicited.shift();
    if (sequence.at < sequence.end) this.fault ??= TARGET_SENSE.incorrectAmountOfData;
  }

  #store(pdu: PduView, offset: number): void {
    if (pdu.dataBytes > 0) this.#buffer!.set(pdu.data(), offset);
    this.#received += pdu.dataBytes;
  }
}
