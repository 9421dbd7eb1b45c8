// Secrets are in the store only sealed: what a reader, another cluster, and a node that has not joined get of them.
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ASK_KEYS_KEY } from '../../../control/cluster/keys.ts';
import { AUTHORITY_KEYS_KEY } from '../../../control/trust/layout.ts';
import { CLUSTER_SECRET_BYTES, SealedStore } from '../../../control/trust/sealed_store.ts';
import { newStore } from '../cluster/support.ts';
import { failureOf } from './cluster.ts';

const secret = () => randomBytes(CLUSTER_SECRET_BYTES);

describe('a sealed value', () => {
  it('is read by who has the secret, and by nobody else', async () => {
    const { store } = await newStore();
    const own = secret();
    const sealed = new SealedStore(store, own);
    await sealed.txn([], [{ put: ASK_KEYS_KEY, value: 'the ring' }]);
    await sealed.txn([], [{ put: 'mux/ids/1', value: 'plain' }]);
    expect((await store.get(ASK_KEYS_KEY))!.value).toMatch(/^sealed1:[A-Za-z0-9+/=]+$/);
    expect((await store.get('mux/ids/1'))!.value).toBe('plain');
    expect((await new SealedStore(store, own).get(ASK_KEYS_KEY))!.value).toBe('the ring');
    expect((await failureOf(new SealedStore(store).get(ASK_KEYS_KEY))).message).toBe(
      'this node has not joined the cluster',
    );
    expect((await failureOf(new SealedStore(store, secret()).get(ASK_KEYS_KEY))).message).toContain(
      'cannot be opened with the secret of this node',
    );
    const { entries } = await new SealedStore(store).list('mux/');
    expect(entries.map(({ key }) => key)).toEqual(['mux/ids/1']);
  });

  it('is another one each time, and of its key alone', async () => {
    const { store } = await newStore();
    const sealed = new SealedStore(store, secret());
    await sealed.txn([], [{ put: ASK_KEYS_KEY, value: 'the same' }]);
    const one = (await store.get(ASK_KEYS_KEY))!.value;
    await sealed.txn([], [{ put: ASK_KEYS_KEY, value: 'the same' }]);
    expect((await store.get(ASK_KEYS_KEY))!.value).not.toBe(one);
    await store.txn([], [{ put: AUTHORITY_KEYS_KEY, value: one }]);
    await failureOf(sealed.get(AUTHORITY_KEYS_KEY));
  });

  it('is refused where any part of it was changed', async () => {
    const { store } = await newStore();
    const sealed = new SealedStore(store, secret());
    await sealed.txn([], [{ put: ASK_KEYS_KEY, value: 'the ring' }]);
    const whole = Buffer.from((await store.get(ASK_KEYS_KEY))!.value.slice('sealed1:'.length), 'base64');
    const parts = [...Array(whole.length).keys()].map((at) =>
      Buffer.from(whole).fill(whole[at]! ^ 1, at, at + 1),
    );
    for (const bytes of [...parts, whole.subarray(0, -1), Buffer.alloc(0), whole.subarray(0, 27)]) {
      await store.txn([], [{ put: ASK_KEYS_KEY, value: `sealed1:${bytes.toString('base64')}` }]);
      await failureOf(sealed.get(ASK_KEYS_KEY));
    }
  });

  it('that was written before there was a secret is read, and sealed when it is written again', async () => {
    const { store } = await newStore();
    await store.txn([], [{ put: ASK_KEYS_KEY, value: 'plain' }]);
    const sealed = new SealedStore(store, secret());
    const entry = (await sealed.get(ASK_KEYS_KEY))!;
    expect(entry.value).toBe('plain');
    const { key, modRevision, value } = entry;
    expect(await sealed.txn([{ key, modRevision }], [{ put: key, value }])).toMatchObject({
      succeeded: true,
    });
    expect((await store.get(ASK_KEYS_KEY))!.value).toMatch(/^sealed1:/);
  });
});

it('who joins while it watches is told to read again, and reads what it could not', async () => {
  const { store } = await newStore();
  const own = secret();
  await new SealedStore(store, own).txn([], [{ put: ASK_KEYS_KEY, value: 'the ring' }]);
  const joining = new SealedStore(store);
  const { entries, revision } = await joining.list('mux/');
  expect(entries).toEqual([]);
  const watching = joining.watch('mux/', revision + 1)[Symbol.asyncIterator]();
  const next = watching.next();
  joining.useSecret(own);
  expect((await next).value).toMatchObject({ kind: 'compacted' });
  expect((await watching.next()).done).toBe(true);
  expect((await joining.list('mux/')).entries.map(({ value }) => value)).toEqual(['the ring']);
});
