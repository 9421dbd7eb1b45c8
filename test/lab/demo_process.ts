// Owns running the demo as a user does: as a process, with all that it says.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Findings } from './demo/scenario.ts';
import { eventually } from './support.ts';

const DEMO = fileURLToPath(new URL('demo.ts', import.meta.url));
const SAYS_LIMIT_MS = 40_000;

export type DemoDocument = Findings & {
  readonly problems: readonly string[];
  readonly kept: boolean;
  readonly totalMs: number;
};

export class DemoProcess {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  /** Exit status and signal. */
  readonly ended: Promise<unknown[]>;

  constructor(args: readonly string[], onProgress: (text: string) => void = () => undefined) {
    this.child = spawn(process.execPath, ['--conditions=source', DEMO, '--json', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      onProgress(text);
    });
    this.ended = once(this.child, 'close');
  }

  async says(what: string): Promise<void> {
    const hasSaid = () => (this.stderr.includes(what) ? true : undefined);
    await eventually(hasSaid, `${what} in the demo`, SAYS_LIMIT_MS);
  }
}
