// The main thread never loads the addon: only workers do, and each is ended at another moment of its work. Part of
// lifetime.test.ts.
import { isMainThread, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  for (let index = 0; index < 20; index++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: process.argv[2] });
    await new Promise((resolve) => setTimeout(resolve, 40 + index * 13));
    await worker.terminate();
  }
  console.log('20 workers came and went');
} else {
  const { BPF_F_MMAPABLE, BpfMap, openObject, RingBuffer } = await import('libbpf-ts');
  const kept: unknown[] = [];
  while (true) {
    const object = openObject(workerData as string).load();
    const map = BpfMap.create({
      type: 'array',
      keySize: 4,
      valueSize: 8,
      maxEntries: 512,
      flags: BPF_F_MMAPABLE,
    });
    const memory = map.mmap();
    const ring = new RingBuffer(object.map('events')).onRecord(() => {});
    object.program('emit').testRun({ data: Uint8Array.of(3, ...new Array(63).fill(0)) });
    kept.push(object, map, memory, ring);
    if (kept.length > 40) (kept.splice(0, 4)[3] as typeof ring).close();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
