// The port for nodes that join, where strangers may connect: they cost little, and do not keep others out.
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { expect, it, onTestFinished, vi } from 'vitest';
import { makeKeyPair } from '../../../control/trust/issue.ts';
import { parseToken } from '../../../control/trust/token_core.ts';
import { begun, type TestNode, testTrust } from './cluster.ts';

type Posted = { readonly status: number; readonly connection: string | undefined; readonly text: string };

async function posted({ joinPort }: TestNode, body: object, localAddress?: string): Promise<Posted> {
  const { promise, resolve, reject } = Promise.withResolvers<Posted>();
  const options = { host: '127.0.0.1', port: joinPort, path: '/v1/join', method: 'POST', agent: false };
  const asking = request({
    ...options,
    rejectUnauthorized: false,
    ...(localAddress !== undefined && { localAddress }),
    headers: { connection: 'keep-alive' },
  });
  asking.on('error', reject).on('response', async (response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    resolve({ status: response.statusCode!, connection: response.headers.connection, text });
  });
  asking.end(JSON.stringify(body));
  return await promise;
}

it('refuses who has no token without a question to the store, and says so in the log now and then', async () => {
  const asked: string[] = [];
  const first = await testTrust().node('mux1', {
    between: (store) =>
      new Proxy(store, {
        get: (target, name) => {
          const value = Reflect.get(target, name);
          if (typeof value !== 'function') return value;
          return (...given: unknown[]) => {
            asked.push(String(name));
            return value.apply(target, given);
          };
        },
      }),
  });
  await first.trust.init();
  const { token } = await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
  const { id, secret } = parseToken(token) as { id: string; secret: Uint8Array };
  const { publicKey } = await makeKeyPair();
  const right = { token: id, secret: Buffer.from(secret).toString('base64') };
  const wrong = [
    { ...right, token: '0'.repeat(16) },
    { ...right, secret: Buffer.alloc(32).toString('base64') },
  ];
  asked.length = 0;
  for (const it of [...wrong, ...wrong]) {
    const answer = await posted(first, { ...it, node: 'mux9', roles: ['mux'], publicKey, addresses: [] });
    expect(answer).toMatchObject({ status: 403, connection: 'close' });
    expect(JSON.parse(answer.text).message).toBe('This cluster does not know the join token.');
  }
  expect(asked).toEqual([]);
  expect(first.logged.filter(({ message }) => message.includes('not let in'))).toMatchObject([
    { record: { address: '127.0.0.1', refusal: 'this cluster does not know the join token' } },
  ]);
  const answer = await posted(first, {
    ...right,
    node: 'mux9',
    roles: ['backend'],
    publicKey,
    addresses: [],
  });
  expect(JSON.parse(answer.text).message).toBe('The join token is not for a node that is backend.');
});

it('has a few places for each address, and more for others', async () => {
  const { first } = await begun();
  await first.trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
  const opened = async (): Promise<Socket> => {
    const socket = connect({ host: '127.0.0.1', port: first.joinPort });
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  };
  const open = [];
  for (let count = 0; count < 8; count++) open.push(await opened());
  const refused = await opened();
  await new Promise((resolve) => refused.once('close', resolve));
  const { publicKey } = await makeKeyPair();
  const secret = Buffer.alloc(32).toString('base64');
  const stranger = { token: '0'.repeat(16), secret, node: 'mux9', roles: ['mux'], publicKey, addresses: [] };
  expect((await posted(first, stranger, '127.0.0.2')).status).toBe(403);
  expect(open.filter(({ closed }) => closed)).toEqual([]);
  expect(first.logged).toContainEqual({
    record: { address: '127.0.0.1', max: 8, connections: 1 },
    message: 'too many API connections',
  });
  open[0]!.destroy();
  await vi.waitFor(async () => expect((await posted(first, stranger)).status).toBe(403));
});
