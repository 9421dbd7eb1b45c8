// The promise: change servers and load balancers as you like, while traffic flows, and no connection breaks. As the demo
// plays it, for all to see.
import { afterEach, describe, expect, it } from 'vitest';
import { type DemoDocument, DemoProcess } from './demo_process.ts';
import { leftovers, removeLab } from './lab.ts';
import { TEST_LAB } from './support.ts';

const CONNECTIONS = 10_000;
/** On a host that has these two CPUs for itself it takes four minutes. */
const LIMIT_MS = 480_000;
const NAME = `${TEST_LAB}p`;

let demo: DemoProcess | undefined;
afterEach(async () => {
  demo?.child.kill('SIGKILL');
  await removeLab(NAME);
});

describe(`${CONNECTIONS.toLocaleString('en')} connections, and requests all the while`, () => {
  it(
    'keep their servers while every backend is replaced and muxes die, hang, stop, leave, join and are upgraded',
    async () => {
      const args = ['--part', 'proof', '--name', NAME, '--connections', String(CONNECTIONS)];
      demo = new DemoProcess(args, (text) => process.stdout.write(text));
      const ended = await demo.ended;
      const found = JSON.parse(demo.stdout || '{}') as DemoDocument;
      expect(found.problems, demo.stderr).toEqual([]);
      expect(ended).toEqual([0, null]);
      const { totals, losses } = found.proof!;
      expect(losses).toEqual([]);
      expect(totals).toMatchObject({ held: CONNECTIONS, broken: 0, corrupted: 0, failed: 0 });
      expect(totals.requests).toBeGreaterThan(5_000);
      expect(found.acts.map(({ title }) => title)).toEqual([
        'A backend is replaced, and a mux is killed in the middle of it',
        'A backend is replaced, and a mux hangs',
        'A backend is replaced, and a mux is stopped and resumed',
        'etcd is killed, and starts again',
        'A weight changes, and a mux leaves and joins again',
        'Every daemon is upgraded, one node after the other, and a weight changes',
        'Clocks jump, of one mux and of all',
      ]);
      // Every connection is with a server that has been replaced since it began.
      expect(Object.keys(totals.perBackend)).toEqual(['backend1', 'backend2', 'backend3']);
      expect(leftovers(NAME)).toEqual([]);
    },
    LIMIT_MS,
  );
});
