// Owns the client of `scripts/bench file` (client.c): compiling it against Debian's libnfs, and running one case of it
// in a namespace.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { RunningCommand } from '../../lab/command.ts';

const SOURCES = ['client.c', 'connection.c'].map((name) => join(import.meta.dirname, name));
const OUT = 'out/bench';
const RUN_LIMIT_MS = 120_000;
const HEADER = '/usr/include/nfsc/libnfs-raw.h';

const figuresSchema = z.object({
  case: z.string(),
  depth: z.int(),
  operations: z.int(),
  seconds: z.number(),
  opsPerSecond: z.number(),
  bytesPerSecond: z.number(),
  p50Us: z.number(),
  p90Us: z.number(),
  p99Us: z.number(),
  p999Us: z.number(),
  maxUs: z.number(),
});
export type LoadFigures = z.infer<typeof figuresSchema>;

/** An NFSv3 server as its clients know it. */
export type LoadTarget = {
  readonly address: string;
  readonly port: number;
  readonly mountPort: number;
  /** As it is mounted. */
  readonly path: string;
};

/** What is missing on this host, in words. */
export function missingForLoad(): string | undefined {
  return existsSync(HEADER) ? undefined : `libnfs-dev (${HEADER}), which scripts/bench file installs`;
}

export class FileLoad {
  readonly #netns: string;
  readonly #program: string;

  constructor(netns: string) {
    const missing = missingForLoad();
    if (missing !== undefined) throw new Error(`the client needs ${missing}`);
    this.#netns = netns;
    mkdirSync(OUT, { recursive: true });
    this.#program = join(OUT, 'nfs-client');
    execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-o', this.#program, ...SOURCES, '-lnfs'], {
      stdio: 'inherit',
    });
  }

  /** `line`: a case with its options, split at spaces. Throws where the server answers wrongly, too. */
  async run({ address, port, mountPort, path }: LoadTarget, line: string): Promise<LoadFigures> {
    const where = ['--address', address, '--port', `${port}`, '--mount-port', `${mountPort}`, '--path', path];
    const args = ['netns', 'exec', this.#netns, this.#program, ...where, ...line.split(' ')];
    const { exit, stdout, stderr } = await new RunningCommand('ip', args, { limitMs: RUN_LIMIT_MS }).ended;
    if (exit !== 0) throw new Error(`${line}: exit status ${exit}: ${stderr}`);
    return figuresSchema.parse(JSON.parse(stdout));
  }
}
