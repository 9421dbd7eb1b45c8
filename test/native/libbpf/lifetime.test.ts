import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { BPF_F_MMAPABLE, BpfMap, openObject, queryXdp, RingBuffer } from 'libbpf-ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collect, compiled, countFds, makePair, type Pair, runChild } from './support.ts';

const MIB = 2 ** 20;

/** Repeats `step`, then asks that no descriptor and no memory to speak of was left behind. */
async function leaveNothing(times: number, step: () => void, growthMib = 24): Promise<void> {
  const rounds = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index++) {
      step();
      if (index % 200 === 199) await collect();
    }
    await collect();
  };
  // What is allocated once (caches, compiled code) is allocated before the measure is taken.
  await rounds(Math.ceil(times / 4));
  const before = { fds: countFds(), rss: process.memoryUsage.rss(), mappings: countMappings() };
  await rounds(times);
  expect(countFds()).toBeLessThanOrEqual(before.fds + 2);
  expect(countMappings()).toBeLessThan(before.mappings + 200);
  expect(process.memoryUsage.rss() - before.rss).toBeLessThan(growthMib * MIB);
}

function countMappings(): number {
  return readFileSync('/proc/self/maps', 'utf8').split('\n').length;
}

describe('what is opened thousands of times leaves nothing behind', () => {
  let path: string;
  beforeAll(() => {
    path = compiled('everything');
  });

  it('objects, loaded and closed', async () => {
    await leaveNothing(400, () => {
      using object = openObject(path).load();
      object.map('flows').close();
      object.program('drop').close();
    });
  });

  it('objects that nobody closes', async () => {
    await leaveNothing(300, () => {
      const object = openObject(path).load();
      object.map('flows').lookup(new Uint8Array(12));
      void object.program('drop').fd;
    });
  });

  it('objects that were never loaded, and loads that fail', async () => {
    const rejected = compiled('rejected');
    await leaveNothing(300, () => {
      openObject(path);
      openObject(path).close();
      expect(() => openObject(rejected).load()).toThrow(/invalid mem access/);
    });
  });

  it('maps, closed and forgotten', async () => {
    await leaveNothing(5000, () => {
      BpfMap.create({ type: 'array', keySize: 4, valueSize: 8, maxEntries: 4 }).close();
      BpfMap.create({ type: 'array', keySize: 4, valueSize: 8, maxEntries: 4 });
    });
  });

  it('mapped memory', async () => {
    await leaveNothing(5000, () => {
      using map = BpfMap.create({
        type: 'array',
        keySize: 4,
        valueSize: 8,
        maxEntries: 512,
        flags: BPF_F_MMAPABLE,
      });
      new BigUint64Array(map.mmap())[511] = 1n;
    });
  });

  it('ring buffers: drained, watched, forgotten', async () => {
    using map = BpfMap.create({ type: 'ringbuf', keySize: 0, valueSize: 0, maxEntries: 4096 });
    await leaveNothing(2000, () => {
      new RingBuffer(map).close();
      new RingBuffer(map).drain();
      new RingBuffer(map).onRecord(() => {}).close();
    });
  });

  describe('in a namespace', () => {
    let net: Pair;
    beforeAll(() => {
      net = makePair();
    });
    afterAll(() => net.remove());

    it('links, made and closed or forgotten', async () => {
      using object = openObject(path).load();
      const program = object.program('pass');
      const attach = () =>
        program.attachXdp({ interface: net.nearDevice, netns: net.nearPath, mode: 'native' });
      // Few: each change of an interface waits for the kernel's grace periods. One leaked descriptor each would show.
      await leaveNothing(20, () => {
        attach().close();
      });
      const before = countFds();
      attach();
      await collect();
      expect(countFds()).toBe(before);
      expect(queryXdp(net.nearDevice, { netns: net.nearPath })).toBeUndefined();
    }, 60_000);

    it('visits of the namespace that fail', async () => {
      using object = openObject(path).load();
      const program = object.program('pass');
      await leaveNothing(5000, () => {
        expect(() => program.attachXdp({ interface: 'absent0', netns: net.nearPath })).toThrow(/ENODEV/);
      });
    });
  });
});

describe('worker threads', () => {
  it('load the addon side by side, while the main thread uses it too', async () => {
    const source = `
      const { workerData, parentPort } = require('node:worker_threads');
      import(workerData.library).then(({ openObject, BpfMap }) => {
        const object = openObject(workerData.path).load();
        let sum = 0;
        for (let i = 0; i < 300; i++) sum += object.program('return_answer').testRun({ data: new Uint8Array(64) }).retval;
        try { openObject(workerData.rejected).load(); } catch (error) { parentPort.postMessage([sum, error.verifierLog]); }
      });`;
    const library = new URL('../../../native/libbpf-ts/index.ts', import.meta.url).href;
    const workerData = { library, path: compiled('everything'), rejected: compiled('rejected') };
    const workers = Array.from({ length: 4 }, () => new Worker(source, { eval: true, workerData }));
    using own = openObject(workerData.path).load();
    const results = Promise.all(
      workers.map(
        (worker) => new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject)),
      ),
    );
    for (let round = 0; round < 200; round++)
      own.program('return_answer').testRun({ data: new Uint8Array(64) });
    for (const result of (await results) as [number, string][]) {
      expect(result[0]).toBe(300 * 42);
      // Each thread gets its own verifier log, undisturbed by the others.
      expect(result[1].match(/R0 invalid mem access/g)).toHaveLength(1);
    }
    await Promise.all(workers.map((worker) => worker.terminate()));
  });

  it('may be the only users, and be terminated at any time', () => {
    const child = runChild('worker_child.ts', [compiled('everything')]);
    expect(child).toMatchObject({ signal: null, status: 0, stderr: '' });
    expect(child.stdout.trim()).toBe('20 workers came and went');
  });
});
