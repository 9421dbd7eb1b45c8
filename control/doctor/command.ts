// Owns running a command of the host within a time limit, whatever it does: it may hang in the kernel, where no signal
// ends it, and is then left behind.
import { execFile } from 'node:child_process';

export const COMMAND_LIMIT_MS = 2_000;
const OUTPUT_LIMIT_BYTES = 1024 * 1024;

export type Outcome =
  | { readonly kind: 'said'; readonly text: string }
  /** It ended with an error, and said this. */
  | { readonly kind: 'failed'; readonly text: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'silent'; readonly limitMs: number };

export function run(
  command: string,
  args: readonly string[],
  limitMs: number = COMMAND_LIMIT_MS,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const environment = { LC_ALL: 'C', PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin` };
    const options = { env: environment, maxBuffer: OUTPUT_LIMIT_BYTES, encoding: 'utf8' } as const;
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      clearTimeout(timer);
      if (error === null) resolve({ kind: 'said', text: stdout });
      else if (error.code === 'ENOENT') resolve({ kind: 'missing' });
      else resolve({ kind: 'failed', text: stderr.trim() || error.message });
    });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.unref();
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve({ kind: 'silent', limitMs });
    }, limitMs);
  });
}
