// Links of the lab lose, delay, reorder and double packets when they are told to, and stop when they are told to.
import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ImpairStatus } from './impairment.ts';
import { type Lab, leftovers } from './lab.ts';
import type { LabNode } from './plan.ts';
import { endProcesses, isAlive } from './processes.ts';
import { run, runIn } from './shell.ts';
import { readState } from './state.ts';
import { eventually, raiseTestLab, removeTestLab, TEST_LAB } from './support.ts';

const CLI = fileURLToPath(new URL('cli.ts', import.meta.url));
const LAB_MODULE = new URL('lab.ts', import.meta.url).href;
const MIB = 1 << 20;
const BURST = 40;

type Pings = { sequence: number[]; timesMs: number[]; duplicates: number; sent: number };

const execute = promisify(execFile);

/** Echo requests from a node to the router's end of its link, some 15 ms apart or `preload` at once. */
async function ping(node: LabNode, count: number, preload = 1): Promise<Pings> {
  const args = ['-n', '-c', String(count), '-l', String(preload), '-i', '0.01', '-W', '1', node.gateway4];
  const pinging = execute('ip', ['netns', 'exec', node.netns, 'ping', ...args]);
  // It fails where nothing came back, which is a result.
  const { stdout } = await pinging.catch((error: { stdout: string }) => error);
  const replies = [...stdout.matchAll(/icmp_seq=(\d+) ttl=\d+ time=([\d.]+) ms( \(DUP!\))?/g)];
  const first = replies.filter((reply) => reply[3] === undefined);
  return {
    sequence: first.map((reply) => Number(reply[1])),
    timesMs: first.map((reply) => Number(reply[2])),
    duplicates: replies.length - first.length,
    sent: Number(/(\d+) packets transmitted/.exec(stdout)?.[1]),
  };
}

/** As many as a socket's receive buffer holds with certainty, several times. */
async function pingBursts(node: LabNode, bursts: number): Promise<Pings[]> {
  const results: Pings[] = [];
  for (let burst = 0; burst < bursts; burst += 1) results.push(await ping(node, BURST, BURST));
  return results;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0);
}

/** Of the round trip. */
async function medianMs(node: LabNode, count: number): Promise<number> {
  return median((await ping(node, count)).timesMs);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function detours(lab: Lab): string[] {
  const links = JSON.parse(run('ip', ['-n', lab.plan.router.netns, '-j', 'link', 'show'])) as {
    ifname: string;
  }[];
  return links.map(({ ifname }) => ifname).filter((name) => /^(wire|hold)-/.test(name));
}

describe('a link', () => {
  let lab: Lab;
  let client: LabNode;

  beforeAll(async () => {
    lab = await raiseTestLab({ clients: 1, muxes: 2, backends: 2 });
    client = lab.plan.clients[0]!;
    // Neighbours are known from then on.
    await ping(client, 3);
  });
  afterEach(async () => {
    for (const name of Object.keys(readState(TEST_LAB)!.pumps)) {
      await lab.straighten([client, ...lab.plan.muxes, ...lab.plan.backends].find((it) => it.name === name)!);
    }
  });
  afterAll(() => removeTestLab(lab));

  it('loses what it counts as lost, in the direction that was asked for', async () => {
    await lab.impair(client, { direction: 'from', lossPercent: 20, seed: 1 });
    const pings = await pingBursts(client, 10);
    const sent = sum(pings.map((it) => it.sent));
    const answered = sum(pings.map(({ sequence }) => sequence.length));
    const { from, to } = lab.impairment(client)!;
    // 80 expected, standard deviation 8.
    expect(from.lost).toBeGreaterThan(48);
    expect(from.lost).toBeLessThan(112);
    expect(to.lost).toBe(0);
    // Whatever has no reply was lost, and nothing else; ARP requests go beside it from time to time.
    expect(sent).toBe(10 * BURST);
    expect(Math.abs(sent - answered - from.lost)).toBeLessThanOrEqual(from.packets - sent);
    expect(from.packets - sent).toBeLessThan(10);
  });

  it.each([
    ['from', 5],
    ['to', 5],
    ['both', 10],
  ] as const)('delays by 5 ms, direction %s: the round trip takes %i ms more', async (direction, addedMs) => {
    const before = await medianMs(client, 50);
    await lab.impair(client, { direction, delayMs: 5 });
    const { timesMs, sent } = await ping(client, 100);
    expect(timesMs).toHaveLength(sent);
    expect(Math.abs(median(timesMs) - before - addedMs)).toBeLessThan(2);
  });

  it('varies the delay by the jitter', async () => {
    await lab.impair(client, { direction: 'to', delayMs: 10, jitterMs: 6, seed: 2 });
    const { timesMs } = await ping(client, 200);
    expect(Math.abs(median(timesMs) - 10)).toBeLessThan(2);
    const sorted = timesMs.toSorted((a, b) => a - b);
    // The middle eight tenths of 4 to 16 ms.
    expect(sorted[20]!).toBeLessThan(7);
    expect(sorted[180]!).toBeGreaterThan(13);
    expect(sorted[0]!).toBeGreaterThan(3.4);
  });

  it('lets some packets be overtaken', async () => {
    await lab.impair(client, { direction: 'to', reorderPercent: 20, seed: 3 });
    const pings = await pingBursts(client, 6);
    const overtaken = pings.map(
      ({ sequence }) =>
        sequence.filter((each, at) => sequence.slice(0, at).some((other) => other > each)).length,
    );
    const { reordered } = lab.impairment(client)!.to;
    for (const { sequence } of pings) expect(sequence).toHaveLength(BURST);
    expect(reordered).toBeGreaterThan(24);
    expect(sum(overtaken)).toBeGreaterThan(reordered / 2);
    expect(sum(overtaken)).toBeLessThanOrEqual(reordered);
  });

  it('doubles packets', async () => {
    await lab.impair(client, { direction: 'to', duplicatePercent: 20, seed: 4 });
    const { sequence, duplicates, sent } = await ping(client, 100);
    const { duplicated } = lab.impairment(client)!.to;
    expect(sequence).toHaveLength(sent);
    expect(duplicated).toBeGreaterThan(8);
    // ping ends with the last reply and does not see a copy of that.
    expect(duplicated - duplicates).toBeGreaterThanOrEqual(0);
    expect(duplicated - duplicates).toBeLessThanOrEqual(1);
  });

  it.each([
    ['IPv4', 'services4'],
    ['IPv6', 'services6'],
  ] as const)(
    'carries transfers over %s intact, losing 2 in 100 and delaying by 5 ± 3 ms',
    async (_, services) => {
      const agent = await lab.client();
      await lab.impair(client, { lossPercent: 2, delayMs: 5, jitterMs: 3, seed: 5 });
      for (const direction of ['download', 'upload'] as const) {
        const what = { address: lab.plan[services][0]!, direction, sizeBytes: 2 * MIB, timeoutMs: 30_000 };
        expect(await agent.call('transfer', what)).toMatchObject({ intact: true, sizeBytes: 2 * MIB });
      }
      const { from, to } = lab.impairment(client)!;
      expect(from.lost).toBeGreaterThan(10);
      expect(to.lost).toBeGreaterThan(10);
      expect(from.overflowed + to.overflowed).toBe(0);
    },
  );

  it('of a mux or a backend is impaired below their programs', async () => {
    const [mux] = lab.muxes;
    const agent = await lab.client();
    lab.useMuxes(mux!);
    try {
      await lab.impair(mux!.node, { delayMs: 3, lossPercent: 1, seed: 6 });
      for (const backend of lab.plan.backends) {
        await lab.impair(backend, { direction: 'to', reorderPercent: 5, duplicatePercent: 5, seed: 7 });
      }
      const before = await mux!.daemon.packets('FORWARD');
      const address = lab.plan.services4[0]!;
      const what = { address, direction: 'upload', sizeBytes: 2 * MIB, timeoutMs: 30_000 } as const;
      expect(await agent.call('transfer', what)).toMatchObject({ intact: true });
      const forwarded = (await mux!.daemon.packets('FORWARD')) - before;
      const { from, to } = lab.impairment(mux!.node)!;
      // What the mux forwarded is what its link let through to it, and what its link had from it.
      expect(to.packets - to.lost).toBeGreaterThanOrEqual(forwarded);
      expect(from.packets).toBeGreaterThanOrEqual(forwarded);
      expect(forwarded).toBeGreaterThan(1_000);
    } finally {
      lab.useMuxes(...lab.muxes);
    }
  });

  it('takes other settings while it is impaired, without a process more', async () => {
    await lab.impair(client, { delayMs: 20 });
    const { pumps } = readState(TEST_LAB)!;
    await lab.impair(client, { delayMs: 1 });
    expect(readState(TEST_LAB)!.pumps).toEqual(pumps);
    expect(await medianMs(client, 50)).toBeLessThan(5);
  });

  it('that is straightened is as it was, and what waited arrives', async () => {
    const plainMs = await medianMs(client, 50);
    await lab.impair(client, { direction: 'from', delayMs: 1_000 });
    const pump = readState(TEST_LAB)!.pumps[client.name]!;
    expect(detours(lab)).toHaveLength(2);
    const pinging = ping(client, 1);
    await eventually(() => lab.impairment(client)!.from.delayed > 0 || undefined, 'a packet that waits');
    await lab.straighten(client);
    const [timeMs] = (await pinging).timesMs;
    expect(timeMs).toBeLessThan(900);
    expect(isAlive(pump)).toBe(false);
    expect(detours(lab)).toEqual([]);
    expect(lab.impairment(client)).toBeUndefined();
    expect(runIn(lab.plan.router.netns, 'tc', 'qdisc', 'show', 'dev', client.name)).not.toContain('clsact');
    expect(Math.abs((await medianMs(client, 50)) - plainMs)).toBeLessThan(1);
    await lab.straighten(client);
  });

  it('can be straightened, and impaired again, after its process was killed', async () => {
    await lab.impair(client, { delayMs: 5 });
    process.kill(readState(TEST_LAB)!.pumps[client.name]!.pid, 'SIGKILL');
    await endProcesses([readState(TEST_LAB)!.pumps[client.name]!]);
    await lab.impair(client, { delayMs: 5 });
    expect(await medianMs(client, 30)).toBeGreaterThan(8);
    process.kill(readState(TEST_LAB)!.pumps[client.name]!.pid, 'SIGKILL');
    await lab.straighten(client);
    expect((await ping(client, 10)).sequence).toHaveLength(10);
    expect(detours(lab)).toEqual([]);
  });

  it('is not impaired by what cannot be', async () => {
    await expect(lab.impair(client, { lossPercent: 200 })).rejects.toThrow('lossPercent must be 0 to 100');
    expect(readState(TEST_LAB)!.pumps).toEqual({});
  });
});

describe('a lab with impaired links', () => {
  afterEach(() => removeTestLab(undefined));

  const node = (...args: readonly string[]) =>
    spawnSync(process.execPath, ['--conditions=source', ...args], { encoding: 'utf8', timeout: 60_000 });

  it('leaves nothing', async () => {
    const lab = await raiseTestLab({ clients: 1, muxes: 1, backends: 1 });
    await lab.impair(lab.plan.clients[0]!, { delayMs: 5 });
    await lab.impair(lab.plan.muxes[0]!, { lossPercent: 5 });
    const pumps = Object.values(readState(TEST_LAB)!.pumps);
    expect(pumps.filter(isAlive)).toHaveLength(2);
    await lab.down();
    expect(pumps.filter(isAlive)).toEqual([]);
    expect(leftovers(TEST_LAB)).toEqual([]);
  });

  it('leaves nothing to the next one when its process was killed', async () => {
    const script =
      `const { Lab } = await import(${JSON.stringify(LAB_MODULE)});` +
      `const lab = await Lab.raise({ name: '${TEST_LAB}', clients: 1, muxes: 1, backends: 1 });` +
      `await lab.impair(lab.plan.clients[0], { delayMs: 5 });` +
      `process.kill(process.pid, 'SIGKILL');`;
    expect(node('--input-type=module', '-e', script).signal).toBe('SIGKILL');
    const orphan = readState(TEST_LAB)!.pumps.client1!;
    expect(isAlive(orphan)).toBe(true);
    const lab = await raiseTestLab({ clients: 1, muxes: 1, backends: 1 });
    expect(isAlive(orphan)).toBe(false);
    expect((await ping(lab.plan.clients[0]!, 5)).sequence).toHaveLength(5);
    await lab.down();
  });

  it('goes on being impaired when it is kept, until the command line ends it', async () => {
    const cli = (...args: readonly string[]) => node(CLI, '--name', TEST_LAB, ...args);
    const size = ['--clients', '1', '--muxes', '1', '--backends', '1'];
    const plan = JSON.parse(cli('up', ...size, '--json').stdout) as Lab['plan'];
    const client = plan.clients[0]!;

    expect(cli('impair', 'client1', '--delay', '5', '--direction', 'to')).toMatchObject({ status: 0 });
    expect(Math.abs((await medianMs(client, 50)) - 5)).toBeLessThan(2);
    const shown = JSON.parse(cli('impair', 'client1', '--json').stdout) as ImpairStatus;
    expect(shown.to).toMatchObject({ delayMs: 5, lost: 0 });
    expect(shown.to.delayed).toBeGreaterThanOrEqual(50);
    expect(shown.from).toMatchObject({ delayMs: 0 });
    expect(cli('status').stdout).toContain('5 ms');

    expect(cli('impair', 'client1', 'off')).toMatchObject({ status: 0, stdout: 'no link is impaired\n' });
    expect(await medianMs(client, 20)).toBeLessThan(2);

    expect(cli('impair', 'router', '--loss', '1')).toMatchObject({ status: 1 });
    expect(cli('impair', 'client1', '--loss', '101').stderr).toContain('lossPercent must be 0 to 100');
    expect(cli('impair', 'client1', '--delay', '5')).toMatchObject({ status: 0 });
    expect(cli('down')).toMatchObject({ status: 0 });
    expect(leftovers(TEST_LAB)).toEqual([]);
  });
});
