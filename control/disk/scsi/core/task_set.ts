// Owns the order of the tasks of one unit: task attributes (SAM-5 section 8), and that no two tasks touch the same blocks at
// once when one of them writes. Runs nothing itself: it says when a task may begin.
//
// One task set for all nexuses (TST 000b). A task waits for those that came before it and that it may not pass; those wait
// for none that came later, so there is always one that can begin.

import type { ScsiCommand } from '../codec/command.ts';
import type { NamedForm } from '../codec/commands.ts';

/** Of one unit. Who comes when it is full hears TASK SET FULL. */
export const TASKS_MAX = 4096;
/** Of one nexus, so that no virtual machine fills the task set alone. */
export const TASKS_OF_NEXUS_MAX = 512;

/** What a task touches: blocks of the medium, or the reservations. */
export interface Span {
  readonly of: 'medium' | 'reservations';
  readonly from: number;
  /** The first one beyond. */
  readonly to: number;
  readonly writes: boolean;
}

export class Task {
  readonly command: ScsiCommand;
  readonly form: NamedForm;
  /** Key of the nexus it is of. */
  readonly nexus: string;
  readonly spans: readonly Span[];
  state: 'waiting' | 'running' | 'ended' = 'waiting';
  /** Long commands look at it between two steps. */
  aborted = false;
  begin: () => void = () => {};
  #ended: PromiseWithResolvers<void> | undefined;

  constructor(command: ScsiCommand, form: NamedForm, nexus: string, spans: readonly Span[]) {
    this.command = command;
    this.form = form;
    this.nexus = nexus;
    this.spans = spans;
  }

  async ended(): Promise<void> {
    if (this.state === 'ended') return;
    this.#ended ??= Promise.withResolvers();
    await this.#ended.promise;
  }

  end(): void {
    this.state = 'ended';
    this.#ended?.resolve();
  }
}

export class TaskSet {
  /** In the order in which they may not pass each other. */
  readonly #tasks: Task[] = [];
  #waiting = 0;

  get size(): number {
    return this.#tasks.length;
  }

  isFull(nexus: string): boolean {
    if (this.#tasks.length >= TASKS_MAX) return true;
    return (
      this.#tasks.length >= TASKS_OF_NEXUS_MAX &&
      this.#tasks.filter((task) => task.nexus === nexus).length >= TASKS_OF_NEXUS_MAX
    );
  }

  of(wanted: (task: Task) => boolean): readonly Task[] {
    return this.#tasks.filter(wanted);
  }

  /** Nothing if the task may begin at once; otherwise it may when this resolves, aborted perhaps. */
  enter(task: Task): Promise<void> | undefined {
    if (task.command.attribute === 'head') this.#tasks.unshift(task);
    else this.#tasks.push(task);
    if (!this.#mustWait(task)) {
      task.state = 'running';
      return undefined;
    }
    this.#waiting += 1;
    return new Promise((resolve) => {
      task.begin = resolve;
    });
  }

  leave(task: Task): void {
    const at = this.#tasks.indexOf(task);
    if (at < 0) return;
    this.#tasks.splice(at, 1);
    task.end();
    if (this.#waiting > 0) this.#beginNext();
  }

  /** Those that wait end now; resolves when those that run have ended, and touch the medium no more. */
  async abort(tasks: readonly Task[]): Promise<void> {
    for (const task of tasks) {
      task.aborted = true;
      if (task.state === 'waiting') this.#begin(task);
    }
    await Promise.all(tasks.map((task) => task.ended()));
  }

  #beginNext(): void {
    for (const task of [...this.#tasks])
      if (task.state === 'waiting' && !this.#mustWait(task)) this.#begin(task);
  }

  #begin(task: Task): void {
    this.#waiting -= 1;
    task.state = 'running';
    task.begin();
  }

  #mustWait(task: Task): boolean {
    const { attribute } = task.command;
    let isEarlier = true;
    for (const other of this.#tasks) {
      if (other === task) {
        isEarlier = false;
        if (attribute !== 'head') return false;
        continue;
      }
      if (attribute === 'head') {
        if (other.state === 'running' && collide(task, other)) return true;
      } else if (isEarlier) {
        if (attribute === 'ordered' || other.command.attribute === 'ordered') return true;
        if (collide(task, other)) return true;
      }
    }
    return false;
  }
}

function collide(a: Task, b: Task): boolean {
  for (const one of a.spans)
    for (const other of b.spans)
      if (one.of === other.of && (one.writes || other.writes) && one.from < other.to && other.from < one.to)
        return true;
  return false;
}
