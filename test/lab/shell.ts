// Owns running commands of the host: `ip`, `ethtool`, in the lab's namespaces, with what they said when they fail.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { withNetns } from '@holdfast/linux';
import { netnsPath } from './plan.ts';

const COMMAND_TIMEOUT_MS = 20_000;
/** Ctrl-C is for this process, which cleans up; commands that it runs on the way are not to die of it. */
const OWN_SESSION: object = { detached: true };

export class CommandError extends Error {
  override readonly name = 'CommandError';
}

export function run(command: string, args: readonly string[], input?: string): string {
  try {
    return execFileSync(command, args, {
      ...OWN_SESSION,
      encoding: 'utf8',
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      timeout: COMMAND_TIMEOUT_MS,
      ...(input !== undefined && { input }),
    });
  } catch (cause) {
    const { code, stderr } = cause as { code?: unknown; stderr?: unknown };
    if (code === 'ENOENT') throw new CommandError(`the lab needs the command "${command}"`, { cause });
    const said = String(stderr ?? '').trim();
    throw new CommandError(`${[command, ...args].join(' ')}: ${said || 'failed'}`, { cause });
  }
}

/** Commands of `ip`, all of them or an error that names one. Those that start with `-6` come after the others. */
export function ipBatch(netns: string, lines: readonly string[]): void {
  const mark = '-6 ';
  const six = lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(mark.length));
  const others = lines.filter((line) => !line.startsWith(mark));
  if (others.length > 0) run('ip', ['-n', netns, '-batch', '-'], `${others.join('\n')}\n`);
  if (six.length > 0) run('ip', ['-n', netns, '-6', '-batch', '-'], `${six.join('\n')}\n`);
}

export function ip(netns: string, command: string): string {
  return run('ip', ['-n', netns, ...command.split(' ')]);
}

export function runIn(netns: string, command: string, ...args: readonly string[]): string {
  return run('ip', ['netns', 'exec', netns, command, ...args]);
}

/** Settings by their path under /proc/sys/net, which shows the namespace of the thread that opens it. */
export function setSysctls(netns: string, settings: Readonly<Record<string, string | number>>): void {
  withNetns(netnsPath(netns), () => {
    for (const [path, value] of Object.entries(settings))
      writeFileSync(`/proc/sys/net/${path}`, `${value}\n`);
  });
}
