// What changes while packets flow: backends, generations, slots, server IDs; and what two programs agree on.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MuxProgram } from '../../control/dataplane/mux.ts';
import { type Case, drops, ends, flowOf, forwards, plain, segment } from './lib/case.ts';
import { be, concat, frame, ipv4, payload, raw } from './lib/packets.ts';
import { judge, loadMux, Rig, runOn, trafficOf } from './lib/rig.ts';
import { BACKENDS, PLAIN, POOL, PORT, QUIC_POOL, ROTATION, SERVICE4, TCP, testKey, UDP } from './lib/site.ts';

describe('changes', () => {
  let rig: Rig;
  beforeEach(async () => {
    rig = await Rig.load();
  });
  afterEach(() => rig.close());

  const flow = flowOf({ version: 4, protocol: UDP, port: PORT.of(PLAIN.v4) });
  const forward = (): Case => forwards({ name: 'to the backend', flow }, plain(flow, payload(20)));
  const none = (): Case => drops({ name: 'no backend' }, plain(flow, payload(20)), 'DROP_NO_BACKEND');

  it('drops what is for a backend that was removed, and forwards again when it is back', async () => {
    judge(rig, forward());
    await rig.mux.setBackend(PLAIN.v4, undefined);
    judge(rig, none());
    await rig.mux.setBackend(PLAIN.v4, BACKENDS.get(PLAIN.v4)!);
    judge(rig, forward());
  });

  it('moves a flow with its slot', async () => {
    rig.mux.setSlots(PLAIN.v4 * 4, new Uint16Array(4).fill(PLAIN.gue6));
    judge(rig, forwards({ name: 'the new backend', flow, backend: PLAIN.gue6 }, plain(flow, payload(20))));
    rig.mux.setSlots(PLAIN.v4 * 4, new Uint16Array(4));
    judge(rig, none());
  });

  it('forgets first fragments of an earlier generation of a backend', async () => {
    const cut = (fragmentOffset: number, identification: number) =>
      frame(
        ipv4(
          { ...ends(flow), identification, fragmentOffset, moreFragments: fragmentOffset === 0 },
          fragmentOffset === 0 ? segment(flow, payload(56)) : raw(UDP, payload(24)),
        ),
      );
    const reasonOf = (input: Uint8Array): string[] => {
      const before = rig.reasons();
      rig.run(input);
      return Object.entries(rig.reasons()).flatMap(([name, count]) => (count === before[name] ? [] : [name]));
    };
    const backend = BACKENDS.get(PLAIN.v4)!;
    await rig.mux.setBackend(PLAIN.v4, { ...backend, generation: 7 });
    expect(reasonOf(cut(0, 1))).toEqual(['FORWARD_FIRST_FRAGMENT']);
    expect(reasonOf(cut(64, 1))).toEqual(['FORWARD_LATER_FRAGMENT']);
    await rig.mux.setBackend(PLAIN.v4, { ...backend, generation: 8 });
    expect(reasonOf(cut(64, 1))).toEqual(['DROP_FRAGMENT_UNKNOWN']);
    expect(reasonOf(cut(0, 2))).toEqual(['FORWARD_FIRST_FRAGMENT']);
    expect(reasonOf(cut(64, 2))).toEqual(['FORWARD_LATER_FRAGMENT']);
    await rig.mux.setBackend(PLAIN.v4, undefined);
    expect(reasonOf(cut(64, 2))).toHaveLength(1);
    expect(reasonOf(cut(64, 2))[0]).toMatch(/^DROP_(FRAGMENT_UNKNOWN|NO_BACKEND)$/);
  });

  it('rewrites a next hop, an encapsulation and an address', async () => {
    for (const like of [PLAIN.gue6, PLAIN.v6, PLAIN.gue4, PLAIN.v4]) {
      await rig.mux.setBackend(PLAIN.v4, BACKENDS.get(like)!);
      const { input, output } = forwards(
        { name: `like ${like}`, flow, backend: like },
        plain(flow, payload(20)),
      );
      expect(Buffer.compare(rig.run(input).output, output!)).toBe(0);
    }
  });

  it('finds each of a thousand server IDs, and none that was removed', async () => {
    const quicFlow = flowOf({ version: 4, protocol: UDP, port: PORT.quic(4) });
    const pool = QUIC_POOL(4);
    const packetOf = (id: number): Uint8Array => {
      const dcid = concat(be(ROTATION[4]! * 32, 1), be(id, 4), payload(20));
      return frame(plain(quicFlow, concat(be(0x40, 1), dcid)));
    };
    const count = () => Number(rig.reasons().FORWARD_QUIC);
    const ids = Array.from({ length: 1000 }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) ^ 0x5bd1e995) >>> 0);
    const backendOf = (i: number): number => POOL[i % POOL.length]!;
    ids.forEach((id, i) => {
      rig.mux.setServerId(pool, id, backendOf(i));
    });
    const before = trafficOf(rig.mux).backends;
    for (const id of ids) rig.run(packetOf(id));
    const after = trafficOf(rig.mux).backends;
    expect(count()).toBe(1000);
    for (const backend of POOL)
      expect(Number(after.get(backend)!.packets - before.get(backend)!.packets)).toBe(125);
    for (let i = 0; i < 1000; i += 2) rig.mux.setServerId(pool, ids[i]!, undefined);
    ids.forEach((id, i) => {
      const then = count();
      rig.run(packetOf(id));
      expect(count() - then, `server ID ${id}`).toBe(i % 2);
    });
  });

  it('keeps the server IDs of pools apart', async () => {
    const data = concat(be(0x40, 1), be(ROTATION[4]! * 32, 1), be(0x01020304, 4), payload(20));
    const quicFlow = flowOf({ version: 4, protocol: UDP, port: PORT.quic(4) });
    rig.mux.setServerId(QUIC_POOL(3), 0x01020304, PLAIN.v6);
    judge(rig, forwards({ name: 'unknown in this pool', flow: quicFlow }, plain(quicFlow, data)));
    rig.mux.setServerId(QUIC_POOL(4), 0x01020304, PLAIN.v6);
    judge(
      rig,
      forwards(
        { name: 'known', flow: quicFlow, backend: PLAIN.v6, reason: 'FORWARD_QUIC' },
        plain(quicFlow, data),
      ),
    );
  });
});

describe('muxes of a cluster', () => {
  const loaded: MuxProgram[] = [];
  afterEach(() => {
    for (const mux of loaded.splice(0)) mux.close();
  });

  async function mux(hashKey: Uint8Array): Promise<MuxProgram> {
    const one = loadMux({ hashKey });
    loaded.push(one);
    for (const index of POOL) await one.setBackend(index, BACKENDS.get(index)!);
    one.setSlots(
      0,
      Uint16Array.from({ length: 1021 }, (_, i) => POOL[i % 8]!),
    );
    await one.setService({ address: SERVICE4, protocol: 'tcp', port: 443, slotBase: 0, slotCount: 1021 });
    return one;
  }

  const outputs = (one: MuxProgram): string[] =>
    Array.from({ length: 400 }, (_, i) => {
      const flow = flowOf({ version: 4, protocol: TCP, port: 443, clientPort: 1024 + i });
      return Buffer.from(runOn(one.program, frame(plain(flow, payload(4)))).output).toString('hex');
    });

  it('send every flow the same way with the same key, and another way with another', async () => {
    const key = testKey('one');
    const first = outputs(await mux(key));
    expect(outputs(await mux(key))).toEqual(first);
    const other = outputs(await mux(testKey('two')));
    const macOf = (output: string): string => output.slice(0, 12);
    const same = other.filter((output, i) => macOf(output) === macOf(first[i]!)).length;
    // One in eight by chance: 50, and six standard deviations (6.6) around it.
    expect(same).toBeGreaterThan(10);
    expect(same).toBeLessThan(90);
  });
});
