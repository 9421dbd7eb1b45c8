// Paths that are too narrow, on either side of the mux: whoever sends too much is told, and goes on with less.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Lab } from './lab.ts';
import type { LabNode } from './plan.ts';
import { runIn } from './shell.ts';
import { muxPackets, raiseTestLab, removeTestLab } from './support.ts';
import { forgetPathMtus, narrowPath, sendErrorsThrough } from './topology.ts';

const NARROW_BYTES = 1_400;
const SIZE_BYTES = 8 << 20;
let lab: Lab;

beforeAll(async () => {
  lab = await raiseTestLab();
});
afterAll(() => removeTestLab(lab));

const pathMtu = (node: LabNode, address: string): number => {
  const learnt = /\bmtu (\d+)/.exec(runIn(node.netns, 'ip', 'route', 'get', address));
  return learnt === null ? node.mtuBytes : Number(learnt[1]);
};

const families = [
  ['IPv4', 'services4', 'address4'],
  ['IPv6', 'services6', 'address6'],
] as const;

describe.each(families)('over %s', (_, services, clientAddress) => {
  afterEach(async () => {
    await lab.limitMtu(undefined);
    for (const client of lab.plan.clients) {
      narrowPath(lab.plan, client, undefined);
      forgetPathMtus(client);
    }
    for (const backend of lab.plan.backends) forgetPathMtus(backend);
  });

  it('a client whose packets do not fit the tunnel is told by the mux, and recovers', async () => {
    const agent = await lab.client(1);
    const client = lab.plan.clients[0]!;
    const address = lab.plan[services][0]!;
    expect(pathMtu(client, address)).toBe(1_500);
    await lab.limitMtu(1_500);
    const before = await muxPackets(lab, 'REPLY_TOO_BIG');
    // Several, so that backends with tunnels of all sizes are among them.
    const seen = new Set<string>();
    for (let upload = 0; upload < 12; upload += 1) {
      const what = { address, direction: 'upload', sizeBytes: SIZE_BYTES / 4, timeoutMs: 10_000 } as const;
      const result = await agent.call('transfer', what);
      expect(result).toMatchObject({ intact: true });
      seen.add(result.backend);
    }
    expect(seen.size).toBeGreaterThan(2);
    expect(await muxPackets(lab, 'REPLY_TOO_BIG')).toBeGreaterThan(before);
    // 1500 less an outer header of 20 to 48 bytes.
    expect(pathMtu(client, address)).toBeGreaterThanOrEqual(1_452);
    expect(pathMtu(client, address)).toBeLessThanOrEqual(1_480);
  });

  it("an error about a server's packets reaches the backend that sent them", async () => {
    const agent = await lab.client(2);
    const client = lab.plan.clients[1]!;
    const address = lab.plan[services][0]!;
    narrowPath(lab.plan, client, NARROW_BYTES);
    const before = await muxPackets(lab, 'FORWARD_ICMP_ERROR');
    const what = { address, direction: 'download', sizeBytes: SIZE_BYTES, timeoutMs: 20_000 } as const;
    const { backend: sender, intact } = await agent.call('transfer', what);
    expect(intact).toBe(true);
    expect(await muxPackets(lab, 'FORWARD_ICMP_ERROR')).toBeGreaterThan(before);
    // Only the sender has learnt of it: no other backend was told.
    const learnt = lab.plan.backends.filter(
      (backend) => pathMtu(backend, client[clientAddress]) === NARROW_BYTES,
    );
    expect(learnt.map(({ name }) => name)).toEqual([sender]);
  });

  it('the error may take another mux than the connection', async () => {
    const agent = await lab.client(2);
    const client = lab.plan.clients[1]!;
    const address = lab.plan[services][1]!;
    narrowPath(lab.plan, client, NARROW_BYTES);
    const [carrier, ...others] = lab.muxes;
    lab.useMuxes(carrier!);
    try {
      for (const { node, daemon } of others) {
        for (const backend of lab.plan.backends) forgetPathMtus(backend);
        sendErrorsThrough(lab.plan, node);
        const before = (await daemon.client.stats()).reasons;
        const what = { address, direction: 'download', sizeBytes: SIZE_BYTES, timeoutMs: 10_000 } as const;
        expect(await agent.call('transfer', what)).toMatchObject({ intact: true });
        const after = (await daemon.client.stats()).reasons;
        expect(after.FORWARD_ICMP_ERROR).toBeGreaterThan(before.FORWARD_ICMP_ERROR ?? 0);
        expect(after.FORWARD).toBe(before.FORWARD);
      }
    } finally {
      sendErrorsThrough(lab.plan, undefined);
      lab.useMuxes(...lab.muxes);
    }
  });
});
