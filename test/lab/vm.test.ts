// Virtual machines of the lab: that what is proved in them is proved, and that nothing of them is left.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from './eventually.ts';
import { identify, isAlive } from './processes.ts';
import { runIn } from './shell.ts';
import { Site } from './vm/site.ts';
import { describeUnlessMissing } from './vm/skip.ts';
import { missingForVms, Vm } from './vm/vm.ts';

const SITE = `v${process.pid}`;
const HELD = fileURLToPath(new URL('vm/held.ts', import.meta.url));

describeUnlessMissing('a virtual machine', missingForVms(), () => {
  let site: Site;
  let vm: Vm;

  beforeAll(async () => {
    site = await Site.raise(SITE);
    vm = await boot(1);
    console.log(`booted in ${Math.round(vm.bootMs)} ms`);
  });
  afterAll(async () => {
    await vm?.end();
    await site?.down();
  });

  const boot = (number: number): Promise<Vm> =>
    Vm.boot({ place: site.place(number), directory: site.path('vm'), record: site.record });

  it('says how a script ended, and what it said on either output', async () => {
    expect(await vm.run('echo out; echo err >&2; exit 3')).toMatchObject({
      exit: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(await vm.run('kill -9 $$')).toMatchObject({ exit: 137 });
    await expect(vm.must('echo because >&2; false')).rejects.toThrow('because');
  });

  it('takes a megabyte in and gives it back', async () => {
    const input = Buffer.alloc(1_000_000, 'some bytes ');
    expect((await vm.run('cat', { input })).stdout).toBe(input.toString());
  });

  it('runs scripts side by side', async () => {
    await vm.must('mkfifo /tmp/fifo');
    const reader = vm.start('cat /tmp/fifo');
    await vm.must('echo through the fifo >/tmp/fifo');
    expect(await reader.ended).toMatchObject({ exit: 0, stdout: 'through the fifo\n' });
  });

  it('kills a script at its limit, with what it started', async () => {
    await expect(vm.run('sleep 1000 & sleep 1001', { limitMs: 300 })).rejects.toThrow('killed after 300 ms');
    expect(await vm.must('ps')).not.toMatch(/sleep 100[01]/);
  });

  it('has a kernel with the clients of NFS and iSCSI, and disks', async () => {
    await vm.must('modprobe -a nfs nfsv3 nfsv4 iscsi_tcp virtio_blk virtio_scsi sd_mod sg loop');
    expect(await vm.must('cat /proc/filesystems')).toMatch(/\bnfs\b.*\bnfs4\b/s);
  });

  it('reaches the site and the guest beside it, which has a disk', async () => {
    runIn(site.netns, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
    const disk = ['-blockdev', 'null-co,node-name=disk,size=1048576,read-zeroes=on'];
    const devices = [...disk, '-device', 'virtio-scsi-pci', '-device', 'scsi-hd,drive=disk,serial=shared'];
    const other = await Vm.boot({
      place: site.place(2),
      directory: site.path('vm'),
      record: site.record,
      devices,
    });
    onTestFinished(() => other.end());
    await vm.must(`ping -c 1 -W 5 ${site.address4}`);
    await vm.must(`ping -c 1 -W 5 ${site.place(2).address4.split('/')[0]}`);
    await other.must('modprobe -a virtio_scsi sd_mod');
    expect(await other.must('cat /sys/block/sda/size')).toBe('2048\n');
  });

  describe('that ends', () => {
    it('leaves neither process nor link, and what waits for it learns of it', async () => {
      const ending = await boot(3);
      const identity = identify(ending.pid)!;
      const waiting = expect(ending.run('sleep 1000')).rejects.toThrow('the machine ended');
      await ending.end();
      await ending.end();
      await waiting;
      expect(isAlive(identity)).toBe(false);
      expect(runIn(site.netns, 'ip', '-o', 'link')).not.toContain('vm3');
    });

    it('is gone, too, when the process that booted it is killed', async () => {
      const child = spawn(process.execPath, ['--conditions=source', HELD, `${SITE}h`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      onTestFinished(async () => {
        child.kill('SIGKILL');
        // The next run would; this one need not leave it to it.
        await (await Site.raise(`${SITE}h`)).down();
      });
      const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
      const identity = identify(Number(line))!;
      expect(isAlive(identity)).toBe(true);
      child.kill('SIGKILL');
      await eventually(() => (isAlive(identity) ? undefined : true), 'the end of qemu');
    });
  });
});
