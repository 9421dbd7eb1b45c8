// Owns XDR as tests and benchmarks speak it: slow, strict, apart from the product's codec. 64 bits are bigints.

export class Builder {
  readonly #bytes: number[] = [];

  u32(value: number): this {
    this.#bytes.push((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
    return this;
  }

  u64(value: bigint): this {
    return this.u32(Number(value >> 32n)).u32(Number(value & 0xffff_ffffn));
  }

  bool(value: boolean): this {
    return this.u32(value ? 1 : 0);
  }

  fixed(bytes: Uint8Array): this {
    for (const byte of bytes) this.#bytes.push(byte);
    while (this.#bytes.length % 4 !== 0) this.#bytes.push(0);
    return this;
  }

  opaque(bytes: Uint8Array): this {
    return this.u32(bytes.length).fixed(bytes);
  }

  optional<T>(value: T | undefined, build: (value: T) => void): this {
    this.bool(value !== undefined);
    if (value !== undefined) build(value);
    return this;
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/** Throws at whatever a careful client would not take. */
export class Parser {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  u32(): number {
    const [a, b, c, d] = this.fixed(4);
    return a! * 2 ** 24 + b! * 2 ** 16 + c! * 2 ** 8 + d!;
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  bool(): boolean {
    const value = this.u32();
    if (value > 1) throw new Error(`${value} is no boolean`);
    return value === 1;
  }

  fixed(length: number): Uint8Array {
    const whole = Math.ceil(length / 4) * 4;
    if (this.#at + whole > this.#bytes.length) throw new Error('the message is too short');
    const bytes = this.#bytes.slice(this.#at, this.#at + length);
    for (let at = this.#at + length; at < this.#at + whole; at++)
      if (this.#bytes[at] !== 0) throw new Error('what pads an opaque is not zero');
    this.#at += whole;
    return bytes;
  }

  opaque(max = Infinity): Uint8Array {
    const length = this.u32();
    if (length > max) throw new Error(`an opaque of ${length} bytes, at most ${max} are allowed`);
    return this.fixed(length);
  }

  optional<T>(parse: () => T): T | undefined {
    return this.bool() ? parse() : undefined;
  }

  list<T>(parse: () => T): T[] {
    const items: T[] = [];
    while (this.bool()) items.push(parse());
    return items;
  }

  /** All of the message was read. */
  end(): void {
    if (this.#at !== this.#bytes.length)
      throw new Error(`${this.#bytes.length - this.#at} bytes are left over`);
  }

  rest(): Uint8Array {
    const bytes = this.#bytes.slice(this.#at);
    this.#at = this.#bytes.length;
    return bytes;
  }
}
