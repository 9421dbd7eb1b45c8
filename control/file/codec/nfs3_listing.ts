// Owns the results of READDIR and READDIRPLUS (RFC 1813, sections 3.3.16 and 3.3.17): entries are written where they
// are sent from, one after the other, until what the client asked for is full. Order and cookies are the storage's.

import type { ReaddirArguments, ReaddirplusArguments } from './nfs3_arguments.ts';
import { encodePostOpAttr, type Fattr3, POST_OP_ATTR_BYTES } from './nfs3_attributes.ts';
import { LISTING_BYTES_MAX, NFSSTAT3, type Nfsstat3 } from './nfs3_constants.ts';
import { padded, type XdrWriter } from './xdr.ts';

const STATUS_BYTES = 4;
/** Attributes of the directory and the cookie verifier stand in front of the entries. */
const HEAD_BYTES = POST_OP_ATTR_BYTES + 8;
/** "No entry follows", and eof. */
const TAIL_BYTES = 8;
/** "An entry follows", file id, length of the name, cookie. */
const ENTRY_BYTES = 4 + 8 + 4 + 8;

export const LISTING_RESULT_BYTES_MAX = STATUS_BYTES + LISTING_BYTES_MAX;

/** `count` counts the result without its status (both sections: the size of READDIR3resok). */
export function listingResultBytes(args: ReaddirArguments): number {
  return STATUS_BYTES + Math.max(HEAD_BYTES + TAIL_BYTES, Math.min(args.count, LISTING_BYTES_MAX));
}

export type ListingResult =
  | {
      readonly status: typeof NFSSTAT3.NFS3_OK;
      readonly directory: Fattr3 | undefined;
      readonly verifierHigh: number;
      readonly verifierLow: number;
      readonly entries: Entries;
      /** Nothing follows the last entry. */
      readonly eof: boolean;
    }
  | {
      readonly status: Exclude<Nfsstat3, typeof NFSSTAT3.NFS3_OK>;
      readonly directory: Fattr3 | undefined;
    };

/**
 * The entries of one answer. `begin` it where the writer stands when the result will begin, `add` until it says false,
 * and encode the result. No entry at all, with more to come, is NFS3ERR_TOOSMALL.
 */
export class Entries {
  count = 0;
  #writer: XdrWriter | undefined;
  #start = 0;
  #end = 0;
  #limit = 0;
  /** Bytes left of dircount. */
  #names = 0;
  #plus = false;

  begin(writer: XdrWriter, args: ReaddirArguments | ReaddirplusArguments): void {
    const result = writer.offset;
    this.count = 0;
    this.#writer = writer;
    this.#start = result + STATUS_BYTES + HEAD_BYTES;
    this.#end = this.#start;
    this.#limit = result + listingResultBytes(args) - TAIL_BYTES;
    this.#plus = 'dircount' in args;
    this.#names = 'dircount' in args ? args.dircount : LISTING_BYTES_MAX;
  }

  /**
   * `length` bytes of `names` from `offset` are the name; `attributes` and `handle` are for READDIRPLUS. False: there
   * is no room for it.
   */
  add(
    fileidHigh: number,
    fileidLow: number,
    names: Uint8Array,
    offset: number,
    length: number,
    cookieHigh: number,
    cookieLow: number,
    attributes?: Fattr3,
    handle?: Uint8Array,
  ): boolean {
    const writer = this.#writer!;
    const nameBytes = ENTRY_BYTES + padded(length);
    let bytes = nameBytes;
    if (this.#plus) {
      bytes += attributes === undefined ? 4 : POST_OP_ATTR_BYTES;
      bytes += handle === undefined ? 4 : 8 + padded(handle.length);
    }
    if (this.#end + bytes > this.#limit) return false;
    // dircount is a hint: a directory must not seem empty because of it.
    if (nameBytes > this.#names && this.count > 0) return false;
    writer.offset = this.#end;
    writer.u32(1);
    writer.halves(fileidHigh, fileidLow);
    writer.opaque(names, offset, length);
    writer.halves(cookieHigh, cookieLow);
    if (this.#plus) {
      encodePostOpAttr(writer, attributes);
      writer.bool(handle !== undefined);
      if (handle !== undefined) writer.opaque(handle);
    }
    this.#end = writer.offset;
    this.#names -= nameBytes;
    this.count += 1;
    writer.offset = this.#start - HEAD_BYTES - STATUS_BYTES;
    return true;
  }

  /** Called with the head written: joins the entries to it, and ends them. */
  end(writer: XdrWriter, eof: boolean): void {
    const { offset } = writer;
    // Without attributes the head is shorter than the room that was left for it.
    if (offset !== this.#start) writer.bytes.copyWithin(offset, this.#start, this.#end);
    writer.offset = offset + (this.#end - this.#start);
    writer.bool(false);
    writer.bool(eof);
    this.#writer = undefined;
  }
}

export function encodeListing(writer: XdrWriter, result: ListingResult): void {
  writer.u32(result.status);
  encodePostOpAttr(writer, result.directory);
  if (result.status !== NFSSTAT3.NFS3_OK) return;
  writer.halves(result.verifierHigh, result.verifierLow);
  result.entries.end(writer, result.eof);
}
