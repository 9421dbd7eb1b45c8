// Muxes that announce themselves by BIRD while their store is away: what the router has of those that may decide, of one
// that may not, and of one that is left alone.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routed } from './bird.ts';
import { LEASE_MS } from './configuration.ts';
import { startStreams } from './flows.ts';
import type { Lab, LabMux } from './lab.ts';
import { eventually, raiseTestLab, removeTestLab } from './support.ts';
import { silence } from './topology.ts';

const SETTLE_LIMIT_MS = 40_000;

let lab: Lab;
let mux: LabMux;
let other: LabMux;

beforeAll(async () => {
  lab = await raiseTestLab({ clients: 1, muxes: 2, backends: 2, routes: 'bird', store: 'etcd' });
  [mux, other] = [lab.muxes[0]!, lab.muxes[1]!];
});
afterAll(() => removeTestLab(lab));

const routesAt = async ({ daemon }: LabMux) => (await daemon.client.status()).routes?.announced;

/** As the router has it. */
async function isLastResort({ node }: LabMux): Promise<boolean> {
  const text = await lab.bird!.say(`show route all protocol ${node.name}_4`);
  return text.includes('(65535,0)');
}

describe('muxes whose store is away', () => {
  it('announce on as long as they pledge to each other', async () => {
    await lab.etcd!.end('SIGKILL');
    await sleep(1.5 * LEASE_MS);
    expect([await routesAt(mux), await routesAt(other)]).toEqual(['normal', 'normal']);
    await routed(lab.plan, [mux.node.name, other.node.name]);
  });

  it('are the last resort of the router where nobody else is heard, and forward by what they know', async () => {
    silence(lab.plan, other.node, true);
    await routed(lab.plan, [mux.node.name]);
    expect(await isLastResort(mux)).toBe(false);
    const status = await eventually(
      async () => {
        const found = await mux.daemon.client.status();
        return found.routes?.announced === 'lastResort' && found.routes.inEffect ? found : undefined;
      },
      'the last resort',
      SETTLE_LIMIT_MS,
    );
    expect(status.cluster?.pastDeadline).toBe(true);
    expect(status.problems.map(({ cause }) => cause).join()).toContain('forwards with what it knows');
    await routed(lab.plan, [mux.node.name]);
    expect(await isLastResort(mux)).toBe(true);
    const before = await mux.daemon.packets('FORWARD_ALONE');
    const running = await startStreams(lab, [mux.node.name], [lab.plan.services4[0]!]);
    await sleep(500);
    const { sent, lost } = await running.stop();
    expect(lost).toBe(0);
    expect((await mux.daemon.packets('FORWARD_ALONE')) - before).toBeGreaterThanOrEqual(sent);
  });

  it('announce as before when it is back', async () => {
    silence(lab.plan, other.node, false);
    await lab.etcd!.start();
    await eventually(
      async () =>
        (await routesAt(mux)) === 'normal' && (await routesAt(other)) === 'normal' ? true : undefined,
      'both announce',
      SETTLE_LIMIT_MS,
    );
    await routed(lab.plan, [mux.node.name, other.node.name]);
    expect(await isLastResort(mux)).toBe(false);
  });
});
