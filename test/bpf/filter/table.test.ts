// The table of affinities: places, quotas, what is counted and noted when there are none, and what user space has done.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AffinityCommand, FilterRule } from '../../../control/dataplane/generated/layout.ts';
import { packetTo, syn } from '../lib/filter_packets.ts';
import { FilterServer, INCARNATION, OBSERVER_EXPLAIN, SITE, TIMEOUT } from '../lib/filter_server.ts';

const SELF = 2;
const BUCKETS = 16;
const PLACES = BUCKETS * 4;
const CLIENTS = 600;
const client = (i: number): string => `198.51.${Math.floor(i / 250)}.${1 + (i % 250)}`;

let server: FilterServer;
beforeAll(() => {
  server = new FilterServer({ id: SELF, affinityBuckets: BUCKETS });
});
afterAll(() => server?.close());
beforeEach(() => {
  server.clear();
  server.setSelf({ id: SELF, incarnation: INCARNATION(SELF) });
  server.view('.data.unrecorded').setBigUint64(0, 0n, true);
  for (const service of Object.keys(SITE)) server.setBuckets(service, SELF);
});

const fill = (service: 'host' | 'hostUdp', isProven: boolean): void => {
  for (let i = 0; i < CLIENTS; i++) {
    server.run(syn(service, { client: client(i) }).frame);
    if (isProven) server.run(packetTo(service, { client: client(i) }).frame);
  }
};

describe('a table that is full', () => {
  it('of beginnings has half of its places left for the others', () => {
    fill('host', false);
    expect(server.affinities().size).toBe(PLACES / 2);
    expect([...server.affinities().values()].every((it) => it.is_proven === 0)).toBe(true);
  });

  it('evicts nobody: a session is served unrecorded, counted, and noted', () => {
    fill('host', true);
    const known = [...server.affinities().keys()];
    expect(known.length).toBeGreaterThan(PLACES * 0.9);
    const fresh = Array.from({ length: 50 }, (_, i) => syn('host', { client: `192.168.0.${i}` }));
    const full = fresh.filter((it) => 'AFFINITY_FULL' in server.judge(it.frame).counted);
    expect(full.length).toBeGreaterThan(40);
    expect(server.unrecordedNs(0)).toBe(server.nowNs);
    for (const hash of known) expect(server.affinities().has(hash)).toBe(true);
    for (const it of full)
      expect(server.judge(it.frame)).toMatchObject({
        verdict: 'PASS',
        counted: { ACCEPT_OWN: 1, AFFINITY_FULL: 1 },
      });
  });

  it('notes a session of a tracked bucket with its holders', () => {
    fill('host', true);
    server.view('.data.unrecorded').setBigUint64(0, 0n, true);
    const record = server.setBuckets('host', SELF, SELF, { servers: [] });
    for (let i = 0; i < 50; i++) server.run(syn('host', { client: `192.168.1.${i}` }).frame);
    expect(server.unrecordedNs(record)).toBe(server.nowNs);
    expect(server.unrecordedNs(0)).toBe(0n);
  });

  it('of a server that is being released leaves new clients to the current one', () => {
    fill('host', true);
    server.changePeer(3, { flags: 0 });
    server.setBuckets('host', 3, SELF, { servers: [SELF] });
    const counted = Array.from(
      { length: 50 },
      (_, i) => server.judge(syn('host', { client: `192.168.2.${i}` }).frame).counted,
    );
    const full = counted.filter((it) => 'AFFINITY_FULL' in it);
    expect(full.length).toBeGreaterThan(40);
    for (const it of full) expect(it).toEqual({ AFFINITY_FULL: 1, DROP_NOT_MINE: 1 });
    server.changePeer(3, { flags: 3 });
  });

  it('has places again when its clients are silent for long enough', () => {
    fill('host', true);
    server.advance(TIMEOUT + 1);
    expect(server.judge(syn('host', { client: '192.168.3.1' }).frame).counted).toEqual({
      ACCEPT_OWN: 1,
      AFFINITY_RECORDED: 1,
    });
  });
});

it('finds every client that it has recorded, wherever it stands', () => {
  const wide = new FilterServer({ id: SELF, affinityBuckets: 1024 });
  try {
    wide.setBuckets('host', SELF);
    for (let i = 0; i < CLIENTS; i++) {
      wide.run(syn('host', { client: client(i) }).frame);
      wide.run(packetTo('host', { client: client(i) }).frame);
    }
    const known = wide.affinities();
    wide.setBuckets('host', 3, 3, { servers: [SELF] });
    for (let i = 0; i < CLIENTS; i++) {
      const sent = packetTo('host', { client: client(i) });
      const wanted = known.has(sent.hash) ? { ACCEPT_AFFINITY: 1 } : { DROP_NOT_MINE: 1 };
      expect(wide.judge(sent.frame).counted, client(i)).toEqual(wanted);
    }
    expect(known.size).toBe(CLIENTS);
  } finally {
    wide.close();
  }
});

describe('user space', () => {
  const sweep = () =>
    server.command({ command: AffinityCommand.AFFINITY_COMMAND_SWEEP, buckets: 256 }).request;
  const heldSlots = (): number[] => {
    const view = server.view('held_slots');
    return Array.from({ length: 1024 }, (_, slot) => slot).filter(
      (slot) => (view.getBigUint64(Math.floor(slot / 64) * 8, true) >> BigInt(slot % 64)) & 1n,
    );
  };
  beforeEach(() => {
    const view = server.view('held_slots');
    for (let at = 0; at < 128; at += 8) view.setBigUint64(at, 0n, true);
  });

  it('sweeps out what has expired, and counts what lives', () => {
    server.run(syn('host').frame);
    server.run(syn('hostUdp').frame);
    server.run(packetTo('hostUdp').frame);
    expect(sweep()).toMatchObject({ count: 0, live: 2, nascent: 1, bucket: BUCKETS });
    server.advance(300);
    expect(sweep()).toMatchObject({ count: 1, live: 1, nascent: 0 });
    expect(heldSlots()).toEqual([]);
  });

  it('learns which slots of others are still held here', () => {
    server.run(syn('host').frame);
    server.setBuckets('host', 3, 3, { servers: [SELF] });
    sweep();
    expect(heldSlots()).toEqual([server.affinities().get(syn('host').hash)!.slot]);
  });

  it('sweeps out what another incarnation had', () => {
    const wide = new FilterServer({ id: SELF, affinityBuckets: 1024 });
    try {
      wide.setBuckets('host', SELF);
      for (let i = 0; i < 20; i++) wide.run(syn('host', { client: client(i) }).frame);
      wide.setSelf({ incarnation: 4711 });
      wide.run(syn('host', { client: client(30) }).frame);
      let swept = 0;
      for (let bucket = 0; bucket < 1024; bucket += 256)
        swept += wide.command({ command: AffinityCommand.AFFINITY_COMMAND_SWEEP, bucket, buckets: 256 })
          .request.count;
      expect(swept).toBe(20);
      expect(wide.affinities().size).toBe(1);
    } finally {
      wide.close();
    }
  });

  it('looks up and releases one client', () => {
    const { hash } = syn('host');
    server.run(syn('host').frame);
    const found = () => server.command({ command: AffinityCommand.AFFINITY_COMMAND_LOOK_UP, hash }).entry[0]!;
    expect(found()).toMatchObject({ hash, lifetime: 250, server: 0 });
    const entry = {
      hash,
      slot: 0,
      incarnation: 0,
      server: 0,
      lifetime: 0,
      age: 0,
      is_proven: 0,
      reserved: 0,
    };
    expect(server.command({ command: AffinityCommand.AFFINITY_COMMAND_RELEASE }, [entry]).request.count).toBe(
      1,
    );
    expect(found().lifetime).toBe(0);
    expect(server.command({ command: AffinityCommand.AFFINITY_COMMAND_RELEASE }, [entry]).request.count).toBe(
      0,
    );
    server.learn({ hash, server: 3, lifetime: 300 });
    expect(
      server.command({ command: AffinityCommand.AFFINITY_COMMAND_RELEASE, flags: 1 }, [entry]).request.count,
    ).toBe(1);
    expect(server.foreign(hash)).toBeUndefined();
  });
});

describe('a filter that explains', () => {
  let explaining: FilterServer;
  beforeAll(() => {
    explaining = new FilterServer({ id: SELF, observer: OBSERVER_EXPLAIN });
  });
  afterAll(() => explaining?.close());
  beforeEach(() => explaining.clear());

  it('says by which rule, and who answers, and writes nothing', () => {
    const R = FilterRule;
    const judge = (frame: Uint8Array) => {
      const before = explaining.tables();
      const { verdict } = explaining.run(frame);
      expect(explaining.tables()).toBe(before);
      const { rule, answer, asked } = explaining.explanation();
      return { verdict, rule, answer, asked };
    };
    explaining.view('.data.filter_expl').setUint32(28, 0, true);
    explaining.setBuckets('host', 3);
    expect(judge(syn('host').frame)).toEqual({
      verdict: 'DROP',
      rule: R.FILTER_RULE_CLEAN,
      answer: 3,
      asked: 0,
    });
    explaining.setBuckets('host', SELF);
    expect(judge(syn('host').frame)).toEqual({
      verdict: 'PASS',
      rule: R.FILTER_RULE_OWN,
      answer: SELF,
      asked: 0,
    });
    explaining.setBuckets('host', SELF, SELF, { servers: [3] });
    expect(judge(syn('host').frame)).toEqual({
      verdict: 'TX',
      rule: R.FILTER_RULE_QUERY,
      answer: 0,
      asked: 3,
    });
    explaining.setBuckets('host', 4, 4, { servers: [3] });
    expect(judge(syn('host').frame)).toMatchObject({
      verdict: 'DROP',
      rule: R.FILTER_RULE_NOT_MINE,
      answer: 4,
    });
    explaining.learn({ hash: syn('host').hash, server: 1, lifetime: 300 });
    expect(judge(syn('host').frame)).toMatchObject({
      verdict: 'DROP',
      rule: R.FILTER_RULE_FOREIGN,
      answer: 1,
    });
  });
});
