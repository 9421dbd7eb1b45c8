import { readFileSync } from 'node:fs';
import { BpfError, BpfMap, ClosedError, ElfError, openObject } from 'libbpf-ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compiled, mountBpffs, runChild } from './support.ts';

const PACKET = new Uint8Array(64);

let path: string;
let bpffs: ReturnType<typeof mountBpffs>;
beforeAll(() => {
  path = compiled('everything');
  bpffs = mountBpffs();
});
afterAll(() => bpffs.unmount());

describe('opening an object', () => {
  it('lists programs and maps as the source declares them', () => {
    using object = openObject(path);
    expect(object.name).toBe('everything');
    expect([...object.programs.keys()]).toEqual(
      expect.arrayContaining(['return_answer', 'stamp', 'check_constants', 'emit', 'drop', 'pass']),
    );
    expect(object.programs.get('stamp')).toMatchObject({ section: 'xdp', type: 'xdp', autoload: true });
    const { name, type, keySize, valueSize, maxEntries, flags } = object.maps.get('flows')!;
    expect({ name, type, keySize, valueSize, maxEntries, flags }).toEqual({
      name: 'flows',
      type: 'hash',
      keySize: 12,
      valueSize: 40,
      maxEntries: 1000,
      flags: 0,
    });
    expect(object.maps.get('shared')).toMatchObject({ type: 'array', valueSize: 8, flags: 1 << 10 });
    expect(object.maps.get('.bss')).toMatchObject({ internal: true });
  });

  it('takes bytes as well as a path, from an unaligned view too', () => {
    const bytes = readFileSync(path);
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    using object = openObject(shifted.subarray(3), { name: 'given' });
    expect(object.name).toBe('given');
    expect(object.maps.size).toBe(7);
  });

  it('says what is wrong with a file that is no BPF object', () => {
    expect(() => openObject(readFileSync('/bin/true'))).toThrow(ElfError);
    expect(() => openObject(readFileSync('/bin/true'))).toThrow(/another machine/);
    expect(() => openObject(new Uint8Array(0))).toThrow(/too few for an ELF header/);
    expect(() => openObject('/nowhere.o')).toThrow(/ENOENT/);
  });

  it('loads what was asked for and refuses to be used again', () => {
    const open = openObject(path);
    open.programs.get('emit')!.setAutoload(false);
    open.maps.get('flows')!.setMaxEntries(17);
    using object = open.load();
    expect(object.programs.has('emit')).toBe(false);
    expect(object.programs.has('stamp')).toBe(true);
    expect(object.map('flows').info.maxEntries).toBe(17);
    expect(() => open.load()).toThrow(ClosedError);
    expect(() => open.programs.get('stamp')!.setAutoload(true)).toThrow(/object everything is closed/);
  });

  it('names what exists when asked for what does not', () => {
    using object = openObject(path).load();
    expect(() => object.map('flow')).toThrow(/no map "flow"; it has: .*flows/);
    expect(() => object.program('nothing')).toThrow(/no program "nothing"; it has: .*return_answer/);
  });

  it('gives the verifier log with a refused program', () => {
    const error = catchError(() => openObject(compiled('rejected')).load());
    expect(error).toBeInstanceOf(BpfError);
    const refused = error as BpfError;
    expect(refused).toMatchObject({
      errno: 13,
      code: 'EACCES',
      operation: 'load',
      subject: 'object rejected',
    });
    expect(refused.verifierLog).toContain("R0 invalid mem access 'map_value_or_null'");
    expect(refused.message).toContain("R0 invalid mem access 'map_value_or_null'");
    expect(refused.message).toContain('careless');
  });

  it('keeps libbpf quiet on stderr', () => {
    const child = runChild('misuse_child.ts', ['refused-object', compiled('rejected')]);
    expect(child).toMatchObject({ signal: null, status: 0, stderr: '' });
    expect(child.stdout).toContain('BpfError: cannot load object rejected');
  });
});

describe('constants', () => {
  const run = (values: Parameters<ReturnType<typeof openObject>['setConstants']>[0]): number => {
    const open = openObject(path);
    open.setConstants(values);
    using object = open.load();
    return object.program('return_answer').testRun({ data: PACKET }).retval;
  };

  it('keep their initial values when not set', () => {
    expect(run({})).toBe(42);
  });

  it('reach the program, in .rodata and in .data', () => {
    expect(run({ answer: 1234 })).toBe(1234);
    expect(run({ answer: 10, threshold: 8 })).toBe(13);
    expect(run({ answer: Uint8Array.from(new Uint8Array(Uint32Array.of(77).buffer)) })).toBe(77);
  });

  it('take every type: the program itself finds each as expected', () => {
    const open = openObject(path);
    open.setConstants({
      small: -100,
      enabled: true,
      big: 0xfedcba9876543210n,
      prefix: Uint8Array.of(9, 8, 7, 6),
      table: [100, 2, 65535],
      config: { vip: { v4: 0x0100007f }, enabled: true, level: 3, limits: [1, 700], last: 9 },
    });
    using object = open.load();
    expect(object.program('check_constants').testRun({ data: PACKET }).retval).toBe(0b1111111);
  });

  it('refuse unknown names and values that do not fit, by name', () => {
    using open = openObject(path);
    expect(() => open.setConstants({ answr: 1 })).toThrow(
      /no variable is named "answr"; there are: .*answer/,
    );
    expect(() => open.setConstants({ answer: -1 })).toThrow(
      'answer must be an integer from 0 to 4294967295, got -1',
    );
    expect(() => open.setConstants({ small: 128 })).toThrow(
      'small must be an integer from -128 to 127, got 128',
    );
    expect(() => open.setConstants({ big: 1 })).toThrow(/^big must be a bigint from 0 to/);
    expect(() => open.setConstants({ table: [1, 2] })).toThrow('table must be an array of 3, got Array');
    expect(() => open.setConstants({ table: [1, 2, 70000] })).toThrow(
      'table[2] must be an integer from 0 to 65535, got 70000',
    );
    expect(() => open.setConstants({ prefix: Uint8Array.of(1) })).toThrow('prefix must be 4 bytes, got 1');
    expect(() => open.setConstants({ config: { level: 3 } })).toThrow(
      'config.vip must be an object, got undefined',
    );
  });

  it('change nothing when one of them is refused', () => {
    const open = openObject(path);
    expect(() => open.setConstants({ answer: 5, nonsense: 1 })).toThrow();
    using object = open.load();
    expect(object.program('return_answer').testRun({ data: PACKET }).retval).toBe(42);
  });
});

describe('reusing and pinning maps', () => {
  it('puts an existing map in the place of a declared one', () => {
    using first = openObject(path).load();
    const key = Uint8Array.from([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 4, 5]);
    const value = new Uint8Array(40);
    value[24] = 7; // verdict
    first.map('flows').update(key, value);

    const open = openObject(path);
    open.maps.get('flows')!.reuse(first.map('flows'));
    using second = open.load();
    expect(second.map('flows').info.id).toBe(first.map('flows').info.id);
    expect(second.program('touch').testRun({ data: PACKET }).retval).toBe(7);
  });

  it('explains why a map cannot stand in', () => {
    using open = openObject(path);
    using other = BpfMap.create({
      type: 'lru_hash',
      keySize: 12,
      valueSize: 40,
      maxEntries: 10,
      name: 'other',
    });
    expect(() => open.maps.get('flows')!.reuse(other)).toThrow(
      'map other cannot stand in for map flows: type is lru_hash, declared hash; maxEntries is 10, declared 1000',
    );
  });

  it('pins at load and finds the pinned map at the next load', () => {
    const pin = `${bpffs.path}/flows`;
    const load = () => {
      const open = openObject(path);
      open.maps.get('flows')!.setPinPath(pin);
      return open.load();
    };
    using first = load();
    using second = load();
    expect(second.map('flows').info.id).toBe(first.map('flows').info.id);
    using opened = BpfMap.openPinned(pin);
    expect(opened.info).toMatchObject({ id: first.map('flows').info.id, name: 'flows', type: 'hash' });
  });

  it('does not resize the maps that hold variables', () => {
    using open = openObject(path);
    expect(() => open.maps.get('.bss')!.setMaxEntries(2)).toThrow(/holds variables/);
  });
});

describe('a loaded object', () => {
  it('closes without taking maps and programs along that were handed out', () => {
    const object = openObject(path).load();
    const flows = object.map('flows');
    const program = object.program('return_answer');
    object.close();
    object.close();
    expect(flows.lookup(new Uint8Array(12))).toBeUndefined();
    expect(program.testRun({ data: PACKET }).retval).toBe(42);
    expect(() => object.map('stats')).toThrow(ClosedError);
  });

  it('hands out one handle a name, and a new one after that was closed', () => {
    using object = openObject(path).load();
    const first = object.map('flows');
    expect(object.maps.get('flows') === first).toBe(true);
    first.close();
    expect(object.map('flows') === first).toBe(false);
    expect(object.map('flows').lookup(new Uint8Array(12))).toBeUndefined();
  });
});

function catchError(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
