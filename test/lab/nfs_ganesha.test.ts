// The work that our NFS server will be proved with, done on one that others proved: nfs-ganesha, mounted by Debian's kernel
// in a virtual machine, and read by libnfs. What fails here is the harness, or a known shortcoming named below.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Ganesha, missingForGanesha } from './vm/ganesha.ts';
import { LibnfsClient, missingForLibnfs } from './vm/libnfs.ts';
import { Site } from './vm/site.ts';
import { describeUnlessMissing } from './vm/skip.ts';
import { SOURCES_SAY } from './vm/sources.ts';
import { missingForVms, Vm } from './vm/vm.ts';
import { differences, mountNfs, SMALL_MB, WORKLOADS, work, workLocally } from './vm/workloads.ts';

const SITE = `g${process.pid}`;
/** In memory: each file that a client closes is committed, and a disk takes its time for it. */
const STORAGE = '/dev/shm';
const LONG = process.env.HOLDFAST_LONG === '1';
const LIMIT_MS = 600_000;
const DIFFERENCES_SHOWN = 20;
/** What ganesha 4.3 is known to get wrong, as rsync sees it: it does not set the times of symbolic links. */
const SHORTCOMINGS: Readonly<Record<string, RegExp>> = { 'rsync of 10,000 files': /^\+ \.L\.\.t\.{6} / };

let site: Site;
let ganesha: Ganesha;
let storage: string;

beforeAll(async () => {
  if (missingForGanesha() !== undefined) return;
  storage = mkdtempSync(join(STORAGE, 'holdfast-ganesha-'));
  for (const name of ['all', 'small']) mkdirSync(join(storage, name));
  site = await Site.raise(SITE);
  ganesha = new Ganesha({
    netns: site.netns,
    address: site.address4,
    directory: site.path('ganesha'),
    exports: [{ path: join(storage, 'all') }, { path: join(storage, 'small'), sizeMb: SMALL_MB }],
    record: site.record,
  });
  await ganesha.start();
});
afterAll(async () => {
  await ganesha?.stop();
  await site?.down();
  if (storage !== undefined) rmSync(storage, { recursive: true });
});

describeUnlessMissing('libnfs on ganesha', missingForGanesha() ?? missingForLibnfs(), () => {
  it('writes, lists and reads', async () => {
    const client = new LibnfsClient(site.netns, ganesha);
    const text = 'what a client wrote\n'.repeat(1_000);
    const here = join(storage, 'here');
    writeFileSync(here, text);
    await client.put(here, join(storage, 'all', 'there'));
    expect(readFileSync(join(storage, 'all', 'there'), 'utf8')).toBe(text);
    expect(await client.list(join(storage, 'all'))).toMatchObject([
      { name: 'there', sizeBytes: text.length },
    ]);
    expect(await client.read(join(storage, 'all', 'there'))).toBe(text);
    await client.get(join(storage, 'all', 'there'), `${here}.again`);
    expect(readFileSync(`${here}.again`, 'utf8')).toBe(text);
    await expect(client.read(join(storage, 'all', 'nothing'))).rejects.toThrow('nfs-cat');
    rmSync(join(storage, 'all', 'there'));
  });
});

describeUnlessMissing('a guest on ganesha', missingForVms() ?? missingForGanesha(), () => {
  let vm: Vm;

  beforeAll(async () => {
    vm = await Vm.boot({ place: site.place(1), directory: site.path('vm'), record: site.record });
  });
  afterAll(() => vm?.end());

  it('mounts by the line that operators are given', async () => {
    const tookMs = await mountNfs(vm, ganesha, join(storage, 'all'), '/mnt/all');
    await mountNfs(vm, ganesha, join(storage, 'small'), '/mnt/small');
    console.log(`mounted in ${Math.round(tookMs)} ms`);
    expect(await vm.must('cat /proc/mounts')).toMatch(/ \/mnt\/all nfs rw,.*vers=3,.*proto=tcp,.*mountport=/);
  });

  // In every run they are done on our server (nfs_guest.test.ts); here, when there is time.
  it.each(LONG ? WORKLOADS : [])(
    'does as on a local file system: $name',
    {
      timeout: LIMIT_MS,
    },
    async (workload) => {
      const local = await workLocally(vm, workload);
      const there = await work(vm, workload, workload.fills ? '/mnt/small' : '/mnt/all');
      console.log(
        `${workload.name}: ${Math.round(there.elapsedMs)} ms, in memory ${Math.round(local.elapsedMs)} ms`,
      );
      const differing = differences(there.says, local.says);
      const shortcoming = SHORTCOMINGS[workload.name];
      expect(differing.filter((line) => !shortcoming?.test(line)).slice(0, DIFFERENCES_SHOWN)).toEqual([]);
      expect(there.says).not.toBe('');
      if (workload.name === 'untar and compile') expect(there.says).toContain(SOURCES_SAY);
    },
  );

  it('leaves nothing on the server', async () => {
    // Where it lies: ganesha goes on listing what was removed there.
    for (const name of ['all', 'small']) expect(readdirSync(join(storage, name))).toEqual([]);
    await vm.must('umount /mnt/all /mnt/small');
  });
});
