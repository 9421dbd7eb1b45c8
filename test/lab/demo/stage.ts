// Owns what is shown while the demo runs: in a terminal a panel that is redrawn in place, elsewhere a line for each
// step. Both go to standard error.
import { setTimeout as sleep } from 'node:timers/promises';
import { paint } from '../drawing.ts';
import type { Account } from './act.ts';
import type { LiveFigures, LiveSampler } from './live.ts';
import { drawPanel } from './panel.ts';

const REDRAW_MS = 250;
const FRAME = {
  /** Lines that do not fit are cut rather than wrapped, so that their number is known. */
  begin: '\x1b[?25l\x1b[?7l',
  end: '\x1b[?7h',
  showCursor: '\x1b[?25h',
} as const;

export interface Stage {
  /** Something that takes a while, before or after the acts too. */
  now(what: string): void;
  begins(number: number, of: number, title: string): void;
  ends(account: Account): void;
  /** Figures come from here from now on. */
  follows(sampler: LiveSampler): void;
  /** Leaves the terminal as it was. Repeating it does nothing. */
  close(): void;
}

export function stageFor(stream: NodeJS.WriteStream): Stage {
  const hasPanel = stream.isTTY && process.env.TERM !== 'dumb';
  return hasPanel ? new PanelStage(stream) : new LineStage(stream);
}

const startedMs = performance.now();

export function elapsedMs(): number {
  return Math.round(performance.now() - startedMs);
}

function clock(stream: NodeJS.WriteStream): string {
  return paint('dim', seconds(elapsedMs()).padStart(7), stream);
}

export function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}

/** An act in a line, when it is over. */
function lineOf({ title, checks, durationMs }: Account, stream: NodeJS.WriteStream): string {
  const kept = checks.every((it) => it.kept);
  const mark = kept ? paint('green', '✓', stream) : paint('red', '✗', stream);
  return `${mark} ${title} ${paint('dim', `(${seconds(durationMs)})`, stream)}`;
}

class LineStage implements Stage {
  readonly #stream: NodeJS.WriteStream;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  now(what: string): void {
    this.#print(`    ${what}`);
  }

  begins(number: number, of: number, title: string): void {
    this.#print(`${number}/${of} ${title}`);
  }

  ends(account: Account): void {
    this.#print(`    ${lineOf(account, this.#stream)}`);
  }

  follows(): void {}

  close(): void {}

  #print(text: string): void {
    this.#stream.write(`${clock(this.#stream)} ${text}\n`);
  }
}

class PanelStage implements Stage {
  readonly #stream: NodeJS.WriteStream;
  readonly #showCursor = () => this.#stream.write(FRAME.showCursor);
  #head = '';
  #step = '';
  #figures: LiveFigures | undefined;
  #drawnLines = 0;
  #isClosed = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    process.once('exit', this.#showCursor);
    void this.#tick();
  }

  now(what: string): void {
    this.#step = what;
    this.#draw();
  }

  begins(number: number, of: number, title: string): void {
    this.#head = `${number}/${of} ${title}`;
    this.#step = '';
    this.#draw();
  }

  ends(account: Account): void {
    this.#head = '';
    this.#figures = undefined;
    this.#draw(`${clock(this.#stream)} ${lineOf(account, this.#stream)}\n`);
  }

  follows(sampler: LiveSampler): void {
    void this.#follow(sampler);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#head = '';
    this.#step = '';
    this.#draw();
    this.#isClosed = true;
    this.#showCursor();
    process.off('exit', this.#showCursor);
  }

  /** The clock goes on where nothing else happens. */
  async #tick(): Promise<void> {
    while (!this.#isClosed) {
      this.#draw();
      await sleep(REDRAW_MS, undefined, { ref: false });
    }
  }

  async #follow(sampler: LiveSampler): Promise<void> {
    while (!this.#isClosed) {
      try {
        this.#figures = await sampler.sample();
      } catch {
        // The client's process has ended: there is nothing to show any more.
        this.#figures = undefined;
        return;
      }
      await sleep(REDRAW_MS, undefined, { ref: false });
    }
  }

  /** Replaces what was drawn before by `above`, which stays, and the panel. */
  #draw(above = ''): void {
    if (this.#isClosed) return;
    const { rows, columns } = this.#stream;
    const lines =
      this.#head === '' && this.#step === ''
        ? []
        : drawPanel(
            { clock: clock(this.#stream), head: this.#head, step: this.#step, figures: this.#figures },
            { rows: rows ?? 24, columns: columns ?? 80 },
            (style, text) => paint(style, text, this.#stream),
          );
    const up = this.#drawnLines === 0 ? '' : `\x1b[${this.#drawnLines}A`;
    const text = lines.map((line) => `${line}\n`).join('');
    this.#stream.write(`${FRAME.begin}\r${up}\x1b[J${above}${text}${FRAME.end}`);
    this.#drawnLines = lines.length;
  }
}
