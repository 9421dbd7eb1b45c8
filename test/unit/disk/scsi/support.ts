// A unit with an image in memory, and initiators that send it commands. CDBs and parameter lists are written here byte by
// byte, from the standards, not by the codec under test.
import { expect } from 'vitest';
import type { ScsiCommand, ScsiResult } from '../../../../control/disk/scsi/codec/command.ts';
import { LogicalUnit } from '../../../../control/disk/scsi/core/logical_unit.ts';
import { NO_RESERVATIONS, type PersistentState } from '../../../../control/disk/scsi/core/reservations.ts';
import type { UnitParts } from '../../../../control/disk/scsi/core/unit.ts';
import { MemoryImage, type MemoryOptions } from '../../../contract/image_memory.ts';

export const BLOCK = 512;
export const BLOCKS = 256;
export const NAA = Uint8Array.from({ length: 16 }, (_, at) => (at === 0 ? 0x60 : at));

export const IDENTITY = {
  vendor: 'HOLDFAST',
  product: 'SHARED DISK',
  revision: '0001',
  serial: 'ab12cd34',
  naa: NAA,
  targetName: 'iqn.2026-01.test:disk',
};

export interface Rig {
  readonly unit: LogicalUnit;
  readonly image: MemoryImage;
  readonly saved: PersistentState[];
  /** What the store does before it answers. */
  store: { save: UnitParts['store']['save'] };
}

export function rig(image: Partial<MemoryOptions> = {}, parts: Partial<Omit<UnitParts, 'image'>> = {}): Rig {
  const memory = new MemoryImage({ sizeBytes: BLOCKS * BLOCK, ...image });
  const saved: PersistentState[] = [];
  const store: Rig['store'] = {
    async save(state) {
      saved.push(state);
    },
  };
  const unit = new LogicalUnit({
    image: memory,
    identity: IDENTITY,
    ports: [
      { relativeId: 1, name: 'iqn.2026-01.test:disk,t,0x0001', group: 1 },
      { relativeId: 2, name: 'iqn.2026-01.test:disk,t,0x0002', group: 2 },
    ],
    groups: [
      { id: 1, state: 0, preferred: true },
      { id: 2, state: 1, preferred: false },
    ],
    reservations: NO_RESERVATIONS,
    store: { save: (state, of) => store.save(state, of) },
    startedBy: 'failover',
    ...parts,
  });
  return { unit, image: memory, saved, store };
}

let reference = 0n;

export interface Sent {
  readonly dataOut?: Uint8Array;
  readonly dataInMax?: number;
  readonly attribute?: ScsiCommand['attribute'];
  readonly port?: number;
  readonly reference?: bigint;
  readonly isid?: Uint8Array;
}

/** `cdb` in hexadecimal digits, spaces allowed. */
export function send(unit: LogicalUnit, name: string, cdb: string, sent: Sent = {}): Promise<ScsiResult> {
  reference += 1n;
  return unit.execute({
    initiator: { name, ...(sent.isid === undefined ? {} : { isid: sent.isid }) },
    ...(sent.port === undefined ? {} : { targetPort: sent.port }),
    reference: sent.reference ?? reference,
    cdb: hex(cdb),
    dataOut: sent.dataOut ?? new Uint8Array(0),
    dataInMax: sent.dataInMax ?? (sent.dataOut === undefined ? 65_536 : 0),
    attribute: sent.attribute ?? 'simple',
  });
}

export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

export function digits(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? new Uint8Array(0)).toString('hex');
}

export const be = (value: number | bigint, bytes: number): string =>
  BigInt.asUintN(bytes * 8, BigInt(value))
    .toString(16)
    .padStart(bytes * 2, '0');

/** The usual CDBs. */
export const cdb = {
  read6: (lba: number, blocks: number) => `08 ${be(lba, 3)} ${be(blocks, 1)} 00`,
  write6: (lba: number, blocks: number) => `0a ${be(lba, 3)} ${be(blocks, 1)} 00`,
  ten: (code: string, lba: number, blocks: number, flags = 0) =>
    `${code} ${be(flags, 1)} ${be(lba, 4)} 00 ${be(blocks, 2)} 00`,
  twelve: (code: string, lba: number, blocks: number, flags = 0) =>
    `${code} ${be(flags, 1)} ${be(lba, 4)} ${be(blocks, 4)} 00 00`,
  sixteen: (code: string, lba: number | bigint, blocks: number, flags = 0) =>
    `${code} ${be(flags, 1)} ${be(lba, 8)} ${be(blocks, 4)} 00 00`,
  compareAndWrite: (lba: number, blocks: number) => `89 00 ${be(lba, 8)} 000000 ${be(blocks, 1)} 00 00`,
};

/** Key, code and, where given, INFORMATION or the byte of the field pointer: read here from the fixed format. */
export function senseOf(result: ScsiResult): {
  key: number;
  code: number;
  information: number | undefined;
  byte: number | undefined;
} {
  const sense = Buffer.from(result.sense ?? new Uint8Array(0));
  expect(sense.length, `sense data with status ${result.status}`).toBeGreaterThanOrEqual(18);
  expect(sense[0]! & 0x7f).toBe(0x70);
  return {
    key: sense[2]! & 0x0f,
    code: sense.readUInt16BE(12),
    information: (sense[0]! & 0x80) === 0 ? undefined : sense.readUInt32BE(3),
    byte: (sense[15]! & 0x80) === 0 ? undefined : sense.readUInt16BE(16),
  };
}

/** CHECK CONDITION with this key and code. */
export function expectSense(result: ScsiResult, key: number, code: number): ReturnType<typeof senseOf> {
  expect(result.status).toBe(0x02);
  const sense = senseOf(result);
  expect({ key: sense.key, code: sense.code.toString(16) }).toEqual({ key, code: code.toString(16) });
  return sense;
}

export function expectGood(result: ScsiResult): ScsiResult {
  expect({ status: result.status, sense: digits(result.sense) }, 'GOOD without sense data').toEqual({
    status: 0,
    sense: '',
  });
  return result;
}

export const filled = (blocks: number, byte: number, block = BLOCK): Uint8Array =>
  new Uint8Array(blocks * block).fill(byte);

/** Whatever needs no outside event has happened: nothing here waits for a timer or for input. */
export const allSettled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Parameter list of PERSISTENT RESERVE OUT. */
export function keys(key: number, serviceActionKey: number, flags = 0, more = ''): Uint8Array {
  return hex(`${be(key, 8)} ${be(serviceActionKey, 8)} 00000000 ${be(flags, 1)} 000000 ${more}`);
}

export function reserveOut(
  unit: LogicalUnit,
  name: string,
  action: number,
  type: number,
  list: Uint8Array,
  sent: Sent = {},
): Promise<ScsiResult> {
  const command = `5f ${be(action, 1)} ${be(type, 1)} 0000 ${be(list.length, 4)} 00`;
  return send(unit, name, command, { ...sent, dataOut: list });
}
