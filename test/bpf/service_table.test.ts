// Services that stand next to each other in the table: probing, and removal in the middle of a probe sequence.
import { afterEach, describe, expect, it } from 'vitest';
import type { MuxProgram } from '../../control/dataplane/mux.ts';
import { flowOf, plain } from './lib/case.ts';
import { frame, payload } from './lib/packets.ts';
import { servicePlace } from './lib/reference.ts';
import { loadMux, moved, runOn, trafficOf } from './lib/rig.ts';
import { BACKENDS, KEY, SERVICE4, SERVICE6, TCP } from './lib/site.ts';

const PROBES = 8;
const PLACES = 4096;

const addressOf = (version: 4 | 6): string => (version === 4 ? SERVICE4 : SERVICE6);
const placeOf = (version: 4 | 6, port: number): number =>
  servicePlace(KEY, { address: addressOf(version), port, protocol: TCP });

/** TCP ports whose search begins at `place`, or at one of the `width` places from there on. */
function portsAt(version: 4 | 6, place: number, width = 1): number[] {
  const ports: number[] = [];
  for (let port = 1; port < 65536; port++)
    if ((placeOf(version, port) - place + PLACES) % PLACES < width) ports.push(port);
  return ports;
}

describe('services that collide', () => {
  let mux: MuxProgram | undefined;
  afterEach(() => {
    mux?.close();
    mux = undefined;
  });

  async function load(): Promise<MuxProgram> {
    mux = loadMux();
    await mux.setBackend(1, BACKENDS.get(1)!);
    mux.setSlots(0, new Uint16Array(4).fill(1));
    return mux;
  }

  const service = (version: 4 | 6, port: number) => ({
    address: addressOf(version),
    protocol: 'tcp' as const,
    port,
    slotBase: 0,
    slotCount: 4,
  });

  /** The reason that a packet to a port leaves with. */
  function ask(version: 4 | 6, port: number, tags: { tci: number }[] = []): string {
    const before = mux!.counters().reasons;
    runOn(mux!.program, frame(plain(flowOf({ version, protocol: TCP, port }), payload(20)), { tags }));
    return Object.keys(moved(before, mux!.counters().reasons)).join();
  }

  /** Far from the place of the address itself, so that only the ports stand there. */
  function quietPlace(version: 4 | 6): number {
    return (servicePlace(KEY, { address: addressOf(version), port: 0, protocol: 0 }) + PLACES / 2) % PLACES;
  }

  it.each([4, 6] as const)('finds eight at one place over IPv%i, and refuses a ninth', async (version) => {
    await load();
    const ports = portsAt(version, quietPlace(version)).slice(0, PROBES + 2);
    expect(ports.length).toBe(PROBES + 2);
    for (const port of ports.slice(0, PROBES)) await mux!.setService(service(version, port));
    for (const port of ports.slice(0, PROBES)) {
      expect(ask(version, port)).toBe('FORWARD');
      expect(ask(version, port, [{ tci: 1 }])).toBe('FORWARD');
    }
    await expect(mux!.setService(service(version, ports[PROBES]!))).rejects.toThrow(/place/);
    expect(ask(version, ports[PROBES]!)).toBe('PASS_NO_SUCH_PORT');
    for (const port of ports.slice(0, PROBES)) expect(ask(version, port)).toBe('FORWARD');
  });

  it.each([0, 1, 3, 6, 7])(
    'finds the others after number %i of eight is removed, and it when it is back',
    async (removed) => {
      await load();
      const ports = portsAt(4, quietPlace(4)).slice(0, PROBES);
      for (const port of ports) await mux!.setService(service(4, port));
      await mux!.removeService(service(4, ports[removed]!));
      const expected = ports.map((_, i) => (i === removed ? 'PASS_NO_SUCH_PORT' : 'FORWARD'));
      expect(ports.map((port) => ask(4, port))).toEqual(expected);
      await mux!.setService(service(4, ports[removed]!));
      expect(ports.map((port) => ask(4, port))).toEqual(ports.map(() => 'FORWARD'));
    },
  );

  it('finds services across the end of the table', async () => {
    await load();
    const ports = portsAt(4, PLACES - 2).slice(0, PROBES);
    for (const port of ports) await mux!.setService(service(4, port));
    expect(ports.map((port) => ask(4, port))).toEqual(ports.map(() => 'FORWARD'));
    await mux!.removeService(service(4, ports[1]!));
    await mux!.removeService(service(4, ports[4]!));
    expect(ports.map((port) => ask(4, port) === 'FORWARD')).toEqual(ports.map((_, i) => i !== 1 && i !== 4));
  });

  it('agrees with a set under random additions and removals around one place', async () => {
    await load();
    const ports = portsAt(4, quietPlace(4), 4).slice(0, 24);
    const present = new Set<number>();
    let state = 1;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    let refused = 0;
    for (let step = 0; step < 300; step++) {
      const port = ports[random(ports.length)]!;
      if (present.has(port)) {
        await mux!.removeService(service(4, port));
        present.delete(port);
      } else {
        try {
          await mux!.setService(service(4, port));
          present.add(port);
        } catch {
          refused++;
        }
      }
      const found = ports.filter((it) => ask(4, it) === 'FORWARD');
      expect(found, `step ${step}`).toEqual(ports.filter((it) => present.has(it)));
    }
    expect(refused).toBeGreaterThan(0);
    expect(present.size).toBeLessThan(PROBES + 4);
  });

  it('leaves an address alone once its last service is gone', async () => {
    await load();
    await mux!.setService(service(4, 80));
    await mux!.setService(service(4, 81));
    expect([ask(4, 80), ask(4, 82)]).toEqual(['FORWARD', 'PASS_NO_SUCH_PORT']);
    await mux!.removeService(service(4, 80));
    expect([ask(4, 80), ask(4, 81)]).toEqual(['PASS_NO_SUCH_PORT', 'FORWARD']);
    await mux!.removeService(service(4, 81));
    expect([ask(4, 80), ask(4, 81)]).toEqual(['PASS_NOT_A_SERVICE', 'PASS_NOT_A_SERVICE']);
  });

  it('replaces a service whose place is in the middle of a sequence', async () => {
    await load();
    await mux!.setBackend(2, BACKENDS.get(2)!);
    mux!.setSlots(8, new Uint16Array(4).fill(2));
    const ports = portsAt(4, quietPlace(4)).slice(0, 6);
    for (const port of ports) await mux!.setService(service(4, port));
    await mux!.setService({ ...service(4, ports[2]!), slotBase: 8 });
    const before = trafficOf(mux!).backends;
    expect(ports.map((port) => ask(4, port))).toEqual(ports.map(() => 'FORWARD'));
    const after = trafficOf(mux!).backends;
    expect(Number(after.get(2)!.packets - before.get(2)!.packets)).toBe(1);
    expect(Number(after.get(1)!.packets - before.get(1)!.packets)).toBe(ports.length - 1);
  });

  it('counts a new service from zero where another one stood before', async () => {
    await load();
    const [first, second] = portsAt(4, quietPlace(4));
    await mux!.setService(service(4, first!));
    ask(4, first!);
    await mux!.removeService(service(4, first!));
    await mux!.setService(service(4, second!));
    expect(trafficOf(mux!).services.get(`${SERVICE4} ${second} 6`)).toEqual({
      packets: 0n,
      bytes: 0n,
      newFlows: 0n,
    });
  });

  it('keeps the counts of a service whose configuration changes', async () => {
    await load();
    await mux!.setService(service(4, 80));
    ask(4, 80);
    await mux!.setService({ ...service(4, 80), ignoreSourcePort: true });
    ask(4, 80);
    expect(trafficOf(mux!).services.get(`${SERVICE4} 80 6`)!.packets).toBe(2n);
  });
});
