// Owns a screen that is drawn again and again, and the terminal as it was before and is afterwards.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Screen } from './screen.ts';

/** The other screen, no cursor, no wrapping: what is too wide is cut. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l';
const LEAVE = '\x1b[?7h\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_REST = '\x1b[J';

/** Gives `show` a way to draw; the last that was drawn stays readable on the screen that was there before. */
export async function onLiveScreen(
  out: Screen,
  show: (draw: (text: string) => void) => Promise<void>,
): Promise<void> {
  let drawn = '';
  out.write(ENTER);
  try {
    await show((text) => {
      drawn = text;
      const lines = text.split('\n').slice(0, out.rows);
      out.write(`${HOME}${lines.map((line) => `${line}${CLEAR_LINE}`).join('\r\n')}${CLEAR_REST}`);
    });
  } finally {
    out.write(`${LEAVE}${drawn}\n`);
  }
}

/** False where the signal ended it. */
export async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal });
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}
