// Hostile calls, each scenario in a process of its own: misuse.test.ts sees a crash as a signal. Prints one line.
import { readFileSync } from 'node:fs';
import {
  BPF_F_MMAPABLE,
  BpfError,
  BpfMap,
  Btf,
  BtfError,
  ClosedError,
  ElfError,
  generateCodecs,
  openObject,
  Program,
  probeHelper,
  probeMapType,
  probeProgramType,
  queryXdp,
  RingBuffer,
  XdpLink,
} from 'libbpf-ts';

const [scenario, path, from = '0', to = '0'] = process.argv.slice(2);
const gc = (globalThis as unknown as { gc: () => void }).gc;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Numbers that say the same on every run. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Runs one hostile call; anything but a success or an Error with a message is a failure. */
function provoke(call: () => unknown, allowed: readonly (new (...args: never[]) => Error)[]): string {
  try {
    call();
    return 'fine';
  } catch (error) {
    const expected = allowed.some((type) => error instanceof type) && (error as Error).message !== '';
    if (!expected) throw error;
    return (error as Error).name;
  }
}

const FILE_ERRORS = [ElfError, BtfError, BpfError, TypeError];

function openAndLoad(bytes: Uint8Array, load: boolean): void {
  using object = openObject(bytes, { name: 'hostile' });
  for (const map of object.maps.values()) void map.maxEntries;
  if (load) object.load().close();
}

const WRONG: readonly unknown[] = [
  ...[undefined, null, true, 0, -1, 1.5, Number.NaN, 2 ** 53, 1n, '', 'x', 'a\0b', Symbol('s')],
  ...[{}, [], [1], () => {}, new Uint8Array(0), new Uint8Array(3), new Uint8Array(100), new Float64Array(1)],
  ...[
    Object.create(Uint8Array.prototype),
    new Proxy({}, {}),
    new DataView(new ArrayBuffer(4)),
    new Date(),
    /x/,
  ],
];

const scenarios: Record<string, () => Promise<string> | string> = {
  'refused-object': () => {
    try {
      openObject(path!).load();
    } catch (error) {
      return String(error);
    }
    return 'was not refused';
  },

  'truncated-elf': () => {
    const bytes = readFileSync(path!);
    let refused = 0;
    let tried = 0;
    for (let length = 0; length < bytes.length; length += 13, tried++) {
      if (provoke(() => openAndLoad(bytes.subarray(0, length), true), FILE_ERRORS) !== 'fine') refused++;
    }
    return tried === refused ? 'all refused' : `${tried - refused} of ${tried} were opened`;
  },

  'mutated-elf': () => {
    const bytes = readFileSync(path!);
    for (let seed = Number(from); seed < Number(to); seed++) {
      const random = generator(seed * 7919 + 1);
      random();
      const copy = Uint8Array.from(bytes);
      const changes = 1 + Math.floor(random() * 8);
      for (let change = 0; change < changes; change++) {
        // Every third run prefers the section table at the end, every third writes extreme words.
        const near = seed % 3 === 1 ? 2200 : bytes.length;
        const at = Math.max(0, bytes.length - 1 - Math.floor(random() * near));
        const extreme = [0, 1, 0xff, 0x7f, 0x80, 0x10][Math.floor(random() * 6)]!;
        copy[at] = seed % 3 === 2 ? extreme : Math.floor(random() * 256);
      }
      provoke(() => openAndLoad(copy, seed % 4 === 0), FILE_ERRORS);
    }
    return 'survived';
  },

  'random-elf': () => {
    const header = readFileSync(path!).subarray(0, 64);
    for (let seed = 0; seed < 2000; seed++) {
      const random = generator(seed + 17);
      const bytes = Uint8Array.from({ length: Math.floor(random() * 4096) }, () =>
        Math.floor(random() * 256),
      );
      if (seed % 2 === 0) bytes.set(header.subarray(0, bytes.length));
      provoke(() => openAndLoad(bytes, true), FILE_ERRORS);
      provoke(() => Btf.parse(bytes), [BtfError]);
    }
    return 'survived';
  },

  'wrong-arguments': () => {
    const object = openObject(path!).load();
    const map = object.map('flows');
    const array = object.map('shared');
    const stats = object.map('stats');
    const program = object.program('drop');
    const ring = new RingBuffer(object.map('events'));
    const typed = map.typedByBtf();
    const open = openObject(path!);
    const flows = open.maps.get('flows')!;
    const codec = object.btf.codec('flow_key');
    type Call = (...args: never[]) => unknown;
    const calls: [string, Call][] = [
      ['openObject', openObject as Call],
      ['openObject options', ((it: never) => openObject(path!, it)) as Call],
      ['setConstants', open.setConstants.bind(open) as Call],
      ['setMaxEntries', flows.setMaxEntries.bind(flows) as Call],
      ['setPinPath', flows.setPinPath.bind(flows) as Call],
      ['reuse', flows.reuse.bind(flows) as Call],
      ['setAutoload', ((it: never) => open.programs.get('drop')!.setAutoload(it)) as Call],
      ['map', object.map.bind(object) as Call],
      ['program', object.program.bind(object) as Call],
      ...(
        ['lookup', 'lookupInto', 'update', 'delete', 'lookupAndDelete', 'lookupBatch', 'updateBatch'] as const
      ).map((name): [string, Call] => [name, map[name].bind(map) as Call]),
      ['deleteBatch', map.deleteBatch.bind(map) as Call],
      ['splitPerCpu', stats.splitPerCpu.bind(stats) as Call],
      ['lookupPerCpu', stats.lookupPerCpu.bind(stats) as Call],
      ['updatePerCpu', stats.updatePerCpu.bind(stats) as Call],
      ['map.pin', map.pin.bind(map) as Call],
      ['typed', map.typed.bind(map) as Call],
      ['perCpu', stats.perCpu.bind(stats) as Call],
      ['typed.get', typed.get.bind(typed) as Call],
      ['typed.set', typed.set.bind(typed) as Call],
      ['BpfMap.create', BpfMap.create as Call],
      ['BpfMap.openPinned', BpfMap.openPinned as Call],
      ['new BpfMap', ((it: never) => new BpfMap(it)) as Call],
      ['new Program', ((it: never, name: never) => new Program(it, name)) as Call],
      ['new XdpLink', ((it: never, name: never) => new XdpLink(it, name)) as Call],
      ['new RingBuffer', ((it: never) => new RingBuffer(it)) as Call],
      ['testRun', program.testRun.bind(program) as Call],
      ['testRun data', ((data: never, ctx: never) => program.testRun({ data, ctx })) as Call],
      [
        'testRun sizes',
        ((dataOutSize: never, repeat: never) => program.testRun({ dataOutSize, repeat })) as Call,
      ],
      ['attachXdp', program.attachXdp.bind(program) as Call],
      [
        'attachXdp in',
        ((netns: never, mode: never) => program.attachXdp({ interface: 'no0', netns, mode })) as Call,
      ],
      ['Program.openPinned', Program.openPinned as Call],
      ['XdpLink.openPinned', XdpLink.openPinned as Call],
      ['queryXdp', queryXdp as Call],
      ['drain', ring.drain.bind(ring) as Call],
      ['probeProgramType', probeProgramType as Call],
      ['probeMapType', probeMapType as Call],
      ['probeHelper', probeHelper as Call],
      ['Btf.parse', Btf.parse as Call],
      ['btf.codec', object.btf.codec.bind(object.btf) as Call],
      ['btf.type', object.btf.type.bind(object.btf) as Call],
      ['codec.write', codec.write.bind(codec) as Call],
      ['generateCodecs', ((it: never) => generateCodecs(object.btf, it)) as Call],
    ];
    const failures: string[] = [];
    let count = 0;
    for (const [name, call] of calls) {
      for (const first of WRONG) {
        for (const second of WRONG) {
          count++;
          try {
            call(first as never, second as never, second as never);
          } catch (error) {
            const message = (error as Error).message;
            // An engine's own message ("Cannot read properties of…") names nothing a caller knows.
            if (
              !(error instanceof Error) ||
              /^Cannot |is not a function|is not iterable|expected a Uint8/.test(message)
            ) {
              failures.push(`${name}: ${message}`);
            }
          }
        }
      }
    }
    array.close();
    return failures.length === 0
      ? 'all named'
      : `${count} calls: ${[...new Set(failures)].slice(0, 20).join('; ')}`;
  },

  'closed-handles': () => {
    const object = openObject(path!).load();
    const map = object.map('flows');
    const stats = object.map('stats');
    const program = object.program('drop');
    const ring = new RingBuffer(object.map('events'));
    const typed = map.typedByBtf<unknown, unknown>();
    const open = openObject(path!);
    const flows = open.maps.get('flows')!;
    const key = new Uint8Array(12);
    const walk = map.entries();
    for (const it of [map, stats, program, ring, open, object]) {
      it.close();
      it.close();
    }
    const calls: (() => unknown)[] = [
      () => map.fd,
      () => map.lookup(key),
      () => map.update(key, new Uint8Array(40)),
      () => map.delete(key),
      () => map.lookupAndDelete(key),
      () => [...map.keys()],
      () => [...map.entries()],
      () => walk.next(),
      () => map.lookupBatch(),
      () => map.updateBatch(key, new Uint8Array(40), 1),
      () => map.deleteBatch(key, 1),
      () => map.mmap(),
      () => map.freeze(),
      () => map.pin('/nowhere'),
      () => map.typedByBtf(),
      () => typed.get({ source: 1, target: 1, port: 1, protocol: 1, zone: 1 }),
      () => stats.lookupPerCpu(new Uint8Array(4)),
      () => program.fd,
      () => program.info(),
      () => program.testRun(),
      () => program.pin('/nowhere'),
      () => program.attachXdp({ interface: 'lo' }),
      () => ring.drain(),
      () => ring.onRecord(() => {}),
      () => ring.ref(),
      () => ring.unref(),
      () => object.map('flows'),
      () => object.program('drop'),
      () => open.load(),
      () => open.setConstants({}),
      () => open.btf,
      () => flows.setMaxEntries(1),
      () => flows.setPinPath('/nowhere'),
    ];
    const wrong = calls.filter((call) => provoke(call, [ClosedError]) !== 'ClosedError');
    return wrong.length === 0 ? 'all closed' : `not closed: ${wrong.map(String).join('; ')}`;
  },

  'collected-parents': async () => {
    const kept = await (async () => {
      const object = openObject(path!).load();
      const memory = new BigUint64Array(object.map('shared').mmap());
      return {
        map: object.map('flows'),
        memory,
        program: object.program('return_answer'),
        ring: new RingBuffer(object.map('events')),
      };
    })();
    for (let round = 0; round < 5; round++) {
      gc();
      await turn();
    }
    const { retval } = kept.program.testRun({ data: new Uint8Array(64) });
    const found = kept.map.lookup(new Uint8Array(12));
    return retval === 42 && found === undefined && kept.memory[0] === 1n && kept.ring.drain().count === 0
      ? 'alive'
      : 'dead';
  },

  'detached-buffers': () => {
    using map = BpfMap.create({ type: 'hash', keySize: 4, valueSize: 8, maxEntries: 4 });
    const key = new Uint8Array(4);
    const value = new Uint8Array(8);
    structuredClone(key.buffer, { transfer: [key.buffer] });
    provoke(() => map.update(key, value), [TypeError]);
    const resizable = new ArrayBuffer(8, { maxByteLength: 16 });
    const tracking = new Uint8Array(resizable);
    map.update(new Uint8Array(4), tracking);
    resizable.resize(2);
    provoke(() => map.update(new Uint8Array(4), tracking), [TypeError]);
    const fixed = new Uint8Array(resizable, 0, 2);
    resizable.resize(0);
    provoke(() => map.update(fixed, value), [TypeError]);
    return 'survived';
  },

  'mapped-memory': async () => {
    const memories: ArrayBuffer[] = [];
    for (let index = 0; index < 100; index++) {
      using map = BpfMap.create({
        type: 'array',
        keySize: 4,
        valueSize: 8,
        maxEntries: 512,
        flags: BPF_F_MMAPABLE,
      });
      memories.push(map.mmap());
    }
    for (const memory of memories) new BigUint64Array(memory).fill(1n);
    const views = memories.splice(0).map((memory) => new Uint8Array(memory, 8, 8));
    gc();
    await turn();
    for (const view of views) view[0] = 2;
    return views.every((view) => view[0] === 2) ? 'survived' : 'lost';
  },
};

console.log(await scenarios[scenario!]!());
