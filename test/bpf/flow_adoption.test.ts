// What a mux knows of flows outlives its daemon: the next one goes on with the same incarnation, or says that it cannot.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredMux } from '../../control/dataplane/desired.ts';
import { frameOf } from '../../control/dataplane/frame.ts';
import { MuxProgram } from '../../control/dataplane/mux.ts';
import { mountBpffs } from '../native/libbpf/support.ts';
import { MUX_OPTIONS, stateOf } from './lib/state.ts';

const SELF = { id: 1, incarnation: 40 };
const OTHER = { id: 2, incarnation: 50 };

let bpffs: ReturnType<typeof mountBpffs>;
let runs = 0;
const open: MuxProgram[] = [];

beforeAll(() => {
  bpffs = mountBpffs();
});
afterAll(() => bpffs.unmount());
afterEach(() => {
  for (const mux of open.splice(0)) mux.close();
});

const optionsOf = () => ({
  ...MUX_OPTIONS,
  incarnation: SELF.incarnation,
  flowTable: { entries: 7_000, cacheEntries: 4_000 },
  pinDirectory: join(bpffs.path, `run${runs++}`, 'mux'),
});

async function start(options: Parameters<typeof MuxProgram.open>[0]): Promise<MuxProgram> {
  const mux = await MuxProgram.open(options);
  open.push(mux);
  return mux;
}

/** All slots of pool 1 are tracked, and this mux owns them. */
function tracked(version: number, members = [SELF]): DesiredMux {
  const state = stateOf('a');
  const pool = state.pools.get(1)!;
  const period = {
    trackEpoch: 2,
    chainEpoch: 2,
    candidates: [members],
    step: 'commit' as const,
    stepVersion: 2,
    idleTimeoutMs: 60_000,
    isUrgent: false,
    lostSlots: 0,
    reason: 'test',
  };
  const services = state.services.map((it) => ({ ...it, idleTimeoutMs: 60_000 }));
  const peer = (id: number) => ({
    address: `198.51.100.${id}`,
    encap: 'gue' as const,
    guePort: 7445,
    mtuBytes: 1500,
  });
  return {
    ...state,
    version,
    members,
    services,
    peers: new Map([SELF, OTHER].map(({ id }) => [id, peer(id)])),
    pools: new Map(state.pools).set(1, {
      ...pool,
      current: pool.current.map(() => 3),
      period: new Uint8Array(pool.current.length).fill(1),
      periods: [period],
    }),
  };
}

function send(mux: MuxProgram, port: number, syn: boolean): Uint8Array {
  const flow = { protocol: 'tcp', source: '198.18.7.7', destination: '203.0.113.1' } as const;
  const data = frameOf({ ...flow, sourcePort: port, destinationPort: 80, syn });
  const { retval, dataOut } = mux.program.testRun({ data });
  expect(retval).toBe(3);
  return dataOut!;
}

function flowsOf(mux: MuxProgram): number {
  let [flows, cursor]: [number, number | undefined] = [0, undefined];
  do {
    const found = mux.flows.list({ poolId: 1, cursor });
    flows += found.items.length;
    cursor = found.cursor;
  } while (cursor !== undefined);
  return flows;
}

/** A daemon that has flows, and has ended. */
async function began(options: Parameters<typeof MuxProgram.open>[0]): Promise<void> {
  const mux = await start(options);
  mux.self.id = SELF.id;
  await mux.apply(tracked(2));
  await mux.askKeys.install(1, new Uint8Array(16).fill(7));
  mux.askKeys.use(1);
  mux.self.timeOffset = 77;
  await mux.clock.ready();
  mux.deadline.set(Number(process.hrtime.bigint()) / 1e6 + 600_000);
  for (let port = 1; port <= 50; port++) send(mux, port, true);
  mux.close();
  open.pop();
}

describe('the next daemon', () => {
  it('goes on with flows, chains, peers, keys and deadline, as the same incarnation', async () => {
    const options = optionsOf();
    await began(options);
    expect(MuxProgram.wouldLoseFlows(options)).toBe(false);
    const mux = await start({ ...options, incarnation: 99 });
    expect([mux.origin, mux.flowOrigin]).toEqual(['adopted', 'adopted']);
    expect(mux.self).toMatchObject({ id: 1, incarnation: 40, version: 2, timeOffset: 77, keyId: 1 });
    expect(mux.self.deadline).toBeLessThan(1n << 62n);
    expect(mux.askKeys.places()).toEqual([1]);
    expect(mux.limits()).toMatchObject({ chains: { used: 1 }, muxes: { used: 2 } });
    expect(flowsOf(mux)).toBe(50);
    expect(await mux.apply(tracked(2))).toMatchObject({ slots: 0, gracePeriods: 0 });
    expect(mux.limits().chains.used).toBe(1);
    // Slots go on naming their chain; what is new has an index of its own.
    await mux.apply(tracked(3, [SELF, OTHER]));
    expect(mux.limits().chains.used).toBeGreaterThan(1);
  });

  it.each([
    ['tables of another size', { flowTable: { entries: 14_000, cacheEntries: 4_000 } }],
    ['another hash key', { hashKey: MUX_OPTIONS.hashKey.map((byte, at) => (at === 20 ? byte ^ 1 : byte)) }],
  ])('with %s says so, and is another incarnation with no flows', async (_, change) => {
    const options = optionsOf();
    await began(options);
    const { incarnation: __, ...changed } = { ...options, ...change };
    expect(MuxProgram.wouldLoseFlows(changed)).toBe(true);
    const mux = await start(changed);
    expect([mux.origin, mux.flowOrigin]).toEqual(['migrated', 'fresh']);
    expect(mux.self.incarnation).toBeGreaterThan(SELF.incarnation);
    expect(mux.self).toMatchObject({ id: 1, version: 2, timeOffset: 77, keyId: 1 });
    expect(mux.self.deadline).toBeLessThan(1n << 62n);
    expect(flowsOf(mux)).toBe(0);
    expect(await mux.apply(tracked(2)), 'slots and chains were carried over').toMatchObject({ slots: 0 });
    expect(mux.askKeys.places()).toEqual([1]);
  });

  it('is the only one that may read keys', async () => {
    const options = optionsOf();
    await began(options);
    const maps = join(options.pinDirectory, 'maps');
    for (const name of readdirSync(maps)) expect(statSync(join(maps, name)).mode & 0o077, name).toBe(0);
  });
});
