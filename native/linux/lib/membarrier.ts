// membarrier(2), MEMBARRIER_CMD_GLOBAL: a grace period. When it is over, every RCU read section that had begun
// before has ended, hence every XDP program that was running and might have read what a map said before.
import { binding } from './binding.ts';
import { native } from './errors.ts';

const MEMBARRIER_CMD_GLOBAL = 1;

/** Whether the kernel offers MEMBARRIER_CMD_GLOBAL; false on nohz_full kernels and under seccomp filters. */
export function membarrierSupported(): boolean {
  try {
    return (binding.membarrierQuery() & MEMBARRIER_CMD_GLOBAL) !== 0;
  } catch {
    return false;
  }
}

/** Waits on a thread of Node's pool; a grace period takes milliseconds to tens of them. */
export async function membarrierGlobal(): Promise<void> {
  try {
    await binding.membarrierGlobal();
  } catch (cause) {
    native('membarrier', () => {
      throw cause;
    });
  }
}

/** The same, blocking this thread. */
export function membarrierGlobalSync(): void {
  native('membarrier', () => binding.membarrierGlobalSync());
}
