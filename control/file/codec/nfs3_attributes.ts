// Owns attributes on the wire (RFC 1813, section 2.6): fattr3, what stands in front of and behind results (post_op_attr,
// wcc_data), and sattr3. Where attributes come from is the filesystem port's concern.
import { TIME_HOW } from './nfs3_constants.ts';
import type { XdrReader, XdrWriter } from './xdr.ts';

export const FATTR3_BYTES = 84;
export const POST_OP_ATTR_BYTES = 4 + FATTR3_BYTES;
export const WCC_DATA_BYTES = 4 + 24 + POST_OP_ATTR_BYTES;

const TWO_32 = 0x1_0000_0000;
const NANOSECONDS = 1_000_000_000;

/** fattr3. Sizes are numbers; ids of 64 bits are halves, for they are no numbers to anybody (xdr.ts). */
export interface Fattr3 {
  /** A value of FTYPE3. */
  readonly type: number;
  /** Permission bits, without those of the type. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly used: number;
  /** Major and minor number of a device. */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly fsidHigh: number;
  readonly fsidLow: number;
  readonly fileidHigh: number;
  readonly fileidLow: number;
  readonly atimeSeconds: number;
  readonly atimeNanoseconds: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  readonly ctimeSeconds: number;
  readonly ctimeNanoseconds: number;
}

/** wcc_attr: what an object was like before. Any Fattr3 is one. */
export type WccAttr = Pick<
  Fattr3,
  'size' | 'mtimeSeconds' | 'mtimeNanoseconds' | 'ctimeSeconds' | 'ctimeNanoseconds'
>;

/** wcc_data: both only if nothing else can have come between. */
export interface WccData {
  readonly before: WccAttr | undefined;
  readonly after: Fattr3 | undefined;
}

export const NO_WCC: WccData = { before: undefined, after: undefined };

/** Times are 32 bits without a sign on the wire; what is before 1970 or after 2106 wraps, as other servers do. */
export function encodeFattr3(writer: XdrWriter, attributes: Fattr3): void {
  const { view, offset: at } = writer;
  view.setUint32(at, attributes.type);
  view.setUint32(at + 4, attributes.mode);
  view.setUint32(at + 8, attributes.nlink);
  view.setUint32(at + 12, attributes.uid);
  view.setUint32(at + 16, attributes.gid);
  view.setUint32(at + 20, attributes.size / TWO_32);
  view.setUint32(at + 24, attributes.size);
  view.setUint32(at + 28, attributes.used / TWO_32);
  view.setUint32(at + 32, attributes.used);
  view.setUint32(at + 36, attributes.rdevMajor);
  view.setUint32(at + 40, attributes.rdevMinor);
  view.setUint32(at + 44, attributes.fsidHigh);
  view.setUint32(at + 48, attributes.fsidLow);
  view.setUint32(at + 52, attributes.fileidHigh);
  view.setUint32(at + 56, attributes.fileidLow);
  view.setUint32(at + 60, attributes.atimeSeconds);
  view.setUint32(at + 64, attributes.atimeNanoseconds);
  view.setUint32(at + 68, attributes.mtimeSeconds);
  view.setUint32(at + 72, attributes.mtimeNanoseconds);
  view.setUint32(at + 76, attributes.ctimeSeconds);
  view.setUint32(at + 80, attributes.ctimeNanoseconds);
  writer.offset = at + FATTR3_BYTES;
}

export function encodePostOpAttr(writer: XdrWriter, attributes: Fattr3 | undefined): void {
  writer.bool(attributes !== undefined);
  if (attributes !== undefined) encodeFattr3(writer, attributes);
}

export function encodeWccData(writer: XdrWriter, { before, after }: WccData): void {
  writer.bool(before !== undefined);
  if (before !== undefined) {
    writer.u64(before.size);
    writer.u32(before.mtimeSeconds);
    writer.u32(before.mtimeNanoseconds);
    writer.u32(before.ctimeSeconds);
    writer.u32(before.ctimeNanoseconds);
  }
  encodePostOpAttr(writer, after);
}

/** sattr3: what is to be set. A value counts only where its `set` or `How` says so. */
export class Sattr3 {
  setMode = false;
  mode = 0;
  setUid = false;
  uid = 0;
  setGid = false;
  gid = 0;
  setSize = false;
  size = 0;
  /** Values of TIME_HOW. */
  atimeHow = 0;
  atimeSeconds = 0;
  atimeNanoseconds = 0;
  mtimeHow = 0;
  mtimeSeconds = 0;
  mtimeNanoseconds = 0;

  decode(reader: XdrReader): void {
    this.setMode = reader.bool();
    if (this.setMode) this.mode = reader.u32();
    this.setUid = reader.bool();
    if (this.setUid) this.uid = reader.u32();
    this.setGid = reader.bool();
    if (this.setGid) this.gid = reader.u32();
    this.setSize = reader.bool();
    if (this.setSize) this.size = reader.u64();
    this.atimeHow = reader.upTo(TIME_HOW.SET_TO_CLIENT_TIME);
    if (this.atimeHow === TIME_HOW.SET_TO_CLIENT_TIME) {
      this.atimeSeconds = reader.u32();
      this.atimeNanoseconds = reader.u32();
    }
    this.mtimeHow = reader.upTo(TIME_HOW.SET_TO_CLIENT_TIME);
    if (this.mtimeHow === TIME_HOW.SET_TO_CLIENT_TIME) {
      this.mtimeSeconds = reader.u32();
      this.mtimeNanoseconds = reader.u32();
    }
  }

  /** Sets nothing, as decoded from nothing. */
  clear(): void {
    this.setMode = false;
    this.setUid = false;
    this.setGid = false;
    this.setSize = false;
    this.atimeHow = TIME_HOW.DONT_CHANGE;
    this.mtimeHow = TIME_HOW.DONT_CHANGE;
  }

  /** False: NFS3ERR_INVAL. Above a second are numbers that utimensat() takes for "now" and "leave as it is". */
  get timesAreValid(): boolean {
    return (
      (this.atimeHow !== TIME_HOW.SET_TO_CLIENT_TIME || this.atimeNanoseconds < NANOSECONDS) &&
      (this.mtimeHow !== TIME_HOW.SET_TO_CLIENT_TIME || this.mtimeNanoseconds < NANOSECONDS)
    );
  }
}
