// Owns the numbers of RFC 7143 by the names the standard gives them. No layout, no behaviour.

/** Section 11.2: every PDU begins with a basic header segment. */
export const BHS_BYTES = 48;
export const DIGEST_BYTES = 4;
/** Additional header segments: TotalAHSLength counts words in one byte. */
export const AHS_BYTES_MAX = 255 * 4;
/** "No tag", in ITT and TTT. */
export const RESERVED_TAG = 0xffff_ffff;

/** Section 11.2.1.2. */
export const OPCODES = {
  NOP_OUT: 0x00,
  SCSI_COMMAND: 0x01,
  TASK_MANAGEMENT_REQUEST: 0x02,
  LOGIN_REQUEST: 0x03,
  TEXT_REQUEST: 0x04,
  SCSI_DATA_OUT: 0x05,
  LOGOUT_REQUEST: 0x06,
  SNACK_REQUEST: 0x10,
  NOP_IN: 0x20,
  SCSI_RESPONSE: 0x21,
  TASK_MANAGEMENT_RESPONSE: 0x22,
  LOGIN_RESPONSE: 0x23,
  TEXT_RESPONSE: 0x24,
  SCSI_DATA_IN: 0x25,
  LOGOUT_RESPONSE: 0x26,
  R2T: 0x31,
  ASYNC_MESSAGE: 0x32,
  REJECT: 0x3f,
} as const;

/** Bits of byte 0 and byte 1; each is said where its PDU is. */
export const FLAGS = {
  IMMEDIATE: 0x40,
  FINAL: 0x80,
  /** SCSI Command (section 11.3.1). */
  READ: 0x40,
  WRITE: 0x20,
  /** Login (11.12, 11.13) and Text (11.10, 11.11). */
  TRANSIT: 0x80,
  CONTINUE: 0x40,
  /** SCSI Response (11.4.1) and Data-In (11.7.3); the first two are of bidirectional commands. */
  BIDIRECTIONAL_OVERFLOW: 0x10,
  BIDIRECTIONAL_UNDERFLOW: 0x08,
  OVERFLOW: 0x04,
  UNDERFLOW: 0x02,
  STATUS: 0x01,
} as const;

export type TaskAttribute = 'simple' | 'ordered' | 'head';

/** Section 11.3.1, values of ATTR: untagged, simple, ordered, head of queue, ACA, which no unit of ours can be in. */
export const TASK_ATTRIBUTES: readonly TaskAttribute[] = ['simple', 'simple', 'ordered', 'head', 'simple'];

/** Section 11.2.2.1. */
export const AHS_TYPES = { EXTENDED_CDB: 1, BIDIRECTIONAL_READ_LENGTH: 2 } as const;

/** Section 11.4.3: Response of a SCSI Response. */
export const RESPONSES = { COMMAND_COMPLETED: 0x00, TARGET_FAILURE: 0x01 } as const;

/** SAM: the two statuses that a target gives by itself. */
export const SCSI_STATUSES = { GOOD: 0x00, CHECK_CONDITION: 0x02 } as const;

/** Section 11.4.7.2: what a target reports as sense data by itself: sense key, ASC, ASCQ. */
export const TARGET_SENSE = {
  unexpectedUnsolicitedData: [0x0b, 0x0c, 0x0c],
  incorrectAmountOfData: [0x0b, 0x0c, 0x0d],
  protocolServiceCrcError: [0x0b, 0x47, 0x05],
  /** Not of that table: a transfer beyond what the target takes is INVALID FIELD IN CDB (SBC-4, 4.2.2). */
  transferTooLong: [0x05, 0x24, 0x00],
} as const;

/** Section 11.5.1. */
export const TASK_FUNCTIONS = {
  ABORT_TASK: 1,
  ABORT_TASK_SET: 2,
  CLEAR_ACA: 3,
  CLEAR_TASK_SET: 4,
  LOGICAL_UNIT_RESET: 5,
  TARGET_WARM_RESET: 6,
  TARGET_COLD_RESET: 7,
  TASK_REASSIGN: 8,
} as const;
export type TaskFunctionName = keyof typeof TASK_FUNCTIONS;
export const TASK_FUNCTION_NAMES: readonly (TaskFunctionName | undefined)[] = byNumber(TASK_FUNCTIONS);

/** Section 11.6.1. */
export const TASK_RESPONSES = {
  FUNCTION_COMPLETE: 0,
  TASK_DOES_NOT_EXIST: 1,
  LUN_DOES_NOT_EXIST: 2,
  TASK_STILL_ALLEGIANT: 3,
  TASK_ALLEGIANCE_REASSIGNMENT_NOT_SUPPORTED: 4,
  TASK_MANAGEMENT_FUNCTION_NOT_SUPPORTED: 5,
  FUNCTION_AUTHORIZATION_FAILED: 6,
  FUNCTION_REJECTED: 255,
} as const;
export type TaskResponse = (typeof TASK_RESPONSES)[keyof typeof TASK_RESPONSES];

/** Section 11.9.1. */
export const ASYNC_EVENTS = {
  SCSI_EVENT: 0,
  LOGOUT_REQUESTED: 1,
  CONNECTION_DROP: 2,
  SESSION_DROP: 3,
  NEGOTIATION_REQUESTED: 4,
  TASKS_TERMINATED: 5,
} as const;
export type AsyncEvent = (typeof ASYNC_EVENTS)[keyof typeof ASYNC_EVENTS];

/** Section 11.12.3: CSG and NSG. */
export const STAGES = { SECURITY: 0, OPERATIONAL: 1, FULL_FEATURE: 3 } as const;

/** Section 11.13.5: Status-Class in the high byte, Status-Detail in the low one. */
export const LOGIN_STATUSES = {
  SUCCESS: 0x0000,
  TARGET_MOVED_TEMPORARILY: 0x0101,
  TARGET_MOVED_PERMANENTLY: 0x0102,
  INITIATOR_ERROR: 0x0200,
  AUTHENTICATION_FAILURE: 0x0201,
  AUTHORIZATION_FAILURE: 0x0202,
  NOT_FOUND: 0x0203,
  TARGET_REMOVED: 0x0204,
  UNSUPPORTED_VERSION: 0x0205,
  TOO_MANY_CONNECTIONS: 0x0206,
  MISSING_PARAMETER: 0x0207,
  CANNOT_INCLUDE_IN_SESSION: 0x0208,
  SESSION_TYPE_NOT_SUPPORTED: 0x0209,
  SESSION_DOES_NOT_EXIST: 0x020a,
  INVALID_DURING_LOGIN: 0x020b,
  TARGET_ERROR: 0x0300,
  SERVICE_UNAVAILABLE: 0x0301,
  OUT_OF_RESOURCES: 0x0302,
} as const;
export type LoginStatusName = keyof typeof LOGIN_STATUSES;

/** Section 11.14.1. */
export const LOGOUT_REASONS = { CLOSE_SESSION: 0, CLOSE_CONNECTION: 1, REMOVE_FOR_RECOVERY: 2 } as const;

/** Section 11.15.1. */
export const LOGOUT_RESPONSES = { CLOSED: 0, CID_NOT_FOUND: 1, RECOVERY_NOT_SUPPORTED: 2 } as const;

/** Section 11.17.1. */
export const REJECT_REASONS = {
  DATA_DIGEST_ERROR: 0x02,
  SNACK_REJECT: 0x03,
  PROTOCOL_ERROR: 0x04,
  COMMAND_NOT_SUPPORTED: 0x05,
  IMMEDIATE_COMMAND_REJECT: 0x06,
  TASK_IN_PROGRESS: 0x07,
  INVALID_PDU_FIELD: 0x09,
  LONG_OPERATION_REJECT: 0x0a,
} as const;
export type RejectReason = keyof typeof REJECT_REASONS;

function byNumber<Name extends string>(table: Readonly<Record<Name, number>>): (Name | undefined)[] {
  const names: (Name | undefined)[] = [];
  for (const name of Object.keys(table) as Name[]) names[table[name]] = name;
  return names;
}
