// Owns nfs-ganesha, Debian's NFS server in user space, as a peer: what tests are proved with, and what benchmarks compare
// with. It serves directories of this host in a namespace, and needs a portmapper there, which comes and goes with it.
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NativeProcess } from '../native_process.ts';
import { runIn } from '../shell.ts';
import type { ProcessIdentity } from '../state.ts';

const PROGRAM = '/usr/bin/ganesha.nfsd';
const PORTMAPPER = '/sbin/rpcbind';
const START_LIMIT_MS = 20_000;
const POLL_MS = 20;
const LOG_TAIL_BYTES = 2_000;

export type GaneshaExport = {
  /** A directory of this host, and the name that clients mount it by. */
  readonly path: string;
  /** It is a file system in memory of this size, seen by the server alone: for what happens when it is full. */
  readonly sizeMb?: number;
};

export type GaneshaOptions = {
  readonly netns: string;
  readonly address: string;
  /** For its configuration and log. */
  readonly directory: string;
  readonly exports: readonly GaneshaExport[];
  readonly record: (identity: ProcessIdentity) => void;
};

/** What is missing on this host for it, in words. */
export function missingForGanesha(): string | undefined {
  return existsSync(PROGRAM)
    ? undefined
    : `nfs-ganesha (${PROGRAM}), which scripts/test lab installs on x86_64`;
}

export class Ganesha {
  readonly port = 2049;
  readonly mountPort = 20_048;
  readonly address: string;
  readonly process: NativeProcess;
  readonly #options: GaneshaOptions;

  constructor(options: GaneshaOptions) {
    this.#options = options;
    this.address = options.address;
    mkdirSync(options.directory, { recursive: true });
    const logPath = join(options.directory, 'ganesha.out');
    const command = { netns: options.netns, file: '/bin/sh', args: ['-c', this.#script()], logPath };
    this.process = new NativeProcess(command, options.record);
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  async start(): Promise<void> {
    const { exports, directory } = this.#options;
    for (const { path } of exports)
      if (!statSync(path).isDirectory()) throw new Error(`${path} is no directory`);
    writeFileSync(join(directory, 'ganesha.conf'), configuration(exports, this));
    this.process.launch();
    const deadline = Date.now() + START_LIMIT_MS;
    while (!this.#listens()) {
      if (Date.now() > deadline || !this.process.isRunning)
        throw new Error(`ganesha does not answer: ${this.log.slice(-LOG_TAIL_BYTES)}`);
      await sleep(POLL_MS);
    }
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    await this.process.end(signal);
  }

  get log(): string {
    const read = (name: string) => {
      const path = join(this.#options.directory, name);
      return existsSync(path) ? readFileSync(path, 'utf8') : '';
    };
    return `${read('ganesha.out')}${read('ganesha.log')}`;
  }

  // `ip netns exec` gave it mounts of its own: the portmapper's socket in /run is not the host's, and what is mounted here
  // goes with the last process. The portmapper dies with ganesha, which the shell becomes: it gives up root, and with it
  // what would kill it when its parent dies, so that is done to a shell whose processes have no life without it.
  #script(): string {
    const { directory, exports } = this.#options;
    const small = exports.filter(({ sizeMb }) => sizeMb !== undefined);
    return [
      'set -e',
      ...small.map(({ path, sizeMb }) => `mount -n -t tmpfs -o size=${sizeMb}m,mode=755 small ${path}`),
      // A /run of its own, which has what labs keep there.
      'mount -n -t tmpfs run /mnt',
      'mkdir -p /mnt/holdfast-lab /mnt/ganesha',
      'mount -n --rbind /run/holdfast-lab /mnt/holdfast-lab',
      'mount -n --move /mnt /run',
      'mount -n -t tmpfs state /var/lib/nfs',
      'mkdir -p /var/lib/nfs/ganesha',
      `setpriv --pdeathsig KILL unshare --pid --fork --kill-child sh -c '${PORTMAPPER} -f; :' &`,
      'until [ -S /run/rpcbind.sock ]; do sleep 0.02; done',
      `exec setpriv --pdeathsig KILL ${PROGRAM} -F -N EVENT -L ${directory}/ganesha.log ` +
        `-f ${directory}/ganesha.conf -p ${directory}/ganesha.pid`,
    ].join('\n');
  }

  #listens(): boolean {
    const listening = runIn(this.#options.netns, 'ss', '-Htln');
    return [this.port, this.mountPort].every((port) => new RegExp(`:${port}\\s`).test(listening));
  }
}

function configuration(exports: readonly GaneshaExport[], { port, mountPort }: Ganesha): string {
  const blocks = exports.map(
    ({ path }, index) => `EXPORT {
  Export_Id = ${index + 1};
  Path = ${path};
  Pseudo = ${path};
  Filesystem_Id = 192.${168 + index};
  Access_Type = RW;
  Squash = No_Root_Squash;
  SecType = sys;
  Protocols = 3;
  Transports = TCP;
  FSAL { Name = VFS; }
}
`,
  );
  return `NFS_CORE_PARAM {
  Protocols = 3;
  NFS_Port = ${port};
  MNT_Port = ${mountPort};
  Enable_NLM = false;
  Enable_RQUOTA = false;
  Enable_UDP = false;
}
LOG { Default_Log_Level = EVENT; }
${blocks.join('')}`;
}
