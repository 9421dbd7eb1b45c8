// How the routes of a mux are shown by status and nodes show.
import { describe, expect, it } from 'vitest';
import type { Routes } from '../../../control/api/schema.ts';
import { MUX1 } from '../api/lib/tracked.ts';
import * as answers from './lib/answers.ts';
import { asking } from './lib/asking.ts';

const its = asking();
const ANNOUNCED: Routes = {
  mode: 'bird',
  announced: 'normal',
  addresses: ['192.0.2.1', '2001:db8::1'],
  inEffect: true,
  supervised: true,
  bird: {
    state: 'up',
    version: '2.0.12',
    sessions: [
      { name: 'router4', state: 'Established', exported: 2 },
      { name: 'router6', state: 'Active', detail: 'Connection refused' },
    ],
    bfd: [{ peer: '192.0.2.254', interface: 'eth0', state: 'Up', timeoutMs: 300 }],
  },
};

/** The lines of routes, without what stands before them. */
async function shown(routes: Routes): Promise<string[]> {
  its.daemon.reply({ 'GET /v1/status': { ...answers.STATUS, routes } });
  const { stdout } = await its.ask('status');
  const all = stdout.split('\n');
  const from = all.findIndex((line) => line.startsWith('routes'));
  const until = all.findIndex((line, index) => index > from && !line.startsWith('   '));
  return all.slice(from, until).map((line) => line.replace(/^(routes)? +/, ''));
}

describe('status', () => {
  it('shows what is announced, each session, and BFD', async () => {
    expect(await shown(ANNOUNCED)).toEqual([
      'announced: 192.0.2.1, 2001:db8::1',
      'router4 Established, sends 2 routes',
      'router6 Active, Connection refused',
      'BFD to 192.0.2.254 on eth0 Up, 300 ms',
    ]);
    await its.expectJson('status', { ...answers.STATUS, routes: ANNOUNCED });
  });

  it('says what is not as it should be', async () => {
    const bird: Routes['bird'] = { state: 'failed', error: 'BIRD does not run', sessions: [], bfd: [] };
    expect(await shown({ ...ANNOUNCED, bird, inEffect: false, supervised: false })).toEqual([
      'announced: 192.0.2.1, 2001:db8::1, not in effect',
      'no supervisor would withdraw them',
      'BIRD: BIRD does not run',
    ]);
    expect((await shown({ ...ANNOUNCED, announced: 'lastResort' }))[0]).toBe(
      'announced as the last resort: 192.0.2.1, 2001:db8::1',
    );
    expect((await shown({ ...ANNOUNCED, announced: 'withdrawn', addresses: [] }))[0]).toBe('withdrawn');
  });

  it('says what static routes lack', async () => {
    expect(await shown({ mode: 'static' })).toEqual([
      'static: nothing takes them away from routers where this mux fails',
    ]);
  });
});

describe('nodes show', () => {
  it('has the routes of the node that answers', async () => {
    its.daemon.reply({ 'GET /v1/nodes': { items: [{ ...MUX1, routes: ANNOUNCED }] } });
    its.daemon.reply({ 'GET /v1/nodes/mux1': { ...MUX1, routes: ANNOUNCED } });
    expect((await its.ask('nodes show mux1')).stdout).toContain('announced: 192.0.2.1, 2001:db8::1');
  });
});
