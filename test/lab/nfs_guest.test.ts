// The work that users do on a file server, done by Debian's kernel in a virtual machine on ours, and compared with the same
// work in the guest's memory.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HoldfastFiles } from './vm/file_server.ts';
import { Site } from './vm/site.ts';
import { describeUnlessMissing } from './vm/skip.ts';
import { SOURCES_SAY } from './vm/sources.ts';
import { missingForVms, Vm } from './vm/vm.ts';
import { differences, mountNfs, SMALL_MB, WORKLOADS, work, workLocally } from './vm/workloads.ts';

const SITE = `n${process.pid}`;
/** In memory: each file that a client closes is committed, and a disk takes its time for it. */
const STORAGE = '/dev/shm';
const LONG = process.env.HOLDFAST_LONG === '1';
/** By their names: these take minutes together, most of them the guest's own. */
const MINUTES = ['untar and compile', 'rsync of 10,000 files'];
const LIMIT_MS = 600_000;
const DIFFERENCES_SHOWN = 20;

describeUnlessMissing('a guest on our file server', missingForVms(), () => {
  let site: Site;
  let storage: string;
  let server: HoldfastFiles;
  let vm: Vm;

  beforeAll(async () => {
    storage = mkdtempSync(join(STORAGE, 'holdfast-guest-'));
    for (const name of ['all', 'small']) mkdirSync(join(storage, name));
    site = await Site.raise(SITE);
    server = new HoldfastFiles({
      netns: site.netns,
      address: site.address4,
      directory: site.path('ours'),
      exports: [
        { name: 'all', path: join(storage, 'all') },
        { name: 'small', path: join(storage, 'small'), sizeMb: SMALL_MB },
      ],
      record: site.record,
    });
    await server.start();
    vm = await Vm.boot({ place: site.place(1), directory: site.path('vm'), record: site.record });
  });
  afterAll(async () => {
    await vm?.end();
    await server?.stop();
    await site?.down();
    if (storage !== undefined) rmSync(storage, { recursive: true });
  });

  it('mounts by the line that operators are given', async () => {
    const tookMs = await mountNfs(vm, server, '/all', '/mnt/all');
    await mountNfs(vm, server, '/small', '/mnt/small');
    console.log(`mounted in ${Math.round(tookMs)} ms`);
    expect(await vm.must('cat /proc/mounts')).toMatch(/ \/mnt\/all nfs rw,.*vers=3,.*proto=tcp,.*mountport=/);
  });

  const chosen = WORKLOADS.filter(({ name }) => LONG || !MINUTES.includes(name));
  it.each(chosen)('does as on a local file system: $name', { timeout: LIMIT_MS }, async (workload) => {
    const local = await workLocally(vm, workload);
    const there = await work(vm, workload, workload.fills ? '/mnt/small' : '/mnt/all');
    console.log(
      `${workload.name}: ${Math.round(there.elapsedMs)} ms, in memory ${Math.round(local.elapsedMs)} ms`,
    );
    expect(differences(there.says, local.says).slice(0, DIFFERENCES_SHOWN)).toEqual([]);
    expect(there.says).not.toBe('');
    if (workload.name === 'untar and compile') expect(there.says).toContain(SOURCES_SAY);
  });

  it('leaves nothing on the server', async () => {
    expect(await vm.must('ls -A /mnt/all /mnt/small')).toBe('/mnt/all:\n\n/mnt/small:\n');
    await vm.must('umount /mnt/all /mnt/small');
  });

  it('had no request that failed as a bug would', async () => {
    const { procedures } = await server.report();
    const statuses = new Set(procedures.flatMap((it) => it.statuses.map(([status]) => status)));
    // NFS3ERR_IO, NFS3ERR_STALE, NFS3ERR_BADHANDLE, NFS3ERR_SERVERFAULT
    expect([5, 70, 10_001, 10_006].filter((it) => statuses.has(it))).toEqual([]);
  });
});
