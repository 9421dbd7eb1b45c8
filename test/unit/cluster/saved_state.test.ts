// A node's own copy of the cluster: written whole, believed only as it was written, used only where the store is away.
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { encodeRegistration } from '../../../control/cluster/ack_layout.ts';
import { begin, catchUp, STORE_WAIT_MS } from '../../../control/cluster/beginning.ts';
import { commitEdits } from '../../../control/cluster/commit.ts';
import { registrationKey } from '../../../control/cluster/keys.ts';
import { HASH_SECRET_KEY } from '../../../control/cluster/layout.ts';
import { hashSecret } from '../../../control/cluster/registry.ts';
import { type SavedState, SavedStateFile } from '../../../control/cluster/saved_state.ts';
import { ClusterView } from '../../../control/cluster/view.ts';
import { Failure } from '../../../control/lib/failure.ts';
import type { Entry, Store } from '../../../control/store/contract.ts';
import { newStore, planned, pool, service } from './support.ts';

const ME = { name: 'mux1', roles: ['mux' as const], tunnelSources: [], version: '1', address: '192.0.2.201' };

let directory: string;
let written: (Failure | undefined)[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-saved-'));
  written = [];
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
});

const path = () => join(directory, 'cluster.state');

function file(store = 'etcd=a'): SavedStateFile {
  return new SavedStateFile({
    directory,
    what: 'cluster',
    store,
    onWritten: (failure) => written.push(failure),
  });
}

const entry = (key: string, value: string): Entry => ({ key, value, createRevision: 2, modRevision: 3 });

async function save(...entries: Entry[]): Promise<void> {
  const saving = file();
  saving.keep(5, new Map(entries.map((it) => [it.key, it])));
  await saving.close();
  expect(written.splice(0)).toEqual([undefined]);
}

const away: Pick<Store, 'get' | 'txn' | 'list' | 'watch'> = {
  get: async () => {
    throw new Failure('unavailable', 'etcd is away', { reason: 'Nobody listens there.' });
  },
  txn: async () => {
    throw new Failure('unavailable', 'etcd is away');
  },
  list: async () => {
    throw new Failure('unavailable', 'etcd is away');
  },
  watch: async function* () {
    yield* [];
    throw new Failure('unavailable', 'etcd is away');
  },
};

describe('the file', () => {
  it('gives back what was kept, for root’s eyes only', async () => {
    expect(file().read()).toBeUndefined();
    await save(entry('cluster/a', 'ü😀'));
    expect(file().read()).toMatchObject({ revision: 5, savedAt: expect.stringMatching(/^20.*Z$/) });
    expect(file().read()!.entries.get('cluster/a')).toEqual(entry('cluster/a', 'ü😀'));
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(existsSync(`${path()}.new`)).toBe(false);
  });

  it('is only written once for many changes, with the last of them', async () => {
    const saving = file();
    for (let revision = 1; revision <= 100; revision++) saving.keep(revision, new Map());
    await saving.close();
    expect(written).toEqual([undefined]);
    expect(file().read()?.revision).toBe(100);
  });

  it('is another cluster’s where the store is another', async () => {
    await save();
    expect(file('etcd=b').read()).toBeUndefined();
  });

  it('is not used where one byte of it is another, or it was cut', async () => {
    await save(entry('cluster/a', 'b'));
    const bytes = readFileSync(path());
    for (let at = 0; at < bytes.length; at += 7) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      writeFileSync(path(), changed);
      expect(() => file().read(), `byte ${at}`).toThrow(/cannot be used/);
    }
    writeFileSync(path(), bytes);
    for (let size = 0; size < bytes.length; size += 11) {
      truncateSync(path(), size);
      expect(() => file().read(), `${size} bytes`).toThrow(/cannot be used/);
      writeFileSync(path(), bytes);
    }
    expect(file().read()).toBeDefined();
    writeFileSync(path(), Buffer.concat([Buffer.from('holdfast-state 2 x\n'), bytes]));
    expect(() => file().read()).toThrow(expect.objectContaining({ code: 'unsupported' }));
    truncateSync(path(), 1 << 30);
    expect(() => file().read()).toThrow(/cannot be used/);
  });

  it('says why it was not written, and leaves the one before', async () => {
    await save();
    rmSync(directory, { recursive: true });
    const saving = file();
    saving.keep(6, new Map());
    await saving.close();
    expect(written).toMatchObject([{ code: 'unavailable', message: `${path()} was not written` }]);
    expect(existsSync(directory)).toBe(false);
  });
});

describe('a node that starts', () => {
  const secret = Buffer.alloc(32, 7);
  const saved = () => save(entry(HASH_SECRET_KEY, secret.toString('base64')));

  it('asks the store, and is registered, where that answers', async () => {
    await saved();
    const { store } = await newStore();
    const beginning = await begin(store, ME, file());
    expect(beginning.saved).toBeUndefined();
    expect(beginning.secret).toEqual(await hashSecret(store));
    expect(await store.get('cluster/nodes/mux1')).toBeDefined();
  });

  it('takes its copy where the store is away, and says of when it is', async () => {
    await saved();
    const beginning = await begin(away, ME, file());
    expect(Buffer.from(beginning.secret)).toEqual(secret);
    expect(beginning.saved).toMatchObject({
      state: { revision: 5 },
      problem: { code: 'unavailable', reason: expect.stringContaining('revision 5') },
    });
  });

  it('does not wait for a store that says nothing', async () => {
    await saved();
    const silent = { get: () => new Promise<never>(() => {}), txn: away.txn };
    const startedMs = performance.now();
    expect((await begin(silent, ME, file())).saved).toBeDefined();
    expect(performance.now() - startedMs).toBeLessThan(STORE_WAIT_MS + 1_000);
  });

  it('cannot where it has no copy, and says so; or where a bug is the reason', async () => {
    await expect(begin(away, ME, file())).rejects.toMatchObject({
      code: 'unavailable',
      message: 'etcd is away',
      reason: expect.stringMatching(/^Nobody listens there\. This node has no copy/),
    });
    await expect(begin(away, ME, undefined)).rejects.toMatchObject({ reason: 'Nobody listens there.' });
    await saved();
    const broken = { ...away, get: () => Promise.reject(new TypeError('a bug')) };
    await expect(begin(broken, ME, file())).rejects.toThrow(TypeError);
  });

  it('learns later whether the secret is still the one it runs with', async () => {
    const { store } = await newStore();
    const real = await hashSecret(store);
    expect(await catchUp(store, ME, real)).toBe(false);
    expect(await store.get('cluster/nodes/mux1')).toBeDefined();
    expect(await catchUp(store, ME, secret)).toBe(true);
  });

  it('puts its secret back where the store has none', async () => {
    const { store } = await newStore();
    expect(await catchUp(store, ME, secret)).toBe(false);
    expect(Buffer.from(await hashSecret(store))).toEqual(secret);
  });

  it('takes its copy where the store has lost the cluster, and writes nothing there', async () => {
    await save(entry(HASH_SECRET_KEY, secret.toString('base64')), entry('cluster/objects', 'x'));
    const { store } = await newStore();
    const beginning = await begin(store, ME, file());
    expect(beginning.saved?.problem.reason).toMatch(/^The store has lost the cluster\./);
    expect((await store.list('')).entries).toEqual([]);
  });

  it('is refused, with a copy or without, where a mux of its name is alive at another address', async () => {
    await save(entry(HASH_SECRET_KEY, secret.toString('base64')));
    const { store } = await newStore();
    await begin(store, ME, file());
    const registration = { ...ME, id: 1, incarnation: 1, askPort: 7445, isLeaving: false, leaseMs: 300 };
    await store.txn([], [{ put: registrationKey('mux1'), value: encodeRegistration(registration) }]);
    await begin(store, ME, file());
    const { entries } = await store.list('');
    const other = { ...ME, roles: ['backend' as const], address: '192.0.2.99' };
    await expect(begin(store, other, file())).rejects.toMatchObject({
      code: 'conflict',
      message: 'another node is registered as mux1, at 192.0.2.201',
      reason: 'this one is at 192.0.2.99',
    });
    await expect(catchUp(store, other, secret)).rejects.toMatchObject({ code: 'conflict' });
    expect((await store.list('')).entries).toEqual(entries);
  });

  it.each([
    ['with a copy', true],
    ['without one', false],
  ])('waits for the lease of its own registration from before its address changed, %s', async (_, isKept) => {
    const { store } = await newStore();
    const { id: leaseId } = await store.lease(300);
    const registration = { ...ME, id: 1, incarnation: 1, askPort: 7445, isLeaving: false, leaseMs: 300 };
    const value = encodeRegistration(registration);
    await store.txn([], [{ put: registrationKey('mux1'), value, leaseId }]);
    const moved = { ...ME, address: '192.0.2.99' };
    const { secret: found } = await begin(store, moved, isKept ? file() : undefined);
    expect(Buffer.from(found)).toEqual(Buffer.from(await hashSecret(store)));
    expect(await store.get(registrationKey('mux1'))).toBeUndefined();
  });

  it('needs no copy that can be used where the store answers', async () => {
    writeFileSync(path(), 'rubbish');
    const { store } = await newStore();
    expect((await begin(store, ME, file())).saved).toBeUndefined();
    await expect(begin(away, ME, file())).rejects.toMatchObject({
      reason: expect.stringMatching(
        /^Nobody listens there\. .*cluster.state cannot be used: it is another kind/,
      ),
    });
  });
});

describe('a view that begins with a copy', () => {
  async function copyOf(store: Store): Promise<SavedState> {
    const view = new ClusterView(store);
    await view.start();
    const { entries, state } = view;
    await view.close();
    return { savedAt: '2026-01-01T00:00:00Z', revision: state.revision, entries };
  }

  it('has its state at once, and says that the store is away', async () => {
    const { store } = await newStore();
    await commitEdits(store, planned(pool('web', 2), service('www', 'web')));
    const view = new ClusterView(away, await copyOf(store));
    onTestFinished(() => view.close());
    const problem = new Promise((resolve) => view.onConnection(resolve));
    await view.start();
    expect([...view.state.services.keys()]).toEqual(['www']);
    expect(view.connected).toBe(false);
    expect(await problem).toMatchObject({ code: 'unavailable' });
  });

  it('becomes what the store says, and keeps what is the same', async () => {
    const { store } = await newStore();
    await commitEdits(store, planned(pool('web', 2), service('www', 'web')));
    const copy = await copyOf(store);
    await commitEdits(store, planned(pool('mail', 2)));
    const view = new ClusterView(store, copy);
    onTestFinished(() => view.close());
    const before = view.state;
    const changed = new Promise((resolve) => view.onChange(resolve));
    await view.start();
    await changed;
    expect([...view.state.pools.keys()].sort()).toEqual(['mail', 'web']);
    expect(view.state.tables.get('web')).toBe(before.tables.get('web'));
    expect(view.entries.size).toBeGreaterThan(copy.entries.size);
  });

  it('believes a store that has other things under the same revisions', async () => {
    const { store } = await newStore();
    await commitEdits(store, planned(pool('web', 2), service('www', 'web')));
    const other = (await newStore()).store;
    await commitEdits(other, planned(pool('web', 3), service('www', 'web')));
    const copy = await copyOf(store);
    const expected = await copyOf(other);
    expect(expected.revision).toBe(copy.revision);
    const view = new ClusterView(other, copy);
    onTestFinished(() => view.close());
    const told = new Promise((resolve) => view.onChange(resolve));
    await view.start();
    const { state } = new ClusterView(away, expected);
    expect(await told).toEqual(state);
    expect(view.state.pools.get('web')).toEqual(state.pools.get('web'));
  });
});
