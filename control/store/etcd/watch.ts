// Owns one stream of a watch, at one member: from its answers to events, no revision ever in parts. When it breaks off
// it says so; beginning again is store.ts's.
//
// etcd keeps of the revision that it was compacted at only what is still there: a deletion at it is forgotten. So a
// watch begins one revision early, and leaves that one out: where etcd knows the one before, it knows all of this one.
import { Failure } from '../../lib/failure.ts';
import type { Change, Revision, WatchEvent } from '../contract.ts';
import type { EtcdClient } from './client.ts';
import { ANSWER_BYTES_MAX } from './exchange.ts';
import { Refused, refusalFailure } from './failure.ts';
import { linesOf } from './lines.ts';
import { changeOf, decodeWatch, plainSchema, prefixRange, type WatchAnswer } from './messages.ts';

/** A stream that says nothing may lead nowhere: its member is asked, so often, whether it is there and has a leader. */
export const CHECK_INTERVAL_MS = 2_000;
const CHECK_TIMEOUT_MS = 2_000;

/** The stream broke off, and a new one may go on. */
export class StreamLost extends Error {}

export type WatchOptions = {
  readonly client: EtcdClient;
  /** All keys of ours begin with it. */
  readonly root: string;
  readonly prefix: string;
  readonly from: Revision;
  readonly signal: AbortSignal;
};

/** Ends after `compacted`, or throws: StreamLost, or a Failure where no stream could be opened. */
export async function* watchOnce(options: WatchOptions): AsyncGenerator<WatchEvent, void, undefined> {
  const { client, root, prefix, from, signal } = options;
  const { response, url } = await client.stream({
    path: '/v3/watch',
    body: {
      create_request: {
        ...prefixRange(root + prefix),
        start_revision: String(Math.max(1, from - 1)),
        // Or the answers about a long past would have no bound.
        fragment: true,
      },
    },
    signal,
  });
  const stop = () => response.destroy();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  const checking = setInterval(() => void check(), CHECK_INTERVAL_MS);
  const check = async (): Promise<void> => {
    try {
      await client.askAt(url, {
        path: '/v3/kv/range',
        body: { ...prefixRange(root), count_only: true },
        schema: plainSchema,
        repeatable: true,
        timeoutMs: CHECK_TIMEOUT_MS,
        signal,
      });
    } catch (error) {
      if (!response.destroyed) response.destroy(new Error('the member does not answer', { cause: error }));
    }
  };
  try {
    const whole = new WholeRevisions(from);
    for await (const line of lostOf(linesOf(response, ANSWER_BYTES_MAX))) {
      const decoded = decodeWatch(line);
      if ('refusal' in decoded) {
        const refused = new Refused(decoded.refusal);
        throw new StreamLost(refused.message, { cause: refusalFailure(refused, url) });
      }
      const { answer } = decoded;
      if (answer.canceled) {
        if (answer.compact_revision === 0) throw refusedWatch(answer, url);
        yield { kind: 'compacted', oldest: answer.compact_revision + 1 };
        return;
      }
      yield* whole.add(answer, root);
    }
    throw new StreamLost('the member ended the stream');
  } catch (error) {
    if (error instanceof StreamLost && !signal.aborted) client.suspect(url);
    throw error;
  } finally {
    clearInterval(checking);
    signal.removeEventListener('abort', stop);
    response.destroy();
  }
}

async function* lostOf(lines: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  try {
    yield* lines;
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new StreamLost('the connection broke off', { cause });
  }
}

function refusedWatch({ cancel_reason: message }: WatchAnswer, url: URL): Failure {
  return refusalFailure(new Refused({ code: 0, message: message || 'the watch was cancelled' }), url);
}

/** Puts revisions together that come in several answers. */
export class WholeRevisions {
  #next: Revision;
  #revision: Revision = 0;
  #changes: Change[] = [];

  /** What comes before `from` is left out. */
  constructor(from: Revision) {
    this.#next = from;
  }

  *add({ events, fragment }: WatchAnswer, root: string): Generator<WatchEvent, void, undefined> {
    for (const event of events) {
      const revision = event.kv.mod_revision;
      if (revision < this.#next) continue;
      if (revision !== this.#revision) {
        yield* this.#take();
        this.#revision = revision;
      }
      this.#changes.push(changeOf(event, root));
    }
    // The last revision of a fragment may go on in the next.
    if (!fragment) yield* this.#take();
  }

  *#take(): Generator<WatchEvent, void, undefined> {
    if (this.#changes.length === 0) return;
    const changes = this.#changes;
    this.#changes = [];
    this.#next = this.#revision + 1;
    yield { kind: 'changes', revision: this.#revision, changes };
  }
}
