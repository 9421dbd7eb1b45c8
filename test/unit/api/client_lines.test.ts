// Cutting a stream into lines and events, wherever its chunks break.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventDataOf, LINE_BYTES_MAX, linesOf } from '../../../control/api/client/lines.ts';
import { all } from '../cli/lib/all.ts';

async function* chunksOf(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  let from = 0;
  for (const cut of [...new Set(cuts.map((it) => it % (bytes.length + 1)))].sort((a, b) => a - b)) {
    yield bytes.subarray(from, cut);
    from = cut;
  }
  yield bytes.subarray(from);
}

const lineText = fc
  .string({ unit: 'grapheme' })
  .map((text) => text.replace(/[\r\n]/g, ' '))
  .filter((text) => text !== '');

describe('lines', () => {
  it('are the same wherever chunks break, inside of a character too', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(lineText), fc.array(fc.nat(), { maxLength: 20 }), async (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        expect(await all(linesOf(chunksOf(bytes, cuts)))).toEqual(lines);
      }),
    );
  });

  it('may end with a carriage return, and the last without an end', async () => {
    expect(await all(linesOf(chunksOf(Buffer.from('a\r\nb'), [2])))).toEqual(['a', 'b']);
  });

  it('have a limit', async () => {
    const endless = async function* () {
      for (;;) yield Buffer.alloc(1 << 16, 'x');
    };
    await expect(all(linesOf(endless()))).rejects.toMatchObject({
      code: 'limit',
      message: 'A line of the stream is too long.',
      reason: `It is longer than ${LINE_BYTES_MAX} bytes.`,
    });
  });
});

describe('events', () => {
  const dataOf = async (text: string) => await all(eventDataOf(linesOf(chunksOf(Buffer.from(text), []))));

  it('are the data between empty lines', async () => {
    expect(await dataOf('data: one\n\nid: 2\nevent: x\ndata:two\n\n')).toEqual(['one', 'two']);
  });

  it('may have data of several lines', async () => {
    expect(await dataOf('data: one\ndata:  two\n\n')).toEqual(['one\n two']);
  });

  it('do not count without data, or where the stream ends first', async () => {
    expect(await dataOf(': comment\n\nevent: x\n\ndata: cut off\n')).toEqual([]);
  });
});
