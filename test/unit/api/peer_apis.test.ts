// One node asks another's API over TLS, each with the certificate that it also serves with.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { CertifiedPeerApis, identityIn } from '../../../control/node/tracking/peer_apis.ts';
import { certify, makeAuthority } from './lib/certificates.ts';
import { listening, temporaryDirectory } from './lib/listening.ts';
import { FLOWS } from './lib/tracked.ts';

async function pair() {
  const directory = temporaryDirectory();
  const authority = makeAuthority(directory, 'authority');
  const stranger = makeAuthority(directory, 'stranger');
  const node = (name: string, by: typeof authority, usage: 'serverAuth' | 'serverAuth,clientAuth') =>
    certify(directory, by, name, { usage });
  const mux2 = node('mux2', authority, 'serverAuth,clientAuth');
  const place = { listen: '127.0.0.1:0', ...mux2, clientAuthority: authority.certificate };
  const { listener } = await listening({ place });
  const api = listener.where.replace(/^https:\/\//, '').replace(/\/$/, '');
  const ask = (identity: { certificate: string; key: string }) =>
    new CertifiedPeerApis(identityIn({ ...identity, authority: authority.certificate }), '0.1.0').ask(
      { node: 'mux2', api },
      'flows list',
      (client) => client.flows({ local: true }),
    );
  return { ask, authority, stranger, node, mux2, directory };
}

/** Asks whoever listens at a port, as the one of `pair` that may. */
async function asking(port: number, { authority, node }: Awaited<ReturnType<typeof pair>>) {
  const mux1 = node('mux1', authority, 'serverAuth,clientAuth');
  const apis = new CertifiedPeerApis(identityIn({ ...mux1, authority: authority.certificate }), '0.1.0');
  return await apis.ask({ node: 'mux2', api: `127.0.0.1:${port}` }, 'flows list', (client) =>
    client.flows({ local: true }),
  );
}

it('waits for a node that is busy', async () => {
  const both = await pair();
  const [cert, key] = [both.mux2.certificate, both.mux2.key].map((path) => readFileSync(path));
  const server = createSecureServer({ cert, key }, (_request, response) => {
    setTimeout(() => response.end(JSON.stringify(FLOWS)), 3_000);
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  expect(await asking((server.address() as AddressInfo).port, both)).toEqual({ answer: FLOWS });
});

it('does not wait as long for a host that takes no connection', async () => {
  const script =
    "const { createServer } = require('node:net');" +
    "const it = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(it.address().port));";
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const port = Number(await new Promise((resolve) => child.stdout.once('data', resolve)));
  child.kill('SIGSTOP');
  // Nobody takes connections from the queue, so that it is full soon.
  for (let count = 0; count < 8; count++) {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
  }
  const startedMs = performance.now();
  expect(await asking(port, await pair())).toMatchObject({
    failure: { cause: expect.stringContaining('The host does not answer.') },
  });
  expect(performance.now() - startedMs).toBeLessThan(4_500);
});

it('answers a node whose certificate may be a client, too', async () => {
  const { ask, authority, node } = await pair();
  expect(await ask(node('mux1', authority, 'serverAuth,clientAuth'))).toEqual({ answer: FLOWS });
});

it('answers nobody else, and the one who asked knows how to go on', async () => {
  const { ask, stranger, node } = await pair();
  expect(await ask(node('mux1', stranger, 'serverAuth,clientAuth'))).toMatchObject({
    node: 'mux2',
    failure: {
      code: 'unavailable',
      message: 'Node mux2 could not be asked.',
      remedy: 'Ask on mux2: holdfast flows list',
    },
  });
});
