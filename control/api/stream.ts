// Owns answers that are streams: their pace is the client's, and they end when it goes, when it stalls, or when the
// daemon stops. What they say is the source's.

/** A client that takes nothing for so long is cut off: a capture slows the node down while it runs. */
export const STALL_MS = 30_000;

export type StreamEnd = 'done' | 'gone' | 'stalled' | 'failed';

export type StreamOptions = {
  /** Aborted when the stream ends before its source, so that the source stops what it does. */
  readonly stop: AbortController;
  readonly stallMs: number;
  /** Breaks the connection, so that the client cannot take what it got for all there is. */
  readonly cut: (() => void) | undefined;
  readonly onEnd: (end: StreamEnd, error?: unknown) => void;
};

/** Takes a chunk from the source when the one before is on its way, and not earlier. */
export function streamOf(
  source: AsyncGenerator<string | Uint8Array>,
  { stop, stallMs, cut, onEnd }: StreamOptions,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let timer: NodeJS.Timeout | undefined;
  let ended = false;

  const end = (how: StreamEnd, error?: unknown): boolean => {
    clearTimeout(timer);
    if (ended) return false;
    ended = true;
    if (how !== 'done') stop.abort();
    onEnd(how, error);
    return true;
  };
  const breakOff = (controller: ReadableStreamDefaultController, how: StreamEnd, error?: unknown): void => {
    if (!end(how, error)) return;
    source.return(undefined).catch(() => {});
    // An erroring stream makes the server print what it thinks of it; a cut connection cancels the stream.
    if (cut === undefined) controller.error(error ?? new Error(how));
    else cut();
  };

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(timer);
        try {
          const { done, value } = await source.next();
          if (ended) return;
          if (done) {
            end('done');
            controller.close();
            return;
          }
          controller.enqueue(typeof value === 'string' ? encoder.encode(value) : value);
          timer = setTimeout(() => breakOff(controller, 'stalled'), stallMs);
        } catch (error) {
          breakOff(controller, 'failed', error);
        }
      },
      cancel() {
        if (end('gone')) source.return(undefined).catch(() => {});
      },
    },
    { highWaterMark: 0 },
  );
}
