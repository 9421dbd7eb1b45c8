// Owns attributes of the filesystem port in the form of NFS version 3 (RFC 1813, section 2.6): objects that are filled
// again for each reply, as a reply is written in one go.
import type { Fattr3, WccAttr, WccData } from '../../codec/nfs3_attributes.ts';
import { FTYPE3 } from '../../codec/nfs3_constants.ts';
import type { Attributes, Before, Change, FileKind } from '../../filesystem/port.ts';

const TYPES: Readonly<Record<FileKind, number>> = {
  regular: FTYPE3.NF3REG,
  directory: FTYPE3.NF3DIR,
  symlink: FTYPE3.NF3LNK,
  block: FTYPE3.NF3BLK,
  character: FTYPE3.NF3CHR,
  fifo: FTYPE3.NF3FIFO,
  socket: FTYPE3.NF3SOCK,
};

const TWO_32 = 0x1_0000_0000;
/** "HF": of all file systems of the namespace. Below it is the storage, or 0 for virtual folders. */
const FSID_HIGH = 0x4846_0000;

class WireAttributes implements Fattr3 {
  type = 0;
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  size = 0;
  used = 0;
  rdevMajor = 0;
  rdevMinor = 0;
  readonly fsidHigh = FSID_HIGH;
  fsidLow = 0;
  fileidHigh = 0;
  fileidLow = 0;
  atimeSeconds = 0;
  atimeNanoseconds = 0;
  mtimeSeconds = 0;
  mtimeNanoseconds = 0;
  ctimeSeconds = 0;
  ctimeNanoseconds = 0;

  fill(attributes: Attributes, storageId: number): this {
    const { fileId, accessed, modified, changed, device } = attributes;
    this.type = TYPES[attributes.kind];
    this.mode = attributes.mode;
    this.nlink = attributes.links;
    this.uid = attributes.uid;
    this.gid = attributes.gid;
    this.size = Number(attributes.sizeBytes);
    this.used = Number(attributes.usedBytes);
    this.rdevMajor = device.major;
    this.rdevMinor = device.minor;
    this.fsidLow = storageId;
    this.fileidHigh = highOf(fileId);
    this.fileidLow = lowOf(fileId);
    this.atimeSeconds = accessed.seconds;
    this.atimeNanoseconds = accessed.nanoseconds;
    this.mtimeSeconds = modified.seconds;
    this.mtimeNanoseconds = modified.nanoseconds;
    this.ctimeSeconds = changed.seconds;
    this.ctimeNanoseconds = changed.nanoseconds;
    return this;
  }
}

class WireBefore implements WccAttr {
  size = 0;
  mtimeSeconds = 0;
  mtimeNanoseconds = 0;
  ctimeSeconds = 0;
  ctimeNanoseconds = 0;

  fill({ sizeBytes, modified, changed }: Before): this {
    this.size = Number(sizeBytes);
    this.mtimeSeconds = modified.seconds;
    this.mtimeNanoseconds = modified.nanoseconds;
    this.ctimeSeconds = changed.seconds;
    this.ctimeNanoseconds = changed.nanoseconds;
    return this;
  }
}

class WireChange implements WccData {
  before: WccAttr | undefined;
  after: Fattr3 | undefined;
  readonly #before = new WireBefore();
  readonly #after = new WireAttributes();

  fill({ before, after }: Change, storageId: number): this {
    this.before = before === undefined ? undefined : this.#before.fill(before);
    this.after = after === undefined ? undefined : this.#after.fill(after, storageId);
    return this;
  }
}

const object = new WireAttributes();
const directory = new WireAttributes();
const change = new WireChange();
const secondChange = new WireChange();

/** Each of these counts until it is called again. */
export function wireObject(attributes: Attributes | undefined, storageId: number): Fattr3 | undefined {
  return attributes === undefined ? undefined : object.fill(attributes, storageId);
}

export function wireDirectory(attributes: Attributes | undefined, storageId: number): Fattr3 | undefined {
  return attributes === undefined ? undefined : directory.fill(attributes, storageId);
}

export function wireChange(from: Change, storageId: number): WccData {
  return change.fill(from, storageId);
}

export function wireSecondChange(from: Change, storageId: number): WccData {
  return secondChange.fill(from, storageId);
}

export function highOf(value: bigint): number {
  if (value < TWO_53) return Math.floor(Number(value) / TWO_32);
  return Number(value >> 32n);
}

export function lowOf(value: bigint): number {
  if (value < TWO_53) return Number(value) >>> 0;
  return Number(value & 0xffff_ffffn);
}

export function joined(high: number, low: number): bigint {
  return high < 0x20_0000 ? BigInt(high * TWO_32 + low) : (BigInt(high) << 32n) | BigInt(low);
}

const TWO_53 = 1n << 53n;
