// A program outlives the process that loaded it; the next process goes on where that one was, whatever it was doing.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BpfMap, queryXdp, XdpLink } from 'libbpf-ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MuxProgram } from '../../control/dataplane/mux.ts';
import { makePair, mountBpffs, type Pair } from '../native/libbpf/support.ts';
import { Holder } from './lib/held.ts';
import { hex } from './lib/rig.ts';
import { testKey } from './lib/site.ts';
import { framesOf, MUX_OPTIONS, SLOT_CAPACITY, stateOf } from './lib/state.ts';
import { makeVariant, NEXT_VERSION } from './lib/variant.ts';

const A = stateOf('a');
const B = stateOf('b');
const UNCHANGED = {
  services: { added: 0, changed: 0, removed: 0 },
  backends: { added: 0, changed: 0, removed: 0 },
  peers: { added: 0, changed: 0, removed: 0 },
  slots: 0,
  serverIds: 0,
  gracePeriods: 0,
};

let bpffs: ReturnType<typeof mountBpffs>;
let net: Pair;
let directory: string;
let options: Parameters<typeof MuxProgram.open>[0];
const holders = new Set<Holder>();

beforeAll(() => {
  bpffs = mountBpffs();
  net = makePair();
});
afterAll(() => {
  net.remove();
  bpffs.unmount();
});
let runs = 0;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-adoption-'));
  options = {
    ...MUX_OPTIONS,
    pinDirectory: join(bpffs.path, `run${runs++}`, 'mux'),
    stateDirectory: directory,
    netns: net.nearPath,
  };
});
afterEach(async () => {
  for (const holder of holders) await holder.kill();
  holders.clear();
  for (const name of existsSync(options.pinDirectory) ? readdirSync(options.pinDirectory) : []) {
    if (name.startsWith('link_')) XdpLink.openPinned(join(options.pinDirectory, name)).detach();
  }
  rmSync(directory, { recursive: true });
});

async function start(tree?: string): Promise<Holder> {
  const holder = await Holder.start(tree);
  holders.add(holder);
  return holder;
}

/** A process that has a mux with state A attached. */
async function startA(tree?: string): Promise<Holder> {
  const holder = await start(tree);
  expect(await holder.call('openMux', options)).toEqual({ origin: 'fresh' });
  await holder.call('apply', A);
  await holder.call('attach', { interface: net.nearDevice, mode: 'native' });
  return holder;
}

const outputs = async (holder: Holder, state = A): Promise<string[]> =>
  (await holder.call('run', framesOf(state))).map(({ retval, output }) => `${retval} ${hex(output)}`);

const attachedId = (): number | undefined =>
  queryXdp(net.nearDevice, { netns: net.nearPath })?.programIds.native;

async function countOf(holder: Holder, port: number): Promise<bigint | undefined> {
  const { services } = await holder.call('counters');
  return services.find(({ key }) => key.port === port)?.packets;
}

describe('after kill -9, the next process', () => {
  it('goes on with tables, counts and attachments, and changes nothing where nothing changed', async () => {
    const first = await startA();
    const expected = await outputs(first);
    const counted = await first.call('counters');
    expect(counted.reasons.FORWARD).toBe(BigInt(expected.length));
    const before = attachedId();
    await first.kill();
    expect(attachedId()).toBe(before);

    const second = await start();
    expect(await second.call('openMux', options)).toEqual({ origin: 'adopted' });
    expect(attachedId()).toBe((await second.call('program')).id);
    expect(attachedId()).not.toBe(before);
    const after = await second.call('counters');
    expect(forwards(after)).toEqual(forwards(counted));
    expect(bySubject(after)).toEqual(bySubject(counted));
    expect(await second.call('apply', A)).toEqual({ revision: 1, ...UNCHANGED });
    expect(await second.call('attachments')).toEqual([
      expect.objectContaining({
        interface: net.nearDevice,
        mode: 'native',
        programId: attachedId(),
        pinned: true,
      }),
    ]);
    expect(await outputs(second)).toEqual(expected);
    expect(await countOf(second, 80)).toBe(6n);
    await second.call('apply', B);
    expect(await countOf(second, 80)).toBe(6n);
    await second.kill();
    const third = await start();
    await third.call('openMux', options);
    expect(await third.call('apply', B)).toEqual({ revision: 2, ...UNCHANGED });
    expect(await countOf(third, 80)).toBe(6n);
    expect(await countOf(third, 2000)).toBe(0n);
  });

  it('counts from zero where nothing tells whose the counts are', async () => {
    const first = await startA();
    await outputs(first);
    await first.kill();
    writeFileSync(join(directory, 'traffic-mux.json'), '{"format":1,"bootId":"another"}');
    const second = await start();
    expect(await second.call('openMux', options)).toEqual({ origin: 'adopted' });
    expect(await countOf(second, 80)).toBe(0n);
    expect((await second.call('counters')).reasons.FORWARD).toBeGreaterThan(0n);
    await outputs(second);
    expect(await countOf(second, 80)).toBe(3n);
  });

  it('puts the plain program back where a capture was running', async () => {
    const first = await startA();
    const plain = await first.call('program');
    await first.call('startCapture', { reasons: ['FORWARD'] });
    expect(attachedId()).not.toBe(plain.id);
    await first.kill();
    const second = await start();
    expect(await second.call('openMux', options)).toEqual({ origin: 'adopted' });
    const [attached] = await second.call('attachments');
    expect(attached?.programTag).toBe(plain.tag);
    expect(await second.call('apply', A)).toEqual({ revision: 1, ...UNCHANGED });
    await second.call('startCapture', { reasons: ['FORWARD'] });
    await second.call('stopCapture');
    expect(attachedId()).toBe((await second.call('program')).id);
  });

  it('finds the tables where nothing is attached, and none once they are unpinned', async () => {
    const first = await startA();
    expect(await first.call('detach')).toBe(true);
    expect(await first.call('detach')).toBe(false);
    expect(attachedId()).toBeUndefined();
    await first.kill();
    using second = closing(await MuxProgram.open(options));
    expect(second.mux.origin).toBe('adopted');
    expect(await second.mux.apply(A)).toEqual({ revision: 1, ...UNCHANGED });
    second.mux.unpinTables();
    second.mux.close();
    using third = closing(await MuxProgram.open(options));
    expect(third.mux.origin).toBe('fresh');
  });

  it('goes by what is attached where pins of maps are missing, half made or of something else', async () => {
    const first = await startA();
    await first.kill();
    const maps = join(options.pinDirectory, 'maps');
    for (const name of readdirSync(maps)) rmSync(join(maps, name));
    rmSync(maps, { recursive: true });
    mkdirSync(join(options.pinDirectory, 'maps_new'));
    const stray = BpfMap.create({ type: 'array', keySize: 4, valueSize: 4, maxEntries: 1 });
    stray.pin(join(options.pinDirectory, 'maps_new', 'services'));
    const second = await start();
    expect(await second.call('openMux', options)).toEqual({ origin: 'adopted' });
    expect(await second.call('apply', A)).toEqual({ revision: 1, ...UNCHANGED });
    expect(readdirSync(options.pinDirectory).sort()).toEqual([expect.stringMatching(/^link_\d+$/), 'maps']);
    expect(readdirSync(maps)).toContain('services');
    expect(readdirSync(maps)).toHaveLength(16);
  });

  it('forgets an interface that is gone, and attaches to one that came back', async () => {
    const pair = makePair();
    try {
      const own = { ...options, netns: pair.nearPath };
      const first = await start();
      await first.call('openMux', own);
      await first.call('apply', A);
      await first.call('attach', { interface: pair.nearDevice, mode: 'native' });
      await first.kill();
      execFileSync('ip', ['-n', pair.near, 'link', 'del', pair.nearDevice]);
      const second = await start();
      expect(await second.call('openMux', own)).toEqual({ origin: 'adopted' });
      expect(await second.call('attachments')).toEqual([]);
      expect(await second.call('apply', A)).toEqual({ revision: 1, ...UNCHANGED });
      execFileSync('ip', [
        '-n',
        pair.near,
        'link',
        'add',
        pair.nearDevice,
        'type',
        'veth',
        'peer',
        'name',
        'other',
      ]);
      const attached = await second.call('attach', { interface: pair.nearDevice, mode: 'native' });
      expect(await second.call('attach', { interface: attached.ifindex })).toEqual(attached);
      execFileSync('ip', ['-n', pair.near, 'link', 'del', pair.nearDevice]);
      expect(await second.call('attachments')).toEqual([]);
      expect(await second.call('detach')).toBe(false);
    } finally {
      pair.remove();
    }
  });
});

describe('a start with another configuration', () => {
  it.each([
    ['hash key', { hashKey: testKey('another') }],
    ['tunnel source', { tunnelSource4: { address: '198.18.128.0', prefixLength: 18 } }],
    ['larger slot table', { slotCapacity: SLOT_CAPACITY * 4 }],
    ['smaller slot table', { slotCapacity: 2048 }],
  ])('carries the tables over to a new %s', async (_, change) => {
    const first = await startA();
    await outputs(first);
    await first.kill();
    const next = { ...options, ...change };
    const second = await start();
    expect(await second.call('openMux', next)).toEqual({ origin: 'migrated' });
    expect(await countOf(second, 80)).toBe(3n);
    const migrated = await outputs(second);
    expect(await second.call('apply', A)).toEqual({ revision: 1, ...UNCHANGED });
    // As a mux that never knew anything else.
    using fresh = closing(
      await MuxProgram.open({
        ...next,
        pinDirectory: join(bpffs.path, `fresh${runs}`),
        stateDirectory: join(directory, 'fresh'),
      }),
    );
    await fresh.mux.apply(A);
    const expected = framesOf(A).map((data) => fresh.mux.program.testRun({ data }));
    expect(migrated).toEqual(expected.map(({ retval, dataOut }) => `${retval} ${hex(dataOut!)}`));
    fresh.mux.unpinTables();
  });

  it('refuses slots that do not hold what is there, and leaves what runs alone', async () => {
    const first = await startA();
    const before = attachedId();
    await first.kill();
    const second = await start();
    await expect(second.call('openMux', { ...options, slotCapacity: 1024 })).rejects.toMatchObject({
      code: 'configuration',
      remedy: expect.stringContaining('slotCapacity'),
    });
    expect(attachedId()).toBe(before);
    expect(await second.call('openMux', options)).toEqual({ origin: 'adopted' });
    expect(await second.call('apply', A)).toEqual({ revision: 1, ...UNCHANGED });
  });
});

describe('an upgrade to a version with other layouts, and back', () => {
  let tree: string;
  beforeAll(() => {
    tree = makeVariant('next', NEXT_VERSION);
  });

  it('carries every table over before it changes the program', async () => {
    const [first, ...rest] = await fragments();
    const old = await startA();
    const expected = await outputs(old);
    expect((await old.call('run', [first!]))[0]!.retval).toBe(3);
    const counted = await old.call('counters');
    await old.kill();

    const upgraded = await start(tree);
    expect(await upgraded.call('openMux', options)).toEqual({ origin: 'migrated' });
    const after = await upgraded.call('counters');
    expect(forwards(after)).toEqual(forwards(counted));
    expect(bySubject(after)).toEqual(bySubject(counted));
    expect(await outputs(upgraded)).toEqual(expected);
    // The first one went through the program before.
    expect((await upgraded.call('explain', rest[0]!)).reason).toBe('FORWARD_LATER_FRAGMENT');
    expect(await upgraded.call('apply', A)).toEqual({ revision: 1, ...UNCHANGED });
    await upgraded.kill();

    const again = await start(tree);
    expect(await again.call('openMux', options)).toEqual({ origin: 'adopted' });
    expect(await again.call('apply', A)).toEqual({ revision: 1, ...UNCHANGED });
    await again.kill();

    const back = await start();
    expect(await back.call('openMux', options)).toEqual({ origin: 'migrated' });
    expect(await outputs(back)).toEqual(expected);
    expect(await back.call('apply', A)).toEqual({ revision: 1, ...UNCHANGED });
    // Three rounds, and the fragment.
    expect(await countOf(back, 80)).toBe(10n);
    expect((await back.call('explain', rest[0]!)).reason).toBe('FORWARD_LATER_FRAGMENT');
  });

  it('does the same for a backend', async () => {
    const own = { pinDirectory: options.pinDirectory.replace(/mux$/, 'backend'), netns: net.nearPath };
    const desired = {
      muxSources: ['198.18.64.0/18', '192.0.2.1'],
      serviceAddresses: ['203.0.113.1', '2001:db8:5::1'],
    };
    const unchanged = { muxSources: false, added: 0, removed: 0 };
    const old = await start();
    expect(await old.call('openDecap', own)).toEqual({ origin: 'fresh' });
    await old.call('applyDecap', desired);
    await old.call('attachDecap', { interface: net.nearDevice, mode: 'native' });
    await old.kill();
    for (const [version, origin] of [
      [undefined, 'adopted'],
      [tree, 'migrated'],
      [tree, 'adopted'],
      [undefined, 'migrated'],
    ] as const) {
      const next = await start(version);
      expect(await next.call('openDecap', own)).toEqual({ origin });
      expect(await next.call('applyDecap', desired)).toEqual(unchanged);
      await next.kill();
    }
    XdpLink.openPinned(
      join(own.pinDirectory, readdirSync(own.pinDirectory).find((it) => it.startsWith('link_'))!),
    ).detach();
  });
});

/** Without what the host itself sends over the veth pair. */
function forwards({ reasons }: Awaited<ReturnType<MuxProgram['counters']>>) {
  return Object.fromEntries(Object.entries(reasons).filter(([name]) => name.startsWith('FORWARD')));
}

function bySubject(counters: Awaited<ReturnType<MuxProgram['counters']>>) {
  return {
    services: new Map(counters.services.map(({ key, ...count }) => [JSON.stringify(key), count])),
    backends: new Map(counters.backends.map(({ index, ...count }) => [index, count])),
  };
}

function closing(mux: MuxProgram): { mux: MuxProgram } & Disposable {
  return { mux, [Symbol.dispose]: () => mux.close() };
}

/** A TCP packet to port 80 in two fragments. */
async function fragments(): Promise<Uint8Array[]> {
  const { frame, ipv4, payload, raw } = await import('./lib/packets.ts');
  const ends = { source: '198.51.100.9', destination: '203.0.113.1', identification: 77 };
  const ports = Uint8Array.of(0x9c, 0x40, 0, 80, ...payload(60));
  return [
    frame(ipv4({ ...ends, fragmentOffset: 0, moreFragments: true }, raw(6, ports))),
    frame(ipv4({ ...ends, fragmentOffset: 64 }, raw(6, payload(24)))),
  ];
}
