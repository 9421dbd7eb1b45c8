// State that outlives the program it was declared for: found by id, told apart by its types, carried over by names.
import { BpfMap, describeType, type LoadedObject, openObject, Program, transcoder } from 'libbpf-ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compiled, countFds } from './support.ts';

let object: LoadedObject;
beforeAll(() => {
  object = openObject(compiled('versions')).load();
});
afterAll(() => object.close());

describe('objects by their ids', () => {
  it('are what their names lead to', () => {
    const { id, mapIds } = object.program('use').info();
    using program = Program.openById(id);
    expect(program.name).toBe('use');
    expect(program.info().mapIds).toEqual(mapIds);
    const names = mapIds.map((mapId) => {
      using map = BpfMap.openById(mapId);
      return map.info.name;
    });
    expect(names).toContain('others');
    using map = BpfMap.openById(object.map('others').info.id);
    expect(map.info.id).toBe(object.map('others').info.id);
  });

  it('that there are not are ENOENT, and leave no descriptor behind', () => {
    const before = countFds();
    expect(() => Program.openById(0x7fff_ffff)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => BpfMap.openById(0x7fff_ffff)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => BpfMap.openById(0)).toThrow(TypeError);
    expect(() => Program.openById(1.5)).toThrow(TypeError);
    expect(countFds()).toBe(before);
  });
});

describe('the types of a map', () => {
  it('are the same in the object file and in the kernel', () => {
    using open = openObject(compiled('versions'));
    for (const name of ['old_records', 'new_records', 'others', '.data.table']) {
      const declared = open.maps.get(name)!.types()!;
      const loaded = object.map(name).types()!;
      const text = ({ btf, key, value }: typeof declared): string =>
        `${key === 0 ? '' : describeType(btf, key)} ${describeType(btf, value)}`;
      expect(text(loaded), name).toBe(text(declared));
    }
    expect(describeType(object.btf, object.map('.data.table').types()!.value)).toBe(
      '.data.table 16{first@0:u32,second@8:u64}',
    );
  });

  it('are absent where none were declared', () => {
    using open = openObject(compiled('versions'));
    expect(open.maps.get('untyped')!.types()).toBeUndefined();
    expect(object.map('untyped').types()).toBeUndefined();
  });
});

const part = (map: string, which: 'key' | 'value') => {
  const types = object.map(map).types()!;
  return { btf: types.btf, type: types[which] };
};

describe('carrying a value over to another layout', () => {
  const convert = (source: DataView): DataView => {
    const target = new DataView(new ArrayBuffer(80));
    new Uint8Array(target.buffer).fill(0xee);
    transcoder(part('old_records', 'value'), part('new_records', 'value'))(source, 0, target, 4);
    return target;
  };

  function record(): DataView {
    const view = new DataView(new ArrayBuffer(48));
    view.setUint32(0, 0xdead, true);
    view.setUint16(4, 0xfff0, true);
    new Uint8Array(view.buffer, 6, 6).set([1, 2, 3, 4, 5, 6]);
    view.setInt32(12, -7, true);
    view.setUint32(16, 3, true);
    for (const [at, value] of [10, 11, 0, 0].entries()) view.setUint16(20 + at * 2, value, true);
    for (const [at, value] of [-1, 2, 3, -4].entries()) view.setInt16(28 + at * 2, value, true);
    view.setUint32(36, 99, true);
    view.setBigUint64(40, 0xffff_ffffn, true);
    return view;
  }

  it('goes by names, widens, narrows, and leaves zero what is new', () => {
    const to = convert(record());
    const at = 4;
    expect(to.getUint32(at, true)).toBe(0xffff_ffff);
    expect(to.getUint32(at + 4, true)).toBe(99);
    expect(to.getBigUint64(at + 8, true)).toBe(0xfff0n);
    expect(to.getBigInt64(at + 16, true)).toBe(-7n);
    expect(to.getBigUint64(at + 24, true)).toBe(0n);
    expect([to.getUint16(at + 32, true), to.getUint16(at + 34, true)]).toEqual([10, 11]);
    const points = [0, 1, 2].map((index) => {
      const offset = at + 36 + index * 8;
      return [to.getInt32(offset + 4, true), to.getInt16(offset, true), to.getInt16(offset + 2, true)];
    });
    expect(points).toEqual([
      [-1, 2, 0],
      [3, -4, 0],
      [0, 0, 0],
    ]);
    expect([...new Uint8Array(to.buffer, at + 60, 6)]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(to.getUint32(at + 68, true)).toBe(3);
    expect([to.getUint32(0, true), to.getUint32(at + 72, true)], 'beside it').toEqual([
      0xeeee_eeee, 0xeeee_eeee,
    ]);
  });

  it('refuses to cut a number, or elements that are in use', () => {
    const tooWide = record();
    tooWide.setBigUint64(40, 0x1_0000_0000n, true);
    expect(() => convert(tooWide)).toThrow(/record_old\.wide: 4294967296 does not fit 32 bits/);
    const tooLong = record();
    tooLong.setUint16(26, 1, true);
    expect(() => convert(tooLong)).toThrow(/record_old\.list: element 3 is in use, and there will be 2/);
  });

  it('refuses types that have nothing in common before there is a value', () => {
    expect(() => transcoder(part('old_records', 'value'), part('others', 'value'))).toThrow(
      /record_old\.wide: int cannot become struct/,
    );
    expect(() => transcoder(part('old_records', 'key'), part('others', 'key'))).toThrow(
      /point_old: struct cannot become int/,
    );
  });

  it('copies what has not changed, whatever it is called', () => {
    const same = transcoder(part('old_records', 'key'), part('old_records', 'key'));
    const source = new DataView(Uint8Array.of(9, 1, 2, 3, 4).buffer);
    const target = new DataView(new ArrayBuffer(4));
    same(source, 1, target, 0);
    expect([...new Uint8Array(target.buffer)]).toEqual([1, 2, 3, 4]);
  });

  it('carries a section of variables over as it does a struct', () => {
    const table = part('.data.table', 'value');
    const source = new DataView(object.map('.data.table').mmap());
    const target = new DataView(new ArrayBuffer(16));
    transcoder(table, table)(source, 0, target, 0);
    expect([target.getUint32(0, true), target.getBigUint64(8, true)]).toEqual([1, 2n]);
  });
});
