// Reading and writing of netlink's byte layout. Netlink never leaves the host, so numbers have the host's byte
// order; the exceptions (addresses, ports) travel as byte strings.

/** A message that does not follow its format. The offset counts within the part named in the message. */
export class MalformedMessageError extends Error {
  override readonly name = 'MalformedMessageError';
  readonly code = 'ERR_NETLINK_MALFORMED';
}

export const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

export const align4 = (lengthBytes: number): number => (lengthBytes + 3) & ~3;

/** A cursor over one structure; reading past its end is a `MalformedMessageError`. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #offset = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get remainingBytes(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), LITTLE_ENDIAN);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), LITTLE_ENDIAN);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), LITTLE_ENDIAN);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), LITTLE_ENDIAN);
  }

  skip(lengthBytes: number): void {
    this.#take(lengthBytes);
  }

  bytes(lengthBytes: number): Uint8Array {
    const start = this.#take(lengthBytes);
    return this.#bytes.subarray(start, start + lengthBytes);
  }

  rest(): Uint8Array {
    return this.bytes(this.remainingBytes);
  }

  #take(lengthBytes: number): number {
    if (lengthBytes > this.remainingBytes) {
      throw new MalformedMessageError(
        `${this.#what}: ${lengthBytes} bytes wanted at offset ${this.#offset}, ${this.remainingBytes} left`,
      );
    }
    const start = this.#offset;
    this.#offset += lengthBytes;
    return start;
  }
}

/** An append-only buffer. Values are checked by the encoders, which know their names. */
export class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get lengthBytes(): number {
    return this.#length;
  }

  // Growing replaces the view, hence two statements each.
  u8(value: number): void {
    const start = this.#grow(1);
    this.#view.setUint8(start, value);
  }

  u16(value: number): void {
    const start = this.#grow(2);
    this.#view.setUint16(start, value, LITTLE_ENDIAN);
  }

  u32(value: number): void {
    const start = this.#grow(4);
    this.#view.setUint32(start, value, LITTLE_ENDIAN);
  }

  i32(value: number): void {
    const start = this.#grow(4);
    this.#view.setInt32(start, value, LITTLE_ENDIAN);
  }

  zeros(lengthBytes: number): void {
    this.#grow(lengthBytes);
  }

  bytes(value: Uint8Array): void {
    const start = this.#grow(value.length);
    this.#bytes.set(value, start);
  }

  align(): void {
    this.#grow(align4(this.#length) - this.#length);
  }

  patchU16(offset: number, value: number): void {
    this.#view.setUint16(offset, value, LITTLE_ENDIAN);
  }

  patchU32(offset: number, value: number): void {
    this.#view.setUint32(offset, value, LITTLE_ENDIAN);
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #grow(lengthBytes: number): number {
    const start = this.#length;
    this.#length += lengthBytes;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return start;
  }
}
