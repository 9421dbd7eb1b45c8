// One thread of the stress test: runs a program of this process many times in the kernel, each time on the frame of
// another flow (test/bench/bpf/harness.bpf.c restores it), at the same time as another thread does.
import { parentPort, workerData } from 'node:worker_threads';
import { openObject, Program } from 'libbpf-ts';

export type HammerWork = {
  harness: string;
  programId: number;
  restore: 'restore' | 'restore_ask';
  constants: Record<string, number | bigint | bigint[]>;
  frameBytes: number;
  repeats: number;
  slots?: Uint32Array;
  tags?: BigUint64Array;
  ports?: Uint8Array;
  /** One word: how many threads are not ready yet. */
  gate: SharedArrayBuffer;
};

function hammer(work: HammerWork): number {
  const opened = openObject(work.harness);
  opened.setConstants(work.constants);
  using harness = opened.load();
  using program = Program.openById(work.programId);
  harness.map('under_test').update(new Uint8Array(4), Uint32Array.of(program.fd));
  if (work.slots) new Uint32Array(harness.map('.data.ask_slots').mmap()).set(work.slots);
  if (work.tags) new BigUint64Array(harness.map('.data.ask_tags').mmap()).set(work.tags);
  if (work.ports) new Uint8Array(harness.map('.data.ask_ports').mmap()).set(work.ports);
  const waiting = new Int32Array(work.gate);
  Atomics.sub(waiting, 0, 1);
  Atomics.notify(waiting, 0);
  for (let left = Atomics.load(waiting, 0); left > 0; left = Atomics.load(waiting, 0))
    Atomics.wait(waiting, 0, left, 1000);
  harness
    .program(work.restore)
    .testRun({ data: new Uint8Array(work.frameBytes), dataOutSize: 2048, repeat: work.repeats });
  const [runs, , , unrestored] = new BigUint64Array(harness.map('.data.state').mmap(), 0, 4);
  if (unrestored !== 0n) throw new Error(`${unrestored} frames could not be restored`);
  return Number(runs);
}

parentPort!.postMessage(hammer(workerData as HammerWork));
