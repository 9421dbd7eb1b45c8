// Owns the bytes between a test and its virtual machine (guest/agent.c has the other end): frames of id, kind and length, then
// that many bytes. Knows neither sockets nor machines.

export const FRAME = { run: 1, kill: 2, off: 3, ready: 16, out: 17, err: 18, exit: 19 } as const;
const HEADER_BYTES = 12;
/** As in agent.c, which ends the machine above it. */
export const FRAME_BYTES_MAX = 64 * 1024 * 1024;

export type Frame = { readonly id: number; readonly kind: number; readonly body: Buffer };

export function encodeFrame(id: number, kind: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length > FRAME_BYTES_MAX) throw new RangeError(`a frame of ${length} bytes`);
  return Buffer.concat([words(id, kind, length), ...parts]);
}

export function encodeRun(id: number, script: string, input: Uint8Array): Buffer {
  const text = Buffer.from(script);
  return encodeFrame(id, FRAME.run, words(text.length), text, input);
}

/** Takes bytes as they come, in pieces of any size. */
export class FrameReader {
  #pieces: Buffer[] = [];
  #waiting = 0;

  push(bytes: Buffer): Frame[] {
    this.#pieces.push(bytes);
    this.#waiting += bytes.length;
    const frames: Frame[] = [];
    while (this.#waiting >= HEADER_BYTES) {
      const all = Buffer.concat(this.#pieces);
      this.#pieces = [all];
      const length = all.readUInt32LE(8);
      if (length > FRAME_BYTES_MAX) throw new RangeError(`the guest announces ${length} bytes`);
      if (all.length < HEADER_BYTES + length) break;
      const body = all.subarray(HEADER_BYTES, HEADER_BYTES + length);
      frames.push({ id: all.readUInt32LE(0), kind: all.readUInt32LE(4), body });
      this.#pieces = [all.subarray(HEADER_BYTES + length)];
      this.#waiting -= HEADER_BYTES + length;
    }
    return frames;
  }
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => {
    bytes.writeUInt32LE(value, 4 * index);
  });
  return bytes;
}
