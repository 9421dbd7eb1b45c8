// Owns the commands of one session that are not answered: by their tags, what data they wait for, which may be executed
// now, and the memory they have. Knows the order of commands only by being told when a command's turn has come.
import { RESERVED_TAG, TARGET_SENSE } from '../codec/constants.ts';
import type { PduView } from '../codec/pdu.ts';
import type { Answers } from './answers.ts';
import type { Command, CommandResult } from './command.ts';
import type { DataBuffers } from './data_buffers.ts';
import { ANSWER_BYTES_MAX, COMMAND_DATA_BYTES_MAX } from './limits.ts';
import type { Parameters } from './parameters.ts';
import type { Holder, Initiator } from './sessions.ts';
import type { TargetSense, Task } from './task.ts';

export interface TasksParts {
  readonly parameters: Parameters;
  readonly answers: Answers;
  readonly buffers: DataBuffers;
  readonly budget: Initiator;
  readonly holder: Holder;
  /** A task is answered, or never will be. */
  readonly over: (task: Task) => void;
}

/** `wrong`: the connection cannot go on. `unknown`: nobody waits for it (any more). */
export type DataOutVerdict = 'taken' | 'unknown' | 'wrong';

export class Tasks {
  readonly #parts: TasksParts;
  readonly #byITT = new Map<number, Task>();
  readonly #ready: Task[] = [];
  /** They were handed out and were not given back, aborted ones among them. */
  readonly #executing = new Set<Task>();
  /** What the answers to those may take. */
  #promisedBytes = 0;
  /** They would ask for data if there were memory for it. */
  #waiting: Task[] = [];
  #lastTTT = 0;
  #closed = false;

  constructor(parts: TasksParts) {
    this.#parts = parts;
  }

  get executing(): ReadonlySet<Command> {
    return this.#executing;
  }

  find(ITT: number): Task | undefined {
    return this.#byITT.get(ITT);
  }

  /** Those that are not over, of one LUN or of all. */
  select(lun?: number): Task[] {
    return [...this.#byITT.values()].filter((task) => lun === undefined || task.lun === lun);
  }

  /** A command came, perhaps before its turn: takes what came with it. */
  add(task: Task, pdu: PduView): void {
    this.#byITT.set(task.ITT, task);
    const { InitialR2T, ImmediateData, FirstBurstLength } = this.#parts.parameters;
    if (task.outBytes > COMMAND_DATA_BYTES_MAX) task.fault = TARGET_SENSE.transferTooLong;
    const first = Math.min(FirstBurstLength, task.outBytes);
    const unsolicited = !pdu.final;
    const immediate = pdu.dataBytes > 0;
    // Section 11.4.7.2. What follows such a command is dropped.
    if ((immediate && !ImmediateData) || (unsolicited && InitialR2T) || pdu.dataBytes > first) {
      task.fault = TARGET_SENSE.unexpectedUnsolicitedData;
      return;
    }
    // F=0 and nothing to write: nothing follows.
    if (first === 0) return;
    if (immediate || unsolicited)
      this.#charge(task.makeRoom(unsolicited ? first : pdu.dataBytes, this.#parts.buffers));
    if (immediate) task.takeImmediate(pdu);
    if (unsolicited) task.expectUnsolicited(first);
  }

  /** Its turn has come. */
  activate(task: Task): void {
    task.began = true;
    task.state = 'collecting';
    this.#goOn(task);
  }

  takeData(pdu: PduView, digestError: boolean): DataOutVerdict {
    const task = this.#byITT.get(pdu.ITT);
    if (task === undefined) return 'unknown';
    if (!task.take(pdu, digestError)) return 'wrong';
    if (task.state === 'collecting') this.#goOn(task);
    return 'taken';
  }

  /** The next that may be executed, unless answers that are promised or not sent take too much already. */
  next(unsentBytes: number): Task | undefined {
    const task = this.#ready[0];
    if (task === undefined) return undefined;
    const bytes = this.#promisedBytes + unsentBytes;
    if (bytes > 0 && bytes + task.dataInMax > ANSWER_BYTES_MAX) return undefined;
    this.#ready.shift();
    task.state = 'executing';
    this.#executing.add(task);
    this.#promisedBytes += task.dataInMax;
    return task;
  }

  /** False: nobody waits for its answer any more. */
  complete(task: Task, result: CommandResult): boolean {
    if (!this.#executing.delete(task)) throw new Error('the command is answered already');
    this.#promisedBytes -= task.dataInMax;
    const answered = !task.aborted && !this.#closed;
    this.#leave(task);
    if (answered) this.#parts.answers.result(task, result, this.#parts.parameters);
    this.#release(task);
    return answered;
  }

  /** Ends it without an answer. Once it was handed out, its memory waits for `complete`. */
  abort(task: Task): void {
    if (task.aborted || this.#byITT.get(task.ITT) !== task) return;
    task.aborted = true;
    const executing = task.state === 'executing';
    this.#leave(task);
    if (executing) return;
    remove(this.#ready, task);
    remove(this.#waiting, task);
    this.#release(task);
  }

  /** There may be memory now. */
  resume(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const task of waiting) if (task.state === 'collecting') this.#goOn(task);
  }

  /** No answers any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#parts.budget.forget(this.#parts.holder);
    for (const task of this.select()) this.abort(task);
  }

  #goOn(task: Task): void {
    if (task.fault !== undefined) {
      // Section 7.8: what was asked for must have come before the command ends.
      if (task.settled) this.#endBy(task, task.fault);
    } else if (task.complete) {
      task.state = 'ready';
      this.#ready.push(task);
    } else if (task.settled || task.outstandingR2Ts > 0) this.#ask(task);
  }

  #ask(task: Task): void {
    const { parameters, buffers, budget, holder, answers } = this.#parts;
    if (task.asked === task.outBytes) return;
    if (task.bufferBytes < task.outBytes) {
      if (!budget.allows(task.outBytes)) {
        this.#waiting.push(task);
        budget.wait(holder);
        return;
      }
      this.#charge(task.makeRoom(task.outBytes, buffers));
    }
    while (task.asked < task.outBytes && task.outstandingR2Ts < parameters.MaxOutstandingR2T) {
      this.#lastTTT = this.#lastTTT === RESERVED_TAG - 1 ? 0 : this.#lastTTT + 1;
      const offset = task.asked;
      const bytes = Math.min(parameters.MaxBurstLength, task.outBytes - offset);
      answers.r2t(task, this.#lastTTT, task.R2TSN, offset, bytes);
      task.expectSolicited(this.#lastTTT, bytes);
    }
  }

  #endBy(task: Task, fault: TargetSense): void {
    this.#leave(task);
    this.#parts.answers.fault(task, fault);
    this.#release(task);
  }

  /** Before its answer, so that this lets in the next one. */
  #leave(task: Task): void {
    task.state = 'over';
    if (this.#byITT.get(task.ITT) !== task) return;
    this.#byITT.delete(task.ITT);
    this.#parts.over(task);
  }

  #release(task: Task): void {
    const bytes = task.release(this.#parts.buffers);
    if (bytes > 0) this.#parts.budget.give(bytes);
  }

  #charge(bytes: number): void {
    if (bytes > 0) this.#parts.budget.take(bytes);
  }
}

function remove(tasks: Task[], task: Task): void {
  const at = tasks.indexOf(task);
  if (at >= 0) tasks.splice(at, 1);
}
