// Who may do what: every operation says so, and the API keeps to it.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isAllowed, PEER_OPERATIONS, PERMISSIONS } from '../../../control/trust/permissions_core.ts';
import { asked, begun, joined, userOf } from './cluster.ts';

const document = JSON.parse(readFileSync('control/api/openapi.json', 'utf8')) as {
  paths: Record<string, Record<string, { operationId: string }>>;
};
const operations = Object.values(document.paths).flatMap((methods) =>
  Object.entries(methods).map(([method, { operationId }]) => ({ method, operationId })),
);

describe('the table of permissions', () => {
  it('has every operation of the API, and no other', () => {
    expect(Object.keys(PERMISSIONS).sort()).toEqual(operations.map(({ operationId }) => operationId).sort());
    for (const operation of PEER_OPERATIONS) expect(PERMISSIONS).toHaveProperty(operation);
  });

  it('lets nobody who only sees change anything', () => {
    const asks = ['explain', 'planDocument'];
    const writes = operations.filter(
      ({ method, operationId }) => method !== 'get' && !asks.includes(operationId),
    );
    expect(writes.filter(({ operationId }) => isAllowed(operationId, 'view'))).toEqual([]);
  });

  it('lets admins do everything, and asks them for what it does not know', () => {
    for (const { operationId } of operations) expect(isAllowed(operationId, 'admin')).toBe(true);
    for (const name of ['unheardOf', 'constructor', 'toString', '__proto__']) {
      expect([isAllowed(name, 'admin'), isAllowed(name, 'operate'), isAllowed(name, 'peer')]).toEqual([
        true,
        false,
        false,
      ]);
    }
  });
});

describe('over the network', () => {
  it('each role may do what it is for, and the refusal says what it takes', async () => {
    const { first } = await begun();
    const [viewer, operator, admin] = await Promise.all(
      (['view', 'operate', 'admin'] as const).map((role) => userOf(first, `${role}-user`, role)),
    );
    const drain = ['POST', '/v1/nodes/mux1/drain', { undo: false }] as const;
    const add = ['POST', '/v1/pools', { name: 'web' }] as const;
    expect((await asked(first, viewer!)).status).toBe(200);
    expect(await asked(first, viewer!, ...drain)).toEqual({
      status: 403,
      body: {
        code: 'forbidden',
        message: 'This needs the role operate.',
        cause: 'view-user has the role view.',
        remedy: 'An admin can change that: holdfast users set view-user --role operate',
      },
    });
    expect((await asked(first, operator!, ...drain)).status).toBe(200);
    expect((await asked(first, operator!, ...add)).status).toBe(403);
    expect((await asked(first, admin!, ...add)).status).toBe(200);
    expect((await asked(first, viewer!, 'GET', '/v1/nothing')).status).toBe(404);
  });

  it('who operates changes the weight of a backend, and nothing else of it', async () => {
    const { first } = await begun();
    const [operator, admin] = await Promise.all(
      (['operate', 'admin'] as const).map((role) => userOf(first, `${role}-user`, role)),
    );
    await asked(first, admin!, 'POST', '/v1/pools', { name: 'web' });
    await asked(first, admin!, 'POST', '/v1/backends', { pool: 'web', name: 'web1', address: '192.0.2.1' });
    await asked(first, admin!, 'POST', '/v1/backends', { pool: 'web', name: 'web2', address: '192.0.2.2' });
    const patch = async (body: object) =>
      await asked(first, operator!, 'PATCH', '/v1/backends/web/web1', body);
    expect((await patch({ weight: 0 })).status).toBe(200);
    expect(await patch({ weight: 1, address: '203.0.113.66' })).toMatchObject({
      status: 403,
      body: { message: expect.stringContaining('This needs the role admin') },
    });
  });

  it('a role that was changed counts for the next request', async () => {
    const { first } = await begun();
    const alice = await userOf(first, 'alice', 'view');
    const add = ['POST', '/v1/pools', { name: 'web' }] as const;
    expect((await asked(first, alice, ...add)).status).toBe(403);
    await first.trust.setUser('alice', 'admin');
    expect((await asked(first, alice, ...add)).status).toBe(200);
    await first.trust.setUser('alice', 'view');
    expect((await asked(first, alice, 'DELETE', '/v1/pools/web')).status).toBe(403);
  });

  it('a node asks for what nodes ask each other, and gets certificates for itself alone', async () => {
    const { cluster, first } = await begun();
    const second = await joined(cluster, first, 'mux2');
    const { certificate, key, authority } = (await second.trust.peerIdentity('mux1'))!;
    const node = { cert: certificate, key, ca: authority };
    expect((await asked(first, node, 'GET', '/v1/flows')).status).toBe(200);
    for (const path of ['/v1/export', '/v1/cluster/members', '/metrics']) {
      expect(await asked(first, node, 'GET', path)).toMatchObject({
        status: 403,
        body: { cause: expect.stringContaining('mux2 is a node') },
      });
    }
    expect((await asked(first, node, 'POST', '/v1/cluster/tokens', {})).status).toBe(403);
    const admin = await userOf(first, 'root-user', 'admin');
    const { publicKey } = await (await import('../../../control/trust/issue.ts')).makeKeyPair();
    expect(
      await asked(first, admin, 'POST', '/v1/cluster/renew', { publicKey, addresses: [] }),
    ).toMatchObject({
      status: 403,
      body: { message: 'Only a node renews its certificate.' },
    });
    const renewed = await asked(first, node, 'POST', '/v1/cluster/renew', { publicKey, addresses: [] });
    expect(renewed.status).toBe(200);
    const { X509Certificate } = await import('node:crypto');
    const { certificate: pem } = renewed.body as { certificate: string };
    expect(new X509Certificate(pem).subjectAltName).toMatch(/^URI:holdfast:[0-9a-f]{16}\/node\/mux2$/);
  });
});
