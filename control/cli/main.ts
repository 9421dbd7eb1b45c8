// Owns the process of `holdfast`: its streams, its signals and its exit code.
import { EXIT_INTERRUPTED } from './exit.ts';
import { run } from './run.ts';

const interrupted = new AbortController();
process.on('SIGINT', () => {
  // Whoever presses it again does not want to wait for anything.
  if (interrupted.signal.aborted) process.exit(EXIT_INTERRUPTED);
  interrupted.abort();
});

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // The reader has what it wanted: `| head`.
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

// What a stream has taken of the terminal is given back first.
let ended: NodeJS.Signals | undefined;
for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    ended = signal;
    interrupted.abort();
  });
}

process.exitCode = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: interrupted.signal,
});
if (ended !== undefined) process.kill(process.pid, ended);
