// Owns cutting a streamed answer into lines, and lines into server-sent events (the HTML standard, section 9.2).
import { Failure } from '../../lib/failure.ts';

export const LINE_BYTES_MAX = 1 << 20;

/** Lines without their ends; chunks may break anywhere, inside of a character too. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop()!;
    for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line;
    if (rest.length > LINE_BYTES_MAX) {
      throw new Failure('limit', 'A line of the stream is too long.', {
        reason: `It is longer than ${LINE_BYTES_MAX} bytes.`,
      });
    }
  }
  if (rest !== '') yield rest;
}

/** The data of each event; an event that the end of the stream cuts off does not count. */
export async function* eventDataOf(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let data: string[] = [];
  for await (const line of lines) {
    if (line === '') {
      if (data.length > 0) yield data.join('\n');
      data = [];
    } else if (line.startsWith('data:')) {
      data.push(line.slice(line[5] === ' ' ? 6 : 5));
    }
  }
}
