// Owns asking BIRD on its control socket: a conversation is a connection of its own, bounded in time, so that a BIRD that
// was restarted or hangs is no state here. What is asked, and when it is tried again, is announcer.ts.
import { createConnection } from 'node:net';
import { Failure } from '../../lib/failure.ts';
import { ERROR_CODE, type Reply, ReplyReader, textOf } from './reply_codec.ts';

/** Nobody listens: there is no BIRD that could announce anything, as far as this socket goes. */
export class BirdAbsent extends Failure {}

/** Of a whole conversation: BIRD answers within milliseconds, and a configuration of a full table in some hundred. */
const CONVERSATION_LIMIT_MS = 5_000;
/** "BIRD 2.0.12 ready." */
const GREETING = 1;

/**
 * Says these commands, one after the other, and returns BIRD's reply to each. Also replies that refuse are returned.
 * @throws Failure where BIRD does not answer.
 */
export async function converse(
  socketPath: string,
  commands: readonly string[],
  limitMs = CONVERSATION_LIMIT_MS,
): Promise<Reply[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply[]>();
  const reader = new ReplyReader();
  const replies: Reply[] = [];
  let isGreeted = false;
  const socket = createConnection(socketPath);
  const say = () => {
    const next = commands[replies.length];
    if (next === undefined) resolve(replies);
    else socket.write(`${next}\n`);
  };
  const take = (reply: Reply) => {
    if (isGreeted) replies.push(reply);
    else if (reply.code === GREETING) isGreeted = true;
    else throw refusesToTalk(socketPath, reply);
    say();
  };
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const reply of reader.feed(chunk)) take(reply);
    } catch (error) {
      reject(error);
    }
  });
  socket.on('error', (error: NodeJS.ErrnoException) => reject(cannotConnect(socketPath, error)));
  socket.on('close', () =>
    reject(unanswered(socketPath, `It closed the connection${isGreeted ? '' : ' without a word'}.`)),
  );
  const timer = setTimeout(
    () => reject(unanswered(socketPath, `It did not answer within ${limitMs / 1_000} s.`)),
    limitMs,
  );
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

export function isRefused(reply: Reply): boolean {
  return reply.code >= ERROR_CODE;
}

function cannotConnect(path: string, error: NodeJS.ErrnoException): Failure {
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return new BirdAbsent('unavailable', 'BIRD does not run', {
        reason: error.code === 'ENOENT' ? `There is no ${path}.` : `Nobody listens on ${path}.`,
        remedy: 'start it with systemctl start bird; if it runs, set routes.birdSocket to its control socket',
      });
    case 'EACCES':
    case 'EPERM':
      return new Failure('forbidden', 'holdfastd may not talk to BIRD', {
        reason: `${path} does not let it in.`,
        remedy: 'run holdfastd as root, or let it into the group of BIRD',
      });
    default:
      return unanswered(path, error.message);
  }
}

function unanswered(path: string, reason: string): Failure {
  return new Failure('unavailable', `BIRD at ${path} does not answer`, {
    reason,
    remedy: 'see birdc show status and the log of BIRD; it is tried again by itself',
  });
}

function refusesToTalk(path: string, reply: Reply): Failure {
  return unanswered(path, `It began with ${String(reply.code).padStart(4, '0')} ${textOf(reply)}.`);
}
