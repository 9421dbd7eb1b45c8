// Owns the will: what is to be done with a mux's routes if its daemon does not say otherwise in time. It is a file that
// the daemon replaces whole; who carries it out is native/deadman, which knows no more of Holdfast than this text. Pure.
//
//   will 1
//   boot 1b4e28ba-2fa1-11d2-883f-0016d3cca427
//   deadline 123456789                    milliseconds of CLOCK_MONOTONIC in that boot; none: nothing is to be done
//   rename /run/…/bird.conf.dead /run/…/bird.conf
//   socket /run/bird/bird.ctl
//   send disable "holdfast?"
//   send configure
//   end

export type Will = {
  readonly bootId: string;
  /** Undefined: nothing is to be done. */
  readonly deadlineMs: number | undefined;
  readonly rename: { readonly from: string; readonly to: string };
  readonly socket: string;
  readonly send: readonly string[];
};

const LINES_MAX = 32;
export const WILL_BYTES_MAX = 4_096;

export function composeWill({ bootId, deadlineMs, rename, socket, send }: Will): string {
  const text = [
    'will 1',
    `boot ${bootId}`,
    `deadline ${deadlineMs === undefined ? 'none' : Math.max(0, Math.ceil(deadlineMs))}`,
    `rename ${rename.from} ${rename.to}`,
    `socket ${socket}`,
    ...send.map((line) => `send ${line}`),
    'end',
    '',
  ].join('\n');
  if (text.length > WILL_BYTES_MAX) throw new RangeError(`a will of ${text.length} bytes`);
  return text;
}

/** Undefined where it is none, or of a later format. */
export function parseWill(text: string): Will | undefined {
  if (text.length > WILL_BYTES_MAX) return undefined;
  const lines = text.split('\n');
  if (lines.length > LINES_MAX || lines.shift() !== 'will 1') return undefined;
  if (lines.pop() !== '' || lines.pop() !== 'end') return undefined;
  const send: string[] = [];
  const found = new Map<string, string>();
  for (const line of lines) {
    const at = line.indexOf(' ');
    const [word, rest] = [line.slice(0, at), line.slice(at + 1)];
    if (at <= 0 || rest === '') return undefined;
    if (word === 'send') send.push(rest);
    else if (found.has(word)) return undefined;
    else found.set(word, rest);
  }
  const [from, to, ...more] = found.get('rename')?.split(' ') ?? [];
  const deadline = found.get('deadline') ?? '';
  const bootId = found.get('boot');
  const socket = found.get('socket');
  if (found.size !== 4 || bootId === undefined || socket === undefined) return undefined;
  if (from === undefined || to === undefined || more.length > 0 || !/^(none|\d{1,15})$/.test(deadline))
    return undefined;
  return {
    bootId,
    deadlineMs: deadline === 'none' ? undefined : Number(deadline),
    rename: { from, to },
    socket,
    send,
  };
}
