// Owns running histories on every CPU: a process for each, which takes the next history when it has ended one. What such
// a process does is worker.ts.
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { HistoryOptions, HistoryResult } from './history.ts';
import type { Scenario } from './scenario.ts';

export type Job = {
  readonly scenario: Scenario;
  readonly options?: HistoryOptions;
  /** Where it breaks a rule: a short history that does the same is looked for, and told. */
  readonly isShortened?: boolean;
};

export type Answer = {
  readonly result: HistoryResult;
  /** Of a job that is shortened and broke a rule. */
  readonly short?: { readonly text: string; readonly scenario: Scenario };
};

/** From a worker: the answer, or what it threw. */
export type Message = { readonly answer?: Answer; readonly error?: string };

type Task = {
  readonly job: Job;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
};

const WORKER = join(import.meta.dirname, 'worker.ts');

export class Workers {
  readonly count: number;
  readonly #waiting: Task[] = [];
  readonly #idle: ChildProcess[] = [];
  readonly #busy = new Map<ChildProcess, Task>();

  constructor(count = availableParallelism()) {
    this.count = count;
  }

  /** In the order of asking, as many at a time as there are workers. */
  run(job: Job): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    // Nobody may be waiting yet when it ends.
    promise.catch(() => {});
    this.#waiting.push({ job, resolve, reject });
    this.#next();
    return promise;
  }

  /** What waits is not begun, and what runs is given up. */
  close(): void {
    this.#waiting.length = 0;
    for (const child of [...this.#idle, ...this.#busy.keys()]) child.kill();
    this.#idle.length = 0;
    this.#busy.clear();
  }

  #next(): void {
    if (this.#waiting.length === 0 || this.#busy.size >= this.count) return;
    const task = this.#waiting.shift()!;
    const child = this.#idle.pop() ?? this.#begin();
    this.#busy.set(child, task);
    child.send(task.job);
  }

  #begin(): ChildProcess {
    const child = fork(WORKER, { execArgv: ['--conditions=source'], serialization: 'advanced' });
    child.on('message', ({ answer, error }: Message) => {
      const task = this.#busy.get(child);
      this.#busy.delete(child);
      this.#idle.push(child);
      if (answer !== undefined) task?.resolve(answer);
      else task?.reject(new Error(error));
      this.#next();
    });
    child.on('exit', (status, signal) => {
      const task = this.#busy.get(child);
      this.#busy.delete(child);
      task?.reject(new Error(`a simulation ended with ${signal ?? `status ${status}`}`));
      this.#next();
    });
    return child;
  }
}
