// A client reaches the service through every mux, by every protocol, and the backends share the work.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { documentOf, SLOTS } from './configuration.ts';
import { sharesOf } from './demo/shares.ts';
import { flood } from './generator.ts';
import type { Lab } from './lab.ts';
import { ECHO_PORT } from './plan.ts';
import { runIn } from './shell.ts';
import { eventually, muxPackets, raiseTestLab, removeTestLab } from './support.ts';

const MIB = 1 << 20;
let lab: Lab;

beforeAll(async () => {
  lab = await raiseTestLab();
});
afterAll(() => removeTestLab(lab));

const families = [
  ['IPv4', 'services4'],
  ['IPv6', 'services6'],
] as const;

describe.each(families)('over %s', (_, services) => {
  const load = { concurrency: 32, timeoutMs: 10_000 };

  it('answers HTTP through each mux', async () => {
    const agent = await lab.client();
    for (const { node, daemon } of lab.muxes) {
      for (const address of lab.plan[services]) {
        const before = await daemon.packets('FORWARD');
        const { trafficClass } = node;
        const { backend } = await agent.call('probe', { address, trafficClass, timeoutMs: 5_000 });
        expect(backend).toMatch(/^backend\d$/);
        // The request, what acknowledges the answer, and the end; the handshake took any mux.
        expect(await daemon.packets('FORWARD')).toBeGreaterThanOrEqual(before + 3);
      }
    }
  });

  it('spreads connections over all backends and all muxes', async () => {
    const before = await Promise.all(lab.muxes.map(({ daemon }) => daemon.packets('FORWARD')));
    const agent = await lab.client();
    const result = await agent.call('requests', { ...load, addresses: lab.plan[services], count: 1_200 });
    expect(result).toMatchObject({ succeeded: 1_200, failed: 0 });
    // 200 each; the standard deviation is 13, so that one in 10^8 runs has a share beyond 40 %.
    const weights = new Map(lab.plan.backends.map(({ name }) => [name, 1]));
    for (const { deviationPercent } of sharesOf(result.perBackend, weights)) {
      expect(Math.abs(deviationPercent)).toBeLessThan(40);
    }
    for (const [index, { daemon }] of lab.muxes.entries()) {
      expect(await daemon.packets('FORWARD')).toBeGreaterThan(before[index]! + 500);
    }
  });

  it('counts every new connection of a backend as one new flow', async () => {
    const newFlows = async () => {
      const all = await Promise.all(lab.muxes.map(({ daemon }) => daemon.client.stats()));
      const rows = all.flatMap(({ backends }) => backends);
      return lab.plan.backends.map(({ name }) =>
        rows.filter((row) => row.name === name).reduce((sum, row) => sum + row.newFlows, 0),
      );
    };
    const before = await newFlows();
    const agent = await lab.client();
    const result = await agent.call('requests', { ...load, addresses: lab.plan[services], count: 300 });
    const counted = (await newFlows()).map((flows, index) => flows - before[index]!);
    expect(counted).toEqual(lab.plan.backends.map(({ name }) => result.perBackend[name] ?? 0));
  });

  it('answers datagrams', async () => {
    const agent = await lab.client();
    const what = { ...load, addresses: lab.plan[services], count: 300, sizeBytes: 64 };
    expect(await agent.call('datagrams', what)).toMatchObject({ succeeded: 300, failed: 0 });
  });

  it('carries a datagram of 8 KB in fragments, and its echo', async () => {
    const [first, later] = [
      await muxPackets(lab, 'FORWARD_FIRST_FRAGMENT'),
      await muxPackets(lab, 'FORWARD_LATER_FRAGMENT'),
    ];
    const agent = await lab.client();
    const count = 40;
    const what = { addresses: lab.plan[services], count, concurrency: 2, sizeBytes: 8_192, timeoutMs: 3_000 };
    expect(await agent.call('datagrams', what)).toMatchObject({ succeeded: count, failed: 0 });
    expect(await muxPackets(lab, 'FORWARD_FIRST_FRAGMENT')).toBe(first + count);
    expect(await muxPackets(lab, 'FORWARD_LATER_FRAGMENT')).toBe(later + 5 * count);
  });

  it.each(['download', 'upload'] as const)('carries a large %s intact', async (direction) => {
    const agent = await lab.client();
    const what = { address: lab.plan[services][0]!, direction, sizeBytes: 32 * MIB, timeoutMs: 30_000 };
    expect(await agent.call('transfer', what)).toMatchObject({ intact: true, sizeBytes: 32 * MIB });
  });

  it('answers ICMP echo for the service address, by the mux itself', async () => {
    const before = await muxPackets(lab, 'REPLY_ECHO');
    const netns = lab.plan.clients[0]!.netns;
    for (const address of lab.plan[services]) {
      expect(runIn(netns, 'ping', '-n', '-c', '3', '-i', '0.05', '-W', '2', address)).toContain('3 received');
    }
    expect(await muxPackets(lab, 'REPLY_ECHO')).toBe(before + 6);
  });
});

describe('a packet that is dropped', () => {
  it('is captured with its reason, whole, and forwarding goes on', async () => {
    const agent = await lab.client();
    const [mux] = lab.muxes;
    const address = lab.plan.services4[0]!;
    const document = documentOf(lab.plan);
    // A pool that had backends goes on with them: this one never has any.
    const unserved = {
      ...document,
      pools: [...document.pools, { name: 'nobody', slots: SLOTS }],
      services: document.services.map((it) => (it.name === 'echo-udp' ? { ...it, pool: 'nobody' } : it)),
    };
    lab.useMuxes(mux!);
    try {
      await lab.apply(unserved, { force: true });
      const wanted = { reasons: ['DROP_NO_BACKEND'], address, protocol: 'udp', port: ECHO_PORT } as const;
      const capture = Array.fromAsync(
        mux!.daemon.client.capture({ ...wanted, reasons: [...wanted.reasons], packets: 5, seconds: 5 }),
      );
      await eventually(
        async () => ((await mux!.daemon.client.status()).capturing ? true : undefined),
        'the capture',
      );
      const lost = { addresses: [address], count: 5, concurrency: 5, sizeBytes: 100, timeoutMs: 300 };
      expect(await agent.call('datagrams', lost)).toMatchObject({ failed: 5 });
      const packets = await capture;
      expect(packets.map(({ reason }) => reason)).toEqual(Array(5).fill('DROP_NO_BACKEND'));
      for (const { frame, lengthBytes } of packets) {
        const bytes = Buffer.from(frame, 'hex');
        expect(bytes.length).toBe(lengthBytes);
        expect(lengthBytes).toBe(14 + 20 + 8 + 100);
        // As it came: the destination is still the service address.
        expect([...bytes.subarray(30, 34)].join('.')).toBe(address);
      }
      await lab.apply(document);
      const fine = { ...lost, timeoutMs: 3_000 };
      expect(await agent.call('datagrams', fine)).toMatchObject({ succeeded: 5 });
    } finally {
      await lab.apply(document);
      lab.useMuxes(...lab.muxes);
    }
    const again = { addresses: [address], count: 20, concurrency: 5, timeoutMs: 5_000 };
    expect(await agent.call('requests', again)).toMatchObject({ succeeded: 20, failed: 0 });
  });
});

describe('the packet generator', () => {
  it('gets every packet back from a mux in a tunnel, and from the reflector as it was', async () => {
    const options = { durationMs: 100, flows: 4_096 };
    // A heartbeat moves the polling of the link to another CPU, where the generator overruns it.
    const daemons = lab.muxes.map(({ daemon }) => daemon.pid!);
    for (const pid of daemons) process.kill(pid, 'SIGSTOP');
    try {
      const mux = await flood(lab.plan, lab.ports, lab.muxes[0]!.node, options);
      expect(mux.tunnelled).toBe(mux.sent);
    } finally {
      for (const pid of daemons) process.kill(pid, 'SIGCONT');
    }
    const reflector = await flood(lab.plan, lab.ports, lab.plan.reflector, options);
    expect(reflector).toMatchObject({ tunnelled: 0, returned: reflector.sent });
  });
});

it('uses every shape of the tunnel', async () => {
  const shapes = lab.plan.backends.map(
    ({ encap, tunnelAddress }) => `${encap}${tunnelAddress.includes(':')}`,
  );
  expect(new Set(shapes).size).toBe(4);
  expect(await muxPackets(lab, 'DROP_NO_NEIGHBOUR')).toBe(0);
  expect(await muxPackets(lab, 'DROP_NO_ROUTE')).toBe(0);
});
