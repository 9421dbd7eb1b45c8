// A client of a service with affinity on the real program, whatever its ports and connections: through a change of
// backends, while it is silent for longer and shorter than its timeout, and when an operator lets it go.
import { afterEach, describe, expect, it } from 'vitest';
import type { Period, Version } from '../../control/cluster/version.ts';
import { IDLE_TIMEOUT_MS_MAX } from '../../control/config/objects.ts';
import { type DesiredMux, desiredMux } from '../../control/dataplane/desired.ts';
import { frameOf } from '../../control/dataplane/frame.ts';
import { MuxProgram } from '../../control/dataplane/mux.ts';
import { MUX_OPTIONS } from './lib/state.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const SLOTS = 251;
const POOL = 7;
const SELF = { id: 1, incarnation: 40 };
const WEB = '203.0.113.1';
const WEB6 = '2001:db8:5::1';
/** Every port. */
const ALL = '203.0.113.2';
const CLIENT = '198.51.100.77';
const TIMEOUT_MS = 20 * MINUTE_MS;

const service = (name: string, address: string, port?: number) => ({
  name,
  addresses: [address],
  ...(port === undefined ? {} : { protocol: 'tcp' as const, port }),
  pool: 'web',
  modRevision: 1,
});
const backendOf = (index: number) => ({
  pool: 'web',
  name: `b${index}`,
  address: `192.0.2.${index}`,
  weight: 100,
  encap: 'ip' as const,
  index,
  generation: 1,
  modRevision: 1,
});

type Affinity = { readonly prefixLength4: number; readonly prefixLength6: number };
const WHOLE: Affinity = { prefixLength4: 32, prefixLength6: 128 };
const SUBNET: Affinity = { prefixLength4: 24, prefixLength6: 64 };

let affinity = WHOLE;
let idleTimeoutMs: number | undefined;

/** All slots of the pool do the same. */
function desired(number: number, current: number, base: number, step?: Period['step']): DesiredMux {
  const period: Period = {
    trackEpoch: 2,
    chainEpoch: 2,
    candidates: [[SELF]],
    step: step ?? 'track',
    stepVersion: number,
    idleTimeoutMs: idleTimeoutMs ?? TIMEOUT_MS,
    isUrgent: false,
    lostSlots: 0,
    reason: 'test',
  };
  const services = [service('web', WEB, 80), service('web6', WEB6, 80), service('all', ALL)];
  const version: Version = {
    number,
    cluster: 'c',
    digest: `${number}`,
    leaderEpoch: 1,
    members: [{ ...SELF, name: 'mux1', address: '198.51.100.1', askPort: 7445, isLeaving: false }],
    gone: [],
    objects: {
      revision: number,
      services: new Map(
        services.map((it) => [
          it.name,
          { ...it, affinity, ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }) },
        ]),
      ),
      pools: new Map([['web', { name: 'web', slots: SLOTS, id: POOL, modRevision: 1 }]]),
      backends: new Map([1, 2].map((index) => [`web/b${index}`, backendOf(index)])),
    },
    unnamedSince: new Map(),
    placements: new Map([
      [
        POOL,
        {
          poolId: POOL,
          current: new Uint16Array(SLOTS).fill(current),
          base: new Uint16Array(SLOTS).fill(base),
          period: new Uint8Array(SLOTS).fill(step === undefined ? 0 : 1),
          periods: step === undefined ? [] : [period],
        },
      ],
    ]),
  };
  const hop = { ifindex: 0, destinationMac: '02:00:00:00:00:01', sourceMac: '02:00:00:00:00:02' };
  return desiredMux(version, () => ({ nextHop: hop, mtuBytes: 1500 }), {
    id: SELF.id,
    address: '198.51.100.1',
    askPort: 7445,
  });
}

const CLEAN = () => desired(1, 1, 1);
const TRACK = () => desired(2, 1, 1, 'track');
const COMMIT = () => desired(3, 2, 1, 'commit');
const SETTLE = () => desired(4, 2, 2, 'settle');
const DONE = () => desired(5, 2, 2);

let mux: MuxProgram;
let clock: BigUint64Array;

async function start(more: { affinity?: Affinity; idleTimeoutMs?: number } = {}): Promise<void> {
  affinity = more.affinity ?? WHOLE;
  idleTimeoutMs = more.idleTimeoutMs;
  mux = MuxProgram.load({ ...MUX_OPTIONS, drivenTime: true, incarnation: SELF.incarnation });
  clock = mux.mapClock();
  clock[0] = 100_000_000_000_000n;
  mux.self.id = SELF.id;
  await mux.apply(CLEAN());
}
afterEach(() => mux.close());

function wait(ms: number): void {
  clock[0]! += BigInt(ms) * 1_000_000n;
}

type Packet = { port?: number; syn?: boolean; from?: string; to?: string; toPort?: number };

/** The backend that a packet goes to. */
function send({ port = 1_000, syn = false, from = CLIENT, to = WEB, toPort = 80 }: Packet): number {
  const data = frameOf({
    protocol: 'tcp',
    source: from,
    sourcePort: port,
    destination: to,
    destinationPort: toPort,
    syn,
  });
  const { retval, dataOut } = mux.program.testRun({ data });
  // Of an outer IPv4 header.
  return retval === 3 ? dataOut![14 + 19]! : -retval;
}

function sweep(): number {
  let removed = 0;
  let cursor: number | undefined;
  mux.flows.beginCensus();
  do {
    const found = mux.flows.sweep(cursor);
    removed += found.removed;
    cursor = found.cursor;
  } while (cursor !== undefined);
  return removed;
}

const web = { address: WEB, protocol: 'tcp', port: 80 } as const;
const known = (client = CLIENT) => {
  const { fingerprint } = mux.nameClient(web, client)!;
  return mux.flows.lookUp(POOL, fingerprint).table;
};

describe('a client with affinity through a change of backends', () => {
  it('keeps one backend for all its ports and connections, the ones that it opens later too', async () => {
    await start();
    expect([send({ port: 1_000, syn: true }), send({ port: 1_001, syn: true })]).toEqual([1, 1]);
    await mux.apply(TRACK());
    expect(send({ port: 1_000 }), 'one of its connections is seen').toBe(1);
    await mux.apply(COMMIT());
    expect(send({ port: 1_002, syn: true }), 'a new one').toBe(1);
    expect(send({ port: 1_002 })).toBe(1);
    await mux.apply(SETTLE());
    expect(send({ port: 1_001 }), 'one that was not seen while it could be').toBe(1);
    expect(send({ port: 1_003, syn: true })).toBe(1);
    expect(send({ port: 1_003 })).toBe(1);
    expect(mux.flows.census(POOL, 2)).toMatchObject({ flows: 0 });
    sweep();
    expect(mux.flows.census(POOL, 2), 'one entry for all of them').toMatchObject({ flows: 1, oldFlows: 1 });
    expect(known()).toMatchObject({ isOfClient: true, backend: 1, state: 'unproven', protocol: 'tcp' });
  });

  it('has one backend for all ports of a service that takes every port', async () => {
    await start();
    await mux.apply(TRACK());
    send({ to: ALL, toPort: 80 });
    await mux.apply(SETTLE());
    const ports = [80, 443, 8_080].map((toPort) => send({ to: ALL, toPort, port: toPort, syn: true }));
    expect(ports).toEqual([1, 1, 1]);
  });

  it('shares its backend with its subnet, and with nobody else', async () => {
    await start({ affinity: SUBNET });
    await mux.apply(TRACK());
    send({ from: '198.51.100.1' });
    send({ from: '2001:db8:c::1', to: WEB6 });
    await mux.apply(SETTLE());
    expect(send({ from: '198.51.100.254', syn: true })).toBe(1);
    expect(send({ from: '198.51.101.1', syn: true })).toBe(2);
    expect(send({ from: '2001:db8:c::ffff:1', to: WEB6, syn: true })).toBe(1);
    expect(send({ from: '2001:db8:c:1::1', to: WEB6, syn: true })).toBe(2);
    expect(mux.nameClient(web, '198.51.100.9')).toMatchObject({ client: '198.51.100.0', prefixLength: 24 });
  });

  it('that nobody knows is taken for one that was there before, until all that were have been seen', async () => {
    await start();
    await mux.apply(COMMIT());
    expect(send({ syn: true }), 'it may have been here').toBe(1);
    await mux.apply(SETTLE());
    expect(send({ from: '198.51.100.78', syn: true }), 'it would have been seen').toBe(2);
    await mux.apply(DONE());
    expect(send({})).toBe(2);
  });
});

describe('the timeout of a client', () => {
  it('is 20 minutes unless the service says otherwise', async () => {
    await start();
    await mux.apply(TRACK());
    send({});
    expect(known()!.idleTimeoutMs / MINUTE_MS).toBeCloseTo(20, 2);
  });

  it('has not ended for one that returns within it, whatever connection it returns with', async () => {
    await start();
    await mux.apply(TRACK());
    send({ port: 1_000 });
    wait(19 * MINUTE_MS);
    sweep();
    await mux.apply(SETTLE());
    expect(send({ port: 2_000, syn: true })).toBe(1);
    wait(19 * MINUTE_MS);
    expect(send({ port: 1_000 })).toBe(1);
  });

  it('has ended for one that returns long after it', async () => {
    await start();
    await mux.apply(TRACK());
    send({ port: 1_000 });
    await mux.apply(SETTLE());
    wait(4 * TIMEOUT_MS + SECOND_MS);
    expect(send({ port: 2_000, syn: true })).toBe(2);
    expect(send({ port: 2_000 })).toBe(2);
  });

  it('is counted from a SYN too, which may be of one that has been here before', async () => {
    await start();
    await mux.apply(COMMIT());
    // An attempt that came to nothing, beside connections that are silent.
    expect(send({ port: 3_000, syn: true })).toBe(1);
    wait(15 * MINUTE_MS);
    sweep();
    await mux.apply(SETTLE());
    expect(send({ port: 1_000 }), 'another connection, before the timeout').toBe(1);
    wait(15 * MINUTE_MS);
    expect(send({ port: 1_000 })).toBe(1);
  });

  it('of one of whom a SYN alone was seen ends with it', async () => {
    await start();
    await mux.apply(COMMIT());
    send({ syn: true });
    wait(TIMEOUT_MS + 68 * SECOND_MS);
    expect(sweep()).toBe(1);
  });

  it('may be as long as a service can have it, with half an hour to hear of the last packet', async () => {
    await start({ idleTimeoutMs: IDLE_TIMEOUT_MS_MAX });
    await mux.apply(TRACK());
    send({});
    const late = 20 * MINUTE_MS;
    wait(IDLE_TIMEOUT_MS_MAX + late);
    expect(sweep()).toBe(0);
    await mux.apply(SETTLE());
    expect(send({ port: 2_000, syn: true }), 'as the owner has it').toBe(1);
    wait(4.5 * HOUR_MS);
    expect(sweep(), 'before flow time has gone round').toBe(1);
    expect(send({ port: 2_000, syn: true })).toBe(2);
  });
});

describe('a client that is let go', () => {
  const release = (client = CLIENT) =>
    mux.flows.release({
      poolId: POOL,
      fingerprint: mux.nameClient(web, client)!.fingerprint,
      protocol: 'tcp',
      ipVersion: 4,
      client: Uint8Array.of(198, 51, 100, 77),
      idleTimeoutMs: TIMEOUT_MS,
    });

  it('goes where new ones go, and others stay where they are', async () => {
    await start();
    await mux.apply(TRACK());
    send({});
    send({ from: '198.51.100.78' });
    await mux.apply(COMMIT());
    expect(send({})).toBe(1);
    expect(release()).toMatchObject({
      outcome: 'released',
      known: { table: { backend: 1, isOfClient: true }, cache: { backend: 1 } },
    });
    expect(send({ port: 5_000, syn: true })).toBe(2);
    expect(send({ port: 1_000 })).toBe(2);
    expect(send({ from: '198.51.100.78' })).toBe(1);
    expect(release()).toMatchObject({ outcome: 'there' });
  });

  it('is remembered there where it was not known, or base would have it', async () => {
    await start();
    await mux.apply(COMMIT());
    expect(release()).toMatchObject({ outcome: 'released', known: { table: undefined, cache: undefined } });
    expect(known()).toMatchObject({ backend: 2, isOfClient: true, client: Uint8Array.of(198, 51, 100, 77) });
    expect(send({ syn: true })).toBe(2);
    expect(sweep()).toBe(0);
  });

  it('was nowhere where its slot is clean', async () => {
    await start();
    expect(release()).toMatchObject({ outcome: 'nothing' });
    await mux.apply(COMMIT());
    expect(known()).toBeUndefined();
  });

  it('is not where its bucket has no place for it', async () => {
    await start();
    await mux.apply(COMMIT());
    const full = fillBucketOf(mux.nameClient(web, CLIENT)!.fingerprint);
    expect(full).toBeGreaterThan(0);
    expect(release()).toMatchObject({ outcome: 'full' });
    expect(send({ syn: true })).toBe(1);
  });

  /** Other clients, until the bucket of the flow has no place for one that is unproven. How many. */
  function fillBucketOf(fingerprint: bigint): number {
    const buckets = BigInt(mux.flows.fill.max / 7);
    const bucketOf = (hash: bigint) => ((hash & 0xffff_ffffn) * buckets) >> 32n;
    let found = 0;
    for (let host = 0; host < 1 << 24 && found < 5; host++) {
      const from = `10.${host >> 16}.${(host >> 8) & 255}.${host & 255}`;
      if (bucketOf(mux.nameClient(web, from)!.fingerprint) !== bucketOf(fingerprint)) continue;
      send({ from });
      found++;
    }
    return found;
  }
});
