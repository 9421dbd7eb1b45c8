// Attaching and detaching at run time, and what is said where it cannot be done.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { queryXdp } from 'libbpf-ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DecapProgram } from '../../control/dataplane/decap.ts';
import { MuxProgram } from '../../control/dataplane/mux.ts';
import { makePair, type Pair } from '../native/libbpf/support.ts';
import { loadMux } from './lib/rig.ts';
import { MUX_OPTIONS } from './lib/state.ts';

let net: Pair;
let mux: MuxProgram;
beforeAll(() => {
  net = makePair();
});
afterAll(() => net.remove());
beforeEach(() => {
  mux = loadMux();
});
afterEach(() => mux.close());

const attach = (device: string | number, mode?: 'native' | 'generic' | 'auto') =>
  mux.attach({ interface: device, netns: net.nearPath, ...(mode && { mode }) });
const modesOf = (device: string) => queryXdp(device, { netns: net.nearPath })?.programIds;

describe('attaching', () => {
  it('tells what is attached where, once and again', () => {
    const attached = attach(net.nearDevice);
    const { id, tag } = mux.program.info();
    expect(attached).toEqual({
      interface: net.nearDevice,
      ifindex: expect.any(Number),
      mode: 'native',
      programId: id,
      programTag: tag,
      pinned: false,
    });
    expect(attach(attached.ifindex)).toEqual(attached);
    expect(mux.attachments()).toEqual([attached]);
    expect(mux.detach('other')).toBe(false);
    expect(mux.detach(net.nearDevice)).toBe(true);
    expect(mux.detach(net.nearDevice)).toBe(false);
    expect(mux.attachments()).toEqual([]);
    expect(modesOf(net.nearDevice)).toBeUndefined();
  });

  it('takes generic mode where the driver has none, unless told otherwise', () => {
    expect(() => attach('lo', 'native')).toThrow(
      expect.objectContaining({
        code: 'unsupported',
        message: 'the program cannot be attached to lo',
        remedy: expect.stringMatching(/doctor lo.*xdpMode: generic/),
      }),
    );
    expect(attach('lo')).toMatchObject({ interface: 'lo', mode: 'generic' });
    expect(attach('lo', 'native'), 'stays as it is').toMatchObject({ mode: 'generic' });
  });

  it('says which interfaces there are', () => {
    expect(() => attach('absent0')).toThrow(
      expect.objectContaining({
        code: 'not_found',
        message: 'there is no interface absent0',
        remedy: expect.stringContaining(net.nearDevice),
      }),
    );
  });

  it('says which program is in the way', () => {
    const other = DecapProgram.load();
    try {
      const { programId } = other.attach({ interface: net.nearDevice, netns: net.nearPath, mode: 'native' });
      for (const mode of ['native', 'generic', 'auto'] as const)
        expect(() => attach(net.nearDevice, mode)).toThrow(
          expect.objectContaining({
            code: 'conflict',
            reason: `it has another XDP program: id ${programId}`,
          }),
        );
    } finally {
      other.close();
    }
    expect(attach(net.nearDevice).mode).toBe('native');
  });

  it('detaches with the process that holds it where nothing is pinned', () => {
    attach(net.nearDevice);
    mux.close();
    expect(modesOf(net.nearDevice)).toBeUndefined();
  });
});

describe('the pin directory', () => {
  it('must be on a BPF file system', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-pins-'));
    try {
      const pinDirectory = join(directory, 'a', 'b');
      await expect(MuxProgram.open({ ...MUX_OPTIONS, pinDirectory })).rejects.toMatchObject({
        code: 'configuration',
        message: `${pinDirectory} is not on a BPF file system`,
        remedy: expect.stringContaining('mount -t bpf'),
      });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
