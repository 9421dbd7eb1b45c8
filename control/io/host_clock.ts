// Owns reading the clock that processes of one host share.
import { readFileSync } from 'node:fs';
import type { HostClock } from '../lib/host_clock.ts';

/** CLOCK_MONOTONIC, which stands still while the host is suspended, as its processes do. */
export function hostClock(): HostClock {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return { bootId, nowMs: () => Number(process.hrtime.bigint()) / 1e6 };
}
