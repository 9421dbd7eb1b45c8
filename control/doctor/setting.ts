// Owns reading settings of the kernel.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Fact } from './core/facts.ts';
import { attempt } from './fact.ts';

/** A number below /proc/sys, of this process's network namespace. */
export function readSetting(path: string): Fact<number> {
  return attempt(() => {
    const text = readFileSync(join('/proc/sys', path), 'utf8').trim();
    const value = Number(text);
    if (text === '' || !Number.isSafeInteger(value)) throw new Error(`/proc/sys/${path} holds "${text}"`);
    return value;
  });
}
