// Owns servers that answer as an etcd, or something in its place, might: whatever a test wants, however it is cut.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { hostClock } from '../../../control/io/host_clock.ts';
import type { Store } from '../../../control/store/contract.ts';
import { openEtcdStore } from '../../../control/store/etcd/store.ts';

export type Asked = { readonly path: string; readonly body: Record<string, unknown> };
export type Answer = (
  asked: Asked,
  response: ServerResponse,
  request: IncomingMessage,
) => void | Promise<void>;

/** Its address, and what it was asked. */
export async function fakeEtcd(answer: Answer): Promise<{ url: URL; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const one = { path: request.url!, body: JSON.parse(await text(request)) as Record<string, unknown> };
    asked.push(one);
    await answer(one, response, request);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), asked };
}

export function storeAt(...urls: URL[]): Store {
  const store = openEtcdStore({ urls, prefix: '/h/', certificates: {}, nowMs: () => hostClock().nowMs() });
  onTestFinished(() => store.close());
  return store;
}

export const base64 = (it: string): string => Buffer.from(it).toString('base64');

export const header = { cluster_id: '1', member_id: '2', revision: '7', raft_term: '3' };

export const found = {
  header,
  kvs: [{ key: base64('/h/a'), value: base64('b'), mod_revision: '5' }],
  count: '1',
};

export const saying =
  (status: number, body: string | object): Answer =>
  (_asked, response) => {
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
  };

/** An event of a watch. */
export const event = (key: string, revision: number, value = 'v') => ({
  kv: {
    key: base64(`/h/${key}`),
    value: base64(value),
    create_revision: '2',
    mod_revision: String(revision),
  },
});
