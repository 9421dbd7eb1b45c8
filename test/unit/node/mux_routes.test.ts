// What a mux's routes stand on while its daemon begins.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { routesSchema } from '../../../control/config/routes.ts';
import type { MuxCluster } from '../../../control/node/mux_cluster.ts';
import { MuxRoutes, type MuxRoutesOptions } from '../../../control/node/mux_routes.ts';
import { Problems } from '../../../control/node/problems.ts';
import { FakeBird } from '../route/fake_bird.ts';

const nowMs = () => Number(process.hrtime.bigint()) / 1e6;
const member = { phase: 'member', deadlineMs: nowMs() + 60_000 };
const outside = { phase: 'outside', deadlineMs: Number.NEGATIVE_INFINITY };
const VERSION = { number: 5, members: [{}, {}], objects: { services: new Map(), backends: new Map() } };

async function open(directory: string, cluster: object): Promise<MuxRoutes> {
  const routes = await MuxRoutes.open({
    config: routesSchema.parse({
      mode: 'bird',
      directory,
      birdSocket: join(directory, 'bird.ctl'),
      leaveMs: 0,
    }),
    leaseMs: 3_000,
    program: { flowOrigin: 'adopted', self: { version: 5 }, deadline: { atMs: member.deadlineMs } },
    mux: { isAttached: true, path: () => undefined },
    tunnelVersions: new Set([4]),
    cluster: () => cluster as MuxCluster,
    problems: new Problems(() => undefined),
    tell: () => undefined,
  } as unknown as MuxRoutesOptions);
  onTestFinished(() => routes.close());
  routes.start();
  return routes;
}

it('a daemon that follows another keeps its routes until it has read what its program follows', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-mux-routes-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const bird = new FakeBird(join(directory, 'bird.ctl'), join(directory, 'bird.conf'));
  await bird.start();
  onTestFinished(() => bird.stop());
  const first = await open(directory, {
    member: { membership: member },
    applied: VERSION,
    versions: { head: VERSION },
    isToLeave: false,
  });
  await vi.waitFor(() => expect(first.view()).toMatchObject({ announced: 'normal' }));
  await vi.waitFor(() => expect(bird.told).toContain('configure'));
  await first.close();
  const second = await open(directory, {
    member: { membership: outside },
    applied: undefined,
    versions: { head: undefined },
    isToLeave: false,
  });
  expect(second.view()).toMatchObject({ announced: 'normal' });
});
