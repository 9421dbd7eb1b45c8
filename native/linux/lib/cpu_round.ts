// A round of all CPUs: a thread that runs on each that is on line, one after the other. When it is over, whatever ran on
// any of them when it began and could not be preempted there has ended.
import { readFileSync } from 'node:fs';
import { binding } from './binding.ts';
import { native } from './errors.ts';

const ONLINE = '/sys/devices/system/cpu/online';
/** Beyond it the kernel wants a longer mask than this package gives. */
const CPUS_MAX = 1_024;

/**
 * Takes tens of microseconds a CPU where they are idle. A CPU that comes on line meanwhile has run nothing before. Throws a
 * SystemError where this process may not run on some CPU (EINVAL, from its cpuset), one went off line (EINVAL, EAGAIN), or
 * somebody keeps one for a second (ETIMEDOUT; EBUSY after many of those).
 */
export async function cpuRound(): Promise<void> {
  const cpus = parseCpus(readFileSync(ONLINE, 'utf8'));
  try {
    await binding.cpuRound(cpus);
  } catch (cause) {
    native('cpu round', () => {
      throw cause;
    });
  }
}

/** The kernel's lists of CPUs: `0-3,8`. */
export function parseCpus(list: string): number[] {
  const cpus: number[] = [];
  for (const range of list.trim().split(',')) {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? [];
    if (first === undefined || Number(last) >= CPUS_MAX)
      throw new RangeError(`no list of at most ${CPUS_MAX} CPUs: ${list}`);
    for (let cpu = Number(first); cpu <= Number(last); cpu++) cpus.push(cpu);
  }
  return cpus;
}
