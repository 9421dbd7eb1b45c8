// Owns the lab's etcd, on a node of its own: starting it on the same data each time, and ending it in every way.
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ETCD_ENVIRONMENT, ETCD_FLAGS } from '../contract/etcd_server.ts';
import type { LabNode } from './plan.ts';
import { identify, isAlive } from './processes.ts';
import { runIn } from './shell.ts';
import { labDirectory, type ProcessIdentity } from './state.ts';

const CLIENT_PORT = 2379;
const PEER_PORT = 2380;
const START_LIMIT_MS = 15_000;
const END_LIMIT_MS = 5_000;
const POLL_MS = 20;

export function etcdUrl({ address4 }: LabNode): string {
  return `http://${address4}:${CLIENT_PORT}`;
}

export class LabEtcd {
  readonly node: LabNode;
  readonly #directory: string;
  readonly #onStart: (identity: ProcessIdentity) => void;
  #process: ProcessIdentity | undefined;

  constructor(labName: string, node: LabNode, onStart: (identity: ProcessIdentity) => void) {
    this.node = node;
    this.#directory = join(labDirectory(labName), node.name);
    this.#onStart = onStart;
  }

  async start(): Promise<void> {
    mkdirSync(this.#directory, { recursive: true });
    const log = openSync(join(this.#directory, 'etcd.log'), 'a');
    const url = etcdUrl(this.node);
    const peer = `http://127.0.0.1:${PEER_PORT}`;
    // `ip netns exec` becomes etcd: the process id is etcd's own.
    const child = spawn(
      'ip',
      [
        ...['netns', 'exec', this.node.netns, 'etcd', '--name', 'lab'],
        ...['--data-dir', join(this.#directory, 'data')],
        ...['--listen-client-urls', url, '--advertise-client-urls', url],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ...['--initial-cluster', `lab=${peer}`, ...ETCD_FLAGS],
      ],
      { detached: true, stdio: ['ignore', log, log], env: ETCD_ENVIRONMENT },
    );
    closeSync(log);
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (identity === undefined) throw new Error('etcd does not start: is etcd-server installed?');
    child.unref();
    this.#process = identity;
    this.#onStart(identity);
    await this.#answers();
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const identity = this.#process;
    if (identity === undefined || !isAlive(identity)) return;
    process.kill(identity.pid, signal);
    const deadline = Date.now() + END_LIMIT_MS;
    while (isAlive(identity)) {
      if (Date.now() > deadline) throw new Error(`etcd does not end on ${signal}`);
      await sleep(POLL_MS);
    }
  }

  /** Its data, once it has ended. */
  forget(): void {
    rmSync(join(this.#directory, 'data'), { recursive: true });
  }

  async #answers(): Promise<void> {
    const deadline = Date.now() + START_LIMIT_MS;
    for (;;) {
      try {
        runIn(this.node.netns, 'curl', '-sf', '-m', '1', `${etcdUrl(this.node)}/health`);
        return;
      } catch (cause) {
        if (Date.now() > deadline) throw new Error(`etcd does not answer; see ${this.#directory}`, { cause });
        await sleep(POLL_MS);
      }
    }
  }
}
