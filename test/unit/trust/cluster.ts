// Owns clusters for tests of trust: nodes on one store, each with its own identity, its API over TLS and its port for nodes
// that join. Everything is real but the node behind the API.
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { NodePort } from '../../../control/api/node_port.ts';
import { type Api, createApi } from '../../../control/api/server.ts';
import { nodeConfigSchema } from '../../../control/config/node.ts';
import { hostClock } from '../../../control/io/host_clock.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { Problems } from '../../../control/node/problems.ts';
import { NodeTrust } from '../../../control/node/trust/node_trust.ts';
import type { Store } from '../../../control/store/contract.ts';
import { openStore } from '../../../control/store/open.ts';
import { makeKeyPair } from '../../../control/trust/issue.ts';
import { FakeNode } from '../api/lib/fake_node.ts';

const WAIT_LIMIT_MS = 8_000;

export type TestNode = {
  readonly name: string;
  readonly trust: NodeTrust;
  readonly store: Store;
  readonly directory: string;
  readonly port: number;
  readonly joinPort: number;
  readonly problems: Problems;
  readonly told: string[];
  /** Of the log of listeners and of refusals. */
  readonly logged: { record: Record<string, unknown>; message: string }[];
  stop(): Promise<void>;
  /** A daemon that begins again on the same files. */
  again(name?: string): Promise<TestNode>;
};

export type TestCluster = {
  readonly directory: string;
  node(name: string, options?: NodeGiven): Promise<TestNode>;
};

type NodeGiven = {
  role?: 'mux' | 'backend';
  directory?: string;
  listens?: boolean;
  /** What comes between the node and its store. */
  between?: (store: Store) => Store;
};

export function testTrust(): TestCluster {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-trust-'));
  const ends: (() => Promise<void>)[] = [];
  onTestFinished(async () => {
    for (const end of ends) await end();
    rmSync(directory, { recursive: true });
  });
  const begin = async (name: string, given: NodeGiven = {}): Promise<TestNode> => {
    const own = given.directory ?? mkdtempSync(join(directory, `${name}-`));
    const [port, joinPort] = [await freePort(), await freePort()];
    const config = nodeConfigSchema.parse({
      node: name,
      roles: [given.role ?? 'mux'],
      stateDirectory: own,
      api: {
        socket: join(own, 'h.sock'),
        joinPort,
        ...(given.listens !== false && { listen: `127.0.0.1:${port}` }),
      },
    });
    const api = Promise.withResolvers<Api>();
    const told: string[] = [];
    const logged: TestNode['logged'] = [];
    const log = (record: unknown, message?: string) => {
      if (message !== undefined) logged.push({ record: record as Record<string, unknown>, message });
    };
    const opened = await openStore(`sqlite=${directory}/store.db`, { clock: hostClock() });
    const trust = await NodeTrust.open({
      config,
      name,
      version: '0.1.0',
      store: given.between?.(opened) ?? opened,
      address: '127.0.0.1',
      api: { fetch: async (...it) => (await api.promise).fetch(...it) },
      log: { info: log, warn: log } as never,
    });
    const stopping = new AbortController();
    let isStopped = false;
    const stop = async () => {
      if (isStopped) return;
      isStopped = true;
      stopping.abort();
      await trust.close();
      await opened.close();
    };
    ends.push(stop);
    await trust.checkName();
    const problems = new Problems(() => {});
    const node: NodePort = Object.assign(new FakeNode(), { trust });
    const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
    api.resolve(
      createApi(node, { log: silent as never, stopping: stopping.signal, recognize: trust.recognize }),
    );
    trust.start({ problems, tell: ({ message }) => told.push(message), nodes: async () => [] });
    return {
      ...{ name, trust, store: trust.store, directory: own, port, joinPort, problems, told, logged, stop },
      again: async (as = name) => {
        await stop();
        return await begin(as, { ...given, directory: own });
      },
    };
  };
  return { directory, node: begin };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  const error = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof Failure)) throw error;
  return error;
}

/** What a condition of members gives, as soon as it gives something. */
export async function eventually<T>(
  look: () => T | undefined | Promise<T | undefined>,
  what: string,
): Promise<T> {
  const deadline = Date.now() + WAIT_LIMIT_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${WAIT_LIMIT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export type Shown = {
  readonly cert?: string;
  readonly key?: string;
  readonly ca: string | readonly string[];
};

export async function userOf(
  { trust }: TestNode,
  name: string,
  role: 'view' | 'operate' | 'admin',
  days = 1,
): Promise<Shown> {
  const { publicKey, key } = await makeKeyPair();
  const { certificate, authority } = await trust.addUser({ name, role, publicKey, days });
  return { cert: certificate, key, ca: authority };
}

export type Answered = {
  readonly status: number;
  readonly body: { code?: string; message?: string; cause?: string };
};

/** Asks the API of a node over TLS. Throws the error of a connection that failed. */
export async function asked(
  { port }: { readonly port: number },
  shown: Shown,
  method = 'GET',
  path = '/v1/status',
  body?: unknown,
): Promise<Answered> {
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  const text = body === undefined ? undefined : JSON.stringify(body);
  const asking = request({
    ...{ host: '127.0.0.1', port, method, path, agent: false, minVersion: 'TLSv1.3' },
    ...{ ...shown, ca: [shown.ca].flat() },
    headers:
      text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
  });
  asking.on('error', reject);
  asking.on('response', (response) => {
    let answer = '';
    response.on('data', (chunk) => {
      answer += chunk;
    });
    response.on('error', reject);
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(answer) }));
  });
  asking.end(text);
  return await promise;
}

/** A cluster with one mux that has begun it. */
export async function begun(): Promise<{ cluster: TestCluster; first: TestNode }> {
  const cluster = testTrust();
  const first = await cluster.node('mux1');
  await first.trust.init();
  return { cluster, first };
}

export async function joined(
  cluster: TestCluster,
  by: TestNode,
  name: string,
  given: NodeGiven = {},
): Promise<TestNode> {
  const node = await cluster.node(name, given);
  const { token } = await by.trust.createToken({ roles: [given.role ?? 'mux'], ttlMs: 60_000 });
  await node.trust.join(token);
  return node;
}
