// Owns asking a daemon that answers by the schemas, a new one for each test.
import { afterEach, beforeEach, expect } from 'vitest';
import { FakeDaemon } from './fake_daemon.ts';
import { holdfast, type Outcome, type RunOptions } from './run.ts';

export type Asking = {
  readonly daemon: FakeDaemon;
  /** Words of a command, with a space between two. */
  ask(line: string, options?: RunOptions): Promise<Outcome>;
  /** What the daemon was asked. */
  asked(): Pick<FakeDaemon['seen'][number], 'method' | 'path' | 'query' | 'body'>[];
  /** With --json the answer, and nothing else. */
  expectJson(line: string, document: unknown): Promise<void>;
};

/** For all tests of the file. */
export function asking(): Asking {
  let daemon: FakeDaemon;
  beforeEach(async () => {
    daemon = await FakeDaemon.start();
  });
  afterEach(async () => {
    await daemon[Symbol.asyncDispose]();
  });
  const ask = (line: string, options: RunOptions = {}) => holdfast(line.split(' '), { daemon, ...options });
  return {
    get daemon() {
      return daemon;
    },
    ask,
    asked: () => daemon.seen.map(({ method, path, query, body }) => ({ method, path, query, body })),
    async expectJson(line, document) {
      const outcome = await ask(`${line} --json`);
      expect(outcome).toMatchObject({ exit: 0, stderr: '' });
      expect(JSON.parse(outcome.stdout)).toEqual(document);
    },
  };
}

export const lines = (...all: readonly string[]): string => `${all.join('\n')}\n`;
