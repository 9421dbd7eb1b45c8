// Owns work that users do on a file server, as scripts for a guest, each with all that can be seen of its result. Run in a
// directory of the server and in one of the guest's own memory, both must say the same.
import { sourceArchive } from './sources.ts';
import type { Vm } from './vm.ts';

/** With the emulation and the second processor taken by others: several times what it takes alone. */
const LIMIT_MS = 180_000;
const RSYNC_FILES = 10_000;
const RANDOM_BYTES = 8 * 1024 * 1024;
const RANDOM_OPERATIONS = 2_000;
/** Of the file systems that are filled. */
export const SMALL_MB = 16;
const MOUNT_LIMIT_MS = 20_000;

export type Workload = {
  readonly name: string;
  /** It fills the file system it is on: SMALL_MB, with nothing else on it. */
  readonly fills?: true;
  readonly script: string;
  readonly input?: () => Uint8Array;
};

/** Of one workload at one place. */
export type WorkResult = { readonly says: string; readonly elapsedMs: number };

// What was written is read back from where it is kept.
const FORGET = 'sync; echo 3 >/proc/sys/vm/drop_caches';

const GIT = `export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@example.org
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
git config --global init.defaultBranch main
git config --global pack.threads 1
git config --global gc.auto 0`;

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'untar and compile',
    script: `tar -xf -
cd sources
make -s -j2 CC=tcc
make -q CC=tcc && echo everything is up to date
./program
${FORGET}
filework list .`,
    input: sourceArchive,
  },
  {
    name: 'git clone and git fsck',
    script: `${GIT}
git init -q --template= first
cd first
tar -xf -
git add -A
git commit -q -m one
git mv sources/module1 sources/moved
git rm -q -r sources/module2
git commit -q -m two
git tag -m tagged tagged
cd ..
git clone -q --no-local --template= first second
${FORGET}
cd second
git fsck --full --strict 2>&1
git status --porcelain
git log --format='%H %s'
git count-objects -v | grep -v size
mv .git ../second.git
filework list .`,
    input: sourceArchive,
  },
  {
    name: 'random I/O with checksums',
    script: `for seed in 1 2; do filework random file$seed ${RANDOM_BYTES} ${RANDOM_OPERATIONS / 2} $seed; done
${FORGET}
filework list .`,
  },
  {
    name: 'rsync of 10,000 files',
    script: `[ -d /tmp/tree ] || filework tree /tmp/tree ${RSYNC_FILES} 1
rsync -a /tmp/tree/ copy/
${FORGET}
rsync -a --dry-run --itemize-changes /tmp/tree/ copy/
filework list copy`,
  },
  { name: 'rename and unlink of open files', script: 'filework open work\nfilework list .' },
  { name: 'a full file system', script: 'filework full work\nfilework list .', fills: true },
];

/** Lines that only one of two outcomes has: `+` there, `-` here. Empty where they are the same. */
export function differences(there: string, here: string): string[] {
  if (there === here) return [];
  const lines = (text: string) => text.split('\n');
  const [known, found] = [new Set(lines(here)), new Set(lines(there))];
  const differing = [
    ...lines(there).flatMap((line) => (known.has(line) ? [] : `+ ${line}`)),
    ...lines(here).flatMap((line) => (found.has(line) ? [] : `- ${line}`)),
  ];
  return differing.length > 0 ? differing : ['the same lines, but in another order or number'];
}

/** The line that operators are given. */
export function mountLine(
  server: { address: string; mountPort?: number },
  path: string,
  at = '/mnt',
): string {
  const { address, mountPort = 2049 } = server;
  return `mount -t nfs -o vers=3,nolock,proto=tcp,port=2049,mountport=${mountPort} ${address}:${path} ${at}`;
}

/** Returns how long it took. */
export async function mountNfs(
  vm: Vm,
  server: { address: string; mountPort?: number },
  path: string,
  at = '/mnt',
): Promise<number> {
  const script = `mkdir -p ${at}\n${mountLine(server, path, at)}`;
  const { exit, stderr, elapsedMs } = await vm.run(script, { limitMs: MOUNT_LIMIT_MS });
  if (exit !== 0) throw new Error(`${script}: exit status ${exit}: ${stderr}`);
  return elapsedMs;
}

/** In a new directory of a file system of this kind, mounted on `parent`; it is removed again. */
export async function work(
  vm: Vm,
  { script, input }: Workload,
  parent: string,
  kind = 'nfs',
): Promise<WorkResult> {
  const directory = `${parent}/work`;
  const options = { limitMs: LIMIT_MS, ...(input && { input: input() }) };
  // Without this, a mount that failed would prove the guest's own memory.
  await vm.must(`grep -q " ${parent} ${kind} " /proc/mounts`);
  const startedMs = performance.now();
  const says = await vm.must(`rm -rf ${directory}\nmkdir ${directory}\ncd ${directory}\n${script}`, options);
  const elapsedMs = performance.now() - startedMs;
  await vm.must(`rm -rf ${directory}\n! [ -e ${directory} ]`, { limitMs: LIMIT_MS });
  return { says, elapsedMs };
}

/** The same in the guest's memory. */
export async function workLocally(vm: Vm, workload: Workload): Promise<WorkResult> {
  const parent = '/local';
  await vm.must(
    `mkdir -p ${parent}\nmount -t tmpfs -o size=${workload.fills ? SMALL_MB : 256}m local ${parent}`,
  );
  try {
    return await work(vm, workload, parent, 'tmpfs');
  } finally {
    await vm.run(`umount ${parent}`);
  }
}
