// Owns the tools of Debian's libnfs-utils in a namespace of the lab: another NFS client that nobody here wrote, without a
// kernel and without a mount.
import { existsSync } from 'node:fs';
import { type Outcome, RunningCommand } from '../command.ts';

const TOOLS = ['nfs-ls', 'nfs-cat', 'nfs-cp'] as const;
export type LibnfsTool = (typeof TOOLS)[number];

export type LibnfsEntry = {
  readonly mode: string;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly name: string;
};

/** What is missing on this host for them, in words. */
export function missingForLibnfs(): string | undefined {
  const missing = TOOLS.filter((tool) => !existsSync(`/usr/bin/${tool}`));
  return missing.length === 0 ? undefined : `libnfs-utils (${missing.join(', ')})`;
}

export class LibnfsClient {
  readonly #netns: string;
  readonly #server: { address: string; port?: number; mountPort?: number };
  readonly #arguments: string;

  /** `uid` and `gid`: of the credentials; root's without them. */
  constructor(
    netns: string,
    server: { address: string; port?: number; mountPort?: number },
    { uid = 0, gid = 0 }: { uid?: number; gid?: number } = {},
  ) {
    this.#netns = netns;
    this.#server = server;
    const { port = 2049, mountPort = 2049 } = server;
    this.#arguments = `version=3&nfsport=${port}&mountport=${mountPort}&uid=${uid}&gid=${gid}`;
  }

  url(path: string): string {
    return `nfs://${this.#server.address}${path}?${this.#arguments}`;
  }

  async run(tool: LibnfsTool, ...args: readonly string[]): Promise<Outcome> {
    return await new RunningCommand('ip', ['netns', 'exec', this.#netns, tool, ...args], {}).ended;
  }

  async list(path: string): Promise<LibnfsEntry[]> {
    const text = await this.#must('nfs-ls', this.url(path));
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const found = /^(\S{10})\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+) (.*)$/.exec(line);
        if (found === null) throw new Error(`nfs-ls said: ${line}`);
        const [, mode, links, uid, gid, size, name] = found;
        return {
          mode: mode!,
          links: Number(links),
          uid: Number(uid),
          gid: Number(gid),
          sizeBytes: Number(size),
          name: name!,
        };
      });
  }

  async read(path: string): Promise<string> {
    return await this.#must('nfs-cat', this.url(path));
  }

  /** From a file of this host to the server. */
  async put(localPath: string, path: string): Promise<void> {
    await this.#must('nfs-cp', localPath, this.url(path));
  }

  async get(path: string, localPath: string): Promise<void> {
    await this.#must('nfs-cp', this.url(path), localPath);
  }

  async #must(tool: LibnfsTool, ...args: readonly string[]): Promise<string> {
    const { exit, stdout, stderr } = await this.run(tool, ...args);
    // The tools of 4.0 say so and end with 0 when some calls fail.
    if (exit !== 0 || /failed|error/i.test(stderr))
      throw new Error(`${tool}: exit status ${exit}: ${stderr}${stdout}`);
    return stdout;
  }
}
