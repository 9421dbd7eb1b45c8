// Owns the layout of INQUIRY data and vital product data pages (SPC-4 sections 6.6 and 7.8, SBC-3 section 6.5). Knows what
// the fields say, not what the unit can do: that comes in `UnitFacts`.
import { ascii, joined, NO_BYTES, padded, setField } from './bytes.ts';
import type { AccessState } from './constants.ts';
import { encodeThirdPartyCopy } from './copy.ts';

/** Who the disk is, on every node and in every life. */
export interface UnitIdentity {
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  /** Printable; the same for all ports. */
  readonly serial: string;
  /** NAA IEEE Registered Extended, 16 bytes, the first digit 6 (SPC-4 section 7.8.6.6.5). */
  readonly naa: Uint8Array;
  /** iSCSI name of the target. */
  readonly targetName: string;
}

export interface TargetPort {
  /** 1 to 65535. */
  readonly relativeId: number;
  /** SCSI port name, as `iqn…,t,0x0001`. */
  readonly name: string;
  readonly group: number;
}

export interface PortGroup {
  readonly id: number;
  readonly state: AccessState;
  readonly preferred: boolean;
}

export interface UnitFacts {
  readonly identity: UnitIdentity;
  readonly port: TargetPort;
  readonly severalPorts: boolean;
  readonly thin: boolean;
  readonly blockBytes: number;
  readonly optimalBlocks: number;
  readonly transferBlocksMax: number;
  readonly optimalTransferBlocks: number;
  readonly compareBlocksMax: number;
  readonly writeSameBlocksMax: number;
  readonly unmapBlocksMax: number;
  readonly unmapDescriptorsMax: number;
  readonly unmapGranularityBlocks: number;
  /** Zero: no WRITE ATOMIC. */
  readonly atomicBlocksMax: number;
}

const ISCSI = 0x5;
const ASSOCIATION = { UNIT: 0, PORT: 1, DEVICE: 2 } as const;
const DESIGNATOR = { T10_VENDOR: 1, NAA: 3, RELATIVE_PORT: 4, PORT_GROUP: 5, NAME: 8 } as const;
const CODE_SET = { BINARY: 1, ASCII: 2, UTF8: 3 } as const;
/** SAM-5, SPC-4, SBC-3, iSCSI: none with a version claimed (SPC-4 annex D.8). */
const VERSION_DESCRIPTORS = [0x00a0, 0x0460, 0x04c0, 0x0960] as const;
const STANDARD_BYTES = 96;

export function encodeStandardInquiry(facts: UnitFacts): Uint8Array {
  const bytes = new Uint8Array(STANDARD_BYTES);
  bytes[2] = 0x06; // SPC-4
  bytes[3] = 0x12; // HISUP, response data format 2
  bytes[4] = STANDARD_BYTES - 5;
  bytes[5] = 0x18; // TPGS: implicit; 3PC
  bytes[6] = facts.severalPorts ? 0x10 : 0;
  bytes[7] = 0x02; // CMDQUE
  bytes.set(padded(facts.identity.vendor, 8), 8);
  bytes.set(padded(facts.identity.product, 16), 16);
  bytes.set(padded(facts.identity.revision, 4), 32);
  VERSION_DESCRIPTORS.forEach((version, at) => {
    setField(bytes, 58 + at * 2, 2, version);
  });
  return bytes;
}

/** For a logical unit number behind which nothing is: peripheral qualifier 011b (SPC-4 section 6.6.2). */
export function encodeNoUnitInquiry(identity: UnitIdentity): Uint8Array {
  const bytes = new Uint8Array(36);
  bytes[0] = 0x7f;
  bytes[2] = 0x06;
  bytes[3] = 0x12;
  bytes[4] = 31;
  bytes.set(padded(identity.vendor, 8), 8);
  bytes.set(padded(identity.product, 16), 16);
  bytes.set(padded(identity.revision, 4), 32);
  return bytes;
}

const PAGES: ReadonlyMap<number, (facts: UnitFacts) => Uint8Array> = new Map([
  [0x00, () => Uint8Array.from(PAGES.keys())],
  [0x80, ({ identity }) => ascii(identity.serial)],
  [0x83, encodeDeviceIdentification],
  [0x86, encodeExtendedInquiry],
  [0x8f, () => encodeThirdPartyCopy()],
  [0xb0, encodeBlockLimits],
  [0xb1, encodeBlockDeviceCharacteristics],
  [0xb2, encodeLogicalBlockProvisioning],
]);

/** Nothing for a page that does not exist. */
export function encodeVitalProductData(pageCode: number, facts: UnitFacts): Uint8Array | undefined {
  const encode = PAGES.get(pageCode);
  if (encode === undefined) return undefined;
  const body = encode(facts);
  const head = new Uint8Array(4);
  head[1] = pageCode;
  setField(head, 2, 2, body.length);
  return joined(head, body);
}

function encodeDeviceIdentification({ identity, port }: UnitFacts): Uint8Array {
  const relative = new Uint8Array(4);
  setField(relative, 2, 2, port.relativeId);
  const group = new Uint8Array(4);
  setField(group, 2, 2, port.group);
  const vendor = joined(padded(identity.vendor, 8), ascii(identity.serial));
  return joined(
    designator(ASSOCIATION.UNIT, DESIGNATOR.NAA, CODE_SET.BINARY, identity.naa),
    designator(ASSOCIATION.UNIT, DESIGNATOR.T10_VENDOR, CODE_SET.ASCII, vendor),
    designator(ASSOCIATION.PORT, DESIGNATOR.RELATIVE_PORT, CODE_SET.BINARY, relative),
    designator(ASSOCIATION.PORT, DESIGNATOR.PORT_GROUP, CODE_SET.BINARY, group),
    designator(ASSOCIATION.PORT, DESIGNATOR.NAME, CODE_SET.UTF8, nameString(port.name)),
    designator(ASSOCIATION.DEVICE, DESIGNATOR.NAME, CODE_SET.UTF8, nameString(identity.targetName)),
  );
}

/** Ended by NUL and filled to four bytes (SPC-4 section 7.8.6.11). */
function nameString(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  const bytes = new Uint8Array((text.length + 4) & ~3);
  bytes.set(text);
  return bytes;
}

function designator(association: number, type: number, codeSet: number, value: Uint8Array): Uint8Array {
  const ofPort = association !== ASSOCIATION.UNIT;
  const head = Uint8Array.of(
    ofPort ? (ISCSI << 4) | codeSet : codeSet,
    (ofPort ? 0x80 : 0) | (association << 4) | type,
    0,
    value.length,
  );
  return joined(head, value);
}

function encodeExtendedInquiry(): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes[1] = 0x07; // HEADSUP, ORDSUP, SIMPSUP
  bytes[2] = 0x01; // V_SUP: a volatile cache
  return bytes;
}

function encodeBlockLimits(facts: UnitFacts): Uint8Array {
  const page = new Uint8Array(64);
  page[4] = 0x01; // WSNZ: WRITE SAME of zero blocks is refused
  page[5] = facts.compareBlocksMax;
  setField(page, 6, 2, facts.optimalBlocks);
  setField(page, 8, 4, facts.transferBlocksMax);
  setField(page, 12, 4, facts.optimalTransferBlocks);
  if (facts.thin) {
    setField(page, 20, 4, facts.unmapBlocksMax);
    setField(page, 24, 4, facts.unmapDescriptorsMax);
    setField(page, 28, 4, facts.unmapGranularityBlocks);
    setField(page, 32, 4, 0x8000_0000); // UGAVALID, alignment 0
  }
  setField(page, 36, 8, facts.writeSameBlocksMax);
  setField(page, 44, 4, facts.atomicBlocksMax);
  return page.subarray(4);
}

function encodeBlockDeviceCharacteristics(): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes[1] = 0x01; // non-rotating
  bytes[3] = 0x40; // WABEREQ: erased blocks can be read
  return bytes;
}

function encodeLogicalBlockProvisioning({ thin }: UnitFacts): Uint8Array {
  // LBPU, LBPWS, LBPWS10, LBPRZ 001b; provisioning type thin.
  return thin ? Uint8Array.of(0, 0xe4, 0x02, 0) : Uint8Array.of(0, 0, 0x01, 0);
}

/** SPC-4 section 6.37; `extended`: with the header of four bytes that says how long a transition may take. */
export function encodePortGroups(
  groups: readonly PortGroup[],
  ports: readonly TargetPort[],
  extended: boolean,
): Uint8Array {
  const list = groups.map((group) => {
    const members = ports.filter((port) => port.group === group.id);
    const bytes = new Uint8Array(8 + members.length * 4);
    bytes[0] = (group.preferred ? 0x80 : 0) | group.state;
    bytes[1] = 0x8f; // transitioning, unavailable, standby, non-optimized and optimized are supported
    setField(bytes, 2, 2, group.id);
    bytes[5] = 0x02; // status: altered by implicit behaviour
    bytes[7] = members.length;
    members.forEach((port, at) => {
      setField(bytes, 8 + at * 4 + 2, 2, port.relativeId);
    });
    return bytes;
  });
  const head = extended ? Uint8Array.of(0x10, TRANSITION_SECONDS, 0, 0) : NO_BYTES;
  const body = joined(head, ...list);
  const length = new Uint8Array(4);
  setField(length, 0, 4, body.length);
  return joined(length, body);
}

/** IMPLICIT TRANSITION TIME: an owner has changed by then. */
const TRANSITION_SECONDS = 5;
