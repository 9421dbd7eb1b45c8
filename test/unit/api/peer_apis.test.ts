// One node asks another's API over TLS, each with the certificate that it also serves with.
import { expect, it } from 'vitest';
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
  return { ask, authority, stranger, node };
}

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
