// Owns how much initiators may have of a target: every queue, buffer and table of this room is bounded by one of these.
import { AHS_BYTES_MAX, BHS_BYTES, DIGEST_BYTES } from '../codec/constants.ts';

/** MaxRecvDataSegmentLength that the target declares. */
export const DATA_SEGMENT_BYTES_MAX = 256 << 10;
/** Until full feature phase, section 13.12: what nobody declared. */
export const LOGIN_DATA_SEGMENT_BYTES_MAX = 8192;
/** Text of one exchange, over all PDUs that continue it. */
export const TEXT_BYTES_MAX = 64 << 10;

export const PDU_BYTES_MAX = BHS_BYTES + AHS_BYTES_MAX + DIGEST_BYTES + DATA_SEGMENT_BYTES_MAX + DIGEST_BYTES;

/** MaxBurstLength and FirstBurstLength that the target agrees to. */
export const BURST_BYTES_MAX = 1 << 20;
export const FIRST_BURST_BYTES_MAX = 256 << 10;
/** R2Ts of one task that may be unanswered. */
export const OUTSTANDING_R2T_MAX = 8;

/** Non-immediate commands: what MaxCmdSN lets in beyond ExpCmdSN, less those that are not answered. */
export const COMMANDS_MAX = 128;
/** Immediate commands that are not answered. */
export const IMMEDIATE_COMMANDS_MAX = 16;
/** Data of one command, in either direction: what the unit says as MAXIMUM TRANSFER LENGTH must not be more. */
export const COMMAND_DATA_BYTES_MAX = 16 << 20;
/** Bytes of commands that came before their turn. */
export const EARLY_BYTES_MAX = 1 << 20;
/** What may be promised to an initiator in answers to commands being executed, and not be sent, before more begin. */
export const ANSWER_BYTES_MAX = 8 << 20;
/** Not sent: from here on no more is read. */
export const UNSENT_BYTES_MAX = 32 << 20;
/** No initiator can ask for more than this: what says more is a bug, which must not take the machine with it. */
export const OUTPUT_BYTES_MAX = 128 << 20;

export const LIMITS = {
  /** Of all initiators. */
  sessionsMax: 1024,
  /** Of one initiator, by its name. A VM has one for every target it uses, and one more while it logs in again. */
  sessionsPerInitiatorMax: 256,
  /** Data of writes of one initiator that were asked for or came unasked, over all its sessions. */
  dataBytesPerInitiatorMax: 64 << 20,
} as const;
export type Limits = { readonly [Name in keyof typeof LIMITS]: number };

export interface Times {
  /** A login that began and is not over. */
  readonly loginMs: number;
  /** A PDU that began and is not complete. */
  readonly pduMs: number;
  /** The initiator does not take what is sent. */
  readonly sendMs: number;
  /** Nothing came: it is asked with a NOP-In … */
  readonly quietMs: number;
  /** … and must say something within this time. */
  readonly pingMs: number;
}

export const TIMES: Times = {
  loginMs: 15_000,
  pduMs: 60_000,
  sendMs: 60_000,
  quietMs: 30_000,
  pingMs: 15_000,
};
