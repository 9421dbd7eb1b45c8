// Owns a stream that text goes to: whether it is a terminal, how wide, whether it may have colours and block characters.
import { once } from 'node:events';
import { styleText } from 'node:util';

export type ScreenStream = NodeJS.WritableStream & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

export type Style = Parameters<typeof styleText>[0];

/** Of text in pipes and files, which have no width. */
const ROWS_DEFAULT = 24;

export class Screen {
  readonly stream: ScreenStream;
  readonly isTerminal: boolean;
  readonly hasColour: boolean;
  /** Terminals that show more than ASCII. */
  readonly hasBlocks: boolean;

  constructor(stream: ScreenStream, env: Readonly<Record<string, string | undefined>>, colourWanted = true) {
    this.stream = stream;
    this.isTerminal = stream.isTTY === true;
    // https://no-color.org: set and not empty, whatever it says.
    this.hasColour = colourWanted && this.isTerminal && !env.NO_COLOR && env.TERM !== 'dumb';
    const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
    this.hasBlocks = this.isTerminal && /utf-?8/i.test(locale);
  }

  /** Undefined where lines may be as long as they like. Consoles that do not know their size say 0. */
  get columns(): number | undefined {
    return (this.isTerminal && this.stream.columns) || undefined;
  }

  get rows(): number {
    return this.stream.rows || ROWS_DEFAULT;
  }

  write(text: string): void {
    this.stream.write(text);
  }

  print(text: string): void {
    this.stream.write(`${text}\n`);
  }

  /** Waits where the reader is slower than we are. */
  async writeBytes(bytes: Uint8Array): Promise<void> {
    if (this.stream.write(bytes)) return;
    await once(this.stream, 'drain');
  }

  paint(style: Style | undefined, text: string): string {
    return this.hasColour && style !== undefined && text !== ''
      ? styleText(style, text, { validateStream: false })
      : text;
  }
}
