// Owns cutting a stream of bytes into lines, however it was cut on the way, within a bound. Pure.
import { Failure } from '../../lib/failure.ts';

const NEWLINE = 0x0a;

/** Empty lines are left out; what follows the last newline is a line too. @throws Failure `unavailable` beyond the bound. */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  bytesMax: number,
): AsyncGenerator<string, void, undefined> {
  let parts: Uint8Array[] = [];
  let size = 0;
  const take = (): string => {
    const line = Buffer.concat(parts).toString();
    parts = [];
    size = 0;
    return line;
  };
  const add = (part: Uint8Array): void => {
    size += part.length;
    if (size > bytesMax) throw tooLong(bytesMax);
    if (part.length > 0) parts.push(part);
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      add(chunk.subarray(from, at));
      from = at + 1;
      if (size > 0) yield take();
    }
    add(chunk.subarray(from));
  }
  if (size > 0) yield take();
}

export function tooLong(bytesMax: number): Failure {
  return new Failure('unavailable', 'an answer of etcd is too long', {
    reason: `it is longer than ${bytesMax} bytes`,
    remedy: 'check the address in store, and who else writes under the prefix of Holdfast in etcd',
  });
}
