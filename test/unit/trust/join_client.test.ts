// Who wants to join says the token's secret only to a mux whose certificate counts, and believes no answer that is not for it.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { certify, makeAuthority, makeKeyPair } from '../../../control/trust/issue.ts';
import type { JoinAnswer } from '../../../control/trust/join_client.ts';
import { AUTHORITY_KEYS_KEY } from '../../../control/trust/layout.ts';
import { formatToken, parseToken } from '../../../control/trust/token_core.ts';
import { begun, failureOf, joined, type TestCluster, type TestNode } from './cluster.ts';

type Answer = { readonly status: number; readonly body: unknown } | 'none';

/** Somebody who has what `as` proves itself with, and answers as it likes to who wants to join. */
async function inPlaceOf(as: { cert: string; key: string }, answer: (publicKey: string) => Promise<Answer>) {
  const heard: string[] = [];
  const server = createServer({ ...as, minVersion: 'TLSv1.3' }, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    heard.push(text);
    const given = await answer(JSON.parse(text).publicKey);
    if (given === 'none') return void request.socket.destroy();
    response.writeHead(given.status).end(JSON.stringify(given.body));
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return { heard, port: (server.address() as { port: number }).port };
}

async function shownBy({ trust }: TestNode): Promise<{ cert: string; key: string }> {
  const { certificate: cert, key } = (await trust.peerIdentity('mux1'))!;
  return { cert, key };
}

/** A token of the cluster, with which a node comes to that port. */
async function tokenFor({ trust }: TestNode, port: number): Promise<string> {
  const { token } = await trust.createToken({ roles: ['mux'], ttlMs: 60_000 });
  const parsed = parseToken(token);
  if ('wrong' in parsed) throw new Error(parsed.wrong);
  return formatToken({ ...parsed, addresses: [`127.0.0.1:${port}`] });
}

async function refusalOf(cluster: TestCluster, token: string) {
  const node = await cluster.node('mux9');
  const { body } = await failureOf(node.trust.join(token));
  expect((await node.trust.members()).standing).toBe('alone');
  return body;
}

it.each([
  ['was removed', 'mux', 'its certificate does not count in the cluster'],
  ['is no mux', 'backend', 'it is a node that lets nobody join'],
] as const)('a node that %s gets nothing', async (_, role, cause) => {
  const { cluster, first } = await begun();
  const other = await joined(cluster, first, 'other', { role });
  const server = await inPlaceOf(await shownBy(other), async () => 'none');
  if (role === 'mux') await first.trust.forget('other');
  expect(await refusalOf(cluster, await tokenFor(first, server.port))).toMatchObject({
    code: 'forbidden',
    cause: expect.stringContaining(cause),
  });
  expect(server.heard).toEqual([]);
});

/** What the first node would answer; then a part of it is another. */
async function answerOf(first: TestNode, publicKey: string, name: string): Promise<JoinAnswer> {
  const { cluster, authorities } = JSON.parse((await first.store.get('trust/authority'))!.value);
  const { keys } = JSON.parse((await first.store.get(AUTHORITY_KEYS_KEY))!.value);
  const { certificate } = await certify(
    { certificate: authorities[0].certificate, key: keys[1] },
    publicKey,
    { cluster, kind: 'node', name },
    { lifeMs: 86_400_000, nowMs: Date.now() },
  );
  return { id: '00', cluster, certificate, authority: 1, epoch: 1, authorities };
}

const NOT_OWN = 'The certificate in its answer is not for this node.';

it.each([
  ['ends', async (): Promise<Answer> => 'none', /^127\.0\.0\.1 did not answer: /],
  ['has no answer of ours', async (): Promise<Answer> => ({ status: 200, body: {} }), /makes no sense here/],
  [
    'does not know either',
    async (): Promise<Answer> => ({
      status: 503,
      body: { code: 'unavailable', message: 'The store is away.' },
    }),
    'The store is away.',
  ],
  [
    'has a certificate for another key',
    async (first: TestNode): Promise<Answer> => {
      const { publicKey } = await makeKeyPair();
      return { status: 200, body: await answerOf(first, publicKey, 'mux9') };
    },
    NOT_OWN,
  ],
  [
    'has a certificate for another name',
    async (first: TestNode, publicKey: string): Promise<Answer> => ({
      status: 200,
      body: await answerOf(first, publicKey, 'mux1'),
    }),
    NOT_OWN,
  ],
  [
    'has another authority',
    async (first: TestNode, publicKey: string): Promise<Answer> => {
      const answer = await answerOf(first, publicKey, 'mux9');
      const { certificate } = await makeAuthority(answer.cluster, 1, Date.now());
      return { status: 200, body: { ...answer, authorities: [{ id: 1, certificate }] } };
    },
    'Its answer does not have the authority that the token means.',
  ],
  [
    'has an authority besides that is not certified',
    async (first: TestNode, publicKey: string): Promise<Answer> => {
      const answer = await answerOf(first, publicKey, 'mux9');
      const { certificate } = await makeAuthority(answer.cluster, 2, Date.now());
      return {
        status: 200,
        body: { ...answer, authorities: [...answer.authorities, { id: 2, certificate }] },
      };
    },
    'Its answer has an authority that the one of the token has not certified.',
  ],
])('where the answer %s, the node may have joined, and is told what to do', async (_, answer, cause) => {
  const { cluster, first } = await begun();
  const server = await inPlaceOf(await shownBy(first), (publicKey) => answer(first, publicKey));
  expect(await refusalOf(cluster, await tokenFor(first, server.port))).toMatchObject({
    code: 'unavailable',
    message: 'It is not known whether this node has joined the cluster.',
    cause: typeof cause === 'string' ? expect.stringContaining(cause) : expect.stringMatching(cause),
    remedy: expect.stringContaining('holdfast nodes remove mux9'),
  });
  expect(server.heard).toHaveLength(1);
});

it('an answer that is for it makes it a member', async () => {
  const { cluster, first } = await begun();
  const server = await inPlaceOf(await shownBy(first), async (publicKey) => ({
    status: 200,
    body: await answerOf(first, publicKey, 'mux9'),
  }));
  const node = await cluster.node('mux9');
  await node.trust.join(await tokenFor(first, server.port));
  const { certificate } = JSON.parse(readFileSync(join(node.directory, 'identity.json'), 'utf8'));
  expect(certificate).toMatch(/^-----BEGIN /);
});
