// Owns an etcd of a test's own: its process, data and ports, on loopback; killed and started again on the same data.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_LIMIT_MS = 15_000;
const POLL_MS = 20;
/** In memory: etcd waits for the disk at every change. */
const DATA_ROOT = '/dev/shm';

/** What every etcd of ours is told, besides where it listens. */
export const ETCD_FLAGS = [
  // One member waits for nobody; and leases of a second become possible (etcd's least is 1.5 election timeouts).
  ...['--heartbeat-interval', '20', '--election-timeout', '200'],
  ...['--logger', 'zap', '--log-level', 'warn'],
] as const;

/** etcd 3.4 wants to be asked twice on this architecture, and complains elsewhere. */
export const ETCD_ENVIRONMENT = {
  ...process.env,
  ...(process.arch === 'arm64' && { ETCD_UNSUPPORTED_ARCH: 'arm64' }),
};

export class EtcdServer {
  readonly port: number;
  readonly #directory: string;
  readonly #flags: readonly string[];
  readonly #scheme: 'http' | 'https';
  #child: ChildProcess | undefined;

  private constructor(port: number, flags: readonly string[], scheme: 'http' | 'https') {
    this.port = port;
    this.#directory = mkdtempSync(join(DATA_ROOT, 'holdfast-etcd-'));
    this.#flags = flags;
    this.#scheme = scheme;
  }

  static async start(flags: readonly string[] = [], scheme: 'http' | 'https' = 'http'): Promise<EtcdServer> {
    const server = new EtcdServer(await freePort(), flags, scheme);
    await server.start();
    return server;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const log = join(this.#directory, 'log');
    const peer = `http://127.0.0.1:${await freePort()}`;
    const child = spawn(
      'etcd',
      [
        ...['--name', 'test', '--data-dir', join(this.#directory, 'data')],
        ...['--listen-client-urls', this.url, '--advertise-client-urls', this.url],
        ...[
          '--listen-peer-urls',
          peer,
          '--initial-advertise-peer-urls',
          peer,
          '--initial-cluster',
          `test=${peer}`,
        ],
        ...ETCD_FLAGS,
        ...this.#flags,
      ],
      {
        stdio: ['ignore', 'ignore', openSync(log, 'a')],
        env: ETCD_ENVIRONMENT,
      },
    );
    this.#child = child;
    await this.#answers(log, this.#scheme === 'http');
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }

  /** SIGSTOP: it takes connections and does not answer. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** As anybody would, without code of ours. */
  async call(path: string, body: object = {}): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.url}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) });
    return (await response.json()) as Record<string, unknown>;
  }

  /** Nothing is in it, and nothing will end by itself. */
  async clear(): Promise<void> {
    const { leases = [] } = (await this.call('lease/leases')) as { leases?: { ID: string }[] };
    for (const { ID } of leases) await this.call('lease/revoke', { ID });
    await this.call('kv/deleterange', { key: 'AA==', range_end: 'AA==' });
  }

  async revision(): Promise<number> {
    const { header } = (await this.call('kv/range', { key: 'AA==' })) as { header: { revision: string } };
    return Number(header.revision);
  }

  async #answers(log: string, canAnswer: boolean): Promise<void> {
    const deadline = Date.now() + START_LIMIT_MS;
    for (;;) {
      if (canAnswer ? await this.#isWhole() : await this.#listens()) return;
      const { exitCode } = this.#child!;
      if (exitCode !== null || Date.now() > deadline) {
        throw new Error(
          `etcd did not start (exit code ${exitCode}): ${readFileSync(log, 'utf8').slice(-2_000)}`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  /** Needs no name where etcd has authentication. */
  async #isWhole(): Promise<boolean> {
    return await fetch(`${this.url}/health`).then(
      async (response) => ((await response.json()) as { health: string }).health === 'true',
      () => false,
    );
  }

  async #listens(): Promise<boolean> {
    const { connect } = await import('node:net');
    const socket = connect(this.port, '127.0.0.1');
    const listens = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    return listens;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
