// The parts that the procedures are made of, without files: seals, callers, mounts, usage.
import { describe, expect, it } from 'vitest';
import { callerOf } from '../../../control/file/exports/caller.ts';
import { HandleSeal, STORAGE_HANDLE_BYTES_MAX } from '../../../control/file/exports/handle.ts';
import { Mounts } from '../../../control/file/exports/mounts.ts';
import { SipHash } from '../../../control/lib/siphash.ts';

describe('SipHash', () => {
  // Of the reference implementation: key 00 01 … 0f, message 00 01 … of so many bytes.
  it.each([
    [0, '310e0edd47db6f72'],
    [1, 'fd67dc93c539f874'],
    [2, '5a4fa9d909806c0d'],
    [3, '2d7efbd796666785'],
    [8, '6224939a79f5f593'],
    [15, 'e545be4961ca29a1'],
  ])('of %i bytes is that of the reference', (length, expected) => {
    const counting = (count: number) => Uint8Array.from({ length: count }, (_, index) => index);
    const hash = new SipHash(counting(16));
    // Where it lies does not matter.
    hash.hash(Uint8Array.from([99, ...counting(length), 99]), 1, 1 + length);
    const bytes = Buffer.alloc(8);
    bytes.writeInt32LE(hash.low | 0, 0);
    bytes.writeInt32LE(hash.high | 0, 4);
    expect(bytes.toString('hex')).toBe(expected);
  });

  it('takes no key of another length', () => {
    expect(() => new SipHash(new Uint8Array(15))).toThrow(RangeError);
  });
});

describe('a sealed handle', () => {
  const seal = new HandleSeal(new Uint8Array(16).fill(3));
  const file = Uint8Array.from({ length: 12 }, (_, index) => 200 + index);

  it('names what it was made of', () => {
    const bytes = seal.file(0xfedc_ba98, 0xabcd, file);
    expect(bytes).toHaveLength(28);
    const message = Uint8Array.from([1, 2, 3, ...bytes, 4]);
    expect(seal.open(message, 3, bytes.length)).toBe(true);
    expect([seal.isFolder, seal.id, seal.storageId]).toEqual([false, 0xfedc_ba98, 0xabcd]);
    expect(HandleSeal.fileIn(message, 3, bytes.length)).toEqual(file);
    const folder = seal.folder(1);
    expect(seal.open(folder, 0, folder.length)).toBe(true);
    expect([seal.isFolder, seal.id, seal.storageId]).toEqual([true, 1, 0]);
  });

  it('is as long as version 3 of NFS allows with the longest handle of a storage, and no longer', () => {
    expect(seal.file(1, 1, new Uint8Array(STORAGE_HANDLE_BYTES_MAX))).toHaveLength(64);
    expect(() => seal.file(1, 1, new Uint8Array(STORAGE_HANDLE_BYTES_MAX + 1))).toThrow(RangeError);
  });

  it('of another version or kind is none, though it is sealed', () => {
    for (const at of [0, 1]) {
      const bytes = seal.file(1, 1, file);
      bytes[at] = 3;
      const resealed = reseal(bytes);
      expect(seal.open(resealed, 0, resealed.length)).toBe(false);
    }
  });

  function reseal(bytes: Uint8Array): Uint8Array {
    const hash = new SipHash(new Uint8Array(16).fill(3));
    hash.hash(bytes, 0, bytes.length - 8);
    const view = new DataView(bytes.buffer);
    view.setInt32(bytes.length - 8, hash.low | 0, true);
    view.setInt32(bytes.length - 4, hash.high | 0, true);
    return bytes;
  }
});

describe('a caller', () => {
  const sent = { flavor: 1, machineName: '', uid: 5, gid: 6, gids: [0, 7, 0xffff_ffff] };
  const squashing = { anonymousUid: 100, anonymousGid: 200 };
  const anonymous = { uid: 100, gid: 200, groups: [] };

  it('is who it says, without squashing, but never the id that means none', () => {
    const none = { ...squashing, squash: 'none' } as const;
    expect(callerOf(sent, none)).toEqual({ uid: 5, gid: 6, groups: [0, 7, 200] });
    expect(callerOf({ ...sent, uid: 0, gid: 0 }, none)).toEqual({ uid: 0, gid: 0, groups: [0, 7, 200] });
    expect(callerOf({ ...sent, uid: 0xffff_ffff }, none)).toEqual(anonymous);
    expect(callerOf({ ...sent, flavor: 0 }, none)).toEqual(anonymous);
  });

  it('is not root, nor in its group, where root is squashed', () => {
    const root = { ...squashing, squash: 'root' } as const;
    expect(callerOf(sent, root)).toEqual({ uid: 5, gid: 6, groups: [200, 7, 200] });
    expect(callerOf({ ...sent, gid: 0 }, root)).toEqual({ uid: 5, gid: 200, groups: [200, 7, 200] });
    expect(callerOf({ ...sent, uid: 0 }, root)).toEqual(anonymous);
  });

  it('is nobody where all are squashed', () => {
    expect(callerOf(sent, { ...squashing, squash: 'all' })).toEqual(anonymous);
  });
});

describe('the list of mounts', () => {
  it('has a limit, and forgets the oldest', () => {
    const mounts = new Mounts();
    for (let index = 0; index < 5000; index++) mounts.add('a', `/${index}`);
    mounts.add('a', '/4999');
    expect(mounts.list()).toHaveLength(4096);
    expect(mounts.list()[0]).toEqual({ client: 'a', path: '/904' });
  });
});
