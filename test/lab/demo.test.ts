// The demo keeps its promises, says what it saw, and leaves nothing behind, however it ends.
import { afterEach, describe, expect, it } from 'vitest';
import { SLOTS } from './configuration.ts';
import { type DemoDocument, DemoProcess } from './demo_process.ts';
import { leftovers, removeLab } from './lab.ts';
import { isAlive } from './processes.ts';
import { readState } from './state.ts';
import { TEST_LAB } from './support.ts';

const NAME = `${TEST_LAB}d`;
/** The other part is proof.test.ts's. */
const ARGS = ['--part', 'tour', '--name', NAME, '--muxes', '2', '--backends', '3'];

let demo: DemoProcess | undefined;
afterEach(async () => {
  demo?.child.kill('SIGKILL');
  await removeLab(NAME);
});

describe('the demo', () => {
  it('plays the tour, as promised, and says so as one document', async () => {
    demo = new DemoProcess(ARGS);
    expect(await demo.ended, demo.stderr).toEqual([0, null]);
    expect(leftovers(NAME)).toEqual([]);
    expect(demo.stdout.trimEnd().split('\n')).toHaveLength(1);
    const found = JSON.parse(demo.stdout) as DemoDocument;
    expect(found).toMatchObject({ problems: [], kept: false });
    expect(found.acts).toHaveLength(7);
    for (const { title, checks } of found.acts) {
      expect(checks.length, title).toBeGreaterThan(0);
      expect(checks.filter(({ kept }) => !kept)).toEqual([]);
      expect(demo.stderr).toContain(`✓ ${title}`);
    }
    // From 1/3 to 3/5 of the slots; then those of one of the other two, which has 1/5.
    const { weight, drain, restart } = found.tour!;
    expect(Math.abs(weight.movedSlots - SLOTS * (3 / 5 - 1 / 3))).toBeLessThan(2);
    expect(Math.abs(drain.movedSlots - SLOTS / 5)).toBeLessThan(2);
    expect(drain.rows.find(({ backend }) => backend === drain.backend)).toMatchObject({
      weight: 0,
      connections: 0,
      slotsAfter: 0,
    });
    // A connection keeps its server, also where its slot moves.
    for (const { held, requests } of [weight, drain]) {
      expect(held.inMovedSlots).toBeGreaterThan(0);
      expect(held.broken).toBe(0);
      expect(requests).toMatchObject({ failed: 0, sentAgain: 0 });
    }
    expect(restart).toMatchObject({ mux: 'mux1', adopted: 'adopted' });
    expect(restart.whileDead.sent).toBeGreaterThan(500);
    expect(restart.inAll.tunnelled).toBe(restart.inAll.sent);
  });

  it('leaves nothing behind when it is interrupted, also in a hurry', async () => {
    demo = new DemoProcess(ARGS);
    await demo.says('$ holdfast backends set');
    const processes = readState(NAME)!.processes;
    expect(processes.filter(isAlive).length).toBeGreaterThan(2 + 2 * 3);
    demo.child.kill('SIGINT');
    await demo.says('interrupted');
    demo.child.kill('SIGINT');
    demo.child.kill('SIGTERM');
    expect(await demo.ended).toEqual([130, null]);
    expect(leftovers(NAME)).toEqual([]);
    expect(processes.filter(isAlive)).toEqual([]);
    expect(demo.stdout).toBe('');
  });

  it('fails, and leaves nothing behind, where a server is missing', async () => {
    demo = new DemoProcess(ARGS);
    await demo.says('transfers of');
    // Servers are started first, so that they are first in the list.
    process.kill(readState(NAME)!.processes[0]!.pid, 'SIGKILL');
    expect(await demo.ended).toEqual([1, null]);
    expect(demo.stderr).toContain('✗ Traffic reaches servers');
    expect(demo.stderr).toContain('failed: ');
    expect(leftovers(NAME)).toEqual([]);
  });
});
