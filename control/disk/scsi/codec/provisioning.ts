// Owns the layout of capacity data, UNMAP parameter lists and LBA status (SBC-3 sections 5.15, 5.16, 5.28 and 5.9), and of
// REPORT LUNS. Knows no image.
import { field, joined, setField } from './bytes.ts';

export interface Capacity {
  readonly blocks: number;
  readonly blockBytes: number;
  /** Logical blocks in a physical one: a power of two. */
  readonly blocksPerPhysical: number;
  readonly thin: boolean;
}

export function encodeCapacity10({ blocks, blockBytes }: Capacity): Uint8Array {
  const bytes = new Uint8Array(8);
  setField(bytes, 0, 4, Math.min(blocks - 1, 0xffff_ffff));
  setField(bytes, 4, 4, blockBytes);
  return bytes;
}

export function encodeCapacity16({ blocks, blockBytes, blocksPerPhysical, thin }: Capacity): Uint8Array {
  const bytes = new Uint8Array(32);
  setField(bytes, 0, 8, blocks - 1);
  setField(bytes, 8, 4, blockBytes);
  bytes[13] = Math.min(15, Math.floor(Math.log2(blocksPerPhysical)));
  bytes[14] = thin ? 0xc0 : 0; // LBPME, LBPRZ
  return bytes;
}

export interface BlockRange {
  readonly lba: number;
  readonly blocks: number;
}

const UNMAP_HEAD_BYTES = 8;
const UNMAP_DESCRIPTOR_BYTES = 16;

/** The ranges of an UNMAP; `undefined` if the lengths do not fit. Descriptors cut short are not processed (SBC-3 5.28.2). */
export function decodeUnmapList(list: Uint8Array): readonly BlockRange[] | undefined {
  if (list.length < UNMAP_HEAD_BYTES) return undefined;
  const dataBytes = field(list, 0, 2);
  const descriptorsBytes = field(list, 2, 2);
  if (dataBytes + 2 > list.length || descriptorsBytes + UNMAP_HEAD_BYTES > list.length) return undefined;
  const ranges: BlockRange[] = [];
  const end = UNMAP_HEAD_BYTES + descriptorsBytes;
  for (let at = UNMAP_HEAD_BYTES; at + UNMAP_DESCRIPTOR_BYTES <= end; at += UNMAP_DESCRIPTOR_BYTES)
    ranges.push({ lba: field(list, at, 8), blocks: field(list, at + 8, 4) });
  return ranges;
}

export const LBA_STATUS = { MAPPED: 0, DEALLOCATED: 1 } as const;
/** NUMBER OF LOGICAL BLOCKS of one descriptor. */
export const LBA_STATUS_BLOCKS_MAX = 0xffff_ffff;

export function encodeLbaStatus(extents: readonly (BlockRange & { readonly status: number })[]): Uint8Array {
  const head = new Uint8Array(8);
  setField(head, 0, 4, 4 + extents.length * 16);
  const list = extents.map(({ lba, blocks, status }) => {
    const bytes = new Uint8Array(16);
    setField(bytes, 0, 8, lba);
    setField(bytes, 8, 4, blocks);
    bytes[12] = status;
    return bytes;
  });
  return joined(head, ...list);
}

/** Eight bytes each. */
export function encodeLuns(luns: readonly Uint8Array[]): Uint8Array {
  const head = new Uint8Array(8);
  setField(head, 0, 4, luns.length * 8);
  return joined(head, ...luns);
}

export interface OverwriteParameters {
  readonly invert: boolean;
  readonly count: number;
  readonly pattern: Uint8Array;
}

/** Of SANITIZE OVERWRITE (SBC-3 section 5.26.2); the byte that is wrong otherwise. */
export function decodeOverwrite(list: Uint8Array, blockBytes: number): OverwriteParameters | number {
  const first = list[0] ?? 0;
  const count = first & 0x1f;
  const patternBytes = field(list, 2, 2);
  if (count === 0 || (first & 0x60) !== 0) return 0;
  if (patternBytes === 0 || patternBytes > blockBytes || 4 + patternBytes > list.length) return 2;
  return { invert: (first & 0x80) !== 0, count, pattern: list.slice(4, 4 + patternBytes) };
}
