// The parent's side of holder.ts.
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { AttachedInterface, AttachOptions } from '../../../control/dataplane/attachment.ts';
import type { BackendConfig } from '../../../control/dataplane/backend_table.ts';
import type { CaptureFilter } from '../../../control/dataplane/capture.ts';
import type { ReasonName } from '../../../control/dataplane/counters.ts';
import type { DecapApplied, DecapOptions, DesiredDecap } from '../../../control/dataplane/decap.ts';
import type { DesiredMux } from '../../../control/dataplane/desired.ts';
import type { PacketExplanation } from '../../../control/dataplane/explain.ts';
import type { MuxCounters, MuxOptions } from '../../../control/dataplane/mux.ts';
import type { Applied } from '../../../control/dataplane/mux_tables.ts';
import type { Origin, PinnedOptions } from '../../../control/dataplane/pins.ts';

export type MuxCalls = {
  openMux(options: MuxOptions & PinnedOptions): Promise<{ origin: Origin }>;
  apply(desired: DesiredMux): Promise<Applied>;
  setPaths(configs: ReadonlyMap<number, BackendConfig>): Promise<number>;
  attach(options: AttachOptions): Promise<AttachedInterface>;
  detach(name: string | undefined): Promise<boolean>;
  attachments(argument: undefined): Promise<AttachedInterface[]>;
  counters(argument: undefined): Promise<MuxCounters>;
  explain(frame: Uint8Array): Promise<PacketExplanation>;
  run(frames: readonly Uint8Array[]): Promise<{ retval: number; output: Uint8Array }[]>;
  startCapture(filter: CaptureFilter): Promise<void>;
  stopCapture(argument: undefined): Promise<void>;
  program(argument: undefined): Promise<{ id: number; tag: string }>;
  close(argument: undefined): Promise<void>;
};

export type DecapCalls = {
  openDecap(options: DecapOptions & PinnedOptions): Promise<{ origin: Origin }>;
  applyDecap(desired: DesiredDecap): Promise<DecapApplied>;
  attachDecap(options: AttachOptions): Promise<AttachedInterface>;
  countersDecap(argument: undefined): Promise<{ reasons: Record<ReasonName, bigint> }>;
  explainDecap(frame: Uint8Array): Promise<PacketExplanation>;
};

type Calls = MuxCalls & DecapCalls;

export type Request = { id: number; name: string; argument: unknown };
export type Reply = {
  id: number;
  value?: unknown;
  error?: { message: string; code?: string; reason?: string; remedy?: string; stack?: string };
};

/** The root of this version's tree. */
export const OWN_TREE = join(import.meta.dirname, '../../..');

export class Holder {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  readonly #ended: Promise<void>;
  #next = 1;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => {
        for (const { reject } of this.#waiting.values()) reject(new Error('the holder has ended'));
        resolve();
      });
    });
    child.on('message', ({ id, value, error }: Reply) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(Object.assign(new Error(error.message), error));
    });
  }

  /** `tree` is where its version lies (variant.ts). */
  static async start(tree = OWN_TREE): Promise<Holder> {
    const child = fork(join(tree, 'test/bpf/lib/holder.ts'), [], {
      serialization: 'advanced',
      execArgv: ['--conditions=source'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    const holder = new Holder(child);
    await new Promise((resolve, reject) => holder.#waiting.set(0, { resolve, reject }));
    return holder;
  }

  call<K extends keyof Calls>(
    name: K,
    ...[argument]: undefined extends Parameters<Calls[K]>[0]
      ? [Parameters<Calls[K]>[0]?]
      : Parameters<Calls[K]>
  ): Promise<Awaited<ReturnType<Calls[K]>>> {
    const id = this.#next++;
    this.#child.send({ id, name, argument } satisfies Request);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
    });
  }

  /** kill -9, whatever it is at. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}
