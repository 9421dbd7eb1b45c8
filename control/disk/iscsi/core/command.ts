// Owns what a connection hands out and takes back: SCSI commands with their results, and task management. No field here
// knows iSCSI's numbers, and nothing is known of what a CDB says.
import type { TaskAttribute, TaskFunctionName } from '../codec/constants.ts';

/** SAM-5, 4.7: whose command it is. */
export interface InitiatorPort {
  readonly name: string;
  readonly isid: Uint8Array;
}

/** To be answered once by `TargetConnection.complete`, also when it was aborted: until then its bytes are lent. */
export interface Command {
  readonly kind: 'command';
  readonly initiator: InitiatorPort;
  /** First-level LUN; NO_LUN for what has no number. */
  readonly lun: number;
  /** Unique over all sessions: those of one carry its nonce in the upper half. */
  readonly reference: bigint;
  readonly cdb: Uint8Array;
  /** All that the initiator sends. */
  readonly dataOut: Uint8Array;
  /** As much as the initiator takes. */
  readonly dataInMax: number;
  readonly attribute: TaskAttribute;
  /** Nobody waits for its result any more. */
  readonly aborted: boolean;
}

export interface CommandResult {
  /** SAM status. */
  readonly status: number;
  readonly sense?: Uint8Array;
  readonly dataIn?: Uint8Array;
  /** What the initiator expected less what the command is about: above zero is underflow, below overflow. */
  readonly residual: number;
}

/** To be answered once by `TargetConnection.completeTaskManagement`. */
export interface TaskManagement {
  readonly kind: 'task management';
  readonly function: TaskFunctionName;
  readonly initiator: InitiatorPort;
  readonly lun: number;
  /** Those of this session that it is about and that were handed out. Of other sessions the unit knows. */
  readonly commands: readonly Command[];
  readonly ITT: number;
  readonly immediate: boolean;
}

export type Request = Command | TaskManagement;
