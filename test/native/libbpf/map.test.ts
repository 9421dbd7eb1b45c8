import { readFileSync } from 'node:fs';
import {
  BPF_F_MMAPABLE,
  BpfError,
  BpfMap,
  type LoadedObject,
  openObject,
  Program,
  possibleCpus,
} from 'libbpf-ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compiled, mountBpffs, words } from './support.ts';

let bpffs: ReturnType<typeof mountBpffs>;
let object: LoadedObject;
beforeAll(() => {
  bpffs = mountBpffs();
  object = openObject(compiled('everything')).load();
});
afterAll(() => {
  object.close();
  bpffs.unmount();
});

const hash = (maxEntries: number, type: 'hash' | 'lru_hash' | 'percpu_hash' = 'hash') =>
  BpfMap.create({ type, keySize: 4, valueSize: 8, maxEntries, name: 'numbers' });
const pair = (low: number): Uint8Array => words(low, ~low >>> 0);

describe('single entries', () => {
  it('come back as they were put, and go when deleted', () => {
    using map = hash(10);
    expect(map.lookup(words(1))).toBeUndefined();
    map.update(words(1), pair(7));
    expect(map.lookup(words(1))).toEqual(pair(7));
    expect(map.delete(words(1))).toBe(true);
    expect(map.delete(words(1))).toBe(false);
  });

  it('obey the update mode', () => {
    using map = hash(10);
    expect(() => map.update(words(1), pair(1), 'exist')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    map.update(words(1), pair(1), 'create');
    expect(() => map.update(words(1), pair(1), 'create')).toThrow(
      expect.objectContaining({ code: 'EEXIST' }),
    );
    map.update(words(1), pair(2), 'exist');
    expect(map.lookup(words(1))).toEqual(pair(2));
  });

  it('are refused by a full map with an error that says which', () => {
    using map = hash(1);
    map.update(words(1), pair(1));
    expect(() => map.update(words(2), pair(1))).toThrow(
      expect.objectContaining({ code: 'E2BIG', operation: 'update', subject: 'map numbers' }),
    );
  });

  it('are taken out in one step', () => {
    using map = hash(10);
    map.update(words(1), pair(9));
    expect(map.lookupAndDelete(words(1))).toEqual(pair(9));
    expect(map.lookupAndDelete(words(1))).toBeUndefined();
  });

  it('take any view of bytes', () => {
    using map = hash(10);
    map.update(Uint32Array.of(5), BigUint64Array.of(1n));
    expect(map.lookup(new DataView(Uint32Array.of(5).buffer))).toEqual(words(1, 0));
    const buffer = new SharedArrayBuffer(4);
    new Uint32Array(buffer)[0] = 5;
    expect(map.lookup(new Uint8Array(buffer))).toEqual(words(1, 0));
  });

  it('pass through a queue in order', () => {
    using queue = BpfMap.create({ type: 'queue', keySize: 0, valueSize: 4, maxEntries: 4 });
    const none = new Uint8Array(0);
    queue.update(none, words(1));
    queue.update(none, words(2));
    expect(queue.lookup(none)).toEqual(words(1));
    expect(queue.lookupAndDelete(none)).toEqual(words(1));
    expect(queue.lookupAndDelete(none)).toEqual(words(2));
    expect(queue.lookupAndDelete(none)).toBeUndefined();
  });
});

describe('iteration', () => {
  const fill = (map: BpfMap, count: number): void => {
    for (let key = 0; key < count; key++) map.update(words(key), pair(key));
  };
  const number = (key: Uint8Array): number => new DataView(key.buffer).getUint32(0, true);

  it.each([0, 1, 255, 256, 257, 5000])('visits each of %i entries once', (count) => {
    using map = hash(6000);
    fill(map, count);
    const seen = new Map([...map.entries()].map(([key, value]) => [number(key), value]));
    expect(seen.size).toBe(count);
    for (const [key, value] of seen) expect(value).toEqual(pair(key));
    expect([...map.keys()].length).toBe(count);
  });

  it('falls back to single steps where the kernel has no batches', () => {
    // Device maps have none; their values are interface indexes, and 1 is the loopback's.
    using map = BpfMap.create({ type: 'devmap_hash', keySize: 4, valueSize: 4, maxEntries: 8 });
    for (const key of [3, 4, 5]) map.update(words(key), words(1));
    expect([...map.keys()].map(number).sort()).toEqual([3, 4, 5]);
    expect([...map.entries()].map(([, value]) => number(value))).toEqual([1, 1, 1]);
  });

  it('lets entries be deleted on the way', () => {
    using map = hash(1000);
    fill(map, 1000);
    let visited = 0;
    for (const key of map.keys()) {
      map.delete(key);
      visited++;
    }
    expect(visited).toBe(1000);
    expect([...map.keys()]).toEqual([]);
  });

  it('ends although entries keep coming', () => {
    using map = hash(500, 'lru_hash');
    fill(map, 100);
    let next = 1_000;
    let visited = 0;
    for (const [key] of map.entries()) {
      map.delete(key);
      for (let index = 0; index < 5; index++) map.update(words(next++), pair(1));
      visited++;
    }
    expect(visited).toBeGreaterThan(0);
    expect(visited).toBeLessThanOrEqual(500);
  });

  it('stops with a clear error when the map is closed meanwhile', () => {
    const map = hash(10_000);
    fill(map, 2000);
    expect(() => {
      for (const _ of map.entries()) map.close();
    }).toThrow('map numbers is closed');
  });
});

describe('batches', () => {
  const keys = Uint32Array.from({ length: 1000 }, (_, index) => index);
  const values = BigUint64Array.from({ length: 1000 }, (_, index) => BigInt(index) * 3n);

  it('write, read back and delete many entries', () => {
    using map = hash(1000);
    map.updateBatch(keys, values, 1000);
    const sums = { keys: 0, values: 0n, count: 0 };
    let batch = map.lookupBatch({ count: 300 });
    while (true) {
      for (const key of new Uint32Array(batch.keys.slice().buffer)) sums.keys += key;
      for (const value of new BigUint64Array(batch.values.slice().buffer)) sums.values += value;
      sums.count += batch.count;
      if (batch.cursor === undefined) break;
      batch = map.lookupBatch({ count: 300, cursor: batch.cursor });
    }
    expect(sums).toEqual({ keys: 499_500, values: 1_498_500n, count: 1000 });
    map.deleteBatch(keys.subarray(0, 999), 999);
    expect([...map.keys()]).toEqual([words(999)]);
  });

  it('can remove what they read', () => {
    using map = hash(1000);
    map.updateBatch(keys, values, 1000);
    let count = 0;
    let cursor: ReturnType<BpfMap['lookupBatch']>['cursor'];
    do {
      const batch = map.lookupBatch({ count: 500, remove: true, ...(cursor && { cursor }) });
      count += batch.count;
      cursor = batch.cursor;
    } while (cursor !== undefined);
    expect(count).toBe(1000);
    expect([...map.keys()]).toEqual([]);
  });

  it('say how far they came when they fail', () => {
    using map = hash(600);
    expect(() => map.updateBatch(keys, values, 1000)).toThrow(/600 of 1000 were written/);
    expect(() => map.deleteBatch(Uint32Array.of(0, 1, 4_000_000), 3)).toThrow(
      expect.objectContaining({ code: 'ENOENT', message: expect.stringContaining('2 of 3 were deleted') }),
    );
  });

  it('check sizes against the count', () => {
    using map = hash(10);
    expect(() => map.updateBatch(words(1, 2), words(1, 2), 2)).toThrow('values must be 16 bytes, got 8');
    expect(() => map.updateBatch(words(1), words(1, 2), 0)).toThrow(/count must be an integer from 1/);
    expect(() => map.lookupBatch({ count: 2 ** 31 })).toThrow(/count must be an integer from 1/);
    expect(() => map.lookupBatch({ cursor: new Uint8Array(1) })).toThrow('cursor must be 4 bytes, got 1');
  });
});

describe('per-CPU maps', () => {
  it('have one value a possible CPU, each rounded up to eight bytes', () => {
    const [last = ''] = readFileSync('/sys/devices/system/cpu/possible', 'utf8')
      .trim()
      .split(/[-,]/)
      .slice(-1);
    expect(possibleCpus()).toBe(Number(last) + 1);
    using map = BpfMap.create({ type: 'percpu_hash', keySize: 4, valueSize: 12, maxEntries: 4 });
    expect(map.info).toMatchObject({ perCpu: true, valueSize: 12, valueBytes: 16 * possibleCpus() });
    const values = Array.from({ length: possibleCpus() }, (_, cpu) => words(cpu, cpu * 2, cpu * 3));
    map.updatePerCpu(words(1), values);
    expect(map.lookupPerCpu(words(1))).toEqual(values);
    expect(map.lookup(words(1))?.byteLength).toBe(16 * possibleCpus());
    expect([...map.entries()].map(([, raw]) => map.splitPerCpu(raw))).toEqual([values]);
  });

  it('are summed over CPUs by their types', () => {
    const stats = object.map('stats').perCpuByBtf<number, { packets: bigint; bytes: bigint }>();
    stats.set(
      1,
      Array.from({ length: possibleCpus() }, (_, cpu) => ({ packets: 1n, bytes: BigInt(cpu) })),
    );
    const cpus = BigInt(possibleCpus());
    expect(stats.sum(1)).toEqual({ packets: cpus, bytes: (cpus * (cpus - 1n)) / 2n });
    expect(stats.get(1)).toHaveLength(possibleCpus());
    expect([...stats.sums()]).toContainEqual([1, stats.sum(1)]);
  });

  it('are told apart from plain ones', () => {
    using plain = hash(1);
    expect(() => plain.lookupPerCpu(words(1))).toThrow(/not a per-CPU map/);
    expect(() => object.map('stats').typedByBtf()).toThrow(/use perCpu\(\)/);
    using perCpu = hash(1, 'percpu_hash');
    expect(() => perCpu.updatePerCpu(words(1), [words(1, 2)].slice(1))).toThrow(/values must be an array of/);
  });
});

describe('mapped memory', () => {
  const array = (maxEntries: number, valueSize = 8): BpfMap =>
    BpfMap.create({
      type: 'array',
      keySize: 4,
      valueSize,
      maxEntries,
      flags: BPF_F_MMAPABLE,
      name: 'mapped',
    });

  it('is the map itself, both ways', () => {
    using map = array(4, 4);
    const memory = new Uint32Array(map.mmap());
    expect(memory.length).toBe(8); // elements are eight bytes apart
    memory[2] = 77;
    expect(map.lookup(words(1))).toEqual(words(77));
    map.update(words(3), words(5));
    expect(memory[6]).toBe(5);
  });

  it('is seen by programs at once', () => {
    const shared = new BigUint64Array(object.map('shared').mmap());
    const before = shared[0]!;
    object.program('return_answer').testRun({ data: new Uint8Array(64) });
    expect(shared[0]).toBe(before + 1n);
  });

  it('gives the variables of .bss', () => {
    using own = openObject(compiled('everything')).load();
    const bss = new BigUint64Array(own.map('.bss').mmap());
    expect(bss[0]).toBe(0n);
    own.program('return_answer').testRun({ data: new Uint8Array(64) });
    expect(bss[0]).toBe(1n);
    expect(own.map('.bss').typedByBtf<number, { seen: bigint }>().get(0)?.seen).toBe(1n);
  });

  it('outlives the map handle', () => {
    const map = array(1000);
    const memory = new BigUint64Array(map.mmap());
    map.close();
    memory[999] = 3n;
    expect(memory[999]).toBe(3n);
  });

  it('is refused where writing would crash: .rodata, frozen maps', () => {
    expect(() => object.map('.rodata').mmap()).toThrow(expect.objectContaining({ code: 'EPERM' }));
    using map = array(1);
    map.freeze();
    expect(() => map.mmap()).toThrow(/frozen and read-only maps cannot be mapped/);
    using plain = hash(1);
    expect(() => plain.mmap()).toThrow(/only arrays created with BPF_F_MMAPABLE/);
  });

  it('cannot be moved to where it would be freed twice', () => {
    using map = array(1);
    const memory = map.mmap();
    expect(() => memory.transfer()).toThrow(/cannot be transferred/);
    expect(() => structuredClone(memory, { transfer: [memory] })).toThrow();
    expect(memory.byteLength).toBe(8);
  });
});

describe('freezing', () => {
  it('stops updates from user space', () => {
    using map = hash(10);
    map.update(words(1), pair(1));
    map.freeze();
    expect(() => map.update(words(1), pair(2))).toThrow(expect.objectContaining({ code: 'EPERM' }));
    expect(map.lookup(words(1))).toEqual(pair(1));
  });
});

describe('maps of their own', () => {
  it('are created as asked', () => {
    using map = BpfMap.create({
      type: 'lpm_trie',
      keySize: 8,
      valueSize: 4,
      maxEntries: 9,
      flags: 1,
      name: 'routes',
    });
    expect(map.info).toMatchObject({ type: 'lpm_trie', name: 'routes', keySize: 8, maxEntries: 9, flags: 1 });
    expect(map.info.id).toBeGreaterThan(0);
    // 10.0.0.0/8 matches 10.1.2.3/32.
    map.update(Uint8Array.of(8, 0, 0, 0, 10, 0, 0, 0), words(1));
    expect(map.lookup(Uint8Array.of(32, 0, 0, 0, 10, 1, 2, 3))).toEqual(words(1));
    expect(map.lookup(Uint8Array.of(32, 0, 0, 0, 11, 1, 2, 3))).toBeUndefined();
  });

  it('hold other maps', () => {
    using inner = hash(5);
    using outer = BpfMap.create({
      type: 'hash_of_maps',
      keySize: 4,
      valueSize: 4,
      maxEntries: 2,
      innerMap: inner,
    });
    outer.update(words(1), words(inner.fd));
    expect(outer.lookup(words(1))).toEqual(words(inner.info.id));
  });

  it('say why they cannot be created', () => {
    expect(() => BpfMap.create({ type: 'hash', keySize: 4, valueSize: 0, maxEntries: 0 })).toThrow(
      expect.objectContaining({ code: 'EINVAL', operation: 'create hash map' }),
    );
    expect(() =>
      BpfMap.create({ type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1, name: 'far too long a name' }),
    ).toThrow(/name must be at most 15/);
    expect(() => BpfMap.create({ type: 'hsah' as 'hash', keySize: 4, valueSize: 4, maxEntries: 1 })).toThrow(
      /type must be one of unspec, hash, .*, got "hsah"/,
    );
  });

  it('are pinned and found again, and not mistaken for programs', () => {
    using map = hash(3);
    map.update(words(1), pair(4));
    map.pin(`${bpffs.path}/numbers`);
    using again = BpfMap.openPinned(`${bpffs.path}/numbers`);
    expect(again.info.id).toBe(map.info.id);
    expect(again.lookup(words(1))).toEqual(pair(4));
    expect(() => Program.openPinned(`${bpffs.path}/numbers`)).toThrow(/does not hold a program/);
    expect(() => map.pin(`${bpffs.path}/numbers`)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    expect(() => BpfMap.openPinned(`${bpffs.path}/nothing`)).toThrow(BpfError);
  });
});

describe('typed maps', () => {
  type Key = { source: number; target: number; port: number; protocol: number; zone: number };
  type Value = {
    packets: bigint;
    balance: bigint;
    mac: Uint8Array;
    delta: number;
    verdict: number;
    ports: number[];
  };
  const key: Key = { source: 0x04030201, target: 5, port: 0x1234, protocol: 6, zone: 255 };
  const value: Value = {
    packets: 2n ** 64n - 1n,
    balance: -2n,
    mac: Uint8Array.of(1, 2, 3, 4, 5, 6),
    delta: -3,
    verdict: 7,
    ports: [1, 2, 0xffffffff],
  };
  // Written by hand from the C declaration, little-endian.
  const keyBytes = Uint8Array.of(1, 2, 3, 4, 5, 0, 0, 0, 0x34, 0x12, 6, 255);
  const valueBytes = Uint8Array.from([
    ...[255, 255, 255, 255, 255, 255, 255, 255],
    ...[254, 255, 255, 255, 255, 255, 255, 255],
    ...[1, 2, 3, 4, 5, 6, 253, 255],
    ...[7, 0, 0, 0, 1, 0, 0, 0],
    ...[2, 0, 0, 0, 255, 255, 255, 255],
  ]);

  it('encode and decode by the map’s own types', () => {
    const flows = object.map('flows').typedByBtf<Key, Value>();
    flows.set(key, value);
    expect(object.map('flows').lookup(keyBytes)).toEqual(valueBytes);
    expect(flows.get(key)).toEqual(value);
    expect([...flows]).toEqual([[key, value]]);
    expect([...flows.keys()]).toEqual([key]);
    expect(flows.has(key)).toBe(true);
    expect(flows.take(key)).toEqual(value);
    expect(flows.delete(key)).toBe(false);
    flows.setMany([1, 2, 3].map((port) => [{ ...key, port }, value] as const));
    expect([...flows.keys()].map(({ port }) => port).sort()).toEqual([1, 2, 3]);
    for (const it of [...flows.keys()]) flows.delete(it);
  });

  it('name the member that does not fit', () => {
    const flows = object.map('flows').typedByBtf<Key, Value>();
    expect(() => flows.get({ ...key, port: 65536 })).toThrow(
      'flow_key.port must be an integer from 0 to 65535, got 65536',
    );
    expect(() => flows.set(key, { ...value, mac: new Uint8Array(5) })).toThrow(
      /flow_value\.mac must be a Uint8Array of 6/,
    );
    expect(() => flows.set(key, { ...value, ports: [1, 2, -1] })).toThrow(/flow_value\.ports\[2\] must be/);
  });

  it('refuse codecs of another size', () => {
    const counters = object.btf.codec('counters');
    const flowKey = object.btf.codec<Key>('flow_key');
    expect(() => object.map('flows').typed(flowKey, counters)).toThrow(
      'valueCodec is for 16 bytes, but map flows has 40',
    );
    using bare = hash(1);
    expect(() => bare.typedByBtf()).toThrow(/declared without BTF types/);
  });
});
