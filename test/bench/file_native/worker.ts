// A worker of the model `workers`: executes what the thread of the connections hands it, and hands the replies back.
import { parentPort, workerData } from 'node:worker_threads';
import { CASES, REPLY_BYTES, REQUEST_BYTES } from './frames.ts';
import { type Paths, Requests } from './requests.ts';

const requests = new Requests(workerData as Paths, 1);
let made = 0;

parentPort!.on('message', ({ connection, batch }: { connection: number; batch: Uint8Array }) => {
  const bytes = Buffer.from(batch.buffer, batch.byteOffset, batch.length);
  const sizes: number[] = [];
  for (let at = 0; at < bytes.length; at += REQUEST_BYTES) {
    sizes.push(
      REPLY_BYTES + (CASES[bytes.readUInt32LE(at + 4)] === 'read' ? bytes.readUInt32LE(at + 12) : 0),
    );
  }
  const replies = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let to = 0;
  sizes.forEach((size, i) => {
    const at = i * REQUEST_BYTES;
    const reply = Buffer.from(replies.buffer, to, size);
    to += size;
    const name = CASES[bytes.readUInt32LE(at + 4)]!;
    const number = bytes.readUInt32LE(at + 8);
    const storage = name === 'create' ? requests.making : requests.reading;
    const program = storage.take()!;
    if (name === 'getattr') requests.getattr(program);
    else if (name === 'read') {
      requests.read(program, Number(bytes.readBigUInt64LE(at + 16)), bytes.readUInt32LE(at + 12));
    } else requests.create(program, `w${process.pid}-${process.hrtime.bigint()}-${made++}`);
    storage.runHere(program, requests.credentials(storage), reply);
    requests.answer(program, reply, number);
    storage.release(program);
  });
  parentPort!.postMessage({ connection, replies }, [replies.buffer]);
});
