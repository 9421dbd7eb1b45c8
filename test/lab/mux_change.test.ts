// Muxes come and go between a client and its server; the connections stay.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Lab } from './lab.ts';
import { raiseTestLab, removeTestLab } from './support.ts';

const CONNECTIONS = 60;
let lab: Lab;

beforeAll(async () => {
  lab = await raiseTestLab();
  const agent = await lab.client();
  await agent.call('hold', {
    addresses: [...lab.plan.services4, ...lab.plan.services6],
    connections: CONNECTIONS,
    chunkBytes: 4_000,
    intervalMs: 20,
  });
});
afterAll(async () => {
  const agent = await lab?.client();
  await agent?.call('release', {});
  await removeTestLab(lab);
});

const forwarded = (index: number) => lab.muxes[index]!.daemon.packets('FORWARD');

describe('connections in use', () => {
  it('have the same backend whichever mux they take', async () => {
    const agent = await lab.client();
    for (const [index, { node }] of lab.muxes.entries()) {
      const before = await forwarded(index);
      const status = await agent.call('steerHeld', { trafficClass: node.trafficClass });
      // Another backend knows nothing of the connection and would reset it.
      expect(status).toMatchObject({ held: CONNECTIONS, broken: 0 });
      expect((await forwarded(index)) - before).toBeGreaterThanOrEqual(CONNECTIONS);
    }
    await agent.call('steerHeld', { trafficClass: 0 });
  });

  it('stay when a mux is withdrawn and when it returns', async () => {
    const agent = await lab.client();
    for (const withdrawn of lab.muxes.keys()) {
      const before = await forwarded(withdrawn);
      await sleep(200);
      expect(await forwarded(withdrawn)).toBeGreaterThan(before);

      lab.useMuxes(...lab.muxes.filter((_, index) => index !== withdrawn));
      await sleep(200);
      const after = await forwarded(withdrawn);
      const status = await agent.call('heldStatus', {});
      await sleep(400);
      expect(await forwarded(withdrawn)).toBe(after);
      const later = await agent.call('heldStatus', {});
      expect(later).toMatchObject({ held: CONNECTIONS, broken: 0, failures: {} });
      expect(later.fewestRounds).toBeGreaterThan(status.fewestRounds);

      lab.useMuxes(...lab.muxes);
      await sleep(100);
    }
    expect(await agent.call('heldStatus', {})).toMatchObject({ held: CONNECTIONS, broken: 0 });
  });

  it('stay when the program is replaced by one that captures, and back', async () => {
    const agent = await lab.client();
    const captures = lab.muxes.map(({ daemon }) =>
      Array.fromAsync(daemon.client.capture({ reasons: ['FORWARD'], seconds: 0.3 })),
    );
    const captured = (await Promise.all(captures)).flat();
    await sleep(200);
    expect(captured.length).toBeGreaterThan(CONNECTIONS);
    expect(captured.every(({ reason }) => reason === 'FORWARD')).toBe(true);
    expect(await agent.call('heldStatus', {})).toMatchObject({ held: CONNECTIONS, broken: 0 });
  });
});
