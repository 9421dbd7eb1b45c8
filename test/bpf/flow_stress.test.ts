// Two CPUs at the same flows at the same time: what a test run of one thread cannot show. The kernel runs the program
// millions of times on both; what counts is what is left in the tables and counters.
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import type { HammerWork } from './lib/hammer.ts';
import { frame } from './lib/packets.ts';
import type { Flow } from './lib/reference.ts';
import { CHAIN, chainFields, packetOf } from './lib/tracked_case.ts';
import {
  ASK_KEY,
  hashOf,
  hopFrom,
  INCARNATION,
  SERVICE,
  SITE,
  slotInPool,
  TrackedMux,
} from './lib/tracked_mux.ts';
import { askFrame, FLAG } from './lib/wire_reference.ts';

const HARNESS = fileURLToPath(new URL('../../out/test-bpf/harness.bpf.o', import.meta.url));
const ASK_BYTES = 20 + 8 + 56;
const THREADS = 2;
const [CURRENT, BASE] = [1, 2];

/** The flow of a repeat, as the harness makes it. */
function flowOfRepeat(repeat: number, flows: number): Flow {
  const flow = (Math.imul(repeat, 40503) & (flows - 1)) >>> 0;
  const source = `198.19.0.${flow >>> 8}`;
  const { port, protocol } = SITE.tcp;
  return {
    source,
    destination: SERVICE,
    sourcePort: 1024 + (flow & 0xff) * 251,
    destinationPort: port,
    protocol,
  };
}

const words = (bytes: Uint8Array, count: number): bigint[] => {
  const whole = new Uint8Array(count);
  whole.set(bytes.subarray(0, count));
  return [...new BigUint64Array(whole.buffer)];
};

type Load = { flows: number; isSyn: boolean; repeats: number; isAsk: boolean };

function workOf(mux: TrackedMux, { flows, isSyn, repeats, isAsk }: Load) {
  const exchange = (repeat: number) => {
    const flow = flowOfRepeat(repeat, flows);
    const hash = hashOf('tcp', flow);
    const packet = packetOf({ name: '', reason: '', packet: isSyn ? 'syn' : 'data' }, flow);
    const header = mux.header({
      operation: 'ask',
      ...chainFields(CHAIN.owner),
      asker: 4,
      askerIncarnation: INCARNATION(4),
      slot: slotInPool('tcp', hash),
      flags: isSyn ? FLAG.newFlow : 0,
    });
    return isAsk ? askFrame(hopFrom(4), header, ASK_KEY, hash, packet) : frame(packet);
  };
  // The harness writes clients' addresses over the first flow's, and does not mend checksums: the program reads none.
  const first = exchange(0);
  const moved = isAsk ? ASK_BYTES : 0;
  const work: Omit<HammerWork, 'gate'> = {
    harness: HARNESS,
    programId: mux.object.program('mux').info().id,
    restore: isAsk ? 'restore_ask' : 'restore',
    constants: {
      packet_template: words(isAsk ? new Uint8Array(80) : first, 80),
      ask_template: words(isAsk ? first : new Uint8Array(160), 160),
      frame_bytes: isAsk ? Math.max(first.length, 160) : Math.max(first.length, 80),
      client_address_offset: 14 + 12 + moved,
      client_port_offset: 14 + 20 + moved,
      flow_mask: flows - 1,
      repeats: BigInt(repeats),
    },
    frameBytes: isAsk ? Math.max(first.length, 160) : Math.max(first.length, 80),
    repeats,
  };
  if (!isAsk) return work;
  const asks = Array.from({ length: flows }, (_, repeat) => exchange(repeat));
  const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset);
  return {
    ...work,
    slots: Uint32Array.from(asks, (it) => view(it).getUint32(42 + 8, true)),
    tags: BigUint64Array.from(asks, (it) => view(it).getBigUint64(42 + 48, true)),
    ports: Uint8Array.from(asks.flatMap((it) => [...it.subarray(34, 36)])),
  };
}

/** All of it at the same time; resolves when each has ended. */
async function hammer(works: readonly Omit<HammerWork, 'gate'>[]): Promise<void> {
  const gate = new SharedArrayBuffer(4);
  new Int32Array(gate)[0] = works.length;
  const runs = works.map(
    (work) =>
      new Promise<number>((resolve, reject) => {
        const worker = new Worker(new URL('lib/hammer.ts', import.meta.url), {
          workerData: { ...work, gate },
          execArgv: ['--conditions=source'],
        });
        worker.once('message', resolve);
        worker.once('error', reject);
      }),
  );
  expect(await Promise.all(runs)).toEqual(works.map(({ repeats }) => repeats));
}

/** Has `first` told about every flow: even ones begin with a SYN, and go to current; odd ones to base. */
function establish(mux: TrackedMux, flows: number): bigint[] {
  return Array.from({ length: flows }, (_, repeat) => {
    const flow = flowOfRepeat(repeat, flows);
    const packet = packetOf({ name: '', reason: '', packet: repeat % 2 === 0 ? 'syn' : 'data' }, flow);
    mux.run(frame(packet));
    return hashOf('tcp', flow);
  });
}

describe('two CPUs', () => {
  let mux: TrackedMux | undefined;
  afterEach(() => {
    mux?.close();
    mux = undefined;
  });

  it('insert each flow once: the loser of the race adopts', async () => {
    mux = new TrackedMux({ flowBuckets: 4096 });
    mux.setSlots('tcp', CURRENT, BASE, CHAIN.owner);
    // Who comes second is faster, for it finds what it asks about, until it has caught up: from there on both race.
    const flows = 16_384;
    const load = { flows, repeats: flows * 2, isAsk: true };
    const works = [workOf(mux, { ...load, isSyn: true }), workOf(mux, { ...load, isSyn: false })];
    for (let round = 0; round < 5; round++) {
      mux.clearTables();
      const before = mux.counts();
      await hammer(works);
      const after = mux.counts();
      const by = (name: string) => Number(after[name]! - before[name]!);
      const standing = mux.entries();
      expect(by('FLOW_NEW') + by('FLOW_BASE'), 'inserted').toBe(standing.size);
      expect(by('FLOW_KNOWN') + by('FLOW_TABLE_FULL') + standing.size, 'asks').toBe(load.repeats * THREADS);
      expect(by('FLOW_PROMOTED'), 'promoted').toBe(
        [...standing.values()].filter((it) => it.state === 3).length,
      );
      expect(standing.size).toBeGreaterThan(flows / 2);
      let spared = 0;
      for (const [fingerprint, { backend, state }] of standing) {
        // Where a new flow found no place, others go to base, too.
        const isSpared = mux.refusedAt(fingerprint) === 0;
        if (isSpared || state === 2) expect(backend).toBe(state === 2 ? BASE : CURRENT);
        else expect([BASE, CURRENT]).toContain(backend);
        if (isSpared) spared++;
      }
      expect(spared).toBeGreaterThan(flows / 8);
    }
  }, 120_000);

  it('never take the cache entry of one flow for that of another', async () => {
    mux = new TrackedMux({ id: 0, flowBuckets: 64, cacheBuckets: 1 });
    mux.setSlots('tcp', CURRENT, BASE, { owner: 0, backup: 0, trackEpoch: 10, chainEpoch: 10 });
    const flows = 8;
    const hashes = establish(mux, flows);
    const standing = mux.entries();
    for (const [at, hash] of hashes.entries())
      expect(standing.get(hash)?.backend, `flow ${at}`).toBe(at % 2 === 0 ? CURRENT : BASE);
    const before = mux.counts();
    const sent = [mux.packetsOf(CURRENT), mux.packetsOf(BASE)];
    const load = { flows, repeats: 4_000_000, isAsk: false, isSyn: false };
    await hammer([workOf(mux, load), workOf(mux, load)]);
    const after = mux.counts();
    const half = (load.repeats * THREADS) / 2;
    expect([mux.packetsOf(CURRENT) - sent[0]!, mux.packetsOf(BASE) - sent[1]!]).toEqual([half, half]);
    expect(Number(after.FORWARD_CACHED! - before.FORWARD_CACHED!), 'cached').toBeGreaterThan(1000);
    expect(Number(after.FLOW_CACHE_FULL! - before.FLOW_CACHE_FULL!), 'replaced').toBeGreaterThan(1000);
    expect(mux.entries().size).toBe(flows);
  }, 120_000);

  it('remember each flow in one place, however often all are forgotten', async () => {
    mux = new TrackedMux({ id: 0, flowBuckets: 4, cacheBuckets: 1 });
    mux.setSlots('tcp', CURRENT, BASE, { owner: 0, backup: 0, trackEpoch: 10, chainEpoch: 10 });
    const load = { flows: 16, repeats: 3_000_000, isAsk: false, isSyn: false };
    let isDone = false;
    const hammering = hammer([workOf(mux, load), workOf(mux, load)]).finally(() => {
      isDone = true;
    });
    let forgotten = 0;
    for (; !isDone; forgotten++) {
      await new Promise((resolve) => setImmediate(resolve));
      const found = mux.fingerprints();
      expect(new Set(found).size, 'flows of as many entries').toBe(found.length);
      mux.clearTables();
    }
    await hammering;
    expect(forgotten).toBeGreaterThan(100);
    for (const { backend } of mux.entries().values()) expect(backend).toBe(BASE);
  }, 120_000);

  it('agree on a flow while time goes on and another thread sweeps', async () => {
    mux = new TrackedMux({ id: 0, flowBuckets: 8, cacheBuckets: 2 });
    mux.setSlots('tcp', CURRENT, BASE, { owner: 0, backup: 0, trackEpoch: 10, chainEpoch: 10 });
    const flows = 16;
    establish(mux, flows);
    const standing = mux.entries();
    const load = { flows, repeats: 2_000_000, isAsk: false, isSyn: false };
    let isDone = false;
    const hammering = hammer([workOf(mux, load), workOf(mux, load)]).finally(() => {
      isDone = true;
    });
    while (!isDone) {
      mux.advance(1);
      mux.sweep();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await hammering;
    for (const [hash, entry] of mux.entries()) {
      const then = standing.get(hash);
      if (then !== undefined) expect(entry.backend).toBe(then.backend);
    }
    expect(mux.entries().size).toBeGreaterThanOrEqual(standing.size);
  }, 120_000);
});
