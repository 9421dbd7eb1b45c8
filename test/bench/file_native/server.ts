// One end of the benchmark: a process that serves requests by one of the models. Arguments: model, directory to read in, directory to make files in. Prints its
// port.
import { createServer, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import type { Program } from '@holdfast/linux';
import { CASES, type Model, REPLY_BYTES, REQUEST_BYTES } from './frames.ts';
import { Requests } from './requests.ts';

const THREADS = 4;
/** As the file system has it: larger reads are copied by several threads side by side. */
const AT_ONCE_BYTES_MAX = 64 * 1024;
const [model, read, make] = process.argv.slice(2) as [Model, string, string];
const paths = { read, make };
const requests = new Requests(paths, THREADS);
let made = 0;

/**
 * Large replies use their memory again once they are sent: fresh memory costs a page fault every 4 KiB. Small ones are cut
 * from larger pieces.
 */
Buffer.poolSize = 1024 * 1024;
const LARGE_BYTES = 256 * 1024;
const spare: Buffer[] = [];

function room(bytes: number): Buffer {
  if (bytes < LARGE_BYTES) return Buffer.allocUnsafe(bytes);
  const last = spare.pop();
  return last?.length === bytes ? last : Buffer.allocUnsafe(bytes);
}

type Reply = (bytes: Buffer) => void;

function execute(
  name: (typeof CASES)[number],
  number: number,
  offset: number,
  count: number,
  reply: Reply,
): void {
  const bytes = room(REPLY_BYTES + (name === 'read' ? count : 0));
  if (name === 'null') {
    bytes.writeUInt32LE(bytes.length, 0);
    bytes.writeInt32LE(0, 8);
    reply(bytes);
    return;
  }
  const storage = name === 'create' ? requests.making : requests.reading;
  const credentials = requests.credentials(storage);
  const program = storage.take();
  if (program === undefined) throw new Error('too many requests at a time');
  if (name === 'getattr') requests.getattr(program);
  else if (name === 'read') requests.read(program, offset, count);
  else requests.create(program, `f${process.pid}-${made++}`);
  const done = (finished: Program): void => {
    requests.answer(finished, bytes, number);
    storage.release(finished);
    reply(bytes);
  };
  if (model === 'here') {
    storage.runHere(program, credentials, bytes);
    done(program);
  } else if (
    model === 'loop' &&
    name !== 'create' &&
    count <= AT_ONCE_BYTES_MAX &&
    storage.tryNow(program, credentials, bytes)
  )
    done(program);
  else storage.submit(program, credentials, bytes, done);
}

/** Requests go to workers by turns, in batches of one read of the socket. */
const workers =
  model === 'workers'
    ? Array.from(
        { length: 2 },
        () => new Worker(new URL('./worker.ts', import.meta.url), { workerData: paths }),
      )
    : [];
const sockets = new Map<number, Socket>();
for (const worker of workers) {
  worker.on('message', ({ connection, replies }: { connection: number; replies: Uint8Array }) => {
    sockets.get(connection)?.write(replies);
  });
}
let turn = 0;

function serve(socket: Socket): void {
  socket.setNoDelay(true);
  const connection = sockets.size;
  sockets.set(connection, socket);
  let rest: Buffer = Buffer.alloc(0);
  let corked = false;
  const reply: Reply = (bytes) => {
    // Replies of one turn of the event loop leave together.
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(() => {
        corked = false;
        socket.uncork();
      });
    }
    socket.write(bytes, bytes.length < LARGE_BYTES ? undefined : () => spare.push(bytes));
  };
  socket.on('data', (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.length - (bytes.length % REQUEST_BYTES);
    rest = bytes.subarray(whole);
    if (model === 'workers') {
      const half = Math.ceil(whole / REQUEST_BYTES / workers.length) * REQUEST_BYTES;
      for (let at = 0; at < whole; at += half) {
        const batch = Uint8Array.from(bytes.subarray(at, Math.min(whole, at + half)));
        workers[turn++ % workers.length]!.postMessage({ connection, batch }, [batch.buffer]);
      }
      return;
    }
    for (let at = 0; at < whole; at += REQUEST_BYTES) {
      const name = CASES[bytes.readUInt32LE(at + 4)]!;
      execute(
        name,
        bytes.readUInt32LE(at + 8),
        Number(bytes.readBigUInt64LE(at + 16)),
        bytes.readUInt32LE(at + 12),
        reply,
      );
    }
  });
  socket.on('error', () => socket.destroy());
}

const server = createServer(serve).listen(0, '127.0.0.1', () => {
  console.log((server.address() as { port: number }).port);
});
process.on('disconnect', () => process.exit(0));
