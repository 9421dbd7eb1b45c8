// Owns what a call says of its caller (RFC 5531, sections 8.2 and 14; appendix A): AUTH_NONE and AUTH_SYS. Whether the
// caller may be who it says is decided where links are known.
import { emptySpan, type XdrReader } from './xdr.ts';

export const AUTH_FLAVORS = { AUTH_NONE: 0, AUTH_SYS: 1, AUTH_SHORT: 2, RPCSEC_GSS: 6 } as const;

/** RFC 5531, section 9: why a call was not authenticated. */
export const AUTH_STATS = {
  AUTH_OK: 0,
  AUTH_BADCRED: 1,
  AUTH_REJECTEDCRED: 2,
  AUTH_BADVERF: 3,
  AUTH_REJECTEDVERF: 4,
  AUTH_TOOWEAK: 5,
} as const;

export const AUTH_BYTES_MAX = 400;
export const MACHINE_NAME_BYTES_MAX = 255;
export const GIDS_MAX = 16;
/** Credentials of one connection that are remembered: users of one client take turns. */
const REMEMBERED_MAX = 8;
const STAMP_BYTES = 4;

/**
 * One object stands for all calls of one caller, as long as it is remembered, so that what follows from it can be kept
 * beside it. `uid`, `gid` and `gids` are as sent: 4294967295 is among what clients send, and system calls
 * take it for "leave as it is", so it must be squashed before any.
 */
export interface Credentials {
  readonly flavor: number;
  readonly machineName: string;
  readonly uid: number;
  readonly gid: number;
  readonly gids: readonly number[];
}

export const NO_CREDENTIALS: Credentials = Object.freeze({
  flavor: AUTH_FLAVORS.AUTH_NONE,
  machineName: '',
  uid: 0xffff_ffff,
  gid: 0xffff_ffff,
  gids: Object.freeze([]),
});

interface Remembered {
  readonly bytes: Uint8Array;
  readonly credentials: Credentials;
}

/** Reads credentials of one connection. */
export class CredentialReader {
  /** Set by `read` if there is no result. */
  authStat: number = AUTH_STATS.AUTH_OK;
  /** Last used first. */
  readonly #remembered: Remembered[] = [];
  readonly #body = emptySpan();

  /** Reads credential and verifier. Undefined: refused for `authStat`, or the reader is malformed. */
  read(reader: XdrReader): Credentials | undefined {
    const flavor = reader.u32();
    const cut = reader.left < 4;
    reader.opaque(this.#body, AUTH_BYTES_MAX);
    if (reader.malformed) return cut ? undefined : this.#refuse(reader, AUTH_STATS.AUTH_BADCRED);
    const { offset, length } = this.#body;
    const verifierFlavor = reader.u32();
    const verifierBytes = reader.u32();
    if (reader.malformed) return undefined;
    // RFC 5531, section 8.2: the verifier of AUTH_NONE and AUTH_SYS is AUTH_NONE, which is empty.
    if (flavor > AUTH_FLAVORS.AUTH_SYS) return this.#refuse(reader, AUTH_STATS.AUTH_REJECTEDCRED);
    if (verifierFlavor !== AUTH_FLAVORS.AUTH_NONE || verifierBytes !== 0)
      return this.#refuse(reader, AUTH_STATS.AUTH_BADVERF);
    if (flavor === AUTH_FLAVORS.AUTH_NONE)
      return length === 0 ? NO_CREDENTIALS : this.#refuse(reader, AUTH_STATS.AUTH_BADCRED);
    return this.#recall(reader.bytes, offset, length) ?? this.#learn(reader, offset, length);
  }

  #refuse(reader: XdrReader, authStat: number): undefined {
    // It is known what is wrong, so that an answer is possible.
    reader.malformed = false;
    this.authStat = authStat;
    return undefined;
  }

  #recall(bytes: Uint8Array, offset: number, length: number): Credentials | undefined {
    const remembered = this.#remembered;
    for (let i = 0; i < remembered.length; i++) {
      const one = remembered[i]!;
      if (!equal(one.bytes, bytes, offset, length)) continue;
      if (i > 0) {
        remembered.splice(i, 1);
        remembered.unshift(one);
      }
      return one.credentials;
    }
    return undefined;
  }

  #learn(reader: XdrReader, offset: number, length: number): Credentials | undefined {
    const after = reader.offset;
    const { end } = reader;
    reader.offset = offset;
    reader.end = offset + length;
    const credentials = decodeAuthSys(reader);
    const whole = reader.offset === offset + length;
    reader.offset = after;
    reader.end = end;
    if (reader.malformed || !whole) return this.#refuse(reader, AUTH_STATS.AUTH_BADCRED);
    this.#remembered.unshift({ bytes: reader.bytes.slice(offset, offset + length), credentials });
    if (this.#remembered.length > REMEMBERED_MAX) this.#remembered.pop();
    return credentials;
  }
}

/** authsys_parms of appendix A. */
function decodeAuthSys(reader: XdrReader): Credentials {
  const name = emptySpan();
  reader.u32(); // stamp
  reader.opaque(name, MACHINE_NAME_BYTES_MAX);
  const uid = reader.u32();
  const gid = reader.u32();
  const gids = new Array<number>(reader.upTo(GIDS_MAX));
  for (let i = 0; i < gids.length; i++) gids[i] = reader.u32();
  const bytes = reader.bytes.subarray(name.offset, name.offset + name.length);
  const machineName = new TextDecoder('latin1').decode(bytes);
  return Object.freeze({ flavor: AUTH_FLAVORS.AUTH_SYS, machineName, uid, gid, gids: Object.freeze(gids) });
}

/** But for the stamp, which Linux clients set to another value every second. */
function equal(known: Uint8Array, bytes: Uint8Array, offset: number, length: number): boolean {
  if (known.length !== length) return false;
  // From the end, where users of one machine differ.
  for (let i = length - 1; i >= STAMP_BYTES; i--) if (known[i] !== bytes[offset + i]) return false;
  return true;
}
