// Owns the handles that clients have: what they name, and the seal that tells ours from guessed ones. They are the same
// on every node, and say nothing of names or places, so that they survive renames, restarts and failovers.
//
// version 1, kind, storage id (16 bits), id of the folder or link (32 bits), the storage's own handle, SipHash of all of it.
// A folder has neither storage nor handle of one. All in network order.
import { SIPHASH_BYTES, SipHash } from '../../lib/siphash.ts';
import type { FileHandle } from '../filesystem/port.ts';

/** Of NFS version 3; later versions have more. */
export const SEALED_BYTES_MAX = 64;
const VERSION = 1;
const HEAD_BYTES = 8;
const FOLDER = 1;
const FILE = 2;
/** What a storage's handle may have: ext4 and XFS need 12 to 20 bytes, Btrfs up to 44. */
export const STORAGE_HANDLE_BYTES_MAX = SEALED_BYTES_MAX - HEAD_BYTES - SIPHASH_BYTES;

/** Opens and makes handles; what was opened last is in its fields. */
export class HandleSeal {
  isFolder = false;
  /** Of the folder or link. */
  id = 0;
  storageId = 0;
  readonly #hash: SipHash;

  constructor(key: Uint8Array) {
    this.#hash = new SipHash(key);
  }

  /** Whether these bytes are a handle that was made with this key. */
  open(bytes: Uint8Array, offset: number, length: number): boolean {
    if (length < HEAD_BYTES + SIPHASH_BYTES || length > SEALED_BYTES_MAX) return false;
    const end = offset + length - SIPHASH_BYTES;
    this.#hash.hash(bytes, offset, end);
    const low = wordAt(bytes, end) ^ this.#hash.low;
    const high = wordAt(bytes, end + 4) ^ this.#hash.high;
    if ((low | high) !== 0) return false;
    const kind = bytes[offset + 1]!;
    if (bytes[offset] !== VERSION || (kind !== FOLDER && kind !== FILE)) return false;
    this.isFolder = kind === FOLDER;
    this.storageId = (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
    this.id =
      ((bytes[offset + 4]! << 24) |
        (bytes[offset + 5]! << 16) |
        (bytes[offset + 6]! << 8) |
        bytes[offset + 7]!) >>>
      0;
    return true;
  }

  /** The storage's handle in one that was opened, copied. */
  static fileIn(bytes: Uint8Array, offset: number, length: number): FileHandle {
    // Of a Buffer, `slice` would be a view.
    return Uint8Array.prototype.slice.call(bytes, offset + HEAD_BYTES, offset + length - SIPHASH_BYTES);
  }

  folder(id: number): Uint8Array {
    return this.#seal(FOLDER, 0, id, NO_HANDLE);
  }

  /** @throws RangeError where the storage's handle is too long: such a storage is not served at all. */
  file(linkId: number, storageId: number, file: FileHandle): Uint8Array {
    if (file.length > STORAGE_HANDLE_BYTES_MAX)
      throw new RangeError(`a storage has handles of ${file.length} bytes, of ${STORAGE_HANDLE_BYTES_MAX}`);
    return this.#seal(FILE, storageId, linkId, file);
  }

  #seal(kind: number, storageId: number, id: number, file: FileHandle): Uint8Array {
    const end = HEAD_BYTES + file.length;
    const bytes = new Uint8Array(end + SIPHASH_BYTES);
    bytes[0] = VERSION;
    bytes[1] = kind;
    bytes[2] = storageId >>> 8;
    bytes[3] = storageId;
    bytes[4] = id >>> 24;
    bytes[5] = id >>> 16;
    bytes[6] = id >>> 8;
    bytes[7] = id;
    for (let i = 0; i < file.length; i++) bytes[HEAD_BYTES + i] = file[i]!;
    this.#hash.hash(bytes, 0, end);
    putWord(bytes, end, this.#hash.low);
    putWord(bytes, end + 4, this.#hash.high);
    return bytes;
  }
}

const NO_HANDLE = new Uint8Array(0);

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

function putWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word;
  bytes[at + 1] = word >>> 8;
  bytes[at + 2] = word >>> 16;
  bytes[at + 3] = word >>> 24;
}
