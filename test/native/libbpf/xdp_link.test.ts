import { execFileSync, spawnSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { type LoadedObject, openObject, queryXdp, XdpLink } from 'libbpf-ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { compiled, makePair, mountBpffs, type Pair } from './support.ts';

let bpffs: ReturnType<typeof mountBpffs>;
let object: LoadedObject;
let net: Pair;
const homeNamespace = readlinkSync('/proc/self/ns/net');

beforeAll(() => {
  bpffs = mountBpffs();
  object = openObject(compiled('everything')).load();
});
afterAll(() => {
  object.close();
  bpffs.unmount();
});
beforeEach(() => {
  net = makePair();
});
afterEach(() => {
  net.remove();
  expect(readlinkSync('/proc/self/ns/net')).toBe(homeNamespace);
});

/** Whether the near end answers the far one: a refused connection is an answer, silence is none. */
const answers = (): boolean => {
  const call = 'exec 3<>/dev/tcp/198.18.77.1/9';
  const result = spawnSync('ip', ['netns', 'exec', net.far, 'timeout', '0.7', 'bash', '-c', call], {
    encoding: 'utf8',
  });
  return result.stderr.includes('refused');
};
const attach = (
  name: string,
  options: Partial<Parameters<ReturnType<typeof object.program>['attachXdp']>[0]> = {},
) => object.program(name).attachXdp({ interface: net.nearDevice, netns: net.nearPath, ...options });

describe('attaching to XDP in another namespace', () => {
  it('takes effect on real packets there, and ends with the link', () => {
    expect(answers()).toBe(true);
    const link = attach('drop');
    expect(answers()).toBe(false);
    link.close();
    expect(answers()).toBe(true);
  });

  it('leaves the caller in its own namespace, also when it fails', () => {
    expect(() => attach('drop', { interface: 'absent0' })).toThrow(
      expect.objectContaining({
        code: 'ENODEV',
        operation: 'attach XDP',
        message: expect.stringContaining('absent0'),
      }),
    );
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(homeNamespace);
    expect(() => attach('drop', { netns: '/proc/self/ns/mnt' })).toThrow(/enter the network namespace/);
    expect(() => attach('drop', { netns: '/nowhere' })).toThrow(/open the network namespace/);
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(homeNamespace);
  });

  it('honours the mode', () => {
    using generic = attach('pass', { mode: 'generic' });
    expect(generic.closed).toBe(false);
    const id = object.program('pass').info().id;
    expect(queryXdp(net.nearDevice, { netns: net.nearPath })).toEqual({
      mode: 'generic',
      programIds: { generic: id },
    });
    generic.close();
    using native = attach('pass', { mode: 'native' });
    expect(native.info().programId).toBe(id);
    expect(queryXdp(net.nearDevice, { netns: net.nearPath })).toEqual({
      mode: 'native',
      programIds: { native: id },
    });
    native.close();
    expect(queryXdp(net.nearDevice, { netns: net.nearPath })).toBeUndefined();
    expect(() => attach('pass', { mode: 'offload' })).toThrow(
      expect.objectContaining({ operation: 'attach XDP' }),
    );
  });

  it('is refused where a program is, and says what to do', () => {
    using first = attach('pass');
    expect(first.closed).toBe(false);
    expect(() => attach('drop')).toThrow(/already|replaceExisting|update its link/);
    expect(() => attach('drop', { replaceExisting: true })).toThrow(/a link holds the interface/);
  });

  it('replaces a program that was attached over netlink, when told to', () => {
    object.program('pass').pin(`${bpffs.path}/pass`);
    execFileSync('ip', [
      '-n',
      net.near,
      'link',
      'set',
      net.nearDevice,
      'xdpdrv',
      'pinned',
      `${bpffs.path}/pass`,
    ]);
    expect(queryXdp(net.nearDevice, { netns: net.nearPath })?.mode).toBe('native');
    expect(() => attach('drop')).toThrow(/replaceExisting/);
    using link = attach('drop', { replaceExisting: true });
    expect(queryXdp(net.nearDevice, { netns: net.nearPath })?.programIds.native).toBe(link.info().programId);
    expect(answers()).toBe(false);
  });
});

describe('an XDP link', () => {
  it('changes its program in place, under a condition if asked', () => {
    using link = attach('drop');
    link.update(object.program('pass'), { expected: object.program('drop') });
    expect(answers()).toBe(true);
    expect(link.info().programId).toBe(object.program('pass').info().id);
    expect(() => link.update(object.program('drop'), { expected: object.program('stamp') })).toThrow(
      expect.objectContaining({ code: 'EPERM', message: expect.stringContaining('stamp was expected') }),
    );
    expect(answers()).toBe(true);
  });

  it('survives its handle when pinned, and can be taken up again', () => {
    const pin = `${bpffs.path}/link`;
    const link = attach('drop');
    const { id } = link.info();
    link.pin(pin);
    link.close();
    expect(answers()).toBe(false);
    using again = XdpLink.openPinned(pin);
    expect(again.info().id).toBe(id);
    again.detach();
    expect(answers()).toBe(true);
    expect(again.info().ifindex).toBe(0);
    expect(() => XdpLink.openPinned(`${bpffs.path}/pass-is-no-link`)).toThrow(/ENOENT/);
    object.program('drop').pin(`${bpffs.path}/no-link`);
    expect(() => XdpLink.openPinned(`${bpffs.path}/no-link`)).toThrow(/does not hold a link/);
  });

  it('keeps its program alive after program and object are gone', () => {
    const own = openObject(compiled('everything')).load();
    const program = own.program('drop');
    using link = program.attachXdp({ interface: net.nearDevice, netns: net.nearPath });
    program.close();
    own.close();
    expect(answers()).toBe(false);
    expect(link.info().ifindex).toBeGreaterThan(0);
  });

  it('outlives its interface without harm', () => {
    const link = attach('drop');
    execFileSync('ip', ['-n', net.near, 'link', 'del', net.nearDevice]);
    expect(link.info().ifindex).toBe(0);
    link.close();
    link.close();
    expect(() => link.info()).toThrow(/is closed/);
  });

  it('refuses what is no program', () => {
    using link = attach('pass');
    expect(() => link.update({} as never)).toThrow('program must be a Program, got Object');
    expect(() => attach('pass', { mode: 'fast' as never })).toThrow(/mode must be one of native, generic/);
    expect(() => attach('pass', { interface: -1 })).toThrow(/interface must be an integer from 1/);
    expect(() => attach('pass', { interface: 'a\0b' })).toThrow(/NUL/);
    expect(() => queryXdp('absent0')).toThrow(expect.objectContaining({ code: 'ENODEV' }));
  });
});
