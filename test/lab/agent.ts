// Owns the lab's end of a client's process (client.ts): starting it in the client's namespace and calling it.
import type { LabNode } from './plan.ts';
import { ready, type Started, startScript } from './processes.ts';
import type { Call, OperationName, Operations, Reply } from './protocol.ts';

const SCRIPT = new URL('client.ts', import.meta.url).pathname;
/** Every operation has a limit of its own; this is for a process that does not answer at all. */
const CALL_TIMEOUT_MS = 100_000;

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class ClientAgent {
  readonly node: LabNode;
  readonly started: Started;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;

  private constructor(node: LabNode, started: Started) {
    this.node = node;
    this.started = started;
    started.lines.on('line', (line) => this.#settle(JSON.parse(line) as Reply));
    started.child.once('exit', () => this.#abandon(new Error(`the process of ${node.name} ended`)));
    started.child.stdin?.on('error', (error) => this.#abandon(error));
  }

  static async start(node: LabNode, logPath: string): Promise<ClientAgent> {
    const started = startScript(node.netns, SCRIPT, [], { detached: false, logPath });
    await ready(started, `the process of ${node.name}`);
    return new ClientAgent(node, started);
  }

  call<K extends OperationName>(
    operation: K,
    argument: Operations[K]['argument'],
  ): Promise<Operations[K]['result']> {
    this.#calls += 1;
    const call: Call = { id: this.#calls, operation, argument };
    const { promise, resolve, reject } = Promise.withResolvers<Operations[K]['result']>();
    const timer = setTimeout(
      () => this.#settle({ id: call.id, error: `no answer within ${CALL_TIMEOUT_MS} ms` }),
      CALL_TIMEOUT_MS,
    );
    this.#pending.set(call.id, { resolve: resolve as Pending['resolve'], reject });
    this.started.child.stdin?.write(`${JSON.stringify(call)}\n`);
    return promise
      .catch((error: unknown) => {
        throw new Error(`${this.node.name}, ${operation}: ${(error as Error).message}`, { cause: error });
      })
      .finally(() => clearTimeout(timer));
  }

  /** The process ends with its input. */
  close(): void {
    this.started.child.stdin?.end();
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if ('error' in reply) pending?.reject(new Error(reply.error));
    else pending?.resolve(reply.result);
  }

  #abandon(error: Error): void {
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }
}
