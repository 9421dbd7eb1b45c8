// A process is killed at random moments of what it does with a program; what it leaves is taken over and put right.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { queryXdp, XdpLink } from 'libbpf-ts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MuxProgram } from '../../control/dataplane/mux.ts';
import { makePair, mountBpffs, type Pair } from '../native/libbpf/support.ts';
import { Holder } from './lib/held.ts';
import { framesOf, MUX_OPTIONS, stateOf } from './lib/state.ts';

const KILLS = process.env.HOLDFAST_LONG ? 200 : 25;
const LIFE_MS_MAX = 220;
const XDP_TX = 3;

let bpffs: ReturnType<typeof mountBpffs>;
let net: Pair;
let directory: string;
let options: Parameters<typeof MuxProgram.open>[0];

beforeAll(() => {
  bpffs = mountBpffs();
  net = makePair();
  directory = mkdtempSync(join(tmpdir(), 'holdfast-crash-'));
  const pinDirectory = join(bpffs.path, 'crash', 'mux');
  options = { ...MUX_OPTIONS, pinDirectory, stateDirectory: directory, netns: net.nearPath };
});
afterEach(() => {
  for (const name of existsSync(options.pinDirectory) ? readdirSync(options.pinDirectory) : [])
    if (name.startsWith('link_')) XdpLink.openPinned(join(options.pinDirectory, name)).detach();
});
afterAll(() => {
  net.remove();
  bpffs.unmount();
  rmSync(directory, { recursive: true });
});

/** All that a daemon does, over and over, until it is killed. */
async function live(holder: Holder): Promise<void> {
  await holder.call('openMux', options);
  for (let round = 0; ; round++) {
    await holder.call('apply', stateOf(round % 2 === 0 ? 'a' : 'b'));
    await holder.call('attach', { interface: net.nearDevice, mode: 'native' });
    await holder.call('startCapture', { reasons: ['FORWARD'] });
    await holder.call('apply', stateOf('b'));
    await holder.call('stopCapture');
  }
}

const random = (): (() => number) => {
  let state = 20261122;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state / 2 ** 32;
  };
};

describe('a process killed at any moment', () => {
  it('leaves what the next one takes over: all of a state, nothing else, and what is attached stays', async () => {
    const next = random();
    const origins = new Map<string, number>();
    let attachedBefore = false;
    for (let kill = 0; kill < KILLS; kill++) {
      const holder = await Holder.start();
      const lived = live(holder).catch((error: Error) => error);
      await sleep(next() * LIFE_MS_MAX);
      await holder.kill();
      expect(((await lived) as Error).message).toBe('the holder has ended');

      const isAttached = queryXdp(net.nearDevice, { netns: net.nearPath }) !== undefined;
      if (attachedBefore) expect(isAttached, `kill ${kill}`).toBe(true);
      attachedBefore = isAttached;

      const name = kill % 2 === 0 ? 'a' : 'b';
      const mux = await MuxProgram.open(options);
      try {
        origins.set(mux.origin, (origins.get(mux.origin) ?? 0) + 1);
        const attached = mux.attachments();
        expect(attached.length, `kill ${kill}`).toBe(isAttached ? 1 : 0);
        for (const { programId } of attached) expect(programId).toBe(mux.program.info().id);
        await mux.apply(stateOf(name));
        check(mux, name, `kill ${kill}`);
        expect(await mux.apply(stateOf(name)), `kill ${kill}`).toMatchObject({
          slots: 0,
          serverIds: 0,
          gracePeriods: 0,
        });
      } finally {
        mux.close();
      }
    }
    expect(origins.get('adopted')).toBeGreaterThan(KILLS / 2);
  }, 300_000);
});

/** By what packets meet, and by what the tables say. */
function check(mux: MuxProgram, name: 'a' | 'b', at: string): void {
  const state = stateOf(name);
  const other = stateOf(name === 'a' ? 'b' : 'a');
  for (const data of framesOf(state, 1)) expect(mux.program.testRun({ data }).retval, at).toBe(XDP_TX);
  const gone = { ...other, services: other.services.filter(({ port }) => port !== undefined && port !== 80) };
  for (const data of framesOf(gone, 1)) expect(mux.explain(data).reason, at).toBe('PASS_NOT_A_SERVICE');
  const addresses = new Set(
    state.services.filter(({ port }) => port !== undefined).map(({ address }) => address),
  );
  expect(mux.limits(), at).toMatchObject({
    services: { used: state.services.length + addresses.size },
    backends: { used: state.backends.size },
    slots: { used: [...state.pools.values()].reduce((sum, { current }) => sum + current.length, 0) },
    serverIds: { used: state.serverIds.length },
  });
}
