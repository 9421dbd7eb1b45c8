// Packets flow, and are counted one by one, while the process that holds the mux is killed, restarted and upgraded, and
// while its tables change. None is lost.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredMux } from '../../control/dataplane/desired.ts';
import { Holder } from '../bpf/lib/held.ts';
import { testKey } from '../bpf/lib/site.ts';
import { MUX_OPTIONS, stateOf } from '../bpf/lib/state.ts';
import { makeVariant, NEXT_VERSION } from '../bpf/lib/variant.ts';
import { makePair, mountBpffs, type Pair } from '../native/libbpf/support.ts';
import type { FlooderCount, FlooderOptions } from './flooder.ts';

const SERVICE = '203.0.113.1';
const PORT = 7000;
/** States `a` and `b` of the tables, whose backends differ, with the service that the traffic is for. */
function withTraffic(name: 'a' | 'b'): DesiredMux {
  const state = stateOf(name);
  const service = { name: 'traffic', address: SERVICE, protocol: 'udp' as const, port: PORT, poolId: 1 };
  return { ...state, services: [...state.services, service] };
}

class Flood {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(options: FlooderOptions): Promise<Flood> {
    const script = join(import.meta.dirname, 'flooder.ts');
    const child = fork(script, [JSON.stringify(options)], {
      execArgv: ['--conditions=source'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('the flooder has ended')));
    ended.catch(() => undefined);
    await Promise.race([once(child, 'message'), ended]);
    return new Flood(child);
  }

  /** Between two runs, when no packet is on its way. */
  async count(message: 'count' | 'end' = 'count'): Promise<FlooderCount> {
    const answer = once(this.#child, 'message');
    this.#child.send(message);
    return (await answer)[0] as FlooderCount;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

function endsOf({ farPath, farDevice, nearPath, nearDevice }: Pair) {
  return { netns: farPath, device: farDevice, peerNetns: nearPath, peerDevice: nearDevice };
}

let bpffs: ReturnType<typeof mountBpffs>;
let net: Pair;
let directory: string;
let flood: Flood | undefined;
const holders: Holder[] = [];

beforeAll(() => {
  bpffs = mountBpffs();
  net = makePair();
  directory = mkdtempSync(join(tmpdir(), 'holdfast-traffic-'));
  // While a next hop changes packets go by the routing table.
  const near = (...command: string[]): string => net.run(net.near, ...command);
  near('sysctl', '-qw', 'net.ipv4.conf.all.forwarding=1', 'net.ipv6.conf.all.forwarding=1');
  near('ip', 'address', 'add', '2001:db8:b::ffff/64', 'dev', net.nearDevice, 'nodad');
  near('ip', 'route', 'add', '192.0.2.0/24', 'dev', net.nearDevice);
  for (let index = 1; index <= 9; index++) {
    const address = index % 3 === 2 ? `2001:db8:b::0${index}` : `192.0.2.${index}`;
    near(
      'ip',
      'neigh',
      'add',
      address,
      'lladdr',
      '02:00:00:00:00:77',
      'dev',
      net.nearDevice,
      'nud',
      'permanent',
    );
  }
});
afterAll(async () => {
  flood?.kill();
  for (const holder of holders) await holder.kill();
  net?.remove();
  bpffs?.unmount();
  rmSync(directory, { recursive: true });
});

async function next(tree?: string): Promise<Holder> {
  await holders.at(-1)?.kill();
  const holder = await Holder.start(tree);
  holders.push(holder);
  return holder;
}

describe('traffic', () => {
  it('through a mux loses nothing to kill -9, restart, upgrade and changes of everything', async () => {
    const options = {
      ...MUX_OPTIONS,
      pinDirectory: join(bpffs.path, 'traffic', 'mux'),
      stateDirectory: directory,
      netns: net.nearPath,
    };
    const tree = makeVariant('next', NEXT_VERSION);
    const [a, b] = [withTraffic('a'), withTraffic('b')];
    let holder = await next();
    await holder.call('openMux', options);
    await holder.call('apply', a);
    await holder.call('attach', { interface: net.nearDevice, mode: 'native' });
    flood = await Flood.start({ ...endsOf(net), service: SERVICE, port: PORT });
    const steps: { name: string; sent: number; lost: number }[] = [];
    let before = await flood.count();
    const step = async (name: string, work: () => Promise<unknown>): Promise<void> => {
      await work();
      const after = await flood!.count();
      const sent = after.sent - before.sent;
      const back = after.tunnelled + after.stuck - before.tunnelled - before.stuck;
      steps.push({ name, sent, lost: sent - back });
      before = after;
    };

    await step('changes of services, pools and backends', async () => {
      for (let round = 0; round < 5; round++) {
        await holder.call('apply', b);
        await holder.call('apply', a);
      }
    });
    await step('changes of next hops', async () => {
      for (let round = 0; round < 5; round++) {
        for (const index of [0, 1]) {
          const paths = new Map(
            [...a.backends].map(([at, config]) => [
              at,
              { ...config, nextHop: { ...config.nextHop!, sourceMac: `02:00:00:00:0${index}:0${round}` } },
            ]),
          );
          await holder.call('setPaths', paths);
        }
      }
      await holder.call('apply', a);
    });
    await step('captures', async () => {
      for (let round = 0; round < 3; round++) {
        await holder.call('startCapture', { reasons: ['FORWARD'] });
        await sleep(20);
        await holder.call('stopCapture');
      }
    });
    await step('kill -9', async () => {
      await holder.kill();
      await sleep(100);
    });
    for (const [what, version, origin] of [
      ['restart', undefined, 'adopted'],
      ['upgrade', tree, 'migrated'],
      ['downgrade', undefined, 'migrated'],
    ] as const) {
      holder = await next(version);
      await step(what, async () => {
        expect(await holder.call('openMux', options)).toEqual({ origin });
        await holder.call('apply', b);
        await holder.call('apply', a);
      });
    }
    await step('kill -9 during a capture and in the middle of an apply', async () => {
      await holder.call('startCapture', { reasons: ['FORWARD'] });
      holder.call('apply', b).catch(() => undefined);
      await sleep(3);
      holder = await next();
      await holder.call('openMux', options);
      await holder.call('apply', b);
    });
    holder = await next();
    await step('another hash key', async () => {
      const other = { ...options, hashKey: testKey('another') };
      expect(await holder.call('openMux', other)).toEqual({ origin: 'migrated' });
      await holder.call('apply', a);
    });
    const last = await flood.count('end');
    expect(steps.filter(({ lost }) => lost !== 0)).toEqual([]);
    for (const { name, sent } of steps) expect(sent, name).toBeGreaterThan(20_000);
    expect(last.bare).toBe(0);
    expect(last.tunnelled + last.stuck).toBe(last.sent);
    const { services } = await holder.call('counters');
    const counted = services.find(({ key }) => key.port === PORT);
    expect(Number(counted?.packets)).toBe(last.sent);
  }, 120_000);

  it('is taken out of its tunnel by a backend that is killed, restarted and upgraded, to the last packet', async () => {
    const pair = makePair();
    const options = {
      pinDirectory: join(bpffs.path, 'traffic', 'backend'),
      stateDirectory: directory,
      netns: pair.nearPath,
    };
    const desired = (round: number) => ({
      muxSources: ['198.19.0.0/16', `192.0.2.${round}`],
      serviceAddresses: [SERVICE, `203.0.113.${100 + round}`],
    });
    let sending: Flood | undefined;
    try {
      let holder = await next();
      await holder.call('openDecap', options);
      await holder.call('applyDecap', desired(0));
      await holder.call('attachDecap', { interface: pair.nearDevice, mode: 'native' });
      sending = await Flood.start({
        ...endsOf(pair),
        service: SERVICE,
        port: PORT,
        tunnelTo: '192.0.2.200',
      });
      for (const version of [undefined, makeVariant('next', NEXT_VERSION), undefined]) {
        for (let round = 1; round < 6; round++) await holder.call('applyDecap', desired(round));
        await holder.kill();
        await sleep(50);
        holder = await next(version);
        await holder.call('openDecap', options);
        await holder.call('applyDecap', desired(0));
      }
      const { sent } = await sending.count('end');
      const { reasons } = await holder.call('countersDecap');
      expect(sent).toBeGreaterThan(100_000);
      expect(Number(reasons.DECAP)).toBe(sent);
      expect(
        Object.entries(reasons).filter(([name, count]) => name.startsWith('DROP') && count > 0n),
      ).toEqual([]);
    } finally {
      sending?.kill();
      pair.remove();
    }
  }, 120_000);
});
