// Labs come up, stay, go, and are gone; also when their process was killed.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { type LabStatus, type ProbeRow, ping } from './inspect.ts';
import { keptLab, Lab, leftovers, removeLab } from './lab.ts';
import { isAlive } from './processes.ts';
import { readState } from './state.ts';
import { raiseTestLab, removeTestLab, TEST_LAB } from './support.ts';
import { namespacesOf } from './topology.ts';

const CLI = fileURLToPath(new URL('cli.ts', import.meta.url));
const LAB_MODULE = new URL('lab.ts', import.meta.url).href;

afterEach(() => removeLab(TEST_LAB));

function node(...args: readonly string[]) {
  return spawnSync(process.execPath, ['--conditions=source', ...args], { encoding: 'utf8', timeout: 60_000 });
}

function cli(...args: readonly string[]) {
  const { status, stdout, stderr } = node(CLI, ...args, '--name', TEST_LAB);
  return { status, stdout, stderr };
}

function commandLineOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
}

describe('a lab', () => {
  it('leaves no namespace, interface, process or pin', async () => {
    const interfaces = readdirSync('/sys/class/net');
    const lab = await raiseTestLab({ clients: 1, muxes: 2, backends: 2 });
    await lab.client();
    const processes = readState(TEST_LAB)?.processes ?? [];
    // A server and a daemon a backend, a daemon a mux, and the client.
    expect(processes).toHaveLength(2 * 2 + 2 + 1);
    expect(namespacesOf(TEST_LAB)).toHaveLength(1 + 1 + 2 + 2 + 1);
    await removeTestLab(lab);
    expect(processes.filter(isAlive)).toEqual([]);
    expect(readdirSync('/sys/class/net')).toEqual(interfaces);
  });

  it('is not raised twice under one name', async () => {
    const lab = await raiseTestLab({ clients: 1, muxes: 1, backends: 1 });
    await expect(raiseTestLab()).rejects.toThrow(/is up, held by process/);
    await removeTestLab(lab);
  });

  it('is kept without the processes of its clients, and of daemons that have successors', async () => {
    const lab = await raiseTestLab({ clients: 1, muxes: 1, backends: 1 });
    await lab.client();
    await lab.muxes[0]!.daemon.end('SIGKILL');
    await lab.muxes[0]!.daemon.start();
    await lab.keep();
    expect(keptLab(TEST_LAB)).toEqual(lab.plan);
    expect(await ping(lab.plan)).toHaveLength(4);
    await removeTestLab(lab);
  });

  it('whose process was killed is removed when the next one is raised', async () => {
    const script =
      `const { Lab } = await import(${JSON.stringify(LAB_MODULE)});` +
      `await Lab.raise({ name: '${TEST_LAB}', clients: 1, muxes: 1, backends: 2 });` +
      `process.kill(process.pid, 'SIGKILL');`;
    expect(node('--input-type=module', '-e', script).signal).toBe('SIGKILL');
    const orphans = readState(TEST_LAB)?.processes ?? [];
    expect(orphans.filter(isAlive)).toHaveLength(2 * 2 + 1);
    const lab = await raiseTestLab({ clients: 1, muxes: 1, backends: 1 });
    expect(orphans.filter(isAlive)).toEqual([]);
    await removeTestLab(lab);
  });

  it('that cannot come up says why and leaves nothing', async () => {
    await expect(Lab.raise({ name: TEST_LAB, backends: 61 })).rejects.toThrow('backends must be 1 to 60');
    expect(leftovers(TEST_LAB)).toEqual([]);
  });
});

describe('scripts/lab', () => {
  it('keeps a lab up that forwards after its process has ended, and takes it down', () => {
    expect(cli('up', '--backends', '2', '--muxes', '2')).toMatchObject({ status: 0 });
    const { processes } = readState(TEST_LAB)!;

    const ping = cli('ping', '--json');
    expect(ping).toMatchObject({ status: 0 });
    const rows = JSON.parse(ping.stdout) as ProbeRow[];
    expect(rows).toHaveLength(2 * 4);
    for (const row of rows) expect(row).toMatchObject({ backend: expect.stringMatching(/^backend[12]$/) });

    const status = JSON.parse(cli('status', '--json').stdout) as LabStatus;
    expect(status).toMatchObject({ state: 'up', processes: { alive: 2 * 2 + 2, ended: 0 } });
    expect(Object.keys(status.daemons)).toEqual(['mux1', 'mux2', 'backend1', 'backend2']);
    for (const daemon of Object.values(status.daemons)) {
      expect(daemon).toEqual({ adopted: 'fresh', appliedRevision: expect.any(Number), problems: [] });
    }
    expect(status.packets.mux1?.FORWARD).toBeGreaterThan(0);
    expect(status.packets.backend1?.DECAP).toBeGreaterThan(0);

    const { stdout } = node(
      CLI,
      '--name',
      TEST_LAB,
      'exec',
      'backend1',
      'ip',
      '-br',
      'address',
      'show',
      'lo',
    );
    expect(stdout).toContain('198.18.0.10/32');

    // The command of a node talks to the node's daemon, and fails as it does.
    for (const name of ['mux2', 'backend1']) {
      const said = node(CLI, '--name', TEST_LAB, 'exec', name, 'holdfast', 'status', '--json');
      expect(said).toMatchObject({ status: 0, stderr: '' });
      expect(JSON.parse(said.stdout)).toMatchObject({ node: name, problems: [] });
    }
    expect(node(CLI, '--name', TEST_LAB, 'exec', 'mux1', 'holdfast', 'pools', 'show', 'x')).toMatchObject({
      status: 66,
      stderr: expect.stringContaining('There is no pool x'),
    });
    expect(node(CLI, '--name', TEST_LAB, 'exec', 'mux9', 'true')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('there is no node mux9'),
    });

    // Again: the same lab, the same processes.
    expect(cli('up', '--backends', '2', '--muxes', '2')).toMatchObject({ status: 0 });
    expect(readState(TEST_LAB)!.processes).toEqual(processes);
    expect(cli('up', '--backends', '3')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('another size'),
    });

    // A daemon that has ended is named.
    const daemon = processes.find(({ pid }) => commandLineOf(pid).includes('/mux1/holdfastd.yaml'));
    process.kill(daemon!.pid, 'SIGKILL');
    const broken = JSON.parse(cli('status', '--json').stdout) as LabStatus;
    expect(broken).toMatchObject({
      state: 'broken',
      daemons: {
        mux1: { error: expect.stringContaining('Cannot talk to holdfastd') },
        mux2: { problems: [] },
      },
    });

    expect(cli('down')).toMatchObject({ status: 0 });
    expect(leftovers(TEST_LAB)).toEqual([]);
    expect(keptLab(TEST_LAB)).toBeUndefined();
    expect(processes.filter(isAlive)).toEqual([]);
    expect(cli('down')).toMatchObject({ status: 0 });
    expect(cli('ping')).toMatchObject({ status: 1, stderr: expect.stringContaining('is not up') });
  });
});
