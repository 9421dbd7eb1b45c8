// What a host lacks is said in one sentence that also says what to do. Each test puts commands that answer like such a
// host first on the PATH of a shell that has sourced setup.sh.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

const made: string[] = [];

afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true });
});

/** Runs shell code after setup.sh; `commands` are what stands in for those of the host, as shell code. */
function shell(code: string, commands: Record<string, string> = {}) {
  const bin = mkdtempSync(join(tmpdir(), 'holdfast-setup-'));
  made.push(bin);
  for (const [name, body] of Object.entries(commands)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const script = `source scripts/lib/setup.sh; LOGS=${bin}; PATH=${bin}:$PATH; ${code}`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script, 'scripts/test'], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

const uname = (answers: { s?: string; m?: string; r?: string }) => ({
  uname: `case $1 in -s) echo ${answers.s};; -m) echo ${answers.m};; -r) echo '${answers.r}';; esac`,
});

describe('checks of the host', () => {
  it.each([
    ['another system', 'check_linux', uname({ s: 'Darwin' }), /needs Linux.*Darwin.*virtual machine/],
    ['another architecture', 'check_architecture', uname({ m: 'riscv64' }), /x86_64 and aarch64.*riscv64/],
    [
      'an old kernel',
      'check_kernel',
      uname({ r: '5.17.9-amd64' }),
      /5\.17\.9-amd64 is too old.*5\.18.*XDP links/,
    ],
    ['a very old kernel', 'check_kernel', uname({ r: '4.19.0' }), /too old/],
    ['no BPF', 'FILE_SYSTEMS=/dev/null check_bpf', {}, /no BPF.*CONFIG_BPF_SYSCALL/],
    [
      'no types of the kernel',
      'KERNEL_TYPES=/nowhere check_bpf',
      {},
      /\/nowhere is missing.*CONFIG_DEBUG_INFO_BTF/,
    ],
    [
      'no BPF file system',
      'check_bpf',
      { stat: 'echo tmpfs', mount: 'exit 32' },
      /\/sys\/fs\/bpf.*--privileged/,
    ],
    ['no network namespaces', 'check_namespaces', { unshare: 'exit 1' }, /Network namespaces.*CONFIG_NET_NS/],
    ['a clang without BPF', 'check_clang', { clang: 'echo x86-64' }, /cannot compile for BPF/],
  ])('name %s', (_what, code, commands, sentence) => {
    const { status, stderr } = shell(code, commands);
    expect(stderr).toMatch(sentence);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(status).toBe(1);
  });

  it.each(['5.18.0', '5.18-rc1', '5.18', '6.1.0-44-amd64', '10.0.1'])('accept Linux %s', (r) => {
    expect(shell('check_kernel', uname({ r }))).toMatchObject({ status: 0, stderr: '' });
  });

  it('mount the BPF file system where it is missing', () => {
    const { stdout, status } = shell('check_bpf', { stat: 'echo tmpfs', mount: 'echo mount "$@"' });
    expect(stdout).toBe('mount -t bpf bpf /sys/fs/bpf\n');
    expect(status).toBe(0);
  });
});

describe('becoming root', () => {
  const nobody = { id: 'echo 1000' };

  it('runs the same command through sudo', () => {
    const { stdout } = shell('become_root unit --long', { ...nobody, sudo: '[ "$1" = -n ] || echo "$@"' });
    expect(stdout).toMatch(/^--preserve-env=\S+ env PATH=\S+ scripts\/test unit --long\n$/);
  });

  it('says what to do without sudo', () => {
    const { stderr, status } = shell('command() { false; }; become_root unit', nobody);
    expect(stderr).toMatch(
      /^scripts\/test needs root, and there is no sudo: run it as root, for example with su -c/,
    );
    expect(status).toBe(1);
  });

  it('does not wait for a password where nobody can type one', () => {
    const { stderr, status } = shell('become_root </dev/null', { ...nobody, sudo: 'exit 1' });
    expect(stderr).toMatch(/ask for a password, but there is no terminal/);
    expect(status).toBe(1);
  });
});

describe('Debian packages', () => {
  it('installs only those that are missing, and new package lists only if that fails', () => {
    const { stderr, stdout, status } = shell('become_root() { :; }; setup_packages; cat $LOGS/apt.log', {
      'dpkg-query':
        'shift 3; for p; do case $p in jq|ninja-build) ;; *) echo "$p installed";; esac; done; exit 1',
      'apt-get':
        'echo "apt-get $*"; case "$*" in *update*) touch "$0.updated";; *) [ -e "$0.updated" ];; esac',
    });
    expect(status).toBe(0);
    expect(stderr).toMatch(/^Debian packages: ninja-build jq \.\.\. \d+\.\d s\n$/);
    const [first, update, second] = stdout.trim().split('\n');
    expect(first).toMatch(/^apt-get install -y .* ninja-build jq$/);
    expect(update).toMatch(/ update$/);
    expect(second).toBe(first);
  });

  it('starts no service of a package, now or later, and leaves the rule of the host about it', () => {
    const commands = {
      'dpkg-query': 'exit 0',
      'apt-get': 'echo "apt-get, services: $($POLICY; echo $?)"',
      'update-rc.d': 'echo "update-rc.d $*"',
    };
    const code = 'become_root() { :; }; export POLICY=$LOGS/policy-rc.d;';
    const run = 'setup_packages; cat $LOGS/apt.log; ls $LOGS';
    const { stdout } = shell(`${code} ${run}`, commands);
    expect(stdout).toMatch(/apt-get, services: 101\nupdate-rc.d etcd disable\n/);
    expect(stdout).not.toContain('policy-rc.d\n');
    const kept = shell(`${code} cp /bin/true $POLICY; ${run}`, commands);
    expect(kept.stdout).toMatch(/apt-get, services: 0\n/);
    expect(kept.stdout).toContain('policy-rc.d\n');
  });

  it('shows the end of what apt-get said when it fails, and where the rest is', () => {
    const { stderr, status } = shell('become_root() { :; }; setup_packages', {
      'dpkg-query': 'exit 0',
      'apt-get': 'echo "E: no route to host"; exit 100',
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(/failed after \d+\.\d s\nE: no route to host\nE: no route to host\n/);
    expect(stderr).toMatch(/the full output is in \S+\/apt\.log\n$/);
  });
});
