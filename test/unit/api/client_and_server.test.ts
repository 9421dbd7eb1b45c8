// The client of the CLI and the server agree on everything, over a real socket; client.test.ts has the client alone.
import { describe, expect, it } from 'vitest';
import { Client } from '../../../control/api/client.ts';
import type { CapturedPacket } from '../../../control/api/node_port.ts';
import { Failure } from '../../../control/lib/failure.ts';
import { backend, pool, service } from '../pool/lib/cluster.ts';
import { ATTACHMENT, EXPLANATION } from './lib/fake_node.ts';
import { listening } from './lib/listening.ts';
import { readPcapng } from './lib/pcapng_reader.ts';

const packet: CapturedPacket = {
  atNs: 1_767_225_600_000_000_000n,
  reason: 'FORWARD',
  ifindex: 2,
  lengthBytes: 60,
  bytes: new Uint8Array(60),
};

async function* batches(): AsyncGenerator<readonly CapturedPacket[]> {
  yield [packet, packet];
}

async function connected() {
  const api = await listening();
  return { ...api, client: new Client({ socketPath: api.path }, { version: '0.1.0' }) };
}

describe('the client', () => {
  it('reads everything', async () => {
    const { client, node } = await connected();
    expect(await client.status()).toEqual(node.status());
    expect(await client.stats()).toEqual(node.stats());
    expect((await client.services()).map(({ name }) => name)).toEqual(['www']);
    expect(await client.service('www')).toMatchObject({ ...service('www'), backends: 2 });
    expect((await client.pools()).map(({ name }) => name)).toEqual(['web']);
    expect(await client.pool('web')).toMatchObject({ services: ['www'], unassignedSlots: 0 });
    expect((await client.backends('web')).map(({ name }) => name)).toEqual(['b1', 'b2']);
    expect(await client.backend('web', 'b1')).toMatchObject({ index: 1, path: { state: 'known' } });
    expect((await client.export()).pools).toEqual([pool('web')]);
    expect(await client.explain({ frame: 'ff' })).toEqual(EXPLANATION);
    expect(await client.doctor('eth0')).toEqual(node.findings);
    expect(await client.metrics()).toContain('holdfast_info{');
    expect(await client.names('backends')).toEqual(['web/b1', 'web/b2']);
  });

  it('changes everything', async () => {
    const { client, node } = await connected();
    await client.addPool({ name: 'api' });
    await client.addBackend(backend('api/b1', { address: '192.0.2.9' }));
    await client.addService(service('api', { pool: 'api', port: 81 }));
    await client.changeService('api', { port: 82, affinity: {} as never }, { force: true });
    await client.changeBackend('api', 'b1', { weight: 7 });
    expect(node.cluster.services.get('api')).toMatchObject({ port: 82, affinity: { prefixLength4: 32 } });
    expect((await client.removeService('api', { dryRun: true })).dryRun).toBe(true);
    await client.removeService('api');
    await client.removeBackend('api', 'b1', { force: true });
    await client.removePool('api');
    expect((await client.apply(await client.export())).changes).toEqual([]);
    expect(await client.attach({})).toEqual([ATTACHMENT]);
    expect(await client.detach({ interface: 'eth0' })).toEqual([]);
  });

  it('follows events, also when it missed some', async () => {
    const { client, node, stop } = await connected();
    const events = client.events();
    const first = events.next();
    await expect.poll(() => node.calls.length).toBe(0);
    const telling = setInterval(() => node.tell({ message: 'hello' }), 10);
    expect((await first).value).toMatchObject({ kind: 'applied', message: 'hello' });
    clearInterval(telling);
    stop();
    let last = await events.next();
    while (!last.done) last = await events.next();
  });

  it('captures', async () => {
    const { client, node } = await connected();
    node.batches = batches();
    const lines = [];
    for await (const line of client.capture({ seconds: 1 })) lines.push(line);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatchObject({ reason: 'FORWARD', interface: 'eth0' });
    node.batches = batches();
    const chunks = [];
    for await (const chunk of client.captureFile({ seconds: 1 })) chunks.push(chunk);
    expect(readPcapng(Buffer.concat(chunks)).packets).toHaveLength(2);
  });

  it('passes failures on as they are, also those at the end of a stream', async () => {
    const { client, node } = await connected();
    await expect(client.service('nope')).rejects.toMatchObject({
      code: 'not_found',
      message: 'There is no service nope.',
      remedy: 'See those there are: holdfast services list',
    });
    node.batches = (async function* () {
      yield [packet];
      throw new Failure('unavailable', 'The program is gone.');
    })();
    const reading = (async () => {
      for await (const _ of client.capture({}));
    })();
    await expect(reading).rejects.toMatchObject({ code: 'unavailable', message: 'The program is gone.' });
  });
});
