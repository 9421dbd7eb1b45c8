// The embedded store by the contract of every store, and what is its own: the file, other processes, crashes, time.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { hostClock } from '../../../control/io/host_clock.ts';
import type { Failure } from '../../../control/lib/failure.ts';
import type { HostClock } from '../../../control/lib/host_clock.ts';
import type { Store } from '../../../control/store/contract.ts';
import { openStore } from '../../../control/store/open.ts';
import { openSqliteStore } from '../../../control/store/sqlite.ts';
import { BUSY_MS_MAX } from '../../../control/store/sqlite_file.ts';
import {
  HISTORY_BYTES_MAX,
  HISTORY_REVISIONS_MAX,
  LEASES_MAX,
} from '../../../control/store/sqlite_tables.ts';
import { storeContract } from '../../contract/store.ts';
import { all, failureOf, sleep, take } from '../../contract/store_support.ts';

const newDirectory = (): string => mkdtempSync(join(tmpdir(), 'holdfast-store-'));

storeContract('the embedded store', async () => {
  const directory = newDirectory();
  return {
    open: () => openStore(`sqlite=${directory}/store.db`, { clock: hostClock() }),
    remove: async () => rmSync(directory, { recursive: true }),
  };
});

let directory: string;
let path: string;

beforeEach(() => {
  directory = newDirectory();
  path = join(directory, 'store.db');
});

afterEach(() => rmSync(directory, { recursive: true }));

async function open(at = path, clock: HostClock = hostClock()): Promise<Store> {
  const store = await openStore(`sqlite=${at}`, { clock });
  onTestFinished(() => store.close());
  return store;
}

async function failureToOpen(at = path): Promise<Failure> {
  return open(at).then(
    () => expect.fail('it opened'),
    (error: Failure) => error,
  );
}

type Child = ChildProcessByStdio<Writable, Readable, null>;

const node = (action: string): string =>
  `"$0" --conditions=source '${new URL('sqlite_child.ts', import.meta.url).pathname}' ${action} '${path}'`;

/** A process that does `action` of sqlite_child.ts; `before` are commands of a shell, in a mount namespace of its own. */
function child(action: string, before = ''): { process: Child; lines: AsyncGenerator<unknown> } {
  const command = `${before} exec ${node(action)}`;
  const unshare = before === '' ? [] : ['unshare', '-m'];
  const [program = '', ...rest] = [...unshare, 'sh', '-ec', command, process.execPath];
  const process_ = spawn(program, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void process_.kill('SIGKILL'));
  return { process: process_, lines: linesOf(process_.stdout) };
}

async function* linesOf(output: Readable): AsyncGenerator<unknown> {
  let text = '';
  for await (const chunk of output.setEncoding('utf8')) {
    const lines = (text + chunk).split('\n');
    text = lines.pop()!;
    for (const line of lines) yield JSON.parse(line);
  }
}

describe('the file of the embedded store', () => {
  const mode = (at: string): number => statSync(at).mode & 0o777;

  it('is its owner’s alone, and so are its directory and what SQLite puts beside it', async () => {
    path = join(directory, 'a/b/store.db');
    const store = await open();
    await store.txn([], [{ put: 'a', value: '' }]);
    expect(mode(join(directory, 'a'))).toBe(0o700);
    expect(mode(join(directory, 'a/b'))).toBe(0o700);
    for (const suffix of ['', '-wal', '-shm']) expect(mode(path + suffix)).toBe(0o600);
  });

  it('is taken from others who may read it, and the directory is left as it is', async () => {
    writeFileSync(path, '', { mode: 0o644 });
    chmodSync(path, 0o644);
    chmodSync(directory, 0o755);
    await open();
    expect(mode(path)).toBe(0o600);
    expect(mode(directory)).toBe(0o755);
  });

  it('says whose it is and which tables it has', async () => {
    await (await open()).close();
    const database = new DatabaseSync(path);
    expect(database.prepare('PRAGMA application_id').get()).toEqual({ application_id: 0x48465354 });
    expect(database.prepare('PRAGMA user_version').get()).toEqual({ user_version: 1 });
    database.close();
  });

  it('is not taken from a newer Holdfast', async () => {
    await (await open()).close();
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 2');
    database.close();
    expect((await failureToOpen()).body).toEqual({
      code: 'configuration',
      message: `${path} was written by a newer Holdfast.`,
      cause: 'its tables are of version 2, and this Holdfast knows up to 1',
      remedy: 'Upgrade Holdfast on this host, or name another file as the store',
    });
  });

  it('is not taken from another application, nor changed', async () => {
    const database = new DatabaseSync(path);
    database.exec('CREATE TABLE theirs (a); PRAGMA application_id = 7');
    database.close();
    const before = readFileSync(path);
    expect((await failureToOpen()).body).toEqual({
      code: 'configuration',
      message: `${path} is not a store of Holdfast.`,
      cause: 'it is a SQLite database of another application (application_id 7, 1 tables)',
      remedy: 'Name another file as the store; this one was not changed',
    });
    expect(readFileSync(path)).toEqual(before);
  });

  it('is refused where it is no database', async () => {
    writeFileSync(path, 'node: mux1\n'.repeat(100));
    const failure = await failureToOpen();
    expect(failure.body).toMatchObject({
      code: 'configuration',
      message: `${path} is damaged, or no SQLite database at all.`,
      cause: 'file is not a database',
    });
    expect(failure.remedy).toContain('apply what was exported last');
    expect(readFileSync(path, 'utf8')).toMatch(/^node: mux1/);
  });

  it.each([
    ['overwritten in the middle', (at: string) => scribble(at, 0.5)],
    ['cut', (at: string) => truncateSync(at, statSync(at).size / 2)],
  ])('is refused where it is %s', async (_, damage) => {
    const store = await open();
    for (let count = 0; count < 30; count++) {
      await store.txn([], [{ put: `k${count}`, value: 'x'.repeat(3_000) }]);
    }
    await store.close();
    damage(path);
    expect(await failureToOpen()).toMatchObject({
      code: 'configuration',
      message: `${path} is damaged, or no SQLite database at all`,
    });
  });

  it('is refused where it cannot be', async () => {
    mkdirSync(path);
    expect((await failureToOpen()).body).toEqual({
      code: 'configuration',
      message: `The store ${path} is no file.`,
      remedy: 'Name a file as the store, not a directory or a device',
    });
    writeFileSync(join(directory, 'file'), '');
    const failure = await failureToOpen(join(directory, 'file/store.db'));
    expect(failure).toMatchObject({ code: 'configuration' });
    expect(failure.reason).toContain('EEXIST');
    for (const text of ['sqlite', 'sqlite=store.db', 'etcd=', 'etcd=ftp://127.0.0.1', 'zookeeper=x', '']) {
      expect(await failureOf(openStore(text, { clock: hostClock() }))).toBe('configuration');
    }
  });

  it.each([
    ['removed', () => unlinkSync(path)],
    [
      'replaced',
      () => {
        renameSync(path, `${path}.old`);
        writeFileSync(path, '');
      },
    ],
  ])('is missed when it is %s: nobody else would see what is written', async (how, change) => {
    const store = await open();
    const watching = failureOf(all(store.watch('', 2)));
    change();
    expect(await watching).toBe('unavailable');
    const failure = await store.txn([], []).catch((error: Failure) => error);
    expect(failure).toMatchObject({ code: 'unavailable', message: `the store ${path} was ${how}` });
  });
});

function scribble(at: string, share: number): void {
  const { size } = statSync(at);
  writeSync(
    openSync(at, 'r+'),
    Buffer.alloc(8_192, 0xa5),
    0,
    8_192,
    Math.floor((size * share) / 4_096) * 4_096,
  );
}

describe('other processes on the embedded store', () => {
  it('are told of a change, and need not look for it', async () => {
    const never = 3_600_000;
    const [one, other] = await Promise.all([1, 2].map(() => openSqliteStore(path, hostClock(), never)));
    onTestFinished(() => Promise.all([one!.close(), other!.close()]).then(() => undefined));
    const { revision } = await one!.txn([], [{ put: 'a/1', value: 'before' }]);
    const told = take(other!, 'a/', revision + 1, 2);
    // It has read what there is, and waits.
    await sleep(50);
    await one!.txn([], [{ put: 'a/1', value: 'first' }]);
    await one!.txn([], [{ put: 'a/1', value: 'second' }]);
    expect(await told).toMatchObject([
      { changes: [{ entry: { value: 'first' } }] },
      { changes: [{ entry: { value: 'second' } }] },
    ]);
  });

  it('count together without losing one', async () => {
    const children = [child('increment'), child('increment'), child('increment')];
    // All at once: what a process said before its end is thrown away where nobody reads.
    const said = await Promise.all(children.map(({ lines }) => lines.next()));
    expect(said.map(({ value }) => value)).toEqual(['done', 'done', 'done']);
    expect(await (await open()).get('n')).toMatchObject({ value: '300', modRevision: 301 });
  });

  it('are seen by watchers, and when they die others lead', async () => {
    const store = await open();
    const { process: process_, lines } = child('lead');
    const { epoch } = (await lines.next()).value as { epoch: number };
    expect(await store.leader('leader')).toEqual({ value: String(process_.pid), epoch });
    const next = store.campaign('leader', 'us', { ttlMs: 60_000 });
    process_.kill('SIGKILL');
    expect((await next).epoch).toBeGreaterThan(epoch);
  });

  it('lose nothing that was acknowledged when they are killed, and leave nothing half done', async () => {
    const acknowledged: { key: string; value: number; revision: number }[] = [];
    for (let round = 0; round < 4; round++) {
      const two = [child('commit'), child('commit')];
      await Promise.all(
        two.map(async ({ process: process_, lines }, index) => {
          for (let count = 0; count < 30 + 17 * round + index; count++) {
            acknowledged.push((await lines.next()).value as (typeof acknowledged)[0]);
          }
          process_.kill('SIGKILL');
          // What it said until it died counts as well.
          for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
            acknowledged.push(line.value as (typeof acknowledged)[0]);
          }
        }),
      );
    }
    const store = await open();
    const [one, two] = [await store.list('one/'), await store.list('two/')];
    const found = new Map(one.entries.map((entry) => [entry.key.slice(4), entry]));
    for (const { key, value, revision } of acknowledged) {
      expect(found.get(key)).toMatchObject({ modRevision: revision, value: 'x'.repeat(value) });
    }
    const facts = ({ entries }: typeof one) =>
      entries.map((it) => [it.key.slice(4), it.value, it.modRevision]);
    expect(facts(two)).toEqual(facts(one));
    expect(one.revision).toBe(one.entries.length + 1);
    expect(await take(store, 'one/', 1, one.entries.length)).toHaveLength(one.entries.length);
  });

  it('may keep it for a while, but not for ever', async () => {
    const store = await open();
    const rude = new DatabaseSync(path);
    rude.exec('BEGIN IMMEDIATE');
    setTimeout(() => rude.exec('ROLLBACK'), 100);
    expect(await store.txn([], [{ put: 'a', value: '' }])).toMatchObject({ succeeded: true });
    rude.exec('BEGIN IMMEDIATE');
    // Who only reads does not wait.
    expect(await store.get('a')).toBeDefined();
    const startedMs = performance.now();
    const failure = await store.txn([], [{ put: 'a', value: '' }]).catch((error: Failure) => error.body);
    expect(performance.now() - startedMs).toBeGreaterThan(BUSY_MS_MAX - 100);
    expect(failure).toEqual({
      code: 'unavailable',
      message: `The store ${path} does not answer.`,
      cause: 'database is locked',
      remedy: `See which process keeps the file locked: fuser -v ${path}`,
    });
    rude.close();
    expect(await store.txn([], [{ put: 'a', value: '' }])).toMatchObject({ succeeded: true });
  });
});

describe('the disk under the embedded store', () => {
  // Its own mount namespace: nothing is left of it, whatever happens.
  const mounted = () => `mount -t tmpfs -o size=2m holdfast-store '${directory}';`;

  it('may be full: nothing of what was acknowledged is lost', async () => {
    const { lines } = child('fill', mounted());
    expect((await lines.next()).value).toEqual({
      failure: {
        code: 'unavailable',
        message: `The store ${path} does not answer.`,
        cause: expect.stringMatching(/full|disk I\/O/),
        remedy: expect.stringMatching(/[Mm]ake room on its file system/),
      },
      small: 'kept',
      lost: 0,
    });
  });

  it('may be read-only', async () => {
    const { lines } = child(
      'write',
      `${mounted()} echo | ${node('write')}; mount -o remount,ro '${directory}';`,
    );
    const open_ = ['open', { succeeded: true, revision: 2 }];
    for (const line of open_) expect((await lines.next()).value).toEqual(line);
    expect((await lines.next()).value).toEqual({
      code: 'unavailable',
      message: `The store ${path} does not answer.`,
      cause: 'unable to open database file',
      remedy: `Let the user that runs holdfastd write ${path}, its directory and their file system`,
    });
  });
});

describe('history of the embedded store', () => {
  it('forgets the oldest revisions beyond a number', { timeout: 60_000 }, async () => {
    const store = await open();
    fastForward(HISTORY_REVISIONS_MAX - 2);
    await store.txn([], [{ put: 'a', value: '' }]);
    expect(await take(store, '', 1, 1)).toMatchObject([{ kind: 'changes', revision: 2 }]);
    await store.txn([], [{ put: 'a', value: '' }]);
    expect(await all(store.watch('', 1))).toEqual([{ kind: 'compacted', oldest: 2 }]);
    await store.txn([], [{ put: 'a', value: '' }]);
    expect(await all(store.watch('', 2))).toEqual([{ kind: 'compacted', oldest: 3 }]);
    expect(await take(store, '', 3, 1)).toMatchObject([{ kind: 'changes', revision: 3 }]);
  });

  it('forgets the oldest revisions beyond a size, and the file stops growing', {
    timeout: 60_000,
  }, async () => {
    const store = await open();
    const value = 'x'.repeat(1 << 20);
    const write = () => store.txn([], [{ put: 'a', value }]);
    const fits = Math.floor(HISTORY_BYTES_MAX / (value.length + 1));
    for (let count = 0; count < fits; count++) await write();
    expect(await take(store, '', 1, 1)).toMatchObject([{ kind: 'changes', revision: 2 }]);
    const { revision } = await write();
    expect(await all(store.watch('', 1))).toEqual([{ kind: 'compacted', oldest: 3 }]);
    expect(await take(store, '', 3, fits)).toMatchObject({ length: fits });
    for (let count = 0; count < 10; count++) await write();
    expect((await store.list('')).revision).toBe(revision + 10);
    await store.close();
    expect(statSync(path).size).toBeLessThan(HISTORY_BYTES_MAX + 4 * value.length);
  });

  it('keeps the newest revision, however large', { timeout: 60_000 }, async () => {
    const store = await open();
    const value = 'x'.repeat(1 << 20);
    const puts = Array.from({ length: 40 }, (_, index) => ({ put: `k${index}`, value }));
    await store.txn([], [{ put: 'a', value: '' }]);
    await store.txn([], puts);
    expect(await all(store.watch('', 2))).toEqual([{ kind: 'compacted', oldest: 3 }]);
    const [event] = await take(store, '', 3, 1);
    expect(event?.kind === 'changes' && event.changes.length).toBe(puts.length);
    await store.txn([], [{ put: 'a', value: '' }]);
    expect(await take(store, '', 4, 1)).toHaveLength(1);
    expect(await all(store.watch('', 3))).toEqual([{ kind: 'compacted', oldest: 4 }]);
  });

  /** Many revisions at once, as so many transactions would have made them. */
  function fastForward(count: number): void {
    const database = new DatabaseSync(path);
    database.exec('BEGIN');
    const record = database.prepare("INSERT INTO history VALUES (?, 0, 'f', '', ?, NULL)");
    for (let revision = 2; revision < count + 2; revision++) record.run(revision, revision);
    database.prepare('UPDATE state SET revision = ?, history_bytes = ?').run(count + 1, count);
    database.exec('COMMIT');
    database.close();
  }
});

describe('leases of the embedded store', () => {
  const clock = (bootId: string) => ({ bootId, ms: 1_000, nowMs: () => 0 });

  function handDriven(bootId: string): HostClock & { ms: number } {
    const driven = { ...clock(bootId), nowMs: (): number => driven.ms };
    return driven;
  }

  it('end to the millisecond of the host’s clock', async () => {
    const driven = handDriven('boot');
    const store = await open(path, driven);
    const lease = await store.lease(1_000);
    await store.txn([], [{ put: 'a', value: '', leaseId: lease.id }]);
    driven.ms += 999;
    expect(await store.get('a')).toBeDefined();
    expect(await lease.renew()).toBe(true);
    driven.ms += 999;
    expect(await store.get('a')).toBeDefined();
    driven.ms += 1;
    expect(await lease.renew()).toBe(false);
    expect(await store.get('a')).toBeUndefined();
  });

  it('end with the boot that they were given in', async () => {
    const store = await open(path, handDriven('first'));
    const lease = await store.lease(86_400_000);
    await store.txn([], [{ put: 'a', value: '', leaseId: lease.id }]);
    await store.close();
    const rebooted = await open(path, handDriven('second'));
    expect(await rebooted.list('')).toEqual({ entries: [], revision: 3 });
    expect(await take(rebooted, '', 3, 1)).toMatchObject([{ changes: [{ kind: 'delete', key: 'a' }] }]);
  });

  it('are never another one’s again', async () => {
    const store = await open();
    const first = await store.lease(60_000);
    await first.revoke();
    expect((await store.lease(60_000)).id).not.toBe(first.id);
  });

  it('are limited in number', async () => {
    const store = await open();
    for (let count = 0; count < LEASES_MAX; count++) await store.lease(60_000);
    expect(await failureOf(store.lease(60_000))).toBe('limit');
  });

  it('do not depend on the date', async () => {
    const store = await open();
    const lease = await store.lease(60_000);
    await store.txn([], [{ put: 'a', value: '', leaseId: lease.id }]);
    const now = Date.now;
    onTestFinished(() => {
      Date.now = now;
    });
    Date.now = () => now() + 10 * 365 * 86_400_000;
    await sleep(1);
    expect(await store.get('a')).toBeDefined();
  });
});
