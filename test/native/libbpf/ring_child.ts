// One scenario of ring_buffer.test.ts a process: what could crash does so here.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { openObject, RingBuffer } from 'libbpf-ts';

const [scenario, path] = isMainThread ? process.argv.slice(2) : ['in-worker', workerData as string];
const object = openObject(path!).load();
const emit = (count: number): void => {
  const data = new Uint8Array(64);
  data[0] = count;
  object.program('emit').testRun({ data });
};
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const gc = (globalThis as unknown as { gc: () => void }).gc;

const scenarios: Record<string, () => Promise<void> | void> = {
  throwing: async () => {
    const ring = new RingBuffer(object.map('events'));
    const caught: string[] = [];
    process.on('uncaughtException', (error) => caught.push(`uncaught: ${error.message}`));
    ring.onRecord((record) => {
      throw new Error(`boom ${record[0]}`);
    });
    emit(2);
    await pause(20);
    ring.close();
    console.log(caught.join(', '));
  },
  collected: async () => {
    for (let index = 0; index < 200; index++) {
      new RingBuffer(object.map('events')).drain(1);
      if (index % 20 === 0) {
        gc();
        await pause(0);
      }
    }
    gc();
    await pause(5);
    console.log('collected 200');
  },
  'watched-unreachable': async () => {
    let delivered = 0;
    (() => new RingBuffer(object.map('events')).onRecord(() => delivered++))();
    for (let index = 0; index < 5; index++) {
      gc();
      await pause(1);
    }
    emit(3);
    await pause(20);
    console.log(delivered === 3 ? 'still delivered' : `only ${delivered}`);
    process.exit(0);
  },
  unref: () => {
    new RingBuffer(object.map('events')).onRecord(() => {}).unref();
    console.log('ended by itself');
  },
  worker: async () => {
    for (let index = 0; index < 5; index++) {
      const worker = new Worker(new URL(import.meta.url), { workerData: path });
      await new Promise((resolve) => worker.once('message', resolve));
      await worker.terminate();
    }
    gc();
    console.log('worker gone, 5 times');
  },
  'in-worker': async () => {
    const ring = new RingBuffer(object.map('events'));
    let first = true;
    ring.onRecord(() => {
      if (first) parentPort?.postMessage('ready');
      first = false;
    });
    // Records keep coming while the thread is told to end.
    while (true) {
      emit(5);
      await pause(0);
    }
  },
  exit: () => {
    new RingBuffer(object.map('events')).onRecord(() => {});
    emit(5);
    console.log('leaving');
    process.exit(0);
  },
};
await scenarios[scenario!]!();
