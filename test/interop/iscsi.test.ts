// The iSCSI core and initiators that nobody here wrote: libiscsi's tools and QEMU's, over TCP, with a unit of memory.
// libiscsi 1.19 has no data digest; initiators that have are guests' (test/lab).
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BLOCK_BYTES, MemoryUnit } from '../lib/iscsi/memory_unit.ts';
import { type TargetOptions, TcpTarget } from '../lib/iscsi/tcp_target.ts';

const NAME = 'iqn.2026-11.com.example:interop';
const SIZE_BYTES = 32 << 20;
const TIMEOUT_MS = 60_000;
const USER = 'vm-one';
const PASSWORD = 'only for tests 1';
const TARGET_USER = 'holdfast';
const TARGET_PASSWORD = 'only for tests 2';

const execute = promisify(execFile);

interface Said {
  readonly out: string;
  readonly code: number;
}

async function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Said> {
  const options = { timeout: TIMEOUT_MS, env: { ...process.env, ...env } };
  try {
    const { stdout, stderr } = await execute(command, args, options);
    return { out: stdout + stderr, code: 0 };
  } catch (cause) {
    const { code, stdout, stderr } = cause as { code: unknown; stdout?: string; stderr?: string };
    if (typeof code !== 'number')
      throw new Error(`${command} did not run: are Debian's packages there?`, { cause });
    return { out: `${stdout}${stderr}`, code };
  }
}

async function listen(
  options: Partial<TargetOptions> = {},
): Promise<{ target: TcpTarget; unit: MemoryUnit }> {
  const unit = options.unit ?? new MemoryUnit(SIZE_BYTES);
  const target = await TcpTarget.listen({ name: NAME, unit, ...options });
  onTestFinished(() => target.close());
  return { target, unit };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const secret = { name: USER, secret: bytes(PASSWORD) };
const mutual = { name: TARGET_USER, secret: bytes(TARGET_PASSWORD) };
const CHAP = { LIBISCSI_CHAP_USERNAME: USER, LIBISCSI_CHAP_PASSWORD: PASSWORD };
const MUTUAL = { LIBISCSI_CHAP_TARGET_USERNAME: TARGET_USER, LIBISCSI_CHAP_TARGET_PASSWORD: TARGET_PASSWORD };

describe('libiscsi', () => {
  it('discovers the target, and its unit in a session of its own', async () => {
    const { target } = await listen();
    const { out, code } = await run('iscsi-ls', ['-s', `iscsi://127.0.0.1:${target.portal.port}`]);
    expect(out).toContain(`Target:${NAME} Portal:127.0.0.1:${target.portal.port},1`);
    expect(out).toContain('Lun:0    Type:DIRECT_ACCESS (Size:31M)');
    expect(code).toBe(0);
  });

  it('reads INQUIRY and READ CAPACITY', async () => {
    const { target } = await listen();
    const inquiry = await run('iscsi-inq', [`iscsi://${target.url}`]);
    expect(inquiry.out).toContain('Vendor:HOLDFAST');
    const capacity = await run('iscsi-readcapacity16', [`iscsi://${target.url}`]);
    expect(capacity.out).toContain(`RETURNED LOGICAL BLOCK ADDRESS:${SIZE_BYTES / BLOCK_BYTES - 1}`);
    expect([inquiry.code, capacity.code]).toEqual([0, 0]);
  });

  it('logs in with CHAP, and without the secret, with a wrong one or as another user does not', async () => {
    const { target } = await listen({ secret });
    const url = `iscsi://${target.url}`;
    expect(await run('iscsi-inq', [url], CHAP)).toMatchObject({ code: 0 });
    expect(target.refused).toEqual([]);
    for (const wrong of [
      {},
      { ...CHAP, LIBISCSI_CHAP_PASSWORD: 'another' },
      { ...CHAP, LIBISCSI_CHAP_USERNAME: 'vm-two' },
    ]) {
      const said = await run('iscsi-inq', [url], wrong);
      expect(said.out).toContain('Authentication failure(513)');
      expect(said.code).not.toBe(0);
    }
    expect(target.refused).toEqual(Array(3).fill('AUTHENTICATION_FAILURE'));
    const discovery = await run('iscsi-ls', [`iscsi://127.0.0.1:${target.portal.port}`]);
    expect(discovery.out).not.toContain(NAME);
  });

  it('lets the target prove who it is, and leaves one that cannot', async () => {
    const { target } = await listen({ secret, mutual });
    expect(await run('iscsi-inq', [`iscsi://${target.url}`], { ...CHAP, ...MUTUAL })).toMatchObject({
      code: 0,
    });
    const { target: impostor } = await listen({ secret, mutual: { ...mutual, secret: bytes('guessed it') } });
    expect(await run('iscsi-inq', [`iscsi://${impostor.url}`], { ...CHAP, ...MUTUAL })).not.toMatchObject({
      code: 0,
    });
  });

  it('does not find a target that is none', async () => {
    const { target } = await listen();
    const { out } = await run('iscsi-inq', [
      `iscsi://127.0.0.1:${target.portal.port}/iqn.2026-11.com.example:none/0`,
    ]);
    expect(out).toContain('Target not found(515)');
  });

  it.each(['iSCSI.iSCSIcmdsn', 'iSCSI.iSCSIdatasn', 'iSCSI.iSCSIResiduals', 'iSCSI.iSCSITMF'])(
    'passes the tests %s of its suite',
    async (suite) => {
      const { target } = await listen();
      const { out, code } = await run('iscsi-test-cu', ['-d', '-n', '-t', suite, `iscsi://${target.url}`]);
      const [, ran, passed, failed] = /tests +(?:\d+ +)?(\d+) +(\d+) +(\d+)/.exec(out)!.map(Number);
      expect(ran, out).toBeGreaterThan(0);
      expect([passed, failed], out).toEqual([ran, 0]);
      expect(code).toBe(0);
    },
  );
});

describe('QEMU', () => {
  it.each(['none', 'crc32c'])(
    'writes an image and reads it again, with header digests %s',
    async (digest) => {
      const { target, unit } = await listen({ secret });
      const directory = await mkdtemp(join(tmpdir(), 'holdfast-iscsi-'));
      onTestFinished(() => rm(directory, { recursive: true }));
      const [source, copy, password] = ['source', 'copy', 'password'].map((name) =>
        join(directory, name),
      ) as [string, string, string];
      const image = randomBytes(SIZE_BYTES);
      await writeFile(source, image);
      await writeFile(password, PASSWORD);
      const object = ['--object', `secret,id=chap,file=${password}`];
      const disk = `driver=iscsi,transport=tcp,portal=127.0.0.1:${target.portal.port},target=${NAME},lun=0,user=${USER},password-secret=chap,header-digest=${digest}`;
      const written = await run('qemu-img', [
        'convert',
        ...object,
        '-n',
        '--target-image-opts',
        '-f',
        'raw',
        source,
        disk,
      ]);
      expect(written).toEqual({ out: '', code: 0 });
      expect(image.equals(unit.bytes)).toBe(true);
      const read = await run('qemu-img', ['convert', ...object, '--image-opts', disk, '-O', 'raw', copy]);
      expect(read).toEqual({ out: '', code: 0 });
      expect(image.equals(await readFile(copy))).toBe(true);
      expect(target.closed.filter((reason) => reason !== 'logout')).toEqual([]);
    },
  );
});
