// The other end: keeps `depth` requests under way on one connection for a time, and answers how many were done.
import { connect, type Socket } from 'node:net';
import { CASES, type Case, REPLY_BYTES, REQUEST_BYTES } from './frames.ts';

export type Load = {
  readonly port: number;
  readonly case: Case;
  readonly depth: number;
  readonly fileBytes: number;
  readonly readBytes: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
};

/** Requests done in a second. A reply that reports an error, or is cut short, fails the run. */
export async function load(spec: Load): Promise<number> {
  let onBytes: (chunk: Buffer) => void = () => {};
  const socket = await connected(spec.port, (chunk) => onBytes(chunk));
  const replyBytes = REPLY_BYTES + (spec.case === 'read' ? spec.readBytes : 0);
  const places = Math.floor(spec.fileBytes / Math.max(1, spec.readBytes));
  let number = 0;
  const request = (count: number): Buffer => {
    const bytes = Buffer.alloc(count * REQUEST_BYTES);
    for (let at = 0; at < bytes.length; at += REQUEST_BYTES) {
      number += 1;
      bytes.writeUInt32LE(REQUEST_BYTES, at);
      bytes.writeUInt32LE(CASES.indexOf(spec.case), at + 4);
      bytes.writeUInt32LE(number >>> 0, at + 8);
      bytes.writeUInt32LE(spec.readBytes, at + 12);
      const place = (Math.imul(number, 2_654_435_761) >>> 0) % places;
      bytes.writeBigUInt64LE(BigInt(place) * BigInt(spec.readBytes), at + 16);
    }
    return bytes;
  };
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let done = 0;
  let inReply = 0; // bytes of the reply that is coming in
  let head = Buffer.alloc(0);
  let counted = 0;
  let started = 0;
  onBytes = (chunk) => {
    let finished = 0;
    for (let at = 0; at < chunk.length; ) {
      if (inReply < 12) {
        head = Buffer.concat([head, chunk.subarray(at, at + 12 - inReply)]);
        if (head.length === 12) {
          const [length, , error] = [head.readUInt32LE(0), 0, head.readInt32LE(8)];
          if (length !== replyBytes || error !== 0)
            reject(new Error(`a reply of ${length} bytes, errno ${error}`));
        }
      }
      const taken = Math.min(replyBytes - inReply, chunk.length - at);
      inReply += taken;
      at += taken;
      if (inReply === replyBytes) {
        inReply = 0;
        head = Buffer.alloc(0);
        finished += 1;
      }
    }
    if (finished === 0) return;
    done += finished;
    const now = performance.now();
    if (started === 0 && now >= begun + spec.warmUpMs) {
      started = now;
      counted = done;
    }
    if (started !== 0 && now >= started + spec.measureMs) {
      resolve(((done - counted) / (now - started)) * 1000);
      socket.destroy();
      return;
    }
    socket.write(request(finished));
  };
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('the server has closed the connection')));
  const begun = performance.now();
  socket.write(request(spec.depth));
  return promise;
}

/** Received into one buffer, over and over: the client should cost as little as it can. */
async function connected(port: number, onBytes: (chunk: Buffer) => void): Promise<Socket> {
  const buffer = Buffer.alloc(512 * 1024);
  const onread = {
    buffer,
    callback: (count: number): boolean => {
      onBytes(buffer.subarray(0, count));
      return true;
    },
  };
  const socket = connect({ host: '127.0.0.1', port, noDelay: true, onread });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}
