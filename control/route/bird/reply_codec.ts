// Owns the format in which BIRD 2 answers on its control socket: lines with a code of four digits, of which the last has a
// space behind the code. Takes any chunking, and holds a bounded amount. Not here: connecting and asking (client.ts), what
// tables in an answer mean (tables_codec.ts).
//
//   1002-NAME …      first line with this code, more of the reply follows
//    NAME …          a further line with the same code
//   0000             the last line of a reply
//   +…               a message of the log, which belongs to no reply
import { Failure } from '../../lib/failure.ts';

export type ReplyLine = { readonly code: number; readonly text: string };

export type Reply = {
  /** Of the last line: below 1000 it was done, from 8000 on it was not. */
  readonly code: number;
  readonly lines: readonly ReplyLine[];
};

export const LINE_BYTES_MAX = 16_384;
export const REPLY_BYTES_MAX = 1 << 20;
/** First of the codes of run-time errors; those of mistakes in the command follow. */
export const ERROR_CODE = 8_000;

const NEWLINE = 0x0a;
const LINE = /^(\d{4})([- ])(.*)$/s;
// What other people wrote into descriptions ends up on a terminal.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f]/g;

export class ReplyReader {
  readonly #decoder = new TextDecoder('utf-8');
  #partial: Uint8Array[] = [];
  #partialBytes = 0;
  #lines: ReplyLine[] = [];
  #replyBytes = 0;

  /** The replies that end in this chunk. @throws Failure where it is not BIRD that speaks, or says too much. */
  feed(chunk: Uint8Array): Reply[] {
    const replies: Reply[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.#hold(chunk.subarray(start, end));
      const reply = this.#line();
      if (reply !== undefined) replies.push(reply);
      start = end + 1;
    }
    this.#hold(chunk.subarray(start));
    return replies;
  }

  #hold(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#partialBytes += bytes.length;
    this.#replyBytes += bytes.length;
    if (this.#partialBytes > LINE_BYTES_MAX) throw tooLong(`a line has more than ${LINE_BYTES_MAX} bytes`);
    if (this.#replyBytes > REPLY_BYTES_MAX) throw tooLong(`a reply has more than ${REPLY_BYTES_MAX} bytes`);
    // The chunk is the socket's, which may use it again.
    this.#partial.push(Uint8Array.from(bytes));
  }

  #line(): Reply | undefined {
    const text = this.#decoder.decode(Buffer.concat(this.#partial));
    this.#partial = [];
    this.#partialBytes = 0;
    // Empty lines count, or a reply of nothing else would have no end.
    this.#replyBytes += 1;
    if (this.#replyBytes > REPLY_BYTES_MAX) throw tooLong(`a reply has more than ${REPLY_BYTES_MAX} bytes`);
    if (text.startsWith('+')) return undefined;
    const last = this.#lines.at(-1);
    if (text.startsWith(' ') || text === '') {
      if (last === undefined) throw notBird(text);
      this.#lines.push({ code: last.code, text: printable(text.slice(1)) });
      return undefined;
    }
    const [, code, mark, rest] = LINE.exec(text) ?? [];
    if (code === undefined || rest === undefined) throw notBird(text);
    this.#lines.push({ code: Number(code), text: printable(rest) });
    if (mark === '-') return undefined;
    const reply = { code: Number(code), lines: this.#lines };
    this.#lines = [];
    this.#replyBytes = 0;
    return reply;
  }
}

/** All that it says, a line each, without the empty last one. */
export function textOf(reply: Reply): string {
  return reply.lines
    .map(({ text }) => text.trimEnd())
    .filter((text) => text !== '')
    .join('\n');
}

function printable(text: string): string {
  return text.replaceAll('\t', ' ').replaceAll(UNPRINTABLE, '?');
}

function tooLong(reason: string): Failure {
  return new Failure('limit', 'BIRD says more than holdfastd reads', {
    reason,
    remedy: 'see birdc show protocols all',
  });
}

function notBird(text: string): Failure {
  return new Failure('configuration', 'what answers on the control socket of BIRD is not BIRD 2', {
    reason: `It said: ${JSON.stringify(text.slice(0, 80))}`,
    remedy: 'set routes.birdSocket to the socket that birdc -s takes',
  });
}
