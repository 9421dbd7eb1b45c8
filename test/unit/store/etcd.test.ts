// The store on what is not quite an etcd: refusals, garbage, silence, floods, streams cut anywhere. What holds on a real
// one is test/interop/etcd*.test.ts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Failure } from '../../../control/lib/failure.ts';
import { REQUEST_TIMEOUT_MS } from '../../../control/store/etcd/client.ts';
import { Endpoints, PAUSE_MS_MAX, PAUSE_MS_MIN } from '../../../control/store/etcd/endpoints.ts';
import { linesOf } from '../../../control/store/etcd/lines.ts';
import {
  decode,
  decodeRefusal,
  decodeWatch,
  rangeSchema,
  txnSchema,
} from '../../../control/store/etcd/messages.ts';
import { openEtcdStore } from '../../../control/store/etcd/store.ts';
import { WholeRevisions } from '../../../control/store/etcd/watch.ts';
import { all, take } from '../../contract/store_support.ts';
import { event, fakeEtcd, found, header, saying, storeAt } from './etcd_fake.ts';

const failure = async (work: Promise<unknown>): Promise<Failure> => {
  const error = await work.then(
    (result) => result,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Failure);
  return error as Failure;
};

describe('what is no etcd', () => {
  it.each([
    ['a page', 200, '<html>nginx</html>', 'the answer is none of etcd', /begins with "<html>/],
    ['a page that says no', 404, 'Not Found\n', /is not etcd/, /HTTP status 404: "Not Found"/],
    [
      'one that wants TLS',
      400,
      'Client sent an HTTP request to an HTTPS server.\n',
      /is not etcd/,
      /wants TLS/,
    ],
    ['other JSON', 200, '{"hello":"world"}', 'the answer is none of etcd', /header/],
    ['an empty answer', 200, '', 'the answer is none of etcd', /begins with ""/],
    ['a number that is none', 200, { header: { revision: '1e9' } }, 'the answer is none of etcd', /revision/],
    [
      'a number beyond counting',
      200,
      { header: { revision: '9223372036854775807' } },
      'the answer is none of etcd',
      /exactly/,
    ],
    [
      'bytes that are none',
      200,
      { header, kvs: [{ key: '!', mod_revision: '1' }] },
      'the answer is none of etcd',
      /kvs\.0\.key/,
    ],
    ['a server that fails', 503, 'upstream', /is not etcd/, /HTTP status 503/],
  ])('is named: %s', async (_what, status, body, message, reason) => {
    const { url } = await fakeEtcd(saying(status, body));
    const thrown = await failure(storeAt(url).get('a'));
    expect(thrown).toMatchObject({ code: 'unavailable', message: expect.stringMatching(message) });
    expect(thrown.reason).toMatch(reason);
    expect(thrown.remedy).toMatch(/store/);
  });

  it('is given up where its answer has no end', async () => {
    const { url } = await fakeEtcd((_asked, response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(1 << 20, 0x20)));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    expect(await failure(storeAt(url).get('a'))).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/too long|does not answer/),
    });
  });

  it('is given up where it never answers, or never ends its answer', {
    timeout: 3 * REQUEST_TIMEOUT_MS,
  }, async () => {
    const silent = await fakeEtcd(() => {});
    const slow = await fakeEtcd((_asked, response) => void response.write('{'));
    const startedMs = performance.now();
    const failures = await Promise.all([silent, slow].map(({ url }) => failure(storeAt(url).get('a'))));
    for (const it of failures)
      expect(it).toMatchObject({ code: 'unavailable', reason: 'No answer within 3000 ms.' });
    expect(performance.now() - startedMs).toBeLessThan(REQUEST_TIMEOUT_MS + 1_500);
  });

  it('is given up where it breaks off', async () => {
    const { url } = await fakeEtcd((_asked, response) => {
      response.write('{');
      setTimeout(() => response.destroy(), 20);
    });
    expect(await failure(storeAt(url).get('a'))).toMatchObject({ code: 'unavailable' });
  });
});

describe('refusals', () => {
  it.each([
    [8, 'etcdserver: mvcc: database space exceeded', 'limit', /alarm disarm/],
    [3, 'etcdserver: request is too large', 'limit', /max-request-bytes/],
    [3, 'etcdserver: too many operations in txn request', 'limit', /max-txn-ops/],
    [7, 'etcdserver: permission denied', 'forbidden', /grant-permission/],
    [3, 'etcdserver: user name is empty', 'unauthorized', /passwordFile/],
    [14, 'etcdserver: no leader', 'unavailable', /more than half/],
    [14, 'etcdserver: something new', 'unavailable', /log of etcd/],
    [99, 'who knows', 'unavailable', /log of etcd/],
  ])('%i %s', async (code, message, meaning, remedy) => {
    const { url } = await fakeEtcd(saying(400, { error: message, message, code }));
    const thrown = await failure(storeAt(url).txn([], [{ put: 'a', value: '' }]));
    expect(thrown).toMatchObject({ code: meaning, remedy: expect.stringMatching(remedy) });
    expect(thrown.reason).toContain(message);
  });
});

describe('signing in', () => {
  it('is done again where etcd forgot the token, or its users were changed', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-etcd-login-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const passwordFile = join(directory, 'password');
    writeFileSync(passwordFile, 'secret\n');
    let tokens = 0;
    const complaints = ['etcdserver: invalid auth token', 'etcdserver: revision of auth store is old'];
    const { url, asked } = await fakeEtcd(({ path }, response, { headers }) => {
      if (path === '/v3/auth/authenticate') response.end(JSON.stringify({ header, token: `t${++tokens}` }));
      else if (headers.authorization === `t${tokens}` && (tokens === 3 || tokens === 0))
        response.end(JSON.stringify(found));
      else {
        const message = complaints[tokens - 1]!;
        response.writeHead(400).end(JSON.stringify({ message, code: 3 }));
      }
    });
    const login = { username: 'node', passwordFile };
    const store = openEtcdStore({
      urls: [url],
      prefix: '/h/',
      certificates: {},
      login,
      nowMs: () => performance.now(),
    });
    onTestFinished(() => store.close());
    // Once more for each call, and no more.
    expect(await failure(store.get('a'))).toMatchObject({ code: 'unauthorized' });
    expect(await store.get('a')).toMatchObject({ value: 'b' });
    expect(asked.find(({ path }) => path.endsWith('authenticate'))?.body).toEqual({
      name: 'node',
      password: 'secret',
    });
    expect(tokens).toBe(3);
  });
});

describe('several members', () => {
  it('are asked one after the other where that is harmless', async () => {
    const bad = await fakeEtcd(saying(500, 'broken'));
    const good = await fakeEtcd(saying(200, found));
    const store = storeAt(bad.url, good.url);
    for (let round = 0; round < 10; round++) expect(await store.get('a')).toMatchObject({ value: 'b' });
    // Whoever was first; then the one that answered.
    expect(bad.asked.length).toBeLessThanOrEqual(1);
  });

  it('are not both told to do what one may have done', async () => {
    const cut = await fakeEtcd((_asked, response) => void response.destroy());
    const second = await fakeEtcd((_asked, response) => void response.destroy());
    const store = storeAt(cut.url, second.url);
    expect(await failure(store.txn([], [{ put: 'a', value: '' }]))).toMatchObject({ code: 'unavailable' });
    expect(cut.asked.length + second.asked.length).toBe(1);
    // A transaction that only compares changes nothing.
    expect(await failure(store.txn([{ key: 'a', modRevision: 0 }], []))).toMatchObject({
      code: 'unavailable',
    });
    expect(cut.asked.length + second.asked.length).toBe(3);
  });

  it('are told it where the first says that it did not do it, or was never reached', async () => {
    const leaderless = await fakeEtcd(saying(503, { message: 'etcdserver: no leader', code: 14 }));
    const good = await fakeEtcd(saying(200, { header, succeeded: true }));
    for (const first of [leaderless.url, new URL('http://127.0.0.1:1')]) {
      for (let round = 0; round < 5; round++) {
        const store = storeAt(first, good.url);
        expect(await store.txn([], [{ put: 'a', value: '' }])).toEqual({ succeeded: true, revision: 7 });
      }
    }
  });

  it('come in an order: the last that answered, then those that rest no more', () => {
    let now = 0;
    const [a, b, c] = ['a', 'b', 'c'].map((it) => new URL(`http://${it}`));
    const endpoints = new Endpoints([a!, b!, c!], { nowMs: () => now, random: () => 0.999_999 });
    expect(endpoints.inOrder()).toEqual([c, a, b]);
    endpoints.failed(c!);
    expect(endpoints.inOrder()).toEqual([a, b, c]);
    endpoints.answered(b!);
    expect(endpoints.inOrder()).toEqual([b, a, c]);
    now += PAUSE_MS_MIN + 1;
    expect(endpoints.inOrder()).toEqual([b, c, a]);
    for (const it of [a!, b!, c!]) endpoints.failed(it);
    // c failed for the second time, and rests longer; all are still asked.
    expect(endpoints.inOrder()).toEqual([b, a, c]);
    for (let round = 0; round < 50; round++) endpoints.failed(a!);
    now += PAUSE_MS_MAX;
    expect(endpoints.inOrder()[0]).toBe(b);
    expect(endpoints.inOrder()).toHaveLength(3);
  });
});

describe('renewing a lease', () => {
  const leasing = (terms: string[]) =>
    fakeEtcd(({ path }, response) => {
      const told = { ...header, raft_term: terms.shift() ?? '9' };
      if (path.endsWith('grant')) response.end(JSON.stringify({ header, ID: '5', TTL: '2' }));
      else if (path.endsWith('keepalive'))
        response.end(JSON.stringify({ result: { header: told, ID: '5', TTL: '2' } }));
      else response.end(JSON.stringify({ header: told }));
    });

  it('counts only in the term in which the leader has proved to be one', async () => {
    const { url, asked } = await leasing(['x', '3', '3']);
    const lease = await storeAt(url).lease(1_500);
    expect(lease.ttlMs).toBe(2_000);
    expect(await lease.renew()).toBe(true);
    expect(asked.map(({ path }) => path)).toEqual(['/v3/lease/grant', '/v3/kv/range', '/v3/lease/keepalive']);
  });

  it('is done again where the leader changed in between, and given up where it always does', async () => {
    const again = await leasing(['x', '3', '4', '4', '4']);
    expect(await (await storeAt(again.url).lease(1_500)).renew()).toBe(true);
    expect(again.asked).toHaveLength(5);
    const always = await leasing(['x', '1', '2', '3', '4', '5', '6']);
    expect(await failure((await storeAt(always.url).lease(1_500)).renew())).toMatchObject({
      code: 'unavailable',
    });
  });
});

describe('watches', () => {
  const line = (result: object) => `${JSON.stringify({ result: { header, ...result } })}\n`;

  it('go on where a stream broke off, with the next revision, nothing twice and nothing in parts', async () => {
    const streams = [
      line({ created: true }) +
        line({ events: [event('a', 3), event('b', 3)] }) +
        line({ fragment: true, events: [event('a', 4)] }),
      line({ created: true }) +
        line({ events: [event('a', 3)] }) +
        line({ events: [event('a', 4), event('b', 4), event('a', 5)] }),
    ];
    const { url, asked } = await fakeEtcd(({ path }, response) => {
      if (path !== '/v3/watch') return void response.end(JSON.stringify(found));
      response.write(streams.shift());
      if (streams.length > 0) setTimeout(() => response.destroy(), 20);
    });
    const events = await take(storeAt(url), '', 3, 3);
    expect(events.map((it) => it.kind === 'changes' && [it.revision, it.changes.length])).toEqual([
      [3, 2],
      [4, 2],
      [5, 1],
    ]);
    const starts = asked.map(
      ({ body }) => (body.create_request as { start_revision: string }).start_revision,
    );
    expect(starts).toEqual(['2', '3']);
  });

  it('end where streams end all the time', async () => {
    const { url, asked } = await fakeEtcd((_asked, response) => void response.end(line({ created: true })));
    expect(await failure(all(storeAt(url).watch('', 1)))).toMatchObject({ code: 'unavailable' });
    expect(asked.length).toBeLessThanOrEqual(3);
  });

  it('end with the reason where etcd gives one', async () => {
    const denied = await fakeEtcd(
      (_asked, response) =>
        void response.write(line({ canceled: true, cancel_reason: 'etcdserver: permission denied' })),
    );
    expect(await failure(all(storeAt(denied.url).watch('', 1)))).toMatchObject({ code: 'forbidden' });
    const lost = await fakeEtcd(
      (_asked, response) =>
        void response.end(JSON.stringify({ error: { grpc_code: 14, message: 'etcdserver: no leader' } })),
    );
    expect(await failure(all(storeAt(lost.url).watch('', 1)))).toMatchObject({
      message: 'etcd has no leader',
    });
    const compacted = await fakeEtcd(
      (_asked, response) => void response.write(line({ canceled: true, compact_revision: '6' })),
    );
    expect(await all(storeAt(compacted.url).watch('', 1))).toEqual([{ kind: 'compacted', oldest: 7 }]);
  });
});

describe('the parsers', () => {
  const anything = fc.oneof(
    fc.string(),
    fc.json(),
    fc.anything().map((it) => JSON.stringify(it) ?? ''),
    // Nearly right.
    fc
      .record(
        { kvs: fc.anything(), header: fc.oneof(fc.constant(header), fc.anything()), more: fc.anything() },
        { requiredKeys: [] },
      )
      .map((it) => JSON.stringify(it)),
    fc
      .record(
        {
          events: fc.anything(),
          header: fc.constant(header),
          fragment: fc.anything(),
          canceled: fc.anything(),
        },
        { requiredKeys: [] },
      )
      .map((result) => JSON.stringify({ result })),
  );

  it('take anything, and throw nothing but a Failure', () => {
    const parsers = [
      (it: string) => decode(it, rangeSchema),
      (it: string) => decode(it, txnSchema),
      decodeWatch,
    ];
    fc.assert(
      fc.property(anything, (it) => {
        for (const parser of parsers) {
          try {
            parser(it);
          } catch (error) {
            expect(error).toBeInstanceOf(Failure);
          }
        }
        decodeRefusal(it);
      }),
      { numRuns: 2_000 },
    );
  });

  it('find the same lines however a stream is cut', async () => {
    const lines = fc.array(fc.string({ unit: 'grapheme', minLength: 1 }).filter((it) => !it.includes('\n')));
    await fc.assert(
      fc.asyncProperty(lines, fc.array(fc.nat(200)), async (whole, cuts) => {
        const bytes = Buffer.from(whole.map((it) => `${it}\n`).join(''));
        const at = [0, ...cuts.filter((it) => it < bytes.length).sort((a, b) => a - b), bytes.length];
        const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
        const seen: string[] = [];
        for await (const it of linesOf(
          (async function* () {
            yield* chunks;
          })(),
          1 << 20,
        ))
          seen.push(it);
        expect(seen).toEqual(whole);
      }),
    );
  });

  it('bound a line', async () => {
    const endless = (async function* () {
      for (;;) yield Buffer.alloc(1_000, 0x61);
    })();
    await expect(linesOf(endless, 10_000).next()).rejects.toMatchObject({
      name: 'Failure',
      code: 'unavailable',
    });
  });

  it('put revisions together however they are spread over answers', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 10 });
    fc.assert(
      fc.property(sizes, fc.array(fc.nat(60)), fc.integer({ min: 1, max: 12 }), (revisions, cuts, from) => {
        const events = revisions.flatMap((count, index) =>
          Array.from({ length: count }, (_, each) => event(`k${each}`, index + 2)),
        );
        const at = [0, ...cuts.filter((it) => it < events.length).sort((a, b) => a - b), events.length];
        const whole = new WholeRevisions(from);
        const told = at.slice(1).flatMap((end, index) => {
          const result = { header, fragment: end < events.length, events: events.slice(at[index], end) };
          const decoded = decodeWatch(JSON.stringify({ result }));
          return 'answer' in decoded ? [...whole.add(decoded.answer, '/h/')] : [];
        });
        expect(told.map((it) => it.kind === 'changes' && [it.revision, it.changes.length])).toEqual(
          revisions.map((count, index) => [index + 2, count]).filter(([revision]) => revision! >= from),
        );
      }),
    );
  });
});
