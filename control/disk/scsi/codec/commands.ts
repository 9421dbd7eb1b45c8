// Owns the table of commands: operation codes, service actions, which bits of a CDB count, where its fields are, and what
// each command is to a reservation. REPORT SUPPORTED OPERATION CODES is answered from it. Executes nothing.
import { bytesOfHex, field } from './bytes.ts';
import type { FieldPointer } from './sense.ts';

/**
 * What a command is to somebody else's reservation, the columns of SPC-4 table 66 and SBC-3 table 13. `never` conflicts;
 * `read` conflicts with exclusive access; `write` conflicts with any; `persistent` and `legacy` have rules of their own.
 */
export type Access = 'never' | 'read' | 'write' | 'persistent in' | 'persistent out' | 'legacy';

/** Offset in the CDB and size, in bytes. */
type Place = readonly [offset: number, size: number];

export interface CommandForm {
  readonly name: string;
  readonly operationCode: number;
  readonly serviceAction: number | undefined;
  /** CDB USAGE DATA of SPC-4 section 6.35.3: the bits that count. Others must be zero. */
  readonly usage: Uint8Array;
  readonly access: Access;
  /** Allowed beside somebody else's RESERVE(6) (SPC-2 section 5.5.1). */
  readonly besideReserve: boolean;
  readonly lba: Place | undefined;
  readonly blocks: Place | undefined;
  /** Allocation length or parameter list length. */
  readonly length: Place | undefined;
  /** Only where the image writes atomically. */
  readonly needsAtomic: boolean;
}

interface Row {
  /** Operation code, and service action if the command has one: `28`, `9e/10`. */
  readonly code: string;
  /** The bits that count of each byte after the operation code. */
  readonly bits: string;
  readonly access: Access;
  readonly besideReserve?: true;
  readonly lba?: Place;
  readonly blocks?: Place;
  readonly length?: Place;
  readonly needsAtomic?: true;
}

/** LBA, TRANSFER LENGTH of the usual forms of SBC-3. */
const SIX = { lba: [1, 3], blocks: [4, 1] } as const;
const TEN = { lba: [2, 4], blocks: [7, 2] } as const;
const TWELVE = { lba: [2, 4], blocks: [6, 4] } as const;
const SIXTEEN = { lba: [2, 8], blocks: [10, 4] } as const;
const QUAD = 'ff ff ff ff';

const PERSISTENT_IN = {
  bits: '00 00 00 00 00 00 ff ff 00',
  access: 'persistent in',
  length: [7, 2],
} as const;
const PERSISTENT_OUT = { bits: `00 ff 00 00 ${QUAD} 00`, access: 'persistent out', length: [5, 4] } as const;

const ROWS = {
  'TEST UNIT READY': { code: '00', bits: '00 00 00 00 00', access: 'never' },
  'REQUEST SENSE': {
    code: '03',
    bits: '01 00 00 ff 00',
    access: 'never',
    besideReserve: true,
    length: [4, 1],
  },
  'READ(6)': { code: '08', bits: '1f ff ff ff 00', access: 'read', ...SIX },
  'WRITE(6)': { code: '0a', bits: '1f ff ff ff 00', access: 'write', ...SIX },
  INQUIRY: { code: '12', bits: '01 ff ff ff 00', access: 'never', besideReserve: true, length: [3, 2] },
  'MODE SELECT(6)': { code: '15', bits: '11 00 00 ff 00', access: 'write', length: [4, 1] },
  // SPC-2 gave these commands a third party and an extent, which are obsolete and not to be refused.
  'RESERVE(6)': { code: '16', bits: 'ff ff ff ff 00', access: 'legacy' },
  'RELEASE(6)': { code: '17', bits: 'ff ff ff ff 00', access: 'legacy', besideReserve: true },
  'MODE SENSE(6)': { code: '1a', bits: '08 ff ff ff 00', access: 'read', length: [4, 1] },
  'START STOP UNIT': { code: '1b', bits: '01 00 0f f7 00', access: 'write' },
  'SEND DIAGNOSTIC': { code: '1d', bits: 'f7 00 ff ff 00', access: 'write', length: [3, 2] },
  'PREVENT ALLOW MEDIUM REMOVAL': { code: '1e', bits: '00 00 00 03 00', access: 'write' },
  'READ CAPACITY(10)': { code: '25', bits: `01 ${QUAD} 00 00 01 00`, access: 'never', besideReserve: true },
  'READ(10)': { code: '28', bits: `1a ${QUAD} 3f ff ff 00`, access: 'read', ...TEN },
  'WRITE(10)': { code: '2a', bits: `1a ${QUAD} 3f ff ff 00`, access: 'write', ...TEN },
  'WRITE AND VERIFY(10)': { code: '2e', bits: `16 ${QUAD} 3f ff ff 00`, access: 'write', ...TEN },
  'VERIFY(10)': { code: '2f', bits: `16 ${QUAD} 3f ff ff 00`, access: 'read', ...TEN },
  'PRE-FETCH(10)': { code: '34', bits: `02 ${QUAD} 3f ff ff 00`, access: 'read', ...TEN },
  'SYNCHRONIZE CACHE(10)': { code: '35', bits: `06 ${QUAD} 3f ff ff 00`, access: 'write', ...TEN },
  'READ DEFECT DATA(10)': { code: '37', bits: '00 1f 00 00 00 00 ff ff 00', access: 'read', length: [7, 2] },
  'WRITE SAME(10)': { code: '41', bits: `08 ${QUAD} 3f ff ff 00`, access: 'write', ...TEN },
  UNMAP: { code: '42', bits: '00 00 00 00 00 3f ff ff 00', access: 'write', length: [7, 2] },
  'SANITIZE OVERWRITE': {
    code: '48/01',
    bits: 'e0 00 00 00 00 00 ff ff 00',
    access: 'write',
    length: [7, 2],
  },
  'SANITIZE BLOCK ERASE': {
    code: '48/02',
    bits: 'e0 00 00 00 00 00 ff ff 00',
    access: 'write',
    length: [7, 2],
  },
  'SANITIZE EXIT FAILURE MODE': {
    code: '48/1f',
    bits: 'e0 00 00 00 00 00 ff ff 00',
    access: 'write',
    length: [7, 2],
  },
  'MODE SELECT(10)': { code: '55', bits: '11 00 00 00 00 00 ff ff 00', access: 'write', length: [7, 2] },
  'MODE SENSE(10)': { code: '5a', bits: '18 ff ff 00 00 00 ff ff 00', access: 'read', length: [7, 2] },
  'PERSISTENT RESERVE IN READ KEYS': { code: '5e/00', ...PERSISTENT_IN },
  'PERSISTENT RESERVE IN READ RESERVATION': { code: '5e/01', ...PERSISTENT_IN },
  'PERSISTENT RESERVE IN REPORT CAPABILITIES': { code: '5e/02', ...PERSISTENT_IN },
  'PERSISTENT RESERVE IN READ FULL STATUS': { code: '5e/03', ...PERSISTENT_IN },
  'PERSISTENT RESERVE OUT REGISTER': { code: '5f/00', ...PERSISTENT_OUT },
  'PERSISTENT RESERVE OUT RESERVE': { code: '5f/01', ...PERSISTENT_OUT },
  'PERSISTENT RESERVE OUT RELEASE': { code: '5f/02', ...PERSISTENT_OUT },
  'PERSISTENT RESERVE OUT CLEAR': { code: '5f/03', ...PERSISTENT_OUT },
  'PERSISTENT RESERVE OUT PREEMPT': { code: '5f/04', ...PERSISTENT_OUT },
  'PERSISTENT RESERVE OUT PREEMPT AND ABORT': { code: '5f/05', ...PERSISTENT_OUT },
  'PERSISTENT RESERVE OUT REGISTER AND IGNORE EXISTING KEY': { code: '5f/06', ...PERSISTENT_OUT },
  'PERSISTENT RESERVE OUT REGISTER AND MOVE': { code: '5f/07', ...PERSISTENT_OUT },
  'EXTENDED COPY(LID1)': {
    code: '83/00',
    bits: `00 00 00 00 00 00 00 00 00 ${QUAD} 00 00`,
    access: 'write',
    length: [10, 4],
  },
  'RECEIVE COPY STATUS(LID1)': {
    code: '84/00',
    bits: `00 ff 00 00 00 00 00 00 00 ${QUAD} 00 00`,
    access: 'write',
    length: [10, 4],
  },
  'RECEIVE COPY OPERATING PARAMETERS': {
    code: '84/03',
    bits: `00 00 00 00 00 00 00 00 00 ${QUAD} 00 00`,
    access: 'write',
    length: [10, 4],
  },
  'READ(16)': { code: '88', bits: `1a ${QUAD} ${QUAD} ${QUAD} 3f 00`, access: 'read', ...SIXTEEN },
  'COMPARE AND WRITE': {
    code: '89',
    bits: `1a ${QUAD} ${QUAD} 00 00 00 ff 3f 00`,
    access: 'write',
    lba: [2, 8],
    blocks: [13, 1],
  },
  'WRITE(16)': { code: '8a', bits: `1a ${QUAD} ${QUAD} ${QUAD} 3f 00`, access: 'write', ...SIXTEEN },
  'ORWRITE(16)': { code: '8b', bits: `1a ${QUAD} ${QUAD} ${QUAD} 3f 00`, access: 'write', ...SIXTEEN },
  'WRITE AND VERIFY(16)': {
    code: '8e',
    bits: `16 ${QUAD} ${QUAD} ${QUAD} 3f 00`,
    access: 'write',
    ...SIXTEEN,
  },
  'VERIFY(16)': { code: '8f', bits: `16 ${QUAD} ${QUAD} ${QUAD} 3f 00`, access: 'read', ...SIXTEEN },
  'PRE-FETCH(16)': { code: '90', bits: `02 ${QUAD} ${QUAD} ${QUAD} 3f 00`, access: 'read', ...SIXTEEN },
  'SYNCHRONIZE CACHE(16)': {
    code: '91',
    bits: `06 ${QUAD} ${QUAD} ${QUAD} 3f 00`,
    access: 'write',
    ...SIXTEEN,
  },
  'WRITE SAME(16)': { code: '93', bits: `09 ${QUAD} ${QUAD} ${QUAD} 3f 00`, access: 'write', ...SIXTEEN },
  'WRITE ATOMIC(16)': {
    code: '9c',
    bits: `18 ${QUAD} ${QUAD} ff ff ff ff 3f 00`,
    access: 'write',
    lba: [2, 8],
    blocks: [12, 2],
    needsAtomic: true,
  },
  'READ CAPACITY(16)': {
    code: '9e/10',
    bits: `00 ${QUAD} ${QUAD} ${QUAD} 01 00`,
    access: 'never',
    besideReserve: true,
    length: [10, 4],
  },
  'GET LBA STATUS': {
    code: '9e/12',
    bits: `00 ${QUAD} ${QUAD} ${QUAD} 00 00`,
    access: 'read',
    lba: [2, 8],
    length: [10, 4],
  },
  'REPORT LUNS': {
    code: 'a0',
    bits: `00 ff 00 00 00 ${QUAD} 00 00`,
    access: 'never',
    besideReserve: true,
    length: [6, 4],
  },
  'REPORT TARGET PORT GROUPS': {
    code: 'a3/0a',
    bits: `e0 00 00 00 00 ${QUAD} 00 00`,
    access: 'never',
    besideReserve: true,
    length: [6, 4],
  },
  'REPORT SUPPORTED OPERATION CODES': {
    code: 'a3/0c',
    bits: `00 87 ff ff ff ${QUAD} 00 00`,
    access: 'read',
    length: [6, 4],
  },
  'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS': {
    code: 'a3/0d',
    bits: `00 80 00 00 00 ${QUAD} 00 00`,
    access: 'read',
    length: [6, 4],
  },
  'READ(12)': { code: 'a8', bits: `1a ${QUAD} ${QUAD} 3f 00`, access: 'read', ...TWELVE },
  'WRITE(12)': { code: 'aa', bits: `1a ${QUAD} ${QUAD} 3f 00`, access: 'write', ...TWELVE },
  'WRITE AND VERIFY(12)': { code: 'ae', bits: `16 ${QUAD} ${QUAD} 3f 00`, access: 'write', ...TWELVE },
  'VERIFY(12)': { code: 'af', bits: `16 ${QUAD} ${QUAD} 3f 00`, access: 'read', ...TWELVE },
  'READ DEFECT DATA(12)': {
    code: 'b7',
    bits: `1f 00 00 00 00 ${QUAD} 00 00`,
    access: 'read',
    length: [6, 4],
  },
} as const satisfies Record<string, Row>;

export type CommandName = keyof typeof ROWS;

export type NamedForm = CommandForm & { readonly name: CommandName };

export const COMMANDS: readonly NamedForm[] = Object.entries<Row>(ROWS)
  .map(([name, row]) => formOf(name as CommandName, row))
  .toSorted((a, b) => a.operationCode - b.operationCode || (a.serviceAction ?? 0) - (b.serviceAction ?? 0));

function formOf(name: CommandName, row: Row): NamedForm {
  const [operation = '', action] = row.code.split('/');
  const usage = bytesOfHex(`${operation}${row.bits.replaceAll(' ', '')}`);
  const serviceAction = action === undefined ? undefined : Number.parseInt(action, 16);
  if (serviceAction !== undefined) usage[1] = (usage[1] ?? 0) | serviceAction;
  return {
    name,
    operationCode: usage[0] ?? 0,
    serviceAction,
    usage,
    access: row.access,
    besideReserve: row.besideReserve ?? false,
    lba: row.lba,
    blocks: row.blocks,
    length: row.length,
    needsAtomic: row.needsAtomic ?? false,
  };
}

/** By operation code; those with service actions by action in a second table. */
const PLAIN: readonly (NamedForm | undefined)[] = Array.from({ length: 256 }, (_, code) =>
  COMMANDS.find((form) => form.operationCode === code && form.serviceAction === undefined),
);
const WITH_ACTIONS: readonly (readonly (NamedForm | undefined)[] | undefined)[] = Array.from(
  { length: 256 },
  (_, code) => {
    const actions = COMMANDS.filter(
      (form) => form.operationCode === code && form.serviceAction !== undefined,
    );
    if (actions.length === 0) return undefined;
    return Array.from({ length: 32 }, (_, action) => actions.find((form) => form.serviceAction === action));
  },
);
const SERVICE_ACTION_BITS = 0x1f;

export type Found = NamedForm | 'no such operation code' | 'no such service action';

export function findCommand(operationCode: number, serviceAction: number): Found {
  const plain = PLAIN[operationCode];
  if (plain !== undefined) return plain;
  const actions = WITH_ACTIONS[operationCode];
  if (actions === undefined) return 'no such operation code';
  return actions[serviceAction] ?? 'no such service action';
}

export function hasServiceActions(operationCode: number): boolean {
  return WITH_ACTIONS[operationCode] !== undefined;
}

export function commandOf(cdb: Uint8Array): Found {
  return findCommand(cdb[0] ?? 0, (cdb[1] ?? 0) & SERVICE_ACTION_BITS);
}

const NACA = 0x04;

/** The first bit of the CDB that is set and does not count; nothing where all is well. A CDB may be padded (iSCSI has 16). */
export function strayBit(form: CommandForm, cdb: Uint8Array): FieldPointer | undefined {
  const { usage } = form;
  if (cdb.length < usage.length) return { inCdb: true, byte: cdb.length };
  const control = usage.length - 1;
  for (let byte = 1; byte < usage.length; byte += 1) {
    const ours = byte === 1 && form.serviceAction !== undefined ? SERVICE_ACTION_BITS : 0;
    // Of CONTROL only NACA is somebody's: the rest is obsolete or for vendors (SAM-5 section 5.2).
    const allowed = byte === control ? ~NACA : (usage[byte] ?? 0) | ours;
    const stray = (cdb[byte] ?? 0) & ~allowed & 0xff;
    if (stray !== 0) return { inCdb: true, byte, bit: 31 - Math.clz32(stray) };
  }
  return undefined;
}

/** Zero where the command has no such field; READ(6) and WRITE(6) have 21 bits of it. */
export function lbaOf(form: CommandForm, cdb: Uint8Array): number {
  if (form.lba === undefined) return 0;
  const lba = field(cdb, form.lba[0], form.lba[1]);
  return form.lba[1] === 3 ? lba % 0x20_0000 : lba;
}

/** TRANSFER LENGTH; of READ(6) and WRITE(6) zero means 256 (SBC-3 section 5.7). */
export function blocksOf(form: CommandForm, cdb: Uint8Array): number {
  if (form.blocks === undefined) return 0;
  const blocks = field(cdb, form.blocks[0], form.blocks[1]);
  return blocks === 0 && form.usage.length === 6 ? 256 : blocks;
}

export function lengthOf(form: CommandForm, cdb: Uint8Array): number {
  return form.length === undefined ? 0 : field(cdb, form.length[0], form.length[1]);
}
